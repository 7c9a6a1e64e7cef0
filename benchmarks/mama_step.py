"""One training step of MaMA: the product against the literal form, in time and in memory.

A step is forward, all four losses, backward and AdamW in float32 on the CPU: two images and a caption per pair, the
image tower trained as a whole, LoRA in the frozen text tower. Run it as ``python -m benchmarks.mama_step``; see
``--help`` for sizes.

How it is measured. First both forms get the same weights, and their losses are compared, without dropout; the gradients
of narrower towers, in float64. Then each form lives in a process of its own, with the same number of threads, and they
take turns: one step each, never at the same time, after one step that is not counted. Time is the median over the
turns. Memory is the highest resident size of the process (``VmHWM`` of Linux) less what it held once everything was
imported: weights, gradients, optimizer state and activations. ``--patch_dropout 0.5`` measures the product with half of
the patches left out as well.
"""

import argparse
import multiprocessing
import os
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection

import torch
from peft import LoraConfig
from torch import Tensor, nn

from benchmarks.early_intervention_step import resident
from benchmarks.literal_mama import LiteralMaMA, Sizes, name_in_product
from data_modules.batch import ImageTextBatch
from medlit.losses import MaMALoss
from medlit.models.mama.model import MaMAModel
from medlit.models.mama.settings import ImageTower, TextTower
from medlit.tasks.pair_embeddings import embed_pairs

BACKBONE = "vit_base_patch14_reg4_dinov2"
TOKENS, SENTENCES = 144, 10
"""Of a caption: the paper's length, and about as many sentences as the structured style has."""
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    """What both sides compute on."""

    sizes: Sizes
    batch: int
    threads: int


def make_product(sizes: Sizes, *, patch_dropout: float = 0.0) -> MaMAModel:
    """The product with random weights; adapters and layer scales are made to act."""
    dropout = sizes.dropout
    image = ImageTower(
        backbone=BACKBONE,
        pretrained=False,
        model_args={"embed_dim": sizes.width, "depth": sizes.depth, "num_heads": sizes.heads},
        patch_dropout=patch_dropout,
    )
    text = TextTower(
        backbone="gpt2",
        pretrained=False,
        model_args={
            **{"n_embd": sizes.text_width, "n_layer": sizes.text_depth, "n_head": sizes.text_heads},
            **{"attn_pdrop": dropout, "embd_pdrop": dropout, "resid_pdrop": dropout},
        },
        adapter=LoraConfig(r=sizes.rank, lora_alpha=sizes.alpha, lora_dropout=dropout, target_modules=["c_attn"]),
    )
    model = MaMAModel(
        img_size=sizes.img_size, num_tokens=sizes.num_tokens, image=image, text=text, embed_dim=sizes.embed_dim
    )
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero at the start
            nn.init.normal_(parameter, std=0.02, generator=generator)
        elif "gamma" in name:  # 1e-5 at the start: the blocks would hardly act
            nn.init.normal_(parameter, mean=1.0, std=0.1, generator=generator)
    return model.train()


def make_batch(setting: Setting) -> ImageTextBatch:
    """Images, and captions of different lengths with different numbers of sentences."""
    generator = torch.Generator().manual_seed(0)
    count, side = setting.batch, setting.sizes.img_size
    images = [torch.rand((count, 3, side, side), generator=generator) for _ in range(2)]
    lengths = [TOKENS - 7 * row for row in range(count)]
    ids = torch.randint(setting.sizes.num_tokens, (count, TOKENS), generator=generator)
    mask = torch.tensor([[1] * length + [0] * (TOKENS - length) for length in lengths])
    positions = torch.full((count, SENTENCES), -1)
    for row, length in enumerate(lengths):
        own = torch.linspace(length // SENTENCES, length - 1, SENTENCES - row % 3).long()
        positions[row, : len(own)] = own
    names = [str(row) for row in range(count)]
    return ImageTextBatch(
        image=images[0],
        second_image=images[1],
        input_ids=ids,
        attention_mask=mask,
        sentence_positions=positions,
        same_breast=torch.ones(count, dtype=torch.bool),
        label=torch.zeros(count, dtype=torch.int64),
        caption=names,
        cut_captions=0,
        case_id=names,
        group_id=names,
        units={"breast": names, "exam": names},
    )


def product_losses(model: MaMAModel, loss: MaMALoss, batch: ImageTextBatch) -> Mapping[str, Tensor]:
    """All terms, and ``total``, as `medlit.tasks.MaMATask` computes them from ``late_start`` on."""
    embeddings = embed_pairs(model, batch, loss.late_terms)
    return loss(embeddings, scale=model.scale, local_scale=model.local_scale, late=True, gather=False)


def loss_difference(setting: Setting) -> float:
    """How far the losses of the two forms are apart with the same weights, relative to themselves."""
    product, literal = make_product(setting.sizes), LiteralMaMA(setting.sizes)
    literal.copy_from(product)
    batch = make_batch(setting)
    with torch.no_grad():
        ours, (theirs, _) = product_losses(product, MaMALoss(), batch), literal(batch)
    return max(abs(float(ours[name] / value - 1)) for name, value in theirs.items())


def gradient_difference(setting: Setting) -> float:
    """How far the gradients are apart, in float64, relative to the largest of their layer.

    In float32 a rounding may send a unit of the heads to the other side of zero, or the largest of many products to
    another patch. The gradient of a bias before BatchNorm is nothing but rounding: hence the layer.
    """
    product, literal = make_product(setting.sizes).double(), LiteralMaMA(setting.sizes).double()
    literal.copy_from(product)
    batch = make_batch(setting)
    batch["image"], batch["second_image"] = batch["image"].double(), batch["second_image"].double()
    product_losses(product, MaMALoss(), batch)["total"].backward()
    torch.stack(list(literal(batch)[0].values())).sum().backward()
    mine = dict(product.named_parameters())
    largest: dict[str, float] = {}
    apart: dict[str, float] = {}
    for name, parameter in literal.named_parameters():
        if parameter.grad is not None:
            layer, counterpart = name.rpartition(".")[0], mine[name_in_product(name)].grad
            largest[layer] = max(largest.get(layer, 0.0), float(parameter.grad.abs().max()))
            apart[layer] = max(apart.get(layer, 0.0), float((parameter.grad - counterpart).abs().max()))
    return max(apart[layer] / largest[layer] for layer in largest)


def make_literal(sizes: Sizes) -> LiteralMaMA:
    """The literal form with random weights, no product in memory."""
    model = LiteralMaMA(sizes)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.02)
    return model


