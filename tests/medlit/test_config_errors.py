"""A mistake in a configuration ends in one line with the place, the key and the nearest valid one."""

import argparse
import contextlib
import copy

import pytest
import yaml

from medlit.config_errors import explain
from medlit.errors import ConfigurationError
from medlit.lightning_cli import MedlitCLI, main

HERE = "tests.medlit.stand_ins"
VALID = {
    "model": {
        "class_path": f"{HERE}.Task",
        "init_args": {
            "model": {
                "class_path": f"{HERE}.Network",
                "init_args": {
                    "width": 4,
                    "adapter": {"class_path": f"{HERE}.Adapter", "init_args": {"ranks": [2, 4]}},
                },
            },
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.1}},
            "prior": {"clinic": 1, "derm": 0.001},
        },
    },
    "data": {"class_path": f"{HERE}.Data", "init_args": {"batch_size": 4}},
    "trainer": {"max_epochs": 3},
}
NETWORK = "model.init_args.model.init_args"
STOPPING = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": "a", "monitr": "b"}}


@pytest.fixture
def config(tmp_path):
    """Write the valid configuration, changed at one dotted key, and give its name."""

    def write(key=None, value=None):
        settings = copy.deepcopy(VALID)
        if key:
            *above, last = key.split(".")
            place = settings
            for name in above:
                place = place[name]
            place[last] = value
        (tmp_path / "x.yaml").write_text(yaml.safe_dump(settings))
        return "x.yaml"

    with contextlib.chdir(tmp_path):
        yield write


def line_of(text, file="x.yaml"):
    with open(file) as lines:
        return next(number for number, line in enumerate(lines, 1) if text in line)


def complaint(*args):
    with pytest.raises(ConfigurationError) as told:
        main(["fit", "--allow-code", "true", *args])  # the stand-ins are code of the tests
    message = str(told.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("trainr", {"a": 1}, "unknown key 'trainr'; did you mean 'trainer'?"),
        ("trainer.max_epoch", 2, "unknown key 'trainer.max_epoch'; did you mean 'max_epochs'?"),
        ("trainer.max_epochs", "abc", "trainer.max_epochs: expected int or null, got 'abc'"),
        (
            "trainer.callbacks",
            [STOPPING],
            "unknown key 'trainer.callbacks.0.init_args.monitr'; did you mean 'monitor'?",
        ),
        ("model.init_args.priorr", 1, "unknown key 'model.init_args.priorr'; did you mean 'prior'?"),
        (f"{NETWORK}.widht", 9, f"unknown key '{NETWORK}.widht'; did you mean 'width'?"),
        (f"{NETWORK}.width", "wide", f"{NETWORK}.width: expected int, got 'wide'"),
        (f"{NETWORK}.adapter.init_args.rank", 1, f"'{NETWORK}.adapter.init_args.rank'; did you mean 'ranks'?"),
        (
            f"{NETWORK}.adapter.class_path",
            f"{HERE}.Network",
            f"{NETWORK}.adapter.class_path: {HERE}.Network is no subclass of Adapter",
        ),
        (
            "model.init_args.model.class_path",
            f"{HERE}.Netwrk",
            f"model.init_args.model.class_path: no class '{HERE}.Netwrk'; did you mean '{HERE}.Network'?",
        ),
        ("model.class_path", "nowhere.Task", "model.class_path: cannot import 'nowhere.Task': No module named"),
        ("model.init_args.optimizer.init_args.lrr", 1, "init_args.lrr'; did you mean 'lr'?"),
        ("model.init_args.optimizer.class_path", "torch.optim.Adamm", "did you mean 'torch.optim.Adam'?"),
        ("data.init_args.batchsize", 1, "unknown key 'data.init_args.batchsize'; did you mean 'batch_size'?"),
        ("data.init_args.target", "diag", "data.init_args.target: expected 'diagnosis' or 'diagnosis_20', got 'diag'"),
        ("data.init_args.group", {"par": "a"}, "unknown key 'data.init_args.group.par'; did you mean 'pair'?"),
        ("data.init_args.group", {"count": "a"}, "data.init_args.group"),
        ("data.batch_size", 1, "unknown key 'data.batch_size'; did you mean 'init_args.batch_size'?"),
        ("data.dict_kwargs", {"a": 1}, "'data.dict_kwargs' would not be checked; write its keys below init_args"),
        ("model.init_args.num_classes", 7, "'model.init_args.num_classes' is taken from data.num_classes; remove it"),
        ("data.init_args.seed", 7, "'data.init_args.seed' is taken from seed_everything; remove it"),
        ("trainer.default_root_dir", "x", "'trainer.default_root_dir' is taken from run_dir; remove it"),
        (f"{NETWORK}.adapter.init_args", {}, f"{HERE}.Adapter needs 'ranks'; add it below init_args"),
    ],
)
def test_a_mistake_in_a_file_is_named_with_its_place(config, key, value, expected):
    message = complaint("--config", config(key, value))
    assert message.startswith("x.yaml:")
    assert expected in message


