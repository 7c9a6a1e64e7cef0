"""Models small enough to run in a test: two blocks, 32 wide."""

import torch

from medlit.models import EarlyInterventionClassifier, ImageTower, MaMAModel, TextTower, UnimodalClassifier

TINY = {"backbone": "vit_base_patch16_clip_224", "pretrained": False, "img_size": 32}
TINY_ARGS = {"depth": 2, "embed_dim": 32, "num_heads": 2}


def early_intervention(*, modalities=("clinic", "derm"), num_classes=5, seed=0, **options):
    torch.manual_seed(seed)
    settings = {**TINY, "model_args": TINY_ARGS, **options}
    return EarlyInterventionClassifier(modalities=modalities, num_classes=num_classes, **settings)


def unimodal(*, modality="clinic", num_classes=5, seed=0, **options):
    torch.manual_seed(seed)
    settings = {**TINY, "model_args": TINY_ARGS, **options}
    return UnimodalClassifier(modalities=[modality], num_classes=num_classes, **settings)


def randomise_adapters(model, seed=0):
    """Leave the identity at the start: as after some steps of training."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def pictures(*, modalities=("clinic", "derm"), cases=3, per_case=1, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.rand(cases, per_case, 3, size, size, generator=generator) for name in modalities}


VIT14 = {"backbone": "vit_base_patch14_reg4_dinov2", "pretrained": False, "model_args": TINY_ARGS}
TEXT_ARGS = {
    "gpt2": {"n_layer": 2, "n_embd": 32, "n_head": 2, "n_positions": 24},
    "bert": {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
    },
    "llama": {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 64,
        "max_position_embeddings": 24,
    },
}
"""Text models of two blocks, 32 wide, of at most 24 tokens."""
TOKENS = 40
"""Of the tiny tokenizers."""


def mama(*, text="gpt2", img_size=28, image=None, seed=0, embed_dim=8, local_hidden=16, fidelity="paper", **text_tower):
    """Two tiny towers, the text tower trained as a whole unless told otherwise."""
    torch.manual_seed(seed)
    text_tower = {"pretrained": False, "model_args": TEXT_ARGS[text], **text_tower}
    text_tower.setdefault("train_backbone", "adapter" not in text_tower)
    return MaMAModel(
        img_size=img_size,
        num_tokens=TOKENS,
        image=ImageTower(**{**VIT14, **(image or {})}),
        text=TextTower(backbone=text, **text_tower),
        embed_dim=embed_dim,
        local_hidden=local_hidden,
        fidelity=fidelity,
    )


def captions(*, count=5, tokens=9, seed=0):
    """Token ids and attention mask, (B, T) int64 each; captions of different lengths, the first a whole one."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, TOKENS, (count, tokens), generator=generator)
    lengths = torch.randint(2, tokens + 1, (count,), generator=generator)
    lengths[0] = tokens
    mask = (torch.arange(tokens) < lengths[:, None]).long()
    return ids * mask, mask
