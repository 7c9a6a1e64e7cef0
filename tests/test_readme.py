"""What the README names is there, its Python runs, and its figures say what its text says."""

import re
import shlex
from pathlib import Path

import pytest

from medlit.cli import LIGHTNING_VERBS
from medlit.commands import VERBS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for kind, text in BLOCKS if kind == "bash" for line in text.splitlines()]


def test_has_commands_and_python_to_check():
    assert len(COMMANDS) >= 8
    assert {kind for kind, _ in BLOCKS} == {"bash", "python"}


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_names_a_verb_or_target_and_shipped_files(words):
    program, verb = words[:2]
    known = {
        "medlit": {*LIGHTNING_VERBS, *VERBS},
        "make": set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)),
    }
    assert verb in known[program]
    configs = [word for word in words if word.startswith("experiments/")]
    assert [name for name in configs if not (ROOT / name).is_file()] == []


def test_every_link_and_shipped_file_exists():
    links = re.findall(r"\]\((?!https?://)([^)]+)\)", README) + re.findall(r"experiments/[\w/]+\.yaml", README)
    assert len(links) >= 5
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_table_of_seeds_shows_what_the_text_says():
    rows = re.findall(r"^\| \d \| (.*) \|$", README, flags=re.MULTILINE)
    assert len(rows) == 5
    for row in rows:
        fused, mean, clinic, derm, swapped = map(float, row.split("|"))
        better = max(clinic, derm)
        assert fused >= 0.88
        assert fused >= better + 0.40
        assert fused >= mean + 0.20
        assert swapped <= better + 0.05


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_python_runs(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    assert "trainable params" in capsys.readouterr().out
