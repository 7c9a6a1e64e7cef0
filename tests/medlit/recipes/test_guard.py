"""The guard: its command's exit code, and no process left when its holder is gone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest


def guard(*command: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "medlit.recipes.guard", *command]
    return subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
def test_passes_the_exit_code_on(script, code):
    process = guard("sh", "-c", script)
    assert process.wait(timeout=30) == code
    process.stdin.close()


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ends_children_of_children_when_the_pipe_is_closed(tmp_path):
    note = tmp_path / "id"
    process = guard("sh", "-c", f"sleep 300 & echo $! > {note}.new; mv {note}.new {note}; wait")
    while not note.exists():
        assert process.poll() is None
        time.sleep(0.01)
    grandchild = int(note.read_text())
    assert is_alive(grandchild)
    process.stdin.close()
    assert process.wait(timeout=30) < 0
    give_up = time.monotonic() + 5
    while is_alive(grandchild):
        assert time.monotonic() < give_up
        time.sleep(0.01)
