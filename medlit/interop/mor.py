"""Adapted linear layers of the released code: frozen weights and experts taken apart, experts laid side by side."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medlit.errors import CheckpointMismatchError
from medlit.peft.mor.layer import THIRDS, WHOLE

ADAPTER = "default"
"""Name under which PEFT keeps an adapter that was given none."""

_EXPERT = re.compile(r"(?P<layer>.+)\.lora_(?P<side>[ab])s(?:_(?P<part>[qkv]))?\.(?P<number>\d+)\.weight")
_ROUTER = re.compile(r"(?P<layer>.+)\.route(?:_(?P<part>[qkv]))?\.(?P<kind>weight|bias)")
_FROZEN = re.compile(r"(?P<layer>.+)\.linear\.(?P<kind>weight|bias)")


@dataclass(frozen=True)
class Experts:
    """One set of experts of a layer of D inputs: for the whole of its O outputs, or for a third of them."""

    downs: dict[int, Tensor] = field(default_factory=dict)
    """A_k by number, (r_k, D)."""
    ups: dict[int, Tensor] = field(default_factory=dict)
    """B_k by number, (O, r_k)."""
    router: dict[str, Tensor] = field(default_factory=dict)
    """``weight`` (K + 1, D) and ``bias`` (K + 1,), the bypass first; K rows in a router without bypass."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Rank of each expert, in order."""
        return tuple(len(self.downs[number]) for number in range(len(self.downs)))

    @property
    def bypass(self) -> bool:
        """Whether the router has a row that no expert takes."""
        return len(self.router["bias"]) == len(self.downs) + 1


@dataclass(frozen=True)
class AdaptedState:
    """The state of one adapted backbone."""

    frozen: dict[str, Tensor]
    """Foundation weights, under the names they have without adapters."""
    experts: dict[tuple[str, str], Experts]
    """By layer and part: ``WHOLE``, or ``q``, ``k``, ``v``."""

    @property
    def shape(self) -> tuple[set[tuple[str, str]], set[tuple[tuple[int, ...], bool]]]:
        """Which layers are adapted, and with which ranks and bypass: the same in every backbone of a model."""
        return set(self.experts), {(experts.ranks, experts.bypass) for experts in self.experts.values()}

    def adapters(self) -> dict[str, Tensor]:
        """The experts under the names and in the layout of :class:`medlit.peft.MoRLinear`."""
        found = {}
        for (layer, part), experts in self.experts.items():
            end = f"_{part}" if part else ""
            order = range(len(experts.downs))
            found[f"{layer}.mor_A{end}.{ADAPTER}"] = torch.cat([experts.downs[number] for number in order])
            found[f"{layer}.mor_B{end}.{ADAPTER}"] = torch.cat([experts.ups[number] for number in order], dim=1)
            for kind, tensor in experts.router.items():
                found[f"{layer}.mor_router{end}.{ADAPTER}.{kind}"] = tensor
        return found

    def targets(self) -> list[str]:
        """What MoR's ``target_modules`` has to be: ends of names where all blocks are adapted alike, else names."""
        names = {f"{layer}.{part}" if part else layer for layer, part in self.experts}
        blocks: dict[str, set[str]] = defaultdict(set)
        for name in names:
            block = re.match(r"blocks\.\d+\.", name)
            blocks[block[0] if block else ""].add(name.removeprefix(block[0] if block else ""))
        depth = {name.split(".")[1] for name in self.frozen if name.startswith("blocks.")}
        ends = next(iter(blocks.values()), set())
        alike = len(blocks) == len(depth) and "" not in blocks and all(found == ends for found in blocks.values())
        return sorted(ends if alike else names)


def take_apart(state: Mapping[str, Tensor], *, source: str) -> AdaptedState:
    """Foundation weights and experts of one backbone of the released code.

    An adapted linear holds ``linear.*`` (frozen), ``lora_as.{k}.weight``, ``lora_bs.{k}.weight`` and ``route.*``; an
    adapted ``qkv`` holds the last three once for each of q, k and v, as ``lora_as_q`` and so on.

    Args:
        state: Of the backbone, without prefix.
        source: File and backbone, for messages.

    Raises:
        CheckpointMismatchError: If a layer's experts are incomplete or do not fit together.
    """
    frozen: dict[str, Tensor] = {}
    experts: dict[tuple[str, str], Experts] = defaultdict(Experts)
    for name, tensor in state.items():
        if match := _EXPERT.fullmatch(name):
            own = experts[match["layer"], match["part"] or WHOLE]
            (own.downs if match["side"] == "a" else own.ups)[int(match["number"])] = tensor
        elif match := _ROUTER.fullmatch(name):
            experts[match["layer"], match["part"] or WHOLE].router[match["kind"]] = tensor
        elif match := _FROZEN.fullmatch(name):
            frozen[f"{match['layer']}.{match['kind']}"] = tensor
        else:
            frozen[name] = tensor
    for (layer, part), own in experts.items():
        _check(own, frozen.get(f"{layer}.weight"), part, where=f"{source}: {layer}{f' ({part})' if part else ''}")
    return AdaptedState(frozen=frozen, experts=dict(experts))


def _check(experts: Experts, weight: Tensor | None, part: str, *, where: str) -> None:
    """Refuse experts that cannot be those of a layer with this frozen weight."""
    if weight is None or weight.ndim != 2:
        raise CheckpointMismatchError(f"{where} has adapters, but no linear.weight that is a matrix")
    numbers = list(range(len(experts.downs)))
    if not numbers or sorted(experts.downs) != numbers or sorted(experts.ups) != numbers:
        raise CheckpointMismatchError(
            f"{where} has lora_as {sorted(experts.downs)} and lora_bs {sorted(experts.ups)}, "
            "but they have to be numbered alike from 0"
        )
    if set(experts.router) != {"weight", "bias"}:
        raise CheckpointMismatchError(f"{where} has of route only {sorted(experts.router)}, not weight and bias")
    outputs, inputs = weight.shape
    outputs = outputs // len(THIRDS) if part else outputs
    rows = experts.router["bias"].numel()
    right = (
        all(down.ndim == 2 and down.shape[1] == inputs for down in experts.downs.values())
        and all(experts.ups[k].shape == (outputs, len(experts.downs[k])) for k in numbers)
        and rows in (len(numbers), len(numbers) + 1)
        and experts.router["bias"].shape == (rows,)
        and experts.router["weight"].shape == (rows, inputs)
    )
    if not right:
        shapes = {f"lora_as.{k}": tuple(experts.downs[k].shape) for k in numbers}
        shapes |= {f"lora_bs.{k}": tuple(experts.ups[k].shape) for k in numbers}
        shapes |= {f"route.{kind}": tuple(tensor.shape) for kind, tensor in experts.router.items()}
        raise CheckpointMismatchError(f"{where} has shapes that do not fit its weight {tuple(weight.shape)}: {shapes}")
