"""What was learned from data whose terms forbid to share it: every file says so, and no verb writes it for others."""

import json

import pytest
import torch
import yaml
from safetensors import safe_open

from data_modules.mammography import EMBEDDataModule, RSNAMammoDataModule
from data_modules.synthetic.tree import MARKER
from medlit.callbacks import BestCheckpoint, RunManifest
from medlit.checkpoint import initialise_from_unimodal, load_weights, read_checkpoint
from medlit.cli import main
from medlit.errors import CheckpointMismatchError
from medlit.models.lineage import restrictions_of
from medlit.models.vision_encoder import VisionEncoder
from tests.data_modules.mammography.prepared_trees import copy_of, pristine
from tests.medlit.commands.test_convert import released, words
from tests.medlit.models import small
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal

TERMS = {"Tiny": "nobody may have it"}


def data(*, terms=TERMS["Tiny"]):
    module = TinyDataModule(cases=6)
    module.name, module.sharing_terms = "Tiny", terms
    return module


def trained(folder, task, *, terms=TERMS["Tiny"]):
    """The best checkpoint of a run of one step."""
    runner = trainer(folder, callbacks=[RunManifest(), BestCheckpoint()], limit_train_batches=1)
    runner.fit(task, datamodule=data(terms=terms), weights_only=True)
    return folder / "checkpoints" / "best.ckpt"


@pytest.fixture(scope="module")
def restricted(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("restricted"), unimodal())


def test_of_the_sets_embed_forbids_it():
    assert "forbids to publish models" in EMBEDDataModule.sharing_terms
    assert RSNAMammoDataModule.sharing_terms is None


def test_a_look_alike_shows_no_patient_and_forbids_nothing(tmp_path):
    for root, terms in ((pristine("embed"), EMBEDDataModule.sharing_terms), (copy_of("embed", tmp_path / "e"), None)):
        if terms is None:
            (root / MARKER).write_text("{}")
        module = EMBEDDataModule(root=root)
        module.setup("fit")
        assert module.sharing_terms == terms


def test_checkpoint_and_manifest_say_why(restricted):
    assert read_checkpoint(restricted)[1]["restrictions"] == TERMS
    assert json.loads((restricted.parents[1] / "manifest.json").read_text())["restrictions"] == TERMS


def test_other_data_leave_no_word_of_it(tmp_path):
    file = trained(tmp_path, unimodal(), terms=None)
    assert read_checkpoint(file)[1]["restrictions"] == {}
    assert "restrictions" not in json.loads((tmp_path / "manifest.json").read_text())
    assert main(["export", str(file), "--out", str(tmp_path / "out")]) == 0


def test_a_second_stage_on_free_data_inherits_it(restricted, tmp_path):
    task = early_intervention()
    initialise_from_unimodal(task.model, {"derm": str(restricted)})
    assert read_checkpoint(trained(tmp_path, task, terms=None))[1]["restrictions"] == TERMS


def test_training_that_goes_on_with_free_data_inherits_it(tmp_path):
    last = trained(tmp_path, unimodal()).with_name("last.ckpt")
    runner = trainer(tmp_path, callbacks=[BestCheckpoint()], max_epochs=2, limit_train_batches=1)
    runner.fit(unimodal(), datamodule=data(terms=None), ckpt_path=last, weights_only=True)
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")[1]["restrictions"] == TERMS


def test_those_of_every_part_are_joined():
    model = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Sequential(torch.nn.ReLU()))
    assert restrictions_of(model) == {}
    model[0].restrictions, model[1][0].restrictions = {"b": "1"}, {"a": "2"}
    assert restrictions_of(model) == {"a": "2", "b": "1"}


def test_export_refuses_in_one_line_and_writes_nothing(restricted, tmp_path, capsys):
    assert main(["export", str(restricted), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "best.ckpt must not be shared (Tiny: nobody may have it)" in said
    assert "add --i-have-permission" in said
    assert not (tmp_path / "out").exists()


def test_with_permission_the_terms_go_with_the_weights(restricted, tmp_path):
    assert main(["export", str(restricted), "--out", str(tmp_path), "--i-have-permission"]) == 0
    assert json.loads((tmp_path / "weights.json").read_text())["restrictions"] == TERMS
    task = unimodal()
    load_weights(task.model, tmp_path / "weights.safetensors")
    assert task.model.restrictions == TERMS


def test_a_checkpoint_from_before_is_exported_with_a_word(restricted, tmp_path, capsys):
    content = torch.load(restricted, weights_only=True)
    del content["medlit"]["restrictions"]
    torch.save(content, tmp_path / "old.ckpt")
    assert main(["export", str(tmp_path / "old.ckpt"), "--out", str(tmp_path)]) == 0
    assert "kept no terms of data yet" in capsys.readouterr().out


@pytest.mark.parametrize("entry", [["EMBED"], {"EMBED": 1}, "no"])
def test_terms_that_are_none_are_refused(restricted, tmp_path, entry, capsys):
    content = torch.load(restricted, weights_only=True)
    content["medlit"]["restrictions"] = entry
    torch.save(content, tmp_path / "broken.ckpt")
    assert main(["export", str(tmp_path / "broken.ckpt"), "--out", str(tmp_path)]) == 2
    assert "no terms by data set; the file is damaged" in capsys.readouterr().err
    with pytest.raises(CheckpointMismatchError, match="damaged"):
        initialise_from_unimodal(early_intervention().model, {"derm": str(tmp_path / "broken.ckpt")})


def test_a_conversion_carries_what_its_file_states(tmp_path, capsys):
    source, out = tmp_path / "best_model.pkl", tmp_path / "out"
    torch.save({"state_dict": released().state_dict(), "medlit": {"restrictions": TERMS}}, source)
    assert main(words(source, out)) == 2
    assert "best_model.pkl must not be shared (Tiny: nobody may have it)" in capsys.readouterr().err
    assert not out.exists()
    assert main(words(source, out, "--i-have-permission")) == 0
    assert read_checkpoint(out / "checkpoints" / "best.ckpt")[1]["restrictions"] == TERMS
    with safe_open(out / "backbone.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["medlit"]) == {"restrictions": TERMS}
    settings = yaml.safe_load((out / "model.yaml").read_text())["model"]["init_args"]["model"]["init_args"]
    names = ("backbone", "pretrained", "weights", "model_args", "pad")
    started = VisionEncoder(img_size=42, **{name: settings[name] for name in names if name in settings})
    assert restrictions_of(started) == TERMS


def test_a_model_that_started_from_nothing_has_none():
    assert restrictions_of(small.unimodal()) == {}
