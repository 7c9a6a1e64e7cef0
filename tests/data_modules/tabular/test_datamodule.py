"""Tables of one's own: whatever may be wrong with them is told with file, line, column, value and what to do."""

import inspect
from collections import Counter

import polars as pl
import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningDataModule

from data_modules import TableDataModule
from data_modules.errors import (
    DataSettingsError,
    ImageNotFoundError,
    SplitLeakageError,
    TableError,
    UnsafePathError,
)
from tests.data_modules.contract import DataModuleContract
from tests.data_modules.tabular.settings import CLASSES, SETTINGS, VARIABLES, build, documented
from tests.data_modules.trees import edit_table, make_table, read_table, write_table


class TestTable(DataModuleContract):
    class_names = tuple(CLASSES)
    modalities = ("photo", "scan", "variables")

    def make_tree(self, root):
        return make_table(root)

    def build(self, root, **settings):
        return TableDataModule(root=root, **SETTINGS, variables=VARIABLES, **settings)

    def remove_labels(self, root):
        write_table(root, read_table(root), without=("dx", "split"))


class TestSeveralLabels(DataModuleContract):
    test_workers_do_not_change_samples = None  # TestTable starts them, on ragged cases with variables
    class_names = ("cough", "fever")
    modalities = ("photo",)

    def make_tree(self, root):
        return make_table(root)

    def build(self, root, **settings):
        labels = {"label_columns": ["cough", "fever"], "group_column": "patient"}
        return TableDataModule(root=root, modalities={"photo": "photo"}, **labels, **settings)

    def remove_labels(self, root):
        write_table(root, read_table(root), without=("cough", "fever"))


@pytest.fixture
def root(tmp_path):
    return make_table(tmp_path / "own")


def test_cases_are_the_rows(root):
    data = build(root, "fit", variables=VARIABLES)
    first, second = data.dataset("train")[0], data.dataset("train")[1]
    assert (second["case_id"], second["group_id"], int(second["label"])) == ("case 1", "p0", 0)
    assert {name: len(stack) for name, stack in second["images"].items()} == {"photo": 1, "scan": 2, "variables": 1}
    assert data.variables == ["age", "sex=female", "sex=male"]
    torch.testing.assert_close(first["images"]["variables"], torch.tensor([[-1.0, 1.0, 0.0]]))
    assert {split: len(cases) for split, cases in data.splits.items()} == {"train": 12, "val": 6, "test": 6}


def test_parquet_says_the_same(root):
    rows = pl.read_csv(root / "table.csv")
    (root / "sub").mkdir()
    rows.with_columns(age=pl.when(pl.col("age") == 31).then(None).otherwise(pl.col("age"))).write_parquet(
        root / "sub/table.parquet"
    )
    edit_table(root, 1, age="")
    csv, parquet = (
        build(root, "fit", table=table, variables=VARIABLES) for table in ("table.csv", "sub/table.parquet")
    )
    for a, b in zip(csv.splits["train"], parquet.splits["train"], strict=True):
        assert (a.case_id, a.group_id, a.label, str(a.variables)) == (b.case_id, b.group_id, b.label, str(b.variables))
        assert {name: [file.path for file in files] for name, files in a.images.items()} == {
            name: [file.path for file in files] for name, files in b.images.items()
        }
    assert parquet.splits["train"][1].where == "sub/table.parquet row 1, column dx"
    assert parquet.data_hashes().keys() == {"sub/table.parquet", "split/train", "split/val", "split/test"}


def test_without_ids_a_row_is_a_case_and_a_group(root):
    data = build(root, "fit", case_column=None, group_column=None)
    assert [(case.case_id, case.group_id) for case in data.splits["train"][:2]] == [("0", "0"), ("1", "1")]


def test_without_splits_a_seeded_cut_keeps_groups_and_classes(tmp_path):
    root = make_table(tmp_path / "own", cases=120, size=2)
    write_table(root, read_table(root), without=("split",))
    data, again, other = (build(root, "fit", split_column=None, split_seed=seed).splits for seed in (1, 1, 2))
    assert data == again != other
    assert {split: len(cases) for split, cases in data.items()} == {"train": 84, "val": 12, "test": 24}
    for split, share in (("train", 28), ("val", 4), ("test", 8)):
        assert all(abs(count - share) <= 2 for count in Counter(case.label for case in data[split]).values())
    assert [case.case_id for case in build(root, "predict", split_column=None, split_seed=1).splits["test"]] == [
        case.case_id for case in data["test"]
    ]


