"""Pairs of images with captions that nothing can be learned from, refused in words that say why."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from medlit.errors import ConfigurationError, NonFiniteLossError
from medlit.losses import MaMAEmbeddings
from medlit.tasks.pair_figures import PairSet
from medlit.tasks.results import gather_objects

ALIKE = 8
"""Captions all alike, from the first on, that are no chance any more: two of a batch often are alike, eight hardly."""


def check_pairs(trainer: Trainer, *, positions: int, training: bool) -> None:
    """Refuse data whose batches are no pairs, or whose captions do not fit the text model.

    Args:
        trainer: Its DataModule is asked; without one, nothing is known before the first batch.
        positions: Tokens that the text model reads at most.
        training: Whether batches are trained with.

    Raises:
        ConfigurationError: Saying which setting to change.
    """
    data = getattr(trainer, "datamodule", None)
    if data is None:
        return
    name, settings = type(data).__name__, getattr(data, "pretraining", None)
    if settings is None:
        raise ConfigurationError(
            f"{name} gives cases with labels, a MaMATask needs images with captions; set data.init_args.pretraining: "
            "{} where the DataModule has captions (EMBEDDataModule)"
        )
    longest = getattr(settings, "max_tokens", 0)
    if longest > positions:
        raise ConfigurationError(
            f"captions of up to {longest} tokens, but the text model reads {positions}; set "
            f"data.init_args.pretraining.max_tokens to {positions} or fewer"
        )
    size, processes = getattr(data, "batch_size", 2), trainer.world_size
    if training and size * processes < 2:
        raise ConfigurationError(
            f"{name}: batch_size is {size} on {processes} process: a pair is told apart from the others of its batch; "
            "set it to 2 or more"
        )


def tokenizer_of(data: object) -> dict[str, Any] | None:
    """``source``, ``separator`` and ``max_tokens`` of the captions of a DataModule; None where it does not say."""
    settings = getattr(data, "pretraining", None)
    if settings is None or not hasattr(settings, "tokenizer"):
        return None
    return {
        "source": str(settings.tokenizer),
        "separator": str(settings.separator),
        "max_tokens": int(settings.max_tokens),
    }


def suspects(cases: Sequence[str], embeddings: MaMAEmbeddings) -> list[str]:
    """Ids of this process's pairs whose image or caption is no number; all where no pair of any process is the cause.

    All processes have to ask.

    Args:
        cases: B ids.
        embeddings: Of the same pairs.
    """
    rows = [embeddings.image, embeddings.text, embeddings.second_image]
    finite = torch.stack([each.isfinite().all(dim=1) for each in rows if each is not None]).all(dim=0)
    found = [case for case, whole in zip(cases, finite.tolist(), strict=True) if not whole]
    return found if any(gather_objects(bool(found))) else list(cases)


def refuse_unjudged(pairs: PairSet | None, *, stage: str, when: str) -> PairSet:
    """The pairs of an evaluation, unless there is nothing to say of them.

    Args:
        pairs: Of all processes.
        stage: Which set it is.
        when: Epoch and step.

    Raises:
        ConfigurationError: If no two pairs were in a batch.
        NonFiniteLossError: If a term of the loss is no number.
    """
    if pairs is None or not pairs.terms:
        raise ConfigurationError(f"no batch of the {stage} set has two pairs; set the data's batch_size to 2 or more")
    if not torch.tensor(list(pairs.terms.values())).isfinite().all():
        values = ", ".join(f"{name} {value:g}" for name, value in pairs.terms.items())
        raise NonFiniteLossError(f"loss of the {stage} set is not finite at {when} ({values})")
    return pairs


class CaptionWatch:
    """Sees that the captions of a training are not all one: then no image can be told from another by its own."""

    def __init__(self) -> None:
        self._first: Tensor | None = None
        self._alike = 0
        self._told_apart = False

    def see(self, caption_id: Tensor) -> None:
        """Look at a batch of all processes; once two captions differed, nothing is waited for any more.

        Args:
            caption_id: (N,) int64, the same on every process.

        Raises:
            ConfigurationError: If all captions were alike so far, and there were enough to rule out chance; or if the
                batch is a single pair.
        """
        if len(caption_id) < 2:
            raise ConfigurationError(
                "a batch of one pair: there is nothing to tell it apart from; set the data's batch_size to 2 or more"
            )
        if self._told_apart:
            return
        first = caption_id[:1] if self._first is None else self._first
        self._first, self._told_apart = first, bool((caption_id != first).any())
        self._alike += len(caption_id)
        if not self._told_apart and self._alike >= ALIKE:
            raise ConfigurationError(
                f"the first {self._alike} captions are all alike, so that nothing can be learned from them; look at "
                "them (medlit data captions), at the templates, and at mask_probability"
            )
