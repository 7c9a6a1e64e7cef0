"""Which captions are alike, who finds whom, and what batches of several processes make together."""

import pytest
import torch
from torch.nn.functional import normalize, pad

from medlit.tasks.pair_figures import (
    PairBatch,
    caption_ids,
    duplicate_share,
    gather_pairs,
    retrieval_accuracy,
    whole_set,
)


def tokens(*rows):
    """(B, T) ids and mask of rows of different lengths."""
    longest = max(map(len, rows))
    ids = torch.stack([pad(torch.tensor(row), (0, longest - len(row)), value=9) for row in rows])
    mask = torch.stack([(torch.arange(longest) < len(row)).long() for row in rows])
    return ids, mask


def test_equal_captions_have_equal_ids_whatever_they_are_padded_to():
    short = caption_ids(*tokens([3, 0, 5], [3, 5, 0], [3, 0]))
    long = caption_ids(*tokens([3, 0, 5], [1] * 40))
    assert short[0] == long[0]
    assert len({*short.tolist(), *long.tolist()}) == 4


def test_captions_that_differ_in_a_token_have_other_ids():
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 3, (500, 12), generator=generator).unique(dim=0)
    ids = caption_ids(rows, torch.ones_like(rows))
    assert len(ids.unique()) == len(rows)


def test_duplicates_are_counted_with_all_that_are_alike():
    assert duplicate_share(torch.tensor([7, 7, 7, 1, 2])) == pytest.approx(3 / 5)
    assert duplicate_share(torch.tensor([4, 1, 2])) == 0


def slow_accuracy(image, text, ids):
    """Image by image and caption by caption."""
    texts = [max(range(len(ids)), key=lambda j: float(image[i] @ text[j])) for i in range(len(ids))]
    images = [max(range(len(ids)), key=lambda i: float(image[i] @ text[j])) for j in range(len(ids))]
    right = [sum(ids[found] == ids[own] for own, found in enumerate(side)) / len(ids) for side in (texts, images)]
    return {"image_to_text_accuracy": right[0], "text_to_image_accuracy": right[1]}


@pytest.mark.parametrize("seed", range(3))
def test_retrieval_equals_the_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    image, text = (normalize(torch.randn(9, 4, generator=generator), dim=1) for _ in range(2))
    ids = torch.tensor([0, 1, 2, 2, 3, 4, 5, 5, 5])
    found = {name: float(value) for name, value in retrieval_accuracy(image, text, ids).items()}
    assert found == pytest.approx(slow_accuracy(image, text, ids.tolist()))


def test_a_caption_with_the_same_words_counts_as_right():
    text = torch.eye(3)[[0, 0, 1]]
    image = torch.eye(3)[[0, 0, 1]]
    found = retrieval_accuracy(image, text, torch.tensor([5, 5, 6]))
    assert [float(value) for value in found.values()] == [1, 1]


def evaluated(first, size):
    """A batch of cases first, first + 1, ...; each has its number for its loss and embedding."""
    cases = torch.arange(first, first + size)
    return PairBatch(
        case_id=tuple(f"c{case}" for case in cases),
        terms={"loss": float(cases.float().mean())},
        image=cases.float()[:, None],
        label=cases % 3,
        cut=first,
    )


@pytest.mark.parametrize("world_size", [1, 2, 3, 5])
def test_batches_of_processes_are_dealt_back_and_repeats_dropped(world_size):
    batches = [evaluated(0, 3), evaluated(3, 3), evaluated(6, 3), evaluated(9, 1)]
    turns = -(-len(batches) // world_size)
    shares = [[batches[(turn * world_size + rank) % 4] for turn in range(turns)] for rank in range(world_size)]
    whole = whole_set(shares)
    assert whole.terms == {"loss": pytest.approx((1 + 4 + 7) / 3)}
    assert whole.left_out == 1
    assert whole.cut == 0 + 3 + 6 + 9
    assert whole.image[:, 0].tolist() == list(range(10))
    assert whole.label.tolist() == [case % 3 for case in range(10)]


def test_larger_batches_weigh_more():
    whole = gather_pairs([evaluated(0, 4), evaluated(4, 2)])
    assert whole.terms["loss"] == pytest.approx(sum(range(6)) / 6)


def test_a_set_without_a_batch_of_two_has_no_terms():
    assert gather_pairs([]) is None
    assert gather_pairs([evaluated(0, 1), evaluated(1, 1)]).terms == {}
