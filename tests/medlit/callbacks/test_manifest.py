"""The manifest says what a run was, and what came of it."""

import json

import pytest

from medlit.callbacks import BestCheckpoint, RunManifest
from medlit.callbacks.manifest import commit
from medlit.checkpoint import foundation_fingerprint
from medlit.errors import NonFiniteLossError
from tests.medlit.tasks.tiny import CLASSES, TinyDataModule, trainer, unimodal
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text())


@pytest.fixture(autouse=True)
def command(monkeypatch):
    monkeypatch.setattr("sys.argv", ["medlit", "fit", "--config", "a b.yaml"])
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")


def test_training_says_versions_data_seed_command_and_foundation(tmp_path, capsys):
    task = unimodal()
    runner = trainer(tmp_path, callbacks=[RunManifest()], enable_checkpointing=False, accumulate_grad_batches=2)
    runner.fit(task, datamodule=TinyDataModule(batch_size=4))
    assert "Global batch: 8 = 1 devices x 4 per device x 2 accumulated" in capsys.readouterr().out
    found = manifest(tmp_path)
    assert found["command"] == "medlit fit --config 'a b.yaml'"
    assert found["seed"] == 7
    assert found["data_hashes"] == {"meta.csv": "0" * 64}
    assert found["class_names"] == CLASSES
    assert found["modalities"] == ["derm"]
    assert found["foundation"] == {
        "name": "vit_tiny_patch16_224",
        "fingerprint": foundation_fingerprint(task.model),
    }
    assert {"python", "medlit", "torch", "timm"} <= {name for name, value in found["versions"].items() if value}
    assert 0 < found["parameters"]["trainable"] < found["parameters"]["total"]
    assert found["stages"]["fit"]["status"] == "finished"
    assert found["stages"]["fit"]["ended"] >= found["stages"]["fit"]["started"]


def test_a_training_says_how_far_it_may_go_and_how_its_best_is_chosen(tmp_path):
    keeper = BestCheckpoint(monitor="val/loss", mode="min")
    trainer(tmp_path, callbacks=[RunManifest(), keeper], max_epochs=1).fit(unimodal(), datamodule=TinyDataModule())
    aims = {"max_epochs": 1, "monitor": "val/loss", "mode": "min", "select_from_step": 0}
    assert aims.items() <= manifest(tmp_path)["stages"]["fit"].items()


def test_a_test_adds_its_record_and_a_new_training_starts_over(tmp_path):
    def runner():
        return trainer(tmp_path, callbacks=[RunManifest()], enable_checkpointing=False, limit_train_batches=1)

    runner().fit(unimodal(), datamodule=TinyDataModule())
    created = manifest(tmp_path)
    runner().test(unimodal(), datamodule=TinyDataModule(), verbose=False)
    runner().predict(unimodal(), datamodule=TinyDataModule())
    later = manifest(tmp_path)
    assert list(later["stages"]) == ["fit", "test", "predict"]
    assert {key: value for key, value in later.items() if key != "stages"} == {
        key: value for key, value in created.items() if key != "stages"
    }
    runner().fit(unimodal(), datamodule=TinyDataModule())
    assert list(manifest(tmp_path)["stages"]) == ["fit"]


def test_the_commit_is_medlits_wherever_the_command_runs(tmp_path, monkeypatch):
    here = commit()
    monkeypatch.chdir(tmp_path)
    assert commit() == here


def test_says_whether_the_data_are_synthetic(tmp_path):
    data = TinyDataModule()
    data.synthetic = True
    trainer(tmp_path, callbacks=[RunManifest()]).test(unimodal(), datamodule=data, verbose=False)
    assert manifest(tmp_path)["synthetic"] is True


def test_a_failed_training_says_so(tmp_path):
    runner = trainer(tmp_path, callbacks=[RunManifest()], enable_checkpointing=False, limit_val_batches=0)
    with pytest.raises(NonFiniteLossError):
        runner.fit(unimodal(), datamodule=TinyDataModule(poisoned=True))
    assert manifest(tmp_path)["stages"]["fit"]["status"] == "failed: NonFiniteLossError"


def test_a_pretraining_names_the_foundations_of_both_towers(tmp_path):
    task, data = mama(), TinyPairs()
    data.sharing_terms = "keep it"
    trainer(tmp_path, callbacks=[RunManifest()], enable_checkpointing=False, limit_train_batches=1).fit(task, data)
    found = manifest(tmp_path)
    assert found["foundation"] == {
        "image": {"name": "vit_tiny_patch16_224"},
        "text": {"name": "gpt2", "fingerprint": task.model.text_encoder.fingerprint()},
    }
    assert found["restrictions"] == {"pairs": "keep it"}
    assert "class_names" not in found
