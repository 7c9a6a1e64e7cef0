"""Trainings in two processes, of which the second gets a signal: ``python -m ... FOLDER`` in each of them.

Each writes the exit code and the step with which both of its trainings were stopped, and compares what goes on from
there with the unbroken training.
"""

import json
import os
import sys
from pathlib import Path

import torch

from tests.medlit.tasks.stopped import assert_same_end, fit

STOPS = {"training": 1, "validation": 2}
"""Step by place; of 13 cases an epoch has two."""
SETTINGS = {"max_epochs": 2, "devices": 2, "strategy": "ddp"}


def main() -> None:
    torch.set_num_threads(1)
    folder, rank = Path(sys.argv[1]), int(os.environ["RANK"])
    whole, stopped = fit(folder / "whole", **SETTINGS), {}
    for where, step in STOPS.items():
        first = fit(folder / where, where=where if rank == 1 else None, step=step, **SETTINGS)
        stopped[where] = [first[3].code, first[1].global_step]
        assert_same_end(whole, first, fit(folder / where, resume=True, **SETTINGS))
    (folder / f"stopped{rank}.json").write_text(json.dumps(stopped))


if __name__ == "__main__":
    main()
