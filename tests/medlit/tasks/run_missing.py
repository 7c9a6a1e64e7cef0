"""Gradients of two processes against one's: ``python -m ... RANK FOLDER``; a modality is missing from all cases of one.

Each process takes half of a batch through DistributedDataParallel, which finds no unused parameters; process 0 compares
with the gradients of the whole batch and writes the largest difference of each setting into ``differences.json``.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from medlit.losses import EarlyInterventionLoss
from medlit.models.variables import VARIABLES
from tests.medlit.models.small import early_intervention, pictures, randomise_adapters

MODALITIES = ("clinic", "derm", VARIABLES)
CASES = 8
PRESENT = {
    "complete": torch.ones(CASES, 3, dtype=torch.bool),
    "no derm on one": torch.tensor([[1, 0, 1]] * 4 + [[1, 1, 1]] * 4, dtype=torch.bool),
    "no variables on one, one image on the other": torch.tensor([[1, 1, 0]] * 4 + [[0, 0, 1]] * 4, dtype=torch.bool),
    "dropout": torch.tensor([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 1], *[[1, 1, 0]] * 4], dtype=torch.bool),
}


def make_model(*, recompute):
    model = early_intervention(modalities=MODALITIES, variables=["age", "sex"], gradient_checkpointing=recompute)
    return randomise_adapters(model.train())


def make_batch(present, rows):
    """Images and masks of these rows; a modality that none of them has is left out, as by ``collate``."""
    images = pictures(modalities=MODALITIES[:2], cases=CASES)
    images[VARIABLES] = torch.randn(CASES, 1, 2, generator=torch.Generator().manual_seed(1))
    masks = {name: present[rows, place, None] for place, name in enumerate(MODALITIES)}
    return {name: images[name][rows] for name in MODALITIES if masks[name].any()}, masks


def gradients(model, present, rows):
    model.zero_grad()
    images, masks = make_batch(present, rows)
    label = torch.arange(CASES)[rows] % 5
    EarlyInterventionLoss(prior=[1, 1, 1])(model(images, masks), label)["total"].backward()
    module = model.module if isinstance(model, DistributedDataParallel) else model
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.requires_grad}


def main(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{folder}/store")
    differences = {}
    for recompute in (False, True):
        model = make_model(recompute=recompute)
        parallel = DistributedDataParallel(make_model(recompute=recompute))
        for name, present in PRESENT.items():
            found = gradients(parallel, present, slice(rank * 4, rank * 4 + 4))
            if rank == 0:
                expected = gradients(model, present, slice(None))
                worst = max(float((found[key] - expected[key]).abs().max()) for key in expected)
                differences[f"{name}, {'recomputed' if recompute else 'kept'}"] = worst
    distributed.destroy_process_group()
    if rank == 0:
        (folder / "differences.json").write_text(json.dumps(differences))


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(int(sys.argv[1]), Path(sys.argv[2]).resolve())
