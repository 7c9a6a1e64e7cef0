"""Asks the command line what it makes of several trainings, in one process: to import it takes longer than to ask.

``python -m medlit.recipes.ask`` reads, as JSON, lists of words behind ``medlit``, and writes for each of them exit
code, standard output and standard error.
"""

import importlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout

from medlit.code_paths import KEY
from medlit.errors import ConfigurationError
from medlit.recipes.guard import SAFE_PATH

HEAD = "# lightning.pytorch=="
"""What a printed configuration begins with."""


def configurations(trainings: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """What ``medlit fit`` makes of the words of trainings, every default filled in, as YAML.

    The command itself is asked, in a process of its own: nothing imports the command line.

    Args:
        trainings: Words behind ``fit``, by the training's title; the title may be empty where there is but one.

    Raises:
        ConfigurationError: With the title of the first training whose configuration is not valid, and what the command
            said.
    """
    questions = json.dumps([["fit", *words, "--print_config"] for words in trainings.values()])
    command = [sys.executable, "-m", "medlit.recipes.ask"]
    environment = {**os.environ, **SAFE_PATH}
    done = subprocess.run(command, input=questions, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    answers = zip(trainings, json.loads(done.stdout), strict=True)
    return {title: _printed(title, *given) for title, given in answers}


def _printed(title: str, code: int, text: str, said: str) -> str:
    """A configuration as it was printed, or the error in its place."""
    if code:
        reason = (said.strip().splitlines() or ["it said nothing"])[-1].removeprefix("medlit: error: ")
        raise ConfigurationError(f"{title}: {reason}" if title else reason)
    config = text[max(0, text.find(HEAD)) :]  # warnings may stand before it
    return re.sub(rf"^{KEY}: .*\n", "", config, flags=re.MULTILINE)  # no file may give that permission


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
