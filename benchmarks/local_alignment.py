"""MaMA's local loss, chunk by chunk, in memory and in time, and against the form that holds all products.

``python -m benchmarks.local_alignment`` first measures the product at the paper's batch (256 images of 1,369 patches,
1,500 sentences, 512 channels, float32), then compares it with the unchunked form at a size that the latter can bear:
the same loss and gradients first, then time and memory. See ``--help`` for sizes.

How it is measured. Each measurement lives in a process of its own. Memory is the highest resident size of the process
(``VmHWM`` of Linux) over forward and backward, less what it held just before: torch, inputs; and less the inputs'
gradients. A small step comes before, so that libraries' own buffers are not counted. Where two forms are compared,
their processes take turns, one step each, never at the same time. Time is processor time, of all threads together, the
median over the turns.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.early_intervention_step import resident
from medlit.losses import local_alignment_loss

SCALE = 1 / 0.07  # exp(tau_local) at the start
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    """What both forms compute on."""

    images: int
    patches: int
    sentences: int
    channels: int
    threads: int


def make_inputs(setting: Setting) -> tuple[Tensor, Tensor, Tensor]:
    """Patches (N, P, E), sentences (S, E), both L2-normalised, and owners (S,), text after text, none without."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(setting.images, setting.patches, setting.channels, generator=generator)
    for image in patches:  # in place, a picture at a time: the peak before the step is that of the inputs
        image.copy_(F.normalize(image, dim=-1))
    sentences = F.normalize(torch.randn(setting.sentences, setting.channels, generator=generator), dim=-1)
    others = torch.randint(setting.images, (setting.sentences - setting.images,), generator=generator)
    return (
        patches.requires_grad_(),
        sentences.requires_grad_(),
        torch.cat([torch.arange(setting.images), others]).msort(),
    )


def unchunked_loss(patches: Tensor, sentences: Tensor, owner: Tensor, scale: Tensor) -> Tensor:
    """The symmetric local loss from one (N, S, P) tensor of products, and a maximum for each text."""
    products = torch.einsum("npe,se->nsp", patches, sentences)
    texts = products.split(torch.bincount(owner).tolist(), dim=1)  # of each text (N, its sentences, P)
    text_to_image = torch.stack([text.amax(dim=2).mean(dim=1) for text in texts], dim=1)
    image_to_text = torch.stack([text.amax(dim=1).mean(dim=1) for text in texts], dim=1)
    pairs = torch.arange(len(patches))
    scores = [text_to_image * scale, image_to_text * scale]
    return sum((F.cross_entropy(score, pairs) + F.cross_entropy(score.T, pairs) for score in scores), torch.zeros(()))


FORMS = {"unchunked": unchunked_loss, "product": local_alignment_loss}


def largest_difference(setting: Setting) -> float:
    """How far loss and gradients of the two forms are apart, relative to the largest."""
    found = []
    for form in FORMS.values():
        patches, sentences, owner = make_inputs(setting)
        loss = form(patches, sentences, owner, torch.tensor(SCALE))
        found.append([loss.detach(), *torch.autograd.grad(loss, (patches, sentences))])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*found, strict=True))


def take_turns(form: str, setting: Setting, pipe: Connection) -> None:
    """Work in a process of its own: a step whenever asked, its processor seconds as the answer; then its bytes."""
    torch.set_num_threads(setting.threads)
    step(form, make_inputs(replace(setting, images=2, sentences=2)))
    inputs = make_inputs(setting)
    before = resident("VmRSS")
    while pipe.recv():
        start = time.process_time()
        step(form, inputs)
        pipe.send(time.process_time() - start)
    gradients = sum(tensor.nbytes for tensor in inputs[:2])
    pipe.send(resident("VmHWM") - before - gradients)


def step(form: str, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    """Forward and backward."""
    patches, sentences, owner = inputs
    patches.grad = sentences.grad = None
    FORMS[form](patches, sentences, owner, torch.tensor(SCALE)).backward()


def measure(setting: Setting, forms: list[str], repeats: int) -> dict[str, tuple[float, float]]:
    """Median processor seconds of a step and bytes beyond inputs and their gradients, by form."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    for form in forms:
        pipes[form], theirs = context.Pipe()
        workers.append(context.Process(target=take_turns, args=(form, setting, theirs)))
        workers[-1].start()
    seconds: dict[str, list[float]] = {form: [] for form in forms}
    for _ in range(repeats):
        for form, pipe in pipes.items():
            pipe.send(True)
            seconds[form].append(pipe.recv())
    result = {}
    for form, pipe in pipes.items():
        pipe.send(False)
        result[form] = (statistics.median(seconds[form]), float(pipe.recv()))
    for worker in workers:
        worker.join()
    return result


def main() -> None:
    """Measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256, help="N, pairs of an image and a caption")
    parser.add_argument("--patches", type=int, default=1369, help="P, patches of an image (37 x 37: 518 px by 14)")
    parser.add_argument("--sentences", type=int, default=1500, help="S, sentences of all captions")
    parser.add_argument("--channels", type=int, default=512, help="E")
    parser.add_argument("--compared", type=int, default=96, help="N where both forms are measured; S in proportion")
    parser.add_argument("--repeats", type=int, default=3, help="counted steps")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each process")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    whole = Setting(args.images, args.patches, args.sentences, args.channels, args.threads)
    smaller = replace(whole, images=args.compared, sentences=args.sentences * args.compared // args.images)

    print(f"torch {torch.__version__}\n{whole}", flush=True)
    ((seconds, beyond),) = measure(whole, ["product"], args.repeats).values()
    gigaflops = 3 * 2 * whole.images * whole.patches * whole.sentences * whole.channels / 1e9
    print(f"product   {seconds:6.2f} s a step (median of {args.repeats}), {gigaflops / seconds:.0f} GFLOP/s a core")
    print(f"          {beyond / 1e9:6.2f} GB beyond inputs and their gradients", flush=True)

    difference = largest_difference(smaller)
    print(f"{smaller}\nloss and gradients agree to {difference:.1e}", flush=True)
    if difference > TOLERANCE:
        raise SystemExit(f"the two forms differ by more than {TOLERANCE}: nothing to compare")
    result = measure(smaller, list(FORMS), args.repeats)
    for form, (seconds, beyond) in result.items():
        print(f"{form:9} {seconds:6.2f} s a step (median of {args.repeats}), {beyond / 1e9:5.2f} GB beyond")
    (slow, large), (quick, small) = result["unchunked"], result["product"]
    print(f"time: {slow / quick:.2f} times as fast; memory: {small / large:.2f} of the unchunked form's")


if __name__ == "__main__":
    main()
