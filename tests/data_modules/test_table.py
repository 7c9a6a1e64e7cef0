"""CSV tables that a spreadsheet wrote otherwise: told in one line."""

import gzip
import zlib

import polars as pl
import pytest

from data_modules.errors import TableError, UnreadableFileError
from data_modules.table import MAX_FILE_BYTES, check_head, read_table

ROWS = [["id", "photo"], ["a", "1.png"], ["b", "2.png"]]


def read(folder, text, encoding="utf-8"):
    (folder / "t.csv").write_bytes(text.encode(encoding))
    return read_table(folder, "t.csv", needed=["id", "photo"], source="there")


def joined(separator):
    return "\n".join(separator.join(cells) for cells in ROWS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_commas_separate(tmp_path, encoding):
    assert read(tmp_path, joined(","), encoding).columns == {"id": ["a", "b"], "photo": ["1.png", "2.png"]}


@pytest.mark.parametrize(("separator", "name"), [(";", "semicolons"), ("\t", "tabs")])
def test_other_separators_are_named(tmp_path, separator, name):
    with pytest.raises(TableError, match=rf"t.csv: {name} separate its columns; save it anew with commas"):
        read(tmp_path, joined(separator) + f"\nc, d{separator}3.png\n")


def test_a_column_with_a_semicolon_in_its_name_is_one(tmp_path):
    with pytest.raises(TableError, match="no column 'photo'; allowed are 'id', 'a;b'"):
        read(tmp_path, "id,a;b\n1,2\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_other_encodings_are_named(tmp_path, encoding):
    with pytest.raises(
        TableError, match=r"t.csv: no UTF-8 text \(UTF-16, or no text at all\); save it anew as CSV UTF-8"
    ):
        read(tmp_path, joined(","), encoding)


def test_a_file_larger_than_any_table_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "t.csv").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # a hole: nothing lies on the disk
    with pytest.raises(UnreadableFileError, match=r"t.csv: larger than 536,870,912 bytes; is this the right file\?"):
        read_table(tmp_path, "t.csv", source="there")


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress])
def test_a_table_that_is_compressed_is_refused_though_polars_would_unpack_it_to_any_size(tmp_path, compress):
    path = tmp_path / "t.csv"
    path.write_bytes(compress(joined(",").encode()))
    assert pl.read_csv(path).columns == ROWS[0]
    with pytest.raises(TableError, match=r"t.csv: it is compressed; unpack it first"):
        read_table(tmp_path, "t.csv", source="there")
    with pytest.raises(TableError, match=r"t.csv: it is compressed; unpack it first"):
        check_head(path.read_bytes(), path)
