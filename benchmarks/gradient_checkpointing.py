"""Peak memory and time of a training step of Early Intervention, with and without gradient checkpointing, by adapter.

``python -m benchmarks.gradient_checkpointing`` runs every step in a process of its own and prints, for each adapter,
both peaks (highest resident size less that after the imports), their ratio, and the ratio of the times (the median of
the steps after the first).
"""

import argparse
import multiprocessing
import statistics
import time

import torch
from peft import IA3Config, LoraConfig, PeftConfig

from benchmarks.early_intervention_step import CLASSES, MODALITIES, Setting, make_batch, product_loss, resident
from medlit.models import EarlyInterventionClassifier
from medlit.peft import MoRConfig

ADAPTERS: dict[str, PeftConfig] = {
    "MoR": MoRConfig(),
    "LoRA": LoraConfig(r=14, target_modules=["mlp.fc1", "mlp.fc2"]),
    "DoRA": LoraConfig(r=14, target_modules=["mlp.fc1", "mlp.fc2"], use_dora=True),
    "IA3": IA3Config(target_modules=["attn.qkv", "mlp.fc2"], feedforward_modules=["mlp.fc2"]),
}


def step(adapter: str, setting: Setting, recompute: bool, repeats: int) -> tuple[float, float]:
    """Median seconds of a step, and peak bytes."""
    torch.set_num_threads(setting.threads)
    before = resident("VmRSS")
    model = EarlyInterventionClassifier(
        modalities=MODALITIES,
        num_classes=CLASSES,
        img_size=setting.size,
        backbone=setting.backbone,
        pretrained=False,
        adapter=ADAPTERS[adapter],
        gradient_checkpointing=recompute,
    )
    loss, (images, label) = product_loss(), make_batch(setting)
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        model.zero_grad()
        loss(model(images), label).backward()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), float(resident("VmHWM") - before)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="vit_small_patch16_224", help="timm's name of the vision transformer")
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--batch", type=int, default=8, help="cases in a step")
    parser.add_argument("--repeats", type=int, default=3, help="counted steps")
    parser.add_argument("--threads", type=int, default=2, help="of a process")
    args = parser.parse_args()
    setting = Setting(args.backbone, args.size, args.batch, args.threads)
    print(f"{setting}, torch {torch.__version__}")
    for adapter in ADAPTERS:
        figures = []
        for recompute in (False, True):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                figures.append(pool.apply(step, (adapter, setting, recompute, args.repeats)))
        (plain_time, plain_peak), (time_again, peak) = figures
        print(
            f"{adapter:5} {plain_peak / 1e9:5.2f} GB -> {peak / 1e9:5.2f} GB: "
            f"memory {peak / plain_peak:.2f}, time {time_again / plain_time:.2f} of a step that keeps activations"
        )


if __name__ == "__main__":
    main()
