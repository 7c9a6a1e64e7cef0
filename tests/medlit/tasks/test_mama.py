"""What a training step of MaMA does, before and after its late losses join."""

from collections import defaultdict

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import SGD, AdamW

from medlit.losses import MaMALoss, clip_loss, nt_xent_loss
from medlit.tasks import WarmupCosineLR
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.tiny_pairs import CUT, LATE_START, TinyPairs, collate, mama, sample

CLIP = {"second_image_weight": 0.0, "view_weight": 0.0, "local_weight": 0.0}
SLIP = {"second_image_weight": 0.0, "local_weight": 0.0}


class Steps(Callback):
    """By step: the gradients that the optimizer sees, and how many images the tower was given."""

    def __init__(self):
        self.gradients = []
        self.images = []

    def on_fit_start(self, runner, task):
        encoder = task.model.image_encoder
        encoder.vit.patch_embed.register_forward_pre_hook(lambda _, given: self.images.append(len(given[0])))

    def on_before_optimizer_step(self, runner, task, optimizer):
        # Lightning calls callbacks before the task's own hook, which takes gradients away.
        task.on_before_optimizer_step(optimizer)
        given = {name: parameter.grad for name, parameter in task.model.named_parameters() if parameter.requires_grad}
        self.gradients.append({name: None if grad is None else grad.clone() for name, grad in given.items()})


def fit(folder, *, epochs=2, data=None, precision="32-true", accumulate=1, **settings):
    """Train on 4 full batches of 4 an epoch."""
    steps = Steps()
    runner = trainer(
        folder,
        max_epochs=epochs,
        callbacks=[steps],
        enable_checkpointing=False,
        precision=precision,
        accumulate_grad_batches=accumulate,
        limit_val_batches=0,
    )
    task = mama(**settings)
    runner.fit(task, data or TinyPairs())
    return task, runner, steps


def untouched(gradients):
    """Parts of the model, by first name, in which no parameter has a gradient; and those in which all have."""
    by_part = defaultdict(list)
    for name, gradient in gradients.items():
        by_part[name.split(".")[0]].append(gradient is not None)
    return {part for part, given in by_part.items() if not any(given)}, {
        p for p, given in by_part.items() if all(given)
    }


HEADS = {"view_projection", "patch_head", "sentence_head", "log_local_scale"}


def test_late_losses_join_at_their_step_and_the_second_image_is_not_encoded_before(tmp_path):
    _, _, steps = fit(tmp_path)
    assert steps.images == [4] * LATE_START + [8] * (8 - LATE_START)
    for number, gradients in enumerate(steps.gradients):
        without, _ = untouched(gradients)
        assert without == (HEADS if number < LATE_START else set())


def test_optimizer_steps_count_not_batches(tmp_path):
    _, _, steps = fit(tmp_path, accumulate=2)  # 2 optimizer steps an epoch
    assert steps.images == [4] * 2 * LATE_START + [8] * 2


@pytest.mark.parametrize(
    ("weights", "idle", "images"),
    [(CLIP, HEADS, 4), (SLIP, HEADS - {"view_projection"}, 8)],
    ids=["CLIP", "SLIP"],
)
def test_clip_and_slip_are_the_same_task_with_losses_off(weights, idle, images, tmp_path):
    _, runner, steps = fit(tmp_path, loss=MaMALoss(**weights), late_start=0, epochs=1)
    assert steps.images == [images] * 4
    assert untouched(steps.gradients[-1])[0] == idle
    terms = {"image_text", "view"} if weights is SLIP else {"image_text"}
    known = {"image_text", "second_image_text", "view", "local"}
    assert {name.removeprefix("train/") for name in runner.callback_metrics} & known == terms


def test_adamw_leaves_alone_what_no_loss_reads_yet(tmp_path):
    before = {name: parameter.clone() for name, parameter in mama().model.named_parameters()}
    early, _, _ = fit(tmp_path, epochs=1, late_start=100)
    late, runner, _ = fit(tmp_path, epochs=1, late_start=2)
    for name, parameter in early.model.named_parameters():
        if name.split(".")[0] in HEADS:
            assert torch.equal(parameter, before[name]), name
    [optimizer] = runner.optimizers
    states = {name: optimizer.state[parameter] for name, parameter in late.model.named_parameters()}
    assert states["log_scale"]["step"] == 4
    assert states["log_local_scale"]["step"] == 2  # as if the optimizer had been made when the loss joined


def test_the_total_is_the_weighted_sum_of_the_terms(tmp_path):
    loss = MaMALoss(second_image_weight=0.5, view_weight=2.0, local_weight=0.25)
    _, runner, _ = fit(tmp_path, loss=loss, late_start=0, epochs=1)
    found = {name: float(value) for name, value in runner.callback_metrics.items()}
    weights = {"image_text": 1, "second_image_text": 0.5, "view": 2.0, "local": 0.25}
    assert found["train/loss"] == pytest.approx(sum(w * found[f"train/{name}"] for name, w in weights.items()))


