"""No line of the source unpickles, evaluates text, starts a shell, or makes a guessable temporary name."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("medlit", "data_modules", "benchmarks", "notebooks")

NEVER = {
    *("eval", "exec", "compile", "__import__", "builtins.eval", "builtins.exec"),
    *("os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "tempfile.mktemp"),
    *("os.execl", "os.execle", "os.execlp", "os.execv", "os.execve", "os.execvp", "os.spawnl", "os.spawnv"),
    *("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load", "yaml.full_load_all"),
    *("torch.hub.load", "torch.jit.load", "torch.package.PackageImporter", "joblib.load", "shelve.open"),
    *("pandas.read_pickle", "numpy.fromregex", "transformers.pipeline", "shutil.unpack_archive"),
}
"""Calls that have no place here, whatever their arguments."""
PICKLING = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
"""Modules that are not even imported."""
ONLY_WITH = {
    "torch.load": ("weights_only", True),
    "numpy.load": ("allow_pickle", False),
    "numpy.save": ("allow_pickle", False),
    "numpy.lib.format.read_array": ("allow_pickle", False),
}
"""Calls that need a word said, whatever today's default is."""
LOADS_CODE = ("from_pretrained", "from_config")
"""Methods that say that code beside weights is not run, where their libraries know how to."""
EXTRACTS = "extractall"
"""Method of archives: names within could climb out of the folder."""
SAVES = "save_checkpoint"
"""Where ``weights_only`` leaves the optimizer out, and nothing is read."""


def faults_of(source):
    """What a piece of source may not do, by line."""
    tree = ast.parse(source)
    names = _imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            if bad := [module for module in modules if module.split(".")[0] in PICKLING]:
                yield f"{node.lineno}: imports {bad[0]}"
        elif isinstance(node, ast.Call):
            said = {keyword.arg: keyword.value for keyword in node.keywords}
            called = _dotted(node.func, names)
            method = called.rpartition(".")[2]
            if called in NEVER or called.split(".")[0] in PICKLING:
                yield f"{node.lineno}: calls {called}"
            word, value = ONLY_WITH.get(called, (None, None))
            if word and not (isinstance(said.get(word), ast.Constant) and said[word].value is value):
                yield f"{node.lineno}: {called} without {word}={value}"
            if _true(said.get("shell")) or _true(said.get("trust_remote_code")) or _true(said.get("allow_pickle")):
                yield f"{node.lineno}: {called} runs what it is given"
            if "weights_only" in said and method != SAVES and not _true(said["weights_only"]):
                yield f"{node.lineno}: {called} with weights_only={ast.unparse(said['weights_only'])}"
            if method in LOADS_CODE and "trust_remote_code" not in said:
                yield f"{node.lineno}: {called} without trust_remote_code=False"
            if method == EXTRACTS:
                yield f"{node.lineno}: {called} unpacks an archive"


def _true(node):
    return isinstance(node, ast.Constant) and node.value is True


def _imported(tree):
    """Full names by those that a module uses."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _dotted(node, names):
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return names.get(node.id, node.id) if isinstance(node, ast.Name) else "?"


def sources():
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_module_is_looked_at():
    assert len(sources()) > 250


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_source_does_none_of_it(folder):
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for fault in faults_of(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("import torch\ntorch.load(path)", "2: torch.load without weights_only=True"),
        ("import torch\ntorch.load(path, weights_only=False)", "2: torch.load without weights_only=True"),
        ("import torch as t\nt.load(path, weights_only=flag)", "2: torch.load without weights_only=True"),
        ("from torch import load\nload(path)", "2: torch.load without weights_only=True"),
        ("import numpy as np\nnp.load(path)", "2: numpy.load without allow_pickle=False"),
        ("import numpy as np\nnp.load(path, allow_pickle=True)", "2: numpy.load without allow_pickle=False"),
        ("import yaml\nyaml.load(text, Loader=yaml.SafeLoader)", "2: calls yaml.load"),
        ("from yaml import unsafe_load\nunsafe_load(text)", "2: calls yaml.unsafe_load"),
        ("import pickle", "1: imports pickle"),
        ("def f():\n    from pickle import loads", "2: imports pickle"),
        ("eval(text)", "1: calls eval"),
        ("exec(text)", "1: calls exec"),
        ("import subprocess\nsubprocess.run(words, shell=True)", "2: subprocess.run runs what it is given"),
        ("import os\nos.system(words)", "2: calls os.system"),
        ("import tempfile\ntempfile.mktemp()", "2: calls tempfile.mktemp"),
        ("AutoModel.from_pretrained(name)", "1: AutoModel.from_pretrained without trust_remote_code=False"),
        (
            "AutoModel.from_pretrained(name, trust_remote_code=True)",
            "1: AutoModel.from_pretrained runs what it is given",
        ),
        ("trainer.test(model, weights_only=False)", "1: trainer.test with weights_only=False"),
        ("archive.extractall(folder)", "1: archive.extractall unpacks an archive"),
    ],
)
def test_it_would_be_found(source, fault):
    assert fault in list(faults_of(textwrap.dedent(source)))


def test_the_tests_that_security_md_names_are_there():
    named = set(re.findall(r"`(tests/[^`]+)`", (ROOT / "SECURITY.md").read_text()))
    assert len(named) >= 8
    assert all(list(ROOT.glob(path)) for path in named)
