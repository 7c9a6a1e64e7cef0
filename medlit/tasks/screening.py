"""Questions with two answers that the data ask: thresholds from a validation, and the figures of a test at them."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.metrics import (
    choose_thresholds,
    classification_metrics,
    contrast_scores,
    decisions_at,
    ordinal_agreement,
    screening_figures,
)
from medlit.metrics.operating_points import POINTS, YOUDEN

ANSWER = "answer"
"""Key of the question that the answer of two classes itself is."""

Points = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Thresholds by head or kind of unit, by question, by name of the point."""


@dataclass(frozen=True)
class Question:
    """Some classes against some others."""

    key: str
    """Its name, or ``ANSWER``."""
    positive: tuple[int, ...]
    """Class ids."""
    negative: tuple[int, ...]
    """Class ids."""

    @property
    def prefix(self) -> str:
        """What stands before the names of its figures; nothing before those of the answer of two classes."""
        return "" if self.key == ANSWER else f"{self.key}/"

    def title(self, class_names: Sequence[str]) -> str:
        """What is asked, in words."""
        positive, negative = (", ".join(class_names[index] for index in ids) for ids in (self.positive, self.negative))
        return positive if self.key == ANSWER else f"{self.key}: {positive} against {negative}"

    def apart(self, class_names: Sequence[str]) -> list[str]:
        """The classes on neither side."""
        return [name for index, name in enumerate(class_names) if index not in (*self.positive, *self.negative)]

    def asked(self, logits: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Scores and truth, (M,) float64 and bool, of the cases whose label answers it."""
        positive, negative = (torch.isin(label, torch.tensor(ids)) for ids in (self.positive, self.negative))
        kept = positive | negative
        scores = contrast_scores(logits[kept], positive=list(self.positive), negative=list(self.negative))
        return scores, positive[kept]


@dataclass(frozen=True)
class Judgement:
    """What the data say about judging answers to them."""

    questions: tuple[Question, ...] = ()
    scale: tuple[int, ...] | None = None
    """Class ids that are steps of one scale, in its order."""
    natural: bool = False
    """Whether classes are as frequent among the test cases as where these come from."""
    prevalence: float | None = None
    """Another prevalence that figures are also stated at."""


def judgement_of(datamodule: object, *, num_classes: int, multi_label: bool) -> Judgement:
    """What a DataModule says by ``positive_class``, ``contrasts``, ``ordinal_classes`` and the two prevalences.

    Of several labels there is no question.

    Raises:
        ConfigurationError: If it names classes that are not there, or one class on both sides, or a prevalence that is
            none.
    """
    if multi_label:
        return Judgement()
    name = type(datamodule).__name__
    named = dict(getattr(datamodule, "contrasts", {}))
    looked_for = getattr(datamodule, "positive_class", None)
    if looked_for is not None:
        named = {ANSWER: ((looked_for,), tuple({0, 1} - {looked_for})), **named}
    questions = tuple(Question(key, tuple(sides[0]), tuple(sides[1])) for key, sides in named.items())
    scale = getattr(datamodule, "ordinal_classes", None)
    for question in questions:
        ids = [*question.positive, *question.negative]
        if not question.positive or not question.negative or not _are_classes(ids, num_classes):
            raise ConfigurationError(
                f"{name}: {question.key} sets classes {list(question.positive)} against {list(question.negative)}; "
                f"name some of 0 to {num_classes - 1} on each side, none twice"
            )
    if looked_for is not None and num_classes != 2:
        raise ConfigurationError(f"{name}.positive_class is {looked_for}; that is for two classes, not {num_classes}")
    if scale is not None and not _are_classes(scale, num_classes):
        raise ConfigurationError(f"{name}.ordinal_classes is {list(scale)}; name some of 0 to {num_classes - 1}, once")
    prevalence = getattr(datamodule, "screening_prevalence", None)
    if prevalence is not None and not 0 < prevalence < 1:
        raise ConfigurationError(f"{name}.screening_prevalence is {prevalence}; it is above 0 and below 1")
    natural = bool(getattr(datamodule, "natural_prevalence", False))
    return Judgement(questions, None if scale is None else tuple(scale), natural, prevalence)


def choose_points(rows: Mapping[str, tuple[Tensor, Tensor]], judgement: Judgement) -> dict[str, Any]:
    """Thresholds of every head and kind of unit for every question.

    Args:
        rows: Logits (N, C) and labels (N,) of the validation, by head and by kind.
        judgement: With the questions.

    Returns:
        `Points` in plain types; empty where nothing is asked.
    """
    if not judgement.questions:
        return {}
    return {
        name: {question.key: choose_thresholds(*question.asked(*cells)) for question in judgement.questions}
        for name, cells in rows.items()
    }


def read_points(points: object, *, source: str) -> dict[str, dict[str, dict[str, float]]]:
    """Thresholds of a checkpoint; an older one has none.

    Args:
        points: What it says.
        source: The file, for the message.

    Raises:
        CheckpointMismatchError: If they are not thresholds by name.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    damaged = CheckpointMismatchError(f"{source}: its operating points are no thresholds by name; the file is damaged")
    for scope, questions in _entries({} if points is None else points, damaged):
        found[scope] = {}
        for question, thresholds in _entries(questions, damaged):
            found[scope][question] = {}
            for point, threshold in _entries(thresholds, damaged):
                if not isinstance(threshold, int | float) or math.isnan(threshold):
                    raise damaged
                found[scope][question][point] = float(threshold)
    return found


def question_figures(
    logits: Tensor,
    label: Tensor,
    judgement: Judgement,
    *,
    thresholds: Mapping[str, Mapping[str, float]] | None,
    class_names: Sequence[str],
) -> dict[str, float]:
    """Figures of all questions, and the agreement on the scale, of one head or kind of unit.

    Of a contrast: ``<name>/{auroc,sensitivity,specificity,balanced_accuracy}`` at threshold 0 (the positive classes
    together are more likely than the negative ones), ``<name>/{positives,negatives}``, and of each class that is on
    neither side ``<name>/cases/<class>`` and ``<name>/called/<class>``, the share of it that is called positive;
    ``<name>/youden/called/<class>`` at that threshold. For all others see `screening_figures`.

    Args:
        logits: (N, C) finite floats.
        label: (N,) int64.
        judgement: With the questions.
        thresholds: Of a validation, by question and point; None: this is the validation, and gets no figures that
            need them or a prevalence.
        class_names: C names.
    """
    figures: dict[str, float] = {}
    for question in judgement.questions:
        scores, positive = question.asked(logits, label)
        found: dict[str, float] = {}
        if question.key != ANSWER:
            found = _contrast_figures(scores, positive)
            found |= _apart(question, logits, label, thresholds=thresholds or {}, class_names=class_names)
        if thresholds is not None:
            own = thresholds.get(question.key, {})
            found |= screening_figures(
                scores, positive, thresholds=own, natural=judgement.natural, prevalence=judgement.prevalence
            )
        figures |= {f"{question.prefix}{name}": value for name, value in found.items()}
    return figures | ({} if judgement.scale is None else ordinal_agreement(logits, label, classes=judgement.scale))


def what_is_missing(name: str, label: Tensor, judgement: Judgement, *, class_names: Sequence[str]) -> Iterator[str]:
    """In words, which questions the cases of a test cannot answer.

    Args:
        name: Of the head or kind of unit.
        label: (N,) int64.
        judgement: With the questions.
        class_names: C names.
    """
    for question in judgement.questions:
        for ids in (question.positive, question.negative):
            if not torch.isin(label, torch.tensor(ids)).any():
                yield f"{_who(name, question.key)}: no case is {' or '.join(class_names[index] for index in ids)}"


def what_a_test_lacks(names: Iterable[str], points: Points, judgement: Judgement) -> Iterator[str]:
    """In words, which figures there are none of for want of a population or of thresholds, or say nothing.

    Args:
        names: Heads and kinds of units of a test.
        points: Of the checkpoint.
        judgement: With the questions.
    """
    if judgement.questions and not judgement.natural:
        yield "classes are not as frequent here as where the cases come from: no PPV, NPV, pF1 or calibration"
    if judgement.questions and not points:
        yield "no thresholds: the checkpoint holds none of a validation; medlit fit writes them with every checkpoint"
        return
    for name in names:
        for question in judgement.questions:
            thresholds = points.get(name, {}).get(question.key, {})
            who = _who(name, question.key)
            if lacking := [point for point in POINTS if point not in thresholds]:
                yield f"{who}: no threshold {', '.join(lacking)}: the validation lacked positive or negative cases"
            if endless := [point for point, threshold in thresholds.items() if threshold == math.inf]:
                yield f"{who}: nobody is called positive at {', '.join(endless)}: negatives of the validation tie"


def _entries(mapping: object, damaged: CheckpointMismatchError) -> list[tuple[str, Any]]:
    if not isinstance(mapping, dict) or not all(isinstance(key, str) for key in mapping):
        raise damaged
    return list(mapping.items())


def _who(name: str, question: str) -> str:
    return name if question == ANSWER else f"{name}, {question}"


def _contrast_figures(scores: Tensor, positive: Tensor) -> dict[str, float]:
    counts = {"positives": float(positive.sum()), "negatives": float((~positive).sum())}
    ranked = {}
    if 0 < counts["positives"] < len(positive):
        two = torch.stack([torch.zeros_like(scores), scores], dim=1)
        ranked = {"auroc": classification_metrics(two, positive.long())["auroc"]}
    return ranked | decisions_at(scores, positive, 0.0) | counts


def _apart(
    question: Question,
    logits: Tensor,
    label: Tensor,
    *,
    thresholds: Mapping[str, Mapping[str, float]],
    class_names: Sequence[str],
) -> dict[str, float]:
    """How many cases are of a class on neither side, and the share of them called positive."""
    figures = {}
    own = thresholds.get(question.key, {})
    at = {"": 0.0} | ({f"{YOUDEN}/": own[YOUDEN]} if YOUDEN in own else {})
    scores = contrast_scores(logits, positive=list(question.positive), negative=list(question.negative))
    for index in sorted(set(range(len(class_names))) - {*question.positive, *question.negative}):
        mine, name = scores[label == index], class_names[index]
        figures[f"cases/{name}"] = float(len(mine))
        for prefix, threshold in at.items() if len(mine) else ():
            figures[f"{prefix}called/{name}"] = float((mine >= threshold).double().mean())
    return figures


def _are_classes(ids: Sequence[int], num_classes: int) -> bool:
    return len(set(ids)) == len(ids) and all(0 <= index < num_classes for index in ids)
