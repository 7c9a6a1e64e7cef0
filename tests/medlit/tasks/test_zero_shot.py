"""A zero-shot run tells what the formula tells, keeps its thresholds, and takes no checkpoint that does not fit."""

import json
import math

import polars as pl
import pytest
import torch

from data_modules.mammography.captions import Captioner
from data_modules.mammography.class_text import ClassTextSettings
from data_modules.mammography.tokens import tokenise, tokenizer_of
from medlit.callbacks import BestCheckpoint, PredictionWriter, RunManifest
from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.zero_shot_runs import SIZE, embed, rsna, save_mama, zero_shot


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_mama(tmp_path_factory.mktemp("mama") / "best.ckpt", num_tokens=rsna().num_tokens)


def fit(folder, task, data, **settings):
    """What ``medlit fit`` does, and the test of the best checkpoint."""
    callbacks = [BestCheckpoint(), PredictionWriter(), RunManifest()]
    runner = trainer(folder, callbacks=callbacks, limit_train_batches=1, **settings)
    runner.fit(task, datamodule=data)
    runner.test(task, datamodule=data, ckpt_path=str(folder / "checkpoints/best.ckpt"), weights_only=True)
    return runner


@pytest.fixture(scope="module")
def run(checkpoint, tmp_path_factory):
    """A run of two wordings, its folder, its task, and its data."""
    folder = tmp_path_factory.mktemp("run")
    data = rsna(text=ClassTextSettings(styles=("structured", "simple")))
    task = zero_shot(data, checkpoint)
    fit(folder, task, data)
    return folder, task, data


def literal_logits(model, data, index, *, metadata):
    """Of one image, class by class, caption by caption, wording by wording."""
    dataset = data.dataset("test")
    row = dataset.cases.metadata.row(index) if metadata else None
    image = dataset[index]["images"]["mammogram"]
    image = model.image_embedding(model.encode_images(image).pooled)[0]
    captions = [Captioner(style=style).class_captions("cancer", row) for style in data.class_text.styles]
    sums = [0.0, 0.0]
    for wordings in zip(*captions, strict=True):
        embeddings = []
        for caption in wordings:
            tokens = tokenise(tokenizer_of("words", "[SEP]"), [caption.sentences])
            hidden = model.encode_texts(tokens.input_ids, tokens.attention_mask)
            embeddings.append(model.text_embedding(model.pool_text(hidden, tokens.attention_mask))[0])
        mean = sum(embeddings) / len(embeddings)
        sums[wordings[0].label] += math.exp(float(model.scale * (image @ mean) / mean.norm()))
    return [math.log(total) for total in sums]


@torch.no_grad()
@pytest.mark.parametrize(("head", "metadata"), [("class_captions", False), ("class_captions_with_metadata", True)])
def test_logits_equal_the_formula_image_by_image(run, head, metadata):
    _, task, data = run
    task.eval()
    for index in range(3):
        expected = literal_logits(task.model, data, index, metadata=metadata)
        assert task.case_results.logits[head][index].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_answer_knows_no_metadata_and_both_are_reported_apart(run):
    _, task, _ = run
    assert list(task.case_results.logits) == ["class_captions", "class_captions_with_metadata"]
    plain, own = task.case_results.logits.values()
    assert not torch.allclose(plain, own)
    figures = task.trainer.callback_metrics
    assert {"test/auroc", "test/class_captions_with_metadata/auroc", "test/breast/auroc", "test/exam/auroc"} <= set(
        figures
    )


def test_a_pass_leaves_checkpoints_thresholds_and_predictions(run):
    folder, task, _ = run
    kept = torch.load(folder / "checkpoints/best.ckpt", weights_only=True)
    assert (folder / "checkpoints/last.ckpt").is_file()
    assert kept["state_dict"] == {}
    assert kept["medlit"]["operating_points"] == task.operating_points
    table = pl.read_parquet(folder / "predictions_test.parquet")
    assert table["case_id"].to_list() == task.case_results.case_id
    for prefix, head in (("", "class_captions"), ("class_captions_with_metadata_", "class_captions_with_metadata")):
        logits = table[f"{prefix}logit_cancer"].to_list()
        assert logits == task.case_results.logits[head][:, 1].tolist()


