"""A configuration names classes of known packages; code of others is not even imported, unless the user allows it."""

import sys
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from data_modules.synthetic import derm7pt
from medlit import code_paths
from medlit.errors import ConfigurationError
from medlit.lightning_cli import main
from medlit.recipes.recipe import read_recipe
from tests.medlit.command_line import tiny

MODULE = "code_of_another_package"
VALID = {
    "model": {
        "class_path": "medlit.tasks.UnimodalTask",
        "init_args": {
            "model": {
                "class_path": "medlit.models.UnimodalClassifier",
                "init_args": {"backbone": "vit_tiny_patch16_224", "pretrained": False},
            },
            "optimizer": {"class_path": "torch.optim.AdamW"},
        },
    },
    "data": {
        "class_path": "data_modules.skin.Derm7ptDataModule",
        "init_args": {"root": "nowhere", "modalities": ["derm"]},
    },
}
LAMBDA = "lightning.pytorch.callbacks.LambdaCallback"


@pytest.fixture
def trap(tmp_path, monkeypatch):
    """A file that appears as soon as the module of another package is imported."""
    trap = tmp_path / "imported"
    (tmp_path / f"{MODULE}.py").write_text(
        "from pathlib import Path\n"
        "from lightning import Callback, LightningModule\n"
        f"Path({str(trap)!r}).touch()\n"
        "class Task(LightningModule): pass\n"
        "class Mine(Callback): pass\n"
        "def make(path: str = '') -> Callback: return Mine()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield trap
    sys.modules.pop(MODULE, None)


def complaint(*words):
    with pytest.raises(ConfigurationError) as told:
        main(list(words))
    message = str(told.value)
    assert "\n" not in message
    return message


def written(tmp_path, settings, name="x.yaml"):
    (tmp_path / name).write_text(yaml.safe_dump(settings))
    return name


def with_callback(callback):
    return {**VALID, "trainer": {"callbacks": [callback]}}


def with_setup(setup):
    """A callback that takes any callable."""
    return with_callback({"class_path": LAMBDA, "init_args": {"setup": setup}})


def with_init_arg(name, value):
    model = VALID["model"]
    return {**VALID, "model": {**model, "init_args": {**model["init_args"], name: value}}}


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({**VALID, "model": {"class_path": f"{MODULE}.Task"}}, "model.class_path"),
        ({**VALID, "model": f"{MODULE}.Task"}, "model"),
        ({**VALID, "data": {"class_path": f"{MODULE}.Data"}}, "data.class_path"),
        (with_init_arg("model", {"class_path": f"{MODULE}.Network"}), "model.init_args.model.class_path"),
        (with_init_arg("optimizer", {"class_path": f"{MODULE}.SGD"}), "model.init_args.optimizer.class_path"),
        (with_init_arg("optimizer", f"{MODULE}.SGD"), "model.init_args.optimizer"),
        (with_init_arg("scheduler", f"{MODULE}.Steps"), "model.init_args.scheduler"),
        (with_callback({"class_path": f"{MODULE}.Mine"}), "trainer.callbacks.0.class_path"),
        (with_callback(f"{MODULE}.Mine"), "trainer.callbacks.0"),
        (with_callback({"class_path": f"{MODULE}.make"}), "trainer.callbacks.0.class_path"),
        (with_setup(f"{MODULE}.make"), "trainer.callbacks.0.init_args.setup"),
        ({**VALID, "trainer": {"logger": {"class_path": f"{MODULE}.Log"}}}, "trainer.logger.class_path"),
        ({**VALID, "trainer": {"plugins": [f"{MODULE}.Plugin"]}}, "trainer.plugins.0"),
    ],
)
def test_code_of_another_package_is_refused_before_it_is_imported(trap, tmp_path, settings, key):
    message = complaint("fit", "--config", written(tmp_path, settings))
    assert message.startswith("x.yaml:")
    assert f": {key}: '{MODULE}." in message
    assert "--allow-code true" in message
    assert not trap.exists()


