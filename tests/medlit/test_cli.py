"""The front of the command line: quick answers, exit codes, one line of error."""

import gc
import os
import statistics
import subprocess
import sys
import time

import pytest

from data_modules.errors import TableError, UnreadableImageError
from medlit import __version__, cli
from medlit.cli import LIGHTNING_VERBS, main, one_line
from medlit.commands import VERBS
from tests.medlit.command_line import SCRIPT, medlit


def test_help_lists_every_verb(capsys):
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for verb in [*LIGHTNING_VERBS, *VERBS]:
        assert f"\n  {verb} " in told


def test_no_words_print_the_help(capsys):
    assert main([]) == 0
    assert "usage: medlit VERB" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"medlit {__version__}\n"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("fti", "unknown verb 'fti'; did you mean 'fit'?"),
        ("exprot", "unknown verb 'exprot'; did you mean 'export'?"),
        ("xyzzy", "unknown verb 'xyzzy'; medlit --help lists the verbs"),
        ("--config", "the verb comes before its options: medlit VERB --config ...; medlit --help lists the verbs"),
    ],
)
def test_what_is_no_verb_is_answered_with_the_nearest(capsys, word, expected):
    assert main([word]) == 2
    assert capsys.readouterr().err == f"medlit: error: {expected}\n"


def test_help_answers_in_less_than_four_tenths_of_a_second():
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([str(SCRIPT), "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.4


@pytest.mark.parametrize("word", ["--help", "--version", "fti"])
def test_the_front_does_not_import_torch(word):
    code = f"import sys; from medlit.cli import main; main([{word!r}]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_own_verb_has_its_module():
    for verb, (module, line) in VERBS.items():
        assert module == f"medlit.commands.{verb}"
        assert line


def test_an_error_of_several_lines_becomes_one():
    assert one_line(TableError("meta.csv:\n  no column 'derm'")) == "meta.csv: no column 'derm'"
    assert one_line(TableError()) == "TableError"


def test_of_a_loaders_worker_only_its_own_words_remain():
    text = (
        "Caught UnreadableImageError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
        '  File "x.py", line 1\ndata_modules.errors.UnreadableImageError: a.jpg: no picture: line 5'
    )
    assert one_line(UnreadableImageError(text)) == "a.jpg: no picture: line 5"


@pytest.mark.slow
def test_a_typo_is_one_line_on_standard_error(tmp_path):
    (tmp_path / "x.yaml").write_text("trainer:\n  max_epoch: 3\n")
    done = medlit("fit", "--config", "x.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "medlit: error: x.yaml:2: unknown key 'trainer.max_epoch'; did you mean 'max_epochs'?\n"


@pytest.mark.slow
def test_every_verb_explains_itself(tmp_path):
    done = medlit("fit", "--help", cwd=tmp_path)
    assert done.returncode == 0
    for option in ("--config", "--run_dir", "--seed_everything", "--trainer.max_epochs", "--overwrite", "--ckpt_path"):
        assert option in done.stdout
    for verb in VERBS:
        assert medlit(verb, "--help", cwd=tmp_path).returncode == 0


def test_a_reader_that_has_read_enough_is_no_error(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        words = ["data", "synth", "derm7pt", "--root", str(tmp_path / "set"), "--cases", "10"]
        told = subprocess.run([str(SCRIPT), *words], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (told.returncode, told.stderr) == (141, b"")


def test_standard_output_may_be_closed(tmp_path):
    words = ["data", "synth", "derm7pt", "--root", tmp_path / "set", "--cases", "10", "--img_size", "32"]
    command = ["sh", "-c", 'exec "$@" >&-', "sh", SCRIPT, *words]
    done = subprocess.run(list(map(str, command)), stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "set/meta/meta.csv").is_file()


def test_garbage_is_collected_again_also_where_an_import_fails(monkeypatch):
    def refuse(name):
        raise ImportError(name)

    monkeypatch.delitem(sys.modules, "medlit.lightning_cli", raising=False)
    monkeypatch.setattr(cli.importlib, "import_module", refuse)
    with pytest.raises(ImportError, match="lightning_cli"):
        cli.import_all_that_trains()
    assert gc.isenabled()
