"""Columns of captions as codes: what comes out is what went in."""

import math
import pickle

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.errors import TableError
from data_modules.mammography.captions import Captioner, MetadataTable, has_caption, missing_for_caption
from data_modules.mammography.captions.metadata import COLUMNS
from data_modules.mammography.samples import SCHEMA
from tests.data_modules.mammography.captions.rows import FULL, rows


def frame(*of):
    return pl.DataFrame(list(of), schema={name: SCHEMA[name] for name in COLUMNS})


@settings(deadline=None)
@given(st.lists(rows, min_size=1, max_size=8))
def test_rows_come_back_with_ages_in_whole_years(given_rows):
    table = MetadataTable.from_frame(frame(*given_rows))
    assert len(table) == len(given_rows)
    for index, row in enumerate(given_rows):
        age = row["age"]
        years = None if age is None or math.isnan(age) else math.floor(pl.Series([age], dtype=pl.Float32)[0])
        assert table.row(index) == {**row, "age": years}


def test_a_caption_of_the_table_is_that_of_the_row():
    table = MetadataTable.from_frame(frame(FULL, {**FULL, "age": 30.0, "race": None}))
    assert Captioner().sentences(table.row(0)) == Captioner().sentences(FULL)
    assert Captioner().sentences(table.row(1)) == Captioner().sentences({**FULL, "age": 30.0, "race": None})


@pytest.mark.parametrize(("column", "code"), [("birads", 7), ("density", 5), ("laterality", "B"), ("age", 200.0)])
def test_a_code_without_a_meaning_is_refused_before_training(column, code):
    with pytest.raises(TableError, match=f"{column}: .*{code}"):
        MetadataTable.from_frame(frame(FULL, {**FULL, column: code}))


def test_the_table_is_small_where_a_worker_unpickles_it():
    table = MetadataTable.from_frame(frame(*[{**FULL, "age": float(age)} for age in range(20, 100)] * 100))
    assert len(pickle.dumps(table)) < 8000 * len(COLUMNS) * 2 + 5000  # two bytes a cell, and the words
    assert pickle.loads(pickle.dumps(table)).row(5) == table.row(5)
    assert table.codes.flags.c_contiguous


def test_an_empty_table_has_no_rows():
    assert len(MetadataTable.from_frame(frame())) == 0


def test_images_without_a_caption_are_counted_once_by_reason():
    table = frame(
        FULL,
        {**FULL, "birads": None, "density": None},
        {**FULL, "density": None},
        {**FULL, "procedure": None, "reason": None},
        {**FULL, "reason": None},
        {**FULL, "race": None, "ethnicity": None, "age": None, "view": None, "mass_shape": None},
    )
    assert has_caption(table).to_list() == [True, False, False, False, False, True]
    assert missing_for_caption(table) == {"no birads": 1, "no density": 1, "no procedure": 1, "no reason": 1}
    assert missing_for_caption(table.head(1)) == {}
