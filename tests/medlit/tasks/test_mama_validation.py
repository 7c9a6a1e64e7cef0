"""What a validation of pairs says: one fixed sum of terms at every step, classes by their names, nothing left out."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from medlit.callbacks import BestCheckpoint
from medlit.errors import ConfigurationError
from medlit.losses import MaMALoss
from medlit.metrics import classification_metrics
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.tiny_pairs import CLASSES, CUT, TinyPairs, collate, mama

TERMS = ("image_text", "second_image_text", "view", "local")


def validate(folder, task, data=None):
    runner = trainer(folder)
    [found] = runner.validate(task, data or TinyPairs(), verbose=False)
    return {name.removeprefix("val/"): value for name, value in found.items()}


def by_hand(task, data, *, size):
    """Terms by name, the mean over the pairs of batches of two or more."""
    task.eval()
    sums, pairs = dict.fromkeys(TERMS, 0.0), 0
    for start in range(0, len(data.samples), size):
        batch = collate(data.samples[start : start + size])
        if len(batch["case_id"]) < 2:
            continue
        with torch.no_grad():
            scales = {"scale": task.model.scale, "local_scale": task.model.local_scale}
            terms = task.loss(task(batch, TERMS), **scales, late=True, gather=False)
        for name in TERMS:
            sums[name] += float(terms[name]) * len(batch["case_id"])
        pairs += len(batch["case_id"])
    return {name: total / pairs for name, total in sums.items()}


def test_the_loss_is_all_terms_from_the_first_step_on(tmp_path):
    task, data = mama(late_start=8000), TinyPairs()
    found = validate(tmp_path, task, data)
    expected = by_hand(task, data, size=4)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5)
    assert found["loss"] == pytest.approx(sum(expected.values()), rel=1e-5)
    assert found["pairs_left_out"] == 1  # 13 pairs in batches of 4
    assert found["cut_captions"] == len(CUT)


def test_terms_of_weight_zero_are_no_part_of_it(tmp_path):
    loss = MaMALoss(second_image_weight=0.5, local_weight=0.0)
    found = validate(tmp_path, mama(loss=loss))
    assert "local" not in found
    assert found["loss"] == pytest.approx(found["image_text"] + 0.5 * found["second_image_text"] + found["view"])


def test_validation_changes_nothing(tmp_path):
    task = mama()
    before = {name: tensor.clone() for name, tensor in task.model.state_dict().items()}
    validate(tmp_path, task)
    for name, tensor in task.model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_full_batches_leave_no_pair_out(tmp_path):
    assert "pairs_left_out" not in validate(tmp_path, mama(), TinyPairs(pairs=12))


def test_batches_of_one_are_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"no batch of the val set has two pairs; .*batch_size to 2 or more"):
        validate(tmp_path, mama(), TinyPairs(batch_size=1))


def test_classes_are_told_by_the_nearest_of_their_names(tmp_path):
    """All images, the one that is alone in its batch too; but for those whose label is unknown."""
    task, data = mama(), TinyPairs()
    for each in data.samples:
        if each["label"] == 1:
            each["label"] = -1
    found = validate(tmp_path, task, data)
    task.eval()
    logits, labels = [], []
    with torch.no_grad():
        names = torch.tensor([[5, 2 + label, 1] for label in range(CLASSES)])
        hidden = task.model.encode_texts(names, torch.ones_like(names))
        texts = F.normalize(task.model.text_projection(hidden.mean(dim=1)), dim=1)
        for each in data.samples:
            image = task.model.image_embedding(task.model.encode_images(each["image"][None]).pooled)
            if each["label"] >= 0:
                logits.append((task.model.scale * image @ texts.T)[0].numpy())
                labels.append(each["label"])
    figures = classification_metrics(torch.from_numpy(np.stack(logits)), torch.tensor(labels))
    assert found["zero_shot_auroc"] == pytest.approx(figures["auroc"])
    assert found["zero_shot_balanced_accuracy"] == pytest.approx(figures["balanced_accuracy"])


def test_without_labels_classes_are_not_told(tmp_path):
    data = TinyPairs()
    for each in data.samples:
        each["label"] = -1
    assert not any(name.startswith("zero_shot") for name in validate(tmp_path, mama(), data))


def test_names_of_classes_are_embedded_anew_by_new_weights(tmp_path):
    task = mama()
    first = validate(tmp_path, task)
    with torch.no_grad():
        task.model.text_projection.weight.neg_()
        task.model.text_projection.bias.neg_()
    assert validate(tmp_path, task)["zero_shot_auroc"] == pytest.approx(1 - first["zero_shot_auroc"], abs=1e-6)


def test_a_test_says_alike_and_prints_it(tmp_path, capsys):
    task = mama()
    found = validate(tmp_path, task)
    [tested] = trainer(tmp_path).test(task, TinyPairs(), verbose=False)
    assert {name.removeprefix("test/"): value for name, value in tested.items()} == found
    assert f"test: image_text {found['image_text']:.4g}, " in capsys.readouterr().out


def test_the_best_is_chosen_from_late_start_on(tmp_path):
    best = BestCheckpoint("val/loss", mode="max")  # it falls, so that the first epoch that may be chosen is
    runner = trainer(tmp_path, max_epochs=3, callbacks=[best])
    runner.fit(mama(late_start=5), TinyPairs())  # 4 steps an epoch
    assert torch.load(best.best_model_path, weights_only=True)["global_step"] == 8


def test_without_late_losses_the_best_is_chosen_from_the_start(tmp_path):
    clip = MaMALoss(second_image_weight=0.0, view_weight=0.0, local_weight=0.0)
    assert mama(loss=clip).select_from_step == 0
    best = BestCheckpoint("val/loss", mode="min")
    trainer(tmp_path, callbacks=[best]).fit(mama(loss=clip, late_start=100), TinyPairs())
    assert best.best_model_path


def test_a_figure_that_is_not_made_cannot_choose(tmp_path):
    data = TinyPairs()
    for each in data.samples:
        each["label"] = -1
    with pytest.raises(ConfigurationError, match=r"monitor 'val/zero_shot_auroc' is no figure of the validation"):
        trainer(tmp_path, callbacks=[BestCheckpoint("val/zero_shot_auroc")]).fit(mama(), data)
