"""Probes Derm7pt's look-alike in a fresh process, on one device or two: ``python -m ... TREE FOLDER DEVICES``.

With ``one_class`` as fourth word the training cases are of one class, which the first process alone finds out.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from lightning.pytorch import Callback

from medlit.callbacks import BestCheckpoint
from tests.medlit.tasks.test_probe import data, probe
from tests.medlit.tasks.tiny import trainer


class Told(Callback):
    """Writes down what came of the test, in the process that knows it."""

    def on_test_end(self, runner, task):
        if not runner.is_global_zero:
            return
        results = task.case_results
        said = {head: logits.tolist() for head, logits in results.logits.items()}
        said |= {"case_id": results.case_id, "weight": task.model.head.weight.tolist(), "l2": task.l2_chosen}
        said["figures"] = {name: float(value) for name, value in runner.callback_metrics.items()}
        Path(runner.default_root_dir, "said.json").write_text(json.dumps(said))


def main(tree: Path, folder: Path, devices: int, *, one_class: bool) -> None:
    settings = {
        "devices": devices,
        "strategy": "auto" if devices == 1 else "ddp_fork",
        "callbacks": [BestCheckpoint(), Told()],
    }
    module = data(tree)
    task = probe(module)
    if one_class:
        read = module._read_stage

        def alike(needed, *, labelled):
            splits, sources = read(needed, labelled=labelled)
            return {**splits, "train": [replace(case, label=1) for case in splits["train"]]}, sources

        module._read_stage = alike
    runner = trainer(folder, **settings)
    runner.fit(task, module)
    runner.test(task, module, ckpt_path=str(folder / "checkpoints/best.ckpt"), weights_only=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), one_class="one_class" in sys.argv)
