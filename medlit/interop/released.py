"""What a checkpoint of the released code of Early Intervention holds, told from its names and shapes."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from timm.data.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.interop.foundation import Foundation, recognise
from medlit.interop.mor import AdaptedState, take_apart
from medlit.models import AdaptedClassifier, EarlyInterventionClassifier, UnimodalClassifier
from medlit.peft import MoRConfig

ALPHA_PER_RANK = 2
"""Scale of every expert as released (ranks 2, 4, 8, alphas 4, 8, 16); a state dict does not tell."""

FIRST, SECOND = "first_backbones", "second_backbones"
"""The released names of the auxiliary and the main passes."""

SHOWN = 3
"""Names in a message."""

_BACKBONE = re.compile(rf"(?P<owner>({FIRST}|{SECOND})\.\d+)\.backbone\.(?P<name>.+)")


@dataclass(frozen=True)
class Parts:
    """A released state dict, its backbones set apart from the small rest."""

    backbones: dict[str, AdaptedState]
    """By owner: ``first_backbones.0``, ...; a unimodal model's one is the empty string."""
    rest: dict[str, Tensor]
    """Heads, projectors and gate, under their released names."""

    @property
    def num_modalities(self) -> int:
        """M; each has a first and a second backbone."""
        return max(len(self.backbones) // 2, 1)

    @property
    def frozen(self) -> dict[str, Tensor]:
        """Foundation weights, the same in every backbone."""
        return next(iter(self.backbones.values())).frozen


@dataclass(frozen=True)
class ReleasedModel:
    """A released checkpoint in the words of medlit's configuration."""

    kind: Literal["ei", "unimodal"]
    """Early Intervention, or its first stage."""
    num_modalities: int
    """M; the names are not in the checkpoint."""
    num_classes: int
    """C, classes or labels; the names are not in the checkpoint."""
    foundation: Foundation
    """The frozen vision transformer."""
    ranks: list[int]
    """Of MoR's experts."""
    target_modules: list[str]
    """The layers that MoR adapts."""
    bypass: bool
    """Whether MoR's router has a bypass."""

    @property
    def img_size(self) -> int:
        """Side of the images that the position embedding is for, pixels, padding included."""
        return self.foundation.grid * self.foundation.patch_size

    def adapter(self, alphas: Sequence[float] | None = None) -> MoRConfig:
        """The adapters, with alphas of twice the ranks unless others are given."""
        alphas = [ALPHA_PER_RANK * rank for rank in self.ranks] if alphas is None else list(alphas)
        return MoRConfig(
            ranks=self.ranks, alphas=list(alphas), target_modules=list(self.target_modules), bypass=self.bypass
        )

    def settings(self, *, img_size: int | None = None) -> dict[str, Any]:
        """Constructor arguments of the model beside modalities, classes, size, weights and adapter.

        Args:
            img_size: Side of the data's images, pixels, which the released DINOv2 pads; None: no padding.

        Raises:
            ConfigurationError: If the images do not become as large as the position embedding by padding.
        """
        size = self.img_size if img_size is None else img_size
        if not self.img_size - self.foundation.patch_size < size <= self.img_size:
            raise ConfigurationError(
                f"img_size {size}: the checkpoint's position embedding is for {self.img_size} pixels, and images are "
                f"padded by less than a patch ({self.foundation.patch_size} pixels)"
            )
        return {
            "backbone": self.foundation.name,
            "model_args": dict(self.foundation.model_args),
            "image_mean": list(OPENAI_CLIP_MEAN),
            "image_std": list(OPENAI_CLIP_STD),
            "pad": size != self.img_size,
            **({"intervene_at": 0} if self.kind == "ei" else {}),
        }

    def make(
        self,
        *,
        modalities: Sequence[str],
        img_size: int | None = None,
        alphas: Sequence[float] | None = None,
    ) -> AdaptedClassifier:
        """The model that a converted state dict is for, with random weights.

        Args:
            modalities: M names.
            img_size: As for :meth:`settings`.
            alphas: As for :meth:`adapter`.
        """
        model = EarlyInterventionClassifier if self.kind == "ei" else UnimodalClassifier
        return model(
            modalities=list(modalities),
            num_classes=self.num_classes,
            img_size=self.img_size if img_size is None else img_size,
            pretrained=False,
            adapter=self.adapter(alphas),
            **self.settings(img_size=img_size),
        )


def describe(state: Mapping[str, Tensor], *, num_heads: int | None = None, source: str = "state dict") -> ReleasedModel:
    """Backbone, size, adapters, classes and number of modalities of a released state dict.

    Args:
        state: Of ``best_model.pkl``.
        num_heads: Attention heads of the backbone; None: a head per 64 channels, as in CLIP and DINOv2.
        source: The file, for messages.

    Raises:
        CheckpointMismatchError: If it is none of the released code, or parts of it contradict.
        ConfigurationError: If ``num_heads`` does not fit.
    """
    return describe_parts(read_parts(state, source=source), num_heads=num_heads, source=source)


def describe_parts(parts: Parts, *, num_heads: int | None = None, source: str) -> ReleasedModel:
    """As :func:`describe`, of a state dict that is taken apart already."""
    kind: Literal["ei", "unimodal"] = "unimodal" if "" in parts.backbones else "ei"
    head = "fc.weight" if kind == "unimodal" else f"{FIRST}.0.fc.weight"
    if head not in parts.rest or parts.rest[head].ndim != 2:
        raise CheckpointMismatchError(f"{source}: {head} is not there, or no matrix")
    owner, first = next(iter(parts.backbones.items()))
    for name, other in parts.backbones.items():
        if other.shape != first.shape:
            raise CheckpointMismatchError(
                f"{source}: {name} is adapted in {_adaptation(other)}, but {owner} in {_adaptation(first)}"
            )
    _, forms = first.shape
    if len(forms) != 1:
        raise CheckpointMismatchError(
            f"{source}: "
            + ("no layer is adapted (no lora_as)" if not forms else f"layers have different ranks or routers: {forms}")
        )
    [(ranks, bypass)] = forms
    return ReleasedModel(
        kind=kind,
        num_modalities=parts.num_modalities,
        num_classes=len(parts.rest[head]),
        foundation=recognise(first.frozen, num_heads=num_heads, source=source),
        ranks=list(ranks),
        target_modules=first.targets(),
        bypass=bypass,
    )


def read_parts(state: Mapping[str, Tensor], *, source: str) -> Parts:
    """Take a released state dict apart and see that all its backbones are one foundation.

    Raises:
        CheckpointMismatchError: If there is no backbone, one has no counterpart, or their frozen weights differ.
    """
    if strangers := [str(n) for n, tensor in state.items() if not (isinstance(n, str) and isinstance(tensor, Tensor))]:
        raise CheckpointMismatchError(
            f"{source}: {', '.join(strangers[:SHOWN])} is no tensor with a name; a state dict is needed"
        )
    inside: dict[str, dict[str, Tensor]] = defaultdict(dict)
    rest = {}
    for name, tensor in state.items():
        if match := _BACKBONE.fullmatch(name):
            inside[match["owner"]][match["name"]] = tensor
        elif name.startswith("backbone."):
            inside[""][name.removeprefix("backbone.")] = tensor
        else:
            rest[name] = tensor
    owners, count = set(inside), len(inside) // 2
    if owners != {""} and (not count or owners != {f"{kind}.{m}" for kind in (FIRST, SECOND) for m in range(count)}):
        raise CheckpointMismatchError(
            f"{source}: no checkpoint of the released Early Intervention code: it needs {FIRST}.0.backbone.*, "
            f"{SECOND}.0.backbone.*, ... (or backbone.* alone), but has "
            f"{', '.join(sorted(owners) or list(state)[:SHOWN]) or 'nothing'}"
        )
    apart = {
        owner: take_apart(inside[owner], source=f"{source}: {owner or 'backbone'}")
        for owner in sorted(inside, key=_place)
    }
    _check_one_foundation(apart, source=source)
    return Parts(backbones=apart, rest=rest)


def _place(owner: str) -> tuple[str, int]:
    """Sorts ``first_backbones.10`` behind ``first_backbones.9``."""
    kind, _, number = owner.partition(".")
    return kind, int(number or 0)


def _check_one_foundation(backbones: Mapping[str, AdaptedState], *, source: str) -> None:
    """Refuse backbones whose frozen weights differ by a bit: medlit keeps them once."""
    (owner, first), *others = backbones.items()
    different = []
    for name, other in others:
        tensors = [*first.frozen, *(tensor for tensor in other.frozen if tensor not in first.frozen)]
        different += [
            f"{name}.backbone.{tensor}"
            for tensor in tensors
            if not _same(first.frozen.get(tensor), other.frozen.get(tensor))
        ]
    if different:
        raise CheckpointMismatchError(
            f"{source}: {len(different)} frozen tensors differ from those of {owner}, as "
            f"{', '.join(different[:SHOWN])}; medlit keeps one foundation for all passes, so this checkpoint, "
            "whose backbones were trained or stem from different foundations, cannot be taken over"
        )


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None:
        return False
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


def _adaptation(state: AdaptedState) -> str:
    """Targets and ranks, for a message."""
    ranks = sorted({experts.ranks for experts in state.experts.values()})
    return f"{', '.join(state.targets()) or 'no layer'} with ranks {', '.join(map(str, ranks)) or 'none'}"
