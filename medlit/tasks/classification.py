"""What every classification task shares: training steps, loss, optimizer, checkpoints of the trained part."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.optim import AdamW

from data_modules.batch import ClassificationBatch
from medlit.checkpoint import TASK_PREFIX, checkpoint_info, restore, trainable_state, unpack
from medlit.errors import ConfigurationError
from medlit.models.base import AdaptedClassifier
from medlit.tasks.checks import cut_of, folds_of, refuse_non_finite_loss, refuse_seen, restrictions_of_run
from medlit.tasks.evaluation import EvaluationTask
from medlit.tasks.fidelity import Fidelity, validate_before_training
from medlit.tasks.random_state import reseed
from medlit.tasks.results import CaseResults, rows_of
from medlit.tasks.schedules import optimizers, step_plateaus_with_validation
from medlit.tasks.subsets import subset_answers

ModelFactory = Callable[[list[str], int, int], AdaptedClassifier]
"""Called as ``model(modalities=..., num_classes=..., img_size=...)``."""


class ClassificationTask(EvaluationTask):
    """Trains a classifier over adapted foundation models; `EvaluationTask` judges it.

    The loss of an evaluation is that of the whole set, not the mean over its batches.

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
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            class_names=class_names,
            multi_label=multi_label,
            fidelity=fidelity,
        )
        self.use_class_weights, self.test_subsets = use_class_weights, test_subsets
        self._make_optimizer, self._make_scheduler = optimizer, scheduler
        self._scheduler_interval = scheduler_interval
        # mypy sees a callable of positional arguments; jsonargparse's and the models' take them by name.
        given = {"variables": list(variables)} if variables else {}
        self.model = cast(Any, model)(modalities=self.modalities, num_classes=num_classes, img_size=img_size, **given)
        self._make_loss = loss
        self.loss = loss()
        self.training_loss = self.loss
        self.strict_loading = False  # a checkpoint has the trained part alone; on_load_checkpoint checks it strictly

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
        """Take from the data what figures need, and the class weights of the loss."""
        super().setup(stage)
        refuse_seen(self)
        if stage == "fit" and self.use_class_weights:
            weights = getattr(getattr(self.trainer, "datamodule", None), "class_weights", None)
            if weights is None:
                raise ConfigurationError("use_class_weights needs a DataModule with class_weights; set it to false")
            self.training_loss = self._make_loss(class_weights=[float(weight) for weight in weights])

    def on_fit_start(self) -> None:
        """Train in training mode, whatever was done with the task before."""
        self.train()  # Lightning trains a task that was tested before in evaluation mode

    def on_train_start(self) -> None:
        """Validate before the first step where the released code does."""
        step_plateaus_with_validation(self.trainer)
        validate_before_training(self.trainer, self.fidelity)

    def configure_optimizers(self) -> OptimizerConfig | OptimizerLRSchedulerConfig:
        """The optimizer of the trainable parameters, and its schedule."""
        make = self._make_optimizer or partial(AdamW, lr=1e-4)
        return optimizers(self, make, self._make_scheduler, interval=self._scheduler_interval)

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> Tensor:
        """The weighted loss of a batch, a scalar."""
        reseed(self, batch_idx)
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

    def rows(self, batch: ClassificationBatch) -> CaseResults:
        """The rows of a batch, on the CPU and in float32; in a test with what the model makes of fewer modalities."""
        output = self(batch["images"], batch["image_mask"])
        rows = rows_of(batch, self.heads(output), gate=self.gate_weights(output), present=self.presence(output))
        if self.trainer.testing and self.test_subsets:
            rows = replace(rows, subsets=subset_answers(self._answer, batch, rows, self.modalities))
        return rows

    def terms(self, results: CaseResults) -> dict[str, Tensor]:
        """Terms of the loss of a whole set, without class weights."""
        return cast(dict[str, Tensor], self.loss(self.output_of(results), cast(Tensor, results.label).to(self.device)))

    def _answer(self, images: dict[str, Tensor], image_mask: dict[str, Tensor]) -> Tensor:
        """Logits (B, C) of the first head."""
        return next(iter(self.heads(self(images, image_mask)).values()))

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the trained part alone, and say what it belongs to."""
        checkpoint["state_dict"] = {
            f"{TASK_PREFIX}{name}": tensor for name, tensor in trainable_state(self.model).items()
        }
        checkpoint["medlit"] = checkpoint_info(
            self.model,
            class_names=self._given_class_names,
            folds=folds_of(self),
            cut=cut_of(self),
            restrictions=restrictions_of_run(self),
        )
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the trained part, or refuse it; without class names of the data, take those of the checkpoint."""
        source = str((self._trainer and self._trainer.ckpt_path) or "checkpoint")
        state, info = unpack(checkpoint, source=source)
        restore(self.model, state, info, source=source, class_names=self._given_class_names, folds=folds_of(self))
        refuse_seen(self, source=source)
        super().on_load_checkpoint(checkpoint)
