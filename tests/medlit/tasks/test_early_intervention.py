"""Early Intervention as a task: heads, prior, and the start from unimodal runs."""

import pytest
import torch

from medlit.callbacks import BestCheckpoint, RunManifest
from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.tasks.early_intervention import require_checkpoints
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal


def test_heads_are_the_answer_then_each_modality_steered_and_not(tmp_path):
    task = early_intervention()
    [figures] = trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    assert list(task.case_results.logits) == ["fused", "clinic", "derm", "clinic/auxiliary", "derm/auxiliary"]
    assert {"test/map", "test/clinic/map", "test/derm/auxiliary/map", "test/gate", "test/fused"} <= set(figures)
    assert torch.allclose(task.case_results.gate.sum(dim=1), torch.ones(13))


def test_prior_goes_by_name():
    task = early_intervention(prior={"derm": 0.001})
    assert task.loss.prior.tolist() == pytest.approx([1.0, 0.001])


@pytest.mark.parametrize("setting", [{"prior": {"oct": 1.0}}, {"init_from": {"oct": "a.ckpt"}}])
def test_settings_by_modality_name_those_of_the_data(setting):
    with pytest.raises(ConfigurationError, match="names oct; the data's modalities are clinic, derm"):
        early_intervention(**setting)


def test_a_fresh_start_is_said(tmp_path, caplog):
    trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(early_intervention(), datamodule=TinyDataModule())
    assert "starts fresh" in caplog.text


@pytest.fixture
def experiments(tmp_path, monkeypatch):
    """A working folder with experiments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments" / "overlays").mkdir(parents=True)
    for name in ("unimodal_derm7pt_clinic", "unimodal_derm7pt_derm", "overlays/tiny"):
        (tmp_path / "experiments" / f"{name}.yaml").touch()


CLINIC = "medlit fit --config experiments/unimodal_derm7pt_clinic.yaml"


@pytest.mark.usefixtures("experiments")
@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("runs/unimodal_derm7pt_clinic/checkpoints/best.ckpt", f"Make them first: {CLINIC}."),
        (
            "runs/unimodal_derm7pt_clinic-tiny/checkpoints/best.ckpt",
            f"Make them first: {CLINIC} --config experiments/overlays/tiny.yaml.",
        ),
        ("runs/first/checkpoints/best.ckpt", f"Make them first: {CLINIC} --run_dir runs/first."),
        ("/a/b-c/checkpoints/last.ckpt", f"Make them first: {CLINIC} --run_dir /a/b-c."),
        ("clinic.ckpt", None),
    ],
)
def test_a_missing_unimodal_run_comes_with_the_command_that_makes_it(path, command):
    with pytest.raises(WeightsNotFoundError) as error:
        require_checkpoints({"clinic": path})
    text = str(error.value)
    assert f"no such checkpoint: {path} (clinic)." in text
    assert "\n" not in text
    assert command in text if command else "medlit fit" not in text


def test_a_missing_unimodal_run_stops_training_before_it_leaves_anything(tmp_path):
    folder = tmp_path / "run"
    task = early_intervention(init_from={"clinic": str(tmp_path / "a.ckpt"), "derm": str(tmp_path / "b.ckpt")})
    with pytest.raises(WeightsNotFoundError, match=r"a\.ckpt \(clinic\), \S+b\.ckpt \(derm\)"):
        trainer(folder, callbacks=[RunManifest(), BestCheckpoint()]).fit(task, datamodule=TinyDataModule())
    assert not folder.exists()


def test_adapters_start_from_the_unimodal_runs_but_not_when_only_tested(tmp_path):
    paths, trained = {}, {}
    for name in ("clinic", "derm"):
        runner = trainer(tmp_path)
        trained[name] = unimodal(name)
        runner.fit(trained[name], datamodule=TinyDataModule())
        paths[name] = str(tmp_path / f"{name}.ckpt")
        runner.save_checkpoint(paths[name])
    task = early_intervention(init_from=paths)
    trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    before = task.case_results.logits["derm/auxiliary"]
    trainer(tmp_path, limit_train_batches=0, limit_val_batches=1).fit(task, datamodule=TinyDataModule())
    trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    after = task.case_results.logits["derm/auxiliary"]
    trainer(tmp_path).test(trained["derm"], datamodule=TinyDataModule(), verbose=False)
    assert not torch.allclose(before, after)
    assert torch.allclose(after, trained["derm"].case_results.answer, atol=1e-6)
