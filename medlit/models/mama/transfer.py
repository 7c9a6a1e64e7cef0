"""The image tower of a MaMA run as foundation weights of other models."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from medlit.errors import CheckpointMismatchError
from medlit.models.foundations import architecture_of
from medlit.models.lineage import Cut, cuts_in, restrictions_in
from medlit.models.mama.settings import plain
from medlit.models.weights import load_tensors, read_file

FORMAT_VERSION = 1
"""Version of the layout of checkpoints that is read here."""

IMAGE_TOWER = "model.image_encoder.vit."
"""Prefix of the tower's tensors in the state dict of a task."""

FREE_ARGUMENTS = frozenset({"global_pool", "weight_init", "fix_init"})
"""Arguments of a timm model that change nothing in what its blocks compute in evaluation; dropout rates beside them."""


@dataclass(frozen=True, kw_only=True)
class MaMARun:
    """What a checkpoint of a MaMA run holds of its image tower."""

    path: Path
    """The checkpoint."""
    image: Mapping[str, Any]
    """What it says of the tower: backbone, arguments, normalisation."""
    state: dict[str, Tensor]
    """The tower's tensors under timm's names."""
    restrictions: dict[str, str]
    """By data set, why what was learned from it must not be shared."""
    cuts: list[Cut]
    """How the sets were divided that it has learned from."""

    @property
    def image_mean(self) -> list[float]:
        """RGB mean by which its images were normalised."""
        return list(self.image["image_mean"])

    @property
    def image_std(self) -> list[float]:
        """RGB standard deviation, likewise."""
        return list(self.image["image_std"])

    def load(self, vit: nn.Module, backbone: str, model_args: Mapping[str, Any] | None) -> None:
        """Load the tower into a timm model of the same architecture; positions are resampled to its image size.

        Args:
            vit: The timm model.
            backbone: What it was asked for as.
            model_args: Its further arguments.

        Raises:
            CheckpointMismatchError: If it is another architecture, or tensors are missing or left over; lists them.
        """
        theirs = _structure(self.image["name"], self.image["model_args"])
        ours = _structure(backbone, model_args)
        if theirs != ours:
            raise CheckpointMismatchError(
                f"{self.path}: its image tower is {_words(*theirs)}, here it is {_words(*ours)}; give the same "
                "backbone and model_args"
            )
        load_tensors(vit, dict(self.state), source=str(self.path))


def read_mama_run(path: Path) -> MaMARun | None:
    """The image tower in a checkpoint of a MaMA run; None for a file that is no checkpoint of medlit.

    Args:
        path: A file of weights; nothing is unpickled but tensors.

    Raises:
        CheckpointMismatchError: If it is a checkpoint of another model of medlit, or cannot be read.
    """
    if not zipfile.is_zipfile(path):  # safetensors, torch's old format: Lightning writes neither
        return None
    content = read_file(path, mmap=True)
    info, state = content.get("medlit"), content.get("state_dict")
    if not isinstance(info, dict):
        return None
    if info.get("model") != "MaMAModel":
        raise CheckpointMismatchError(
            f"{path}: a checkpoint of {info.get('model')}, no foundation model; weights takes foundation weights "
            "or a checkpoint of a MaMA run"
        )
    if info.get("format_version") != FORMAT_VERSION:
        raise CheckpointMismatchError(
            f"{path}: format version {info.get('format_version')}, this medlit reads version {FORMAT_VERSION}"
        )
    image = info.get("image")
    if not (isinstance(state, dict) and isinstance(image, dict) and _says_all(image)):
        raise CheckpointMismatchError(f"{path}: its 'medlit' entry is incomplete; the file is damaged")
    return MaMARun(
        path=path,
        image=image,
        state={
            name.removeprefix(IMAGE_TOWER): tensor
            for name, tensor in state.items()
            if isinstance(name, str) and name.startswith(IMAGE_TOWER)
        },
        restrictions=restrictions_in(info, source=str(path)),
        cuts=cuts_in(info, source=str(path)),
    )


def _structure(backbone: str, model_args: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Timm's architecture without the tag of its weights, and those arguments that change what it computes."""
    architecture, arguments = architecture_of(backbone, model_args)
    kept = {
        name: value
        for name, value in arguments.items()
        if name not in FREE_ARGUMENTS and not name.endswith(("drop_rate", "drop_path_rate"))
    }
    return architecture.split(".")[0], plain(kept)


def _words(architecture: str, arguments: Mapping[str, Any]) -> str:
    return f"{architecture} with {dict(sorted(arguments.items()))}" if arguments else architecture


def _says_all(image: Mapping[str, Any]) -> bool:
    """Whether an entry names the tower, its arguments and its normalisation."""
    colours = [image.get("image_mean"), image.get("image_std")]
    named = isinstance(image.get("name"), str) and isinstance(image.get("model_args"), dict)
    return named and all(
        isinstance(values, list) and all(isinstance(value, float) for value in values) for values in colours
    )
