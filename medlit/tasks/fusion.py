"""Late fusion: several modalities that meet after the backbone; what Early Intervention is compared with."""

from collections.abc import Sequence
from typing import Literal, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from medlit.checkpoint import initialise_from_unimodal
from medlit.models.fusion import FusionOutput
from medlit.tasks.checks import check_names, folds_of, refuse_seen
from medlit.tasks.classification import ClassificationTask, ModelFactory
from medlit.tasks.early_intervention import require_checkpoints
from medlit.tasks.results import FUSED, CaseResults
from medlit.tasks.unimodal import AnswerLoss


class FusionTask(ClassificationTask):
    """Trains a `medlit.models.FusionClassifier` by cross-entropy (multi-label: binary cross-entropy) on its answer.

    Heads: ``fused``; each modality by its name where the model has such heads, which learn through the answer alone.

    Args:
        modalities: Names of the modalities, in order; from the data.
        num_classes: C, number of classes or labels; from the data.
        img_size: Side of the images, pixels; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels; from the data.
        variables: Names of the clinical variables; from the data.
        model: Makes the model: one of `medlit.models` whose name ends in Fusion.
        optimizer: Makes the optimizer of the trainable parameters; null: AdamW with learning rate 1e-4.
        scheduler: Makes the learning-rate schedule of the optimizer; null: constant.
        scheduler_interval: Whether the schedule counts steps or epochs.
        init_from: Unimodal checkpoint to start the adapters of each modality from, by modality; null: start fresh.
        use_class_weights: Weigh the classes in the training loss by the data's class weights; evaluation never does.
        test_subsets: Whether a test also says what the model makes of fewer modalities than it has.

    Raises:
        ConfigurationError: If settings contradict.
    """

    def __init__(
        self,
        *,
        modalities: list[str],
        num_classes: int,
        img_size: int,
        class_names: list[str] | None = None,
        multi_label: bool = False,
        variables: Sequence[str] = (),
        model: ModelFactory,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["step", "epoch"] = "step",
        init_from: dict[str, str] | None = None,
        use_class_weights: bool = False,
        test_subsets: bool = True,
    ) -> None:
        check_names("init_from", list(init_from or {}), modalities)
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            img_size=img_size,
            class_names=class_names,
            multi_label=multi_label,
            variables=variables,
            model=model,
            loss=AnswerLoss,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            use_class_weights=use_class_weights,
            test_subsets=test_subsets,
        )
        self.init_from = dict(init_from or {})

    def heads(self, output: FusionOutput) -> dict[str, Tensor]:
        """Logits (B, C) by head: ``fused``, then each modality's own where there are such."""
        return {FUSED: output.logits, **output.by_modality}

    def gate_weights(self, output: FusionOutput) -> Tensor | None:
        """Weights (B, M) of the modalities; None for a fusion that gives none."""
        return output.weights

    def presence(self, output: FusionOutput) -> Tensor:
        """Which modalities a case has, (B, M) bool."""
        return output.present

    def output_of(self, results: CaseResults) -> FusionOutput:
        """The model's output again, from the rows of a whole set."""
        by_modality = {name: results.logits[name] for name in self.modalities if name in results.logits}
        return FusionOutput(
            logits=results.answer.to(self.device),
            present=cast(Tensor, results.present).to(self.device),  # every row was collected by this task
            by_modality={name: logits.to(self.device) for name, logits in by_modality.items()},
            weights=None if results.gate is None else results.gate.to(self.device),
        )

    def setup(self, stage: str) -> None:
        """Start from the unimodal runs, unless a training is resumed (its checkpoint holds what came of them)."""
        super().setup(stage)
        if stage != "fit" or self.trainer.ckpt_path is not None or not self.init_from:
            return
        require_checkpoints(self.init_from)
        initialise_from_unimodal(
            self.model,
            self.init_from,
            class_names=self._given_class_names,
            folds=folds_of(self),
            passes=["{}"],
            heads=None,
        )
        refuse_seen(self)
        start = ", ".join(f"{name} from {path}" for name, path in self.init_from.items())
        rank_zero_info(f"The adapters of the fusion start {start}.")
