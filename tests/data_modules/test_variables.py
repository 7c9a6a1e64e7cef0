"""Clinical variables: encoded by hand here, decoded again, faults named."""

import math

import pytest

from data_modules.errors import DataSettingsError, TableError
from data_modules.table import Table
from data_modules.variables import Variables

DESCRIPTION = {"age": {"mean": 50.0, "std": 20.0}, "sex": ["female", "male"], "site": ["a", "b", "c"]}


def table(**columns):
    rows = len(next(iter(columns.values())))
    return Table("t.csv", columns, range(2, rows + 2))


@pytest.fixture
def variables():
    return Variables(DESCRIPTION, name="set")


def test_numbers_are_standardised_and_categories_one_hot(variables):
    assert variables.names == ["age", "sex=female", "sex=male", "site=a", "site=b", "site=c"]
    assert variables.columns == ["age", "sex", "site"]
    rows = variables.encode(table(age=["70", "3.5e1"], sex=["male", "female"], site=["c", "a"], other=["x", "y"]))
    assert rows == [(1.0, 0, 1, 0, 0, 1), (-0.75, 1, 0, 1, 0, 0)]


def test_empty_cells_are_unknown_in_all_their_features(variables):
    unknown, partly = variables.encode(table(age=[None, None], sex=[None, "male"], site=[None, None]))
    assert unknown is None
    assert [math.isnan(number) for number in partly] == [True, False, False, True, True, True]
    assert partly[1:3] == (0, 1)


def test_descriptions_undo_the_encoding(variables):
    (row,) = variables.encode(table(age=["61.5"], sex=["male"], site=[None]))
    assert variables.describe(row) == ["age 61.5", "sex male", "site unknown"]


def test_categories_that_yaml_reads_as_numbers_are_text_of_the_table():
    variables = Variables({"smoker": [0, 1]}, name="set")
    assert variables.names == ["smoker=0", "smoker=1"]
    assert variables.encode(table(smoker=["1"])) == [(0, 1)]


@pytest.mark.parametrize("cell", ["old", "nan", "inf", "-Infinity", "1_000", "50,5", "0x10"])
def test_what_is_no_number_is_named(variables, cell):
    rows = table(age=["1", cell], sex=["male"] * 2, site=["a"] * 2)
    with pytest.raises(
        TableError, match=rf"t.csv line 3 \(row 1\), column age: '{cell}' is no number; .* leave it empty"
    ):
        variables.encode(rows)


def test_an_unknown_category_is_named_with_the_nearest(variables):
    rows = table(age=["1"], sex=["femal"], site=["d"])
    faults = [str(fault) for fault in variables.faults(rows)]
    assert faults == [
        "t.csv line 2 (row 0), column sex: unknown value 'femal'; did you mean 'female'?",
        "t.csv line 2 (row 0), column site: unknown value 'd'; allowed are 'a', 'b', 'c'",
    ]


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ({}, "set: variables are empty"),
        ({"sex": []}, r"sex has the categories \[\]"),
        ({"sex": ["f", "f"]}, "each once"),
        ({"sex": ["f", " "]}, "each once"),
        ({"age": {"mean": 0}}, "age has mean; a number has mean and std"),
        ({"age": {"mean": 0, "sd": 1}}, "age has mean, sd; a number has mean and std"),
        ({"age": {"mean": 0, "std": -1}}, "age has mean 0, std -1"),
        ({"age": {"mean": math.nan, "std": 1}}, "both are finite"),
    ],
)
def test_descriptions_that_cannot_work(description, message):
    with pytest.raises(DataSettingsError, match=message):
        Variables(description, name="set")
