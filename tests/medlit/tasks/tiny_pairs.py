"""Pairs of an image and a caption in memory, and a two-block MaMA over them, for tests of pretraining."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from peft import LoraConfig
from torch.utils.data import DataLoader

from data_modules.batch import PLAIN, ClassText
from data_modules.sampling import EvaluationSampler, TrainingSampler
from medlit.models import ImageTower, MaMAModel, TextTower
from medlit.tasks import MaMATask

IMG_SIZE = 32
NUM_TOKENS = 20
CLASSES = 3
SEPARATOR = 1
LATE_START = 3
CUT = ("c0", "c3", "c5")
"""Pairs whose captions lost sentences."""

IMAGE = ImageTower(
    backbone="vit_tiny_patch16_224",
    pretrained=False,
    model_args={"depth": 2, "embed_dim": 32, "num_heads": 2},
)
GPT = {"n_layer": 2, "n_embd": 24, "n_head": 2}
NO_DROPOUT = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)


@dataclass(frozen=True)
class Captions:
    """As much of the settings of pretraining as a task asks for."""

    tokenizer: str = "words"
    separator: str = "[SEP]"
    max_tokens: int = 12


def text_tower(*, dropout: float = 0.0, positions: int = 32) -> TextTower:
    lora = LoraConfig(r=2, target_modules=["c_attn"], lora_dropout=dropout, init_lora_weights=False)
    model_args = {**GPT, **({} if dropout else NO_DROPOUT), "n_positions": positions}
    return TextTower(backbone="gpt2", pretrained=False, model_args=model_args, adapter=lora)


def mama(*, dropout: float = 0.0, model: dict[str, Any] | None = None, **settings: Any) -> MaMATask:
    """A task whose weights are the same every time; with ``dropout`` in LoRA, GPT-2 and the patches."""
    torch.manual_seed(0)
    image = ImageTower(**{**vars(IMAGE), "patch_dropout": 0.25}) if dropout else IMAGE
    towers = {"image": image, "text": text_tower(dropout=dropout), "embed_dim": 16, "local_hidden": 24}
    made = partial(MaMAModel, **{**towers, **(model or {})})
    given = {"img_size": IMG_SIZE, "num_tokens": NUM_TOKENS, "late_start": LATE_START}
    return MaMATask(**{**given, "model": made, **settings})


def sample(index: int) -> dict[str, Any]:
    """Label ``index % CLASSES`` tints the image and is the caption's second token; sentences are 1 to 3."""
    generator = torch.Generator().manual_seed(index)
    label = index % CLASSES
    images = torch.rand(2, 3, IMG_SIZE, IMG_SIZE, generator=generator) * 0.6
    images[:, label] += 0.4
    words = torch.randint(5, NUM_TOKENS, (3, 3), generator=generator)
    words[0, 1], words[:, 2] = 2 + label, SEPARATOR
    return {
        "image": images[0],
        "second_image": images[1],
        "tokens": words[: 1 + index % 3].flatten(),
        "same_breast": index % 4 != 0,
        "label": label,
        "case_id": f"c{index}",
        "group_id": f"g{index}",
    }


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """An ImageTextBatch, with what classes would be called."""
    ids = torch.nn.utils.rnn.pad_sequence([each["tokens"] for each in samples], batch_first=True)
    ends = [torch.nonzero(each["tokens"] == SEPARATOR)[:, 0] for each in samples]
    text = torch.stack([torch.tensor([5, 2 + label, SEPARATOR]) for label in range(CLASSES)])[None, None]
    return {
        **{name: torch.stack([each[name] for each in samples]) for name in ("image", "second_image")},
        "input_ids": ids,
        "attention_mask": (ids > 0).long(),
        "sentence_positions": torch.nn.utils.rnn.pad_sequence(ends, batch_first=True, padding_value=-1),
        **{name: torch.tensor([each[name] for each in samples]) for name in ("same_breast", "label")},
        "caption": [str(each["tokens"].tolist()) for each in samples],
        "cut_captions": sum(each["case_id"] in CUT for each in samples),
        **{name: [each[name] for each in samples] for name in ("case_id", "group_id")},
        "units": {},
        "class_text": {PLAIN: ClassText(input_ids=text, attention_mask=torch.ones_like(text), label=torch.arange(3))},
    }


class TinyPairs(LightningDataModule):
    """Pairs by number; by default the last batch of an evaluation is a single one."""

    name = "pairs"

    def __init__(self, *, pairs: int = 13, batch_size: int = 4, captions: Captions | None = None) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.pretraining = captions or Captions()
        self.samples = [sample(index) for index in range(pairs)]

    def train_dataloader(self) -> DataLoader:
        return self._loader(TrainingSampler(self.samples, batch_size=self.batch_size, seed=0, **self._world))

    def val_dataloader(self) -> DataLoader:
        settings = {"batch_size": self.batch_size, "whole_batches": True, **self._world}
        return self._loader(EvaluationSampler(self.samples, **settings))

    test_dataloader = predict_dataloader = val_dataloader

    @property
    def _world(self) -> dict[str, int]:
        return {"world_size": self.trainer.world_size, "rank": self.trainer.global_rank}

    def _loader(self, sampler: Any) -> DataLoader:
        requests = _Requested(self.samples)
        return DataLoader(requests, batch_size=self.batch_size, sampler=sampler, collate_fn=collate)


class _Requested(torch.utils.data.Dataset):
    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples = samples

    def __getitem__(self, request: tuple[int, int]) -> dict[str, Any]:
        return self.samples[request[0]]

    def __len__(self) -> int:
        return len(self.samples)
