"""What the command line says to several questions, in one process, is what it says in one of its own."""

import json
import subprocess
import sys

from medlit import __version__
from medlit.recipes.ask import answer


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
