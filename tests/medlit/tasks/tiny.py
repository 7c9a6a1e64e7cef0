"""A set of random images in memory, and tasks over a two-block backbone, for tests of tasks and callbacks."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch.utils.data import DataLoader

from data_modules.batch import ClassificationSample
from data_modules.dataset import collate
from data_modules.sampling import EvaluationSampler, TrainingSampler
from medlit.models import EarlyInterventionClassifier, UnimodalClassifier
from medlit.tasks import EarlyInterventionTask, UnimodalTask

CLASSES = ["BCC", "NEV", "MEL"]
MODALITIES = ["clinic", "derm"]
IMG_SIZE = 32
BACKBONE = {
    "backbone": "vit_tiny_patch16_224",
    "pretrained": False,
    "model_args": {"depth": 2, "embed_dim": 32, "num_heads": 2},
}
QUIET = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False, "enable_model_summary": False}


class TinyDataModule(LightningDataModule):
    """Cases whose class tints the images; an odd number, so that processes have to share unevenly.

    ``lacking`` names the cases without a modality; ``units`` makes two cases a breast, two breasts an exam;
    ``balanced`` samples the classes evenly.
    """

    multi_label = False
    predict_split = "test"
    class_names = CLASSES

    def __init__(
        self,
        *,
        cases: int = 13,
        batch_size: int = 4,
        labelled: bool = True,
        poisoned: bool = False,
        lacking: Mapping[str, Collection[int]] | None = None,
        units: bool = False,
        balanced: bool = False,
    ) -> None:
        super().__init__()
        self.balanced = balanced
        self.batch_size = batch_size
        self.class_weights = torch.tensor([1.0, 2.0, 0.5])
        self.samples = [sample(index, labelled=labelled) for index in range(cases)]
        if poisoned:
            self.samples[3]["images"]["derm"][:] = float("nan")
        for index, each in enumerate(self.samples if units else ()):
            each["units"] = {"breast": f"b{index // 2}", "exam": f"e{index // 4}"}
            each["group_id"] = f"g{index // 4}"
        for modality, cases_without in (lacking or {}).items():
            for case in cases_without:
                del self.samples[case]["images"][modality]

    def data_hashes(self) -> dict[str, str]:
        return {"meta.csv": "0" * 64}

    def _loader(self, sampler: Any) -> DataLoader:
        requests = _Requested(self.samples)
        return DataLoader(requests, batch_size=self.batch_size, sampler=sampler, collate_fn=collate)

    def train_dataloader(self) -> DataLoader:
        world = {"world_size": self.trainer.world_size, "rank": self.trainer.global_rank}
        groups = [int(each["label"]) for each in self.samples] if self.balanced else None
        return self._loader(TrainingSampler(self.samples, batch_size=self.batch_size, seed=0, groups=groups, **world))

    def val_dataloader(self) -> DataLoader:
        world = {"world_size": self.trainer.world_size, "rank": self.trainer.global_rank}
        return self._loader(EvaluationSampler(self.samples, batch_size=self.batch_size, **world))

    test_dataloader = predict_dataloader = val_dataloader


class _Requested(torch.utils.data.Dataset):
    def __init__(self, samples: list[ClassificationSample]) -> None:
        self.samples = samples

    def __getitem__(self, request: tuple[int, int]) -> ClassificationSample:
        return self.samples[request[0]]

    def __len__(self) -> int:
        return len(self.samples)


def sample(index: int, *, labelled: bool = True) -> ClassificationSample:
    generator = torch.Generator().manual_seed(index)
    label = index % len(CLASSES)
    images = {}
    for name in MODALITIES:
        images[name] = torch.rand(1, 3, IMG_SIZE, IMG_SIZE, generator=generator) * 0.6
        images[name][:, label] += 0.4
    case = ClassificationSample(images=images, case_id=f"c{index}", group_id=f"g{index // 2}")
    if labelled:
        case["label"] = torch.tensor(label)
    return case


def from_data(modalities: list[str]) -> dict[str, Any]:
    return {
        "modalities": modalities,
        "num_classes": len(CLASSES),
        "img_size": IMG_SIZE,
        "class_names": list(CLASSES),
        "optimizer": partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    }


def early_intervention(**settings: Any) -> EarlyInterventionTask:
    torch.manual_seed(0)
    model = partial(EarlyInterventionClassifier, **BACKBONE)
    return EarlyInterventionTask(**{**from_data(MODALITIES), "model": model, **settings})


def unimodal(modality: str = "derm", **settings: Any) -> UnimodalTask:
    torch.manual_seed(0)
    model = partial(UnimodalClassifier, **BACKBONE)
    return UnimodalTask(**{**from_data([modality]), "model": model, **settings})


def trainer(folder: Path, *, callbacks: list[Any] | None = None, **settings: Any) -> Trainer:
    checkpointing = {"enable_checkpointing": bool(callbacks)}
    common = {"use_distributed_sampler": False, "num_sanity_val_steps": 0, "default_root_dir": folder}
    return Trainer(**{**QUIET, **common, **checkpointing, "max_epochs": 1, "callbacks": callbacks or [], **settings})


TaskMaker = Callable[..., EarlyInterventionTask | UnimodalTask]
