"""Probes Derm7pt's look-alike in a fresh process, on two devices: ``python -m ... TREE FOLDER``.

The training cases are of one class, which the first process alone finds out.
"""

import sys
from dataclasses import replace
from pathlib import Path

from medlit.callbacks import BestCheckpoint
from tests.medlit.tasks.test_probe import data, probe
from tests.medlit.tasks.tiny import trainer


def main(tree: Path, folder: Path) -> None:
    module = data(tree)
    read = module._read_stage

    def alike(needed, *, labelled):
        splits, sources = read(needed, labelled=labelled)
        return {**splits, "train": [replace(case, label=1) for case in splits["train"]]}, sources

    module._read_stage = alike
    runner = trainer(folder, devices=2, strategy="ddp_fork", callbacks=[BestCheckpoint()])
    runner.fit(probe(module), module)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
