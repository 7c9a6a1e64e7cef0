"""Asks the command line what it makes of several trainings, in one process: to import it takes longer than to ask.

``python -m medlit.recipes.ask`` reads, as JSON, lists of words behind ``medlit``, and writes for each of them exit
code, standard output and standard error.
"""

import io
import json
import runpy
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
    """Exit code, standard output and standard error of ``medlit`` with some words, run here as it is from a shell."""
    out, said, given = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["medlit", *words]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(said):
            runpy.run_module("medlit.cli", run_name="__main__")  # by name: nothing imports the command line
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = given
    return code, out.getvalue(), said.getvalue()


if __name__ == "__main__":
    sys.exit(main())
