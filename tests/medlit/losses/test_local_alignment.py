"""The local loss against its definition, pair by pair, and what must hold for any input."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from medlit.losses import (
    LocalAlignmentLoss,
    captions_without_sentence,
    local_alignment_loss,
    local_alignment_scores,
)
from tests.medlit.losses.slow_mama import differences, slow_local, slow_scores, unit

SCALE = torch.tensor(1 / 0.07, dtype=torch.float64)  # where tau_local starts
OWNERS = {
    "one each": [0, 1, 2, 3, 4],
    "as many each": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4],
    "ragged": [0, 1, 1, 1, 2, 3, 3, 4, 4, 4, 4],
    "in any order": [4, 0, 3, 4, 1, 2, 3, 4, 0],
    "some without": [3, 1, 1, 3, 0, 3],
}


def operands(owner, n=5, p=6, e=4, dtype=torch.float64):
    owner = torch.tensor(owner, dtype=torch.int64)
    patches = unit(n, p, e, seed=1, dtype=dtype).requires_grad_()
    return patches, unit(len(owner), e, seed=2, dtype=dtype).requires_grad_(), owner


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_definition(owner, symmetric, dtype):
    patches, sentences, owner = operands(owner, dtype=dtype)
    scale = SCALE.to(dtype).requires_grad_()
    expected = slow_local(patches.double(), sentences.double(), owner, scale.double(), symmetric)
    found = local_alignment_loss(patches, sentences, owner, scale, symmetric)
    apart = differences(found, expected, (patches, sentences, scale))
    assert max(apart.values()) < (1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("owner", [OWNERS["ragged"], OWNERS["some without"]], ids=["ragged", "some without"])
def test_equal_captions_are_positives_of_each_other(owner):
    patches, sentences, owner = operands(owner)
    groups = torch.tensor([7, 2, 7, 2, 7])
    found = local_alignment_loss(patches, sentences, owner, SCALE, groups=groups)
    expected = slow_local(patches, sentences, owner, SCALE, groups=groups)
    assert max(differences(found, expected, (patches, sentences)).values()) < 1e-12


@pytest.mark.parametrize("images_of_a_chunk", [1, 2, 3, 5])
def test_scores_are_the_same_whatever_the_chunk(images_of_a_chunk):
    patches, sentences, owner = operands(OWNERS["ragged"])
    weight = torch.randn(2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    products_of_an_image = len(owner) * patches.shape[1] * patches.element_size()
    found = local_alignment_scores(
        patches, sentences, owner, num_texts=5, chunk_bytes=images_of_a_chunk * products_of_an_image
    )
    expected = [torch.stack([torch.stack(row) for row in score]) for score in slow_scores(patches, sentences, owner, 5)]
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-12)
    apart = differences(
        (torch.stack(found) * weight).sum(), (torch.stack(expected) * weight).sum(), (patches, sentences)
    )
    assert max(apart.values()) < 1e-12


def test_texts_may_be_more_than_images():
    """As where each process scores its own images against the sentences of all."""
    patches, sentences, owner = operands([0, 0, 1, 2, 3, 3, 6], n=2)
    found = local_alignment_scores(patches, sentences, owner, num_texts=8)
    expected = slow_scores(patches, sentences, owner, 8)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == (2, 8)
        assert ours[:, [4, 5, 7]].count_nonzero() == 0
        assert ours[1, 6].item() == pytest.approx(theirs[1][6].item(), abs=1e-12)


def test_one_way_leaves_the_other_score_out():
    patches, sentences, owner = operands(OWNERS["ragged"])
    to_image, to_text = local_alignment_scores(patches, sentences, owner, num_texts=5, symmetric=False)
    assert to_text is None
    assert torch.equal(to_image, local_alignment_scores(patches, sentences, owner, num_texts=5)[0])


def test_more_sentences_in_a_caption_than_a_byte_counts():
    patches, sentences, owner = operands([0] * 300 + [1], n=2, p=2)
    with torch.no_grad():
        sentences[299] = patches[0, 0]  # a maximum beyond the first 256
    found = local_alignment_loss(patches, sentences, owner, SCALE)
    expected = slow_local(patches, sentences, owner, SCALE)
    assert max(differences(found, expected, (patches, sentences)).values()) < 1e-12


@pytest.mark.parametrize("symmetric", [True, False])
def test_gradient_is_right(symmetric):
    patches, sentences, owner = operands([0, 0, 1, 2, 2, 2], n=3, p=3, e=3)
    scale = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    inputs = (patches, sentences, scale)
    assert torch.autograd.gradcheck(lambda p, s, t: local_alignment_loss(p, s, owner, t, symmetric), inputs)


def test_gradient_reaches_what_is_trained_alone():
    patches, sentences, owner = operands(OWNERS["ragged"])
    both = torch.autograd.grad(local_alignment_loss(patches, sentences, owner, SCALE), (patches, sentences))
    (alone,) = torch.autograd.grad(local_alignment_loss(patches.detach(), sentences, owner, SCALE), (sentences,))
    assert torch.equal(alone, both[1])
    (alone,) = torch.autograd.grad(local_alignment_loss(patches, sentences.detach(), owner, SCALE), (patches,))
    assert torch.equal(alone, both[0])


def test_without_gradient_the_value_is_the_same():
    patches, sentences, owner = operands(OWNERS["ragged"])
    with torch.no_grad():
        evaluated = local_alignment_loss(patches, sentences, owner, SCALE)
    assert torch.equal(evaluated, local_alignment_loss(patches, sentences, owner, SCALE))


def test_does_not_care_for_the_order_of_pairs_patches_and_sentences():
    patches, sentences, owner = operands(OWNERS["ragged"])
    expected = local_alignment_loss(patches, sentences, owner, SCALE)
    shuffle = torch.Generator().manual_seed(0)
    pairs, places, lines = (torch.randperm(n, generator=shuffle) for n in (5, 6, len(owner)))
    renamed = pairs.argsort()[owner]
    found = local_alignment_loss(patches[pairs][:, places], sentences[lines], renamed[lines], SCALE)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_pairs_without_sentence_take_no_part():
    patches, sentences, owner = operands(OWNERS["some without"])  # captions 0, 1 and 3 have sentences
    found = local_alignment_loss(patches, sentences, owner, SCALE)
    fewer = local_alignment_loss(patches[[0, 1, 3]], sentences, torch.tensor([0, 1, 2, 2])[owner], SCALE)
    torch.testing.assert_close(found, fewer, rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(found, (patches,))
    assert gradient[[2, 4]].count_nonzero() == 0
    assert captions_without_sentence(owner, 5).item() == 2


@pytest.mark.parametrize("owner", [[], [2, 2]])
def test_fewer_than_two_captions_with_sentences_make_a_loss_of_zero_that_can_go_backward(owner):
    patches, sentences, owner = operands(owner)
    loss = local_alignment_loss(patches, sentences, owner, SCALE)
    gradients = torch.autograd.grad(loss, (patches, sentences))
    assert loss.item() == 0
    assert [gradient.count_nonzero().item() for gradient in gradients] == [0, 0]
    assert captions_without_sentence(owner, 5).item() == 5 - len(set(owner.tolist()))


def test_patches_and_sentences_all_alike_stand_at_chance():
    patches, sentences = unit(1, 1, 4).expand(5, 6, 4), unit(1, 4).expand(11, 4)
    loss = local_alignment_loss(patches, sentences, torch.tensor(OWNERS["ragged"]), SCALE)
    assert loss.item() == pytest.approx(4 * math.log(5))


def test_of_equal_maxima_one_gets_the_gradient():
    patches, sentences, owner = operands([0, 1], n=2, p=1)
    twice = patches.detach().repeat(1, 2, 1).requires_grad_()
    to_image, _ = local_alignment_scores(twice, sentences, owner, num_texts=2, symmetric=False)
    (gradient,) = torch.autograd.grad(to_image.sum(), (twice,))
    torch.testing.assert_close(gradient[:, 0] + gradient[:, 1], sentences.sum(dim=0).expand(2, 4))
    assert (gradient == 0).all(dim=2).sum(dim=1).tolist() == [1, 1]


def test_is_float32_for_bfloat16_operands_and_under_autocast():
    patches, sentences, owner = operands(OWNERS["ragged"], dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = local_alignment_loss(patches, sentences, owner, SCALE.float())
        gradients = torch.autograd.grad(found, (patches, sentences))
    same = [x.detach().float().requires_grad_() for x in (patches, sentences)]
    expected = local_alignment_loss(*same, owner, SCALE.float())
    assert torch.equal(found, expected)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, same), strict=True):
        assert ours.dtype == torch.bfloat16
        assert torch.equal(ours, theirs.bfloat16())


def test_a_value_that_is_no_number_reaches_the_loss():
    patches, sentences, owner = operands(OWNERS["ragged"])
    with torch.no_grad():
        sentences[-1, 0] = math.nan
    assert local_alignment_loss(patches, sentences, owner, SCALE).isnan()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patches": torch.zeros(1, 6, 4), "owner": torch.zeros(11, dtype=torch.int64)}, r"N >= 2.*\(1, 6, 4\)"),
        ({"patches": torch.zeros(5, 6, 3)}, r"\(5, 6, 3\) and \(11, 4\)"),
        ({"patches": torch.zeros(5, 0, 4)}, r"P >= 1.*\(5, 0, 4\)"),
        ({"patches": torch.zeros(5, 4)}, r"\(5, 4\) and \(11, 4\)"),
        ({"sentences": torch.zeros(11, 4, dtype=torch.int64)}, "must be float, got .*int64"),
        ({"owner": torch.zeros(10, dtype=torch.int64)}, r"\(11,\) int64.*\(10,\)"),
        ({"owner": torch.zeros(11)}, r"\(11,\) int64.*float32"),
        ({"owner": torch.full((11,), 5)}, "0 to 4 for 5 texts, got values from 5 to 5"),
        ({"owner": torch.arange(-1, 10)}, "0 to 4 for 5 texts, got values from -1 to 9"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    patches, sentences, owner = operands(OWNERS["ragged"])
    fitting = {"patches": patches, "sentences": sentences, "owner": owner}
    with pytest.raises(ValueError, match=message):
        local_alignment_loss(*(fitting | change).values(), SCALE)


def test_the_module_is_the_function():
    patches, sentences, owner = operands(OWNERS["ragged"])
    groups = torch.tensor([0, 1, 0, 1, 2])
    for symmetric, gather in ((True, True), (False, False)):
        found = LocalAlignmentLoss(symmetric=symmetric, gather=gather)(patches, sentences, owner, SCALE, groups)
        assert torch.equal(found, local_alignment_loss(patches, sentences, owner, SCALE, symmetric, groups=groups))


class LargestTensor(TorchDispatchMode):
    """Watches how many elements the largest result of an operation has."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.mark.parametrize("symmetric", [True, False])
def test_never_holds_more_than_a_chunk_of_the_products(symmetric):
    patches, sentences, owner = operands([0, 0, 0, 0, 1, 1, 2, 3, 4], p=20, e=2)
    products_of_an_image = len(owner) * 20
    with LargestTensor() as largest:
        scores = local_alignment_scores(
            patches,
            sentences,
            owner,
            num_texts=5,
            symmetric=symmetric,
            chunk_bytes=2 * products_of_an_image * patches.element_size(),
        )
        torch.autograd.grad(sum(score.sum() for score in scores if score is not None), (patches, sentences))
    # Winners of all 5 images are counted too: 5 images x 5 texts x 20 patches, though of one byte each.
    assert products_of_an_image < largest.elements <= max(2 * products_of_an_image, 5 * 5 * 20 * symmetric)
