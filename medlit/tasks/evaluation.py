"""What every task that judges answers shares: rows of a whole set, gathered over processes, and the figures of them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from lightning.pytorch import LightningModule
from torch import Tensor

from data_modules.batch import ClassificationBatch
from medlit.errors import ConfigurationError
from medlit.tasks.checks import check_modalities, check_monitors, refuse_non_finite_logits, refuse_pairs
from medlit.tasks.fidelity import Fidelity, as_written
from medlit.tasks.figures import SetFigures, judged_rows, set_figures
from medlit.tasks.results import CaseResults, gather
from medlit.tasks.screening import Judgement, Points, choose_points, judgement_of, read_points, what_a_test_lacks
from medlit.tasks.sharding import refuse_sharding
from medlit.tasks.units import UnitResults, severity_of, unit_results

Stage = Literal["val", "test"]


class EvaluationTask(LightningModule, ABC):
    """Collects the logits of every case, gathers them over all processes and judges them once, on the whole set.

    The figures do not depend on the batch size or the number of processes. They are logged as ``val/map``,
    ``test/auroc``, ... for the answer (the first head) and ``val/<head>/map``, ... for the other heads; figures of a
    single class for the answer, in the test for every head. The rows stay in `case_results`. Where the data say what
    their cases are parts of, ``test/breast/auroc``, ``test/exam/auroc``, ... are those of the answers put together.
    Where the data ask questions with two answers (cancer or not, suspicious or not), thresholds are chosen on every
    validation and kept with the checkpoint; a test goes by those, also in groups that the data tell apart
    (``test/site=1/auroc``).

    A subclass says what it makes of a batch, in `rows`; what it learns, if anything, is its own.

    Args:
        modalities: Names of the modalities, in order; from the data.
        num_classes: C, number of classes or labels; from the data.
        class_names: C names; from the data. None: numbers, until a checkpoint names them.
        multi_label: Whether a case may have several labels; from the data.
        fidelity: Test as the paper's method would, or as its released code does (docs/fidelity.md).

    Raises:
        ConfigurationError: If settings contradict.
    """

    case_results: CaseResults | None
    """Rows of the last validation, test or prediction, the same on every process."""
    figures: SetFigures | None
    """Metrics of the last validation or test."""
    units: dict[str, UnitResults]
    """Answers for what the cases are parts of (breast, exam), by kind, of the last validation, test or prediction."""
    class_severity: list[int] | None
    """Class ids from the least to the most severe; from the data."""
    judgement: Judgement
    """What the data ask beside the classes."""
    operating_points: dict[str, dict[str, dict[str, float]]]
    """Thresholds by head or kind of unit, question and point: those of the last validation, or of the checkpoint."""

    def __init__(
        self,
        *,
        modalities: Sequence[str],
        num_classes: int,
        class_names: list[str] | None = None,
        multi_label: bool = False,
        fidelity: Fidelity = "paper",
    ) -> None:
        super().__init__()
        check_modalities(modalities)
        if class_names is not None and len(class_names) != num_classes:
            raise ConfigurationError(f"{len(class_names)} class names for {num_classes} classes: {class_names}")
        self.modalities = list(modalities)
        self.multi_label, self.fidelity = multi_label, fidelity
        self._given_class_names = class_names
        self.class_names = class_names or [str(index) for index in range(num_classes)]
        self.case_results, self.figures = None, None
        self.units, self.class_severity = {}, None
        self.judgement, self.operating_points = Judgement(), {}
        self._batches: list[CaseResults] = []

    @abstractmethod
    def rows(self, batch: ClassificationBatch) -> CaseResults:
        """The rows of a batch on the CPU, see `medlit.tasks.results.rows_of`; the first head is the answer."""

    def terms(self, results: CaseResults) -> dict[str, Tensor]:
        """Terms of the loss of a whole set by name, scalars, ``total`` among them; a task without a loss has none.

        Args:
            results: Rows with labels.
        """
        return {}

    def configure_model(self) -> None:
        """Refuse strategies that deal the weights out to processes."""
        refuse_sharding(self)

    def setup(self, stage: str) -> None:
        """Take from the data what figures need: kind of labels, order of severity, questions."""
        datamodule = getattr(self.trainer, "datamodule", None)
        refuse_pairs(datamodule)
        self.multi_label = bool(getattr(datamodule, "multi_label", self.multi_label))
        num_classes = len(self.class_names)
        self.class_severity = severity_of(datamodule, num_classes=num_classes)
        self.judgement = judgement_of(datamodule, num_classes=num_classes, multi_label=self.multi_label)

    # Steps

    def on_validation_epoch_start(self) -> None:
        """Forget the rows of the epoch before."""
        self._batches = []

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Keep the rows of a batch."""
        self._collect(batch)

    def test_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Keep the rows of a batch."""
        self._collect(batch)

    def predict_step(self, batch: ClassificationBatch, batch_idx: int) -> dict[str, Tensor]:
        """Logits (B, C) float32 by head."""
        return self._collect(batch).logits

    def on_validation_epoch_end(self) -> None:
        """Loss and metrics of the validation set."""
        self._evaluate("val")
        check_monitors(self.trainer)

    def on_test_epoch_end(self) -> None:
        """Loss and metrics of the test set."""
        self._evaluate("test")

    def on_test_end(self) -> None:
        """Print a row per head and kind of unit, the answer first; then what else was asked."""
        if self.trainer.is_global_zero and self.figures is not None:
            self.figures.show(self.judgement, self.class_names, self.modalities)

    def on_predict_epoch_end(self) -> None:
        """Rows of every case that was predicted."""
        self._gather("predict")

    # Whole sets

    def _collect(self, batch: ClassificationBatch) -> CaseResults:
        """Evaluate a batch and keep its rows."""
        rows = self.rows(batch)
        self._batches.append(rows)
        return rows

    def _gather(self, stage: str) -> CaseResults:
        """Gather the rows of the epoch over all processes, and refuse outputs that are not finite."""
        results, self._batches = gather(self._batches), []
        if results is None:
            raise ConfigurationError(f"there are no cases to {stage}; is the split empty?")
        refuse_non_finite_logits(results, when=f"{stage} at {self._when}")
        self.case_results = results
        self.units = self._units_of(results)
        return results

    def _units_of(self, results: CaseResults, head: str | None = None) -> dict[str, UnitResults]:
        return unit_results(results, multi_label=self.multi_label, severity=self.class_severity, head=head)

    def _other_units(self, results: CaseResults) -> dict[str, UnitResults]:
        """Units of the other answers there are (``<head>/breast``); heads of one modality are parts of an answer."""
        others = [head for head in [*results.logits][1:] if head.partition("/")[0] not in self.modalities]
        units = {head: self._units_of(results, head) for head in others if results.units}
        return {f"{head}/{kind}": found for head, kinds in units.items() for kind, found in kinds.items()}

    def _evaluate(self, stage: Stage) -> None:
        """Log loss and metrics of the whole set; every process logs the same."""
        results = self._gather(stage)
        known = results.labelled()
        if known.label is None or not known.case_id:
            raise ConfigurationError(f"no case of the {stage} set has a label; without labels use predict")
        terms = self.terms(known)
        named = {"loss" if name == "total" else name: float(term) for name, term in terms.items()}
        self._log(f"{stage}/", named, in_bar="loss")
        unlabelled = len(results.case_id) - len(known.case_id)
        if unlabelled:
            self._log(f"{stage}/", {"cases_without_label": float(unlabelled)})
        if stage == "test":
            figures = self._test_figures(results, known)
        else:
            figures = self._set_figures(known, self.units, points=None)
            if not self.trainer.sanity_checking:  # of a few cases alone
                rows = judged_rows(known, self.modalities, self.units | self._other_units(results))
                self.operating_points = choose_points(rows, self.judgement)
        self.figures = replace(figures, loss=named, without_label=unlabelled)
        for prefix, metrics in self.figures.by_prefix():
            self._log(f"{stage}/{prefix}", metrics, in_bar=None if prefix else "map")

    def _test_figures(self, results: CaseResults, known: CaseResults) -> SetFigures:
        """Figures of a test and of its strata."""
        rows = as_written(known) if self.fidelity == "code" else known
        whole = self._set_figures(rows, self.units | self._other_units(results), points=self.operating_points)
        labelled, strata = rows.by_stratum(), {}
        notes = [
            *whole.notes,
            *what_a_test_lacks([*whole.heads, *whole.units], self.operating_points, self.judgement),
        ]
        for name, members in results.by_stratum().items():
            if name not in labelled:
                notes.append(f"{name}: no case has a label")
                continue
            units = self._units_of(members) | self._other_units(members)
            strata[name] = self._set_figures(labelled[name], units, points=self.operating_points, by_class=False)
            notes += [f"{name}, {note}" for note in strata[name].notes]
        return replace(whole, strata=strata, notes=tuple(notes))

    def _set_figures(
        self, known: CaseResults, units: dict[str, UnitResults], *, points: Points | None, by_class: bool = True
    ) -> SetFigures:
        """Figures of rows with labels; without thresholds, of a validation."""
        return set_figures(
            known,
            self.modalities,
            units=units,
            class_names=self.class_names,
            every_head=points is not None,
            by_class=by_class,
            judgement=self.judgement,
            points=points,
        )

    def _log(self, prefix: str, figures: dict[str, float], *, in_bar: str | None = None) -> None:
        # All processes hold the same value; sync_dist spares Lightning's warning that they may differ.
        for name, value in figures.items():
            self.log(f"{prefix}{name}", value, prog_bar=name == in_bar, sync_dist=True, batch_size=1)

    @property
    def _when(self) -> str:
        return f"epoch {self.current_epoch}, step {self.global_step}"

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep beside the model's own entry the thresholds of the last validation; subclasses call it last."""
        checkpoint.setdefault("medlit", {})["operating_points"] = self.operating_points

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take its thresholds, and class names where the data have none; subclasses call it last, when it fits."""
        info = checkpoint.get("medlit") or {}
        source = str((self._trainer and self._trainer.ckpt_path) or "checkpoint")
        self.operating_points = read_points(info.get("operating_points"), source=source)
        if self._given_class_names is None and info.get("class_names"):
            self.class_names = self._given_class_names = list(info["class_names"])
