"""The kinds of files that are fuzzed, by name."""

import importlib
from pathlib import Path

from benchmarks.fuzz.target import Target

KINDS = {
    "dicom": "mammograms: DICOM of all transfer syntaxes, PNG, JPEG",
    "npy": "volumes",
    "tables": "CSV tables and text lists of every set, a table of one's own",
    "parquet": "a table of one's own, in many types",
    "config": "YAML: configurations, recipes, templates of captions",
    "fit": "YAML as medlit fit parses it",
    "checkpoints": "checkpoints, exported and foundation weights, the released code's",
    "predictions": "prediction tables, figures, manifests, records of recipes, the manifest of a prepared set",
}
"""With what they are; each is a module here."""

SHARES = {
    "dicom": 20_000,
    "npy": 150_000,
    "tables": 30_000,
    "parquet": 9_000,
    "config": 6_000,
    "fit": 300,
    "checkpoints": 3_000,
    "predictions": 2_000,
}
"""Inputs of a whole campaign."""


def make(kind: str, folder: Path) -> Target:
    """The target of a kind.

    Args:
        kind: Of ``KINDS``.
        folder: An empty one, to write inputs to.
    """
    target: Target = importlib.import_module(f"benchmarks.fuzz.{kind}").make(folder)
    return target
