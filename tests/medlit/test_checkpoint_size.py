"""What a ViT-B costs on the disk: at 32 pixels it has all the weights that are kept, in a fraction of the time."""

import pytest
import torch
from lightning.pytorch import Trainer

from medlit.checkpoint import checkpoint_info, save_weights, trainable_state
from medlit.models import EarlyInterventionClassifier
from medlit.tasks import EarlyInterventionTask
from tests.medlit.tasks.tiny import CLASSES, IMG_SIZE, MODALITIES, QUIET, TinyDataModule

pytestmark = pytest.mark.slow

OPTIMIZERS = {"SGD": (1, lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9)), "AdamW": (2, torch.optim.AdamW)}
"""Tensors that each keeps per parameter."""
METADATA = 1.01
"""Names and shapes beside the tensors."""


@pytest.fixture(scope="module")
def task_of():
    def vit_b(**from_data):
        return EarlyInterventionClassifier(backbone="vit_base_patch16_224", pretrained=False, **from_data)

    shared = {"modalities": MODALITIES, "num_classes": len(CLASSES), "img_size": IMG_SIZE, "class_names": CLASSES}
    return lambda optimizer: EarlyInterventionTask(model=vit_b, optimizer=optimizer, **shared)


def backbones(model):
    """Bytes of the 2M backbones that separate passes would keep."""
    encoder = sum(parameter.numel() * parameter.element_size() for parameter in model.backbone.encoder.parameters())
    return 2 * len(MODALITIES) * encoder


def test_the_export_is_at_most_3_percent_of_the_backbones(task_of, tmp_path):
    model = task_of(None).model
    save_weights(trainable_state(model), checkpoint_info(model, class_names=CLASSES), tmp_path / "weights.safetensors")
    assert (tmp_path / "weights.safetensors").stat().st_size <= 0.03 * backbones(model)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_resumable_checkpoint_adds_what_the_optimizer_keeps(task_of, tmp_path, name):
    per_parameter, optimizer = OPTIMIZERS[name]
    task = task_of(optimizer)
    trainer = Trainer(default_root_dir=tmp_path, max_steps=1, limit_val_batches=0, enable_checkpointing=False, **QUIET)
    trainer.fit(task, datamodule=TinyDataModule())
    trainer.save_checkpoint(tmp_path / "last.ckpt", weights_only=False)
    weights = sum(tensor.numel() * tensor.element_size() for tensor in trainable_state(task.model).values())
    size = (tmp_path / "last.ckpt").stat().st_size
    assert weights * (1 + per_parameter) < size < METADATA * weights * (1 + per_parameter)
    assert size <= 0.03 * backbones(task.model) * (1 + per_parameter)
