"""Multinomial logistic regression on kept features, solved to its one optimum for each of several penalties."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from medlit.errors import ConfigurationError

L2_GRID = (10.0, 1.0, 0.1, 0.01, 0.001, 0.0001)
"""Penalties that are tried, the strongest first. Of N cases scikit-learn's C is 1 / (N * l2), so that for 10,000 its
default of 1 is the last."""

TOLERANCE = 1e-6
"""Largest entry of the gradient, in the coordinates of `_Problem`, at which a solution is taken. Probabilities are
then within 1e-4 of the optimum's, also where the classes can be told apart without error (tests compare them)."""

MOST_STEPS = 1000
"""Steps of L-BFGS for one penalty; about 20 to 150 are taken."""

HISTORY = 20
"""Steps that L-BFGS remembers."""

CURVATURE = 0.5
"""The Hessian of the cross-entropy in the logits is at most half the identity (Böhning, "Multinomial logistic
regression algorithm", Ann. Inst. Statist. Math. 44, 1992)."""

CONSTANT = 1e-6
"""A feature whose deviation is below this share of its size says nothing: it is the rounding of float32."""


@dataclass(frozen=True)
class LinearSolution:
    """A linear classifier on features as they are, not standardised; C classes, D features."""

    weight: Tensor
    """(C, D) float64."""
    bias: Tensor
    """(C,) float64."""
    l2: float
    """The penalty that it solves."""
    converged: bool
    """Whether the gradient fell below `TOLERANCE`."""
    steps: int
    """Of L-BFGS."""

    def logits(self, features: Tensor) -> Tensor:
        """(N, C) float64 of features (N, D)."""
        return torch.addmm(self.bias, features.double(), self.weight.T)


def solve_path(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    l2: Sequence[float] = L2_GRID,
    class_weights: Tensor | None = None,
) -> Iterator[LinearSolution]:
    """Minimise, for each penalty, the cross-entropy of a linear classifier on standardised features.

    ``sum_i w(y_i) CE(W x_i + b, y_i) / sum_i w(y_i) + l2 / 2 * |W|^2``, x the features less their mean over their
    deviation; the bias is not penalised. The standardisation is folded into the weights that are returned.

    It is solved by torch's L-BFGS over all cases at once in float64, each penalty from the solution of the one before.
    Coordinates in which the Hessian's upper bound is the identity (see `_Problem`) take it a tenth of the steps that it
    takes on the features themselves.

    A class without a case is never the likeliest, and its probability is at most 1 / (N + 1).

    Args:
        features: (N, D), any float dtype.
        labels: (N,) int64, 0 to C - 1.
        num_classes: C.
        l2: Penalties above zero; each solution starts from the one before, so that they go from strong to weak.
        class_weights: (C,) factors w, zero or more; None: all one.

    Yields:
        A solution by penalty, in their order.

    Raises:
        ConfigurationError: If there are fewer than two classes among the labels, a penalty is not above zero, or a
            feature is not finite.
    """
    _check(features, labels, num_classes=num_classes, l2=l2)
    present, codes = labels.cpu().unique(return_inverse=True)
    weights = None if class_weights is None else class_weights.cpu().double()[present]
    with torch.inference_mode(False):  # Lightning validates in inference mode, whose tensors have no gradients
        problem = _Problem(features, codes.clone(), num_classes=len(present), class_weights=weights)
        start = torch.zeros(len(present), problem.rank + 1, dtype=torch.float64)
    for penalty in l2:
        with torch.inference_mode(False), torch.enable_grad():
            start, converged, steps = problem.solve(penalty, start)
        weight, bias = problem.on_raw_features(start)
        weight, bias = _with_absent(weight, bias, present, num_classes=num_classes, cases=len(labels))
        yield LinearSolution(weight=weight, bias=bias, l2=penalty, converged=converged, steps=steps)


