"""``medlit convert``: what it writes gives the numbers of the released model, and what it refuses."""

import pickle

import polars as pl
import pytest
import torch
import yaml

from data_modules.skin import Derm7ptDataModule
from data_modules.synthetic import derm7pt
from medlit import lightning_cli
from medlit.checkpoint import initialise_from_unimodal, read_checkpoint, restore
from medlit.cli import main
from medlit.models import EarlyInterventionClassifier
from medlit.peft import MoRConfig
from tests.medlit.command_line import EXPERIMENTS
from tests.medlit.interop.literal_release import HEADS, EarlyIntervention, Unimodal, ViT

NAMES = ["clinic", "derm"]
PAD = ["--img_size", "40"]  # to 42, three patches of 14


def released(seed=0):
    torch.manual_seed(seed)
    return EarlyIntervention("dinov2", modalities=2, num_classes=5)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "best_model.pkl"
    torch.save(released().state_dict(), path)
    return path


def words(checkpoint, out, *more, kind="ei", names=NAMES):
    options = ["--modalities", *names, "--num_heads", HEADS, "--out", out, *more]
    return [str(word) for word in ("convert", kind, checkpoint, *options)]


def from_overlay(out):
    """The model that the overlay describes, with what the checkpoint holds."""
    settings = yaml.safe_load((out / "model.yaml").read_text())
    arguments = settings["model"]["init_args"]["model"]["init_args"]
    arguments["adapter"] = MoRConfig(**arguments["adapter"]["init_args"])
    data = settings["data"]["init_args"]
    model = EarlyInterventionClassifier(
        modalities=data["modalities"], img_size=data["img_size"], num_classes=5, **arguments
    )
    restore(model, *read_checkpoint(out / "checkpoints" / "best.ckpt"), source="best.ckpt")
    return model


@pytest.mark.parametrize("more", [[], PAD], ids=["as large as the checkpoint", "padded"])
def test_overlay_foundation_and_checkpoint_are_the_released_model(checkpoint, tmp_path, more, capsys):
    out = tmp_path / "out"
    assert main(words(checkpoint, out, *more)) == 0
    assert "5 classes, vit_base_patch14_reg4_dinov2.lvd142m, 42 pixels" in capsys.readouterr().out
    size = int(more[1]) if more else 42
    images = {name: torch.rand(2, 1, 3, size, size) for name in NAMES}
    expected = released()(list(images.values()))[0]
    torch.testing.assert_close(from_overlay(out)(images).fused, expected, rtol=1e-5, atol=1e-5)
    assert not any("encoder" in name for name in read_checkpoint(out / "checkpoints" / "best.ckpt")[0])


@pytest.mark.slow
def test_test_and_predict_just_work_with_the_datas_experiment(checkpoint, tmp_path):
    root, out = tmp_path / "data", tmp_path / "out"
    derm7pt.write(root, cases=40, seed=0, img_size=48)
    assert main(words(checkpoint, out, *PAD)) == 0
    configs = [
        str(word) for file in (EXPERIMENTS / "ei_derm7pt.yaml", out / "model.yaml") for word in ("--config", file)
    ]
    options = ["--data.init_args.root", str(root), "--data.init_args.num_workers", "0", "--run_dir", str(out)]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.logger", "false", "--trainer.enable_progress_bar", "false"]
    for verb in ("test", "predict"):
        assert lightning_cli.main([verb, *configs, *options, *quiet]) == 0

    data = Derm7ptDataModule(root=root, modalities=NAMES, img_size=40, batch_size=40)
    data.setup("test")
    [batch] = list(data.test_dataloader())
    with torch.no_grad():
        fused, _, _, gate = released()([batch["images"][name] for name in NAMES])
    for file in ("predictions_test.parquet", "predict_test.parquet"):
        table = pl.read_parquet(out / file)
        assert table["case_id"].to_list() == batch["case_id"]
        logits = table.select([f"logit_{name}" for name in data.class_names]).to_torch()
        torch.testing.assert_close(logits, fused, rtol=1e-5, atol=1e-5)
        weights = table.select([f"gate_{name}" for name in NAMES]).to_torch()
        torch.testing.assert_close(weights, gate, rtol=1e-5, atol=1e-5)