def take_turns(setting: Setting, patch_dropout: float | None, pipe: Connection) -> None:
    """Work in a process of its own: a step whenever asked, its seconds as the answer; at the end the peak memory.

    Args:
        setting: Sizes.
        patch_dropout: Of the product; None is the literal form.
        pipe: To whoever asks: True for a step, False for the memory.
    """
    torch.set_num_threads(setting.threads)
    before = resident("VmRSS")
    literal = patch_dropout is None
    model = make_literal(setting.sizes) if literal else make_product(setting.sizes, patch_dropout=patch_dropout)
    loss, batch = MaMALoss(), make_batch(setting)
    optimizer = torch.optim.AdamW([parameter for parameter in model.parameters() if parameter.requires_grad], lr=4e-5)
    while pipe.recv():
        start = time.perf_counter()
        optimizer.zero_grad()
        if literal:
            losses, maps = model(batch)
            torch.stack(list(losses.values())).sum().backward()
            del losses, maps
        else:
            product_losses(model, loss, batch)["total"].backward()
        optimizer.step()
        pipe.send(time.perf_counter() - start)
    pipe.send(resident("VmHWM") - before)


def measure(setting: Setting, sides: Mapping[str, float | None], repeats: int) -> dict[str, tuple[float, float]]:
    """Median seconds and peak bytes of a step, by side; of each the patch dropout, None for the literal form."""
    context = multiprocessing.get_context("spawn")
    pipes, workers = {}, []
    for side, patch_dropout in sides.items():
        pipes[side], theirs = context.Pipe()
        workers.append(context.Process(target=take_turns, args=(setting, patch_dropout, theirs)))
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
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=6, help="pairs in a step")
    parser.add_argument("--patch_dropout", type=float, help="measure the product with this share of patches left out")
    parser.add_argument("--repeats", type=int, default=5, help="counted steps of each side")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each side")
    parser.add_argument("--vocabulary", type=int, default=28896, help="tokens that the text tower knows")
    args = parser.parse_args()
    setting = Setting(Sizes(img_size=args.size, num_tokens=args.vocabulary), args.batch, args.threads)

    torch.set_num_threads(setting.threads)
    print(f"{setting}, torch {torch.__version__}", flush=True)
    whole = replace(setting.sizes, dropout=0.0)
    small = replace(whole, width=192, depth=3, heads=3, text_width=320, text_heads=5, num_tokens=1000)
    differences = loss_difference(replace(setting, sizes=whole)), gradient_difference(replace(setting, sizes=small))
    print("same weights, no dropout: losses agree to {:.1e}, gradients of narrow towers to {:.1e}".format(*differences))
    if max(differences) > TOLERANCE:
        raise SystemExit(f"the two forms differ by more than {TOLERANCE}: nothing to compare")
    sides: dict[str, float | None] = {"literal": None, "product": 0.0}
    if args.patch_dropout is not None:
        sides["fewer patches"] = args.patch_dropout
    result = measure(setting, sides, args.repeats)
    for side, (seconds, peak) in result.items():
        print(f"{side:13} {seconds:6.2f} s a step (median of {args.repeats}), {peak / 1e9:5.2f} GB at the peak")
    (literal, literal_peak), (product, peak) = result["literal"], result["product"]
    print(f"time: {product / literal:.2f} of the literal form's; memory: {peak / literal_peak:.2f}")
    if "fewer patches" in result:
        print(f"patch dropout {args.patch_dropout:g}: {product / result['fewer patches'][0]:.2f} times as fast")


if __name__ == "__main__":
    main()
