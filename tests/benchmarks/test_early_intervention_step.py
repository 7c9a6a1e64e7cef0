"""The benchmark compares like with like: its literal form computes what the product computes."""

import pytest
import torch

from benchmarks.early_intervention_step import Setting, largest_difference, make_literal, make_product

TINY = {"depth": 2, "embed_dim": 32, "num_heads": 2}


@pytest.mark.parametrize("backbone", ["vit_base_patch16_224", "vit_base_patch16_clip_224"])
def test_literal_form_equals_the_product_in_outputs_loss_and_gradients(backbone):
    assert largest_difference(Setting(backbone, size=32, batch=3, threads=1), **TINY) < 1e-5


def test_both_train_the_same_number_of_parameters_and_the_literal_form_keeps_four_backbones():
    with torch.device("meta"):
        literal = make_literal(Setting("vit_base_patch16_224", size=224, batch=4, threads=1))
    product = make_product(Setting("vit_base_patch16_224", size=32, batch=4, threads=1), **TINY)
    small = make_literal(Setting("vit_base_patch16_224", size=32, batch=4, threads=1), **TINY)
    trained = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (product, small)]
    assert trained[0] == trained[1]
    assert sum(p.numel() for p in literal.parameters() if not p.requires_grad) == 4 * 85_798_656
