"""MaMA's loss behind its heads on 1, 2 and 3 processes: ``python -m ... RANK FOLDER``, for ranks 0 to 2 at once.

Each process takes its share of one batch, some none of it, through DistributedDataParallel, and saves what it finds as
``rank_R.pt``; the test computes the same without a process group.
"""

import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from medlit.losses import CLIPLoss, LocalAlignmentLoss, MaMAEmbeddings, MaMALoss, NTXentLoss, gather_rows, rank_offset
from medlit.models.global_batch_norm import GlobalBatchNorm1d

WIDTH = 6
SHARES = {1: [7], 2: [5, 2], 3: [4, 0, 3]}
"""Pairs of each process, by number of processes."""
OWNERS = [0, 0, 0, 1, 3, 3, 4, 5, 5, 6, 6]
"""Caption of each sentence; caption 2 has none."""
SETTINGS = {
    "all": ({}, OWNERS),
    "options": ({"text_pair": "same_breast", "identical_captions": "positives", "symmetric": False}, OWNERS),
    "no sentence on the last process": ({}, [0, 0, 1, 2]),
    "no sentence at all": ({}, []),
    "one sentence": ({}, [4]),
    "one pair of one breast": ({"text_pair": "same_breast"}, OWNERS),
}
DTYPES = {"float32": torch.float32, "float64": torch.float64}


@dataclass
class Batch:
    """What towers would give: N pairs, three patches each."""

    image: torch.Tensor
    second_image: torch.Tensor
    text: torch.Tensor
    patches: torch.Tensor
    sentences: torch.Tensor
    owner: torch.Tensor
    same_breast: torch.Tensor
    caption_id: torch.Tensor


def make_batch(setting, dtype, rows=slice(0, 7)):
    """The rows of the one batch, owners counted from the first of them."""
    owners = torch.tensor(SETTINGS[setting][1], dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    images, seconds, texts = torch.randn(3, 7, WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    patches = torch.randn(7, 3, WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    sentences = torch.randn(len(owners), WIDTH, generator=generator, dtype=torch.float64).to(dtype)
    own = (owners >= rows.start) & (owners < rows.stop)
    same_breast = torch.arange(7) == 6 if setting.startswith("one pair") else torch.arange(7) % 3 > 0
    return Batch(
        images[rows],
        seconds[rows],
        texts[rows],
        patches[rows],
        sentences[own],
        owners[own] - rows.start,
        same_breast[rows],
        torch.tensor([1, 2, 3, 4, 2, 5, 1])[rows],  # twins on different processes
    )


def head(bias, affine):
    return nn.Sequential(
        nn.Linear(WIDTH, 9, bias=bias),
        GlobalBatchNorm1d(9),
        nn.ReLU(),
        nn.Linear(9, WIDTH, bias=bias),
        GlobalBatchNorm1d(WIDTH, affine=affine),
    )


class Heads(nn.Module):
    """MaMA without its towers."""

    def __init__(self, setting):
        super().__init__()
        torch.manual_seed(1)
        self.image, self.text = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.patches, self.sentences = head(True, False), head(True, False)
        self.view = head(False, True)
        self.log_scale, self.log_local_scale = (nn.Parameter(torch.tensor(1 / 0.07).log()) for _ in range(2))
        self.loss = MaMALoss(**SETTINGS[setting][0])

    def forward(self, batch):
        local = self.patches(batch.patches.reshape(-1, WIDTH)).reshape(batch.patches.shape)
        embeddings = MaMAEmbeddings(
            image=F.normalize(self.image(batch.image), dim=-1),
            second_image=F.normalize(self.image(batch.second_image), dim=-1),
            text=F.normalize(self.text(batch.text), dim=-1),
            view=self.view(batch.image),
            second_view=self.view(batch.second_image),
            patches=F.normalize(local, dim=-1),
            sentences=F.normalize(self.sentences(batch.sentences), dim=-1),
            sentence_owner=batch.owner,
            same_breast=batch.same_breast,
            caption_id=batch.caption_id,
        )
        scales = {"scale": self.log_scale.exp(), "local_scale": self.log_local_scale.exp()}
        return self.loss(embeddings, **scales, late=True, gather=True)


def step(setting, dtype, rows=slice(0, 7)):
    """Terms, gradients and running statistics of one step."""
    heads = Heads(setting).to(dtype)
    model = DistributedDataParallel(heads, broadcast_buffers=False) if distributed.is_initialized() else heads
    terms = model(make_batch(setting, dtype, rows))
    terms["total"].backward()
    return {
        "terms": {name: term.detach() for name, term in terms.items()},
        "gradients": {name: parameter.grad for name, parameter in heads.named_parameters()},
        "buffers": dict(heads.named_buffers()),
    }


def modules(rows=slice(0, 7)):
    """Losses that gather by themselves."""
    batch = make_batch("all", torch.float64, rows)
    unit = [F.normalize(x, dim=-1) for x in (batch.image, batch.text, batch.patches, batch.sentences)]
    scale = torch.tensor(10.0, dtype=torch.float64)
    return {
        "clip": CLIPLoss()(unit[0], unit[1], scale, batch.caption_id),
        "nt_xent": NTXentLoss()(batch.image, batch.second_image),
        "local": LocalAlignmentLoss()(unit[2], unit[3], batch.owner, scale, batch.caption_id),
    }


def gathered(rows):
    """Rows of every kind from all processes, and the gradient of those that have one."""
    batch = make_batch("all", torch.float64, rows)
    image = batch.image.requires_grad_()
    everything = gather_rows(image)
    # Process r weighs row i by (r + 1) * (i + 1): what comes back is the sum over processes.
    weights = (distributed.get_rank() + 1) * torch.arange(1, 8, dtype=torch.float64)
    (everything * weights[:, None]).sum().backward()
    return {
        "image": everything.detach(),
        "gradient": image.grad,
        "same_breast": gather_rows(batch.same_breast),
        "caption_id": gather_rows(batch.caption_id),
        "offset": rank_offset(len(image)),
    }


def main(rank, folder):
    torch.set_num_threads(1)
    found = {}
    for world, shares in SHARES.items():
        if rank >= world:
            continue
        distributed.init_process_group(
            "gloo",
            rank=rank,
            world_size=world,
            init_method=f"file://{folder}/store_{world}",
            timeout=timedelta(seconds=120),
        )
        rows = slice(sum(shares[:rank]), sum(shares[: rank + 1]))
        found[world] = {
            "steps": {f"{name}, {of}": step(name, dtype, rows) for name in SETTINGS for of, dtype in DTYPES.items()},
            "modules": modules(rows),
            "gathered": gathered(rows),
        }
        distributed.destroy_process_group()
    torch.save(found, folder / f"rank_{rank}.pt")


if __name__ == "__main__":
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    main(int(sys.argv[1]), Path(sys.argv[2]).resolve())
