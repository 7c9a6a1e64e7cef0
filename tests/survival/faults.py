"""Stop the writing of a checkpoint at each of its writes, fsyncs and renames.

``python -m tests.survival.faults ei ROOT``: a run comes to the checkpoint of a step. There the process forks for every
operation of the writing: the copy is killed before it, killed in the middle of it (half of the bytes are written), or
gets an error of the system. What each leaves is looked at as ``--resume true`` does; training goes on once from every
file that was chosen so, and has to end as the unbroken run. Prints JSON: a line a fault, one a file at the end.
"""

import argparse
import errno
import hashlib
import json
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

import torch

from medlit import seal
from medlit.callbacks import BestCheckpoint
from medlit.errors import CheckpointNotWrittenError
from medlit.resume import find_newest
from tests.survival.runs import ending, fit, same, words_of

AT_STEP = {"ei": 25, "mama": 23}
"""Whose checkpoint is stopped, 7 steps behind the end of an epoch: there is a last, a previous, a best one."""
FAULTS = ("killed before", "killed midway", "no space")


class FullDisk:
    """Where nothing can be written."""

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Operations:
    """Counts writes, fsyncs and renames, and stops one of them.

    Args:
        number: Of the operation that is stopped, from 0; None: none is.
        fault: One of FAULTS.
    """

    def __init__(self, number=None, fault=None):
        self.number, self.fault, self.names = number, fault, []

    def __enter__(self):
        self.kept = os.fsync, os.replace, seal.HashingFile.write
        real_fsync, real_replace, real_write = self.kept

        def write(file, data):
            if self.is_next() and self.fault == "no space":
                file._file = FullDisk()
            else:
                half = bytes(data)[: len(data) // 2]
                self.pass_or_stop("write", lambda: (file._file.write(half), file._file.flush()))
            return real_write(file, data)

        def fsync(descriptor):
            self.pass_or_stop("fsync")
            return real_fsync(descriptor)

        def replace(source, target):
            self.pass_or_stop("rename")
            return real_replace(source, target)

        os.fsync, os.replace, seal.HashingFile.write = fsync, replace, write
        return self

    def __exit__(self, *_):
        os.fsync, os.replace, seal.HashingFile.write = self.kept

    def is_next(self):
        return len(self.names) == self.number

    def pass_or_stop(self, name, half=lambda: None):
        stop = self.is_next()
        self.names.append(name)
        if not stop:
            return
        if self.fault == "no space":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.fault == "killed midway":
            half()
        os.kill(os.getpid(), signal.SIGKILL)


def stopped_at_each(trainer, path, results, *, share, draw):
    """In the training process, at the checkpoint: fork for each operation and fault, and look at what it left."""
    folder = Path(path).parent
    before = folder.with_name("before")
    shutil.copytree(folder, before)
    with Operations() as counted:
        trainer.save_checkpoint(path)
    complete = digest(Path(path))
    writes, others = [], []
    for number, name in enumerate(counted.names):
        (writes if name == "write" else others).extend((number, fault) for fault in FAULTS)
    drawn = random.Random(draw).sample(writes, round(share * len(writes)))
    for number, fault in sorted([*drawn, *others]):
        restore(before, folder)
        child = os.fork()
        if not child:
            told = False
            with Operations(number, fault):
                try:
                    trainer.save_checkpoint(path)
                except CheckpointNotWrittenError as error:
                    told = "No space left on device" in str(error) and "--resume true" in str(error)
            os._exit(3 if told else 4)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = find_newest(folder.parent)
        row = {"operation": counted.names[number], "number": number, "of": len(counted.names), "fault": fault}
        row |= {"code": code, "chosen": found.checkpoint.name, "sha256": digest(found.checkpoint), "complete": complete}
        row |= {"damaged": [damaged.name for damaged in found.damaged]}
        row["step"] = step_of(found.checkpoint, row["sha256"])
        kept = results.parent / row["sha256"]
        if not kept.exists():
            shutil.copytree(folder, kept)
        with results.open("a") as file:
            file.write(json.dumps(row) + "\n")
    os._exit(0)


STEPS_KNOWN = {}


def step_of(path, digest):
    """The step of a checkpoint; read once of each content."""
    if digest not in STEPS_KNOWN:
        STEPS_KNOWN[digest] = torch.load(path, weights_only=True)["global_step"]
    return STEPS_KNOWN[digest]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def restore(source, target):
    shutil.rmtree(target)
    shutil.copytree(source, target)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["ei", "mama"])
    parser.add_argument("root", type=Path)
    parser.add_argument("--share", type=float, default=1.0, help="of all faults of writes")
    parser.add_argument("--draw", type=int, default=0, help="which share")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run_dir, results = folder / "run", folder / "results.jsonl"

        def before():
            keep = BestCheckpoint._keep_last

            def keep_or_stop(callback, trainer):
                if trainer.global_step == AT_STEP[options.kind]:
                    last = str(Path(callback.dirpath) / "last.ckpt")
                    stopped_at_each(trainer, last, results, share=options.share, draw=options.draw)
                keep(callback, trainer)

            BestCheckpoint._keep_last = keep_or_stop

        words = words_of(options.kind, options.root, run_dir)
        if fit(words_of(options.kind, options.root, folder / "whole"), folder / "whole.txt") != 0:
            raise SystemExit((folder / "whole.txt").read_text())
        code = fit(words, folder / "log.txt", before=before)
        if code != 0 or not results.exists():
            raise SystemExit((folder / "log.txt").read_text())
        print(results.read_text(), end="")
        expected = ending(folder / "whole")
        for kept in sorted(path for path in folder.iterdir() if len(path.name) == 64):
            restore(kept, run_dir / "checkpoints")
            code = fit([*words, "--resume", "true"], folder / f"{kept.name}.txt")
            ended = {"resumed": kept.name, "code": code, "same": code == 0 and same(ending(run_dir), expected)}
            print(json.dumps(ended), flush=True)


if __name__ == "__main__":
    main()
