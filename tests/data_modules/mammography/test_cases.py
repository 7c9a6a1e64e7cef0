"""Cases kept as columns say the same as a list of cases."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.cases import Case, ImageFile, check_labelled, ids_of, label_groups, label_matrix
from data_modules.dataset import CaseDataset
from data_modules.errors import TableError
from data_modules.mammography.cases import UNKNOWN, CaseTable, Files, Names, TextColumn

VIEWS = ("CC", "MLO")
PATH = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
ROWS = st.lists(
    st.tuples(st.text(max_size=5), st.sampled_from("pqrs"), st.integers(UNKNOWN, 3), st.lists(PATH), st.lists(PATH)),
    max_size=12,
)


def plain(rows):
    """The definition: a list of cases."""
    return [
        Case(
            case_id=name,
            group_id=group,
            images={
                view: tuple(ImageFile(f"/root/{path}", f"table, image {path}", "/root/images") for path in paths)
                for view, paths in zip(VIEWS, files, strict=True)
                if paths
            },
            label=None if label == UNKNOWN else label,
            where=f"table, {name}",
            units={"exam": f"exam of {name}"},
            strata={"site": f"site of {group}"},
        )
        for name, group, label, *files in rows
    ]


def files(paths):
    return Files(
        np.cumsum([len(own) for own in paths], dtype=np.int64), TextColumn(path for own in paths for path in own)
    )


def columns(rows):
    names, groups, labels, *images = zip(*rows, strict=True) if rows else [()] * 5
    return CaseTable(
        root="/root",
        source="table",
        case_ids=TextColumn(names),
        groups=Names.of(groups),
        labels=np.array(labels, dtype=np.int16),
        files={view: files(list(paths)) for view, paths in zip(VIEWS, images, strict=True)},
        units={"exam": Names.of([f"exam of {name}" for name in names])},
        strata={"site": Names.of([f"site of {group}" for group in groups])},
    )


@settings(max_examples=40)  # a table is compared cell by cell
@given(ROWS, st.data())
def test_says_the_same_as_a_list(rows, data):
    table, cases = columns(rows), plain(rows)
    assert list(table) == cases
    assert len(table) == len(cases)
    assert list(ids_of(table)) == ids_of(cases)
    assert label_groups(table) == label_groups(cases)
    assert np.array_equal(label_matrix(table, num_classes=4), label_matrix(cases, num_classes=4))
    assert [case.has("CC") or case.has("MLO") for case in cases] == table.has_any(VIEWS).tolist()
    chosen = data.draw(st.lists(st.integers(0, max(len(rows) - 1, 0)), max_size=6) if rows else st.just([]))
    assert list(table.take(np.array(chosen, dtype=np.int64))) == [cases[row] for row in chosen]
    assert list(table[1:3]) == cases[1:3]
    if cases:
        assert table[-1] == cases[-1]
    with pytest.raises(IndexError):
        table[len(rows)]


def test_is_equal_to_its_copy_and_to_no_other():
    rows = [("a", "p", 1, ["x"], []), ("b", "q", UNKNOWN, ["y", "z"], ["w"])]
    table = columns(rows)
    assert pickle.loads(pickle.dumps(table)) == table
    assert table != columns(rows[:1])
    assert table != columns([rows[0], ("b", "q", 2, ["y", "z"], ["w"])])


def test_a_dataset_keeps_the_columns():
    table = columns([("a", "p", 1, ["x"], [])])
    assert CaseDataset(table, modalities=VIEWS, transform=None).cases is table


def test_an_unknown_label_names_the_case():
    with pytest.raises(TableError, match="table, b: no label"):
        check_labelled(columns([("a", "p", 1, ["x"], []), ("b", "q", UNKNOWN, ["y"], [])]))


def test_a_table_of_the_size_of_embed_is_cheap_to_hand_to_a_worker():
    count = 20_000
    names = [f"{number:064}" for number in range(count)]
    table = CaseTable(
        root="/root",
        source="table",
        case_ids=TextColumn(names),
        groups=Names.of([str(number // 24) for number in range(count)]),
        labels=np.zeros(count, dtype=np.int16),
        files={"mammogram": Files(np.arange(1, count + 1), TextColumn(f"images/{name}.png" for name in names))},
        units={},
    )
    text = count * (64 + 75)  # the ids and the paths themselves
    assert len(pickle.dumps(table)) < text + count * 32  # a list of cases takes 560 bytes for each
