"""Figures of captions, counted by hand."""

import numpy as np
import pytest

from data_modules.mammography.captions.statistics import duplicate_rate, duplicate_rate_in_batches, token_lengths
from data_modules.mammography.tokens import load_tokenizer

A, B, C = ("a.",), ("b.",), ("a.", "b.")


def test_duplicates_are_all_captions_of_more_than_one_image():
    assert duplicate_rate([A, A, B, C]) == 0.5
    assert duplicate_rate([A, B, C]) == 0
    assert duplicate_rate([A, A]) == 1


def test_batches_hold_fewer_duplicates_than_the_whole():
    captions = [A, B] * 50
    inside = duplicate_rate_in_batches(captions, batch=2, generator=np.random.default_rng(0))
    pairs = 50 * 49 / (100 * 99 / 2)  # share of pairs that are alike: 2 * C(50, 2) of C(100, 2)
    assert inside == pytest.approx(pairs, abs=5 * np.sqrt(0.25 / 50))
    assert duplicate_rate_in_batches(captions, batch=1, generator=np.random.default_rng(0)) == 0
    assert duplicate_rate_in_batches([A, A, B], batch=9, generator=np.random.default_rng(0)) == pytest.approx(2 / 3)


def test_token_lengths_count_separators_and_unknown_words():
    lengths = token_lengths(load_tokenizer("words"), [("breast view.", "Qwertz!"), ("breast.",), ("breast.",)])
    assert lengths.tokens.tolist() == [4 + 3, 3, 3]
    assert lengths.unknown == pytest.approx(1 / 13)
