"""Runs the installed script, as a user would."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("medlit")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = EXPERIMENTS / "overlays" / "tiny.yaml"


def medlit(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Carry out ``medlit WORDS``."""
    return subprocess.run(
        [str(SCRIPT), *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False, timeout=500
    )


def warm(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The same, in a fork of a process in which Lightning is imported already."""
    return warm_module("medlit.cli", SCRIPT, *words, cwd=cwd)


def warm_module(module: str, *words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Call a module's ``main`` there; the words are its ``sys.argv``, the script's name first."""
    server = _warm_server()
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        asked = {"module": module, "words": [*map(str, words)], "cwd": str(cwd or Path.cwd())}
        asked |= {"environment": {**os.environ}, "out": str(out), "err": str(err)}
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        return subprocess.CompletedProcess(asked["words"], code, out.read_text(), err.read_text())


def warm_run(words: list[str]) -> int:
    """In the place of `medlit.commands.demo.run_medlit`: the same command in a fork, what it printed where it fails."""
    done = warm(*words)
    if done.returncode:
        print(done.stdout, done.stderr)
    return done.returncode


@functools.cache
def _warm_server() -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-m", "tests.medlit.warm"]
    server = subprocess.Popen(command, cwd=EXPERIMENTS.parent, env={**os.environ}, **pipes)

    @atexit.register
    def end() -> None:
        server.stdin.close()
        server.wait()
        server.stdout.close()

    return server


def tiny(root: Path, run_dir: Path, *, experiment: str = "ei_derm7pt") -> list[object]:
    """Options of a shipped experiment, shrunk to a CPU, on the data below ``root``."""
    return [
        *("--config", EXPERIMENTS / f"{experiment}.yaml", "--config", TINY),
        *("--data.root", root, "--run_dir", run_dir, "--trainer.enable_progress_bar", "false"),
    ]
