"""One process that fuzzes one kind: libFuzzer, by Atheris, chooses inputs by the branches of the readers they reach.

It ends when it has had its inputs, or when one ends it: libFuzzer keeps what crashes, hangs, or takes too much memory.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import atheris

with atheris.instrument_imports(include=["data_modules", "medlit"]):
    import medlit.cli  # noqa: F401  (all that the kinds import is instrumented with them)
    from benchmarks.fuzz import kinds
    from benchmarks.fuzz.judge import MAX_BYTES, Tally, judge, limit_memory, peak_memory, reset_peak

TALLY = "tally.json"
EVERY = 200
"""Inputs after which what was counted is written: what a crash may lose."""
MAX_LENGTH = 1 << 18
STUCK = 60
"""Seconds by the clock on the wall after which an input is given up; how long one computes is judged when it ends."""
BACK_TO_VALID = 0.8
"""How often an input that does not pass its header is replaced by a valid file before it is changed."""


def main() -> None:
    """Fuzz until the inputs are used up."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    corpus = options.out / "corpus"
    corpus.mkdir(exist_ok=True)
    with TemporaryDirectory(prefix="medlit-fuzz-", dir=options.scratch) as scratch:
        with atheris.instrument_imports(include=["data_modules", "medlit"]):
            target = kinds.make(options.kind, Path(scratch))
            for seed in target.seeds:  # what readers import only when they read is instrumented too
                judge(target.read, seed)
        for seed in target.seeds:
            (corpus / hashlib.sha256(seed).hexdigest()[:24]).write_bytes(seed)
        fuzzer = Fuzzer(target, runs=options.runs, out=options.out)
        reset_peak()
        limit_memory()
        atheris.Setup(
            [
                sys.argv[0],
                f"-seed={options.seed}",
                f"-timeout={STUCK}",
                f"-rss_limit_mb={_resident(MAX_BYTES)}",
                f"-max_len={MAX_LENGTH}",
                "-len_control=0",
                f"-artifact_prefix={options.out}/",
                "-verbosity=0",
                str(corpus),
            ],
            fuzzer.one_input,
            custom_mutator=fuzzer.mutate,
        )
        atheris.Fuzz()


class Fuzzer:
    """Counts inputs, and makes new ones.

    Args:
        target: The kind.
        runs: How many inputs.
        out: Where the counts and the failures go.
    """

    def __init__(self, target: Any, *, runs: int, out: Path) -> None:
        self.target, self.runs, self.out = target, runs, out
        self.tally = Tally()
        self.closed: set[bytes] = set()
        """Hashes of inputs that did not pass their header."""

    def one_input(self, data: bytes) -> None:
        """Judge an input."""
        outcome = judge(self.target.read, data)
        opened = self.target.opens(data)
        if not opened:
            self.closed.add(_hash(data))
        self.tally.add(outcome, data, opened=opened)
        if self.tally.inputs % EVERY == 0 or self.tally.inputs >= self.runs:
            self.write()
        if self.tally.inputs >= self.runs:
            os._exit(0)  # libFuzzer has no other way to end at a number that counts its own first inputs

    def mutate(self, data: bytes, max_size: int, seed: int) -> bytes:
        """A new input out of one that reached something new."""
        generator = random.Random(seed)
        if _hash(data) in self.closed and generator.random() < BACK_TO_VALID:
            data = generator.choice(self.target.seeds)
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            data = self.target.mutate(data, generator)
        return data[:max_size]

    def write(self) -> None:
        """Write the counts, the most memory so far, and an input of each failure."""
        self.tally.memory = peak_memory()
        plain = {**vars(self.tally), "failures": []}
        for why, data in self.tally.failures.items():
            name = f"failure-{hashlib.sha256(why.encode()).hexdigest()[:12]}"
            (self.out / name).write_bytes(data)
            plain["failures"].append({"why": why, "file": name})
        temporary = self.out / f".{TALLY}"
        temporary.write_text(json.dumps(plain))
        temporary.replace(self.out / TALLY)


def _hash(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:8]


def _resident(more: int) -> int:
    """Megabytes that may be resident: what is now, and two gigabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (pages * os.sysconf("SC_PAGE_SIZE") + more) >> 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz.worker", description=__doc__)
    parser.add_argument("--kind", choices=list(kinds.KINDS), required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of this worker: corpus, counts, failures")
    parser.add_argument("--scratch", default="/dev/shm" if os.path.isdir("/dev/shm") else None)
    return parser


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
