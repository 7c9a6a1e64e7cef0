"""Which checkpoint a run goes on from, and which settings may differ then."""

import errno
import os

import pytest
import torch

from medlit.checkpoint_io import SealedCheckpointIO
from medlit.errors import ConfigurationError, DamagedCheckpointError
from medlit.resume import KEY, check_global_batch, check_settings, find_newest, set_aside, settings_of

CONFIG = {
    "seed_everything": 0,
    "run_dir": "runs/a",
    "data": {"class_path": "D", "init_args": {"root": "data", "batch_size": 4, "num_workers": 2, "seed": 0}},
    "model": {"init_args": {"optimizer": {"init_args": {"lr": 0.1}}, "layers": [1, 2]}},
    "trainer": {"max_epochs": 3, "devices": 2, "precision": "32-true"},
}


@pytest.fixture
def run(tmp_path):
    """A run with the three checkpoints, each with its own step."""
    keeper = SealedCheckpointIO()
    for step in (5, 8):
        keeper.save_checkpoint({"global_step": step}, tmp_path / "checkpoints" / "last.ckpt")
    keeper.save_checkpoint({"global_step": 3}, tmp_path / "checkpoints" / "best.ckpt")
    return tmp_path


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 16
    path.write_bytes(content)


def step_of(found):
    return torch.load(found.checkpoint, weights_only=True)["global_step"]


def test_the_newest_is_the_last(run):
    found = find_newest(run)
    assert (found.checkpoint.name, step_of(found), found.damaged) == ("last.ckpt", 8, {})


def test_without_any_training_starts_anew(tmp_path):
    assert find_newest(tmp_path).checkpoint is None


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_a_damaged_newest_is_passed_over_and_told(run, damage):
    last = run / "checkpoints" / "last.ckpt"
    damage(last)
    found = find_newest(run)
    assert (found.checkpoint.name, step_of(found)) == ("previous.ckpt", 5)
    assert list(found.damaged) == [last]
    assert str(last) in found.damaged[last]
    assert set_aside(found.damaged) == [f"{last} is kept as last.ckpt.damaged"]
    assert find_newest(run).checkpoint == found.checkpoint
    assert find_newest(run).damaged == {}


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EIO, errno.EACCES])
def test_what_cannot_be_read_is_not_taken_for_damaged(run, number, monkeypatch):
    def fail(path):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("medlit.resume.verify", fail)
    words = rf"last\.ckpt: cannot be read \({os.strerror(number)}\), .* try again"
    with pytest.raises(ConfigurationError, match=words):
        find_newest(run)


def test_the_best_is_the_last_resort(run):
    for name in ("last", "previous"):
        flip(run / "checkpoints" / f"{name}.ckpt")
    assert step_of(find_newest(run)) == 3


def test_a_run_without_a_sound_one_is_not_started_anew_unasked(run):
    for path in (run / "checkpoints").iterdir():
        flip(path)
    with pytest.raises(DamagedCheckpointError, match=r"no checkpoint of .* is sound .*--overwrite true"):
        find_newest(run)


def test_a_run_that_was_stopped_between_two_renames_goes_on(run):
    (run / "checkpoints" / "last.ckpt").unlink()
    assert step_of(find_newest(run)) == 5


def changed(**paths):
    """The configuration with other values, by dotted name with double underscores."""
    config = {name: dict(value) if isinstance(value, dict) else value for name, value in CONFIG.items()}
    for path, value in paths.items():
        *parents, name = path.split("__")
        inner = config
        for parent in parents:
            inner[parent] = dict(inner[parent])
            inner = inner[parent]
        inner[name] = value
    return config


@pytest.mark.parametrize(
    "config",
    [
        changed(run_dir="elsewhere"),
        changed(trainer__max_epochs=9, trainer__devices=4),
        changed(data__init_args__num_workers=0, data__init_args__batch_size=2),
    ],
)
def test_where_and_how_long_it_trains_may_differ(config):
    check_settings({KEY: {"settings": settings_of(CONFIG)}}, settings_of(config), source="last.ckpt")


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (changed(seed_everything=1), "seed_everything"),
        (changed(model__init_args__optimizer__init_args__lr=0.2), r"model\.init_args\.optimizer\.init_args\.lr"),
        (changed(model__init_args__layers=[1]), r"model\.init_args\.layers"),
        (changed(data__init_args__root="other"), r"data\.init_args\.root"),
        (changed(trainer__precision="bf16-mixed"), r"trainer\.precision"),
    ],
)
def test_what_decides_the_outcome_may_not(config, named):
    with pytest.raises(ConfigurationError, match=f"other settings: {named}\\. Give the same to go on"):
        check_settings({KEY: {"settings": settings_of(CONFIG)}}, settings_of(config), source="last.ckpt")


def test_a_checkpoint_that_says_nothing_is_not_taken_by_itself():
    with pytest.raises(ConfigurationError, match=r"does not say with which settings.*--ckpt_path"):
        check_settings({}, settings_of(CONFIG), source="last.ckpt")


def test_the_cases_of_a_step_stay_the_same():
    checkpoint = {KEY: {"settings": {}, "global_batch": 32}}
    check_global_batch(checkpoint, 32, source="a")
    check_global_batch({}, 32, source="a")
    with pytest.raises(ConfigurationError, match=r"32 cases per optimizer step .* now there are 16"):
        check_global_batch(checkpoint, 16, source="a")
