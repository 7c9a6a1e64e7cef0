"""``medlit convert``: a checkpoint of the papers' own code as foundation weights, a checkpoint and an overlay."""

import argparse
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlit.commands.sharing import add_permission, refuse_unless_permitted
from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError

if TYPE_CHECKING:
    from torch import Tensor

    from medlit.interop import ReleasedModel
    from medlit.models import AdaptedClassifier

BACKBONE, CHECKPOINT, OVERLAY = "backbone.safetensors", "checkpoints/best.ckpt", "model.yaml"
"""What is written into the folder."""

TITLES = {"ei": "Early Intervention", "unimodal": "unimodal model"}


def main(args: list[str]) -> int:
    """Convert a released checkpoint.

    Args:
        args: Words after ``convert``.

    Returns:
        The exit code.

    Raises:
        WeightsNotFoundError: If there is no such checkpoint.
        CheckpointMismatchError: If it is none of the released code.
        ConfigurationError: If an option does not fit it, the folder holds a conversion already or is not writable, or
            the file states terms that forbid to share it, and no permission is claimed.
    """
    options = _parser().parse_args(args)
    if options.out.exists() and not options.out.is_dir():
        raise ConfigurationError(f"--out {options.out} is no folder")
    taken = [name for name in (BACKBONE, CHECKPOINT, OVERLAY) if (options.out / name).exists()]
    if taken:
        raise ConfigurationError(f"{options.out} already holds {', '.join(taken)}; choose another --out")
    try:
        convert(
            options.kind,
            options.checkpoint,
            modalities=options.modalities,
            out=options.out,
            img_size=options.img_size,
            alphas=options.alphas,
            num_heads=options.num_heads,
            permitted=options.permitted,
        )
    except WeightsNotFoundError:  # an OSError too
        raise
    except OSError as error:
        raise ConfigurationError(f"--out {options.out}: cannot be written ({error.strerror or error})") from error
    return 0


def convert(
    kind: str,
    checkpoint: Path,
    *,
    modalities: list[str],
    out: Path,
    img_size: int | None = None,
    alphas: list[float] | None = None,
    num_heads: int | None = None,
    permitted: bool = False,
) -> None:
    """Write foundation, checkpoint and overlay into a folder.

    Args:
        kind: ``ei`` or ``unimodal``.
        checkpoint: The released ``best_model.pkl``; only tensors are read.
        modalities: Their names, in the order of the released code's lists.
        out: The folder.
        img_size: Side of the data's images, pixels, which are padded to the checkpoint's; None: no padding.
        alphas: One for each of MoR's experts; None: twice the ranks.
        num_heads: Attention heads of the backbone; None: a head per 64 channels.
        permitted: Whether weights whose file says that they must not be shared are written; their terms go with them.
    """
    from medlit.interop import convert_ei_state_dict, convert_unimodal_state_dict, describe
    from medlit.interop.early_intervention import foundation_state
    from medlit.models.lineage import restrictions_in
    from medlit.models.weights import find_weights, read_tensors, stated_info

    file, source = find_weights(checkpoint), str(checkpoint)
    state, restrictions = read_tensors(file), restrictions_in(stated_info(file), source=source)
    refuse_unless_permitted(restrictions, source=source, permitted=permitted)
    described = describe(state, num_heads=num_heads, source=source)
    if kind != described.kind:
        raise CheckpointMismatchError(
            f"{source}: {TITLES[described.kind]} of {described.num_modalities} modalities; use medlit convert "
            f"{described.kind}"
        )
    if len(modalities) != described.num_modalities or len(set(modalities)) != len(modalities):
        raise ConfigurationError(
            f"--modalities {' '.join(modalities)}: {source} needs {described.num_modalities} different names"
        )
    if unfit := [name for name in modalities if not name or "." in name]:
        raise ConfigurationError(f"--modalities: {unfit[0]!r} cannot be the name of a modality: empty, or with a dot")
    if alphas is not None and (
        len(alphas) != len(described.ranks) or not all(0 < alpha < math.inf for alpha in alphas)
    ):
        raise ConfigurationError(
            f"--alphas {alphas}: MoR in {source} has the ranks {described.ranks}; give a positive alpha for each"
        )
    if kind == "ei":
        converted = convert_ei_state_dict(state, modalities=modalities, source=source)
    else:
        converted = convert_unimodal_state_dict(state, source=source)
    model = described.make(modalities=modalities, img_size=img_size, alphas=alphas)
    model.load_state_dict(converted, strict=True)
    _write_foundation(foundation_state(converted), out / BACKBONE, restrictions=restrictions)
    model.restrictions = restrictions
    _write_checkpoint(model, out / CHECKPOINT)
    adapter = described.adapter(alphas)
    overlay = _overlay(described, modalities, out=out, img_size=img_size, alphas=list(adapter.alphas))
    _write_overlay(overlay, out / OVERLAY, source=checkpoint.name, kind=kind)
    _report(described, checkpoint, modalities, out)


