"""The loss of Early Intervention: three classification terms, and a gate taught to pick the best modality."""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlit.losses.classification import classification_loss


class EarlyInterventionScores(Protocol):
    """What the loss reads of a model's output; B cases, C classes, M modalities."""

    @property
    def fused(self) -> Tensor:
        """(B, C) logits."""

    @property
    def auxiliary(self) -> dict[str, Tensor]:
        """By modality, (B, C) logits."""

    @property
    def main(self) -> dict[str, Tensor]:
        """By modality, (B, C) logits, in the order of the gate's weights."""

    @property
    def gate(self) -> Tensor:
        """(B, M) weights that sum to one."""

    @property
    def present(self) -> Tensor:
        """(B, M) bool: the modalities that a case has; the others' logits mean nothing, their weights are zero."""


class EarlyInterventionLoss(nn.Module):
    """``fused * L(fused) + auxiliary * sum_m L(aux_m) + main * sum_m L(main_m) + gate * L_gate``.

    L is cross-entropy (integer labels) or binary cross-entropy (multi-hot labels). The gate's target is, for each case,
    ``argmin_m prior_m * L(main_m)``, and ``L_gate`` the cross-entropy of the gate's weights with it. Sums and choice
    are over the modalities that the case has; every mean is over all cases.

    Reference: Wei, Lin, Li, arXiv 2603.17514, section on training; weights and prior as released.

    Args:
        prior: One factor per modality, in the order of the modalities; small for one that is known to be better
            (released: 1, 0.001 with the second the better one).
        fidelity: ``paper``; or ``code``, as released: the gate's cross-entropy takes the weights for logits (a second
            softmax), and multi-label targets enter the gate's target as soft classes, not by binary cross-entropy.
        fused: Weight of the fused term.
        auxiliary: Weight of the sum over the auxiliary terms.
        main: Weight of the sum over the main terms.
        gate: Weight of the gate's term.
        class_weights: C factors on the classes of L, whose mean is weighted too (for multi-hot labels: on the
            positives), or None. The gate's term and target know none.

    Raises:
        ValueError: If a prior or a weight is negative or not finite, or ``fidelity`` is unknown.
    """

    prior: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        *,
        prior: Sequence[float],
        fidelity: Literal["paper", "code"] = "paper",
        fused: float = 1.0,
        auxiliary: float = 0.3,
        main: float = 1.0,
        gate: float = 0.1,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if fidelity not in ("paper", "code"):
            raise ValueError(f"fidelity must be 'paper' or 'code', got {fidelity!r}")
        if not all(0 <= value < float("inf") for value in (*prior, fused, auxiliary, main, gate)):
            raise ValueError(
                f"priors and weights must be finite and >= 0, got {list(prior)}, {fused, auxiliary, main, gate}"
            )
        self.fidelity = fidelity
        self.weights = {"fused": fused, "auxiliary": auxiliary, "main": main, "gate": gate}
        weights = None if class_weights is None else torch.tensor(list(class_weights), dtype=torch.float32)
        self.register_buffer("prior", torch.tensor(list(prior), dtype=torch.float32), persistent=False)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, output: EarlyInterventionScores, label: Tensor) -> dict[str, Tensor]:
        """The unweighted terms, and their weighted sum.

        Args:
            output: Logits of a model, any float dtype; the loss is computed in float32.
            label: (B,) int64, or (B, C) float of zeros and ones.

        Returns:
            Scalars ``fused``, ``auxiliary``, ``main``, ``gate`` (sums over modalities, means over cases) and ``total``.

        Raises:
            ValueError: If there is not one prior per modality.
        """
        if len(self.prior) != len(output.main):
            raise ValueError(f"{len(self.prior)} priors for {len(output.main)} modalities {list(output.main)}")
        terms = {
            "fused": self._loss(output.fused, label),
            "auxiliary": self._sum_of_losses(output.auxiliary, label, output.present),
            "main": self._sum_of_losses(output.main, label, output.present),
            "gate": self._gate_loss(output, label),
        }
        total = torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()
        return {**terms, "total": total}

    def gate_target(self, output: EarlyInterventionScores, label: Tensor) -> Tensor:
        """Index (B,) int64 of the modality that the gate should pick of those a case has; no gradient passes."""
        losses = [self._loss_per_case(logits.detach().float(), label) for logits in output.main.values()]
        weighted = torch.stack(losses, dim=1) * self.prior
        return weighted.masked_fill(~output.present, float("inf")).argmin(dim=1)

    def _loss(self, logits: Tensor, label: Tensor, present: Tensor | None = None) -> Tensor:
        return classification_loss(logits, label, class_weights=self.class_weights, present=present)

    def _sum_of_losses(self, logits: dict[str, Tensor], label: Tensor, present: Tensor) -> Tensor:
        """Sum over the modalities, in the order of ``present`` (B, M)."""
        columns = zip(logits.values(), present.unbind(dim=1), strict=True)
        return torch.stack([self._loss(values, label, column) for values, column in columns]).sum()

    def _loss_per_case(self, logits: Tensor, label: Tensor) -> Tensor:
        """(B,): the plain loss of each case; class weights do not enter the choice of a modality."""
        if label.is_floating_point() and self.fidelity == "paper":
            return F.binary_cross_entropy_with_logits(logits, label.float(), reduction="none").sum(dim=1)
        return F.cross_entropy(logits, label.float() if label.is_floating_point() else label, reduction="none")

    def _gate_loss(self, output: EarlyInterventionScores, label: Tensor) -> Tensor:
        gate, target = output.gate.float(), self.gate_target(output, label)
        if self.fidelity == "code":
            return F.cross_entropy(gate.masked_fill(~output.present, float("-inf")), target)
        return F.nll_loss(gate.clamp_min(torch.finfo(gate.dtype).tiny).log(), target)