def test_the_line_is_the_line_of_the_key(config):
    message = complaint("--config", config(f"{NETWORK}.widht", 9))
    assert message.startswith(f"x.yaml:{line_of('widht')}: ")


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("--trainer.max_epoch=3", "--trainer.max_epoch: unknown option; did you mean 'max_epochs'?"),
        ("--trainer.max_epochs=x", "--trainer.max_epochs: expected int or null, got 'x'"),
        ("--model.init_args.model.init_args.widht=3", "widht: unknown option; did you mean 'width'?"),
        ("--model.model.widht=3", "--model.model.widht: unknown option; did you mean 'width'?"),
        ("--data.group.par=a", "--data.group.par: unknown option; did you mean 'pair'?"),
        ("--data.batchsize=3", "--data.batchsize: unknown option; did you mean 'batch_size'?"),
        ("--data.batch_size=x", "--data.batch_size: expected int, got 'x'"),
        ("--model.num_classes=3", "'model.init_args.num_classes' is taken from data.num_classes"),
        ("--seed_everything=3.5", "--seed_everything: expected int, got '3.5'"),
        ("--overwritte=true", "--overwritte: unknown option; did you mean 'overwrite'?"),
        ("more.yaml", "unexpected 'more.yaml'; did you mean --config more.yaml?"),
    ],
)
def test_a_mistake_in_an_option_is_named(config, option, expected):
    assert expected in complaint("--config", config(), option)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1\nb: 2\n", "x.yaml:2: not valid YAML: "),
        ("trainer:\n  max_epochs: 1\n  max_epochs: 2\n", "x.yaml:3: key 'trainer.max_epochs' is there twice"),
        ("", "x.yaml: holds no settings"),
        ("trainer", "x.yaml: holds no settings"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(config, text, expected):
    with open(config(), "w") as file:
        file.write(text)
    assert expected in complaint("--config", "x.yaml")


def test_a_missing_file_is_named_with_its_neighbour(config):
    config()
    assert "xx.yaml does not exist" in complaint("--config", "xx.yaml")
    assert "did you mean x.yaml?" in complaint("--config", "xx.yaml")


def test_no_configuration_at_all_says_what_to_give():
    assert complaint() == "no 'model' is configured; name a configuration: --config experiments/ei_derm7pt.yaml"
    assert "--config needs a file" in complaint("--config")


def test_an_overlay_is_judged_with_the_classes_of_its_base(config, tmp_path):
    (tmp_path / "overlay.yaml").write_text("model: {init_args: {model: {init_args: {widht: 9}}}}\n")
    message = complaint("--config", config(), "--config", "overlay.yaml")
    assert message == f"overlay.yaml:1: unknown key '{NETWORK}.widht'; did you mean 'width'?"


def test_what_nobody_can_place_is_said_in_one_short_line():
    error = argparse.ArgumentError(None, "something\nlong " + "x" * 1000)
    message = str(explain(error, [], ["trainer.max_epochs"]))
    assert message.startswith("something long")
    assert len(message) <= 300
    assert "\n" not in message


class Parsed(MedlitCLI):
    """Parses and does nothing more."""

    def instantiate_classes(self):
        self.subcommand = None


def test_overlays_add_to_the_base_and_free_dictionaries_take_any_key(config, tmp_path):
    (tmp_path / "overlay.yaml").write_text("model: {init_args: {prior: {any: 3}, model: {init_args: {width: 9}}}}\n")
    options = Parsed(["fit", "--config", config(), "--config", "overlay.yaml", "--data.root=there"]).options
    assert options.model.init_args.model.init_args.width == 9
    assert options.model.init_args.model.init_args.adapter.init_args.ranks == [2, 4]
    assert options.model.init_args.prior["any"] == 3
    assert options.data.init_args.root == "there"


def test_run_folder_and_seed_reach_trainer_and_data(config):
    options = Parsed(["fit", "--config", config(), "--seed_everything", "5"]).options
    assert options.run_dir == options.trainer.default_root_dir == "runs/x"
    assert options.data.init_args.seed == 5
    assert not options.trainer.use_distributed_sampler