def test_ids_stand_for_classes_unless_a_class_is_called_like_a_number(root):
    rows = [row | {"dx": str(CLASSES.index(row["dx"]))} for row in read_table(root)]
    names = [case.label for case in build(root, "fit").splits["train"]]
    write_table(root, rows)
    assert [case.label for case in build(root, "fit").splits["train"]] == names
    write_table(root, [row | {"dx": f"{row['dx']}.0"} for row in rows])
    assert [case.label for case in build(root, "fit").splits["train"]] == names
    write_table(root, rows)
    numbers = build(root, "fit", class_names=["2", "1", "0"])
    assert [case.label for case in numbers.splits["train"]] == [2 - label for label in names]


def test_class_map_renames(root):
    edit_table(root, 0, dx="naevus")
    with pytest.raises(TableError, match=r"line 2 \(row 0\), column dx: unknown class 'naevus'; .* class_map"):
        build(root, "fit")
    assert build(root, "fit", class_map={"naevus": "unsure"}).splits["train"][0].label == 2
    edit_table(root, 0, dx="7")
    assert build(root, "fit", class_map={7: "unsure"}).splits["train"][0].label == 2  # as YAML reads it


def test_rows_of_no_split_are_counted(root, caplog, capsys):
    edit_table(root, 0, split="")
    assert len(build(root, "fit").splits["train"]) == 11
    assert "1 of 24 rows are in no split" in caplog.text + capsys.readouterr().err
    assert len(build(root, "predict", predict_split="all").splits["all"]) == 24


def test_folds_pool_the_splits(root):
    data = build(root, "fit", num_folds=4, fold=3)
    assert sum(map(len, data.splits.values())) == 24
    without = build(root, "fit", num_folds=4, fold=3, split_column=None)
    assert without.splits == data.splits


def test_missing_images_where_they_are_allowed(root, caplog, capsys):
    edit_table(root, 0, scans="")
    edit_table(root, 1, scans="", photo="")
    message = r"table.csv line 2 \(row 0\), column scans: no image of scan; .* allow_missing"
    with pytest.raises(TableError, match=message):
        build(root, "fit")
    data = build(root, "fit", allow_missing=True)
    assert list(data.dataset("train")[0]["images"]) == ["photo"]
    assert len(data.splits["train"]) == 11
    assert "1 of 24 cases have no photo or scan and are left out" in caplog.text + capsys.readouterr().err
    batch = next(iter(data.train_dataloader()))
    assert batch["image_mask"]["scan"].shape[0] == len(batch["case_id"])


@pytest.mark.parametrize(
    ("cells", "error", "message"),
    [
        ({"dx": "benin"}, TableError, "column dx: unknown class 'benin'; did you mean 'benign'"),
        ({"dx": "3"}, TableError, "column dx: unknown class '3'"),
        ({"dx": ""}, TableError, "column dx: no label"),
        ({"photo": ""}, TableError, "column photo: no image of photo"),
        ({"photo": "photos/nine.png"}, ImageNotFoundError, "column photo: no file 'photos/nine.png' below"),
        ({"photo": "../secret.png"}, UnsafePathError, "column photo: path '../secret.png' leaves"),
        ({"id": "case 7"}, TableError, r"column id: 'case 7' is in table.csv line 4 \(row 2\) too"),
        ({"id": ""}, TableError, "column id: empty; give the case an id"),
        ({"patient": ""}, TableError, "column patient: empty; name the patient"),
        ({"split": "tset"}, TableError, "column split: 'tset' is no split; did you mean 'test'"),
        ({"age": "forty"}, TableError, "column age: 'forty' is no number"),
        ({"age": "nan"}, TableError, "column age: 'nan' is no number"),
        ({"sex": "femal"}, TableError, "column sex: unknown value 'femal'; did you mean 'female'"),
    ],
)
def test_cells_that_cannot_be_used(root, cells, error, message):
    row = 7 if "id" in cells else 2
    edit_table(root, 2, id="case 7" if cells.get("id") else "case 2")
    edit_table(root, row, **cells)
    with pytest.raises(error, match=rf"table.csv line {row + 2} \(row {row}\), {message}"):
        build(root, "fit", variables=VARIABLES)


