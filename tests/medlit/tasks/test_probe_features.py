"""What decides a feature is part of its key, and nothing else is."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from data_modules.mammography import EMBEDDataModule
from medlit.models import UnimodalClassifier
from medlit.probe import FeatureCache
from medlit.tasks.probe_features import feature_settings
from tests.medlit.tasks.tiny import BACKBONE, IMG_SIZE

ARGS = BACKBONE["model_args"]


def key(*, bias=0.0, precision="32-true", hashes=None, data=None, **model: Any):
    """Of a model, perhaps with another value in the last of its weights, on images of EMBED."""
    made = UnimodalClassifier(
        modalities=["mammogram"], num_classes=2, **{**BACKBONE, "img_size": IMG_SIZE, "adapter": None, **model}
    )
    with torch.no_grad():
        made.backbone.encoder.vit.norm.bias[-1] += bias
    images = EMBEDDataModule(root="none", **(data or {}))
    said = SimpleNamespace(image_settings=images.image_settings, data_hashes=lambda: hashes or {"manifest.csv": "a"})
    return FeatureCache(None, feature_settings(made, said, precision=precision), width=1).key


@pytest.mark.parametrize(
    "change",
    [
        {"bias": 1e-6},
        {"precision": "bf16-mixed"},
        {"hashes": {"manifest.csv": "b"}},
        {"img_size": 48},
        {"pooling": "mean_tokens"},
        {"image_std": (0.1, 0.1, 0.1)},
        {"model_args": {**ARGS, "num_heads": 4}},
        {"model_args": {**ARGS, "global_pool": "avg", "fc_norm": False}},
        {"data": {"img_size": 64}},
        {"data": {"aspect": "stretch"}},
        {"data": {"level": "breast", "modalities": ["CC"]}},
        {"data": {"images_per_view": "all"}},
    ],
    ids=str,
)
def test_what_changes_a_feature_changes_its_key(change):
    assert key(**change) != key()


def test_what_changes_no_feature_changes_no_key():
    labels = {"target": "density", "label_fraction": 0.1, "fraction_seed": 3, "split_seed": 2, "balanced_test": True}
    training = {"seed": 4, "batch_size": 3, "train_transform": [], "balanced_sampling": True}
    assert key(data={**labels, **training}) == key()
    assert key(hashes={"manifest.csv": "a", "split/train": "b"}) == key()
    assert key(gradient_checkpointing=True) == key()
