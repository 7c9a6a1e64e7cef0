"""Derm7pt's clinical variables, photographs that are missing, and folds."""

import pytest

from data_modules.errors import DataSettingsError, TableError
from data_modules.skin import Derm7ptDataModule
from tests.data_modules.trees import edit_meta, make_derm7pt, read_indexes, read_meta, write_meta


@pytest.fixture
def root(tmp_path):
    return make_derm7pt(tmp_path / "derm7pt")


def build(root, *stages, **settings):
    data = Derm7ptDataModule(root=root, img_size=16, **settings)
    for stage in stages:
        data.setup(stage)
    return data


def first_row(root, split="train"):
    return read_indexes(root, split)[0]


class TestVariables:
    def test_they_are_sex_location_and_elevation(self, root):
        edit_meta(root, first_row(root), sex="male", location="genital areas", elevation="")
        data = build(root, "fit", modalities=["derm", "variables"])
        columns = [name.partition("=")[0] for name in data.variables]
        assert {name: columns.count(name) for name in columns} == {"sex": 2, "location": 9, "elevation": 3}
        (row,) = data.dataset("train")[0]["images"]["variables"]
        known = {name for name, value in zip(data.variables, row, strict=True) if value == 1}
        assert known == {"sex=male", "location=genital areas"}
        assert row[-3:].isnan().all()
        assert not row[:-3].isnan().any()

    def test_plot_says_them_in_words(self, root):
        edit_meta(root, first_row(root), sex="male", location="back", elevation="")
        data = build(root, "fit", modalities=["derm", "variables"])
        words = data.plot(data.dataset("train")[0]).get_supxlabel()
        assert words == "sex male\nlocation back\nelevation unknown"

    def test_values_of_another_copy_can_be_described(self, root):
        row = first_row(root)
        edit_meta(root, row, sex="F")
        with pytest.raises(TableError, match=rf"line {row + 2} \(row {row}\), column sex: unknown value 'F'"):
            build(root, "fit", modalities=["variables"])
        rows = [row | {"sex": "F", "seven_point_score": 3} for row in read_meta(root)]
        write_meta(root, rows)
        described = {"sex": ["F", "M"], "seven_point_score": {"mean": 1, "std": 2}}
        data = build(root, "fit", modalities=["variables"], variables=described)
        assert data.dataset("train")[0]["images"]["variables"].tolist() == [[1, 0, 1]]

    def test_without_the_modality_no_column_is_read(self, root):
        rows = read_meta(root)
        write_meta(root, rows, columns=["case_num", "diagnosis", "clinic", "derm"])
        assert build(root, "fit").variables == []
        with pytest.raises(TableError, match="no column 'sex'"):
            build(root, "fit", modalities=["derm", "variables"])

    def test_description_and_modality_go_together(self):
        with pytest.raises(DataSettingsError, match="add 'variables', or set variables to null"):
            Derm7ptDataModule(variables={"sex": ["female", "male"]})


class TestMissing:
    def test_an_empty_cell_is_an_error_that_names_the_setting(self, root):
        row = first_row(root)
        edit_meta(root, row, clinic="")
        with pytest.raises(TableError, match=rf"line {row + 2} .*column clinic: no image; .* allow_missing: true"):
            build(root, "fit")
        build(root, "fit", modalities=["derm"])

    def test_an_empty_cell_is_an_absence_where_allowed(self, root, caplog, capsys):
        first, second, third = read_indexes(root, "train")[:3]
        edit_meta(root, first, clinic="")
        edit_meta(root, second, derm="")
        edit_meta(root, third, clinic="", derm="")
        data = build(root, "fit", allow_missing=True, balanced_sampling=False)
        assert "1 of 24 cases have no clinic or derm and are left out" in caplog.text + capsys.readouterr().err
        assert [list(data.dataset("train")[i]["images"]) for i in (0, 1)] == [["derm"], ["clinic"]]
        assert str(third + 1) not in [case.case_id for case in data.splits["train"]]
        assert len(data.splits["train"]) == 11

    def test_all_variables_unknown_is_an_absence(self, root):
        row = first_row(root)
        edit_meta(root, row, sex="", location="", elevation="")
        both = ["derm", "variables"]
        with pytest.raises(TableError, match=rf"line {row + 2} .*case '{row + 1}' has no variables; .*allow_missing"):
            build(root, "fit", modalities=both)
        assert list(build(root, "fit", modalities=both, allow_missing=True).dataset("train")[0]["images"]) == ["derm"]

    def test_prediction_leaves_out_what_has_nothing_and_says_so(self, root, caplog, capsys):
        edit_meta(root, 5, clinic="", derm="")
        data = build(root, "predict", predict_split="all", allow_missing=True)
        ids = [case for batch in data.predict_dataloader() for case in batch["case_id"]]
        assert ids == [str(number) for number in range(1, 25) if number != 6]
        assert "1 of 24 cases have no clinic or derm" in caplog.text + capsys.readouterr().err

    def test_folds_do_not_depend_on_what_is_read(self, root):
        edit_meta(root, first_row(root), clinic="")
        edit_meta(root, first_row(root, "test"), derm="")
        settings = {"num_folds": 4, "fold": 2, "split_seed": 3, "allow_missing": True}
        cases = {}
        for modalities in (["clinic"], ["derm"], ["clinic", "derm"]):
            splits = build(root, "fit", modalities=modalities, **settings).splits
            cases["+".join(modalities)] = {split: {case.case_id for case in kept} for split, kept in splits.items()}
        for split, whole in cases["clinic+derm"].items():
            assert cases["clinic"][split] <= whole
            assert cases["derm"][split] <= whole


def test_folds_are_named_in_messages(root, caplog, capsys):
    rows = read_meta(root)
    write_meta(root, [row | {"diagnosis": "melanoma"} for row in rows])
    data = build(root, "fit", num_folds=5, fold=2)
    assert "Derm7pt, fold 2 of 5: 14 cases for train, 5 cases for val, 5 cases for test" in (
        caplog.text + capsys.readouterr().err
    )
    for case in data.splits["test"]:
        edit_meta(root, int(case.case_id) - 1, clinic="", derm="")
    with pytest.raises(TableError, match="test part of fold 2 of 5: no case in it"):
        build(root, "fit", num_folds=5, fold=2, allow_missing=True)
