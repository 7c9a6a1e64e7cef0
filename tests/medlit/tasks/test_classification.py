"""What holds for every classification task: figures over whole sets, optimizer, errors, checkpoints."""

from functools import partial

import pytest
import torch

from medlit.errors import CheckpointMismatchError, ConfigurationError, NonFiniteLossError
from medlit.losses import classification_loss
from medlit.metrics import classification_metrics
from medlit.models import UnimodalClassifier
from medlit.tasks import PaperCyclicLR
from tests.medlit.tasks.tiny import BACKBONE, CLASSES, TinyDataModule, early_intervention, trainer, unimodal

MAKERS = pytest.mark.parametrize("make", [early_intervention, unimodal])


def saved(task, folder, **settings) -> str:
    """Train for an epoch and save."""
    runner = trainer(folder, **settings)
    runner.fit(task, datamodule=TinyDataModule())
    path = str(folder / "a.ckpt")
    runner.save_checkpoint(path)
    return path


@MAKERS
def test_figures_are_those_of_the_whole_set_whatever_the_batch_size(make, tmp_path):
    task, logged = make(), []
    for batch_size in (3, 4, 13):
        runner = trainer(tmp_path)
        [figures] = runner.test(task, datamodule=TinyDataModule(batch_size=batch_size), verbose=False)
        logged.append(figures)
    assert logged[0] == pytest.approx(logged[1], abs=1e-6)
    assert logged[0] == pytest.approx(logged[2], abs=1e-6)
    results = task.case_results
    assert results.case_id == [f"c{case}" for case in range(13)]
    expected = classification_metrics(results.answer, results.label, class_names=CLASSES)
    assert {name: logged[0][f"test/{name}"] for name in expected} == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_loss_of_a_set_is_the_mean_over_its_cases(tmp_path):
    task = unimodal()
    [figures] = trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    results = task.case_results
    assert figures["test/loss"] == pytest.approx(float(classification_loss(results.answer, results.label)), abs=1e-6)


@MAKERS
def test_training_lowers_the_loss_and_logs_its_terms(make, tmp_path):
    runner, task = trainer(tmp_path, max_epochs=3), make()
    [before] = trainer(tmp_path).validate(task, datamodule=TinyDataModule(), verbose=False)
    runner.fit(task, datamodule=TinyDataModule())
    assert runner.callback_metrics["val/loss"] < before["val/loss"]
    assert {"train/loss", "val/map", "val/auroc", "val/average_precision/MEL"} <= set(runner.callback_metrics)


@MAKERS
def test_only_what_is_trainable_reaches_the_optimizer(make, tmp_path):
    task = make(optimizer=None)
    optimizer = task.configure_optimizers()["optimizer"]
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in task.parameters() if parameter.requires_grad}
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["lr"] == 1e-4


def test_a_schedule_steps_with_every_batch(tmp_path):
    task = unimodal(scheduler=partial(PaperCyclicLR, step_size_up=8, base_lr=0.0, max_lr=1.0))
    runner = trainer(tmp_path)
    runner.fit(task, datamodule=TinyDataModule())
    assert runner.optimizers[0].param_groups[0]["lr"] == pytest.approx(runner.global_step / 8)


def test_class_weights_act_in_training_alone(tmp_path):
    task = unimodal(use_class_weights=True, optimizer=partial(torch.optim.SGD, lr=0.0))
    runner = trainer(tmp_path, limit_train_batches=1)
    runner.fit(task, datamodule=TinyDataModule())
    assert task.training_loss.class_weights.tolist() == [1.0, 2.0, 0.5]
    assert task.loss.class_weights is None
    assert runner.callback_metrics["val/loss"] == pytest.approx(
        float(classification_loss(task.case_results.answer, task.case_results.label)), abs=1e-6
    )


def test_class_weights_need_a_datamodule_that_has_them(tmp_path):
    data = TinyDataModule()
    del data.class_weights
    with pytest.raises(ConfigurationError, match="class_weights"):
        trainer(tmp_path).fit(unimodal(use_class_weights=True), datamodule=data)


@MAKERS
def test_a_loss_that_is_not_finite_stops_and_names_the_cases(make, tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"epoch 0, step \d.*cases .*c3") as error:
        trainer(tmp_path, limit_val_batches=0).fit(make(), datamodule=TinyDataModule(poisoned=True))
    assert "\n" not in str(error.value)


