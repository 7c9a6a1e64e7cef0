"""Which linear classifier a probe takes: the best of a path of penalties on the validation split."""

from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from medlit.errors import ConfigurationError
from medlit.metrics import classification_metrics
from medlit.probe import FeatureCache, LinearSolution, solve_path
from medlit.tasks.results import gather_objects


def choose(
    train: tuple[Tensor, Tensor],
    val: tuple[Tensor, Tensor],
    *,
    class_names: Sequence[str],
    l2: Sequence[float],
    select_by: str,
    class_weights: Tensor | None,
) -> LinearSolution:
    """The solution whose figure on the validation split is highest; of equal ones the strongest penalty's.

    Args:
        train: Features (N, D) and labels (N,).
        val: Likewise.
        class_names: C names.
        l2: Penalties that are tried.
        select_by: Name of a figure of `medlit.metrics.classification_metrics`.
        class_weights: (C,) factors on the classes, or None.

    Raises:
        ConfigurationError: If the figure is not defined on the validation split, or nothing can be solved.
    """
    _say_absent(train[1], class_names)
    figures: dict[float, float] = {}
    solutions: dict[float, LinearSolution] = {}
    strongest_first = sorted(set(l2), reverse=True)
    for solution in solve_path(*train, num_classes=len(class_names), l2=strongest_first, class_weights=class_weights):
        figure = classification_metrics(solution.logits(val[0]), val[1])[select_by]
        if figure != figure:
            raise ConfigurationError(
                f"{select_by} is not defined on the validation split (are its cases of one class?); choose another "
                "split_seed, or data with more cases"
            )
        solutions[solution.l2], figures[solution.l2] = solution, figure
        if not solution.converged:
            rank_zero_info("ProbeTask: l2 %g: not converged in %d steps", solution.l2, solution.steps)
    best = max(figures, key=figures.__getitem__)  # the first of equal ones
    told = ", ".join(f"{penalty:g}: {figure:.4f}" for penalty, figure in figures.items())
    rank_zero_info("ProbeTask: %d features of %d; l2 %g by val/%s (%s)", *train[0].shape, best, select_by, told)
    return solutions[best]


def gathered(cache: FeatureCache, labels: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    """Features (N, D) and labels (N,) of the cases of all processes, each once, in the order of their ids.

    Args:
        cache: Of this process, which knows its cases.
        labels: By case, of this process.

    Raises:
        ConfigurationError: If no process has a case.
    """
    ids = list(labels)
    found: dict[str, tuple[Tensor, int]] = {}
    for cases, features, values in gather_objects((ids, cache.of(ids), list(labels.values()))):
        found |= dict(zip(cases, zip(features, values, strict=True), strict=True))
    rows = [found[case] for case in sorted(found)]
    if not rows:
        raise ConfigurationError("a probe needs training and validation cases with labels; one of the splits has none")
    return torch.stack([feature for feature, _ in rows]), torch.tensor([label for _, label in rows])


def _say_absent(labels: Tensor, class_names: Sequence[str]) -> None:
    """Tell which classes have no training case; a hundredth of the labels may lack some."""
    if absent := [name for label, name in enumerate(class_names) if not (labels == label).any()]:
        rank_zero_info("ProbeTask: no training case of %s: never predicted", ", ".join(absent))
