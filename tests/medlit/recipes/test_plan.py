"""Single trainings of a recipe: what they are run with, how far they are, how they go on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from medlit.errors import ConfigurationError
from medlit.recipes.going_on import make_room, next_command
from medlit.recipes.plan import plan, read_record, state_of, what_changed, write_record
from medlit.recipes.recipe import read_recipe

RECIPE = """
name: small
seeds: [0, 3]
set: {data.init_args.root: data, trainer.max_epochs: 4}
stages:
  derm: {configs: [derm.yaml]}
  ei: {configs: [ei.yaml], init_from: {derm: derm}, set: {trainer.max_epochs: 5}}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("derm", "ei", "extra"):
        Path(f"{name}.yaml").write_text(f"# {name}\n")
    Path("r.yaml").write_text(RECIPE)
    return read_recipe("r.yaml")


@pytest.fixture
def job(recipe):
    return plan(recipe, Path("out"))["ei", 3, None]


def options(words):
    return dict(zip(words[::2], words[1::2], strict=True))


def trained(job, *, fit="started", test=None, stopped=False, model=None, best=True):
    """What a training leaves in its folder."""
    write_record(job, "started")
    (job.folder / "checkpoints").mkdir()
    if best:
        (job.folder / "checkpoints" / "best.ckpt").write_text("")
    torch.save({"medlit_run": {"stopped": stopped}}, job.folder / "checkpoints" / "last.ckpt")
    (job.folder / "config.yaml").write_text(yaml.safe_dump({"model": model or {}}))
    stages = {"fit": {"status": fit}, **({"test": {"status": test}} if test else {})}
    (job.folder / "manifest.json").write_text(json.dumps({"versions": {"medlit": "0"}, "stages": stages}))


def test_every_seed_has_its_folder_and_command(job):
    given = options(job.words)
    assert given["--config"] == "ei.yaml"
    assert given["--run_dir"] == str(job.folder) == "out/ei/seed_3"
    assert given["--seed_everything"] == "3"
    assert json.loads(given["--model.init_args.init_from"]) == {"derm": "out/derm/seed_3/checkpoints/best.ckpt"}
    assert given["--data.init_args.root"] == "data"
    assert given["--trainer.max_epochs"] == "5"  # the stage's own
    assert "--data.init_args.fold" not in given
    assert job.after == (("derm", 3, None),)


def test_folds_have_folders_of_their_own(recipe):
    jobs = plan(replace(recipe, num_folds=4), Path("out"))
    assert len(jobs) == 2 * 2 * 4
    job = jobs["ei", 0, 2]
    given = options(job.words)
    assert (given["--data.init_args.num_folds"], given["--data.init_args.fold"]) == ("4", "2")
    assert job.folder == Path("out/ei/seed_0/fold_2")
    assert job.after == (("derm", 0, 2),)


def test_a_missing_configuration_is_told(recipe):
    with pytest.raises(ConfigurationError, match=r"r.yaml: configuration file nothing.yaml cannot be read"):
        plan(replace(recipe, configs_after=("nothing.yaml",)), Path("out"))


def changed_in(recipe):
    """The same recipe, changed in one thing each."""
    yield "ei.yaml is another", lambda: Path("ei.yaml").write_text("# other\n") and recipe
    yield "trainer.max_epochs: 5 -> 6", lambda: _stage(recipe, settings={"trainer.max_epochs": 6})
    yield "data.init_args.root: data -> other", lambda: replace(recipe, settings={"data.init_args.root": "other"})
    yield "extra.yaml is another", lambda: replace(recipe, configs_after=("extra.yaml",))
    yield "what it starts from changed", lambda: Path("derm.yaml").write_text("# other\n") and recipe
    yield "what it starts from changed", lambda: _stage(recipe, init_from={})


def _stage(recipe, **changes):
    return replace(recipe, stages={**recipe.stages, "ei": replace(recipe.stages["ei"], **changes)})


