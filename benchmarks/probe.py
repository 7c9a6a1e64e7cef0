"""A linear probe on kept features: the product against a plain L-BFGS in float64, in time and in probabilities.

Both minimise the same function: cross-entropy of a linear classifier on standardised features plus ``l2 / 2 * |W|^2``,
here written down again for the plain side. Run it as ``python -m benchmarks.probe``; see ``--help`` for sizes.

How it is measured. Features are drawn: correlated, their axes of very different spread, the classes apart along them.
The two sides take turns in one process with the same number of threads: first the whole of the product, all penalties
of its grid (standardisation, rotation, solutions), then the plain side for one of them. Times are medians over the
repeats; probabilities of all cases are compared in each.
"""

import argparse
import os
import statistics
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from medlit.probe import L2_GRID, LinearSolution, solve_path

TOLERANCE = 1e-3


def make_features(cases: int, width: int, classes: int, *, spread: float) -> tuple[Tensor, Tensor]:
    """Features (N, D) float32 and labels (N,); ``spread`` is how far classes are apart, in deviations of an axis."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (cases,), generator=generator)
    centres = spread * torch.randn(classes, width, generator=generator)
    along_axes = torch.randn(cases, width, generator=generator) + centres[labels]
    decay = torch.arange(1, width + 1).float() ** -0.8
    mixing = torch.randn(width, width, generator=generator) / width**0.5
    return (along_axes * decay) @ mixing + torch.randn(width, generator=generator), labels


def product(features: Tensor, labels: Tensor, classes: int) -> list[LinearSolution]:
    """Solutions of the whole grid."""
    return list(solve_path(features, labels, num_classes=classes))


def plain(features: Tensor, labels: Tensor, classes: int, *, l2: float) -> tuple[Tensor, int]:
    """Logits (N, C) of one solution by L-BFGS on standardised features, and its steps."""
    rows = features.double()
    rows = (rows - rows.mean(dim=0)) / rows.std(dim=0, correction=0)
    weight = torch.zeros(classes, rows.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    settings = {"max_iter": 5000, "max_eval": 10000, "tolerance_grad": 1e-7, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS([weight, bias], **settings, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        """The definition."""
        optimizer.zero_grad()
        value = F.cross_entropy(rows @ weight.T + bias, labels) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (rows @ weight.T + bias).detach(), int(optimizer.state[weight]["n_iter"])


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="N")
    parser.add_argument("--width", type=int, default=768, help="D, numbers of a feature")
    parser.add_argument("--classes", type=int, default=4, help="C")
    parser.add_argument("--spread", type=float, default=0.3, help="how far the classes are apart")
    parser.add_argument("--l2", type=float, default=0.01, choices=L2_GRID, help="penalty that both sides solve")
    parser.add_argument("--repeats", type=int, default=3, help="of each side")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    features, labels = make_features(args.cases, args.width, args.classes, spread=args.spread)
    print(f"{args.cases} x {args.width}, {args.classes} classes, {args.threads} threads, torch {torch.__version__}")
    seconds: dict[str, list[float]] = {"product": [], "plain": []}
    gap, steps = 0.0, 0
    for _ in range(args.repeats):
        start = time.perf_counter()
        solutions = product(features, labels, args.classes)
        seconds["product"].append(time.perf_counter() - start)
        start = time.perf_counter()
        expected, steps = plain(features, labels, args.classes, l2=args.l2)
        seconds["plain"].append(time.perf_counter() - start)
        [same] = [solution for solution in solutions if solution.l2 == args.l2]
        gap = max(gap, float((same.logits(features).softmax(1) - expected.softmax(1)).abs().max()))
    told = ", ".join(f"{solution.l2:g}: {solution.steps}" for solution in solutions)
    medians = {side: statistics.median(times) for side, times in seconds.items()}
    print(
        f"product {medians['product']:6.2f} s for {len(solutions)} penalties (median of {args.repeats}; steps {told})"
    )
    print(f"plain   {medians['plain']:6.2f} s for one, {args.l2:g} (median of {args.repeats}; {steps} steps)")
    print(f"probabilities agree to {gap:.1e}")
    if gap > TOLERANCE or not all(solution.converged for solution in solutions):
        raise SystemExit(f"probabilities differ by more than {TOLERANCE}, or a solution did not converge")


if __name__ == "__main__":
    main()
