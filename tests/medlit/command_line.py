"""Runs the installed script, as a user would."""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
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
    [done] = _carry_out(module, words, cwd, [{}])
    return done


def warm_ranks(
    number: int, module: str, *words: object, cwd: Path | None = None
) -> list[subprocess.CompletedProcess[str]]:
    """The same in several processes that find each other by what ``torchrun`` gives them; not ended if one fails."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "warm", "GROUP_RANK": "0"}
    shared |= {"WORLD_SIZE": str(number), "LOCAL_WORLD_SIZE": str(number)}
    ranks = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(number)]
    return _carry_out(module, words, cwd, ranks)


def _carry_out(
    module: str, words: Sequence[object], cwd: Path | None, environments: list[dict[str, str]]
) -> list[subprocess.CompletedProcess[str]]:
    """A process for each environment, which is added to that of this process."""
    server = _warm_server()
    given = {"module": module, "words": [*map(str, words)], "cwd": str(cwd or Path.cwd())}
    with tempfile.TemporaryDirectory() as folder:
        files = [
            {name: str(Path(folder, f"{name}{rank}")) for name in ("out", "err")} for rank in range(len(environments))
        ]
        asked = [
            {**given, "environment": {**os.environ, **own}, **file}
            for own, file in zip(environments, files, strict=True)
        ]
        server.stdin.write(json.dumps(asked) + "\n")
        server.stdin.flush()
        codes = json.loads(server.stdout.readline())
        return [
            subprocess.CompletedProcess(given["words"], code, *(Path(path).read_text() for path in file.values()))
            for code, file in zip(codes, files, strict=True)
        ]


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
