"""A pretraining, then what starts from its checkpoint: one modality fine-tuned, two by Early Intervention."""

from functools import partial

import pytest
import torch

from medlit.checkpoint import read_checkpoint
from medlit.models import EarlyInterventionClassifier, UnimodalClassifier
from tests.medlit.tasks import tiny
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama

TERMS = "its terms forbid to share what is learned from it"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The image tower after an epoch, and the checkpoint."""
    folder = tmp_path_factory.mktemp("pretraining")
    runner, task, pairs = tiny.trainer(folder), mama(optimizer=partial(torch.optim.AdamW, lr=0.01)), TinyPairs()
    pairs.sharing_terms = TERMS
    runner.fit(task, datamodule=pairs)
    runner.save_checkpoint(folder / "best.ckpt")
    return task.model.image_encoder.vit, folder / "best.ckpt"


def tensors(vit):
    return [tensor.clone() for tensor in vit.parameters()]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def fine_tuned(weights):
    options = {"adapter": None, "train_backbone": True, "pooling": "mean_tokens", "weights": str(weights)}
    return tiny.unimodal(model=partial(UnimodalClassifier, **tiny.BACKBONE, **options))


def steered(weights):
    options = {"pooling": "mean_tokens", "weights": str(weights)}
    return tiny.early_intervention(model=partial(EarlyInterventionClassifier, **tiny.BACKBONE, **options))


@pytest.mark.parametrize(("make", "changes"), [(fine_tuned, True), (steered, False)])
def test_starts_from_the_image_tower_and_carries_its_terms_on(pretrained, make, changes, tmp_path):
    tower, path = pretrained
    fresh = tiny.unimodal().model.backbone.encoder.vit
    assert not equal(tensors(tower), tensors(fresh))
    task = make(path)
    vit = task.model.backbone.encoder.vit
    assert equal(tensors(vit), tensors(tower))
    runner = tiny.trainer(tmp_path)
    runner.fit(task, datamodule=tiny.TinyDataModule())
    assert equal(tensors(vit), tensors(tower)) is not changes
    runner.save_checkpoint(tmp_path / "best.ckpt")
    state, info = read_checkpoint(tmp_path / "best.ckpt")
    assert info["restrictions"] == {"pairs": TERMS}
    assert ("backbone.encoder.vit.blocks.0.mlp.fc1.weight" in state) is changes


def test_a_fine_tuned_classifier_answers_from_its_checkpoint_as_it_did(pretrained, tmp_path):
    _, path = pretrained
    runner, task, data = tiny.trainer(tmp_path), fine_tuned(path), tiny.TinyDataModule()
    runner.fit(task, datamodule=data)
    runner.save_checkpoint(tmp_path / "best.ckpt")
    runner.test(task, datamodule=data, verbose=False)
    again = fine_tuned(path)
    tiny.trainer(tmp_path).test(
        again, datamodule=data, ckpt_path=tmp_path / "best.ckpt", verbose=False, weights_only=True
    )
    assert torch.equal(again.case_results.answer, task.case_results.answer)
