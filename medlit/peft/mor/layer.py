"""A frozen linear layer with MoR experts beside it."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from medlit.peft.mor.config import MoRConfig
from medlit.precision import autocast_off

WHOLE = ""
THIRDS = ("q", "k", "v")
"""Parts of a fused projection in the order of its output; ``WHOLE`` stands for all of any layer."""

CANNOT_MERGE = (
    "MoR cannot be merged into the frozen weights: its mixture differs from token to token. "
    "Keep the adapter, or take it off with unload()."
)


class _Branch(NamedTuple):
    """One adapter's experts for one part of the output; R is the sum of the ranks, P the width of the part."""

    down: Tensor  # A, (R, D)
    up: Tensor  # B, (P, R)
    router: nn.Linear  # D -> K + bypass
    ranks: list[int]
    scales: list[float]
    part: str


class MoRLinear(nn.Module, BaseTunerLayer):
    """``W x + b`` plus the experts of every active adapter, each token with its own mixture.

    The experts of one adapter are kept side by side: ``mor_A`` (sum of ranks, D), ``mor_B`` (O, sum of ranks) and the
    linear ``mor_router``. So the router and all A_k are one narrow product, all B_k another, and the
    (tokens, K, O) tensor of the formula is never made. A third of a fused projection keeps its own set under
    ``mor_A_q``, ``mor_B_q``, ``mor_router_q`` (or k, v) with O / 3 rows of B.

    Adapter weights are float32 (float64 beside a float64 layer), and A_k x and the router compute in that precision
    even under autocast; the output has the dtype of the frozen layer's.

    Args:
        base_layer: The layer to adapt, D inputs and O outputs: ``nn.Linear`` or the transposed ``Conv1D`` of GPT-2.
        adapter_name: Name of the first adapter.
        config: Its settings.
        parts: ``(WHOLE,)``, or the thirds to adapt out of q, k and v.
    """

    other_param_names = ("ranks", "scales")

    def __init__(
        self, base_layer: nn.Module, adapter_name: str, config: MoRConfig, parts: tuple[str, ...] = (WHOLE,)
    ) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = linear_size(self.get_base_layer())
        self.ranks: dict[str, list[int]] = {}
        self.scales: dict[str, list[float]] = {}
        self.merged_adapters: list[str] = []  # stays empty: see merge
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config, parts)

    def update_layer(self, adapter_name: str, config: MoRConfig, parts: tuple[str, ...] = (WHOLE,)) -> None:
        """Add an adapter, or start an existing one afresh: A as torch's Linear, B zero."""
        self.ranks[adapter_name] = list(config.ranks)
        self.scales[adapter_name] = config.scales
        for part in parts:
            down, up, router = self._fresh_experts(config, part)
            self._container("mor_A", part, nn.ParameterDict)[adapter_name] = down
            self._container("mor_B", part, nn.ParameterDict)[adapter_name] = up
            self._container("mor_router", part, nn.ModuleDict)[adapter_name] = router
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def _fresh_experts(self, config: MoRConfig, part: str) -> tuple[nn.Parameter, nn.Parameter, nn.Linear]:
        """A (R, D), B (P, R) and the router of one part, where the frozen weight lies."""
        frozen = self.get_base_weight()
        options: dict[str, Any] = {"device": frozen.device, "dtype": torch.promote_types(frozen.dtype, torch.float32)}
        width = self.out_features if part == WHOLE else self.out_features // len(THIRDS)
        down = nn.Parameter(torch.empty(sum(config.ranks), self.in_features, **options))
        for expert in torch.split(down.detach(), config.ranks):
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))
        up = nn.Parameter(torch.zeros(width, sum(config.ranks), **options))
        return down, up, nn.Linear(self.in_features, len(config.ranks) + config.bypass, **options)

    def _container(self, name: str, part: str, kind: type[nn.Module]) -> Any:
        """The dict of one kind of weight, made when a part is first adapted."""
        name = _attribute(name, part)
        if name not in self.adapter_layer_names:
            setattr(self, name, kind())
            self.adapter_layer_names = (*self.adapter_layer_names, name)
        return getattr(self, name)

    def _active_branches(self) -> Iterator[_Branch]:
        for adapter in self.active_adapters:
            for part in (WHOLE, *THIRDS):
                down = getattr(self, _attribute("mor_A", part), {})
                if adapter in down:
                    up = getattr(self, _attribute("mor_B", part))[adapter]
                    router = getattr(self, _attribute("mor_router", part))[adapter]
                    yield _Branch(down[adapter], up, router, self.ranks[adapter], self.scales[adapter], part)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., D) to (..., O), in the dtype of the frozen layer's output."""
        branches = [] if self.disable_adapters else list(self._active_branches())
        if not branches:
            frozen: Tensor = self.base_layer(x)
            return frozen
        # As a matrix, so that autograd adds the two gradients of the input in place.
        tokens = x.reshape(-1, self.in_features)  # (N, D)
        base: Tensor = self.base_layer(tokens)
        hidden = _gated_hidden(tokens, branches).to(base.dtype)
        # Laid out (H, O), which halves the time of both its products in the backward pass on a CPU.
        up = torch.cat([_pad_to_whole(branch).t() for branch in branches]).to(base.dtype)
        return torch.addmm(base, hidden, up).view(*x.shape[:-1], self.out_features)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: the mixture depends on the token, so no fixed weight equals it.

        Raises:
            ValueError: Always.
        """
        raise ValueError(CANNOT_MERGE)

    def unmerge(self) -> None:
        """Do nothing: MoR is never merged."""

    def extra_repr(self) -> str:
        """Name the experts of each adapter when the model is printed."""
        return f"ranks={self.ranks}, scales={self.scales}"


def linear_size(layer: nn.Module) -> tuple[int, int]:
    """Inputs D and outputs O of a linear layer.

    Raises:
        ValueError: If the layer is none.
    """
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    if isinstance(layer, Conv1D):
        return layer.weight.shape[0], layer.weight.shape[1]
    raise ValueError(f"MoR adapts nn.Linear and transformers' Conv1D layers, not {type(layer).__name__}")


def _attribute(name: str, part: str) -> str:
    return f"{name}_{part}" if part else name


def _gated_hidden(tokens: Tensor, branches: list[_Branch]) -> Tensor:
    """A x of all experts of all branches, each weighted by its gate and scale: (N, D) to (N, H), float32."""
    weight = torch.cat([weight for branch in branches for weight in (branch.router.weight, branch.down)])
    dtype = torch.promote_types(weight.dtype, torch.float32)
    widths = [size for branch in branches for size in (branch.router.out_features, len(branch.down))]
    with autocast_off(tokens.device.type):
        pieces = torch.split(F.linear(tokens.to(dtype), weight.to(dtype)), widths, dim=1)
        hidden = [
            rows * _row_gates(logits + branch.router.bias.to(dtype), branch.ranks, branch.scales)
            for branch, logits, rows in zip(branches, pieces[::2], pieces[1::2], strict=True)
        ]
    return torch.cat(hidden, dim=1)


def _row_gates(logits: Tensor, ranks: list[int], scales: list[float]) -> Tensor:
    """Router logits (N, K or K + 1, the bypass first) to one factor per row of A, (N, sum of ranks)."""
    gates = torch.split(logits.softmax(dim=1)[:, -len(ranks) :], 1, dim=1)
    rows = [(scale * gate).expand(-1, rank) for gate, rank, scale in zip(gates, ranks, scales, strict=True)]
    return torch.cat(rows, dim=1)


def _pad_to_whole(branch: _Branch) -> Tensor:
    """B over the whole output: the rows of the other two thirds are zero."""
    if branch.part == WHOLE:
        return branch.up
    width, before = len(branch.up), THIRDS.index(branch.part)
    return F.pad(branch.up, (0, 0, before * width, (len(THIRDS) - 1 - before) * width))
