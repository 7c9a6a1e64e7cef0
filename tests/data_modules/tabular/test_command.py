"""The documented way: a table of one's own is trained on, another hospital's tested."""

import polars as pl
import pytest
import yaml

from tests.data_modules.tabular.settings import documented
from tests.data_modules.trees import edit_table, make_table, read_table, write_table
from tests.medlit.command_line import EXPERIMENTS, TINY, warm

pytestmark = pytest.mark.slow


def test_train_on_a_fold_and_test_elsewhere(tmp_path):
    make_table(tmp_path / "data/own")
    edit_table(tmp_path / "data/own", 0, scans="", age="")
    own, external = documented()
    own["data"]["init_args"] |= {
        "allow_missing": True,
        "num_folds": 4,
        "fold": 1,
        "unit_columns": {"person": "patient"},
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    done = warm(
        *("fit", "--config", EXPERIMENTS / "ei_derm7pt.yaml", "--config", "own.yaml", "--config", TINY),
        *("--model.init_args.prior", "null", "--run_dir", "runs/own"),
        *("--trainer.max_epochs", 1, "--trainer.enable_progress_bar", "false"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    elsewhere = make_table(tmp_path / "data/external", seed=1, cases=6)
    names = {"benign": "naevus", "malignant": "melanoma", "unsure": "unsure"}
    write_table(elsewhere, [row | {"dx": names[row["dx"]], "use": "test"} for row in read_table(elsewhere)])
    (tmp_path / "external.yaml").write_text(yaml.safe_dump(external))
    done = warm(
        *("test", "--config", "runs/own/config.yaml", "--config", "external.yaml"),
        *("--ckpt_path", "runs/own/checkpoints/best.ckpt", "--run_dir", "runs/own_external"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    predictions = pl.read_parquet(tmp_path / "runs/own_external/predictions_test.parquet")
    assert predictions["case_id"].to_list() == [f"case {number}" for number in range(6)]
    assert predictions["label"].to_list() == [0, 0, 1, 1, 2, 2]
    assert predictions["person_id"].to_list() == predictions["group_id"].to_list()
    people = pl.read_parquet(tmp_path / "runs/own_external/predictions_test_person.parquet")
    assert people.select("person_id", "label", "num_cases").rows() == [("p0", 0, 2), ("p1", 1, 2), ("p2", 2, 2)]
