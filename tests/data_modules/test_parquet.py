"""Parquet as text: what a CSV of the same table would say; whatever is no table is refused in one line."""

import datetime
import random

import polars as pl
import pytest

from data_modules import parquet
from data_modules.errors import DatasetNotFoundError, TableError
from data_modules.parquet import read_parquet


def write(folder, **columns):
    pl.DataFrame(columns).write_parquet(folder / "t.parquet")
    return read_parquet(folder, "t.parquet", needed=list(columns), source="there")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([" a ", "", None], ["a", None, None]),
        ([1, None, -7], ["1", None, "-7"]),
        ([3.0, None, 0.25], ["3", None, "0.25"]),
        ([float("nan"), 1e20], [None, "100000000000000000000"]),
        ([True, False, None], ["1", "0", None]),
        ([datetime.date(2020, 1, 2)], ["2020-01-02"]),
        ([None, None], [None, None]),
        (pl.Series(["x", "y"], dtype=pl.Categorical), ["x", "y"]),
        (pl.Series([0.5], dtype=pl.Float32), ["0.5"]),
    ],
)
def test_cells_are_text(tmp_path, cells, expected):
    table = write(tmp_path, column=cells)
    assert table.columns["column"] == expected
    assert len(table) == len(expected)
    assert table.place(0, "column") == "t.parquet row 0, column column"


def test_only_the_columns_asked_for_are_read(tmp_path):
    pl.DataFrame({"a": [1], "b": [2], "c": [[3]]}).write_parquet(tmp_path / "t.parquet")
    table = read_parquet(tmp_path, "t.parquet", needed=["b"], optional=["a", "z"], source="there")
    assert dict(table.columns) == {"b": ["2"], "a": ["1"]}


@pytest.mark.parametrize("cells", [[[1, 2]], [{"a": 1}], [b"bytes"]])
def test_other_columns_are_refused(tmp_path, cells):
    with pytest.raises(TableError, match=r"column 'column' holds \w+.*; store text, numbers"):
        write(tmp_path, column=cells)


def test_missing_file_and_column(tmp_path):
    with pytest.raises(DatasetNotFoundError, match=r"no t.parquet below .*; copy it from there"):
        read_parquet(tmp_path, "t.parquet", source="there")
    write(tmp_path, label=[1])
    with pytest.raises(TableError, match="no column 'lable'; did you mean 'label'"):
        read_parquet(tmp_path, "t.parquet", needed=["lable"], source="there")


def test_damaged_files_are_no_tables(tmp_path):
    write(tmp_path, text=[f"row {i}" for i in range(50)], number=list(range(50)))
    whole = (tmp_path / "t.parquet").read_bytes()
    draw = random.Random(0)
    damaged = [b"", b"id,label\n1,2\n", b"PAR1", whole[: len(whole) // 2], whole[4:]]
    for _ in range(60):
        bytes_ = bytearray(whole)
        for _ in range(draw.randrange(1, 20)):
            bytes_[draw.randrange(len(bytes_))] = draw.randrange(256)
        damaged.append(bytes(bytes_))
    refused = []
    for content in damaged:
        (tmp_path / "t.parquet").write_bytes(content)
        try:
            read_parquet(tmp_path, "t.parquet", needed=["text", "number"], source="there")
        except TableError as error:
            refused.append(str(error))
    assert len(refused) >= 20
    assert not any("\n" in message for message in refused)


def test_too_many_rows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "MAX_ROWS", 9)
    with pytest.raises(TableError, match="10 rows, more than 9"):
        write(tmp_path, column=list(range(10)))


def test_text_that_is_stored_once_and_repeated_to_any_length_is_refused(tmp_path):
    cells = pl.Series(["x" * 2**20]).new_from_index(0, 600)  # 600 MB, in a file of a few kilobytes
    with pytest.raises(TableError, match=r"t.parquet: column 'column' holds 629,145,600 bytes of text, more than"):
        write(tmp_path, column=cells)
    assert (tmp_path / "t.parquet").stat().st_size < 2**20
