"""Settings that cannot work, refused in words that say which."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn

from medlit.errors import ConfigurationError, NonFiniteLossError
from medlit.models.lineage import cuts_of, refuse_seen_cases, restrictions_of
from medlit.tasks.results import FUSED, CaseResults, everywhere, gather_objects


def check_modalities(modalities: Sequence[str]) -> None:
    """Refuse modalities whose names heads and parts of models cannot have.

    Raises:
        ConfigurationError: Naming the first one.
    """
    for name in modalities:
        if name == FUSED or any(hasattr(parts(), name) for parts in (nn.ModuleDict, nn.ParameterDict)):
            raise ConfigurationError(f"modality {name!r}: this name is taken inside the models; give it another name")


def check_names(what: str, names: Sequence[str], modalities: Sequence[str]) -> None:
    """Refuse a setting by modality that names others than the data's.

    Raises:
        ConfigurationError: Saying which there are.
    """
    if strangers := [name for name in names if name not in modalities]:
        raise ConfigurationError(
            f"{what} names {', '.join(strangers)}; the data's modalities are {', '.join(modalities)}"
        )


def refuse_pairs(datamodule: object) -> None:
    """Refuse data whose batches are images with captions instead of cases with labels.

    Raises:
        ConfigurationError: Saying which setting makes them so.
    """
    if getattr(datamodule, "pretraining", None) is not None:
        raise ConfigurationError(
            f"{type(datamodule).__name__} gives pairs of images with captions; set data.init_args.pretraining to null "
            "for a classification task"
        )


def folds_of(task: LightningModule) -> dict[str, int] | None:
    """``num_folds``, ``fold`` and ``split_seed`` of the data of a task; None where they are not cut into folds."""
    data = getattr(task._trainer, "datamodule", None)
    if getattr(data, "num_folds", None) is None:
        return None
    return {name: int(getattr(data, name)) for name in ("num_folds", "fold", "split_seed")}


def cut_of(task: LightningModule) -> dict[str, Any] | None:
    """What decides which cases of the data train: the set's name, seed and folds; None where data say nothing."""
    return getattr(getattr(task._trainer, "datamodule", None), "cut", None)


def refuse_seen(task: LightningModule, *, source: str = "the checkpoint that the model starts from") -> None:
    """Refuse data of which the weights of a task have seen what would be tested.

    Raises:
        CheckpointMismatchError: Saying how they were cut in training.
    """
    refuse_seen_cases(cuts_of(task), cut_of(task), source=source)


def restrictions_of_run(task: LightningModule) -> dict[str, str]:
    """By data set, why what a run learns must not be shared: of its data, and of the checkpoints it started from."""
    data = getattr(task._trainer, "datamodule", None)
    terms = getattr(data, "sharing_terms", None)
    own = {str(getattr(data, "name", type(data).__name__)): str(terms)} if terms else {}
    return {**restrictions_of(task), **own}


def check_monitors(trainer: Trainer) -> None:
    """Refuse callbacks that watch a figure nobody logs; called when a validation has logged its own.

    Raises:
        ConfigurationError: Naming the nearest figures.
    """
    logged = [name for name in trainer.callback_metrics if name.startswith("val/")]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it without a type
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in logged and not monitor.startswith("train/"):
            near = get_close_matches(monitor, logged, n=3, cutoff=0.4) or logged[:3]
            raise ConfigurationError(
                f"{type(callback).__name__}: monitor {monitor!r} is no figure of the validation; "
                f"did you mean {' or '.join(near)}?"
            )


@contextmanager
def blame(setting: str) -> Iterator[None]:
    """Turn what a class says of its arguments into an error of the setting.

    Raises:
        ConfigurationError: With what the class said.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{setting}: {error}") from error


def refuse_non_finite_loss(terms: Mapping[str, Tensor], cases: list[str], *, when: str) -> None:
    """Stop, on all processes alike, if the loss of any is not finite.

    Args:
        terms: Of the loss, ``total`` among them.
        cases: Ids of this process's batch.
        when: Epoch and step.

    Raises:
        NonFiniteLossError: With the terms and the cases.
    """
    finite = torch.isfinite(terms["total"].detach()).all()
    if everywhere(finite):
        return
    values = ", ".join(f"{name} {float(term.detach()):g}" for name, term in terms.items())
    shares = [share for share in gather_objects(None if finite else (values, cases)) if share is not None]
    raise NonFiniteLossError(
        f"training loss is not finite at {when} ({shares[0][0]}); "
        f"cases {', '.join(case for _, share in shares for case in share)}; "
        "lower the learning rate, or look at these cases"
    )


def refuse_non_finite_logits(results: CaseResults, *, when: str) -> None:
    """Stop if an answer is not finite.

    Args:
        results: Rows of all processes.
        when: Stage, epoch and step.

    Raises:
        NonFiniteLossError: With the cases.
    """
    heads = [*results.logits.values(), *results.subsets.values()]
    finite = torch.stack([logits.isfinite().all(dim=1) for logits in heads]).all(dim=0)
    if not finite.all():
        cases = [results.case_id[row] for row in (~finite).nonzero()[:, 0].tolist()]
        raise NonFiniteLossError(
            f"logits of {len(cases)} cases are not finite in {when}; "
            f"cases {', '.join(cases[:8])}{', ...' if cases[8:] else ''}"
        )
