"""Late fusion as a task: heads, weights, absent modalities, and the start from unimodal runs."""

from functools import partial

import pytest
import torch

from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.losses import classification_loss
from medlit.models import AttentionMILFusion, ConcatenationFusion, GatedFusion, MeanOfLogitsFusion
from medlit.tasks import FusionTask
from tests.medlit.tasks.tiny import BACKBONE, MODALITIES, TinyDataModule, from_data, trainer, unimodal


def fusion(kind=AttentionMILFusion, *, backbone=BACKBONE, **settings):
    torch.manual_seed(0)
    return FusionTask(**{**from_data(MODALITIES), "model": partial(kind, **backbone), **settings})


@pytest.mark.parametrize(
    ("kind", "heads", "weighs"),
    [
        (AttentionMILFusion, ["fused"], True),
        (ConcatenationFusion, ["fused"], False),
        (GatedFusion, ["fused", "clinic", "derm"], True),
        (MeanOfLogitsFusion, ["fused", "clinic", "derm"], False),
    ],
)
def test_heads_are_the_answer_then_each_modality_where_the_model_has_such(kind, heads, weighs, tmp_path):
    task, data = fusion(kind), TinyDataModule()
    [figures] = trainer(tmp_path).test(task, datamodule=data, verbose=False)
    results = task.case_results
    assert list(results.logits) == heads
    assert {"test/map", "test/loss", *(f"test/{head}/map" for head in heads[1:])} <= set(figures)
    assert (results.gate is not None) == weighs
    if weighs:
        torch.testing.assert_close(results.gate.sum(dim=1), torch.ones(13))
    assert figures["test/loss"] == pytest.approx(float(classification_loss(results.answer, results.label)))


def test_a_case_without_a_modality_is_answered_from_the_other(tmp_path):
    data = TinyDataModule()
    for sample in data.samples[:4]:
        del sample["images"]["clinic"]
    task = fusion(GatedFusion)
    trainer(tmp_path).test(task, datamodule=data, verbose=False)
    results = task.case_results
    assert results.present.tolist() == [[row >= 4, True] for row in range(13)]
    torch.testing.assert_close(results.answer[:4], results.logits["derm"][:4])
    assert results.gate[:4].tolist() == [[0.0, 1.0]] * 4


def test_training_lowers_the_loss(tmp_path):
    losses = []
    task = fusion(optimizer=partial(torch.optim.AdamW, lr=0.01))
    runner = trainer(tmp_path, max_epochs=8)
    for _ in range(2):
        losses.append(runner.validate(task, datamodule=TinyDataModule(), verbose=False)[0]["val/loss"])
        if len(losses) == 1:
            runner.fit(task, datamodule=TinyDataModule())
    assert losses[1] < 0.8 * losses[0]


def test_class_weights_are_those_of_the_data(tmp_path):
    task = fusion(use_class_weights=True)
    trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(task, datamodule=TinyDataModule())
    assert task.training_loss.class_weights.tolist() == [1.0, 2.0, 0.5]


def test_adapters_start_from_the_unimodal_runs(tmp_path):
    paths, trained = {}, {}
    for name in MODALITIES:
        runner = trainer(tmp_path)
        trained[name] = unimodal(name)
        runner.fit(trained[name], datamodule=TinyDataModule())
        paths[name] = str(tmp_path / f"{name}.ckpt")
        runner.save_checkpoint(paths[name])
    task = fusion(init_from=paths)
    trainer(tmp_path, limit_train_batches=0, limit_val_batches=1).fit(task, datamodule=TinyDataModule())
    images = torch.rand(2, 1, 3, 32, 32)
    for name in MODALITIES:
        expected = trained[name].model.backbone(images, adapter="unimodal")
        assert torch.equal(task.model.backbone(images, adapter=name), expected)
        assert not torch.allclose(fusion().model.backbone(images, adapter=name), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({}, "this model has none"), ({"train_backbone": True}, "all passes share one backbone")],
    ids=["linear probe", "full fine-tuning"],
)
def test_without_adapters_there_is_nothing_to_start(changes, message, tmp_path):
    runner = trainer(tmp_path)
    first = unimodal("derm", model=partial(type(unimodal().model), **BACKBONE, adapter=None, **changes))
    runner.fit(first, datamodule=TinyDataModule())
    runner.save_checkpoint(tmp_path / "derm.ckpt")
    settings = {**BACKBONE, "adapter": None, **changes}
    task = fusion(backbone=settings, init_from={"derm": str(tmp_path / "derm.ckpt")})
    with pytest.raises(ConfigurationError, match=message):
        trainer(tmp_path, limit_val_batches=0).fit(task, datamodule=TinyDataModule())


def test_init_from_names_modalities_and_files_there_are(tmp_path):
    with pytest.raises(ConfigurationError, match="names oct; the data's modalities are clinic, derm"):
        fusion(init_from={"oct": "a.ckpt"})
    with pytest.raises(WeightsNotFoundError, match=r"a\.ckpt \(clinic\)"):
        trainer(tmp_path).fit(fusion(init_from={"clinic": "a.ckpt"}), datamodule=TinyDataModule())


def test_a_checkpoint_keeps_the_trained_part_and_comes_back(tmp_path):
    runner, task = trainer(tmp_path), fusion()
    runner.fit(task, datamodule=TinyDataModule())
    runner.save_checkpoint(tmp_path / "a.ckpt")
    names = list(torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"])
    assert any("passes.derm" in name for name in names)
    assert not any("encoder" in name for name in names)
    other = fusion(optimizer=None)
    trainer(tmp_path).test(other, datamodule=TinyDataModule(), ckpt_path=tmp_path / "a.ckpt", verbose=False)
    trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    assert torch.equal(other.case_results.answer, task.case_results.answer)
