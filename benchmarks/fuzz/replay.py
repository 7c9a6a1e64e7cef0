"""Reads every input of a corpus once, to count branches, or one: ``python -m benchmarks.fuzz.replay KIND PATH``."""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.fuzz.judge import judge
from benchmarks.fuzz.kinds import make


def main(kind: str, corpus: Path) -> None:
    """Read them.

    Args:
        kind: Of ``KINDS``.
        corpus: A folder of inputs, or one input, whose outcome is printed.
    """
    with TemporaryDirectory() as folder:
        target = make(kind, Path(folder))
        for path in sorted(corpus.iterdir()) if corpus.is_dir() else [corpus]:
            outcome = judge(target.read, path.read_bytes())
            if not corpus.is_dir():
                print(outcome)
        if corpus.is_dir():
            (corpus.parent / "readers.json").write_text(json.dumps(target.readers))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
