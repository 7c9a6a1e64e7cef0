"""The manifest and the count of failures: functions of the rows, not of their order."""

import polars as pl
import pytest

from data_modules.errors import OutputError
from data_modules.mammography.prepare.journal import JOURNAL, Journal
from data_modules.mammography.prepare.manifest import JOURNAL_COLUMNS, collect, write_manifest
from data_modules.mammography.prepare.summary import MOST_KINDS, Summary, count_remarks, group_failures
from data_modules.mammography.prepared import MANIFEST, read_manifest

ROWS = [
    {"image": "b", "output": "images/b.png", "laterality_header": "L", "flags": ["modality CT"], "source_mtime_ns": 1},
    {"image": "a", "output": "images/a.png", "laterality_header": "R", "laterality_check": "contradicts", "flags": []},
    {"image": "c", "output": "images/c.png", "laterality_header": "B", "crop_method": "whole", "flags": []},
    {"image": "d", "error_kind": "unreadable image", "error": "12 bits, not 14"},
]
SIDES = dict.fromkeys("abcd", "L")


def journal(root, rows):
    with Journal(root) as lines:
        for row in rows:
            lines.write(row)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_the_order_of_the_journal_leaves_no_trace(tmp_path, order):
    for folder, rows in (("one", ROWS), ("two", [ROWS[place] for place in order])):
        (tmp_path / folder).mkdir()
        journal(tmp_path / folder, rows)
        write_manifest(collect(tmp_path / folder), SIDES, tmp_path / folder)
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (tmp_path / "two" / MANIFEST).read_bytes()


def test_the_last_word_on_an_image_counts(tmp_path):
    journal(tmp_path, [ROWS[3], {"image": "d", "output": "images/d.png", "flags": []}])
    write_manifest(collect(tmp_path), SIDES, tmp_path)
    assert read_manifest(tmp_path)["error_kind"].to_list() == [None]
    (tmp_path / JOURNAL).unlink()
    journal(tmp_path, [{"image": "d", "error_kind": "timeout"}])  # a later run's
    assert collect(tmp_path)["error_kind"].to_list() == ["timeout"]


def test_sides_of_header_and_table_are_compared(tmp_path):
    journal(tmp_path, ROWS)
    manifest = write_manifest(collect(tmp_path), {**SIDES, "not in the journal": "L"}, tmp_path)
    checked = dict(zip(manifest["image"], manifest["laterality_table"], strict=True))
    assert checked == {"a": "contradicts", "b": "agrees", "c": "unknown", "d": None}
    assert count_remarks(manifest) == {
        "no plausible breast found, the whole image was kept": 1,
        "the pixels show the breast on the other side than the header demands": 1,
        "the header's laterality contradicts the table's": 1,
        "flagged modality CT": 1,
    }


def test_failures_that_differ_in_their_numbers_are_one_kind():
    kinds = ["unreadable image"] * 3 + ["missing file"] * 2 + [None]
    errors = ["12 bits, not 14", "10 bits, not 16", "3 frames", "gone", "gone elsewhere", None]
    rows = {"image": list("abcdef"), "error_kind": kinds, "error": errors}
    found = group_failures(pl.DataFrame(rows))
    assert [(group.kind, group.count, group.image) for group in found] == [
        ("unreadable image", 2, "a"),
        ("missing file", 2, "d"),
        ("unreadable image", 1, "c"),
    ]


def test_the_list_of_failures_ends_somewhere(tmp_path):
    wrong = pl.DataFrame(
        {
            "image": [f"{number:02}" for number in range(26)],
            "error_kind": ["unreadable image"] * 26,
            "error": [chr(97 + number) for number in range(26)],
        }
    )
    said = Summary(out=tmp_path, images=26, written=0, done_now=26, failures=group_failures(wrong)).lines()
    assert said[-1] == f"  and {26 - MOST_KINDS} more kinds: the manifest has a row for every image"
    assert len(said) == MOST_KINDS + 3


def test_a_manifest_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / MANIFEST).mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        write_manifest(pl.DataFrame(schema=JOURNAL_COLUMNS), {}, tmp_path)
