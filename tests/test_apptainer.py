"""The recipe of the Apptainer image: its sections, and the files it names, which are all that medlit is built from."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "apptainer" / "medlit.def").read_text()
SECTIONS = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", TEXT, re.DOTALL | re.MULTILINE))
FILES = dict(line.split() for line in SECTIONS["files"].splitlines() if line.strip())
PLACE = "/opt/medlit"


def test_it_starts_from_the_python_that_medlit_asks_for():
    header = dict(line.split(": ") for line in TEXT.split("%")[0].splitlines() if ": " in line and line[0] != "#")
    assert header["Bootstrap"] == "docker"
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", header["From"])[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={version}"


def test_it_has_the_sections_of_an_image_that_is_run_and_tested():
    assert list(SECTIONS) == ["files", "post", "environment", "runscript", "test", "labels", "help"]
    assert SECTIONS["runscript"].split() == ["exec", "medlit", '"$@"']


@pytest.mark.parametrize("section", ["post", "environment", "runscript", "test"])
def test_its_scripts_are_shell(section):
    done = subprocess.run(["sh", "-n"], input=SECTIONS[section], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_file_it_names_exists_and_keeps_its_name():
    for source, target in FILES.items():
        assert (ROOT / source).exists()
        assert target == f"{PLACE}/{source}"
    named = [path.rstrip(".") for path in re.findall(rf"{PLACE}/([\w./-]+)", SECTIONS["help"])]
    assert named
    assert [path for path in named if path.split("/")[0] not in FILES or not (ROOT / path).exists()] == []


def test_it_installs_the_tested_versions_with_extras_that_there_are():
    (line,) = re.findall(r"python -m pip install (.*)", SECTIONS["post"])
    words = shlex.split(line)
    assert words[words.index("-c") + 1] == "constraints.txt"
    assert "constraints.txt" in FILES
    (what,) = [word for word in words if not word.startswith("-") and word != "constraints.txt"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.fullmatch(r"\.\[([\w,]+)\]", what)[1].split(",")) <= set(extras)


@pytest.mark.slow
def test_medlit_is_built_from_the_files_it_names_alone(tmp_path):
    source, wheels = tmp_path / "source", tmp_path / "wheels"
    source.mkdir()
    for name in FILES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, source / name)
    wheels.mkdir()
    code = f"from setuptools import build_meta; print(build_meta.build_wheel({str(wheels)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", next(wheels.iterdir())], capture_output=True, text=True, check=True
    ).stdout
    packaged = {
        path.relative_to(ROOT).as_posix() for name in ("medlit", "data_modules") for path in (ROOT / name).rglob("*.py")
    }
    assert [path for path in packaged if path not in listed] == []
    assert "captions/templates.yaml" in listed
