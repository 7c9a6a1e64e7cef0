"""Runs one command, and ends it with all its processes when whoever started the guard is gone.

``python -m medlit.recipes.guard COMMAND ...`` as the leader of a session, with a pipe as standard input that is held
open and never written to: it ends with the holder, however that ends, a ``kill -9`` included.
"""

import os
import select
import signal
import subprocess
import sys

SECONDS_BETWEEN_LOOKS = 0.1

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""For the environment of processes that ``python -m`` starts: no file of the working folder is taken for a module."""


def main(command: list[str]) -> int:
    """Run a command.

    Args:
        command: Program and arguments.

    Returns:
        Its exit code; 128 and the signal's number where a signal ended it.
    """
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    while child.poll() is None:
        if select.select([sys.stdin], [], [], SECONDS_BETWEEN_LOOKS)[0]:  # the pipe's other end is closed
            os.killpg(os.getpgrp(), signal.SIGKILL)  # this process too
    code = child.returncode
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
