"""One training step of Early Intervention: the product against the literal form, in time and in memory.

A step is forward, loss, backward and SGD over two modalities in float32 on the CPU. Run it as
``python -m benchmarks.early_intervention_step``; see ``--help`` for sizes.

How it is measured. First both forms get the same weights, and their logits, gate, loss and gradients are compared.
Then each form lives in a process of its own, with the same number of threads, and the two take turns: one step each,
never at the same time, after one step that is not counted. Time is the median over the turns. Memory is the highest
resident size of the process (``VmHWM`` of Linux) less what it held once everything was imported: weights, gradients,
optimizer state and activations.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.literal_early_intervention import LiteralEarlyIntervention, literal_loss
from medlit.losses import EarlyInterventionLoss
from medlit.models import EarlyInterventionClassifier
from medlit.peft import MoRConfig

MODALITIES = ["clinic", "derm"]
CLASSES = 5
PRIOR = (1.0, 0.001)
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    """What both sides compute on."""

    backbone: str
    size: int
    batch: int
    threads: int


def make_product(setting: Setting, **model_args: int) -> EarlyInterventionClassifier:
    """The product with random weights."""
    return EarlyInterventionClassifier(
        modalities=MODALITIES,
        num_classes=CLASSES,
        img_size=setting.size,
        backbone=setting.backbone,
        pretrained=False,
        model_args=model_args,
        adapter=MoRConfig(),
    )


def make_literal(setting: Setting, **model_args: int) -> LiteralEarlyIntervention:
    """The literal form with random weights."""
    return LiteralEarlyIntervention(
        setting.backbone,
        modalities=MODALITIES,
        num_classes=CLASSES,
        size=setting.size,
        config=MoRConfig(),
        **model_args,
    )


def make_batch(setting: Setting) -> tuple[dict[str, Tensor], Tensor]:
    """Images (B, 1, 3, H, W) per modality and labels (B,)."""
    generator = torch.Generator().manual_seed(0)
    shape = (setting.batch, 1, 3, setting.size, setting.size)
    images = {name: torch.rand(shape, generator=generator) for name in MODALITIES}
    return images, torch.randint(CLASSES, (setting.batch,), generator=generator)


def product_loss() -> Callable[..., Tensor]:
    """The product's loss as a scalar."""
    loss = EarlyInterventionLoss(prior=PRIOR)
    return lambda output, label: loss(output, label)["total"]


def largest_difference(setting: Setting, **model_args: int) -> float:
    """How far the two forms are apart with the same weights: outputs, loss and gradients, relative to the largest."""
    product, literal = make_product(setting, **model_args), make_literal(setting, **model_args)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in product.named_parameters():
        if "mor_B" in name:  # zero at the start: the adapters would not act
            nn.init.normal_(parameter, std=0.02, generator=generator)
    literal.copy_from(product)
    batch = make_batch(setting)
    routers = (
        product.backbone.passes["auxiliary_clinic"].vit.blocks[0].mlp.fc1.mor_router["default"],
        literal.auxiliary["clinic"].blocks[0].mlp.fc1.router,
    )
    ours = _outputs_and_gradients(product, product_loss(), routers[0], batch)
    theirs = _outputs_and_gradients(literal, partial(literal_loss, prior=PRIOR), routers[1], batch)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


def _outputs_and_gradients(
    model: nn.Module, loss: Callable[..., Tensor], router: nn.Linear, batch: tuple[dict[str, Tensor], Tensor]
) -> list[Tensor]:
    """Logits, gate, loss, and the gradients of a projector and of the first router, which all main losses reach."""
    images, label = batch
    output = model(images)
    total = loss(output, label)
    total.backward()
    logits = [output.fused, *output.auxiliary.values(), *output.main.values(), output.gate, total]
    return [
        *(value.detach() for value in logits),
        model.projectors["derm"]["clinic"][1].weight.grad,
        router.weight.grad,
    ]


def resident(key: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (highest so far) of this process, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def take_turns(side: str, setting: Setting, pipe: Connection) -> None:
    """Work in a process of its own: a step whenever asked, its seconds as the answer; at the end the peak memory."""
    torch.set_num_threads(setting.threads)
    before = resident("VmRSS")
    model: nn.Module = make_product(setting) if side == "product" else make_literal(setting)
    loss = product_loss() if side == "product" else partial(literal_loss, prior=PRIOR)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1e-3, momentum=0.95, weight_decay=1e-4)
    images, label = make_batch(setting)
    while pipe.recv():
        start = time.perf_counter()
        optimizer.zero_grad()
        loss(model(images), label).backward()
        optimizer.step()
        pipe.send(time.perf_counter() - start)
    pipe.send(resident("VmHWM") - before)


def measure(setting: Setting, repeats: int) -> dict[str, tuple[float, float]]:
    """Median seconds and peak bytes of a step, by side."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    for side in ("literal", "product"):
        pipes[side], theirs = context.Pipe()
        workers.append(context.Process(target=take_turns, args=(side, setting, theirs)))
        workers[-1].start()
    seconds: dict[str, list[float]] = {side: [] for side in pipes}
    for _ in range(repeats + 1):
        for side, pipe in pipes.items():
            pipe.send(True)
            seconds[side].append(pipe.recv())
    result = {}
    for side, pipe in pipes.items():
        pipe.send(False)
        result[side] = (statistics.median(seconds[side][1:]), float(pipe.recv()))
    for worker in workers:
        worker.join()
    return result


def main() -> None:
    """Compare, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_base_patch16_224", help="timm's name of the vision transformer")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=4, help="cases in a step")
    parser.add_argument("--repeats", type=int, default=7, help="counted steps of each side")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each side")
    args = parser.parse_args()
    setting = Setting(args.backbone, args.size, args.batch, args.threads)

    torch.set_num_threads(setting.threads)
    difference = largest_difference(setting)
    print(f"{setting}, torch {torch.__version__}", flush=True)
    print(f"same weights: outputs, loss and gradients agree to {difference:.1e}", flush=True)
    if difference > TOLERANCE:
        raise SystemExit(f"the two forms differ by more than {TOLERANCE}: nothing to compare")
    result = measure(setting, args.repeats)
    for side, (seconds, peak) in result.items():
        print(f"{side:8} {seconds:6.2f} s a step (median of {args.repeats}), {peak / 1e9:5.2f} GB at the peak")
    time_ratio = result["literal"][0] / result["product"][0]
    memory_ratio = result["product"][1] / result["literal"][1]
    print(f"time: {time_ratio:.2f} times as fast; memory: {memory_ratio:.2f} of the literal form's")


if __name__ == "__main__":
    main()
