"""How a training step scales: measured on two processes, computed for 1 to 256 GPUs.

``python -m benchmarks.scaling`` measures tokens a second of one and of two processes of a thread each, for Early
Intervention and MaMA at small sizes. A side is a step, forward to SGD, timed from the word to start until the last
process is done; the three sides take turns, so that what else the machine does meets them all alike:

- one: one process.
- apart: two processes that know nothing of each other: what sharing the machine costs without any communication.
- together: two under DistributedDataParallel, with as many cases each and the losses of the global batch.

The share of communication is what a step takes longer together than apart. Figures are medians over the turns.

``python -m benchmarks.scaling --table`` prints the tables of docs/scaling.md, by the formulas of `scaling_model.py`.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks import early_intervention_step, mama_step
from benchmarks.literal_mama import Sizes
from benchmarks.scaling_model import GB, Cluster, EarlyIntervention, MaMA, Step, step
from medlit.losses import EarlyInterventionLoss, MaMALoss
from medlit.tasks.pair_embeddings import embed_pairs

WORLDS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SIDES = ("one", "apart", "together")

EI_SETTING = early_intervention_step.Setting("vit_tiny_patch16_224", size=112, batch=4, threads=1)
MAMA_SETTING = mama_step.Setting(
    Sizes(img_size=112, num_tokens=2000, width=192, depth=6, heads=3, text_width=320, text_heads=5), 6, 1
)


class EarlyInterventionStep(nn.Module):
    """The loss of a batch of cases."""

    def __init__(self) -> None:
        super().__init__()
        self.model = early_intervention_step.make_product(EI_SETTING)
        self.loss = EarlyInterventionLoss(prior=early_intervention_step.PRIOR)
        self.batch = early_intervention_step.make_batch(EI_SETTING)
        encoder = self.model.backbone.encoder
        per_image = encoder.vit.patch_embed.num_patches + encoder.vit.num_prefix_tokens
        self.tokens = EI_SETTING.batch * 2 * len(early_intervention_step.MODALITIES) * per_image

    def forward(self) -> Tensor:
        """The weighted loss."""
        images, label = self.batch
        total: Tensor = self.loss(self.model(images), label)["total"]
        return total


class MaMAStep(nn.Module):
    """The loss of a batch of pairs, late losses included; of the pairs of all processes where there are several."""

    def __init__(self) -> None:
        super().__init__()
        self.model = mama_step.make_product(MAMA_SETTING.sizes)
        self.loss = MaMALoss()
        self.batch = mama_step.make_batch(MAMA_SETTING)
        vit = self.model.image_encoder.vit
        images = 2 * MAMA_SETTING.batch * (vit.patch_embed.num_patches + vit.num_prefix_tokens)
        self.tokens = images + int(self.batch["attention_mask"].sum())

    def forward(self) -> Tensor:
        """The weighted loss."""
        embeddings = embed_pairs(self.model, self.batch, self.loss.late_terms)
        scales = {"scale": self.model.scale, "local_scale": self.model.local_scale}
        return self.loss(embeddings, **scales, late=True, gather=True)["total"]


METHODS: dict[str, Callable[[], EarlyInterventionStep | MaMAStep]] = {"EI": EarlyInterventionStep, "MaMA": MaMAStep}


def work(method: str, rank: int | None, port: int, pipe: Connection) -> None:
    """Work in a process of its own: a step whenever asked.

    Args:
        method: Of `METHODS`.
        rank: Of two processes that train together; None: by itself.
        port: Where the two meet.
        pipe: To whoever asks: True for a step, False for the end.
    """
    torch.set_num_threads(1)
    if rank is not None:
        address = f"tcp://127.0.0.1:{port}"
        distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    torch.manual_seed(0)
    made = METHODS[method]()
    model = made if rank is None else DistributedDataParallel(made)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-5)
    pipe.send(made.tokens)
    while pipe.recv():
        optimizer.zero_grad()
        model().backward()
        optimizer.step()
        pipe.send(True)
    if rank is not None:
        distributed.destroy_process_group()


def measure(method: str, repeats: int) -> tuple[int, dict[str, float]]:
    """Tokens of one process's step, and the median seconds of each side; the first turn is not counted."""
    context, port = multiprocessing.get_context("spawn"), _free_port()
    pipes, workers = [], []
    for rank in (None, None, 0, 1):
        ours, theirs = context.Pipe()
        pipes.append(ours)
        workers.append(context.Process(target=work, args=(method, rank, port, theirs)))
        workers[-1].start()
    tokens = [pipe.recv() for pipe in pipes]
    sides = dict(zip(SIDES, (pipes[:1], pipes[:2], pipes[2:]), strict=True))
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(repeats + 1):
        for side, members in sides.items():
            start = time.perf_counter()
            for pipe in members:
                pipe.send(True)
            for pipe in members:
                pipe.recv()
            seconds[side].append(time.perf_counter() - start)
    for pipe in pipes:
        pipe.send(False)
    for worker in workers:
        worker.join()
    return tokens[0], {side: statistics.median(times[1:]) for side, times in seconds.items()}