def test_terms_are_made_of_the_embeddings_as_the_paper_says():
    task, batch = mama().train(), collate([sample(index) for index in range(6)])
    found = task(batch, ("second_image_text", "view"))
    model = task.model
    first, second = (model.encode_images(batch[name]).pooled for name in ("image", "second_image"))
    hidden = model.encode_texts(batch["input_ids"], batch["attention_mask"])
    mean = torch.stack([row[mask == 1].mean(0) for row, mask in zip(hidden, batch["attention_mask"], strict=True)])
    texts = torch.nn.functional.normalize(model.text_projection(mean), dim=1)
    images, others = (torch.nn.functional.normalize(model.image_projection(each), dim=1) for each in (first, second))
    terms = task.loss(found, scale=model.scale, local_scale=model.local_scale, late=False, gather=False)
    assert terms["image_text"].item() == pytest.approx(clip_loss(images, texts, model.scale).item(), abs=1e-5)
    assert torch.allclose(found.second_image, others, atol=1e-6)
    views = nt_xent_loss(model.view_projection(first), model.view_projection(second))
    assert nt_xent_loss(found.view, found.second_view).item() == pytest.approx(views.item(), abs=1e-5)
    assert found.patches is None
    assert found.sentences is None


def test_the_local_loss_reads_patches_of_the_first_image_and_ends_of_sentences():
    task, batch = mama().train(), collate([sample(index) for index in range(6)])
    model, normalize = task.model, torch.nn.functional.normalize
    found = task(batch, ("second_image_text", "view", "local"))
    patches = model.encode_images(batch["image"]).patches
    expected = normalize(model.patch_head(patches.reshape(-1, patches.shape[2])), dim=1).view_as(found.patches)
    assert torch.allclose(found.patches, expected, atol=1e-5)
    hidden = model.encode_texts(batch["input_ids"], batch["attention_mask"])
    ends = [
        (row, place) for row, ids in enumerate(batch["input_ids"].tolist()) for place, i in enumerate(ids) if i == 1
    ]
    expected = normalize(model.sentence_head(torch.stack([hidden[end] for end in ends])), dim=1)
    assert torch.allclose(found.sentences, expected, atol=1e-5)
    assert found.sentence_owner.tolist() == [row for row, _ in ends]


def test_parts_of_a_batch_in_the_towers_change_no_gradient(tmp_path):
    """Of the first step of each stage; later ones follow from it."""
    optimizer = {"optimizer": lambda parameters: SGD(parameters, lr=0.0)}
    whole, parts = (fit(tmp_path, micro_batch_size=size, epochs=1, late_start=2, **optimizer)[2] for size in (None, 3))
    assert sorted(parts.images[:4]) == [1, 1, 3, 3]  # each part again in the backward pass
    for expected, found in zip(whole.gradients, parts.gradients, strict=True):
        for name, gradient in expected.items():
            assert (gradient is None) == (found[name] is None)
            if gradient is not None:
                assert torch.allclose(gradient, found[name], rtol=1e-5, atol=1e-6), name


def test_what_is_logged_of_a_training(tmp_path):
    _, runner, _ = fit(tmp_path, epochs=1, late_start=0, data=TinyPairs(pairs=12))
    found = {name: float(value) for name, value in runner.callback_metrics.items() if name.startswith("train/")}
    figures = {"scale", "local_scale", "image_to_text_accuracy", "text_to_image_accuracy", "duplicate_captions"}
    counts = {"cut_captions", "captions_without_sentence"}
    terms = {"loss", "image_text", "second_image_text", "view", "local"}
    assert {name.removeprefix("train/") for name in found} == figures | counts | terms
    assert found["train/cut_captions"] == len(CUT)
    assert found["train/scale"] == pytest.approx(1 / 0.07, rel=0.01)


def test_captions_without_a_sentence_are_counted(tmp_path):
    data = TinyPairs(pairs=8)
    for each in data.samples[:3]:
        each["tokens"] = each["tokens"].masked_fill(each["tokens"] == 1, 6)  # no separator
    _, runner, _ = fit(tmp_path, data=data, epochs=1, late_start=0)
    assert runner.callback_metrics["train/captions_without_sentence"] == 3


def test_a_batch_with_one_sentence_has_no_local_loss_and_training_goes_on(tmp_path):
    data = TinyPairs(pairs=4)
    for each in data.samples[1:]:
        each["tokens"] = each["tokens"].masked_fill(each["tokens"] == 1, 6)  # no separator
    _, runner, _ = fit(tmp_path, data=data, epochs=1, late_start=0)  # the first caption has one sentence
    assert runner.callback_metrics["train/captions_without_sentence"] == 3
    assert runner.callback_metrics["train/local"] == 0


def test_the_released_optimizer_is_the_default(tmp_path):
    _, runner, _ = fit(tmp_path, epochs=1)
    [optimizer] = runner.optimizers
    assert isinstance(optimizer, AdamW)
    assert {name: optimizer.defaults[name] for name in ("lr", "betas", "weight_decay")} == {
        "lr": 4e-5,
        "betas": (0.9, 0.999),
        "weight_decay": 0.1,
    }


def test_the_schedule_counts_optimizer_steps(tmp_path):
    schedule = {"scheduler": lambda optimizer: WarmupCosineLR(optimizer, warmup_steps=2, total_steps=4, min_lr=1e-8)}
    _, runner, _ = fit(tmp_path, accumulate=2, **schedule)  # 8 batches, 4 steps
    assert runner.optimizers[0].param_groups[0]["lr"] == 1e-8


@pytest.mark.slow
def test_pairs_are_learned_in_low_precision_too(tmp_path):
    fast = {"optimizer": lambda parameters: AdamW(parameters, lr=3e-3), "data": TinyPairs(pairs=12, batch_size=6)}
    _, runner, _ = fit(tmp_path, epochs=25, late_start=10, precision="bf16-mixed", **fast)
    assert runner.callback_metrics["train/image_to_text_accuracy"] > 0.7  # chance is 1/6
