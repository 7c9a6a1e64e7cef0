"""The local loss against the form that holds all products: the same numbers, and memory within its bound."""

import pytest

from benchmarks.local_alignment import TOLERANCE, Setting, largest_difference, measure

MOST_BEYOND = 0.5e9
"""Bytes beyond inputs and their gradients at N = 256, P = 1369, S = 1500."""


def test_the_two_forms_compute_the_same():
    setting = Setting(images=6, patches=11, sentences=20, channels=16, threads=1)
    assert largest_difference(setting) < TOLERANCE


@pytest.mark.slow
def test_memory_at_the_papers_batch_is_within_its_bound():
    """With few channels, for time's sake: channels count in inputs and gradients alone."""
    setting = Setting(images=256, patches=1369, sentences=1500, channels=8, threads=1)
    ((_, beyond),) = measure(setting, ["product"], repeats=1).values()
    products = 4 * setting.images * setting.patches * setting.sentences
    assert beyond <= MOST_BEYOND < products / 4
