"""What the command line says to several questions, in one process, is what it says in one of its own."""

import json
import subprocess
import sys

import pytest

from medlit import __version__
from medlit.errors import ConfigurationError
from medlit.recipes.ask import HEAD, _printed, answer


def test_each_question_has_code_output_and_errors_of_its_own():
    assert answer(["--version"]) == (0, f"medlit {__version__}\n", "")
    code, out, said = answer(["fot"])
    assert (code, out) == (2, "")
    assert said.startswith("medlit: error: unknown verb 'fot'; did you mean 'fit'?")


def test_questions_and_answers_are_json():
    command = [sys.executable, "-m", "medlit.recipes.ask"]
    done = subprocess.run(
        command, input=json.dumps([["fot"], ["--version"]]), capture_output=True, text=True, check=True
    )
    assert [code for code, _, _ in json.loads(done.stdout)] == [2, 0]


def test_a_configuration_is_what_was_printed_without_warnings_and_without_permission_for_code():
    text = f"a warning\n{HEAD}2.6\nrun_dir: runs/x\nallow_code: true\nresume: false\n"
    assert _printed("", 0, text, "") == f"{HEAD}2.6\nrun_dir: runs/x\nresume: false\n"


@pytest.mark.parametrize(("title", "told"), [("ei, seed 0", "ei, seed 0: no such key"), ("", "no such key")])
def test_what_is_not_valid_is_told_with_the_training(title, told):
    with pytest.raises(ConfigurationError, match=f"^{told}$"):
        _printed(title, 2, "", "a warning\nmedlit: error: no such key\n")
