import shutil

import polars as pl
import pytest

from data_modules.errors import DatasetNotFoundError, TableError, UnreadableFileError, UnsafePathError
from data_modules.mammography.embed.files import find_image, read_columns
from data_modules.mammography.embed.legend import read_legend, translate
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.embed.tables import SET, read_samples
from tests.data_modules.mammography.embed.small import WORDS, samples, write_tables

IMAGES = [{}, {"ImageLateralityFinal": "R", "spot_mag": "1.0"}]
FINDINGS = [
    {"asses": "S", "side": "L", "massshape": "X", "massdens": "0", "tissueden": "3.0"},
    {"asses": "B", "side": "R", "calcfind": "9", "implanfind": "N"},
]


@pytest.fixture
def root(tmp_path):
    return write_tables(tmp_path, IMAGES, FINDINGS)


def edit(root, name, change):
    path = root / "tables" / name
    change(pl.read_csv(path, infer_schema=False)).write_csv(path)


def test_files_give_what_their_rows_give(root):
    assert read_samples(root).frame.equals(samples(IMAGES, FINDINGS).frame)
    assert SET.read(root).frame.equals(read_samples(root).frame)


def test_columns_of_mixed_types_stay_as_they_are_written(root):
    frame = read_columns(root, "tables/EMBED_OpenData_clinical.csv", needed=["massdens", "calcfind", "tissueden"])
    assert frame.rows() == [(0, "0", None, "3.0"), (1, None, "9", "2.0")]


def test_cells_are_stripped_and_blank_ones_empty(root):
    edit(
        root,
        "EMBED_OpenData_clinical.csv",
        lambda frame: frame.with_columns(pl.lit("  S ").alias("asses"), side=pl.lit(" ")),
    )
    assert read_samples(root).frame["birads"].to_list() == [4, 4]


def test_the_full_table_of_images_knows_the_machine(root):
    reduced = root / "tables/EMBED_OpenData_metadata_reduced.csv"
    full = pl.read_csv(reduced, infer_schema=False).with_columns(ManufacturerModelName=pl.lit("Selenia"))
    full.write_csv(root / "tables/EMBED_OpenData_metadata.csv")
    assert read_samples(root).frame["machine"].to_list() == [None, None]
    assert read_samples(root, rules=EmbedRules(metadata="full")).frame["machine"].to_list() == ["Selenia"] * 2
    reduced.unlink()
    assert read_samples(root).frame["machine"].to_list() == ["Selenia"] * 2
    with pytest.raises(DatasetNotFoundError, match=r"no tables/EMBED_OpenData_metadata_reduced\.csv below"):
        read_samples(root, rules=EmbedRules(metadata="reduced"))


def test_the_reduced_clinical_table_alone_gives_labels_without_findings(root):
    clinical = root / "tables/EMBED_OpenData_clinical.csv"
    lacking = [*WORDS, "path_severity", "bside", "procdate_anon", "pdate_anon"]
    pl.read_csv(clinical, infer_schema=False).drop(lacking).write_csv(clinical.with_stem(f"{clinical.stem}_reduced"))
    clinical.unlink()
    table = read_samples(root)
    assert table.frame["birads"].to_list() == [4, 2]
    assert table.frame["mass_shape"].null_count() == table.frame["cancer"].null_count() == 2
    assert table.touched["clinical row without a column massshape: unknown"] == 2


def test_what_the_full_clinical_table_lacks_of_the_exam_comes_from_the_reduced_one(root):
    clinical = root / "tables/EMBED_OpenData_clinical.csv"
    frame = pl.read_csv(clinical, infer_schema=False)
    reduced = frame.select("acc_anon", "RACE_DESC", "age_at_study", ETHNIC_GROUP_DESC=pl.lit("Hispanic or Latino"))
    reduced.write_csv(clinical.with_stem(f"{clinical.stem}_reduced"))
    frame.drop("RACE_DESC", "age_at_study").write_csv(clinical)  # its ETHNICITY_DESC says another thing
    shown = read_samples(root).frame.select("race", "age", "ethnicity").unique()
    assert shown.rows() == [("Asian", 61.5, "Hispanic or Latino")]


@pytest.mark.parametrize("table", ["metadata_reduced", "clinical"])
def test_a_missing_table_says_what_to_do(root, table):
    (root / f"tables/EMBED_OpenData_{table}.csv").unlink()
    with pytest.raises(DatasetNotFoundError, match=rf"no tables/EMBED_OpenData_{table}.csv .* medlit data synth embed"):
        read_samples(root)