def report(method: str, tokens: int, seconds: dict[str, float]) -> Iterator[str]:
    """What was measured of a method, in lines."""
    for side in SIDES:
        processes = 1 if side == "one" else 2
        rate = processes * tokens / seconds[side]
        yield f"{method:5} {side:9} {seconds[side]:6.3f} s a step, {rate:7.0f} tokens/s of {processes}"
    ratio = 2 * seconds["one"] / seconds["together"]
    share = 1 - seconds["apart"] / seconds["together"]
    yield f"{method:5} two processes: {ratio:.2f} times the tokens of one; {share:.0%} of their step is communication"


def table(title: str, steps: list[Step]) -> str:
    """A table in Markdown."""
    head = (
        "| GPUs | global batch | work s | gradients, weights ms | rows ms | step s | efficiency | tokens/s | GB a GPU |"
    )
    lines = [f"**{title}**", "", head, "|" + "---:|" * 9]
    for each in steps:
        rate = each.tokens / each.seconds
        efficiency = rate / each.gpus / (steps[0].tokens / steps[0].seconds / steps[0].gpus)
        memory = f"{each.memory / GB:.1f}{', does not fit' if each.memory > Cluster().memory else ''}"
        cells = [
            *(str(each.gpus), str(each.batch), f"{each.compute:.2f}"),
            *(f"{1e3 * each.gradients:.1f}", f"{1e3 * each.exchanged:.1f}", f"{each.seconds:.2f}"),
            *(f"{efficiency:.0%}", f"{rate:,.0f}", memory),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tables() -> str:
    """The tables of docs/scaling.md."""
    ei, mama = EarlyIntervention(), MaMA()
    shared = 288  # the paper's pairs in a step
    fitting = [gpus for gpus in WORLDS if shared % gpus == 0 and gpus <= shared // 2]
    return "\n\n".join(
        [
            table("EI, ddp, 8 cases on each GPU", [step(ei, gpus) for gpus in WORLDS]),
            table("MaMA, ddp, 36 pairs on each GPU", [step(mama, gpus) for gpus in WORLDS]),
            table("MaMA, FSDP2, 36 pairs on each GPU", [step(mama, gpus, sharded=True) for gpus in WORLDS if gpus > 1]),
            table(
                "MaMA, ddp, 288 pairs on all GPUs together",
                [step(mama, gpus, pairs=shared // gpus) for gpus in fitting],
            ),
        ]
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    """Print the tables, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="print the tables of docs/scaling.md; nothing is measured")
    parser.add_argument("--repeats", type=int, default=9, help="counted steps of each side")
    args = parser.parse_args()
    if args.table:
        print(tables())
        return
    print(f"{len(os.sched_getaffinity(0))} cores, a thread a process, torch {torch.__version__}", flush=True)
    for method in METHODS:
        for line in report(method, *measure(method, args.repeats)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