@pytest.mark.parametrize("verb", ["fit", "validate", "test", "predict"])
def test_every_verb_refuses_it(trap, tmp_path, verb):
    settings = with_callback({"class_path": f"{MODULE}.Mine"})
    assert "--allow-code true" in complaint(verb, "--config", written(tmp_path, settings))
    assert not trap.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["--model", f"{MODULE}.Task"],
        ["--model.class_path", f"{MODULE}.Task"],
        [f"--model={MODULE}.Task"],
        ["--model.help", f"{MODULE}.Task"],
        [f"--trainer.callbacks+={MODULE}.Mine"],
        ["--trainer.callbacks", f"[{{class_path: {MODULE}.Mine}}]"],
        ["--trainer.callbacks", f"{{class_path: {MODULE}.make, init_args: {{path: a}}}}"],
        ["--trainer.logger", f"{MODULE}.Log"],
        ["--model.init_args.optimizer", f"{MODULE}.SGD"],
        ["--allow-code", "false", "--model", f"{MODULE}.Task"],
        ["--allow-code", "true", "--allow-code", "false", "--model", f"{MODULE}.Task"],
    ],
)
def test_nor_do_options_name_it(trap, tmp_path, words):
    message = complaint("fit", "--config", written(tmp_path, VALID), *words)
    assert f"'{MODULE}." in message
    assert "--allow-code true" in message
    assert not trap.exists()


