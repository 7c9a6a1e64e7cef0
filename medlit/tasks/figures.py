"""Figures of a whole set from its rows: by head, and by subset of the modalities."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from torch import Tensor

from medlit.metrics import classification_metrics
from medlit.report.table import markdown_table, result_table
from medlit.tasks.results import CaseResults
from medlit.tasks.subsets import ALL_UP_TO, proper_subsets


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


def head_figures(
    results: CaseResults, modalities: Sequence[str], *, class_names: Sequence[str], every_head: bool
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
        modality = head.partition("/")[0]
        mine = results.having([modalities.index(modality)]) if modality in modalities else results
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


def show_test(
    results: CaseResults,
    modalities: Sequence[str],
    *,
    figures: dict[str, dict[str, float]],
    subsets: SubsetFigures | None,
) -> None:
    """Print what came of a test.

    Args:
        results: Rows of the test.
        modalities: Those of the model.
        figures: Metrics by head.
        subsets: The second table, or None.
    """
    console = Console()
    absent = [f"{count} without {name}" for name, count in absent_counts(results, modalities).items()]
    console.print(result_table(figures, title=", ".join([f"test, {len(results.case_id)} cases", *absent])))
    if subsets:
        console.print(result_table(subsets.figures, title=subsets.title, cases=subsets.cases))


def _figures(logits: Tensor, label: Tensor | None, class_names: Sequence[str] | None) -> dict[str, float]:
    if label is None or not len(logits):
        return {}
    return classification_metrics(logits, label, class_names=class_names)
