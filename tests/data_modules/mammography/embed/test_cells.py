"""Cells and rules that cannot be, and what is said of them."""

import pytest

from data_modules.errors import DataSettingsError, TableError, UnsafePathError
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.embed.tables import SET, read_samples
from tests.data_modules.mammography.embed.small import PREFIX, one, samples, write_tables

LEFT = {"ImageLateralityFinal": "L"}


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ("asses", "Q"),
        ("tissueden", "6"),
        ("side", "Z"),
        ("path_severity", "7"),
        ("massshape", "G"),
        ("calcfind", "A,G"),
    ],
)
def test_a_code_without_a_meaning_is_refused_with_its_place_and_count(column, code):
    strange = code.split(",")[-1]
    rows = [{}, {column: code}, {column: code, "numfind": "2"}]
    with pytest.raises(TableError) as error:
        samples([LEFT], rows)
    message = str(error.value)
    assert f"EMBED_OpenData_clinical.csv row 1, column {column}: '{strange}' has no meaning" in message
    assert "(rows with such a code: 2)" in message
    assert f"unknown_codes: {{{column}: ['{strange}']}}" in message


def test_all_codes_of_a_column_without_a_meaning_are_named_at_once():
    with pytest.raises(TableError, match=r"unknown_codes: \{massshape: \['G', 'Z'\]\}"):
        samples([LEFT], [{"massshape": "G"}, {"massshape": "O,Z"}])


def test_a_code_without_a_meaning_can_be_read_as_an_empty_cell():
    rules = EmbedRules(unknown_codes={"calcfind": ["G"], "asses": ["Q"]})
    table = samples([LEFT], [{"asses": "Q", "calcfind": "A,G"}], rules=rules)
    assert table.frame.select("birads", "calc_finding").rows() == [(None, "amorphous")]
    assert table.touched["row with a code of calcfind that is read as an empty cell ('G')"] == 1
    assert table.touched["row with a code of asses that is read as an empty cell ('Q')"] == 1


def test_a_code_that_the_rules_name_is_empty_in_any_column_though_it_has_a_meaning():
    rules = EmbedRules(unknown_codes={"massshape": ["O"], "tissueden": ["2"]})
    table = samples([LEFT], [{"massshape": "O,X"}], rules=rules)
    assert table.frame.select("density", "mass_shape").rows() == [(None, "irregular")]
    assert table.touched["row with a code of tissueden that is read as an empty cell ('2')"] == 1


def test_all_codes_without_a_meaning_can_be_read_as_empty_cells():
    rows = [{"asses": "Q", "calcfind": "A,G", "massshape": "Z"}, {"numfind": "2", "massshape": "O"}, {"massshape": "Y"}]
    table = samples([LEFT, LEFT], rows, rules=EmbedRules(unknown_codes="all"))
    assert table.frame["mass_shape"].to_list() == [None, None]
    assert table.frame["birads"].to_list() == [1, 1]
    empty = {reason: count for reason, count in table.touched.items() if "empty cell" in reason}
    assert empty == {
        "row with a code of asses that is read as an empty cell ('Q')": 1,
        "row with a code of calcfind that is read as an empty cell ('G')": 1,
        "row with a code of massshape that is read as an empty cell ('Y', 'Z')": 2,
    }


def test_images_are_prepared_whatever_the_codes_say(tmp_path):
    root = write_tables(tmp_path / "embed", [{}, {}], [{"massshape": "Z", "side": "?"}])
    assert len(SET.read(root).frame) == 2
    with pytest.raises(TableError, match="no meaning"):
        read_samples(root)


def test_the_same_letter_means_different_things_in_different_columns():
    sample = one(LEFT, [{"massshape": "A", "calcfind": "A", "calcdistri": "A"}])
    shown = [sample[name] for name in ("mass_shape", "calc_finding", "calc_distribution")]
    assert shown == ["architectural distortion", "amorphous", "invented for this test"]


@pytest.mark.parametrize(
    "path", ["../x.dcm", "a/../../x.dcm", "/etc/x.dcm", "a//x.dcm", "a/./x.dcm", "a\\..\\x.dcm", "", "a/x.dcm\x00"]
)
def test_a_path_that_leaves_the_images_is_refused(path):
    with pytest.raises(UnsafePathError, match=r"metadata_reduced\.csv row 1, column anon_dicom_path: .* leaves"):
        samples([{}, {"anon_dicom_path": f"{PREFIX}{path}"}], [{}])


def test_a_path_without_the_prefix_is_refused_unless_another_is_set():
    rows = [{"anon_dicom_path": "/data/embed/x.dcm"}]
    with pytest.raises(
        TableError, match=r"row 0, column anon_dicom_path: '/data/embed/x.dcm' does not start with '/mnt"
    ):
        samples(rows, [{}])
    assert samples(rows, [{}], rules=EmbedRules(path_prefix="/data/")).frame["image"].to_list() == [
        "images/embed/x.dcm"
    ]


@pytest.mark.parametrize(
    ("table", "column", "cell", "message"),
    [
        ("image", "acc_anon", "3.6E+15", "rounded by a spreadsheet"),
        ("finding", "empi_anon", "1e8", "rounded by a spreadsheet"),
        ("finding", "age_at_study", "old", "is no number"),
        ("finding", "numfind", "inf", "is no number"),
        ("image", "spot_mag", "2", "has no meaning"),
    ],
)
def test_other_cells_that_cannot_be_read_are_refused(table, column, cell, message):
    image, finding = ({column: cell} if table == kind else {} for kind in ("image", "finding"))
    with pytest.raises(TableError, match=rf"row 0, column {column}: .*{message}"):
        samples([image], [finding])


def test_a_date_that_is_none_is_counted_and_unknown():
    table = samples([{"study_date_anon": "June"}], [{"procdate_anon": "2015-06-31"}])
    assert table.touched["row with a study_date_anon that is no date: unknown"] == 1
    assert table.touched["row with a procdate_anon that is no date: unknown"] == 1


def test_rules_from_yaml_whose_image_types_are_a_list_equal_those_of_code():
    assert EmbedRules(image_types=["2D"]) == EmbedRules()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fidelity": "papr"}, "did you mean 'paper'"),
        ({"missing_side": "keep"}, "missing_side is 'keep'"),
        ({"metadata": "both"}, "metadata is 'both'"),
        ({"image_types": ["3D"]}, "unknown image type '3D'"),
        ({"image_types": []}, "name one or more"),
        ({"unknown_codes": {"shape": ["A"]}}, "names column 'shape'"),
        ({"unknown_codes": "every"}, "unknown_codes is 'every'"),
        ({"biopsy_days": -1}, "biopsy_days is -1"),
    ],
)
def test_rules_that_cannot_be_are_refused(settings, message):
    with pytest.raises(DataSettingsError, match=message):
        EmbedRules(**settings)
