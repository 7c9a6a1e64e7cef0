"""Recipe files: what they say, and how what cannot be is told."""

from pathlib import Path

import pytest
import yaml

from medlit.errors import ConfigurationError
from medlit.recipes.recipe import parse_option, read_recipe

VALID = {
    "name": "small",
    "seeds": [0, 1],
    "stages": {
        "ei": {"configs": ["ei.yaml"], "init_from": {"clinic": "clinic", "derm": "derm"}},
        "clinic": {"configs": ["a.yaml"]},
        "derm": {"configs": ["a.yaml", "b.yaml"], "set": {"trainer.max_epochs": 3}},
    },
}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the valid recipe, changed at one dotted place, and give its name."""
    monkeypatch.chdir(tmp_path)

    def change(place: str = "", value: object = None) -> str:
        content = yaml.safe_load(yaml.safe_dump(VALID))
        if place:
            *parents, last = place.split("/")
            below = content
            for parent in parents:
                below = below[parent]
            below[last] = value
        Path("r.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return "r.yaml"

    return change


def test_stages_follow_what_they_start_from(write):
    recipe = read_recipe(write())
    assert list(recipe.stages) == ["clinic", "derm", "ei"]
    assert recipe.stages["derm"].configs == ("a.yaml", "b.yaml")
    assert recipe.stages["derm"].settings == {"trainer.max_epochs": 3}
    assert recipe.seeds == (0, 1)
    assert (recipe.num_folds, recipe.published) == (None, None)


def test_without_compare_every_stage_is_a_row(write):
    assert read_recipe(write()).compare == {"clinic": ("clinic",), "derm": ("derm",), "ei": ("ei",)}


def test_a_row_may_be_the_mean_of_stages(write):
    recipe = read_recipe(write("compare", {"both": ["clinic", "derm"], "EI": "ei"}))
    assert recipe.compare == {"both": ("clinic", "derm"), "EI": ("ei",)}


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("seed", [0], "r.yaml:21: seed: unknown key; did you mean 'seeds'?"),
        ("stages/derm/config", ["x"], "stages.derm.config: unknown key; did you mean 'configs'?"),
        ("stages/ei/init_from/derm", "drem", "stages.ei.init_from.derm: no stage 'drem'; did you mean 'derm'?"),
        ("stages/derm/init_from", {"clinic": "ei"}, "start from each other in a circle: derm from ei from derm"),
        ("stages/derm/init_from", {"derm": "derm"}, "start from each other in a circle: derm from derm"),
        ("stages/derm/configs", [], "stages.derm: no 'configs' is given"),
        ("stages/derm/configs", "a.yaml", "stages.derm.configs: expected a list"),
        ("stages/a b", {"configs": ["a.yaml"]}, "expected a name of letters"),
        ("stages/..", {"configs": ["a.yaml"]}, "expected a name of letters"),
        ("name", "../up", "r.yaml:1: name: expected a name of letters"),
        ("stages", [], "no 'stages' is given; a recipe needs it"),
        ("seeds", [0, 0], "expected different whole numbers from 0 on"),
        ("seeds", [-1], "expected different whole numbers from 0 on"),
        ("seeds", [True], "expected different whole numbers from 0 on"),
        ("num_folds", 2, "expected null or a whole number from 3 to 1000, got 2"),
        ("set", {"run_dir": "x"}, "set.run_dir: comes from the option --out; remove it here"),
        ("set", {"data.init_args.fold": 1}, "comes from 'num_folds'"),
        ("set", {"data.fold": 1}, "set.data.fold: comes from 'num_folds'"),
        ("set", {"data.init_args": {"num_folds": 4}}, "set.data.init_args: comes from 'num_folds'"),
        ("set", {"model": {"init_from": {}}}, "expected a dotted key"),
        ("set", {"trainer": {"max_epochs": 1}}, "expected a dotted key"),
        ("compare", {"row": "dern"}, "compare.row: no stage 'dern'; did you mean 'derm'?"),
        ("compare", {"row": []}, "expected a stage or a list of stages"),
        ("configs_after", "x.yaml", "configs_after: expected a list"),
        ("published", 3, "published: expected a text or null"),
    ],
)
def test_what_cannot_be_is_told_in_one_line_with_its_place(write, place, value, said):
    with pytest.raises(ConfigurationError) as error:
        read_recipe(write(place, value))
    assert said in str(error.value)
    assert str(error.value).startswith("r.yaml")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_with_the_nearest(write):
    write()
    with pytest.raises(ConfigurationError, match=r"r.yml does not exist .* did you mean r.yaml\?"):
        read_recipe("r.yml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b=3", ("a.b", 3)),
        ("a.b=data/x=y", ("a.b", "data/x=y")),
        ("a.b=null", ("a.b", None)),
        ("a.b=[1, 2]", ("a.b", [1, 2])),
        ("a.b={x", ("a.b", "{x")),
        ("a.b=2020-01-01", ("a.b", "2020-01-01")),
    ],
)
def test_options_mean_what_they_would_in_the_file(text, expected):
    assert parse_option(text) == expected


@pytest.mark.parametrize("text", ["a.b", "=3", "seed_everything=3", "data.fold=1", "data={init_args: {fold: 1}}"])
def test_options_that_are_none_are_refused(text):
    with pytest.raises(ConfigurationError, match="--set"):
        parse_option(text)
