"""Features of cases for a probe: what decides them, and how those that are not known are made."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from data_modules.batch import VARIABLES, ClassificationBatch
from medlit.errors import ConfigurationError, NonFiniteLossError
from medlit.models import UnimodalClassifier
from medlit.models.mama.settings import plain
from medlit.preemption import Preempted
from medlit.probe import FeatureCache

FOLDER = "features"
"""Of the kept features, beside the run's."""


def open_cache(model: UnimodalClassifier, trainer: Trainer, datamodule: Any, *, cache_dir: str | None) -> FeatureCache:
    """The kept features of a model on the images of a DataModule, not read yet.

    Args:
        model: Frozen but for its head.
        trainer: In a trial run features stay in memory.
        datamodule: One of data_modules.
        cache_dir: Folder of kept features; None: ``features`` beside the run's folder.

    Raises:
        ConfigurationError: If the DataModule does not say what its images are.
    """
    if not all(hasattr(datamodule, name) for name in ("image_settings", "training_draws", "data_hashes")):
        raise ConfigurationError(
            f"ProbeTask keeps features by what the data say of their images; {type(datamodule).__name__} says nothing: "
            "take a DataModule of data_modules"
        )
    root = Path(cache_dir) if cache_dir else Path(trainer.default_root_dir).resolve().parent / FOLDER
    settings = feature_settings(model, datamodule, precision=str(trainer.precision))
    return FeatureCache(
        None if getattr(trainer, "fast_dev_run", False) else root, settings, width=model.backbone.encoder.width
    )


class KeepEncoded(Callback):
    """Writes the features that a signal would lose: they are written in shards, the newest wait for more."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what is not on disk yet."""
        cache = getattr(pl_module, "_cache", None)
        if isinstance(exception, Preempted) and cache is not None:
            cache.flush()


def encode(model: UnimodalClassifier, batch: ClassificationBatch, rows: Sequence[int]) -> Tensor:
    """Features (len(rows), D) of some rows of a batch.

    Args:
        model: In evaluation mode.
        batch: B cases, those of ``rows`` with one image each.
        rows: Positions in the batch.

    Raises:
        ConfigurationError: If a case has several images, or none.
        NonFiniteLossError: If a feature is not finite, with the cases.
    """
    [modality] = model.modalities
    ids = [batch["case_id"][row] for row in rows]
    index = torch.tensor(list(rows), dtype=torch.long)
    mask = batch["image_mask"].get(modality)
    counts = [0] * len(rows) if mask is None else mask[index.to(mask.device)].sum(dim=1).tolist()
    for case, count in zip(ids, counts, strict=True):
        if count != 1:
            raise ConfigurationError(
                f"case {case} has {count} images of {modality}, a probe takes one a case: set the data's level, or its "
                "images per case or view, so that each has one"
            )
    images = batch["images"][modality]
    with torch.no_grad():
        features = model.features({modality: images[index.to(images.device), :1]}, None)  # the others are padding
    finite = features.isfinite().all(dim=1)
    if not finite.all():
        wrong = [ids[row] for row in (~finite).nonzero()[:, 0].tolist()]
        raise NonFiniteLossError(f"features of {len(wrong)} cases are not finite, as {', '.join(wrong[:8])}")
    return features


def feature_settings(model: UnimodalClassifier, datamodule: Any, *, precision: str) -> dict[str, Any]:
    """All that decides the feature of a case, as plain types.

    The images themselves are known by the tables of the data: of prepared mammograms the manifest has a hash of each.
    Where a table only names files, another picture under an old name is not noticed.

    Args:
        model: Frozen but for its head.
        datamodule: One of data_modules.
        precision: The Trainer's.
    """
    from medlit import __version__

    encoder = model.backbone.encoder
    hashes = {name: value for name, value in datamodule.data_hashes().items() if not name.startswith("split/")}
    return {
        "medlit_version": __version__,
        "backbone": model.backbone_name,
        "weights": model.backbone.fingerprint(),
        "modules": str(encoder.vit).splitlines(),  # by this version of timm
        "model_args": plain(encoder.model_args),  # such as heads and pooling, which neither weights nor modules tell
        "settings": model.settings(),
        "precision": precision,
        "data": type(datamodule).__name__,
        "images": datamodule.image_settings(),
        "tables": hashes,
    }


def check_model(model: UnimodalClassifier, *, multi_label: bool, knn: int | None) -> None:
    """Refuse what a probe cannot be made of.

    Raises:
        ConfigurationError: Naming the setting.
    """
    if multi_label:
        raise ConfigurationError("ProbeTask takes data of one label a case; use UnimodalTask with adapter: null")
    if VARIABLES in model.modalities:
        raise ConfigurationError(f"ProbeTask takes images: {VARIABLES} have no encoder that is frozen")
    trained = [name for name, tensor in model.backbone.named_parameters() if tensor.requires_grad]
    if trained:
        raise ConfigurationError(
            f"ProbeTask keeps features of a frozen encoder, but {len(trained)} of its tensors would be trained: set "
            "adapter: null and train_backbone: false"
        )
    if knn is not None and knn < 1:
        raise ConfigurationError(f"knn is {knn}; give one neighbour or more, or null for none")
