"""Tiny models, what they are saved as, and how the product reads each of these files back."""

import io
from pathlib import Path
from typing import Any

import torch

from medlit.checkpoint import (
    TASK_PREFIX,
    checkpoint_info,
    initialise_from_unimodal,
    load_weights,
    read_checkpoint,
    restore,
    save_weights,
    trainable_state,
    unpack,
)
from medlit.mama_checkpoint import mama_info, restore_mama
from medlit.models import EarlyInterventionClassifier, ImageTower, MaMAModel, TextTower, UnimodalClassifier
from medlit.models.lineage import refuse_seen_cases
from medlit.models.weights import load_foundation_weights, stated_info, write_tensors
from medlit.peft import MoRConfig
from medlit.resume import KEY, check_global_batch, check_settings, find_newest, is_trained

SIZES = {"depth": 1, "embed_dim": 16, "num_heads": 2}
BACKBONE: dict[str, Any] = {
    "backbone": "vit_tiny_patch16_224",
    "pretrained": False,
    "model_args": SIZES,
    "img_size": 16,
}
CLASSES = ["a", "b", "c"]
CUT = {"name": "derm7pt", "split_seed": 0, "num_folds": None, "fold": None}


class SavedFiles:
    """Files and their readers, over models that are made once.

    Args:
        folder: To write to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        torch.manual_seed(0)
        adapter = MoRConfig(ranks=[1, 2], alphas=[2, 4], target_modules=["mlp.fc1"])
        given: dict[str, Any] = {**BACKBONE, "num_classes": len(CLASSES), "adapter": adapter}
        self.fused = EarlyInterventionClassifier(modalities=["clinic", "derm"], **given)
        self.alone = UnimodalClassifier(modalities=["clinic"], **given)
        self.pretrained = MaMAModel(
            img_size=16,
            num_tokens=8,
            image=ImageTower(backbone=BACKBONE["backbone"], pretrained=False, model_args=SIZES),
            text=TextTower(
                backbone="gpt2",
                pretrained=False,
                model_args={"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 8},
                train_backbone=True,
            ),
            embed_dim=4,
            local_hidden=8,
        )

    def early_intervention(self) -> bytes:
        """A checkpoint of a training, with what Lightning keeps in it."""
        info = checkpoint_info(
            self.fused, class_names=CLASSES, folds={"num_folds": 3, "fold": 0, "split_seed": 0}, cut=CUT
        )
        stopping = {"wait_count": 1, "stopped_epoch": 0, "best_score": torch.tensor(0.5), "patience": 3}
        more = {
            "epoch": 1,
            "global_step": 5,
            "pytorch-lightning_version": "2.6.6",
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {"EarlyStopping{'monitor': 'val/map'}": stopping},
            "optimizer_states": [{"state": {0: {"momentum_buffer": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}],
            KEY: {"settings": {"model.init_args.prior": "0" * 16}, "global_batch": 8},
        }
        return _saved({"state_dict": _prefixed(trainable_state(self.fused)), "medlit": info, **more})

    def unimodal(self) -> bytes:
        """A checkpoint of the first stage."""
        info = checkpoint_info(self.alone, class_names=CLASSES, restrictions={"derm7pt": "not to be shared"})
        return _saved({"state_dict": _prefixed(trainable_state(self.alone)), "medlit": info})

    def mama(self) -> bytes:
        """A checkpoint of a pretraining."""
        tokenizer = {"source": "words", "separator": "[SEP]", "max_tokens": 8}
        info = mama_info(self.pretrained, target="density", class_names=CLASSES, tokenizer=tokenizer, cut=CUT)
        return _saved({"state_dict": _prefixed(self.pretrained.trained_state()), "medlit": info})

    def exported(self) -> bytes:
        """As ``medlit export`` writes weights."""
        path = self.folder / "made.safetensors"
        save_weights(trainable_state(self.fused), checkpoint_info(self.fused, class_names=CLASSES), path)
        return path.read_bytes()

    def foundation(self, suffix: str) -> bytes:
        """Weights of a vision transformer, as timm's, or with the arguments of a training beside them."""
        import argparse

        state = self.alone.backbone.encoder.vit.state_dict()
        if suffix == ".safetensors":
            path = self.folder / "made.safetensors"
            write_tensors(state, path)
            return path.read_bytes()
        return _saved({"model": state, "args": argparse.Namespace(lr=0.1, names=["a"]), "epoch": 3})

    def released(self) -> bytes:
        """A unimodal state dict as the released code writes it: DINOv2 of one block, two experts."""
        return _saved(_released())

    def restore(self, path: Path) -> None:
        """As ``medlit test`` and ``predict`` do."""
        state, info = read_checkpoint(path)
        folds = {"num_folds": 3, "fold": 0, "split_seed": 0}
        restore(self.fused, state, info, source=str(path), class_names=CLASSES, folds=folds)
        self._forget(self.fused, path)

    def start_from(self, path: Path) -> None:
        """As ``init_from`` does."""
        initialise_from_unimodal(self.fused, {"clinic": str(path)}, class_names=CLASSES)
        self._forget(self.fused, path)

    def restore_mama(self, path: Path) -> None:
        """As ``medlit test`` of a pretraining does."""
        state, info = read_checkpoint(path)
        tokenizer = {"source": "words", "separator": "[SEP]", "max_tokens": 8}
        restore_mama(self.pretrained, state, info, source=str(path), tokenizer=tokenizer)
        self._forget(self.pretrained, path)

    def go_on(self, path: Path) -> None:
        """As ``medlit fit --resume true`` and recipes do."""
        run = path.parents[1]
        found = find_newest(run)
        if found.checkpoint is not None:
            from medlit.models.weights import read_file

            content = read_file(found.checkpoint)
            check_settings(content, {"model.init_args.prior": "0" * 16}, source=str(path))
            check_global_batch(content, 8, source=str(path))
            unpack(content, source=str(path))
        (run / "config.yaml").write_text("trainer: {}\n")
        (run / "checkpoints" / "best.ckpt").touch()
        is_trained(run)
        (run / "checkpoints" / "best.ckpt").unlink()

    def load_export(self, path: Path) -> None:
        """As a user of exported weights does."""
        stated_info(path)
        load_weights(self.fused, path, class_names=CLASSES)
        self._forget(self.fused, path)

    def load_foundation(self, path: Path) -> None:
        """As ``weights: PATH`` does."""
        load_foundation_weights(self.alone.backbone.encoder.vit, path)

    def convert(self, path: Path) -> None:
        """As ``medlit convert unimodal`` does, up to what it writes."""
        from medlit.interop import convert_unimodal_state_dict, describe
        from medlit.models.lineage import restrictions_in
        from medlit.models.weights import read_tensors

        restrictions_in(stated_info(path), source=str(path))
        state = read_tensors(path)
        described = describe(state, num_heads=2, source=str(path))
        described.settings(img_size=28)
        convert_unimodal_state_dict(state, source=str(path))

    @staticmethod
    def _forget(model: Any, path: Path) -> None:
        """What the model now goes on under is looked at, and forgotten before the next file."""
        cuts, model.cuts, model.restrictions = model.cuts, [], {}
        refuse_seen_cases(cuts, CUT, source=str(path))


