"""What a model answers from fewer modalities than it was made for: the second table of a test."""

from collections.abc import Callable, Sequence
from itertools import combinations

import torch
from torch import Tensor

from data_modules.batch import ClassificationBatch
from medlit.tasks.results import CaseResults

ALL_UP_TO = 4
"""Of more modalities than this not all subsets are tried: there would be 30 and more."""

Answer = Callable[[dict[str, Tensor], dict[str, Tensor]], Tensor]
"""Logits (B, C) from images and masks by modality."""


def proper_subsets(modalities: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Places of the modalities of each subset by its name (``clinic+derm``), small ones first.

    Of more than four modalities only the single ones, and all but one.
    """
    count = len(modalities)
    sizes = range(1, count) if count <= ALL_UP_TO else (1, count - 1)
    return {
        "+".join(modalities[place] for place in places): places
        for size in sizes
        for places in combinations(range(count), size)
    }


def subset_answers(
    answer: Answer, batch: ClassificationBatch, rows: CaseResults, modalities: Sequence[str]
) -> dict[str, Tensor]:
    """Logits (B, C) of each proper subset on the CPU, zeros for cases that have none of its modalities.

    Args:
        answer: Asks the model.
        batch: The batch with all modalities.
        rows: What the model made of it; says which case has what.
        modalities: Those of the model.
    """
    answers = {}
    for name, places in proper_subsets(modalities).items():
        present = torch.ones(len(rows.case_id)) if rows.present is None else rows.present[:, list(places)].any(dim=1)
        chosen = present.nonzero()[:, 0]
        answers[name] = torch.zeros_like(rows.answer)
        if len(chosen):
            held = [modalities[place] for place in places if modalities[place] in batch["images"]]
            images, masks = (
                {m: tensors[m][chosen.to(tensors[m].device)] for m in held}
                for tensors in (batch["images"], batch["image_mask"])
            )
            answers[name][chosen] = answer(images, masks).detach().float().cpu()
    return answers
