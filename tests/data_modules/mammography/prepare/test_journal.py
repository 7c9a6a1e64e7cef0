"""The journal: what is written is read again, what is torn counts as not written."""

import pytest

from data_modules.mammography.prepare.journal import JOURNAL, Journal, read_journal, remove_journal

ROWS = [
    {"image": "a/1.dcm", "height": 3, "flags": []},
    {"image": "a/2.dcm", "error": 'a "quoted" line\nand another, Größe'},
    {"image": "a/3.dcm", "output": None},
]


def write(root, rows):
    with Journal(root) as journal:
        for row in rows:
            journal.write(row)


def test_rows_come_back_in_order(tmp_path):
    write(tmp_path, ROWS[:2])
    write(tmp_path, ROWS[2:])
    assert list(read_journal(tmp_path)) == ROWS


def test_text_that_is_none_is_replaced(tmp_path):
    write(tmp_path, [{"image": "a", "error": "no \udcff text, but \N{GRINNING FACE}"}])
    assert list(read_journal(tmp_path)) == [{"image": "a", "error": "no ? text, but \N{GRINNING FACE}"}]


def test_no_journal_has_no_rows(tmp_path):
    assert list(read_journal(tmp_path)) == []
    remove_journal(tmp_path)


def test_cut_at_any_byte_it_keeps_the_whole_rows_and_takes_new_ones(tmp_path):
    write(tmp_path, ROWS)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        write(tmp_path, [{"image": "new"}])
        # A row that lacks its line's end only is whole.
        kept = sum(end - 1 <= cut for end in ends)
        assert list(read_journal(tmp_path)) == [*ROWS[:kept], {"image": "new"}]


@pytest.mark.parametrize("place", [0, 12, 30])
def test_a_changed_byte_costs_its_row(tmp_path, place):
    write(tmp_path, ROWS)
    path = tmp_path / JOURNAL
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert list(read_journal(tmp_path)) == ROWS[1:]
