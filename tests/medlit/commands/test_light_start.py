"""``medlit data`` starts without what takes seconds to import: it has nothing to train."""

import importlib
import subprocess
import sys

import pytest

from medlit.commands import data, prepare

HEAVY = ["torch", "lightning", "albumentations", "transformers"]
MAMMOGRAPHY = list(prepare.TABLES)


def run(*statements: str) -> str:
    """What the statements print in a fresh process; nothing in this one has been imported there."""
    last = f"import sys; print([name for name in {HEAVY} if name in sys.modules])"
    words = [sys.executable, "-c", "\n".join([*statements, last])]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("names", [["derm7pt"], ["mmc_amd"], ["mrnet"], MAMMOGRAPHY], ids=" ".join)
def test_look_alikes_are_written_and_checked_without_them(names, tmp_path):
    statements = ["from medlit.commands import data"]
    for name in names:
        root = str(tmp_path / name)
        synth = ["synth", name, "--root", root, "--cases", "10", "--img_size", "64"]
        statements += [f"data.main({synth})", f"data.main({['check', name, '--root', root]})"]
    assert run(*statements) == "[]"


def test_every_set_is_among_them():
    assert set(data.SETS) == {"derm7pt", "mmc_amd", "mrnet", *MAMMOGRAPHY}


@pytest.mark.parametrize("verb", ["check", "prepare", "shard"])
def test_help_is_printed_without_them(verb):
    stopped = f"try:\n    data.main(['{verb}', '--help'])\nexcept SystemExit:\n    pass"
    assert run("from medlit.commands import data", stopped) == "[]"


@pytest.mark.parametrize(
    ("package", "name"),
    [("skin", "Derm7ptDataModule"), ("retina", "MMCAMDDataModule"), ("knee", "MRNetDataModule")],
)
def test_a_datamodule_is_imported_when_it_is_asked_for(package, name):
    module = importlib.import_module(f"data_modules.{package}")
    assert module.__all__ == [name]
    assert getattr(module, name).__module__ == f"data_modules.{package}.datamodule"
    assert not hasattr(module, "DataModule")
