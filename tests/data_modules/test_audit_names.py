"""Names that give the class away are found, and chance is not taken for it."""

import numpy as np
import pytest

from data_modules.audit_names import name_tokens, telling_tokens


def numbered(classes, form, *, cases=60, seed=0):
    """Names with a number drawn by lot, classes in turn."""
    generator = np.random.default_rng(seed)
    for i in range(cases):
        number = int(generator.integers(10**6))
        yield (
            [form.format(name=classes[i % len(classes)], number=number, letter=classes[i % len(classes)][0])],
            classes[i % len(classes)],
        )


def test_tokens_are_runs_of_letters_and_of_digits():
    assert name_tokens("cfp-448x448\\F-h-0012_30.jpg") == ["cfp", "448", "x", "448", "f", "h", "0012", "30"]


@pytest.mark.parametrize("form", ["f-{letter}-{number}.jpg", "{number}{letter}.png", "{letter}/{number}.png"])
def test_a_letter_of_the_class_is_told_once(form):
    found = telling_tokens(numbered(("normal", "dry", "wet"), form))
    assert sorted((token.token, token.class_name, token.place) for token in found) == [
        ("d", "dry", None),
        ("n", "normal", None),
        ("w", "wet", None),
    ]
    assert "20 of the 20 cases" in str(found[0])


def test_a_token_that_tells_in_one_place_alone():
    rows = [([f"{'a' if i % 2 else 'b'}-{'a' if i % 3 else 'b'}-{i}.png"], "xy"[i % 2]) for i in range(90)]
    assert {(token.token, token.place, token.class_name) for token in telling_tokens(rows)} == {
        ("a", 0, "y"),
        ("b", 0, "x"),
    }


def test_one_exception_in_forty_does_not_hide_it():
    rows = [([f"h-{i}.png"], "healthy") for i in range(39)] + [(["h-99.png"], "ill")]
    rows += [([f"i-{i}.png"], "ill") for i in range(40)]
    assert {token.token for token in telling_tokens(rows)} == {"h", "i"}


@pytest.mark.parametrize("seed", range(5))
def test_folders_and_numbers_by_lot_tell_nothing(seed):
    generator = np.random.default_rng(seed)
    rows = [
        (
            [f"F{'abcdefgh'[generator.integers(8)]}L/Img{generator.integers(100):03}.jpg"],
            f"class {generator.integers(4)}",
        )
        for _ in range(400)
    ]
    assert telling_tokens(rows) == []


def test_few_cases_and_a_single_class_tell_nothing():
    assert telling_tokens([([f"h-{i}.png"], "healthy") for i in range(4)] + [(["i-9.png"], "ill")] * 4) == []
    assert telling_tokens([([f"h-{i}.png"], "healthy") for i in range(50)]) == []
    assert telling_tokens([]) == []
