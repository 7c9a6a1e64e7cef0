"""What the README and docs/ tell a reader to type is there: verbs, options, files, settings; the Python runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml
from jsonargparse import ArgumentParser
from lightning import LightningDataModule

from data_modules.mammography.embed.rules import EmbedRules
from data_modules.mammography.embed.tables import read_samples
from data_modules.mammography.prepare.manifest import COLUMNS
from data_modules.mammography.prepare.work import PASSING, ErrorKind
from data_modules.synthetic import embed
from medlit.cli import LIGHTNING_VERBS
from medlit.commands import (
    VERBS,
    captions,
    convert,
    data,
    doctor,
    prepare,
    recipe,
    shard,
    status,
    submit_options,
    weights,
)

ROOT = Path(__file__).parents[1]
PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
}
MAMMOGRAPHY = PAGES["docs/mammography.md"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
PARSERS = {
    "convert": convert._parser,
    "recipe": recipe._parser,
    "data": data._parser,
    "submit": submit_options.make_parser,
    "status": status._parser,
}
OPTIONS_OF_FIT = {"doctor": doctor._parser, "weights": weights._parser}
"""What these do not know themselves is read as an option of fit."""
DELEGATED = {"prepare": prepare._parser, "shard": shard._parser, "captions": captions._parser}


def blocks(text, *kinds):
    """The code of the blocks of some kinds."""
    return [code for kind, code in re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE) if kind in kinds]


def commands(text):
    """Words of every command line; a backslash at the end of a line joins the next."""
    lines = "".join(blocks(text, "bash", "sh")).replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


COMMANDS = [words for text in PAGES.values() for words in commands(text)]


def test_there_are_commands_of_every_kind_to_check():
    verbs = {tuple(words[1:3]) for words in COMMANDS}
    assert {("data", verb) for verb in ("check", "synth", "prepare", "shard", "captions")} < verbs
    assert {program for program, *_ in COMMANDS} == {"medlit", "make", "python"}
    assert len(COMMANDS) >= 30


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_known_with_its_options(words):
    if words[:2] == ["python", "-m"]:
        assert (ROOT / words[2].replace(".", "/")).with_suffix(".py").is_file()
        return
    program, verb, *rest = words
    assert verb in {"medlit": {*LIGHTNING_VERBS, *VERBS}, "make": TARGETS}[program]
    if verb == "data" and rest[0] in DELEGATED:
        DELEGATED[rest[0]]().parse_args(rest[1:])  # ends the test where a word is unknown
    elif verb in PARSERS:
        PARSERS[verb]().parse_args(rest)
    elif verb in OPTIONS_OF_FIT:
        _, left = OPTIONS_OF_FIT[verb]().parse_known_args(rest)
        assert left[::2] == ["--config"] * (len(left) // 2)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_and_shipped_experiment_exists(page):
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", PAGES[page])
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
    assert [path for path in re.findall(r"experiments/[\w/]+\.yaml", PAGES[page]) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("settings", [yaml.safe_load(code) for code in blocks(MAMMOGRAPHY, "yaml")])
def test_settings_of_mammography_make_a_datamodule(settings):
    settings["data"].setdefault(
        "class_path", "data_modules.mammography.EMBEDDataModule"
    )  # of what changes another block
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(LightningDataModule, "data")
    made = parser.instantiate_classes(parser.parse_object(settings)).data
    assert made.img_size == settings["data"]["init_args"].get("img_size", 224)


def test_options_of_mammography_are_those_of_the_commands():
    known = set()
    for parser in (prepare._parser(), shard._parser(), captions._parser()):
        known |= {option for action in parser._actions for option in action.option_strings}
    assert {option for option in re.findall(r"`(--[\w-]+)", MAMMOGRAPHY) if option not in known} == set()
    listed = set(re.findall(r"^\| `(--[\w-]+)", MAMMOGRAPHY, re.MULTILINE))
    told = {action.option_strings[0] for action in prepare._parser()._actions if action.option_strings}
    assert listed == told - {"-h", "--root", "--out"}


def test_columns_of_the_manifest_and_kinds_of_failures_are_all_told():
    told = MAMMOGRAPHY.split("Columns of the manifest:")[1].split("\n\n")[0]
    assert re.findall(r"`(\w+)`(?=[ ,.])", told) == list(COLUMNS)
    rows = re.findall(
        r"^\| (`.*`) \| .* \| (.*) \|$", MAMMOGRAPHY.split("| `error_kind` |")[1].split("\n\n")[0], re.MULTILINE
    )
    again = {kind: next_run for kinds, next_run in rows for kind in re.findall("`(.*?)`", kinds)}
    assert again.keys() == set(get_args(ErrorKind))
    assert {kind for kind, next_run in again.items() if "again" in next_run} == set(PASSING)


def test_python_of_class_captions_runs(capsys):
    (code,) = blocks(MAMMOGRAPHY, "python")
    exec(compile(code, "docs/mammography.md", "exec"), {})
    assert [line[0] for line in capsys.readouterr().out.splitlines()] == list("0123")


def test_options_of_submit_are_all_told():
    told = re.findall(r"`(--[\w-]+)`", PAGES["docs/slurm.md"].split("| option |")[1].split("\n\n")[0])
    options = {action.option_strings[-1] for action in submit_options.make_parser()._actions if action.option_strings}
    assert set(told) == options - {"--help"}


@pytest.mark.slow
def test_python_of_embed_prepares_c_views_as_well(tmp_path):
    embed.write(tmp_path / "RAW", cases=10, seed=0, img_size=48)
    (code,) = blocks(PAGES["docs/datasets/embed.md"], "python")
    (tmp_path / "script.py").write_text(code.replace("workers=8", "workers=1"))
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    prepared = len(list((tmp_path / "data" / "embed" / "images").rglob("*.png")))
    default, both = (
        len(read_samples(tmp_path / "RAW", rules=EmbedRules(image_types=types)).frame)
        for types in (("2D",), ("2D", "C-view"))
    )
    assert prepared == both > default