def test_why_weights_must_not_be_shared_is_carried_on(run):
    folder, _, _ = run
    assert torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["medlit"]["restrictions"] == {
        "EMBED": "not to be shared"
    }
    assert json.loads((folder / "manifest.json").read_text())["restrictions"] == {"EMBED": "not to be shared"}


def test_an_untrained_model_stands_at_chance(tmp_path):
    aurocs = []
    for seed in range(4):
        data = embed()
        untrained = save_mama(tmp_path / f"{seed}.ckpt", num_tokens=data.num_tokens, seed=seed)
        runner = trainer(tmp_path)
        runner.test(zero_shot(data, untrained), datamodule=data, verbose=False)
        aurocs += [runner.callback_metrics[f"test/{head}auroc"] for head in ("", "class_captions_with_metadata/")]
    # Standard error of an area of 0.5 among n cases of each of two classes: sqrt((2n + 1) / (12 n^2)), n about 7 here.
    assert torch.stack(aurocs).mean() == pytest.approx(0.5, abs=3 * math.sqrt(15 / (12 * 49)) / math.sqrt(4))


def test_thresholds_of_other_weights_are_refused(run, tmp_path):
    folder, _, _ = run
    data = rsna()
    other = save_mama(tmp_path / "other.ckpt", num_tokens=data.num_tokens, seed=1)
    with pytest.raises(CheckpointMismatchError, match=r"thresholds belong to the weights of .*best.ckpt, those of"):
        trainer(tmp_path).test(zero_shot(data, other), datamodule=data, ckpt_path=folder / "checkpoints/best.ckpt")


def test_a_mama_checkpoint_is_no_checkpoint_of_this_task(checkpoint, tmp_path):
    data = rsna()
    with pytest.raises(CheckpointMismatchError, match=r"weights are given as model.init_args.checkpoint"):
        zero_shot(data, checkpoint).on_load_checkpoint(torch.load(checkpoint, weights_only=True))


def test_weights_of_another_architecture_are_refused(checkpoint):
    data = rsna()
    with pytest.raises(CheckpointMismatchError, match="embed_dim 16, here it is 32"):
        zero_shot(data, checkpoint, towers={"embed_dim": 32})
    with pytest.raises(CheckpointMismatchError, match=f"img_size {SIZE}, here it is 32"):
        zero_shot(rsna(img_size=32), checkpoint)


def test_missing_and_unexpected_tensors_are_named(checkpoint, tmp_path):
    content = torch.load(checkpoint, weights_only=True)
    content["state_dict"]["model.extra"] = content["state_dict"].pop("model.log_scale")
    torch.save(content, tmp_path / "broken.ckpt")
    with pytest.raises(CheckpointMismatchError, match="lacks 1 trained tensors, as log_scale"):
        zero_shot(rsna(), tmp_path / "broken.ckpt")


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        ({"source": "other", "separator": "[SEP]", "max_tokens": 144}, "tokenizer source other, here it is words"),
        ({"source": "words", "separator": "<s>", "max_tokens": 144}, "tokenizer separator <s>, here it is"),
    ],
)
def test_text_of_another_tokenizer_is_refused(tokenizer, message, tmp_path):
    data = rsna()
    path = save_mama(tmp_path / "mama.ckpt", num_tokens=data.num_tokens, tokenizer=tokenizer)
    with pytest.raises(CheckpointMismatchError, match=message):
        trainer(tmp_path).test(zero_shot(data, path), datamodule=data)


