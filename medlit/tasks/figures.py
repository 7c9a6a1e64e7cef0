"""Figures of a whole set from its rows: by head, by kind of unit, by stratum, and by subset of the modalities."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from rich.console import Console
from torch import Tensor

from medlit.metrics import classification_metrics
from medlit.report import markdown_table, question_tables, result_table
from medlit.tasks.results import CaseResults
from medlit.tasks.screening import Judgement, Points, question_figures, what_is_missing
from medlit.tasks.subsets import ALL_UP_TO, proper_subsets
from medlit.tasks.units import UnitResults


@dataclass(frozen=True)
class SubsetFigures:
    """What a model makes of fewer modalities than it has."""

    figures: dict[str, dict[str, float]]
    """Metrics by subset (``clinic+derm``), all modalities last."""
    cases: dict[str, int]
    """How many cases have any modality of a subset; the others are left out of its figures."""
    title: str
    """Of the table; says where not every subset was tried."""

    def markdown(self) -> str:
        """Title and table."""
        return f"{self.title}\n\n{markdown_table(self.figures, cases=self.cases)}\n"


@dataclass(frozen=True)
class SetFigures:
    """All that a validation or a test says of a set."""

    cases: int
    """How many have a label."""
    heads: dict[str, dict[str, float]]
    """Metrics by head, the model's answer first."""
    units: dict[str, dict[str, float]]
    """Metrics by kind of unit (breast, exam) of the answer; ``<head>/breast``: those of another answer."""
    absent: dict[str, int]
    """How many cases lack a modality, by its name."""
    subsets: SubsetFigures | None
    """What comes of fewer modalities; None where it was not asked for."""
    strata: dict[str, "SetFigures"] = field(default_factory=dict)
    """The same of groups of the cases, by name (``site=1``), but for single classes; of a test alone."""
    notes: tuple[str, ...] = ()
    """In words, which figures there are not, and why."""
    loss: dict[str, float] = field(default_factory=dict)
    """Terms of the loss by name, ``loss`` their sum."""
    without_label: int = 0
    """Cases that have none, and no figures."""

    def by_prefix(self) -> Iterator[tuple[str, dict[str, float]]]:
        """What is logged, with what stands before its names; the answer's metrics first, with nothing."""
        for index, (head, metrics) in enumerate(self.heads.items()):
            yield f"{head}/" if index else "", metrics
        for kind, metrics in self.units.items():
            yield f"{kind}/", metrics
        for modality, count in self.absent.items():
            yield f"{modality}/", {"absent": float(count)}
        if self.subsets:
            *proper, _ = self.subsets.figures  # the last is the answer from all modalities
            for subset in proper:
                cases = {"cases": float(self.subsets.cases[subset])}
                yield f"subset/{subset}/", self.subsets.figures[subset] | cases
        for stratum, figures in self.strata.items():
            yield f"{stratum}/", {"cases": float(figures.cases)}
            for prefix, metrics in figures.by_prefix():
                yield f"{stratum}/{prefix}", metrics

    def rows(self) -> dict[str, dict[str, float]]:
        """Metrics by name of a table's row: heads, kinds of units, then those of the strata."""
        rows = self.heads | {f"by {kind}": metrics for kind, metrics in _named(self.units).items()}
        for stratum, figures in self.strata.items():
            rows[stratum] = next(iter(figures.heads.values()), {})
            rows |= {f"{stratum} by {kind}": metrics for kind, metrics in _named(figures.units).items()}
        return rows

    def show(
        self,
        judgement: Judgement | None = None,
        class_names: Sequence[str] = (),
        modalities: Sequence[str] = (),
    ) -> None:
        """Print what came of a test: a row per head and kind of unit, tables of questions, then of fewer modalities.

        Args:
            judgement: What was asked; None: nothing beside the classes.
            class_names: C names.
            modalities: Those of the model; tables of questions leave their heads out, which are parts of an answer.
        """
        judgement = judgement or Judgement()
        console = Console()
        counts = [f"{count} without {name}" for name, count in self.absent.items()]
        kinds = [kind for kind in self.units if "/" not in kind]  # as many of every answer
        counts += [f"{int(self.units[kind].get('units', 0))} by {kind}" for kind in kinds]
        counts += [f"{figures.cases} of {stratum}" for stratum, figures in self.strata.items()]
        rows = self.rows()
        title = ", ".join([f"test, {self.cases} cases", *counts])
        if self.units and "map_softmax" in next(iter(self.heads.values())):
            # Answers put together are probabilities: of several classes another order than that of the raw logits.
            ranked = {name: _by_probability(metrics) for name, metrics in rows.items()}
            title += "; mAP and AUROC by probability" if ranked != rows else ""
            rows = ranked
        console.print(result_table(rows, title=title))
        _, *others = self.heads
        parts = {head for head in others if head.partition("/")[0] in modalities}
        answers = {name: metrics for name, metrics in rows.items() if name not in parts}
        for question in judgement.questions:
            for table in question_tables(
                answers,
                prefix=question.prefix,
                title=question.title(class_names),
                apart=question.apart(class_names),
                prevalence=judgement.prevalence,
            ):
                console.print(table)
        for line in _kappas(answers, judgement, class_names):
            console.print(line, markup=False, highlight=False)
        if self.subsets:
            console.print(result_table(self.subsets.figures, title=self.subsets.title, cases=self.subsets.cases))
        for note in self.notes:
            console.print(note, markup=False, highlight=False)


