"""One of two processes of a step in recomputed parts: ``python -m ... RANK FOLDER``; 0 writes ``gradients.pt``."""

import os
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from medlit.losses import MaMALoss
from medlit.tasks.pair_embeddings import embed_pairs
from tests.medlit.models.small import mama
from tests.medlit.tasks.tiny_pairs import IMG_SIZE, collate, sample

PAIRS = 8
LATE = ("second_image_text", "view", "local")


class Step(nn.Module):
    """All losses of pretraining as the forward pass of a module, for DistributedDataParallel to wrap."""

    def __init__(self, *, micro_batch_size):
        super().__init__()
        self.micro_batch_size = micro_batch_size
        self.model = mama(
            img_size=IMG_SIZE,
            image={"backbone": "vit_tiny_patch16_224", "gradient_checkpointing": micro_batch_size is not None},
            gradient_checkpointing=micro_batch_size is not None,
        )
        self.model.double()  # what differs then is no rounding
        self.model.text_encoder.model.eval()  # no dropout: two processes draw other numbers than one

    def forward(self, rows):
        batch = collate([sample(index) for index in rows])
        batch |= {name: batch[name].double() for name in ("image", "second_image")}
        embeddings = embed_pairs(self.model, batch, LATE, micro_batch_size=self.micro_batch_size)
        scales = {"scale": self.model.scale, "local_scale": self.model.local_scale}
        return MaMALoss()(embeddings, **scales, late=True, gather=distributed.is_initialized())["total"]


def gradients(step, rows):
    step(rows).backward()
    module = step.module if isinstance(step, DistributedDataParallel) else step
    return {name: parameter.grad for name, parameter in module.named_parameters()}


def main(rank, folder):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", rank=rank, world_size=2, init_method=f"file://{folder}/store")
    half = PAIRS // 2
    found = gradients(DistributedDataParallel(Step(micro_batch_size=3)), range(rank * half, rank * half + half))
    if rank == 0:
        torch.save(found, folder / "gradients.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(int(sys.argv[1]), Path(sys.argv[2]).resolve())