def test_logits_that_are_not_finite_stop_a_test(tmp_path):
    with pytest.raises(NonFiniteLossError, match="1 cases are not finite in test at epoch 0, step 0; cases c3"):
        trainer(tmp_path).test(unimodal(), datamodule=TinyDataModule(poisoned=True), verbose=False)


@MAKERS
def test_predicts_without_labels_but_does_not_test(make, tmp_path):
    task = make()
    batches = trainer(tmp_path).predict(task, datamodule=TinyDataModule(labelled=False))
    assert sum(len(next(iter(batch.values()))) for batch in batches) == 13
    assert task.case_results.label is None
    with pytest.raises(ConfigurationError, match="use predict"):
        trainer(tmp_path).test(task, datamodule=TinyDataModule(labelled=False), verbose=False)
    with pytest.raises(ConfigurationError, match="no label to train with"):
        trainer(tmp_path, limit_val_batches=0).fit(task, datamodule=TinyDataModule(labelled=False))


def test_cases_without_label_are_left_out_and_counted(tmp_path):
    data = TinyDataModule()
    del data.samples[2]["label"], data.samples[12]["label"]
    [figures] = trainer(tmp_path).test(unimodal(), datamodule=data, verbose=False)
    assert figures["test/cases_without_label"] == 2


def test_the_table_of_a_test_is_printed(tmp_path, capsys):
    trainer(tmp_path).test(early_intervention(), datamodule=TinyDataModule(), verbose=False)
    text = capsys.readouterr().out
    assert "test, 13 cases" in text
    for row in ("fused", "clinic", "derm", "clinic/auxiliary"):
        assert f" {row} " in text


@MAKERS
def test_a_checkpoint_has_the_trained_part_in_plain_types(make, tmp_path):
    task = make()
    path = saved(task, tmp_path)
    content = torch.load(path, weights_only=True)
    trained = {f"model.{name}" for name, parameter in task.model.named_parameters() if parameter.requires_grad}
    frozen = {f"model.{name}" for name, parameter in task.model.named_parameters() if not parameter.requires_grad}
    assert trained <= content["state_dict"].keys()
    assert not frozen & content["state_dict"].keys()
    assert content["medlit"]["class_names"] == CLASSES
    assert "hyper_parameters" not in content


@MAKERS
def test_a_checkpoint_brings_back_the_same_answers(make, tmp_path):
    task = make()
    path = saved(task, tmp_path)
    trainer(tmp_path).predict(task, datamodule=TinyDataModule())
    torch.manual_seed(99)
    other = make()
    trainer(tmp_path).predict(other, datamodule=TinyDataModule(), ckpt_path=path, weights_only=True)
    assert torch.equal(task.case_results.answer, other.case_results.answer)


def test_other_foundation_weights_are_refused(tmp_path):
    path = saved(unimodal(), tmp_path)
    wider = {**BACKBONE, "model_args": {"depth": 2, "embed_dim": 64, "num_heads": 2}}
    with pytest.raises(CheckpointMismatchError, match=r"a\.ckpt.*other foundation weights"):
        trainer(tmp_path).predict(
            unimodal(model=partial(UnimodalClassifier, **wider)),
            datamodule=TinyDataModule(),
            ckpt_path=path,
            weights_only=True,
        )


def test_other_class_names_are_refused_and_none_are_taken_from_the_checkpoint(tmp_path):
    path = saved(unimodal(), tmp_path)
    with pytest.raises(CheckpointMismatchError, match="class_names"):
        trainer(tmp_path).predict(
            unimodal(class_names=["a", "b", "c"]), datamodule=TinyDataModule(), ckpt_path=path, weights_only=True
        )
    nameless = unimodal(class_names=None)
    assert nameless.class_names == ["0", "1", "2"]
    trainer(tmp_path).predict(nameless, datamodule=TinyDataModule(), ckpt_path=path, weights_only=True)
    assert nameless.class_names == CLASSES


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = saved(unimodal(), tmp_path)
    content = torch.load(path, weights_only=True)
    del content["medlit"]
    torch.save(content, path)
    with pytest.raises(CheckpointMismatchError, match="not a checkpoint of medlit"):
        trainer(tmp_path).predict(unimodal(), datamodule=TinyDataModule(), ckpt_path=path, weights_only=True)


def test_class_names_have_to_fit():
    with pytest.raises(ConfigurationError, match="2 class names for 3 classes"):
        unimodal(class_names=["a", "b"])
