"""Early Intervention: several modalities, each steered by the others from the first block on."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal, cast

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from medlit.checkpoint import initialise_from_unimodal
from medlit.errors import WeightsNotFoundError
from medlit.losses import EarlyInterventionLoss
from medlit.models.early_intervention import EarlyInterventionOutput
from medlit.tasks.checks import check_names, folds_of, refuse_seen
from medlit.tasks.classification import ClassificationTask, ModelFactory
from medlit.tasks.fidelity import Fidelity
from medlit.tasks.results import FUSED, CaseResults


class EarlyInterventionTask(ClassificationTask):
    """Trains a `medlit.models.EarlyInterventionClassifier` with its four-term loss.

    Heads: ``fused``; each modality by its name, steered by the others (main); ``<modality>/auxiliary``, not steered.

    Args:
        modalities: Names of the modalities, in order; from the data.
        num_classes: C, number of classes or labels; from the data.
        img_size: Side of the images, pixels; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels; from the data.
        variables: Names of the clinical variables; from the data.
        model: Makes the model.
        optimizer: Makes the optimizer of the trainable parameters; null: AdamW with learning rate 1e-4.
        scheduler: Makes the learning-rate schedule of the optimizer; null: constant.
        scheduler_interval: Whether the schedule counts steps or epochs.
        prior: Factor on each modality's loss in the choice of the gate's target, by modality; small for one known to be
            better, 1 for one left out. null: all alike.
        fidelity: What the paper says, or what its released code computes: the gate's loss, the first validation, the
            decimals of a test (docs/fidelity.md).
        fused: Weight of the fused term of the loss.
        auxiliary: Weight of the auxiliary terms.
        main: Weight of the main terms.
        gate: Weight of the gate's term.
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
        prior: dict[str, float] | None = None,
        fidelity: Fidelity = "paper",
        fused: float = 1.0,
        auxiliary: float = 0.3,
        main: float = 1.0,
        gate: float = 0.1,
        init_from: dict[str, str] | None = None,
        use_class_weights: bool = False,
        test_subsets: bool = True,
    ) -> None:
        check_names("prior", list(prior or {}), modalities)
        check_names("init_from", list(init_from or {}), modalities)
        loss = partial(
            EarlyInterventionLoss,
            prior=[float((prior or {}).get(name, 1.0)) for name in modalities],
            fidelity=fidelity,
            fused=fused,
            auxiliary=auxiliary,
            main=main,
            gate=gate,
        )
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            img_size=img_size,
            class_names=class_names,
            multi_label=multi_label,
            variables=variables,
            model=model,
            loss=loss,
            optimizer=optimizer,
            scheduler=scheduler,
            scheduler_interval=scheduler_interval,
            use_class_weights=use_class_weights,
            test_subsets=test_subsets,
            fidelity=fidelity,
        )
        self.init_from = dict(init_from or {})

    def heads(self, output: EarlyInterventionOutput) -> dict[str, Tensor]:
        """Logits (B, C) by head: ``fused``, the main ones by modality, the auxiliary ones."""
        unsteered = {f"{name}/auxiliary": logits for name, logits in output.auxiliary.items()}
        return {FUSED: output.fused, **output.main, **unsteered}

    def gate_weights(self, output: EarlyInterventionOutput) -> Tensor:
        """Weights (B, M) of the gate."""
        return output.gate

    def presence(self, output: EarlyInterventionOutput) -> Tensor:
        """Which modalities a case has, (B, M) bool."""
        return output.present

    def output_of(self, results: CaseResults) -> EarlyInterventionOutput:
        """The model's output again, from the rows of a whole set."""
        logits = {head: values.to(self.device) for head, values in results.logits.items()}
        return EarlyInterventionOutput(
            fused=logits[FUSED],
            auxiliary={name: logits[f"{name}/auxiliary"] for name in self.modalities},
            main={name: logits[name] for name in self.modalities},
            gate=cast(Tensor, results.gate).to(self.device),  # every row was collected by this task
            present=cast(Tensor, results.present).to(self.device),
        )

    def setup(self, stage: str) -> None:
        """Start from the unimodal runs, unless a training is resumed (its checkpoint holds what came of them)."""
        super().setup(stage)
        if stage != "fit" or self.trainer.ckpt_path is not None:
            return
        if not self.init_from:
            rank_zero_info("Early Intervention starts fresh: init_from names no unimodal checkpoints.")
            return
        require_checkpoints(self.init_from)
        initialise_from_unimodal(self.model, self.init_from, class_names=self._given_class_names, folds=folds_of(self))
        refuse_seen(self)
        fresh = [name for name in self.modalities if name not in self.init_from]
        start = ", ".join(f"{name} from {path}" for name, path in self.init_from.items())
        rank_zero_info(f"Early Intervention starts {start}{f'; fresh: {fresh}' if fresh else ''}.")


def require_checkpoints(checkpoints: dict[str, str]) -> None:
    """Refuse checkpoints that do not exist, with the commands that make them where experiments for it are at hand.

    Args:
        checkpoints: Paths by modality.

    Raises:
        WeightsNotFoundError: Naming all that are missing, in one line.
    """
    missing = {name: Path(path) for name, path in checkpoints.items() if not Path(path).is_file()}
    if missing:
        paths = ", ".join(f"{path} ({name})" for name, path in missing.items())
        commands = "; ".join(filter(None, (_command(name, path) for name, path in missing.items())))
        make = f" Make them first: {commands}." if commands else ""
        raise WeightsNotFoundError(f"init_from: no such checkpoint: {paths}.{make} Or start fresh with init_from: null")


def _command(modality: str, checkpoint: Path) -> str | None:
    """A command whose run folder holds a checkpoint; None where no experiment for it is below the working folder.

    Run folders are named after their configurations: ``runs/a-b`` after ``experiments/a.yaml`` and
    ``experiments/overlays/b.yaml``. For another name, the modality's experiment with that run folder.
    """
    run = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else None
    experiment, *overlays = run.name.split("-") if run else [""]
    folder = Path("experiments")
    named = [folder / f"{experiment}.yaml", *(folder / "overlays" / f"{overlay}.yaml" for overlay in overlays)]
    if run and run.parent == Path("runs") and all(config.is_file() for config in named):
        return "medlit fit " + " ".join(f"--config {config}" for config in named)
    shipped = sorted(folder.glob(f"unimodal_*_{modality}.yaml"))
    if not run or not shipped:
        return None
    return f"medlit fit --config {shipped[0]} --run_dir {run}"
