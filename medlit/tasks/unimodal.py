"""One modality by itself: the first stage of Early Intervention, and what it is compared with."""

from collections.abc import Sequence
from typing import Literal

import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import Tensor, nn

from medlit.losses import classification_loss
from medlit.models.unimodal import UnimodalOutput
from medlit.tasks.classification import ClassificationTask, ModelFactory
from medlit.tasks.fidelity import Fidelity
from medlit.tasks.results import CaseResults


class UnimodalTask(ClassificationTask):
    """Trains a classifier over one modality by cross-entropy (multi-label: binary cross-entropy).

    Args:
        modalities: The name of the one modality; from the data.
        num_classes: C, number of classes or labels; from the data.
        img_size: Side of the images, pixels; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels; from the data.
        variables: Names of the clinical variables, where those are the modality; from the data.
        model: Makes the model, a `medlit.models.UnimodalClassifier`.
        optimizer: Makes the optimizer of the trainable parameters; null: AdamW with learning rate 1e-4.
        scheduler: Makes the learning-rate schedule of the optimizer; null: constant.
        scheduler_interval: Whether the schedule counts steps or epochs.
        use_class_weights: Weigh the classes in the training loss by the data's class weights; evaluation never does.
        fidelity: What the paper says, or what its released code computes: the first validation, the decimals of a test
            (docs/fidelity.md).

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
        use_class_weights: bool = False,
        fidelity: Fidelity = "paper",
    ) -> None:
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
            fidelity=fidelity,
        )

    def heads(self, output: UnimodalOutput) -> dict[str, Tensor]:
        """Logits (B, C) under the modality's name."""
        return {self.modalities[0]: output.logits}

    def output_of(self, results: CaseResults) -> UnimodalOutput:
        """The model's output again, from the rows of a whole set."""
        return UnimodalOutput(logits=results.answer.to(self.device))


class AnswerLoss(nn.Module):
    """Cross-entropy (multi-label: binary cross-entropy) of a model's answer, in the shape of losses of several terms.

    Args:
        class_weights: C factors on the classes, or None.
    """

    class_weights: Tensor | None

    def __init__(self, *, class_weights: list[float] | None = None) -> None:
        super().__init__()
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, output: UnimodalOutput, label: Tensor) -> dict[str, Tensor]:
        """The loss as its one term and its total."""
        return {"total": classification_loss(output.logits, label, class_weights=self.class_weights)}
