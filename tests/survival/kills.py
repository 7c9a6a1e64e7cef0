"""Kill a run after any of its steps, go on, and compare: ``python -m tests.survival.kills ei ROOT --steps 1 2 3``.

Prints a line of JSON a kill. Without ``--steps`` it sweeps over all of them, which takes about ten minutes a kind.
"""

import argparse
import json
import os
import signal
import tempfile
from pathlib import Path

from torch.optim.optimizer import register_optimizer_step_post_hook

from tests.survival.runs import STEPS, WITHIN, ending, fit, same, words_of


def at_step(step, happen):
    """Let something happen in this process, once, when the optimizer has made so many steps from now on."""
    made = 0

    def count(optimizer, args, kwargs):
        nonlocal made
        made += 1
        if made == step:
            happen()

    register_optimizer_step_post_hook(count)


def kill_after(step):
    """Let this process be killed, as by ``kill -9``."""
    at_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL))


def killed_and_resumed(kind, root, folder, step, expected):
    """One run, killed after a step and gone on with; what the log and the comparison say of it."""
    run_dir, out = folder / f"run_{step}", folder / f"log_{step}.txt"
    words = [*words_of(kind, root, run_dir), "--resume", "true"]
    killed = fit(words, out, before=lambda: kill_after(step))
    resumed = fit(words, out)
    found = WITHIN.search(out.read_text())
    return {
        "kind": kind,
        "step": step,
        "killed": killed,
        "resumed": resumed,
        "from_step": int(found[3]) if found else 0,
        "redone": step - (int(found[3]) if found else 0),
        "same": resumed == 0 and same(ending(run_dir), expected),
        "log": "" if resumed == 0 else out.read_text()[-2000:],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["ei", "mama"])
    parser.add_argument("root")
    parser.add_argument("--steps", type=int, nargs="*", default=range(1, STEPS + 1))
    parser.add_argument("--unbroken", metavar="ROOT", help="the same data otherwise, for the run that is compared with")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        words = words_of(options.kind, options.unbroken or options.root, folder / "whole")
        code = fit(words, folder / "whole.txt")
        if code != 0:
            raise SystemExit((folder / "whole.txt").read_text())
        expected = ending(folder / "whole")
        for step in options.steps:
            print(json.dumps(killed_and_resumed(options.kind, options.root, folder, step, expected)), flush=True)


if __name__ == "__main__":
    main()
