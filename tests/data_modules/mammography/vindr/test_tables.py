"""VinDr-Mammo's tables become samples; a wrong cell is refused with its line."""

import polars as pl
import pytest

from data_modules.errors import DatasetNotFoundError, TableError
from data_modules.mammography.samples import SCHEMA
from data_modules.mammography.vindr.tables import SET, find_image, make_samples, read_official, read_samples
from tests.data_modules.mammography.csv_tables import edit_csv, read_csv, touch, write_csv
from tests.data_modules.mammography.vindr.trees import make_vindr

BREASTS, FINDINGS = "breast-level_annotations.csv", "finding_annotations.csv"
STUDY = "s" + 31 * "0"
FIRST = f"images/{STUDY}/{32 * '0'}.dicom"


@pytest.fixture
def root(tmp_path):
    return make_vindr(tmp_path)


def test_a_sample_for_every_image(root):
    samples = read_samples(root)
    assert samples.dropped == samples.touched == {}
    assert dict(samples.frame.schema) == SCHEMA
    assert samples.frame.height == 20
    first = samples.frame.row(0, named=True)
    assert {name: value for name, value in first.items() if value is not None} == {
        "image": FIRST,
        "image_id": 32 * "0",
        "patient_id": STUDY,
        "exam_id": STUDY,
        "breast_id": f"{STUDY}_L",
        "laterality": "L",
        "view": "CC",
        "image_type": "2D",
        "birads": 1,
        "density": 1,
        "spot": False,
        "inferred": False,
        "split": "train",
    }


def test_the_official_split_and_every_value(root):
    frame = read_samples(root).frame
    assert frame.filter(pl.col("split") == "test")["patient_id"].unique().len() == 1
    assert sorted(frame["birads"].unique()) == [1, 2, 3, 4, 5]
    assert sorted(frame["density"].unique()) == [1, 2, 3, 4]
    assert frame["cancer"].null_count() == frame.height


def test_findings_of_an_image_in_words(root):
    frame = read_samples(root).frame
    mass = frame.filter(pl.col("mass_shape").is_not_null())
    assert mass["birads"].to_list() == [3, 3]
    assert mass["mass_shape"].to_list() == ["unspecified"] * 2
    calcified = frame.filter(pl.col("calc_finding").is_not_null())
    assert calcified["birads"].to_list() == [5, 5]
    assert calcified["calc_finding"].to_list() == ["suspicious calcification"] * 2


def test_several_rows_of_findings_for_an_image_add_up(root):
    rows = read_csv(root / FINDINGS)
    added = (
        rows[0] | {"finding_categories": f"['{name}']"} for name in ("Mass", "Suspicious Calcification", "Asymmetry")
    )
    write_csv(root / FINDINGS, [*rows, *added])
    shown = read_samples(root).frame.select("mass_shape", "calc_finding").row(0)
    assert shown == ("unspecified", "suspicious calcification")


def test_labels_may_be_unknown(root):
    edit_csv(root / BREASTS, 0, breast_birads="", breast_density="")
    assert read_samples(root).frame.select("birads", "density").row(0) == (None, None)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("study_id", "../x", "does not look like"),
        ("image_id", "", "it is empty"),
        ("laterality", "LEFT", "'LEFT' is unknown"),
        ("view_position", "ML", "allowed are 'CC', 'MLO'"),
        ("breast_birads", "BI-RADS 0", "'BI-RADS 0' is unknown"),
        ("breast_birads", "4", "'4' is unknown"),
        ("breast_density", "DENSITY E", "'DENSITY E' is unknown"),
        ("split", "validation", "allowed are 'training', 'test'"),
    ],
)
def test_a_wrong_cell_of_breasts_is_refused_with_its_place(root, column, value, said):
    edit_csv(root / BREASTS, 3, **{column: value})
    with pytest.raises(TableError, match=rf"{BREASTS} line 5 \(row 3\), column {column}: ") as caught:
        read_samples(root)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("image_id", "f" * 32, f"is in no row of {BREASTS}"),
        ("study_id", "f" * 32, f"but {STUDY!r} in {BREASTS}"),
        ("finding_categories", "Mass", "does not look like"),
        ("finding_categories", "['Masss']", "did you mean 'Mass'?"),
        ("finding_categories", "", "it is empty"),
        ("finding_birads", "BI-RADS 9", "'BI-RADS 9' is unknown"),
    ],
)
def test_a_wrong_cell_of_findings_is_refused_with_its_place(root, column, value, said):
    edit_csv(root / FINDINGS, 3, **{column: value})
    with pytest.raises(TableError, match=rf"{FINDINGS} line 5 \(row 3\), column {column}: ") as caught:
        read_samples(root)
    assert said in str(caught.value)


def test_faults_of_both_tables_are_collected_and_rows_counted(root):
    edit_csv(root / BREASTS, 3, split="")
    edit_csv(root / FINDINGS, 5, finding_categories="['?']")
    faults = []
    samples = make_samples(*read_official(root), faults=faults)
    assert [str(fault).split(" line")[0] for fault in faults] == [BREASTS, FINDINGS]
    assert samples.dropped == {"row that cannot be used": 1}
    assert samples.frame.height == 19


@pytest.mark.parametrize("file", [BREASTS, FINDINGS])
def test_a_missing_table_says_what_to_do(root, file):
    (root / file).unlink()
    with pytest.raises(DatasetNotFoundError, match=rf"no {file} below .*medlit data synth vindr_mammo --root"):
        SET.read(root)


@pytest.mark.parametrize("suffix", [".dicom", ".dcm", ".png", ".jpeg"])
def test_an_image_is_found_as_published_renamed_or_converted(tmp_path, suffix):
    assert find_image(tmp_path, FIRST) is None
    path = touch(tmp_path / FIRST.replace(".dicom", suffix))
    assert SET.find(tmp_path, FIRST) == path