def _saved(content: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def _prefixed(state: dict[str, Any]) -> dict[str, Any]:
    return {f"{TASK_PREFIX}{name}": tensor for name, tensor in state.items()}


def _released(width: int = 16, classes: int = 3) -> dict[str, torch.Tensor]:
    block, hidden = "backbone.blocks.0", 4 * width
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.cls_token": (1, 1, width),
        "backbone.pos_embed": (1, 5, width),
        "backbone.mask_token": (1, width),
        "backbone.patch_embed.proj.weight": (width, 3, 14, 14),
        "backbone.patch_embed.proj.bias": (width,),
        "backbone.norm.weight": (width,),
        "backbone.norm.bias": (width,),
        f"{block}.attn.qkv.weight": (3 * width, width),
        f"{block}.attn.qkv.bias": (3 * width,),
        f"{block}.attn.proj.weight": (width, width),
        f"{block}.attn.proj.bias": (width,),
        f"{block}.ls1.gamma": (width,),
        f"{block}.ls2.gamma": (width,),
        f"{block}.mlp.fc1.linear.weight": (hidden, width),
        f"{block}.mlp.fc1.linear.bias": (hidden,),
        f"{block}.mlp.fc2.weight": (width, hidden),
        f"{block}.mlp.fc2.bias": (width,),
        f"{block}.mlp.fc1.route.weight": (3, width),
        f"{block}.mlp.fc1.route.bias": (3,),
        "fc.weight": (classes, width),
        "fc.bias": (classes,),
    }
    shapes |= {f"{block}.norm{n}.{kind}": (width,) for n in (1, 2) for kind in ("weight", "bias")}
    shapes |= {f"{block}.mlp.fc1.lora_as.{k}.weight": (k + 1, width) for k in (0, 1)}
    shapes |= {f"{block}.mlp.fc1.lora_bs.{k}.weight": (hidden, k + 1) for k in (0, 1)}
    return {name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}
