"""Models small enough to run in a test: two blocks, 32 wide."""

import torch

from medlit.models import EarlyInterventionClassifier, UnimodalClassifier

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
