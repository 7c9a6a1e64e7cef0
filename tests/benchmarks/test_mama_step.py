"""The benchmark compares like with like: its literal form computes what the product computes."""

import torch

from benchmarks.literal_mama import LiteralMaMA, Sizes
from benchmarks.mama_step import Setting, gradient_difference, loss_difference, make_batch, make_product

TINY = Sizes(
    **{"img_size": 56, "num_tokens": 50, "width": 32, "depth": 2, "heads": 2},
    **{"text_width": 32, "text_depth": 2, "text_heads": 2, "dropout": 0.0, "embed_dim": 16},
)


def test_literal_form_equals_the_product_in_losses_and_gradients():
    assert loss_difference(Setting(TINY, batch=4, threads=1)) < 1e-5
    assert gradient_difference(Setting(TINY, batch=4, threads=1)) < 1e-5


def test_every_trained_parameter_of_the_product_is_compared():
    product, literal = make_product(TINY), LiteralMaMA(TINY)
    trained = [sum(p.numel() for p in model.parameters() if p.requires_grad) for model in (product, literal)]
    assert trained[0] == trained[1]


def test_captions_differ_in_length_and_number_of_sentences():
    batch = make_batch(Setting(TINY, batch=4, threads=1))
    assert len(batch["attention_mask"].sum(dim=1).unique()) == 4
    assert len((batch["sentence_positions"] >= 0).sum(dim=1).unique()) > 1
    assert bool((batch["sentence_positions"] < batch["attention_mask"].sum(dim=1, keepdim=True)).all())


def test_the_literal_form_gives_back_the_maps_of_every_block_and_image():
    _, maps = LiteralMaMA(TINY)(make_batch(Setting(TINY, batch=4, threads=1)))
    tokens = 1 + TINY.registers + (TINY.img_size // TINY.patch) ** 2
    images, texts = torch.Size([4, TINY.heads, tokens, tokens]), torch.Size([4, TINY.text_heads, 144, 144])
    assert [attention.shape for attention in maps] == [*[images] * (2 * TINY.depth), *[texts] * TINY.text_depth]