class _Problem:
    """Standardised features along their principal axes: there the sum of their squares is diagonal.

    Rotating features and weights alike changes neither logits nor penalty. Of fewer cases than features only the axes
    that the cases span are kept: along the others the optimal weights are zero.
    """

    def __init__(self, features: Tensor, labels: Tensor, *, num_classes: int, class_weights: Tensor | None) -> None:
        raw = features.detach().cpu().double()
        self.mean = raw.mean(dim=0)
        deviation = raw.std(dim=0, correction=0)
        constant = deviation <= CONSTANT * self.mean.abs()
        self.factor = torch.where(constant, 0.0, deviation.masked_fill(constant, 1.0).reciprocal())
        rows = (raw - self.mean) * self.factor  # (N, D)
        axes = None if len(rows) >= rows.shape[1] else torch.linalg.qr(rows.T).Q  # (D, N)
        rows = rows if axes is None else rows @ axes
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        self.axes = vectors if axes is None else axes @ vectors
        """(D, R): the principal axes."""
        self.rows = rows @ vectors
        """(N, R)."""
        self.variances = values.clamp(min=0)
        self.labels, self.class_weights, self.num_classes = labels, class_weights, num_classes

    @property
    def rank(self) -> int:
        """R, number of axes."""
        return int(self.axes.shape[1])

    def solve(self, l2: float, start: Tensor) -> tuple[Tensor, bool, int]:
        """The optimum for one penalty.

        Args:
            l2: Above zero.
            start: (C, R + 1) weights along the axes, the bias last.

        Returns:
            The optimum in the shape of ``start``; whether it was reached; the steps that were taken.
        """
        scale = (CURVATURE * torch.cat([self.variances, torch.ones(1, dtype=torch.float64)]) + l2).rsqrt()
        point = (start / scale).requires_grad_()
        optimizer = torch.optim.LBFGS(
            [point],
            lr=1,
            max_iter=MOST_STEPS,
            max_eval=2 * MOST_STEPS,
            tolerance_grad=TOLERANCE,
            tolerance_change=0,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            """The objective, its gradient left in ``point``."""
            optimizer.zero_grad()
            weights = point * scale
            # A class a row, and contiguous: the products with thin matrices take a third of the time.
            logits = F.linear(self.rows, weights[:, :-1].contiguous(), weights[:, -1])
            value = F.cross_entropy(logits, self.labels, weight=self.class_weights)
            value = value + l2 / 2 * weights[:, :-1].square().sum()
            value.backward()
            return value

        optimizer.step(loss)
        loss()  # the line search may leave the gradient of another point
        gradient = point.grad
        converged = gradient is not None and bool(gradient.abs().max() <= 10 * TOLERANCE)
        return (point.detach() * scale), converged, int(optimizer.state[point]["n_iter"])

    def on_raw_features(self, solution: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (C, D) and bias (C,) that say of raw features what a solution says of standardised ones."""
        weight = solution[:, :-1] @ self.axes.T * self.factor
        return weight, solution[:, -1] - weight @ self.mean


def _with_absent(
    weight: Tensor, bias: Tensor, present: Tensor, *, num_classes: int, cases: int
) -> tuple[Tensor, Tensor]:
    """Rows for all classes, (C, D) and (C,); those of classes without a case are below the mean of the others.

    The largest of several logits is at least their mean, so that a class at their mean less log(N + 1) is never the
    likeliest, and has at most the (N + 1)th part of the likeliest's probability.
    """
    if len(present) == num_classes:
        return weight, bias
    all_weights = weight.mean(dim=0).repeat(num_classes, 1)
    all_biases = (bias.mean() - math.log(cases + 1)).repeat(num_classes)
    all_weights[present], all_biases[present] = weight, bias
    return all_weights, all_biases


def _check(features: Tensor, labels: Tensor, *, num_classes: int, l2: Sequence[float]) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise ValueError(f"need features (N, D) with labels (N,), got {tuple(features.shape)}, {tuple(labels.shape)}")
    if not l2 or not all(math.isfinite(penalty) and penalty > 0 for penalty in l2):
        raise ConfigurationError(f"l2 is {list(l2)}; give one or more penalties above zero")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < num_classes:
        raise ValueError(f"labels must be integers in [0, {num_classes}), got {labels.unique().tolist()[:10]}")
    if len(labels.unique()) < 2:
        raise ConfigurationError(
            f"{len(labels)} training cases of {len(labels.unique())} class: a classifier needs two classes or more; "
            "raise label_fraction, or take another draw by fraction_seed"
        )
    if not bool(features.isfinite().all()):
        rows = (~features.isfinite().all(dim=1)).nonzero()[:, 0].tolist()
        raise ConfigurationError(
            f"features of {len(rows)} cases are not finite, in rows {rows[:8]}; look at the encoder"
        )
