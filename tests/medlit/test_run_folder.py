"""A run has its own folder; nothing of an earlier run is lost without being asked for."""

import contextlib
import json

import pytest

from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.run_folder import (
    TRACES,
    best_checkpoint,
    claim,
    clear,
    default_run_dir,
    find_best,
    is_run,
    log_version,
)


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


def write(folder, *paths, status="finished"):
    """Files as a run leaves them."""
    for path in paths:
        (folder / path).parent.mkdir(exist_ok=True, parents=True)
        (folder / path).touch()
    manifest = {"versions": {"medlit": "0.1"}, "stages": {"fit": {"status": status}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def run(tmp_path):
    """A folder that holds a run, and things of the user's."""
    folder = tmp_path / "run"
    write(
        folder,
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "config.yaml", "predictions_test.parquet"),
        *(
            "predict_all.csv",
            "subsets_test.md",
            "logs/csv/fit/metrics.csv",
            "logs/tensorboard/fit/events",
            "logs/csv/fit_2/metrics.csv",
        ),
        *("note.md", "logs/mine/note.md", "checkpoints/mine.ckpt", "figures/a.png"),
    )
    return folder


def files(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


MINE = {"note.md", "logs/mine/note.md", "checkpoints/mine.ckpt", "figures/a.png"}


def test_a_run_is_in_the_way_and_the_refusal_says_how_to_go_on(run):
    before = files(run)
    with pytest.raises(ConfigurationError, match="go on with --resume true, start it anew with --overwrite"):
        claim(run, overwrite=False, resume=None)
    claim(run, overwrite=True, resume=None)
    assert files(run) == before  # only a training that starts removes anything


def test_overwriting_removes_the_run_and_nothing_else(run):
    clear(run, keep=[run / "logs/csv/fit_2"])
    assert files(run) == MINE | {"logs/csv/fit_2/metrics.csv"}


def test_logs_with_checkpoints_stay_where_nobody_asked_to_overwrite(run):
    other = run / "logs/csv/fit/checkpoints/epoch=3.ckpt"
    other.parent.mkdir()
    other.touch()
    clear(run, spare_checkpoints=True)
    assert files(run) == MINE | {"logs/csv/fit/metrics.csv", "logs/csv/fit/checkpoints/epoch=3.ckpt"}
    write(run)
    clear(run)
    assert files(run) == MINE


def test_what_a_link_leads_to_stays(run, tmp_path):
    (run / "predictions_test.csv").symlink_to(tmp_path / "elsewhere.csv")
    (run / "logs/csv/linked").symlink_to(tmp_path / "logs")
    write(tmp_path, "elsewhere.csv", "logs/metrics.csv")
    clear(run)
    assert files(run) == MINE
    assert (tmp_path / "elsewhere.csv").exists()
    assert (tmp_path / "logs/metrics.csv").exists()


@pytest.mark.parametrize("trace", TRACES)
def test_what_medlit_did_not_write_is_never_written_over(tmp_path, trace):
    (tmp_path / trace).parent.mkdir(exist_ok=True)
    (tmp_path / trace).write_text("{}")
    for overwrite in (False, True):
        with pytest.raises(ConfigurationError, match=f"holds {trace}, but no run of medlit: choose another --run_dir"):
            claim(tmp_path, overwrite=overwrite, resume=None)
    clear(tmp_path)
    assert files(tmp_path) == {trace}


def test_a_run_without_manifest_is_known_by_checkpoint_and_configuration(tmp_path):
    (tmp_path / "config.yaml").write_text("class_path: medlit.tasks.UnimodalTask")
    assert not is_run(tmp_path)  # somebody's own configuration
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/best.ckpt").touch()
    assert is_run(tmp_path)


@pytest.mark.parametrize(("status", "free"), [("failed: ValueError", True), ("started", False), ("finished", False)])
def test_a_training_that_failed_at_once_is_not_in_the_way(tmp_path, status, free):
    write(tmp_path, "config.yaml", status=status)
    with contextlib.nullcontext() if free else pytest.raises(ConfigurationError, match="already holds a run"):
        claim(tmp_path, overwrite=False, resume=None)


def test_resuming_goes_on_in_its_own_folder_or_a_free_one(run, tmp_path):
    last = str(run / "checkpoints" / "last.ckpt")
    claim(run, overwrite=False, resume=last)
    claim(tmp_path / "new", overwrite=False, resume=last)
    with pytest.raises(ConfigurationError, match="give one of them"):
        claim(run, overwrite=True, resume=last)
    write(tmp_path / "other", "checkpoints/last.ckpt")
    with pytest.raises(ConfigurationError, match="already holds another run than that of"):
        claim(tmp_path / "other", overwrite=False, resume=last)


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


def test_a_run_without_a_checkpoint_starts_anew_where_it_may_go_on(run):
    for checkpoint in (run / "checkpoints").glob("*.ckpt"):
        checkpoint.unlink()
    with pytest.raises(ConfigurationError, match="already holds a run"):
        claim(run, overwrite=False, resume=None)
    claim(run, overwrite=False, resume=None, may_go_on=True)


def test_a_checkpoint_of_another_requeueing_is_named_and_not_taken(run):
    (run / "hpc_ckpt_1.ckpt").touch()
    with pytest.raises(ConfigurationError, match=r"hpc_ckpt_1\.ckpt is of Lightning's own requeueing.*remove it"):
        claim(run, overwrite=False, resume=str(run / "checkpoints/last.ckpt"))