def test_a_unimodal_checkpoint_becomes_one_that_the_second_stage_can_start_from(tmp_path):
    torch.manual_seed(0)
    state = Unimodal("dinov2", ViT("dinov2").state_dict(), num_classes=5).state_dict()
    torch.save(state, tmp_path / "best_model.pkl")
    out = tmp_path / "out"
    assert main(words(tmp_path / "best_model.pkl", out, kind="unimodal", names=["derm"])) == 0
    trained, info = read_checkpoint(out / "checkpoints" / "best.ckpt")
    assert (info["model"], info["modalities"], info["num_classes"]) == ("UnimodalClassifier", ["derm"], 5)
    assert torch.equal(trained["head.weight"], state["fc.weight"])
    arguments = yaml.safe_load((out / "model.yaml").read_text())["model"]["init_args"]["model"]["init_args"]
    arguments["adapter"] = MoRConfig(**arguments["adapter"]["init_args"])
    second = EarlyInterventionClassifier(modalities=NAMES, num_classes=5, img_size=42, **arguments)
    initialise_from_unimodal(second, {"derm": str(out / "checkpoints" / "best.ckpt")})
    experts = state["backbone.blocks.1.mlp.fc2.lora_as.0.weight"]
    for kind in ("auxiliary", "main"):
        layer = second.backbone.passes[f"{kind}_derm"].vit.blocks[1].mlp.fc2
        assert torch.equal(layer.mor_A["default"][:2], experts)


def test_other_alphas_are_kept(checkpoint, tmp_path):
    out = tmp_path / "out"
    assert main(words(checkpoint, out, "--alphas", 1, 2, 3)) == 0
    assert read_checkpoint(out / "checkpoints" / "best.ckpt")[1]["settings"]["adapter.alphas"] == [1, 2, 3]
    assert from_overlay(out).backbone.adapter.alphas == [1, 2, 3]


@pytest.mark.parametrize("taken", ["model.yaml", "backbone.safetensors", "checkpoints/best.ckpt"])
def test_nothing_is_overwritten(checkpoint, tmp_path, taken, capsys):
    out = tmp_path / "out"
    (out / taken).parent.mkdir(parents=True)
    (out / taken).write_text("mine")
    assert main(words(checkpoint, out)) == 2
    assert f"already holds {taken}; choose another --out" in capsys.readouterr().err
    assert [path.name for path in out.rglob("*") if path.is_file()] == [(out / taken).name]
    assert (out / taken).read_text() == "mine"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"names": ["clinic"]}, "needs 2 different names"),
        ({"names": ["clinic", "clinic"]}, "needs 2 different names"),
        ({"kind": "unimodal", "names": ["derm"]}, "Early Intervention of 2 modalities; use medlit convert ei"),
    ],
)
def test_what_contradicts_the_checkpoint_is_refused_and_leaves_nothing(checkpoint, tmp_path, more, message, capsys):
    assert main(words(checkpoint, tmp_path / "out", **more)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--img_size", 512], "position embedding is for 42 pixels"),
        (["--alphas", 4, 8], "has the ranks [2, 4, 8]; give a positive alpha for each"),
        (["--alphas", 4, 8, 0], "give a positive alpha for each"),
        (["--alphas", 4, 8, "nan"], "give a positive alpha for each"),
        (["--num_heads", 5], "num_heads 5 does not fit: heads have to divide the 32 channels"),
        (["--num_heads", 0], "num_heads 0 does not fit"),
        (["--modalities", "clinic", "derm.1"], "'derm.1' cannot be the name of a modality"),
        (["--modalities", "", "derm"], "'' cannot be the name of a modality"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_leave_nothing(checkpoint, tmp_path, option, message, capsys):
    assert main(words(checkpoint, tmp_path / "out", *option)) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("out", "message"), [("a_file", "is no folder"), ("a_file/out", "cannot be written")])
def test_a_place_that_cannot_be_written_to_is_said(checkpoint, tmp_path, out, message, capsys):
    (tmp_path / "a_file").write_text("mine")
    assert main(words(checkpoint, tmp_path / out)) == 2
    assert message in capsys.readouterr().err
    assert (tmp_path / "a_file").read_text() == "mine"


def test_heads_are_not_guessed_where_they_cannot_be_told(checkpoint, tmp_path, capsys):
    """The width of 32 is no multiple of 64 channels; the wrong number would give wrong scores without a word."""
    options = ["--modalities", *NAMES, "--out", str(tmp_path / "out")]
    assert main(["convert", "ei", str(checkpoint), *options]) == 2
    assert "num_heads is needed" in capsys.readouterr().err


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    "save", [torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))]
)
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, save, capsys):
    sprung = tmp_path / "sprung"
    save({"first_backbones.0.fc.weight": Trap(sprung)}, tmp_path / "best_model.pkl")
    assert main(words(tmp_path / "best_model.pkl", tmp_path / "out")) == 2
    assert "not a file of tensors" in capsys.readouterr().err
    assert not sprung.exists()
    assert not (tmp_path / "out").exists()
    pickle.loads(pickle.dumps(Trap(sprung))).close()
    assert sprung.exists()  # the trap would have worked


def test_a_file_that_is_not_there_is_said(tmp_path, capsys):
    assert main(words(tmp_path / "best_model.pkl", tmp_path / "out")) == 2
    assert "best_model.pkl does not exist" in capsys.readouterr().err