def set_figures(
    results: CaseResults,
    modalities: Sequence[str],
    *,
    units: Mapping[str, UnitResults],
    class_names: Sequence[str],
    every_head: bool,
    by_class: bool = True,
    judgement: Judgement | None = None,
    points: Points | None = None,
) -> SetFigures:
    """All figures of a set, but for those of its strata.

    Args:
        results: Rows with labels.
        modalities: Those of the model.
        units: Answers for what the cases are parts of, by kind.
        class_names: C names.
        every_head: Whether other heads than the answer have figures of a single class too.
        by_class: Whether there are figures of a single class.
        judgement: What the data ask beside the classes; None: nothing.
        points: Thresholds of a validation; None: this is the validation.
    """
    named = class_names if by_class else None
    heads = head_figures(results, modalities, class_names=named, every_head=every_head)
    by_kind = {kind: unit.figures(named) for kind, unit in units.items()}
    notes: list[str] = []
    for name, (logits, label) in judged_rows(results, modalities, units).items():
        if judgement is None or not len(label):
            continue
        thresholds = None if points is None else points.get(name, {})
        figures = heads[name] if name in heads else by_kind[name]
        figures |= question_figures(logits, label, judgement, thresholds=thresholds, class_names=class_names)
        notes += what_is_missing(name, label, judgement, class_names=class_names)
    return SetFigures(
        cases=len(results.case_id),
        heads=heads,
        units=by_kind,
        absent=absent_counts(results, modalities),
        subsets=subset_figures(results, modalities, whole=next(iter(heads.values()))),
        notes=tuple(notes),
    )


def judged_rows(
    results: CaseResults, modalities: Sequence[str], units: Mapping[str, UnitResults]
) -> dict[str, tuple[Tensor, Tensor]]:
    """Logits (N, C) and labels (N,) by head and by kind of unit, each with the cases that it is judged by.

    Args:
        results: Rows with labels.
        modalities: Those of the model.
        units: Answers for what the cases are parts of, by kind.
    """
    rows = {}
    for head in results.logits:
        mine = _judged_by(results, head, modalities)
        rows[head] = (mine.logits[head], cast(Tensor, mine.label))
    return rows | {kind: unit.labelled() for kind, unit in units.items()}


def head_figures(
    results: CaseResults, modalities: Sequence[str], *, class_names: Sequence[str] | None, every_head: bool
) -> dict[str, dict[str, float]]:
    """Metrics by head; a modality's head is judged by the cases that have it, and has no figures where none does.

    Args:
        results: Rows with labels.
        modalities: Those of the model.
        class_names: For figures of a single class.
        every_head: Whether other heads than the answer have those too.
    """
    rows = {}
    for index, head in enumerate(results.logits):
        mine = _judged_by(results, head, modalities)
        rows[head] = _figures(mine.logits[head], mine.label, class_names if index == 0 or every_head else None)
    return rows


def subset_figures(results: CaseResults, modalities: Sequence[str], *, whole: dict[str, float]) -> SubsetFigures | None:
    """Metrics of the answers from fewer modalities; None where none were asked for.

    Args:
        results: Rows with labels.
        modalities: Those of the model.
        whole: Metrics of the answer from all modalities.
    """
    if not results.subsets:
        return None
    figures, cases = {}, {}
    for subset, places in proper_subsets(modalities).items():
        mine = results.having(places)
        figures[subset] = _figures(mine.subsets[subset], mine.label, None)
        cases[subset] = len(mine.case_id)
    every = "+".join(modalities)
    left_out = f": of {len(modalities)} modalities single ones, all but one, and all"
    return SubsetFigures(
        figures={**figures, every: whole},
        cases={**cases, every: len(results.case_id)},
        title=f"test with fewer modalities{left_out if len(modalities) > ALL_UP_TO else ''}",
    )


def absent_counts(results: CaseResults, modalities: Sequence[str]) -> dict[str, int]:
    """How many cases lack a modality, by its name; a modality that none lacks is left out."""
    if results.present is None:
        return {}
    counts = zip(modalities, (~results.present).sum(dim=0).tolist(), strict=True)
    return {modality: count for modality, count in counts if count}


def _judged_by(results: CaseResults, head: str, modalities: Sequence[str]) -> CaseResults:
    """The rows of the cases that have a head's modality; all for the answer of several."""
    modality = head.partition("/")[0]
    return results.having([modalities.index(modality)]) if modality in modalities else results


def _named(units: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Metrics by what a table calls them: the kind, and the head of another answer than the first."""
    return {", ".join(reversed(kind.rsplit("/", 1))): metrics for kind, metrics in units.items()}


def _kappas(rows: Mapping[str, Mapping[str, float]], judgement: Judgement, class_names: Sequence[str]) -> Iterator[str]:
    """The agreement on the scale in a line, where there is any."""
    kappas = [
        f"{name} {metrics['weighted_kappa']:.3f}" for name, metrics in rows.items() if "weighted_kappa" in metrics
    ]
    if judgement.scale is not None and kappas:
        steps = ", ".join(class_names[index] for index in judgement.scale)
        yield f"weighted kappa among {steps}: {', '.join(kappas)}"


def _by_probability(metrics: Mapping[str, float]) -> dict[str, float]:
    """Metrics for a table in which all rows rank by probability; of no cases there are none."""
    return {name: metrics.get(f"{name}_softmax", value) for name, value in metrics.items()}


def _figures(logits: Tensor, label: Tensor | None, class_names: Sequence[str] | None) -> dict[str, float]:
    if label is None or not len(logits):
        return {}
    return classification_metrics(logits, label, class_names=class_names)
