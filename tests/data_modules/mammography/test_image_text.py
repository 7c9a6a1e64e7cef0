"""Image-text samples: which image is the second, which caption goes with it; nothing but the request decides."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch

from data_modules.errors import DataSettingsError
from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import ImageTextCollate, PairSettings
from data_modules.mammography.tokens import tokenizer_of
from tests.data_modules.contract import same
from tests.data_modules.mammography.prepared_trees import pristine

SIZE = 12


def build(*, split="train", training=True, img_size=SIZE, **settings):
    """The dataset of a split."""
    pretraining = PairSettings(**settings)
    data = EMBEDDataModule(root=pristine("embed"), pretraining=pretraining, img_size=img_size, batch_size=4)
    data.setup("fit")
    return data.dataset(split, training=training)


@pytest.fixture(scope="module")
def dataset():
    return build()


def unit(dataset, index, kind):
    return dataset.cases[index].units[kind]


def test_a_sample_is_a_function_of_its_request(dataset):
    assert same(dataset[3, 7], dataset[3, 7])
    assert same(dataset[3, 7], pickle.loads(pickle.dumps(dataset))[3, 7])
    assert not torch.equal(dataset[3, 7]["image"], dataset[3, 8]["image"])


def test_a_sample_keeps_the_contract(dataset):
    sample = dataset[0, 1]
    for name in ("image", "second_image"):
        assert sample[name].shape == (3, SIZE, SIZE)
        assert sample[name].dtype == torch.float32
        assert 0 <= sample[name].min() <= sample[name].max() <= 1
        assert sample[name].max() > 1 / 255
    assert sample["sentences"]
    assert sample["units"] == dataset.cases[0].units
    assert (sample["case_id"], sample["group_id"]) == (dataset.cases[0].case_id, dataset.cases[0].group_id)


def test_the_two_views_are_augmented_each_by_itself(dataset):
    seeds = [seed for seed in range(40) if dataset.partner(0, seed) is None]
    assert len(seeds) > 5
    assert not any(torch.equal(dataset[0, seed]["image"], dataset[0, seed]["second_image"]) for seed in seeds)


@pytest.mark.parametrize("probability", [0.0, 0.5, 0.9, 1.0])
def test_another_image_of_the_study_comes_as_often_as_asked_for(probability):
    dataset = build(pair_probability=probability)
    draws = [dataset.partner(0, seed) for seed in range(600)]
    share = np.mean([draw is not None for draw in draws])
    # Four standard deviations of a binomial share of 600 draws.
    assert share == pytest.approx(probability, abs=4 * np.sqrt(probability * (1 - probability) / 600) + 1e-9)
    for draw in {draw for draw in draws if draw is not None}:
        assert draw != 0
        assert unit(dataset, draw, "exam") == unit(dataset, 0, "exam")


def test_every_other_image_of_the_study_is_drawn_as_often_as_the_others():
    dataset = build(pair_probability=1)
    counts = Counter(dataset.partner(0, seed) for seed in range(600))
    others = [row for row in range(1, len(dataset)) if unit(dataset, row, "exam") == unit(dataset, 0, "exam")]
    assert sorted(counts) == others
    expected = 600 / len(others)
    assert all(abs(count - expected) < 5 * np.sqrt(expected) for count in counts.values())


def test_pairs_by_breast_stay_on_their_side():
    dataset = build(pair="breast", pair_probability=1)
    for index in range(len(dataset)):
        partner = dataset.partner(index, 1)
        assert partner is not None
        assert unit(dataset, partner, "breast") == unit(dataset, index, "breast")
        assert dataset[index, 1]["same_breast"] is True


def test_whether_the_second_image_shows_the_same_breast_is_said():
    dataset = build(pair_probability=1)
    said = set()
    for index in range(12):
        for seed in range(4):
            expected = unit(dataset, dataset.partner(index, seed), "breast") == unit(dataset, index, "breast")
            assert dataset[index, seed]["same_breast"] is expected
            said.add(expected)
    assert said == {True, False}


def test_an_image_by_itself_has_no_partner():
    dataset = build(pair="self", pair_probability=1)
    assert {dataset.partner(index, seed) for index in range(5) for seed in range(5)} == {None}
    assert dataset[0, 0]["same_breast"] is True


def test_captions_are_masked_anew_with_every_seed_and_whole_in_evaluation(dataset):
    drawn = {" ".join(dataset.sentences(0, seed)) for seed in range(60)}
    assert len(drawn) > 3
    evaluation = build(training=False)
    [whole] = {" ".join(evaluation.sentences(0, seed)) for seed in range(10)}
    assert "Asian" in whole
    assert sum("Asian" in text for text in drawn) < len(drawn)


def test_evaluation_draws_nothing():
    dataset = build(split="val", training=False)
    for index in range(len(dataset)):
        assert same(dataset[index, 0], dataset[index, 99])
        partner = dataset.partner(index, 0)
        assert unit(dataset, partner, "exam") == unit(dataset, index, "exam")
        assert torch.equal(dataset[index]["second_image"], dataset[partner]["image"])


def test_in_evaluation_an_image_without_a_partner_is_not_paired_with_its_copy():
    dataset = build(split="val", training=False, pair="self")
    sample = dataset[0]
    assert not torch.equal(sample["image"], sample["second_image"])
    assert same(sample, dataset[0, 5])
    assert same(sample, build(split="val", training=False, pair="self")[0])


def test_a_batch_keeps_the_contract(dataset):
    samples = [dataset[index, index] for index in range(5)]
    batch = dataset.collate(samples)
    assert batch["image"].shape == batch["second_image"].shape == (5, 3, SIZE, SIZE)
    assert batch["input_ids"].shape == batch["attention_mask"].shape
    assert batch["same_breast"].dtype == torch.bool
    assert batch["label"].tolist() == [sample["label"] for sample in samples]
    assert batch["caption"] == [" ".join(sample["sentences"]) for sample in samples]
    assert batch["units"]["exam"] == [sample["units"]["exam"] for sample in samples]
    separator = tokenizer_of("words", "[SEP]").separator_id
    for ids, positions, sample in zip(batch["input_ids"], batch["sentence_positions"], samples, strict=True):
        places = positions[positions >= 0]
        assert len(places) == len(sample["sentences"])
        assert (ids[places] == separator).all()
    assert batch["cut_captions"] == 0


def test_captions_that_are_too_long_are_cut_and_counted(dataset):
    samples = [dataset[index, 0] for index in range(3)]
    batch = ImageTextCollate("words", "[SEP]", 30)(samples)
    assert batch["cut_captions"] == 3
    assert batch["input_ids"].shape[1] <= 30


def test_a_worker_is_sent_the_name_of_the_tokenizer_not_its_tokens(dataset):
    assert len(pickle.dumps(dataset.collate)) < 300


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"pair": "exam"}, "unknown pair 'exam'; allowed are 'study', 'breast', 'self'"),
        ({"pair_probability": 1.5}, "pair_probability is 1.5"),
        ({"shuffle_captions": -1}, "shuffle_captions is -1"),
    ],
)
def test_settings_of_pairs_are_checked(setting, said):
    with pytest.raises(DataSettingsError, match=said):
        PairSettings(**setting)


def test_as_a_negative_control_training_images_have_captions_of_other_patients():
    own, shuffled = build(mask_probability=0), build(mask_probability=0, shuffle_captions=3)
    captions = [own.sentences(row, 0) for row in range(len(own))]
    taken = [shuffled.sentences(row, 0) for row in range(len(own))]
    assert sorted(taken) == sorted(captions)
    assert taken != captions
    assert taken == [build(mask_probability=0, shuffle_captions=3).sentences(row, 0) for row in range(len(own))]


def test_in_evaluation_captions_are_never_shuffled():
    own, shuffled = (build(split="val", training=False, shuffle_captions=seed) for seed in (None, 3))
    assert [own.sentences(row, 0) for row in range(len(own))] == [shuffled.sentences(row, 0) for row in range(len(own))]
