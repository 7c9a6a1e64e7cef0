"""``medlit export``: the trained weights of a checkpoint, without optimizer and backbone, as safetensors."""

import argparse
import json
from pathlib import Path

from medlit.commands.sharing import add_permission, refuse_unless_permitted

WEIGHTS, METADATA = "weights.safetensors", "weights.json"


def main(args: list[str]) -> int:
    """Write ``weights.safetensors`` and ``weights.json`` from a checkpoint.

    Args:
        args: Words after ``export``.

    Returns:
        The exit code.

    Raises:
        WeightsNotFoundError: If there is no such checkpoint.
        CheckpointMismatchError: If it is none of medlit's.
        ConfigurationError: If the terms of its data forbid to share it, and no permission is claimed.
    """
    parser = argparse.ArgumentParser(
        prog="medlit export",
        description="Write a checkpoint's trained weights as safetensors, and beside them, as plain JSON, the classes, "
        "modalities and foundation weights that they belong to. medlit.checkpoint.load_weights reads them back. "
        "Weights that the terms of their data forbid to share are refused.",
    )
    parser.add_argument("checkpoint", help="a .ckpt of medlit, such as runs/ei_derm7pt/checkpoints/best.ckpt")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made where it does not exist")
    add_permission(parser)
    options = parser.parse_args(args)
    export(options.checkpoint, options.out, permitted=options.permitted)
    return 0


def export(checkpoint: str | Path, out: Path, *, permitted: bool = False) -> None:
    """Write the trained weights of a checkpoint into a folder.

    Args:
        checkpoint: A task's checkpoint; only tensors and plain types are read.
        out: The folder.
        permitted: Whether weights that must not be shared are written; their terms go with them.

    Raises:
        ConfigurationError: If they must not, and are not.
    """
    from medlit.checkpoint import read_checkpoint, save_weights
    from medlit.models.lineage import restrictions_in

    state, info = read_checkpoint(checkpoint)
    refuse_unless_permitted(restrictions_in(info, source=str(checkpoint)), source=checkpoint, permitted=permitted)
    if "restrictions" not in info:
        print(f"{checkpoint}: its medlit kept no terms of data yet; see that those of its training data allow sharing")
    out.mkdir(parents=True, exist_ok=True)
    save_weights(state, info, out / WEIGHTS)
    parameters = sum(tensor.numel() for tensor in state.values())
    (out / METADATA).write_text(json.dumps({**info, "numbers": parameters}, indent=2) + "\n", encoding="utf-8")
    print(f"{out / WEIGHTS}: {len(state)} tensors, {parameters:,} numbers; {out / METADATA} says what they belong to")
