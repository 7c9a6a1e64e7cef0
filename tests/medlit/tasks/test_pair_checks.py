"""Pairs that nothing can be learned from are refused, in words that say which setting to change."""

import pytest
import torch

from data_modules.mammography import EMBEDDataModule
from medlit.errors import ConfigurationError, NonFiniteLossError
from medlit.tasks.pair_checks import ALIKE, CaptionWatch, tokenizer_of
from tests.data_modules.mammography.prepared_trees import pristine
from tests.medlit.tasks.tiny import TinyDataModule, trainer
from tests.medlit.tasks.tiny_pairs import IMG_SIZE, Captions, TinyPairs, mama, text_tower


def fit(folder, data, **settings):
    trainer(folder, limit_val_batches=0, enable_checkpointing=False).fit(mama(**settings), data)


def test_a_batch_of_one_pair_is_refused_before_training(tmp_path):
    with pytest.raises(ConfigurationError, match=r"TinyPairs: batch_size is 1 on 1 process: .* set it to 2 or more"):
        fit(tmp_path, TinyPairs(batch_size=1))


@pytest.mark.parametrize("late_start", [0, 3])
def test_a_batch_of_one_pair_is_refused_where_the_data_do_not_say(late_start, tmp_path):
    data = TinyPairs(batch_size=1)
    data.trainer = trainer(tmp_path, enable_checkpointing=False, limit_val_batches=0)
    with pytest.raises(ConfigurationError, match=r"a batch of one pair: .* batch_size to 2 or more"):
        data.trainer.fit(mama(late_start=late_start), data.train_dataloader(), data.val_dataloader())


def test_captions_that_are_all_alike_are_refused(tmp_path):
    data = TinyPairs()
    for each in data.samples:
        each["tokens"] = data.samples[0]["tokens"]
    with pytest.raises(ConfigurationError, match=r"the first 8 captions are all alike, .* nothing can be learned"):
        fit(tmp_path, data)


def test_captions_that_are_alike_by_chance_are_not():
    watch = CaptionWatch()
    watch.see(torch.tensor([3, 3]))
    watch.see(torch.tensor([3, 4]))
    for _ in range(ALIKE):
        watch.see(torch.tensor([3, 3]))


def test_captions_that_are_alike_inside_of_each_batch_alone_are_not():
    watch = CaptionWatch()
    for caption in range(ALIKE):
        watch.see(torch.tensor([caption, caption]))


@pytest.mark.parametrize("size", [2, ALIKE])
def test_captions_are_all_alike_after_as_many_as_rule_out_chance(size):
    watch = CaptionWatch()
    for _ in range(ALIKE // size - 1):
        watch.see(torch.full((size,), 7))
    with pytest.raises(ConfigurationError, match="the first 8 captions are all alike"):
        watch.see(torch.full((size,), 7))


def test_captions_longer_than_the_text_model_reads_are_refused(tmp_path):
    short = {"model": {"text": text_tower(positions=20)}}
    with pytest.raises(ConfigurationError, match=r"up to 21 tokens, but the text model reads 20; .* to 20 or fewer"):
        fit(tmp_path, TinyPairs(captions=Captions(max_tokens=21)), **short)
    fit(tmp_path, TinyPairs(captions=Captions(max_tokens=20)), **short)


@pytest.mark.parametrize("name", ["image", "second_image"])
def test_an_image_that_is_no_number_stops_training_and_is_named(name, tmp_path):
    data = TinyPairs()
    data.samples[5][name][:] = float("nan")
    words = r"training loss is not finite at epoch 0, step \d \(.*view nan.*\); cases c5; lower the learning rate"
    with pytest.raises(NonFiniteLossError, match=words):
        fit(tmp_path, data, late_start=0)


def test_a_loss_that_is_no_number_without_such_an_image_names_the_batch(tmp_path):
    task = mama()
    with torch.no_grad():
        task.model.log_scale.fill_(float("nan"))
    with pytest.raises(NonFiniteLossError, match=r"at epoch 0, step 0 \(.*\); cases (c\d+, ){3}c\d+; lower"):
        trainer(tmp_path, limit_val_batches=0, enable_checkpointing=False).fit(task, TinyPairs())


def test_an_image_that_is_no_number_stops_a_validation(tmp_path):
    data = TinyPairs()
    data.samples[5]["image"][:] = float("nan")
    with pytest.raises(NonFiniteLossError, match=r"loss of the val set is not finite at epoch 0, step 0 \(image_text"):
        trainer(tmp_path).validate(mama(), data, verbose=False)


@pytest.mark.parametrize(
    "data",
    [TinyDataModule(), EMBEDDataModule(root=pristine("embed"), img_size=IMG_SIZE)],
    ids=["no captions", "classification"],
)
def test_data_without_captions_are_refused(data, tmp_path):
    with pytest.raises(ConfigurationError, match=r"DataModule gives cases with labels, a MaMATask needs images with"):
        fit(tmp_path, data)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"num_tokens": None}, r"MaMATask needs data with captions; set data.init_args.pretraining: \{\}"),
        ({"late_start": -1}, "late_start is -1; it counts optimizer steps"),
        ({"micro_batch_size": 0}, "micro_batch_size is 0; it is at least 1, or null"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ConfigurationError, match=words):
        mama(**settings)


def test_predicting_pairs_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"predicts no classes; use .*ZeroShotTask"):
        trainer(tmp_path).predict(mama(), TinyPairs())


def test_the_tokenizer_is_that_of_the_data():
    expected = {"source": "words", "separator": "[SEP]", "max_tokens": 12}
    assert tokenizer_of(TinyPairs()) == expected
    assert tokenizer_of(TinyDataModule()) is None
