"""Stages that take weights of others by any option, with seeds and variants of their own, or without a test."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from medlit.errors import ConfigurationError
from medlit.recipes.changes import changed
from medlit.recipes.estimate import Steps
from medlit.recipes.plan import plan, state_of, what_changed, write_record
from medlit.recipes.recipe import read_recipe

VALID = {
    "name": "small",
    "seeds": [0, 1, 2],
    "stages": {
        "probe": {
            "configs": ["probe.yaml"],
            "weights_from": {"model.init_args.weights": "towers"},
            "set": {"data.init_args.target": "density", "model.init_args.cache_dir": "{out}/features"},
            "seed_also": ["data.init_args.fraction_seed"],
            "variants": {
                "few": {"set": {"data.init_args.label_fraction": 0.1}, "seeds": [0, 1, 2, 3]},
                "all": {"set": {"data.init_args.target": "birads"}},
            },
        },
        "towers": {"configs": ["towers.yaml"], "seeds": [5], "test": False, "alone": True},
    },
}


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Read the valid recipe, changed at one place."""
    monkeypatch.chdir(tmp_path)
    for name in ("probe", "towers", "more"):
        Path(f"{name}.yaml").write_text(f"# {name}\n")

    def change(place="", value=None):
        content = json.loads(json.dumps(VALID))
        below = content
        *parents, last = place.split("/")
        for parent in parents:
            below = below[parent]
        if place:
            below[last] = value
        Path("r.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return read_recipe("r.yaml")

    return change


def options(job):
    return dict(zip(job.words[::2], job.words[1::2], strict=True))


def test_a_variant_is_a_stage_with_its_own_seeds_and_settings(read):
    jobs = plan(read(), Path("out"))
    assert [key[:2] for key in jobs] == [
        ("towers", 5),
        *(("probe/few", seed) for seed in range(4)),
        *(("probe/all", seed) for seed in range(3)),
    ]
    few, whole = options(jobs["probe/few", 3, None]), options(jobs["probe/all", 2, None])
    assert few["--run_dir"] == "out/probe/few/seed_3"
    assert few["--data.init_args.label_fraction"] == "0.1"
    assert (few["--data.init_args.target"], whole["--data.init_args.target"]) == ("density", "birads")
    assert "--data.init_args.label_fraction" not in whole


def test_the_seed_is_the_value_of_further_options(read):
    jobs = plan(read(), Path("out"))
    assert [options(jobs["probe/few", seed, None])["--data.init_args.fraction_seed"] for seed in (0, 3)] == ["0", "3"]


def test_weights_are_the_best_of_the_same_seed_or_of_the_only_one(read):
    for seeds, source in (([5], 5), ([0, 1, 2, 3], 3)):
        jobs = plan(read("stages/towers/seeds", seeds), Path("out"))
        job = jobs["probe/few", 3, None]
        assert options(job)["--model.init_args.weights"] == f"out/towers/seed_{source}/checkpoints/best.ckpt"
        assert job.after == (("towers", source, None),)


def test_of_several_seeds_none_is_guessed(read):
    with pytest.raises(ConfigurationError, match=r"probe/few with seed 2 starts from towers, .* seeds 0, 1: give"):
        plan(read("stages/towers/seeds", [0, 1]), Path("out"))


def test_what_trainings_share_lies_in_the_recipes_folder_wherever_that_is(read):
    here, there = (plan(read(), Path(out))["probe/few", 0, None] for out in ("out", "elsewhere"))
    assert options(there)["--model.init_args.cache_dir"] == "elsewhere/features"
    assert here.fingerprint == there.fingerprint


def test_other_weights_are_another_training(read):
    job = plan(read(), Path("out"))["probe/few", 0, None]
    write_record(job, "finished")
    job.predictions.write_text("")
    assert state_of(job) == "finished"
    Path("towers.yaml").write_text("# other\n")
    other = plan(read(), Path("out"))["probe/few", 0, None]
    assert state_of(other) == "changed"
    assert what_changed(other) == "what it starts from changed"
    towers = plan(read(), Path("out"))["towers", 5, None]
    write_record(towers, "finished")
    tested = plan(read("stages/towers/test", True), Path("out"))["towers", 5, None]
    assert (state_of(tested), what_changed(tested)) == ("changed", "test: False -> True")


def test_a_stage_without_a_test_is_finished_with_its_training(read):
    job = plan(read(), Path("out"))["towers", 5, None]
    assert options(job)["--test_after_fit"] == "false"
    write_record(job, "started")
    (job.folder / "checkpoints").mkdir()
    (job.folder / "checkpoints" / "best.ckpt").write_text("")
    torch.save({"callbacks": {}}, job.folder / "checkpoints" / "last.ckpt")
    (job.folder / "config.yaml").write_text("")
    (job.folder / "manifest.json").write_text(json.dumps({"stages": {"fit": {"status": "started"}}}))
    assert state_of(job) == "interrupted"
    (job.folder / "manifest.json").write_text(json.dumps({"stages": {"fit": {"status": "finished"}}}))
    assert state_of(job) == "finished"


def test_a_stage_may_ask_for_the_whole_machine_and_is_no_other_training_for_it(read):
    asked, not_asked = (plan(read("stages/towers/alone", alone), Path("out")) for alone in (True, False))
    assert [job.stage for job in asked.values() if job.alone] == ["towers"]
    assert not any(job.alone for job in not_asked.values())
    assert [job.fingerprint for job in asked.values()] == [job.fingerprint for job in not_asked.values()]


def test_rows_are_those_of_stages_that_are_tested(read):
    assert read().compare == {"probe/few": ("probe/few",), "probe/all": ("probe/all",)}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("stages/probe/weights_from", {"x": "towrs"}, "weights_from.x: no stage 'towrs'; did you mean 'towers'?"),
        (
            "stages/probe/weights_from",
            {"model.init_from": "towers"},
            "comes from 'init_from' of a stage; remove it here",
        ),
        ("stages/probe/weights_from", ["towers"], "expected a stage by dotted option"),
        (
            "stages/probe/weights_from",
            {"data.init_args.fraction_seed": "towers"},
            "fraction_seed is given in two of set",
        ),
        ("stages/probe/seed_also", ["data.init_args.target"], "data.init_args.target is given in two of set"),
        ("stages/towers/weights_from", {"x": "probe/few"}, "in a circle: probe/few from towers from probe/few"),
        ("stages/probe/variants", {}, "expected variants by name"),
        ("stages/probe/variants", {"a b": {}}, "expected a name of letters"),
        ("stages/probe/variants", {"few": {"configs": []}}, "variants.few.configs: unknown key; known: set, seeds"),
        ("stages/probe/variants", {"few": {"seeds": [1, 1]}}, "expected different whole numbers from 0 on"),
        ("stages/towers/test", "no", "expected true or false, got 'no'"),
        ("stages/towers/alone", 4, "expected true or false, got 4"),
        ("compare", {"row": "towers"}, "stage 'towers' is not tested (test: false): it has no row"),
        ("compare", {"row": "probe"}, "compare.row: no stage 'probe'; did you mean 'probe/"),
        ("protocol", {}, "expected a list of blocks, each with set, target and rows"),
        ("protocol", [{"set": "EMBED", "rows": {}}], "no 'target' is given"),
        (
            "protocol",
            [{"set": "E", "target": "t", "rows": {"r": {"stage": "towers"}}}],
            "no stage 'towers' that is tested",
        ),
        ("protocol", [{"set": "E", "target": "t", "rows": {"r": {"stge": "x"}}}], "unknown key; did you mean 'stage'?"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_with_its_file(read, place, value, said):
    with pytest.raises(ConfigurationError) as error:
        read(place, value)
    assert said in str(error.value)
    assert str(error.value).startswith("r.yaml")
    assert "\n" not in str(error.value)


# What the command line changes.


def adapted(recipe, *, seeds=(), configs=(), settings=()):
    return changed(recipe, seeds=seeds, configs=configs, settings=settings)


def test_options_for_some_stages_reach_no_others(read):
    recipe = adapted(
        read(), configs=["probe:more.yaml"], settings=["prob*:trainer.max_epochs=2", "probe/few:a.b={x: 1}"]
    )
    few, whole, towers = (recipe.stages[name] for name in ("probe/few", "probe/all", "towers"))
    assert few.configs == whole.configs == ("probe.yaml", "more.yaml")
    assert (few.settings["trainer.max_epochs"], few.settings["a.b"]) == (2, {"x": 1})
    assert "a.b" not in whole.settings
    assert (towers.configs, dict(towers.settings)) == (("towers.yaml",), {})


def test_options_for_all_stages_go_before_a_stages_own(read):
    recipe = adapted(read(), configs=["more.yaml"], settings=["data.init_args.target=cancer", "a.b=x:y"])
    assert recipe.configs_after == ("more.yaml",)
    assert {options(job)["--data.init_args.target"] for job in plan(recipe, Path("out")).values()} == {"cancer"}
    assert recipe.settings["a.b"] == "x:y"  # a colon in a value names no stage


@pytest.mark.parametrize(("seeds", "few", "towers"), [([0], (0,), (5,)), ([3, 2], (2, 3), (5,)), ([9], (0,), (5,))])
def test_seeds_of_a_stage_are_those_asked_for_or_its_first(read, seeds, few, towers):
    recipe = adapted(read(), seeds=seeds)
    assert (recipe.seeds_of("probe/few"), recipe.seeds_of("towers")) == (few, towers)
    assert recipe.seeds_of("probe/all") == tuple(seeds)


def test_a_pattern_of_no_stage_is_told_with_the_nearest(read):
    with pytest.raises(ConfigurationError, match=r"--set prode:a.b=1: no stage 'prode'; did you mean 'probe'\?"):
        adapted(read(), settings=["prode:a.b=1"])


def test_an_option_that_the_recipe_fills_in_is_refused(read):
    recipe = adapted(read(), settings=["data.init_args.fraction_seed=3"])
    with pytest.raises(ConfigurationError, match=r"fraction_seed comes from weights_from or seed_also"):
        plan(recipe, Path("out"))


def test_folds_leave_a_protocol_without_meaning(read):
    block = {"set": "EMBED", "target": "density", "rows": {"probe": {"stage": "probe"}}}
    assert [line.stages for line in read("protocol", [block]).protocol[0].lines] == [("probe/few", "probe/all")]
    Path("r.yaml").write_text(yaml.safe_dump({**VALID, "protocol": [block], "num_folds": 3}))
    with pytest.raises(ConfigurationError, match=r"set num_folds to null"):
        read_recipe("r.yaml")


@pytest.mark.parametrize(
    ("steps", "most", "told"),
    [
        (Steps(each_epoch=10, epochs=4), 40, "10 steps an epoch x 4 epochs = 40 steps"),
        (Steps(each_epoch=10, epochs=4, limit=30), 30, "30 steps"),
        (Steps(each_epoch=10, epochs=4, limit=99), 40, "10 steps an epoch x 4 epochs = 40 steps"),
        (Steps(each_epoch=None, epochs=None, limit=7, problem="no bound"), 7, "7 steps"),
        (Steps(each_epoch=None, epochs=None, problem="no bound"), None, "steps unknown, no bound"),
    ],
)
def test_steps_are_bounded_by_epochs_and_by_the_trainers_limit(steps, most, told):
    assert (steps.most, steps.told) == (most, told)


def test_fingerprints_of_plain_stages_are_what_they_were(read):
    """A recipe without any of this leaves no trace of it in what a training is known by."""
    stage = read().stages["towers"]
    recipe = replace(read(), stages={"towers": replace(stage, test=True)})
    assert set(plan(recipe, Path("out"))["towers", 5, None].inputs) == {
        *("configs", "set", "seed", "num_folds", "fold", "init_from")
    }
