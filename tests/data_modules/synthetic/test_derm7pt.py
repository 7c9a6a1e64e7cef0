"""The look-alike of Derm7pt: official layout, the same bytes every time, a class that needs both photographs."""

import csv
from collections import Counter

import numpy as np
import pytest

from data_modules.errors import DataSettingsError
from data_modules.images import ImageFolder, read_image
from data_modules.skin.labels import CRITERIA, DIAGNOSES, FIVE_CLASSES, five_class
from data_modules.skin.tables import INDEXES, read_indexes, read_meta
from data_modules.synthetic import derm7pt
from data_modules.synthetic.skin_pictures import COLOURS, draw_lesion


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "derm7pt"
    derm7pt.write(root, cases=60, seed=3)
    return root


def test_the_same_arguments_give_the_same_bytes(tree, tmp_path):
    derm7pt.write(tmp_path / "again", cases=60, seed=3)
    assert contents(tmp_path / "again") == contents(tree)


def test_another_seed_gives_another_tree(tree, tmp_path):
    derm7pt.write(tmp_path / "other", cases=60, seed=4)
    assert contents(tmp_path / "other")["meta/meta.csv"] != (tree / "meta/meta.csv").read_bytes()


def test_the_reader_of_the_release_takes_it(tree):
    rows = read_meta(tree)
    splits = read_indexes(tree, rows=len(rows))
    assert {split: len(indexes) for split, indexes in splits.items()} == {"train": 33, "val": 9, "test": 18}
    assert sorted(row for indexes in splits.values() for row in indexes) == list(range(60))
    folder = ImageFolder(tree / "images")
    for row in rows:
        for path in row.images.values():
            assert read_image(folder.find(path, where=row.where)).shape == (64, 96, 3)


def test_tables_have_the_official_columns_and_values(tree):
    with (tree / "meta/meta.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("case_num", "diagnosis", "seven_point_score", "pigment_network", "streaks", "pigmentation"),
        *("regression_structures", "dots_and_globules", "blue_whitish_veil", "vascular_structures"),
        *("level_of_diagnostic_difficulty", "elevation", "location", "sex", "management", "clinic", "derm"),
        *("case_id", "notes"),
    ]
    assert {row["diagnosis"] for row in rows} <= set(DIAGNOSES)
    for row in rows:
        assert all(row[name] in values for name, values in CRITERIA.items())
        assert int(row["seven_point_score"]) == derm7pt.seven_point_score({name: row[name] for name in CRITERIA})
    assert all((tree / file).is_file() for file in INDEXES.values())


def test_the_quirks_of_the_release_are_there_and_in_training_only(tree):
    rows = read_meta(tree)
    same = [row.row for row in rows if row.images["clinic"] == row.images["derm"]]
    other_case = [row.row for row in rows if not (tree / "images" / row.images["clinic"]).is_file()]
    assert (len(same), len(other_case)) == (1, 1)
    assert {*same, *other_case} <= set(read_indexes(tree, rows=60)["train"])
    assert {path.suffix for path in (tree / "images").rglob("*.*")} == {".jpg", ".JPG"}


def test_classes_are_even_in_every_split(tree):
    rows = read_meta(tree)
    for indexes in read_indexes(tree, rows=60).values():
        counts = Counter(five_class(rows[index].diagnosis or "") for index in indexes)
        assert set(counts) == set(FIVE_CLASSES)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_two_photographs_tell_the_class_and_one_tells_it_in_part():
    plan = derm7pt.plan_cases(2000, np.random.default_rng(0))
    assert all(case.label == (2 * case.clinic - case.derm) % 5 for case in plan)
    for modality in ("clinic", "derm"):
        pairs = Counter((getattr(case, modality), case.label) for case in plan)
        best = sum(max(pairs[colour, label] for label in range(5)) for colour in range(5))
        assert best / len(plan) == pytest.approx(0.4, abs=0.01)


def test_where_the_photographs_disagree_the_class_is_neither_colour():
    plan = derm7pt.plan_cases(500, np.random.default_rng(1))
    assert all(case.label not in (case.clinic, case.derm) for case in plan if case.clinic != case.derm)


@pytest.mark.parametrize("modality", ["clinic", "derm"])
@pytest.mark.parametrize("colour", range(5))
def test_a_picture_shows_its_colour_in_the_middle(modality, colour):
    picture = draw_lesion(modality, colour, width=96, height=64, rng=np.random.default_rng(colour))
    middle = np.median(picture[28:36, 44:52].reshape(-1, 3), axis=0)
    assert int(np.abs(np.asarray(COLOURS) - middle).sum(1).argmin()) == colour


def test_its_own_folder_is_replaced(tmp_path):
    derm7pt.write(tmp_path / "set", cases=30, seed=0)
    derm7pt.write(tmp_path / "set", cases=10, seed=1)
    derm7pt.write(tmp_path / "fresh", cases=10, seed=1)
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataSettingsError, match="not empty and was not made by medlit"):
        derm7pt.write(tmp_path, cases=10, seed=0)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


@pytest.mark.parametrize("marker", ["{}", "not json", '{"files": ["synthetic.json"]}'])
def test_a_folder_with_a_marker_and_files_of_others_is_left_alone(tmp_path, marker):
    """As when the real release was unpacked over a look-alike."""
    (tmp_path / "synthetic.json").write_text(marker)
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(DataSettingsError, match=r"thesis\.txt is not of a look-alike|synthetic\.json is not"):
        derm7pt.write(tmp_path, cases=10, seed=0)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_an_added_file_keeps_the_look_alike_from_being_replaced(tmp_path):
    derm7pt.write(tmp_path / "set", cases=10, seed=0)
    (tmp_path / "set" / "images" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(DataSettingsError, match=r"images/mine\.jpg"):
        derm7pt.write(tmp_path / "set", cases=10, seed=1)


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataSettingsError, match="cannot make the folder"):
        derm7pt.write(tmp_path / "file" / "set", cases=10, seed=0)


def test_nothing_is_left_beside_it(tmp_path):
    derm7pt.write(tmp_path / "set", cases=10, seed=0)
    derm7pt.write(tmp_path / "set", cases=10, seed=0)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataSettingsError, match="is a file"):
        derm7pt.write(tmp_path / "file", cases=10, seed=0)


@pytest.mark.parametrize("wrong", [{"cases": 9}, {"seed": -1}, {"img_size": 8}])
def test_numbers_that_are_too_small_are_named(tmp_path, wrong):
    with pytest.raises(DataSettingsError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))}"):
        derm7pt.write(tmp_path, **{"cases": 10, "seed": 0, **wrong})