def test_a_tokenizer_of_another_size_is_refused(tmp_path):
    data = rsna()
    path = save_mama(tmp_path / "mama.ckpt", num_tokens=data.num_tokens + 1)
    with pytest.raises(CheckpointMismatchError, match="num_tokens"):
        zero_shot(data, path)


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"split_seed": 1}, "trained on EMBED cut by split_seed 1, here it is 0"),
        ({"num_folds": 5, "fold": 0}, "trained on EMBED cut by num_folds 5, here it is None"),
    ],
)
def test_a_set_cut_otherwise_than_in_pretraining_is_refused(cut, message, tmp_path):
    data = embed()
    whole = {"name": "EMBED", "split_seed": 0, "num_folds": None, "fold": None}
    path = save_mama(tmp_path / "mama.ckpt", num_tokens=data.num_tokens, cut={**whole, **cut})
    with pytest.raises(CheckpointMismatchError, match=message):
        trainer(tmp_path).test(zero_shot(data, path), datamodule=data)
    other = rsna()
    trainer(tmp_path).test(zero_shot(other, path), datamodule=other, verbose=False)


def test_a_text_model_too_short_for_the_captions_is_refused(tmp_path):
    data = rsna(text=ClassTextSettings(max_tokens=200))
    path = save_mama(tmp_path / "mama.ckpt", num_tokens=data.num_tokens)
    with pytest.raises(ConfigurationError, match=r"200 tokens, but the text model reads 144; set .*max_tokens to 144"):
        trainer(tmp_path).test(zero_shot(data, path), datamodule=data)


def test_a_checkpoint_that_is_not_there_is_named():
    with pytest.raises(WeightsNotFoundError, match=r"checkpoint runs/none.ckpt does not exist"):
        zero_shot(rsna(), "runs/none.ckpt")


def test_data_without_text_are_refused(checkpoint):
    data = rsna()
    with pytest.raises(ConfigurationError, match=r"needs data with captions of classes; set data.init_args.class_text"):
        zero_shot(data, checkpoint, num_tokens=None)
    with pytest.raises(ConfigurationError, match="batches have no captions of classes"):
        zero_shot(data, checkpoint).rows(next(iter(_batches())))


def test_several_modalities_or_labels_are_refused(checkpoint):
    data = rsna()
    with pytest.raises(ConfigurationError, match="one class of each image; the data have the modalities CC, MLO"):
        zero_shot(data, checkpoint, modalities=["CC", "MLO"])
    with pytest.raises(ConfigurationError, match="several labels a case"):
        zero_shot(data, checkpoint, multi_label=True)


def _batches():
    """Of data that know no text."""
    data = rsna(text=None)
    data.class_text = None
    data.setup("test")
    return data.test_dataloader()


def test_another_trainer_encodes_captions_anew(checkpoint, tmp_path):
    """By its own precision, and on its own device."""
    data = rsna()
    again, fresh = zero_shot(data, checkpoint), zero_shot(data, checkpoint)
    for task, precisions in ((again, ("bf16-mixed", "32-true")), (fresh, ("32-true",))):
        for precision in precisions:
            trainer(tmp_path, precision=precision).test(task, datamodule=data, verbose=False)
    assert torch.equal(again.case_results.answer, fresh.case_results.answer)


def test_cases_whose_captions_were_cut_are_counted(tmp_path):
    captions = [caption.sentences for caption in Captioner().class_captions("density")]
    longest = tokenise(tokenizer_of("words", "[SEP]"), captions).input_ids.shape[1]
    data = embed(class_text=ClassTextSettings(max_tokens=longest))  # just long enough for captions without metadata
    path = save_mama(tmp_path / "mama.ckpt", num_tokens=data.num_tokens)
    runner = trainer(tmp_path)
    runner.test(zero_shot(data, path), datamodule=data, verbose=False)
    rows = data.dataset("test").cases.metadata
    long = [
        max(len(tokenise(tokenizer_of("words", "[SEP]"), [each.sentences]).input_ids[0]) for each in own) > longest
        for own in (Captioner().class_captions("density", rows.row(index)) for index in range(len(rows)))
    ]
    assert runner.callback_metrics["test/cut_captions"] == sum(long) > 0
