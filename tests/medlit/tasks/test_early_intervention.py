"""Early Intervention as a task: heads, prior, and the start from unimodal runs."""

import pytest
import torch

from medlit.errors import ConfigurationError, WeightsNotFoundError
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


def test_missing_unimodal_runs_come_with_the_commands_that_make_them(tmp_path):
    paths = {
        "clinic": "runs/unimodal_clinic-tiny/checkpoints/best.ckpt",
        "derm": "runs/unimodal_derm-tiny/checkpoints/best.ckpt",
    }
    with pytest.raises(WeightsNotFoundError) as error:
        trainer(tmp_path).fit(early_intervention(init_from=paths), datamodule=TinyDataModule())
    text = str(error.value)
    for name, path in paths.items():
        assert f"{path} ({name})" in text
        assert f"medlit fit --config experiments/unimodal_{name}.yaml --config experiments/overlays/tiny.yaml" in text
    assert "\n" not in text


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
