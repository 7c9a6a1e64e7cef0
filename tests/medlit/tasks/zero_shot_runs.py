"""A small MaMA in a checkpoint, and zero-shot tasks on look-alikes with it."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from data_modules.mammography import EMBEDDataModule, RSNAMammoDataModule
from data_modules.mammography.class_text import ClassTextSettings
from medlit.mama_checkpoint import mama_info
from medlit.models import ImageTower, MaMAModel, TextTower
from medlit.tasks import ZeroShotTask
from tests.data_modules.mammography.prepared_trees import pristine

SIZE = 16
IMAGE = ImageTower(
    backbone="vit_tiny_patch16_224",
    pretrained=False,
    model_args={"depth": 1, "embed_dim": 24, "num_heads": 2, "weight_init": "moco"},
)
GPT = {"n_layer": 1, "n_embd": 24, "n_head": 2, "n_positions": 144}
TEXT = TextTower(backbone="gpt2", pretrained=False, model_args=GPT, train_backbone=True)
TOWERS = {"image": IMAGE, "text": TEXT, "embed_dim": 16, "local_hidden": 8}
WORDS = {"source": "words", "separator": "[SEP]", "max_tokens": 144}


def rsna(*, text: ClassTextSettings | None = None, **settings: Any) -> RSNAMammoDataModule:
    """Cancer in noise, by image, with text of the classes."""
    return RSNAMammoDataModule(
        **{
            "root": pristine("rsna_mammo"),
            "img_size": SIZE,
            "batch_size": 8,
            "class_text": text or ClassTextSettings(),
            **settings,
        }
    )


def embed(**settings: Any) -> EMBEDDataModule:
    """Density in noise, by image, with text of the classes."""
    shared = {"root": pristine("embed"), "img_size": SIZE, "batch_size": 8, "target": "density"}
    return EMBEDDataModule(**{**shared, "class_text": ClassTextSettings(), **settings})


def save_mama(path: Path, *, num_tokens: int, seed: int = 0, tokenizer: Any = WORDS, cut: Any = None) -> Path:
    """A checkpoint as a MaMATask writes it, of weights that have learned nothing."""
    torch.manual_seed(seed)
    model = MaMAModel(img_size=SIZE, num_tokens=num_tokens, **TOWERS)
    state = {f"model.{name}": tensor for name, tensor in model.trained_state().items()}
    info = mama_info(model, tokenizer=tokenizer, cut=cut, restrictions={"EMBED": "not to be shared"})
    torch.save({"state_dict": state, "medlit": info}, path)
    return path


def zero_shot(
    data: Any, checkpoint: Path | str, *, towers: dict[str, Any] | None = None, **settings: Any
) -> ZeroShotTask:
    """The task that the command line makes for a DataModule."""
    given = {
        "modalities": data.modalities,
        "num_classes": data.num_classes,
        "img_size": data.img_size,
        "num_tokens": data.num_tokens,
        "class_names": data.class_names,
    }
    model = partial(MaMAModel, **{**TOWERS, **(towers or {})})
    return ZeroShotTask(**{**given, "model": model, "checkpoint": str(checkpoint), **settings})
