"""The tiny overlay through the installed command: two processes agree with one, and low precision works."""

import csv
import re

import polars as pl
import pytest

from tests.data_modules.trees import make_derm7pt
from tests.medlit.command_line import tiny, warm

pytestmark = pytest.mark.slow

CASES = 42  # 11 test cases: two processes have unequal shares


def run(folder, name, *options):
    """fit (and its test), test and predict in one run folder."""
    shared = [*tiny(folder / "data", folder / name), *options]
    for verb, own in (
        ("fit", ["--trainer.max_epochs", 1]),
        ("test", []),
        ("predict", ["--data.predict_split", "all"]),
    ):
        done = warm(verb, *shared, *own, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / name


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    make_derm7pt(folder / "data", cases=CASES)
    return folder


@pytest.fixture(scope="module")
def one(folder):
    return run(folder, "one", "--data.batch_size", 8)


def losses(run_folder):
    """Every logged loss by name and epoch."""
    with (run_folder / "logs/csv/fit/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        (name, row["epoch"]): float(value)
        for row in rows
        for name, value in row.items()
        if re.fullmatch(r"(train|val|test)/loss", name) and value
    }


def test_two_processes_agree_with_one(folder, one):
    options = ["--trainer.devices", 2, "--trainer.strategy", "ddp", "--data.batch_size", 4]
    two = run(folder, "two", *options)
    assert len(losses(one)) == 3  # training, validation, test
    assert losses(two) == pytest.approx(losses(one), abs=1e-4)
    for table in ("predictions_test", "predict_all"):
        alone, shared = (pl.read_parquet(path / f"{table}.parquet") for path in (one, two))
        assert shared["case_id"].to_list() == alone["case_id"].to_list()
        assert shared["case_id"].n_unique() == shared.height
        names = [name for name in alone.columns if "prob_" in name or name.startswith("gate_")]
        assert len(names) == 5 * 3 + 2
        for name in names:
            assert shared[name].to_list() == pytest.approx(alone[name].to_list(), abs=1e-6)
    assert pl.read_parquet(two / "predict_all.parquet").height == CASES


def test_low_precision_trains_tests_and_predicts(folder, one):
    low = run(folder, "low", "--data.batch_size", 8, "--trainer.precision", "bf16-mixed")
    assert losses(low) == pytest.approx(losses(one), rel=0.05)
    assert losses(low) != losses(one)
    rows = pl.read_parquet(low / "predict_all.parquet")
    assert rows.height == CASES
    assert rows["prob_MEL"].n_unique() > CASES // 2