def test_label_columns_hold_zero_or_one(root):
    several = {"label_column": None, "class_names": None, "label_columns": ["fever", "cough"]}
    edit_table(root, 0, fever="1.0", cough="0")
    data = build(root, "fit", **several)
    assert (data.class_names, data.splits["train"][0].label) == (["fever", "cough"], (1, 0))
    assert build(root, **(several | {"class_names": ["a", "b"]})).class_names == ["a", "b"]
    edit_table(root, 1, fever="yes")
    with pytest.raises(TableError, match=r"line 3 \(row 1\), column fever: 'yes'; write 0 or 1"):
        build(root, "fit", **several)
    edit_table(root, 1, fever="")
    with pytest.raises(TableError, match="column fever: empty, where other labels of the row are not"):
        build(root, "fit", **several)


def test_a_patient_in_two_splits(root):
    edit_table(root, 1, split="test")
    with pytest.raises(SplitLeakageError, match=r"split train and table.csv, split test share group 'p0' \(table.csv"):
        build(root, "fit")


@pytest.mark.parametrize("column", ["dx", "photo", "patient", "id", "split", "age"])
def test_missing_columns_are_named(root, column):
    rows = read_table(root)
    write_table(root, [{("_" + name if name == column else name): cell for name, cell in row.items()} for row in rows])
    with pytest.raises(TableError, match=rf"no column '{column}'; (did you mean '_{column}'|allowed are)"):
        build(root, "fit", variables=VARIABLES)


@pytest.mark.parametrize("table", ["table.csv", "table.parquet"])
@pytest.mark.parametrize("settings", [{"split_column": None}, {"num_folds": 4, "fold": 1}])
def test_what_is_cut_by_label_says_how_to_predict_without(root, table, settings):
    write_table(root, read_table(root), without=("dx",))
    pl.read_csv(root / "table.csv").write_parquet(root / "table.parquet")
    with pytest.raises(TableError, match=rf"{table}: no column 'dx'; .*without labels.* predict_split: all"):
        build(root, "predict", table=table, **settings)
    assert len(build(root, "predict", table=table, predict_split="all", **settings).splits["all"]) == 24


def test_an_empty_split_is_named(root):
    write_table(root, [row | {"split": "train"} for row in read_table(root)])
    with pytest.raises(TableError, match=r"table.csv, split val: no case in it"):
        build(root, "fit")


def test_a_table_without_rows(root):
    (root / "table.csv").write_text((root / "table.csv").read_text().splitlines()[0] + "\n")
    with pytest.raises(TableError, match=r"table.csv: it holds no case"):
        build(root, "fit")


def test_more_folds_than_groups(root):
    with pytest.raises(DataSettingsError, match="the 24 cases belong to 12 groups"):
        build(root, "fit", num_folds=13, fold=0)


def test_documented_configuration(root):
    own, external = documented()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    data = parser.instantiate(parser.parse_object(own)).data
    assert isinstance(data, TableDataModule)
    assert (data.num_classes, data.modalities) == (3, ["photo", "scan", "variables"])
    assert data.variables == ["age", "sex=female", "sex=male"]
    data.root = root
    data.setup("fit")
    assert len(data.splits["train"]) > len(data.splits["test"]) > 0
    assert external["data"]["init_args"].keys() <= inspect.signature(TableDataModule).parameters.keys()


def test_units_are_columns(root):
    rows = [
        row | {"exam": f"e{number // 2}", "side": f"e{number // 2}_L"} for number, row in enumerate(read_table(root))
    ]
    write_table(root, rows)
    units = {"breast": "side", "exam": "exam"}
    data = build(root, "test", unit_columns=units)
    [batch, *_] = data.test_dataloader()
    assert list(batch["units"]) == ["breast", "exam"]
    assert batch["units"]["breast"] == [f"{exam}_L" for exam in batch["units"]["exam"]]
    with pytest.raises(TableError, match=r"line 3.*: exam 'e0' is part of group 'case 1', but of 'case 0'"):
        build(root, "test", unit_columns=units, group_column=None)
    edit_table(root, 3, exam="")
    with pytest.raises(TableError, match=r"line 5 \(row 3\), column exam: empty; name its exam"):
        build(root, "test", unit_columns=units)
