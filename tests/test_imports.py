"""Imports run one way: data_modules and the torch parts at the bottom, the command line on top."""

import ast
import functools
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH_PARTS = (
    *("medlit.models", "medlit.losses", "medlit.peft", "medlit.metrics"),
    *("medlit.collectives", "medlit.precision", "medlit.probe"),
)
CLI = ("medlit.cli", "medlit.lightning_cli")

SETS = tuple(f"data_modules.{name}" for name in ("skin", "retina", "knee", "mammography"))

# Modules with the prefix on the left import none of those on the right.
FORBIDDEN = {
    "data_modules": ("medlit", "timm", "peft", "jsonargparse"),
    **dict.fromkeys(
        TORCH_PARTS, ("lightning", "data_modules", "medlit.tasks", "medlit.callbacks", "medlit.commands", *CLI)
    ),
    "medlit.tasks": ("medlit.commands", *CLI),
    "medlit.callbacks": ("medlit.commands", *CLI),
    "medlit.report": ("lightning", "data_modules", "medlit.tasks", "medlit.commands", *CLI),
    "medlit.recipes": ("medlit.tasks", "medlit.commands", *CLI),
    "medlit.doctor": ("medlit.tasks", "medlit.callbacks", "medlit.commands", *CLI),
    "medlit.needed_files": ("medlit.tasks", "medlit.callbacks", "medlit.commands", *CLI),
    "medlit.interop": ("lightning", "data_modules", "medlit.tasks", "medlit.callbacks", "medlit.commands", *CLI),
    "medlit.checkpoint": ("lightning", "data_modules", "medlit.tasks", "medlit.commands", *CLI),
    "medlit.mama_checkpoint": ("lightning", "data_modules", "medlit.tasks", "medlit.commands", *CLI),
    **{one: tuple(other for other in SETS if other != one) for one in SETS},
}
# Of data_modules, modules with the prefix on the left import nothing but what is on the right: no set is known there.
ALL_THEY_KNOW = {
    "medlit.tasks": "data_modules.batch",
    "medlit.callbacks": "data_modules.batch",
    "medlit.recipes": "data_modules.errors",
}
# What the light front of the command line may import before it knows that a verb needs more.
LIGHT = {"medlit", "medlit.commands"}


def is_below(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST, module: str, *, is_package: bool) -> list[str]:
    """Full names of what one import statement brings in, relative ones resolved."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        package = module.split(".") if is_package else module.split(".")[:-1]
        base = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
    return [base, *(f"{base}.{alias.name}" for alias in node.names)]


@functools.cache
def imports_by_module() -> dict[str, set[str]]:
    """All imports of the packages, those inside functions too."""
    found = {}
    for package in ("medlit", "data_modules"):
        for path in (ROOT / package).rglob("*.py"):
            module = name_of(path)
            found[module] = {
                name
                for node in ast.walk(ast.parse(path.read_text()))
                for name in imported(node, module, is_package=path.stem == "__init__")
            }
    return found


@pytest.mark.parametrize("prefix", FORBIDDEN)
def test_imports_run_one_way(prefix):
    wrong = [
        f"{module} imports {name}"
        for module, names in imports_by_module().items()
        if is_below(module, prefix)
        for name in names
        if any(is_below(name, forbidden) for forbidden in FORBIDDEN[prefix])
    ]
    assert wrong == []


@pytest.mark.parametrize("prefix", ALL_THEY_KNOW)
def test_methods_know_batches_and_no_set(prefix):
    wrong = [
        f"{module} imports {name}"
        for module, names in imports_by_module().items()
        if is_below(module, prefix)
        for name in names
        if is_below(name, "data_modules") and not is_below(name, ALL_THEY_KNOW[prefix])
    ]
    assert wrong == []


def test_nothing_imports_the_command_line():
    importers = {
        module for module, names in imports_by_module().items() if any(is_below(n, c) for n in names for c in CLI)
    }
    assert importers <= {"medlit.cli", "medlit.commands.configuration"}  # which reads configurations, and runs nothing


def test_the_front_imports_only_the_standard_library_at_the_top():
    for module in LIGHT | {"medlit.cli"}:
        path = ROOT.joinpath(*module.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        tree = ast.parse(path.read_text())
        top = {name for node in tree.body for name in imported(node, module, is_package=path.stem == "__init__")}
        ours = {name for name in top if name.split(".")[0] in ("medlit", "data_modules")}
        assert {n for n in ours if not any(is_below(n, light) for light in LIGHT)} == set()
        others = {name.split(".")[0] for name in top} - {"medlit"}
        assert others <= sys.stdlib_module_names


def test_every_folder_of_the_packages_is_a_package():
    folders = {path.parent for package in ("medlit", "data_modules") for path in (ROOT / package).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import a.b", {"a.b"}),
        ("from a import b", {"a", "a.b"}),
        ("from . import b", {"p.q", "p.q.b"}),
        ("from ..r import b", {"p.r", "p.r.b"}),
    ],
)
def test_the_reader_resolves_every_form(statement, expected):
    assert set(imported(ast.parse(statement).body[0], "p.q.module", is_package=False)) == expected
