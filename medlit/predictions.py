"""The rows that a test wrote, read back: what was said of each case, and what is true."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.first_reading import refusal
from data_modules.panics import unprinted_panics
from data_modules.parquet import MAX_ROWS
from medlit.errors import ConfigurationError

if TYPE_CHECKING:
    from polars import DataFrame
    from torch import Tensor


def read_predictions(path: Path) -> "DataFrame":
    """Cases, labels and logits of a test.

    Args:
        path: ``predictions_test.parquet`` of a run folder.

    Returns:
        ``case_id`` (text), ``label`` or ``label_<class>`` (Int64, null where unknown), ``logit_<class>`` (Float64).

    Raises:
        ConfigurationError: If there is no such file, or it is not as a test writes it.
    """
    import polars as pl

    again = "test the run anew: medlit test --config <run folder>/config.yaml"
    reason = refusal(path, columns=None, max_rows=MAX_ROWS)
    if reason is not None:
        raise ConfigurationError(f"{path}: not as a test writes it ({reason}); {again}")
    try:
        with unprinted_panics():
            names = pl.read_parquet_schema(path)
            labels, logits = label_columns(names), logit_columns(names)
            for column in ("case_id", *(labels or ["label"]), *(logits or ["logit_<class>"])):
                if column not in names:
                    raise ConfigurationError(f"{path}: no column {column!r}; {again}")
            kinds = {"case_id": pl.String, **dict.fromkeys(labels, pl.Int64), **dict.fromkeys(logits, pl.Float64)}
            table = pl.read_parquet(path, glob=False, columns=list(kinds)).cast(kinds)  # type: ignore[arg-type]
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror or error}); {again}") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{path}: not as a test writes it ({reason}); {again}") from error
    if dict(table.schema) != kinds:  # polars casts a structure's fields, and lets it be a structure
        raise ConfigurationError(f"{path}: labels or logits are no numbers; {again}")
    if not len(table) or any(table[column].null_count() for column in ("case_id", *logits)):
        raise ConfigurationError(f"{path}: no case, or one without an id or a logit; {again}")
    return table


def same_columns(tables: Mapping[Path, "DataFrame"]) -> None:
    """Refuse tables of different classes, which cannot be put together.

    Args:
        tables: By file.

    Raises:
        ConfigurationError: Naming the first that differs from the one before.
    """
    (first, expected), *others = tables.items()
    for path, table in others:
        if set(table.columns) != set(expected.columns):
            odd = sorted(set(table.columns) ^ set(expected.columns))[0]
            raise ConfigurationError(
                f"{path}: {odd!r} is not in both, it and {first}; their classes have to be the same"
            )


def figures_of(logits: "Tensor", labels: "Tensor", *, source: Path) -> dict[str, float]:
    """The metrics of a table.

    Args:
        logits: (N, C) floats.
        labels: (N,) or (N, C) integers.
        source: The file, for errors.

    Raises:
        ConfigurationError: If a label is no class, or a logit is not finite.
    """
    from medlit.metrics import classification_metrics

    try:
        return classification_metrics(logits, labels)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}; test the run anew") from error


def label_columns(names: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Those that hold labels."""
    return [name for name in names if name == "label" or name.startswith("label_")]


def logit_columns(names: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Those that hold the logits of the answer, class by class."""
    return [name for name in names if name.startswith("logit_")]
