"""A file that runs a program when it is read carelessly runs none, whatever command reads it; one line is said."""

import pickle
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
import yaml

from data_modules.synthetic import derm7pt
from medlit.cli import main
from medlit.commands.demo import run_medlit
from medlit.models.weights import read_file
from medlit.probe.cache import FeatureCache
from medlit.run_folder import CONFIG
from tests.data_modules.knee.trees import make_mrnet
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.trees import make_table
from tests.medlit.booby_traps import CHECKPOINTS, Trap, archive, array_of_objects, bare_pickle, sealed
from tests.medlit.command_line import EXPERIMENTS, TINY, tiny

VERBS = ("fit", "validate", "test", "predict")
APPLY = "!!python/object/apply:os.mkdir"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("traps") / "derm7pt"
    derm7pt.write(root, cases=30, seed=0, img_size=32)
    return root


@pytest.fixture(autouse=True)
def as_it_was():
    """The command line takes over signals and warnings of its process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)}
    show = warnings.showwarning
    yield
    warnings.showwarning = show
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def trap(tmp_path):
    return Trap(tmp_path / "sprung")


@pytest.fixture
def refused(trap, capsys):
    """Carry out a command line that has to end in one line; gives the line."""

    def run(*words):
        code = main([str(word) for word in words])
        said = capsys.readouterr().err
        assert not trap.sprung.exists()
        assert (code, said.count("\n")) == (2, 1), said
        assert said.startswith("medlit: error: ")
        return said

    return run


@pytest.mark.parametrize("write", CHECKPOINTS)
def test_the_trap_works_where_a_file_is_read_carelessly(trap, tmp_path, write):
    write(tmp_path / "x.ckpt", trap)
    with open(tmp_path / "x.ckpt", "rb") as file:
        pickle.load(file) if write is bare_pickle else torch.load(file, weights_only=False)
    assert trap.sprung.is_dir()


def test_the_trap_of_an_array_works_where_it_is_read_carelessly(trap, tmp_path):
    array_of_objects(tmp_path / "x.npy", trap)
    np.load(tmp_path / "x.npy", allow_pickle=True)
    assert trap.sprung.is_dir()


def test_the_trap_of_a_yaml_works_where_it_is_read_carelessly(trap):
    yaml.unsafe_load(f'a: {APPLY} ["{trap.sprung}"]')
    assert trap.sprung.is_dir()


@pytest.mark.parametrize("write", CHECKPOINTS)
@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".bin", ".safetensors"])
def test_reading_tensors_springs_none(trap, tmp_path, write, suffix):
    path = tmp_path / f"x{suffix}"
    write(path, trap)
    with pytest.raises(ValueError, match="nothing was unpickled"):
        read_file(path)
    assert not trap.sprung.exists()


@pytest.mark.parametrize("write", CHECKPOINTS)
def test_export_and_convert(refused, trap, tmp_path, write):
    write(tmp_path / "x.ckpt", trap)
    assert "x.ckpt: not a file of tensors" in refused("export", tmp_path / "x.ckpt", "--out", tmp_path / "out")
    write(tmp_path / "best_model.pkl", trap)
    for kind, names in (("ei", ["a", "b"]), ("unimodal", ["a"])):
        words = ["convert", kind, tmp_path / "best_model.pkl", "--modalities", *names, "--out", tmp_path / "out"]
        assert "best_model.pkl: not a file of tensors" in refused(*words)


@pytest.mark.parametrize("verb", VERBS)
def test_a_checkpoint_given_to_a_verb(refused, trap, tmp_path, data, verb):
    sealed(tmp_path / "x.ckpt", trap)
    words = tiny(data, tmp_path / "run", experiment="unimodal_derm7pt_derm")
    assert "x.ckpt: not a file of tensors" in refused(verb, *words, "--ckpt_path", tmp_path / "x.ckpt")


def test_a_checkpoint_found_in_a_run_folder(refused, trap, tmp_path, data):
    words = tiny(data, tmp_path / "run", experiment="unimodal_derm7pt_derm")
    folder = tmp_path / "run/checkpoints"
    folder.mkdir(parents=True)
    (tmp_path / "run" / CONFIG).write_text("model: {class_path: medlit.tasks.UnimodalTask}\n")
    sealed(folder / "best.ckpt", trap)
    assert "best.ckpt: not a file of tensors" in refused("test", *words)
    sealed(folder / "last.ckpt", trap)
    assert "last.ckpt: not a file of tensors" in refused("fit", *words, "--resume", "true")


def test_checkpoints_and_weights_that_a_training_starts_from(refused, trap, tmp_path, data):
    archive(tmp_path / "x.ckpt", trap)
    start = f"{{clinic: {tmp_path / 'x.ckpt'}, derm: {tmp_path / 'x.ckpt'}}}"
    words = [*tiny(data, tmp_path / "run"), "--model.init_args.init_from", start]
    assert "x.ckpt: not a file of tensors" in refused("fit", *words)
    words = tiny(data, tmp_path / "run", experiment="unimodal_derm7pt_derm")
    for name in ("x.ckpt", "x.pth", "x.safetensors"):
        archive(tmp_path / name, trap)
        said = refused("fit", *words, "--model.init_args.model.init_args.weights", tmp_path / name)
        assert f"{name}: not a file of tensors" in said


def test_a_checkpoint_that_captions_are_judged_with(refused, trap, tmp_path):
    archive(tmp_path / "x.ckpt", trap)
    image = {"backbone": "vit_tiny_patch16_224", "model_args": {"depth": 1}}
    text = {"backbone": "gpt2", "pretrained": False, "model_args": {"n_layer": 1, "n_embd": 24, "n_head": 2}}
    towers = {"image": image, "text": {**text, "adapter": None, "train_backbone": True}}
    overlay = {
        "data": {"init_args": {"root": str(pristine("rsna_mammo")), "class_text": {"tokenizer": "words"}}},
        "model": {"init_args": {"model": {"init_args": towers}}},
        "trainer": {"accelerator": "cpu", "precision": "32-true"},
    }
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(overlay))
    words = ["--config", EXPERIMENTS / "zero_shot_rsna_mammo.yaml", "--config", tmp_path / "x.yaml"]
    words += ["--run_dir", tmp_path / "run", "--model.init_args.checkpoint", tmp_path / "x.ckpt"]
    assert "x.ckpt: not a file of tensors" in refused("fit", *words)


def test_a_volume(refused, trap, tmp_path, capsys):
    root = make_mrnet(tmp_path / "mrnet")
    array_of_objects(root / "train/axial/0003.npy", trap)
    words = tiny(root, tmp_path / "run", experiment="unimodal_mrnet_axial")
    said = refused("fit", *words, "--data.num_workers", 0, "--trainer.max_epochs", 1)
    assert "0003.npy: an array of Python objects, which only unpickling could read; that is never done" in said
    assert main(["data", "check", "mrnet", "--root", str(root)]) == 2
    assert "0003.npy: an array of Python objects" in capsys.readouterr().out
    assert not trap.sprung.exists()


def test_a_table(refused, trap, tmp_path):
    root = make_table(tmp_path / "own")
    experiment = yaml.safe_load((EXPERIMENTS / "unimodal_derm7pt_derm.yaml").read_text())
    table = {"root": str(root), "modalities": {"photo": "photo"}, "label_column": "dx"}
    table["class_names"] = ["benign", "malignant", "unsure"]
    for name in ("x.parquet", "x.csv"):
        bare_pickle(root / name, trap)
        settings = {"class_path": "data_modules.TableDataModule", "init_args": {**table, "table": name}}
        (tmp_path / "x.yaml").write_text(yaml.safe_dump({**experiment, "data": settings}))
        said = refused("fit", "--config", tmp_path / "x.yaml", "--config", TINY, "--run_dir", tmp_path / "run")
        assert str(root / name) in said


def test_a_shard_of_the_probes_cache(trap, tmp_path):
    cache = FeatureCache(tmp_path, {"backbone": "a"}, width=4)
    cache.add(["case"], torch.ones(1, 4))
    cache.flush()
    [shard] = cache.folder.glob("*.safetensors")
    for write in CHECKPOINTS:
        write(shard, trap)
        again = FeatureCache(tmp_path, {"backbone": "a"}, width=4)
        again.read()
        assert len(again) == 0
        assert [fault.partition(": ")[0] for fault in again.faults] == [str(shard)]
        assert not trap.sprung.exists()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "text",
    [
        'model: {apply} ["{path}"]',
        'trainer:\n  callbacks:\n  - {apply} ["{path}"]',
        '? {apply} ["{path}"]\n: 1',
        'model:\n  class_path: os.mkdir\n  init_args: {{path: "{path}"}}',
        'trainer:\n  callbacks:\n    class_path: os.mkdir\n    init_args: {{path: "{path}"}}',
        'trainer:\n  logger: {{class_path: medlit.run_folder.os.mkdir, init_args: {{path: "{path}"}}}}',
    ],
)
def test_a_configuration(refused, trap, tmp_path, data, verb, text):
    (tmp_path / "x.yaml").write_text(text.format(apply=APPLY, path=trap.sprung))
    words = tiny(data, tmp_path / "run", experiment="unimodal_derm7pt_derm")
    assert str(tmp_path / "x.yaml") in refused(verb, *words, "--config", tmp_path / "x.yaml")


@pytest.mark.parametrize("verb", VERBS)
def test_a_configuration_whose_import_would_spring_it(refused, trap, tmp_path, data, monkeypatch, verb):
    (tmp_path / "trapped.py").write_text(f"import os\nos.mkdir({str(trap.sprung)!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "x.yaml").write_text("model:\n  class_path: trapped.Task\n")
    words = tiny(data, tmp_path / "run", experiment="unimodal_derm7pt_derm")
    said = refused(verb, *words, "--config", tmp_path / "x.yaml")
    assert f"{tmp_path / 'x.yaml'}:2: model.class_path: 'trapped.Task' belongs to none of medlit, " in said


@pytest.mark.parametrize("key", ["name", "stages", "set"])
def test_a_recipe(refused, trap, tmp_path, key):
    content = {"name": "a", "seeds": "[0]", "stages": "{a: {configs: [x.yaml]}}", key: f'{APPLY} ["{trap.sprung}"]'}
    (tmp_path / "recipe.yaml").write_text("".join(f"{name}: {value}\n" for name, value in content.items()))
    assert "recipe.yaml" in refused("recipe", "run", tmp_path / "recipe.yaml", "--out", tmp_path / "out")


def test_templates_of_captions(refused, trap, tmp_path):
    (tmp_path / "words.yaml").write_text(f'structured: {APPLY} ["{trap.sprung}"]')
    words = ["--root", pristine("embed"), "--templates", tmp_path / "words.yaml"]
    assert "words.yaml" in refused("data", "captions", "embed", *words)


def test_a_module_in_the_working_folder_that_calls_itself_medlit(trap, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "medlit").mkdir()
    for name in ("__init__.py", "cli.py"):
        (tmp_path / "medlit" / name).write_text(
            f"import os\nos.path.exists(p := {str(trap.sprung)!r}) or os.mkdir(p)\n"
        )
    assert run_medlit(["--version"]) == 0
    assert not trap.sprung.exists()
    subprocess.run([sys.executable, "-m", "medlit.cli", "--version"], check=True)  # without PYTHONSAFEPATH
    assert trap.sprung.is_dir()
