"""What goes wrong around a training, and going on after it: ``python -m tests.survival.disasters ROOT DISK``.

ROOT holds a look-alike of Derm7pt, DISK is a mounted tmpfs of 3 MiB. Prints a line of JSON a disaster.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from tests.survival.kills import at_step, kill_after
from tests.survival.runs import WITHIN, ending, fit, same, words_of

AT = 12
"""The step after which it happens: within the second epoch, behind the checkpoint of its first."""
TWO_DAYS = 2 * 24 * 3600


def kill_a_worker():
    """As the kernel does where memory runs out."""
    workers = [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())]
    workers[0].send_signal(signal.SIGKILL)


def set_clock_back():
    now = time.time
    time.time = lambda: now() - TWO_DAYS


def make_files_of_the_future(folder):
    """What a run wrote before its machine's clock was set back."""
    later = time.time() + TWO_DAYS
    for path in folder.rglob("*"):
        os.utime(path, (later, later))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("disk", type=Path)
    options = parser.parse_args()
    root, disk = options.root, options.disk
    gone = root.with_name("gone")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if fit(words_of("ei", root, folder / "whole"), folder / "whole.txt") != 0:
            raise SystemExit((folder / "whole.txt").read_text())
        expected = ending(folder / "whole")

        def tell(name, run_dir, *more, before=None, between=lambda: None):
            words = [*words_of("ei", root, run_dir), "--trainer.logger", "true", "--resume", "true", *more]
            out, again = folder / f"{name}.txt", folder / f"{name}_again.txt"
            code = fit(words, out, before=before)
            between()
            resumed = fit(words, again)
            text = out.read_text()
            found = WITHIN.search(again.read_text())
            row = {"disaster": name, "code": code, "resumed": resumed, "from_step": int(found[3]) if found else 0}
            row |= {"errors": [line for line in text.splitlines() if line.startswith("medlit: ")]}
            row |= {"traceback": "Traceback" in text, "same": resumed == 0 and same(ending(run_dir), expected)}
            print(json.dumps(row), flush=True)
            if resumed:
                print(again.read_text()[-3000:])

        def make_room():
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)

        tell("full disk", disk / "run", between=make_room)
        tell(
            "data gone",
            folder / "data_gone",
            before=lambda: at_step(AT, lambda: root.rename(gone)),
            between=lambda: gone.rename(root),
        )
        tell(
            "worker killed",
            folder / "worker_killed",
            *("--data.init_args.num_workers", "1"),
            before=lambda: at_step(AT, kill_a_worker),
        )
        tell("clock set back", folder / "clock", before=lambda: at_step(AT, set_clock_back))
        future = folder / "future"
        tell(
            "files of the future",
            future,
            before=lambda: kill_after(AT),
            between=lambda: make_files_of_the_future(future),
        )
    shutil.rmtree(disk / "run")


if __name__ == "__main__":
    main()
