"""Tables of questions with two answers: a test at its thresholds, its probabilities, a contrast of classes."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from medlit.report.table import Rows, figure_table

_POINTS = {"specificity_90": "90 %", "specificity_95": "95 %"}
_DECISIONS = {"sensitivity": "sens.", "specificity": "spec.", "ppv": "PPV", "npv": "NPV"}
_PROBABILITIES = {"pf1": "pF1", "brier": "Brier", "ece": "ECE"}


def question_tables(
    rows: Rows, *, prefix: str, title: str, apart: Sequence[str] = (), prevalence: float | None = None
) -> Iterator[Table]:
    """The tables of one question that have something to show, for a terminal of 80 columns.

    Args:
        rows: By name of the row, metrics by key.
        prefix: Of the question's keys, as ``suspicious/``; empty for the answer of two classes itself.
        title: What is asked.
        apart: Classes on neither side, of a contrast.
        prevalence: The stated one; None: there is none.
    """
    contrast = {"auroc": "AUROC", "balanced_accuracy": "balanced\nat 0", "youden/balanced_accuracy": "balanced\nYouden"}
    counts = {"positives": "posi-\ntives", "negatives": "nega-\ntives"}
    called = {f"called/{name}": name for name in apart}
    if prefix:
        yield from _table(rows, prefix, contrast, title=title, counts=counts)
        title = prefix.rstrip("/")  # said in full above
        yield from _table(rows, prefix, called, title=f"{title}, share called positive of each other class, at 0")
    for point, heading in _POINTS.items():
        decided = {f"{point}/{name}": short for name, short in _DECISIONS.items()}
        if prevalence is not None:
            decided |= _restated({f"{point}/{name}": _DECISIONS[name] for name in ("ppv", "npv")}, prevalence)
        where = f"at the threshold for {heading} specificity of the validation"
        yield from _table(rows, prefix, decided, title=f"{title}, {where}")
    own = {"prevalence": "prev.", **_PROBABILITIES}
    stated = {} if prevalence is None else _restated(_PROBABILITIES, prevalence)
    yield from _table(rows, prefix, own | stated, title=f"{title}, probabilities", decimals=4)


def _restated(headings: Mapping[str, str], prevalence: float) -> dict[str, str]:
    """Columns of the same figures at the stated prevalence."""
    return {f"{key}_screening": f"{1000 * prevalence:g} in\n1,000\n{heading}" for key, heading in headings.items()}


def _table(
    rows: Rows,
    prefix: str,
    columns: Mapping[str, str],
    *,
    title: str,
    decimals: int = 3,
    counts: Mapping[str, str] | None = None,
) -> Iterator[Table]:
    """A table of the rows that have any of the columns; none where no row has."""
    keys = {f"{prefix}{key}": heading for key, heading in columns.items()}
    whole = {f"{prefix}{key}": heading for key, heading in (counts or {}).items()}
    kept = {name: figures for name, figures in rows.items() if keys.keys() & figures.keys()}
    shown = {key: heading for key, heading in keys.items() if any(key in figures for figures in kept.values())}
    if kept:
        yield figure_table(kept, shown, title=title, decimals=decimals, counts=whole)