def test_nor_do_environment_variables(trap, tmp_path, monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEFAULT_ENV", "true")
    monkeypatch.setenv("MEDLIT_FIT__MODEL", f"{MODULE}.Task")
    complaint("fit", "--config", written(tmp_path, {"data": VALID["data"]}))
    assert not trap.exists()


def test_an_overlay_is_read_as_strictly_as_its_base(trap, tmp_path):
    base = written(tmp_path, VALID)
    over = written(tmp_path, {"model": {"class_path": f"{MODULE}.Task"}}, name="over.yaml")
    assert complaint("fit", "--config", base, "--config", over).startswith("over.yaml:2: model.class_path: ")
    assert not trap.exists()


def test_a_file_that_a_setting_names_is_read_as_strictly(trap, tmp_path):
    written(tmp_path, {"class_path": f"{MODULE}.Task"}, name="task.yaml")
    message = complaint("fit", "--config", written(tmp_path, {**VALID, "model": "task.yaml"}))
    assert message.startswith("x.yaml:")
    assert f"model: '{MODULE}.Task' belongs to none of medlit, " in message
    assert not trap.exists()


def test_a_configuration_names_no_other(trap, tmp_path):
    written(tmp_path, {"model": {"class_path": f"{MODULE}.Task"}}, name="other.yaml")
    message = complaint("fit", "--config", written(tmp_path, {**VALID, "config": "other.yaml"}))
    assert message == "x.yaml:1: a configuration names no other; give each by --config"


@pytest.mark.parametrize("address", ["https://127.0.0.1:9/x.yaml", "memory://x.yaml", "file:///x.yaml"])
def test_no_configuration_comes_from_an_address(tmp_path, monkeypatch, address):
    monkeypatch.chdir(tmp_path)
    assert "does not exist" in complaint("fit", "--config", address)
    assert f"got '{address}'" in complaint("fit", "--config", written(tmp_path, {**VALID, "model": address}))


@pytest.mark.parametrize(
    "setup",
    [
        "torch.load",
        {"class_path": "torch.load", "init_args": {"f": "x"}},
        {"class_path": "torch.hub.load", "init_args": {"repo_or_dir": "x", "model": "y"}},
        {"class_path": "torch.utils.cpp_extension.load_inline", "init_args": {"name": "x", "cpp_sources": "y"}},
        {"class_path": "torch.nn.functional.relu", "init_args": {"input": 1}},  # a function, though harmless
        "torch.os.system",
        {"class_path": "timm.models._hub.os.system", "init_args": {"command": "touch x"}},
        "transformers.AutoModel.from_pretrained",
        {"class_path": "medlit.callbacks.manifest.subprocess.Popen", "init_args": {"args": "touch x"}},
        "torch.distributed.elastic.multiprocessing.subprocess_handler.SubprocessHandler",
        "torch.package.PackageImporter",
        "medlit.lightning_cli.MedlitCLI",
        "builtins.exec",
    ],
)
def test_what_runs_programs_is_refused_in_known_packages_too(tmp_path, monkeypatch, setup):
    monkeypatch.chdir(tmp_path)
    message = complaint("fit", "--config", written(tmp_path, with_setup(setup)))
    assert message.startswith("x.yaml:")
    assert "trainer.callbacks.0.init_args.setup" in message


@pytest.mark.parametrize("value", [True, "true", 1])
@pytest.mark.parametrize("key", ["allow_code", "allow-code"])
def test_a_file_cannot_allow_code(trap, tmp_path, key, value):
    settings = {key: value, **VALID, "model": {"class_path": f"{MODULE}.Task"}}
    message = complaint("fit", "--config", written(tmp_path, settings))
    assert message == f"x.yaml:1: '{key}' cannot stand in a file: remove it, and type --allow-code true"
    assert not trap.exists()


def test_code_beside_weights_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    adapter = {
        "class_path": "peft.PromptTuningConfig",
        "init_args": {"num_virtual_tokens": 1, "tokenizer_kwargs": {"trust_remote_code": True}},
    }
    words = ["fit", "--config", written(tmp_path, with_callback(adapter))]
    assert "code that lies beside weights is never run; remove it" in complaint(*words)
    assert "code that lies beside weights is never run; remove it" in complaint(*words, "--allow-code", "true")
    network = {
        "class_path": "medlit.models.UnimodalClassifier",
        "init_args": {"model_args": {"trust_remote_code": True}},
    }
    words = ["fit", "--config", written(tmp_path, VALID), "--model.init_args.model", yaml.safe_dump(network)]
    assert complaint(*words) == "trust_remote_code: code that lies beside weights is never run; remove it"


@pytest.mark.parametrize("value", ["false", "null", "0"])
def test_checkpoints_are_never_unpickled(tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    said = "'weights_only': checkpoints are read as tensors and plain types alone; remove it"
    config = written(tmp_path, {**VALID, "weights_only": yaml.safe_load(value)})
    assert complaint("test", "--config", config).endswith(said)
    assert complaint("fit", "--config", written(tmp_path, VALID), "--weights_only", value).endswith(said)


def test_a_class_path_in_a_free_mapping_makes_no_object():
    with code_paths.known_code_alone(unless=False):
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--arguments", type=dict[str, Any])
        read = parser.parse_object({"arguments": {"act_layer": {"class_path": "torch.nn.GELU"}}})
        made = parser.instantiate_classes(read)
    assert not isinstance(made.arguments["act_layer"], torch.nn.Module)


def parsed(*words):
    """Only parse, which imports."""
    with pytest.raises(SystemExit) as stop:
        main([*words, "--print_config"])
    assert stop.value.code == 0


@pytest.mark.parametrize("given", [["--allow-code", "true"], ["--allow-code"], ["--allow-code=true"]])
def test_what_the_user_allows_is_imported(trap, tmp_path, given):
    parsed("fit", "--config", written(tmp_path, with_callback({"class_path": f"{MODULE}.make"})), *given)
    assert trap.exists()


def test_the_permission_ends_with_the_command(trap, tmp_path):
    words = ["fit", "--config", written(tmp_path, with_callback({"class_path": f"{MODULE}.Mine"}))]
    parsed(*words, "--allow-code", "true")
    trap.unlink()
    sys.modules.pop(MODULE)
    assert "--allow-code true" in complaint(*words)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"set": {"allow_code": True}}, "comes from the option --allow-code"),
        ({"set": {"allow-code": True}}, "comes from the option --allow-code"),
        ({"set": {"allow-code=true": 1}}, "expected a dotted key"),
        ({"set": {"trainer.max_epochs": "--allow-code=true"}}, "no value begins with --"),
        ({"seed_also": ["allow-code=true"]}, "expected a dotted option"),
        ({"seed_also": ["allow-code"]}, "expected a dotted option"),
    ],
)
def test_a_recipe_cannot_allow_code(tmp_path, part, expected):
    recipe = {"name": "a", "seeds": [0], "stages": {"one": {"configs": ["x.yaml"], **part}}}
    with pytest.raises(ConfigurationError, match=r"recipe\.yaml:\d+: ") as told:
        read_recipe(tmp_path / written(tmp_path, recipe, name="recipe.yaml"))
    assert expected in str(told.value)


@pytest.mark.slow
def test_a_run_with_code_of_ones_own_keeps_no_permission(trap, tmp_path):
    derm7pt.write(tmp_path / "data", cases=30, seed=0, img_size=32)
    (tmp_path / "own.yaml").write_text(f"trainer:\n  callbacks:\n  - class_path: {MODULE}.Mine\n")
    words = tiny(tmp_path / "data", tmp_path / "run", experiment="unimodal_derm7pt_derm")
    words = [*map(str, words), "--config", "own.yaml", "--trainer.max_epochs", "1", "--test_after_fit", "false"]
    main(["fit", *words, "--allow-code", "true"])
    kept = (tmp_path / "run/config.yaml").read_text()
    assert f"{MODULE}.Mine" in kept
    assert "allow_code" not in kept
    assert "allow-code" not in kept
    sys.modules.pop(MODULE)
    trap.unlink()
    again = ["test", "--config", str(tmp_path / "run/config.yaml")]
    assert f"'{MODULE}.Mine' belongs to none of medlit, " in complaint(*again)
    assert not trap.exists()
    main([*again, "--allow-code", "true"])
    assert trap.exists()
