"""A run has its own folder; nothing of an earlier run is lost without being asked for."""

import pytest

from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.run_folder import TRACES, best_checkpoint, claim, default_run_dir, find_best, log_version


@pytest.mark.parametrize(
    ("configs", "expected"),
    [
        (["experiments/ei_derm7pt.yaml"], "runs/ei_derm7pt"),
        (["experiments/ei_derm7pt.yaml", "experiments/overlays/tiny.yaml"], "runs/ei_derm7pt-tiny"),
        ([], "runs/unnamed"),
    ],
)
def test_a_run_is_named_after_its_configurations(configs, expected):
    assert default_run_dir(configs) == expected


def test_the_best_checkpoint_is_found_or_its_command_told(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"best\.ckpt does not exist; make it with medlit fit"):
        find_best(tmp_path)
    best = best_checkpoint(tmp_path)
    best.parent.mkdir()
    best.touch()
    assert find_best(tmp_path) == best


@pytest.fixture
def run(tmp_path):
    """A folder that holds a run, and a note of the user's."""
    for path in (
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.yaml",
        "predictions_test.parquet",
        "note.md",
    ):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


@pytest.mark.parametrize("trace", TRACES)
def test_any_trace_of_a_run_is_in_the_way(tmp_path, trace):
    (tmp_path / trace).mkdir()
    with pytest.raises(ConfigurationError, match="already holds a run; start it anew with --overwrite true"):
        claim(tmp_path, overwrite=False, resume=None)


def test_the_refusal_says_how_to_go_on(run):
    with pytest.raises(ConfigurationError, match=r"go on with --ckpt_path \S+/checkpoints/last\.ckpt"):
        claim(run, overwrite=False, resume=None)
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_overwriting_removes_the_run_and_nothing_else(run):
    claim(run, overwrite=True, resume=None)
    assert [path.name for path in run.iterdir()] == ["note.md"]


def test_resuming_keeps_everything(run):
    before = sorted(run.rglob("*"))
    claim(run, overwrite=False, resume="last.ckpt")
    assert sorted(run.rglob("*")) == before
    with pytest.raises(ConfigurationError, match="give one of them"):
        claim(run, overwrite=True, resume="last.ckpt")


def test_logs_of_predictions_are_no_run_in_the_way(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "predictions_test.csv").touch()
    claim(tmp_path, overwrite=False, resume=None)
    assert (tmp_path / "predictions_test.csv").exists()


def test_no_log_is_written_over(tmp_path):
    assert log_version(tmp_path, "fit") == "fit"
    for name in ("csv/fit", "tensorboard/fit", "csv/fit_2"):
        (tmp_path / "logs" / name).mkdir(parents=True)
    assert log_version(tmp_path, "fit") == "fit_3"
    assert log_version(tmp_path, "test") == "test"
