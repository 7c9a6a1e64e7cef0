"""A pretraining, then what starts from its checkpoint: one modality fine-tuned, two by Early Intervention."""

from functools import partial

import pytest
import torch

from medlit.checkpoint import read_checkpoint
from medlit.errors import CheckpointMismatchError
from medlit.models import EarlyInterventionClassifier, UnimodalClassifier
from tests.medlit.tasks import tiny
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama

CUT = {"name": "pairs", "split_seed": 0, "num_folds": None, "fold": None}
"""How the data of the pretraining were divided."""
TERMS = "its terms forbid to share what is learned from it"


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """The image tower after an epoch, and the checkpoint."""
    folder = tmp_path_factory.mktemp("pretraining")
    runner, task, pairs = tiny.trainer(folder), mama(optimizer=partial(torch.optim.AdamW, lr=0.01)), TinyPairs()
    pairs.sharing_terms, pairs.cut = TERMS, CUT
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


def cut_as(**changes):
    """Data of the pretraining's set, perhaps divided otherwise."""
    data = tiny.TinyDataModule()
    data.cut = {**CUT, **changes}
    return data


OTHERWISE = [{"split_seed": 1}, {"num_folds": 5, "fold": 0}]
REFUSED = r"trained on pairs cut by (split_seed 0, here it is 1|num_folds None, here it is 5): patients"


@pytest.mark.slow
@pytest.mark.parametrize("cut", OTHERWISE)
@pytest.mark.parametrize("make", [fine_tuned, steered])
def test_data_of_which_the_pretraining_saw_other_patients_are_refused(pretrained, make, cut, tmp_path):
    runner = tiny.trainer(tmp_path)
    with pytest.raises(CheckpointMismatchError, match=REFUSED):
        runner.fit(make(pretrained[1]), datamodule=cut_as(**cut))
    with pytest.raises(CheckpointMismatchError, match=REFUSED):
        runner.test(make(pretrained[1]), datamodule=cut_as(**cut))
    runner.test(make(pretrained[1]), datamodule=cut_as(), verbose=False)
    runner.test(make(pretrained[1]), datamodule=cut_as(**cut, name="another set"), verbose=False)


def unimodal_run(weights, modality, path, *, data):
    """A run of one modality from the tower, by adapters that Early Intervention can start from."""
    options = {"pooling": "mean_tokens", "weights": str(weights)}
    task = tiny.unimodal(modality, model=partial(UnimodalClassifier, **tiny.BACKBONE, **options))
    runner = tiny.trainer(path.parent)
    runner.fit(task, datamodule=data)
    runner.save_checkpoint(path)
    return task


@pytest.mark.slow
def test_what_was_seen_goes_on_from_run_to_run(pretrained, tmp_path):
    path = tmp_path / "clinic.ckpt"
    unimodal_run(pretrained[1], "clinic", path, data=cut_as(name="another set", split_seed=3))
    assert read_checkpoint(path)[1]["cuts"] == [{**CUT, "name": "another set", "split_seed": 3}, CUT]
    for name, seed in (("pairs", 0), ("another set", 3)):
        task = steered(pretrained[1])
        task.init_from = {"clinic": str(path)}
        with pytest.raises(CheckpointMismatchError, match=rf"trained on {name} cut by split_seed {seed}, here it is 2"):
            tiny.trainer(tmp_path).fit(task, datamodule=cut_as(name=name, split_seed=2))


def test_a_classifier_is_not_tested_on_its_own_set_cut_otherwise(pretrained, tmp_path):
    path = tmp_path / "clinic.ckpt"
    task = unimodal_run(pretrained[1], "clinic", path, data=cut_as(name="another set"))
    test = partial(tiny.trainer(tmp_path).test, task, ckpt_path=path, verbose=False, weights_only=True)
    test(datamodule=cut_as(name="another set"))
    with pytest.raises(CheckpointMismatchError, match="trained on another set cut by split_seed 0, here it is 1"):
        test(datamodule=cut_as(name="another set", split_seed=1))


def test_a_pretraining_refuses_its_set_cut_otherwise_too(pretrained, tmp_path):
    pairs = TinyPairs()
    pairs.cut = {**CUT, "split_seed": 1}
    with pytest.raises(CheckpointMismatchError, match="trained on pairs cut by split_seed 0, here it is 1"):
        tiny.trainer(tmp_path).test(mama(), datamodule=pairs, ckpt_path=pretrained[1], weights_only=True)