@pytest.mark.parametrize("index", range(6))
def test_what_it_is_run_with_is_its_fingerprint(recipe, job, index):
    write_record(job, "finished")
    job.predictions.write_text("")
    assert state_of(job) == "finished"
    said, change = list(changed_in(recipe))[index]
    other = plan(change(), Path("out"))["ei", 3, None]
    assert state_of(other) == "changed"
    assert said in what_changed(other)
    assert next_command(other)[0] == "starting"


def test_a_secret_reaches_the_training_and_not_its_record(recipe):
    settings = {"trainer.logger.init_args.api_key": "abc", "data.init_args.root": "s3://me:abc@host/set"}
    job = plan(_stage(recipe, settings=settings), Path("out"))["ei", 3, None]
    assert options(job.words)["--trainer.logger.init_args.api_key"] == "abc"
    write_record(job, "finished")
    kept = read_record(job.folder)["inputs"]["set"]
    assert kept["trainer.logger.init_args.api_key"] == "***"
    assert kept["data.init_args.root"] == "s3://***@host/set"


def test_the_place_of_a_configuration_does_not_count(recipe, job):
    Path("moved.yaml").write_text(Path("ei.yaml").read_text())
    moved = plan(_stage(recipe, configs=("moved.yaml",)), Path("elsewhere"))["ei", 3, None]
    assert moved.fingerprint == job.fingerprint


def test_finished_needs_the_predictions(job):
    assert state_of(job) == "new"
    write_record(job, "started")
    assert state_of(job) == "interrupted"
    write_record(job, "finished")
    assert state_of(job) == "interrupted"
    job.predictions.write_text("")
    assert state_of(job) == "finished"


def test_a_training_that_was_a_batch_job_is_finished_by_the_word_of_its_script(job):
    write_record(job, "started")
    job.predictions.touch()
    (job.folder / "job_state").write_text("12 1\n")
    assert state_of(job) == "interrupted"
    (job.folder / "job_state").write_text("12 0\n")
    assert state_of(job) == "finished"
    make_room(job)
    assert not (job.folder / "job_state").exists()


def test_a_run_of_somebody_else_is_left_alone(job):
    job.folder.mkdir(parents=True)
    (job.folder / "config.yaml").write_text("")
    with pytest.raises(ConfigurationError, match=r"out/ei/seed_3 holds a run, but none of a recipe"):
        state_of(job)


def test_before_the_first_checkpoint_it_starts_anew(job):
    write_record(job, "started")
    assert next_command(job) == ("starting", ["fit", *job.words])


def test_it_goes_on_from_the_last_checkpoint(job):
    trained(job)
    assert next_command(job) == ("going on", ["fit", *job.words, "--resume", "true"])


def test_without_a_word_of_the_best_it_goes_on_too(job):
    trained(job, best=False)
    assert next_command(job)[0] == "going on"


@pytest.mark.parametrize(
    "left",
    [
        {"fit": "finished"},
        {"fit": "finished", "test": "started"},
        {"stopped": True},
    ],
)
def test_a_training_that_had_ended_is_tested(job, left):
    trained(job, **left)
    assert next_command(job) == ("testing", ["test", "--config", "out/ei/seed_3/config.yaml"])


def test_a_folder_that_was_moved_starts_anew(recipe, job):
    trained(job)
    Path("out").rename("moved")
    moved = plan(recipe, Path("moved"))["ei", 3, None]
    assert state_of(moved) == "interrupted"
    assert next_command(moved)[0] == "starting"


def test_room_is_made_for_a_new_start_and_other_files_stay(job):
    trained(job)
    (job.folder / "notes.txt").write_text("mine")
    make_room(job)
    assert {path.name for path in job.folder.iterdir()} == {"notes.txt", "recipe.json"}


def test_room_is_made_of_a_start_that_came_no_further_than_its_configuration(job):
    write_record(job, "started")
    (job.folder / "config.yaml").write_text("")
    make_room(job)
    assert [path.name for path in job.folder.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_record_is_none(job, text):
    write_record(job, "started")
    (job.folder / "recipe.json").write_text(text)
    assert read_record(job.folder) == {}
