"""Scores of classes equal the definition, image by image and caption by caption."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medlit.models.mama.zero_shot import CaptionEncoder, class_scores


class Words(nn.Module):
    """A text tower that knows each token's vector, and counts the captions that it was given."""

    def __init__(self, fidelity="paper"):
        super().__init__()
        self.fidelity = fidelity
        torch.manual_seed(0)
        self.words, self.project = nn.Embedding(50, 6), nn.Linear(6, 4)
        self.captions = 0
        self.largest = 0
        self.requires_grad_(False)

    def encode_texts(self, input_ids, attention_mask):
        self.captions += len(input_ids)
        self.largest = max(self.largest, len(input_ids))
        return self.words(input_ids)

    def pool_text(self, hidden, attention_mask):
        if self.fidelity == "code":
            return hidden.mean(1)
        return (hidden * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)

    def text_embedding(self, pooled):
        return F.normalize(self.project(pooled), dim=-1)


def captions(rows, wordings, classes, length, *, seed=0):
    """Token ids (R, W, K, T) of captions of one token or more, and their mask."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, length + 1, (rows, wordings, classes, 1), generator=generator)
    mask = (torch.arange(length) < lengths).long()
    return torch.randint(1, 50, (rows, wordings, classes, length), generator=generator) * mask, mask


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("wordings", [1, 2])
def test_logits_equal_a_loop_over_images_classes_and_wordings(rows, wordings):
    model, label, scale = Words(), [0, 0, 1, 2], 7.0
    ids, mask = captions(rows, wordings, 4, 5)
    images = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(1)), dim=-1)
    encoder = CaptionEncoder(model, chunk=3)
    found = class_scores(images, encoder(ids, mask), torch.tensor(label), num_classes=3, scale=scale)
    for i, image in enumerate(images):
        row = i if rows > 1 else 0
        for c in range(3):
            total = 0.0
            for k in range(4):
                if label[k] != c:
                    continue
                wordings_of_caption = []
                for w in range(wordings):
                    tokens = ids[row, w, k][mask[row, w, k] == 1]
                    embedding = model.project(model.words(tokens).mean(0))
                    wordings_of_caption.append(embedding / embedding.norm())
                mean = sum(wordings_of_caption) / wordings
                total += math.exp(scale * float(image @ (mean / mean.norm())))
            assert float(found[i, c]) == pytest.approx(math.log(total), abs=1e-5)


def test_probability_of_a_class_is_that_of_any_of_its_captions():
    images, texts = F.normalize(torch.randn(5, 8), dim=-1), F.normalize(torch.randn(1, 4, 8), dim=-1)
    each = (10 * images @ texts[0].T).softmax(dim=1)
    found = class_scores(images, texts, torch.tensor([0, 0, 1, 1]), num_classes=2, scale=10).softmax(dim=1)
    assert torch.allclose(found, torch.stack([each[:, :2].sum(1), each[:, 2:].sum(1)], dim=1), atol=1e-6)


def test_scores_are_exact_under_low_precision():
    images, texts = F.normalize(torch.randn(5, 8), dim=-1), F.normalize(torch.randn(5, 3, 8), dim=-1)
    label = torch.arange(3)
    expected = class_scores(images, texts, label, num_classes=3, scale=100)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(class_scores(images, texts, label, num_classes=3, scale=100), expected)


def test_a_text_is_encoded_once():
    model = Words()
    encoder = CaptionEncoder(model, chunk=4)
    ids, mask = captions(1, 2, 3, 6)
    first = encoder(ids, mask)
    assert model.captions == 6
    assert model.largest == 4
    assert torch.equal(encoder(ids, mask), first)
    assert model.captions == 6
    longer = [F.pad(each, (0, 2)) for each in (ids, mask)]
    repeated = [each.repeat(5, 1, 1, 1) for each in longer]
    assert torch.equal(encoder(*repeated), first.expand(5, -1, -1))
    assert model.captions == 6


def test_texts_that_differ_in_one_token_are_told_apart():
    encoder = CaptionEncoder(Words())
    ids = torch.tensor([[[[3, 4, 5], [3, 4, 6]]]])
    one, other = encoder(ids, torch.ones_like(ids))[0]
    assert not torch.allclose(one, other)
    shorter = torch.tensor([[[[1, 1, 1], [1, 1, 0]]]])
    assert not torch.allclose(encoder(ids, shorter)[0, 1], other)


def test_where_padding_counts_a_text_of_another_length_is_another_text():
    model = Words(fidelity="code")
    encoder = CaptionEncoder(model)
    ids, mask = captions(1, 1, 2, 4)
    first = encoder(ids, mask)
    longer = [F.pad(each, (0, 2)) for each in (ids, mask)]
    assert not torch.allclose(encoder(*longer), first)
    assert torch.equal(encoder(ids, mask), first)
    assert model.captions == 4


def test_what_is_kept_has_a_bound_and_can_be_forgotten():
    model = Words()
    encoder = CaptionEncoder(model, kept=4)
    ids, mask = captions(1, 1, 6, 6)
    first = encoder(ids, mask)
    assert torch.allclose(encoder(ids, mask), first)
    assert model.captions == 6 + 2
    encoder = CaptionEncoder(model)
    encoder(ids, mask)
    nn.init.normal_(model.words.weight)
    encoder.forget()
    assert not torch.allclose(encoder(ids, mask), first)


def test_a_class_without_a_caption_is_refused():
    with pytest.raises(ValueError, match=r"no caption stands for the classes \[1\] of 3"):
        class_scores(torch.ones(2, 4), torch.ones(1, 2, 4), torch.tensor([0, 2]), num_classes=3, scale=1)


def test_captions_of_other_images_are_refused():
    with pytest.raises(ValueError, match="captions of 3 images for 2 images"):
        class_scores(torch.ones(2, 4), torch.ones(3, 2, 4), torch.tensor([0, 1]), num_classes=2, scale=1)
