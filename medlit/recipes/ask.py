"""Asks the command line what it makes of several trainings, in one process: to import it takes longer than to ask.

``python -m medlit.recipes.ask`` reads, as JSON, lists of words behind ``medlit``, and writes for each of them exit
code, standard output and standard error.
"""

import importlib
import io
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout


def main() -> int:
    """Answer everything that standard input asks.

    Returns:
        0, whatever the command line said.
    """
    print(json.dumps([answer(words) for words in json.load(sys.stdin)]))
    return 0


def answer(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``medlit`` with some words."""
    out, said = io.StringIO(), io.StringIO()
    command_line = importlib.import_module("medlit.cli")  # by name: it imports this package, never the reverse
    with redirect_stdout(out), redirect_stderr(said):
        code: int = command_line.main(list(words))
    return code, out.getvalue(), said.getvalue()


if __name__ == "__main__":
    sys.exit(main())
