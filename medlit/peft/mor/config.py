"""Settings of a Mixture of low-varied-Ranks (MoR) adapter."""

import math
from dataclasses import dataclass, field
from typing import cast

from peft import PeftConfig
from peft.utils import PeftType

MOR = cast(PeftType, "MOR")
"""The key MoR is known by to peft, whose own enum cannot be extended from outside."""


@dataclass(kw_only=True)
class MoRConfig(PeftConfig):
    """Mixture of low-varied-Ranks adaptation (MoR): K low-rank experts per linear layer, mixed token by token.

    ``y = W x + b + sum_k softmax(R x + c)_k * (alpha_k / r_k) * B_k A_k x``, where the softmax has K + 1 entries and
    entry 0, the bypass, is spent on no expert. An adapted layer starts as the frozen one: every B_k is zero.

    Reference: Wei, Lin, Li, "Early Intervention for Multimodal Imaging based Disease Recognition", arXiv 2603.17514.

    Args:
        ranks: Rank r_k of each expert, K >= 1 of them.
        alphas: Scale alpha_k of each expert, as many as ``ranks``; expert k is multiplied by alpha_k / r_k.
        target_modules: Linear layers to adapt: a list of names (or ends of names, ``mlp.fc1``), a regular expression
            for whole names, or ``all-linear``. ``attn.qkv.q``, ``attn.qkv.k`` and ``attn.qkv.v`` each adapt one third
            of the output of a fused ``attn.qkv`` with experts and a router of its own, in any combination (a regular
            expression reaches the thirds of layers called ``qkv``).
        exclude_modules: Names (or ends of names, or a regular expression) to leave alone.
        modules_to_save: Names of layers to train in full beside the adapters, such as a fresh head.
        bypass: Whether the router has a row that no expert takes. Without it the K weights sum to one (LoRA-MoE).

    Raises:
        ValueError: If there is no expert, or ranks and alphas differ in length or are not positive.
    """

    ranks: list[int] = field(default_factory=lambda: [2, 4, 8])
    alphas: list[float] = field(default_factory=lambda: [4.0, 8.0, 16.0])
    target_modules: list[str] | str = field(default_factory=lambda: ["mlp.fc1", "mlp.fc2"])
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None
    bypass: bool = True

    def __post_init__(self) -> None:
        """Check the experts; peft calls this for every way a config is made."""
        super().__post_init__()
        self.peft_type = MOR
        if not self.ranks or len(self.ranks) != len(self.alphas):
            raise ValueError(f"MoR needs an alpha for each of its ranks: ranks {self.ranks}, alphas {self.alphas}")
        if any(isinstance(rank, bool) or not isinstance(rank, int) or rank < 1 for rank in self.ranks):
            raise ValueError(f"MoR ranks must be whole numbers of at least 1, got {self.ranks}")
        if any(not math.isfinite(alpha) or alpha <= 0 for alpha in self.alphas):
            raise ValueError(f"MoR alphas must be positive and finite, got {self.alphas}")
        if not self.target_modules:
            raise ValueError("MoR target_modules is empty: name the linear layers to adapt, such as mlp.fc1")

    @property
    def scales(self) -> list[float]:
        """Factor alpha_k / r_k of each expert."""
        return [alpha / rank for alpha, rank in zip(self.alphas, self.ranks, strict=True)]
