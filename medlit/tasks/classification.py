"""What every classification task shares: steps, figures over whole sets, optimizer, checkpoints of the trained part."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from data_modules.batch import ClassificationBatch
from medlit.checkpoint import TASK_PREFIX, checkpoint_info, restore, trainable_state, unpack
from medlit.errors import ConfigurationError
from medlit.models.base import AdaptedClassifier
from medlit.tasks.checks import (
    blame,
    check_modalities,
    check_monitors,
    folds_of,
    refuse_non_finite_logits,
    refuse_non_finite_loss,
    refuse_pairs,
)
from medlit.tasks.fidelity import Fidelity, as_written, validate_before_training
from medlit.tasks.figures import SetFigures, set_figures
from medlit.tasks.results import CaseResults, gather, rows_of
from medlit.tasks.schedules import scheduler_config
from medlit.tasks.subsets import subset_answers
from medlit.tasks.units import UnitResults, severity_of, unit_results

ModelFactory = Callable[[list[str], int, int], AdaptedClassifier]
"""Called as ``model(modalities=..., num_classes=..., img_size=...)``."""

Stage = Literal["val", "test"]


class ClassificationTask(LightningModule, ABC):
    """Trains and evaluates a classifier over adapted foundation models.

    Evaluation collects the logits of every case, gathers them over all processes and computes loss and metrics once,
    on the whole set: the figures do not depend on the batch size or the number of processes. They are logged as
    ``val/map``, ``test/auroc``, ... for the model's answer and ``val/<head>/map``, ... for its other heads; figures of
    a single class for the answer, in the test for every head. The rows stay in `case_results`. Where the data say what
    their cases are parts of, ``test/breast/auroc``, ``test/exam/auroc``, ... are those of the answers put together.

    Args:
        modalities: Names of the modalities, in order; from the data.
        num_classes: C, number of classes or labels; from the data.
        img_size: Side of the images, pixels; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels; from the data.
        model: Makes the model, given modalities, num_classes and img_size.
        loss: Makes the loss, given ``class_weights`` or nothing; it is called with the model's output and the label,
            and returns its terms by name and their weighted ``total``.
        optimizer: Makes the optimizer of the trainable parameters; null: AdamW with learning rate 1e-4.
        scheduler: Makes the learning-rate schedule of the optimizer; null: constant.
        scheduler_interval: Whether the schedule counts steps or epochs.
        use_class_weights: Weigh the classes in the training loss by the data's class weights; evaluation never does.
        variables: Names of the clinical variables; from the data.
        test_subsets: Whether a test also says what the model makes of fewer modalities than it has.
        fidelity: Validate and test as the paper's method would, or as its released code does (docs/fidelity.md).

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

    def __init__(
        self,
        *,
        modalities: list[str],
        num_classes: int,
        img_size: int,
        class_names: list[str] | None,
        multi_label: bool,
        model: ModelFactory,
        loss: Callable[..., nn.Module],
        optimizer: OptimizerCallable | None,
        scheduler: LRSchedulerCallable | None,
        scheduler_interval: Literal["step", "epoch"],
        use_class_weights: bool,
        variables: Sequence[str] = (),
        test_subsets: bool = False,
        fidelity: Fidelity = "paper",
    ) -> None:
        super().__init__()
        check_modalities(modalities)
        if class_names is not None and len(class_names) != num_classes:
            raise ConfigurationError(f"{len(class_names)} class names for {num_classes} classes: {class_names}")
        self.modalities = list(modalities)
        self.multi_label = multi_label
        self.use_class_weights = use_class_weights
        self.test_subsets, self.fidelity = test_subsets, fidelity
        self._given_class_names = class_names
        self.class_names = class_names or [str(index) for index in range(num_classes)]
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._scheduler_interval = scheduler_interval
        # mypy sees a callable of positional arguments; jsonargparse's and the models' take them by name.
        given = {"variables": list(variables)} if variables else {}
        self.model = cast(Any, model)(modalities=self.modalities, num_classes=num_classes, img_size=img_size, **given)
        self._make_loss = loss
        self.loss = loss()
        self.training_loss = self.loss
        self.strict_loading = False  # a checkpoint has the trained part alone; on_load_checkpoint checks it strictly
        self.case_results, self.figures = None, None
        self.units, self.class_severity = {}, None
        self._batches: list[CaseResults] = []

    @abstractmethod
    def heads(self, output: Any) -> dict[str, Tensor]:
        """Logits (B, C) by head, the model's answer first."""

    @abstractmethod
    def output_of(self, results: CaseResults) -> Any:
        """The model's output again, from the rows of a whole set."""

    def gate_weights(self, output: Any) -> Tensor | None:
        """Weights (B, M) of the modalities, in their order; None for a model without a gate."""
        return None

    def presence(self, output: Any) -> Tensor | None:
        """Which modalities a case has, (B, M) bool in their order; None for a model of one."""
        return None

    def forward(self, images: dict[str, Tensor], image_mask: dict[str, Tensor] | None = None) -> Any:
        """The model's output for a batch of images by modality, (B, I, 3, H, W), and their masks (B, I)."""
        return self.model(images, image_mask)

    # Training

    def setup(self, stage: str) -> None:
        """Take from the data what losses and figures need: kind of labels, order of severity, class weights."""
        datamodule = getattr(self.trainer, "datamodule", None)
        refuse_pairs(datamodule)
        self.multi_label = bool(getattr(datamodule, "multi_label", self.multi_label))
        self.class_severity = severity_of(datamodule, num_classes=len(self.class_names))
        if stage == "fit" and self.use_class_weights:
            weights = getattr(datamodule, "class_weights", None)
            if weights is None:
                raise ConfigurationError("use_class_weights needs a DataModule with class_weights; set it to false")
            self.training_loss = self._make_loss(class_weights=[float(weight) for weight in weights])

    def on_fit_start(self) -> None:
        """Train in training mode, whatever was done with the task before."""
        self.train()  # Lightning trains a task that was tested before in evaluation mode

    def on_train_start(self) -> None:
        """Validate before the first step where the released code does."""
        validate_before_training(self.trainer, self.fidelity)

    def configure_optimizers(self) -> OptimizerConfig | OptimizerLRSchedulerConfig:
        """The optimizer of the trainable parameters, and its schedule."""
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        if not trainable:
            raise ConfigurationError("no parameter is trainable; give the model an adapter or a head")
        with blame("optimizer"):
            make = self._make_optimizer
            optimizer: Optimizer = make(trainable) if make else AdamW(trainable, lr=1e-4)
        if self._make_scheduler is None:
            return {"optimizer": optimizer}
        with blame("scheduler"):
            schedule = scheduler_config(self._make_scheduler(optimizer), interval=self._scheduler_interval)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> Tensor:
        """The weighted loss of a batch, a scalar."""
        if "label" not in batch:
            raise ConfigurationError(f"cases {', '.join(batch['case_id'][:8])} have no label to train with")
        terms = self.training_loss(self(batch["images"], batch["image_mask"]), batch["label"])
        total = cast(Tensor, terms["total"])
        refuse_non_finite_loss(terms, batch["case_id"], when=self._when)
        figures = {f"train/{'loss' if name == 'total' else name}": term.detach() for name, term in terms.items()}
        size = len(batch["case_id"])
        self.log_dict(figures, on_step=False, on_epoch=True, sync_dist=True, batch_size=size)
        self.log("loss", total.detach(), prog_bar=True, logger=False, batch_size=size)  # this process's alone
        return total

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        """Forget the rows of the epoch before."""
        self._batches = []

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Keep the rows of a batch."""
        self._collect(batch)

    def test_step(self, batch: ClassificationBatch, batch_idx: int) -> None:
        """Keep the rows of a batch, and what the model makes of fewer modalities."""
        rows = self._collect(batch)
        if self.test_subsets:
            answers = subset_answers(self._answer, batch, rows, self.modalities)
            self._batches[-1] = replace(rows, subsets=answers)

    def _answer(self, images: dict[str, Tensor], image_mask: dict[str, Tensor]) -> Tensor:
        """Logits (B, C) of the first head."""
        return next(iter(self.heads(self(images, image_mask)).values()))

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
        """Print a row per head and kind of unit, the model's answer first; then a row per subset of the modalities."""
        if self.trainer.is_global_zero and self.figures is not None:
            self.figures.show()

    def on_predict_epoch_end(self) -> None:
        """Rows of every case that was predicted."""
        self._gather("predict")

    def _collect(self, batch: ClassificationBatch) -> CaseResults:
        """Evaluate a batch and keep its rows on the CPU, in float32."""
        output = self(batch["images"], batch["image_mask"])
        rows = rows_of(batch, self.heads(output), gate=self.gate_weights(output), present=self.presence(output))
        self._batches.append(rows)
        return rows

    def _gather(self, stage: str) -> CaseResults:
        """Gather the rows of the epoch over all processes, and refuse outputs that are not finite."""
        results, self._batches = gather(self._batches), []
        if results is None:
            raise ConfigurationError(f"there are no cases to {stage}; is the split empty?")
        refuse_non_finite_logits(results, when=f"{stage} at {self._when}")
        self.case_results = results
        self.units = unit_results(results, multi_label=self.multi_label, severity=self.class_severity)
        return results

    def _evaluate(self, stage: Stage) -> None:
        """Log loss and metrics of the whole set; every process logs the same."""
        results = self._gather(stage)
        known = results.labelled()
        if known.label is None or not known.case_id:
            raise ConfigurationError(f"no case of the {stage} set has a label; without labels use predict")
        terms = self.loss(self.output_of(known), known.label.to(self.device))
        named = {"loss" if name == "total" else name: float(term) for name, term in terms.items()}
        self._log(f"{stage}/", named, in_bar="loss")
        if unlabelled := len(results.case_id) - len(known.case_id):
            self._log(f"{stage}/", {"cases_without_label": float(unlabelled)})
        self.figures = set_figures(
            as_written(known) if stage == "test" and self.fidelity == "code" else known,
            self.modalities,
            units=self.units,
            class_names=self.class_names,
            every_head=stage == "test",
        )
        for prefix, figures in self.figures.by_prefix():
            self._log(f"{stage}/{prefix}", figures, in_bar=None if prefix else "map")

    def _log(self, prefix: str, figures: dict[str, float], *, in_bar: str | None = None) -> None:
        # All processes hold the same value; sync_dist spares Lightning's warning that they may differ.
        for name, value in figures.items():
            self.log(f"{prefix}{name}", value, prog_bar=name == in_bar, sync_dist=True, batch_size=1)

    @property
    def _when(self) -> str:
        return f"epoch {self.current_epoch}, step {self.global_step}"

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the trained part alone, and say what it belongs to."""
        checkpoint["state_dict"] = {
            f"{TASK_PREFIX}{name}": tensor for name, tensor in trainable_state(self.model).items()
        }
        checkpoint["medlit"] = checkpoint_info(self.model, class_names=self._given_class_names, folds=folds_of(self))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the trained part, or refuse it; without class names of the data, take those of the checkpoint."""
        source = str((self._trainer and self._trainer.ckpt_path) or "checkpoint")
        state, info = unpack(checkpoint, source=source)
        restore(self.model, state, info, source=source, class_names=self._given_class_names, folds=folds_of(self))
        if self._given_class_names is None and info.get("class_names"):
            self.class_names = self._given_class_names = list(info["class_names"])
