"""Configurations as ``medlit fit`` parses them: every class, key and value checked, nothing made."""

from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.fuzz.config import mutate, opens
from benchmarks.fuzz.target import Part, Target, mutate_part, part_opens, read_part, seeds_of
from medlit.lightning_cli import MedlitCLI

READERS = ("medlit/config_source.py", "medlit/config_errors.py", "medlit/lightning_cli.py")

SMALL = """seed_everything: 0
data:
  class_path: data_modules.skin.Derm7ptDataModule
  init_args: {root: data/derm7pt, img_size: 32, modalities: [clinic, derm], batch_size: 2}
model:
  class_path: medlit.tasks.EarlyInterventionTask
  init_args:
    prior: {clinic: 1, derm: 0.001}
    model:
      class_path: medlit.models.EarlyInterventionClassifier
      init_args:
        backbone: vit_base_patch16_clip_224
        pretrained: false
        adapter: {class_path: medlit.peft.MoRConfig, init_args: {ranks: [2], alphas: [4]}}
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 1.0e-3}}
trainer: {max_epochs: 1, accelerator: cpu, devices: 1}
"""


class ParsedOnly(MedlitCLI):
    """The command line up to the point where objects would be made."""

    def before_instantiate_classes(self) -> None:
        """Nothing is looked for on the disk."""

    def instantiate_classes(self) -> None:
        """Nothing is made."""

    def _run_subcommand(self, subcommand: str) -> Any:
        """Nothing is run."""


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write inputs to.
    """
    path = folder / "config.yaml"
    parts = [Part(path, SMALL.encode(), partial(read_fit, path), opens)]
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate_part(mutate))


def read_fit(path: Path) -> object:
    """As ``medlit fit --config`` does."""
    return ParsedOnly(["fit", "--config", str(path)]).config