def test_a_missing_legend_says_what_to_do(root):
    (root / "tables/AWS_Open_Data_Clinical_Legend.csv").unlink()
    with pytest.raises(DatasetNotFoundError, match=r"no tables/AWS_Open_Data_Clinical_Legend.csv .* medlit data synth"):
        read_samples(root)


def test_a_missing_column_is_named_with_the_nearest(root):
    edit(root, "EMBED_OpenData_clinical.csv", lambda frame: frame.rename({"asses": "assess"}))
    with pytest.raises(TableError, match=r"clinical.csv: no column 'asses'; did you mean 'assess'"):
        read_samples(root)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "no CSV table"), (b"a,b\n1,2,3\n", "no column"), (b'"a', "no ")]
)
def test_a_file_that_is_no_such_table_is_refused(root, content, message):
    (root / "tables/EMBED_OpenData_clinical.csv").write_bytes(content)
    with pytest.raises(TableError, match=message):
        read_samples(root)


@pytest.mark.parametrize("table", ["clinical", "metadata_reduced"])
def test_a_row_with_a_comma_too_many_is_refused_with_its_line(root, table):
    """Its cells would be taken for those of the columns beside them."""
    path = root / f"tables/EMBED_OpenData_{table}.csv"
    path.write_text(path.read_text().replace("Screening", "Screening, digital", 1))
    with pytest.raises(
        TableError, match=rf"EMBED_OpenData_{table}\.csv: no CSV table \(line 2 has \d+ cells, the header"
    ):
        read_samples(root)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",", ";").encode(), "semicolons separate its columns; save it anew with commas"),
        (lambda text: text.encode("utf-16"), "no UTF-8 text .UTF-16"),
    ],
)
def test_what_a_spreadsheet_program_wrote_otherwise_is_refused(root, change, message):
    path = root / "tables/EMBED_OpenData_clinical.csv"
    path.write_bytes(change(path.read_text()))
    with pytest.raises(TableError, match=message):
        read_samples(root)


def test_a_mark_at_the_start_and_line_ends_of_windows_change_nothing(root):
    before = read_samples(root).frame
    path = root / "tables/EMBED_OpenData_clinical.csv"
    path.write_bytes(path.read_text().replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_samples(root).frame.equals(before)


def test_a_folder_in_place_of_a_table_is_refused(root):
    path = root / "tables/EMBED_OpenData_clinical.csv"
    path.unlink()
    path.mkdir()
    with pytest.raises(UnreadableFileError, match="cannot be read"):
        read_samples(root)


def test_the_legend_is_read_by_column_without_padding_and_slips(tmp_path):
    slips = {"massshape": {"F": "focal asymetry", "Y": "lumph  node"}, "other": {"F": "nothing of ours"}}
    write_tables(tmp_path, [], [], extra=slips)
    words = read_legend(tmp_path, advice="")
    assert words["massshape"] == {"F": "focal asymmetry", "Y": "lymph node"}
    assert words["calcfind"] == WORDS["calcfind"]
    assert "other" not in words


def test_a_code_with_two_meanings_is_refused(root):
    path = root / "tables/AWS_Open_Data_Clinical_Legend.csv"
    path.write_text(path.read_text() + "massshape,,O,Round\n")
    with pytest.raises(TableError, match=r"code 'O' of massshape means 'Round' here and 'oval' above"):
        read_samples(root)


def test_several_codes_in_a_cell():
    told, strange = translate(["A", "A, P,A", "A,Z", "Q", "Q,P", ","], words=WORDS["calcfind"], unknown=["Q"])
    assert told == {"A": "amorphous", "A, P,A": "amorphous and punctate", "Q,P": "punctate"}
    assert strange == {"A,Z": "Z", ",": ","}


def test_images_are_found_as_dicom_or_converted(root, tmp_path):
    image = read_samples(root).frame["image"][0]
    assert find_image(root, image) is None
    path = root / image
    path.parent.mkdir(parents=True)
    converted = path.with_suffix(".png")
    converted.touch()
    assert find_image(root, image) == SET.find(root, image) == converted
    path.touch()
    assert find_image(root, image) == path


def test_a_link_out_of_the_images_is_not_followed(root, tmp_path):
    image = read_samples(root).frame["image"][0]
    path = root / image
    path.parent.mkdir(parents=True)
    path.symlink_to(root / "tables/EMBED_OpenData_clinical.csv")
    with pytest.raises(UnsafePathError, match="leaves the folder of images, by its name or through a link"):
        find_image(root, image)
    with pytest.raises(UnsafePathError, match="leaves the folder of images"):
        find_image(root, "images/../tables/EMBED_OpenData_clinical.csv")
    shutil.rmtree(root / "images")
    assert find_image(root, "images/../tables/EMBED_OpenData_clinical.csv") is None
