"""What a pretraining keeps, and what it refuses to be loaded into."""

import json

import pytest
import torch

from medlit.callbacks import BestCheckpoint
from medlit.checkpoint import read_checkpoint
from medlit.errors import CheckpointMismatchError
from medlit.mama_checkpoint import mama_info, restore_mama
from medlit.models import ImageTower, TextTower
from tests.medlit.tasks.tiny import TinyDataModule, trainer, unimodal
from tests.medlit.tasks.tiny_pairs import IMAGE, TinyPairs, mama, text_tower

TOKENIZER = {"source": "words", "separator": "[SEP]", "max_tokens": 12}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The checkpoint of a training of two steps, and the task."""
    folder = tmp_path_factory.mktemp("trained")
    task, data = mama(late_start=1, class_names=["a", "b", "c"]), TinyPairs(pairs=8)
    data.sharing_terms, data.target = "keep it", "density"
    trainer(folder, callbacks=[BestCheckpoint("val/loss", mode="min")]).fit(task, data)
    return folder / "checkpoints" / "last.ckpt", task


def test_holds_what_is_trained_and_none_of_the_frozen_text_model(trained):
    path, task = trained
    state, info = read_checkpoint(path)
    frozen = {f"text_encoder.{name}" for name in task.model.text_encoder.frozen_names()}
    assert len(frozen) > 20
    assert state.keys() == task.model.state_dict().keys() - frozen
    assert {name for name in state if name.startswith("text_encoder")} == {
        name for name, tensor in task.model.named_parameters() if "lora_" in name and tensor.requires_grad
    }
    assert json.loads(json.dumps(info)) == info


def test_says_what_it_belongs_to(trained):
    path, task = trained
    _, info = read_checkpoint(path)
    assert (info["format_version"], info["model"]) == (1, "MaMAModel")
    assert info["image"]["name"] == "vit_tiny_patch16_224"
    assert info["image"]["img_size"] == 32
    assert info["text"]["fingerprint"] == task.model.text_encoder.fingerprint()
    assert info["tokenizer"] == TOKENIZER
    assert (info["target"], info["class_names"]) == ("density", ["a", "b", "c"])
    assert info["restrictions"] == {"pairs": "keep it"}


def test_is_restored_whole(trained):
    path, task = trained
    state, info = read_checkpoint(path)
    fresh = mama().model
    with torch.no_grad():
        for parameter in fresh.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    restore_mama(fresh, state, info, source="x.ckpt", tokenizer={**TOKENIZER, "source": "/moved/words"})
    for name, tensor in task.model.state_dict().items():
        assert torch.equal(tensor, fresh.state_dict()[name]), name
    assert fresh.restrictions == {"pairs": "keep it"}


def test_an_evaluation_takes_the_weights_of_the_checkpoint(trained):
    path, task = trained
    folder = path.parents[1]
    [expected] = trainer(folder).validate(task, TinyPairs(pairs=8), verbose=False)
    other = mama(late_start=1)
    with torch.no_grad():
        other.model.image_projection.weight.zero_()
    runner = trainer(folder, callbacks=[BestCheckpoint("val/loss", mode="min")])
    settings = {"ckpt_path": str(path), "weights_only": True, "verbose": False}
    assert runner.validate(other, TinyPairs(pairs=8), **settings) == [expected]


LLAMA = TextTower(
    backbone="llama",
    pretrained=False,
    model_args={
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
    },
)


def tower(**settings):
    return ImageTower(**{**vars(IMAGE), **settings})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"model": {"text": LLAMA}},
            r"trained on other text weights \(gpt2, \w{12}\) than loaded here \(llama, \w{12}\)",
        ),
        ({"num_tokens": 21}, "trained with num_tokens 20, here it is 21"),
        (
            {"model": {"text": TextTower(**{**vars(text_tower()), "adapter": None, "train_backbone": True})}},
            "trained with train_text False, here it is True",
        ),
        (
            {"model": {"image": tower(model_args={"depth": 3, "embed_dim": 32, "num_heads": 2})}},
            r"trained with image model_args \{'depth': 2, .*, here it is \{'depth': 3, ",
        ),
        ({"img_size": 48}, "trained with image img_size 32, here it is 48"),
        ({"model": {"image": tower(image_mean=(0.1, 0.2, 0.3))}}, r"trained with image image_mean \[0.5, 0.5, 0.5\]"),
        ({"model": {"embed_dim": 8}}, "trained with embed_dim 16, here it is 8"),
        ({"model": {"fidelity": "code"}}, "trained with fidelity paper, here it is code"),
        (
            {"model": {"text": TextTower(**{**vars(text_tower()), "adapter": None})}},
            "trained with text_adapter LoraConfig, here it is None",
        ),
    ],
)
def test_another_model_is_refused(settings, words, trained):
    state, info = read_checkpoint(trained[0])
    with pytest.raises(CheckpointMismatchError, match=rf"x\.ckpt: {words}"):
        restore_mama(mama(**settings).model, state, info, source="x.ckpt")


def test_another_tokenizer_is_refused(trained):
    state, info = read_checkpoint(trained[0])
    for name, value in {"separator": "<s>", "source": "stanford-crfm/BioMedLM"}.items():
        with pytest.raises(CheckpointMismatchError, match=f"trained with tokenizer {name} "):
            restore_mama(mama().model, state, info, source="x", tokenizer={**TOKENIZER, name: value})


def test_other_folds_are_refused(trained):
    state, info = read_checkpoint(trained[0])
    folds = {"num_folds": 5, "fold": 1, "split_seed": 0}
    with pytest.raises(CheckpointMismatchError, match="trained with data fold 1, here it is 2"):
        restore_mama(mama().model, state, {**info, "folds": folds}, source="x", folds={**folds, "fold": 2})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format_version": 2}, "format version 2, this medlit reads version 1"),
        ({"model": "UnimodalClassifier"}, "a checkpoint of UnimodalClassifier, not of MaMAModel"),
        ({"text": None}, "its 'medlit' entry is incomplete"),
        ({"restrictions": ["no"]}, "its 'restrictions' are no terms by data set"),
    ],
)
def test_another_or_a_damaged_file_is_refused(change, words, trained):
    state, info = read_checkpoint(trained[0])
    with pytest.raises(CheckpointMismatchError, match=words):
        restore_mama(mama().model, state, {**info, **change}, source="x.ckpt")


def test_tensors_that_are_missing_or_left_over_are_named(trained):
    state, info = read_checkpoint(trained[0])
    less = {name: tensor for name, tensor in state.items() if name != "patch_head.0.weight"}
    with pytest.raises(CheckpointMismatchError, match=r"lacks 1 trained tensors, as patch_head\.0\.weight"):
        restore_mama(mama().model, less, info, source="x")
    with pytest.raises(CheckpointMismatchError, match="has left over 1 trained tensors, as spare"):
        restore_mama(mama().model, {**state, "spare": torch.zeros(1)}, info, source="x")


def test_a_classifiers_checkpoint_does_not_go_on_as_a_pretraining(tmp_path):
    trainer(tmp_path, callbacks=[BestCheckpoint("val/loss", mode="min")]).fit(unimodal(), TinyDataModule())
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(CheckpointMismatchError, match=r"last\.ckpt: a checkpoint of UnimodalClassifier"):
        trainer(tmp_path).fit(mama(), TinyPairs(), ckpt_path=last, weights_only=True)


def test_names_the_checkpoints_that_the_model_started_from():
    model = mama().model
    model.image_encoder.restrictions = {"EMBED": "terms"}
    assert mama_info(model, restrictions={"other": "more"})["restrictions"] == {"EMBED": "terms", "other": "more"}