def _write_foundation(state: Mapping[str, "Tensor"], path: Path, *, restrictions: Mapping[str, str]) -> None:
    """The frozen weights alone, in timm's names."""
    import json

    from medlit.files import write_whole
    from medlit.models.weights import write_tensors

    terms = {"medlit": json.dumps({"restrictions": dict(restrictions)})} if restrictions else None
    write_whole(path, lambda temporary: write_tensors(state, temporary, metadata=terms))


def _write_checkpoint(model: "AdaptedClassifier", path: Path) -> None:
    """The trained part as a training of medlit would have kept it."""
    import torch

    from medlit.checkpoint import TASK_PREFIX, checkpoint_info, trainable_state
    from medlit.files import write_whole

    content = {
        "state_dict": {f"{TASK_PREFIX}{name}": tensor for name, tensor in trainable_state(model).items()},
        "medlit": checkpoint_info(model, class_names=None),
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": version("lightning"),  # Lightning reads no checkpoint without it
    }
    write_whole(path, lambda temporary: torch.save(content, temporary))


def _overlay(
    described: "ReleasedModel",
    modalities: list[str],
    *,
    out: Path,
    img_size: int | None,
    alphas: list[float],
) -> dict[str, Any]:
    """What an experiment has to be told to hold the converted model."""
    adapter = {
        "class_path": "medlit.peft.MoRConfig",
        "init_args": {
            "ranks": described.ranks,
            "alphas": alphas,
            "target_modules": described.target_modules,
            "bypass": described.bypass,
        },
    }
    weights = {"pretrained": False, "weights": (out / BACKBONE).as_posix()}
    settings = {**described.settings(img_size=img_size), **weights}
    return {
        "run_dir": out.as_posix(),
        "data": {"init_args": {"modalities": modalities, "img_size": img_size or described.img_size}},
        "model": {"init_args": {"model": {"init_args": {**settings, "adapter": adapter}}}},
    }


def _write_overlay(overlay: dict[str, Any], path: Path, *, source: str, kind: str) -> None:
    import yaml

    from medlit.files import write_text

    words = f"# Written by medlit convert {kind} from {source}: what an experiment has to be told to hold its model.\n"
    text = words + yaml.safe_dump(overlay, sort_keys=False, default_flow_style=None, width=120)
    write_text(path, text)


def _report(described: "ReleasedModel", checkpoint: Path, modalities: list[str], out: Path) -> None:
    """What was found, and what to type next."""
    print(
        f"{checkpoint}: {TITLES[described.kind]} ({', '.join(modalities)}), {described.num_classes} classes, "
        f"{described.foundation.name}, {described.img_size} pixels; MoR ranks {described.ranks} in "
        f"{', '.join(described.target_modules)}"
    )
    for name in (BACKBONE, CHECKPOINT, OVERLAY):
        print(out / name)
    experiment = "ei_SET" if described.kind == "ei" else f"unimodal_SET_{modalities[0]}"
    print(
        f"next, with the SET's experiment: medlit test --config experiments/{experiment}.yaml --config {out / OVERLAY}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit convert",
        description="Turn a checkpoint of the released code of Early Intervention (best_model.pkl, a state dict) into "
        f"{BACKBONE}, {CHECKPOINT} and {OVERLAY}, an overlay with which medlit test and predict use it. Nothing but "
        "tensors is read from the file.",
    )
    parser.add_argument("kind", choices=list(TITLES), help="Early Intervention, or its first stage")
    parser.add_argument("checkpoint", type=Path, help="best_model.pkl")
    parser.add_argument(
        "--modalities",
        nargs="+",
        required=True,
        help="names, in the order of the lists that the released code was given",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; nothing in it is overwritten")
    parser.add_argument(
        "--img_size", type=int, help="side of the data's images where the released code padded them (512 for 518)"
    )
    parser.add_argument(
        "--alphas", type=float, nargs="+", help="of MoR's experts (default: twice the ranks, as released)"
    )
    parser.add_argument("--num_heads", type=int, help="attention heads of the backbone (default: one per 64 channels)")
    add_permission(parser)
    return parser
