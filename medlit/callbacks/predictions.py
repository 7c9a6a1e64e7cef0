"""One row per case: what the model said of it."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from medlit.files import write_text, write_whole
from medlit.run_folder import SUBSETS
from medlit.tasks import CaseResults, EvaluationTask
from medlit.tasks.results import UNKNOWN_LABEL


class PredictionWriter(Callback):
    """Writes ``predictions_test.<format>`` after a test, ``predict_<split>.<format>`` after predict, in the run folder.

    The names differ so that predictions of other data never take the place of the test's.

    Columns: ``case_id``, ``group_id``, ``<unit>_id`` of what the case is part of (``breast_id``, ``exam_id``) where the
    data say so, ``label`` (class id, empty where unknown; multi-label: ``label_<class>``),
    ``prob_<class>``, ``logit_<class>``, the same of each modality as ``<modality>_prob_<class>`` and
    ``<modality>_logit_<class>`` (Early Intervention: steered by the others), ``gate_<modality>``. Probabilities are the
    softmax over classes, for multi-label sets the sigmoid. Columns of a modality are empty where a case lacks it. Other
    heads of a task (``knn``, ``class_captions_with_metadata``) have columns as a modality has.

    Where cases are parts of units, each kind has a table beside it, ``predictions_test_breast.<format>``, with answers
    and labels put together as in `medlit.tasks.units`: ``breast_id``, the ids of larger units, ``group_id``, ``label``,
    ``prob_<class>``, and the number of its cases, ``num_cases``.

    A test with fewer modalities leaves its table in ``subsets_test.md``; a test without takes an earlier one away, for
    it would stand beside the predictions of another test.

    Args:
        format: parquet or csv.
    """

    def __init__(self, format: Literal["parquet", "csv"] = "parquet") -> None:
        self.format = format

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the rows of the test, and the table of fewer modalities where there is one."""
        self._write(trainer, pl_module, "predictions_test")
        if not _keeps(trainer) or not isinstance(pl_module, EvaluationTask):
            return
        table, figures = Path(trainer.default_root_dir) / SUBSETS, pl_module.figures
        subsets = None if figures is None else figures.subsets
        if subsets is None:
            table.unlink(missing_ok=True)
        else:
            write_text(table, subsets.markdown())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the rows of the prediction."""
        datamodule = getattr(trainer, "datamodule", None)
        self._write(trainer, pl_module, f"predict_{getattr(datamodule, 'predict_split', 'all')}")

    def _write(self, trainer: Trainer, task: LightningModule, stem: str) -> None:
        if not _keeps(trainer) or not isinstance(task, EvaluationTask) or task.case_results is None:
            return
        folder = Path(trainer.default_root_dir)
        path = folder / f"{stem}.{self.format}"
        rows = self._write_table(path, prediction_columns(task, task.case_results))
        print(f"{rows} predictions: {path}")
        tables = {folder / f"{stem}_{kind}.{self.format}": unit_columns(task, kind) for kind in task.units}
        for stale in set(folder.glob(f"{stem}_*.{self.format}")) - set(tables):
            if _is_unit_table(stale, kind=stale.stem.removeprefix(f"{stem}_")):
                stale.unlink()  # of other data, whose cases were part of other units
        for path, columns in tables.items():
            self._write_table(path, columns)

    def _write_table(self, path: Path, columns: dict[str, Any]) -> int:
        """Write columns, and say how many rows they have."""
        import polars as pl  # here, after all loaders: a fork after polars was used hangs

        texts = {name for name, values in columns.items() if isinstance(values[0], str)}
        whole = {name for name in columns if name in ("label", "num_cases") or name.startswith("label_")}
        kinds: dict[str, type[pl.DataType]] = {name: pl.Float32 for name in columns if name not in texts}
        kinds |= dict.fromkeys(whole, pl.Int64)
        table = pl.DataFrame(columns, schema_overrides=kinds)  # of its type even where all are empty
        write_whole(path, table.write_parquet if self.format == "parquet" else partial(table.write_csv))
        return len(table)


def _keeps(trainer: Trainer) -> bool:
    """Whether this process writes: one does, and none in a trial run."""
    return trainer.is_global_zero and not getattr(trainer, "fast_dev_run", False)


def _is_unit_table(path: Path, *, kind: str) -> bool:
    """Whether this callback has written a file, as the table of a kind of unit; a user's own is not taken away."""
    import polars as pl

    try:
        columns = pl.read_parquet_schema(path) if path.suffix == ".parquet" else pl.read_csv(path, n_rows=0).columns
    except (OSError, pl.exceptions.PolarsError):
        return False
    return f"{kind}_id" in columns and "num_cases" in columns


def prediction_columns(task: EvaluationTask, results: CaseResults) -> dict[str, Any]:
    """The table, by column; see `PredictionWriter`."""
    columns: dict[str, Any] = {"case_id": results.case_id, "group_id": results.group_id}
    columns |= {f"{kind}_id": ids for kind, ids in results.units.items()}
    columns |= _labels(task, results.label, rows=len(results.case_id))
    answer, *_ = results.logits
    others = [name for name in results.logits if name != answer and "/" not in name]  # that is a part of a modality's
    for head, prefix in [(answer, ""), *((name, f"{name}_") for name in others)]:
        probabilities = results.probabilities(head, multi_label=task.multi_label).float()
        for kind, values in (("prob", probabilities), ("logit", results.logits[head])):
            for index, name in enumerate(task.class_names):
                columns[f"{prefix}{kind}_{name}"] = _of_present(task, results, head, values[:, index])
    if results.gate is not None:
        for index, name in enumerate(task.modalities):
            columns[f"gate_{name}"] = _of_present(task, results, name, results.gate[:, index])
    return columns


def unit_columns(task: EvaluationTask, kind: str) -> dict[str, Any]:
    """The table of a kind of unit, by column; see `PredictionWriter`."""
    units = task.units[kind]
    columns: dict[str, Any] = {f"{kind}_id": units.unit_id}
    columns |= {f"{larger}_id": ids for larger, ids in units.within.items()}
    columns |= {"group_id": units.group_id} | _labels(task, units.label, rows=len(units.unit_id))
    for index, name in enumerate(task.class_names):
        columns[f"prob_{name}"] = units.probabilities[:, index].float().numpy()
    return columns | {"num_cases": units.num_cases}


def _of_present(task: EvaluationTask, results: CaseResults, head: str, values: Tensor) -> Any:
    """A column (N,) of a head, None where a case lacks its modality."""
    if results.present is None or head not in task.modalities:
        return values.numpy()
    present = results.present[:, task.modalities.index(head)]
    if bool(present.all()):
        return values.numpy()
    return [value if there else None for value, there in zip(values.tolist(), present.tolist(), strict=True)]


def _labels(task: EvaluationTask, label: Tensor | None, *, rows: int) -> dict[str, list[int | None]]:
    """Class ids, None where unknown."""
    if label is None:
        return {"label": [None] * rows}
    if label.ndim == 1:
        return {"label": [None if value == UNKNOWN_LABEL else int(value) for value in label.tolist()]}
    return {
        f"label_{name}": [None if value != value else int(value) for value in label[:, index].tolist()]
        for index, name in enumerate(task.class_names)
    }
