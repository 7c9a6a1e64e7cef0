"""The settings that fit ``tests.data_modules.trees.make_table``."""

from pathlib import Path

import yaml

from data_modules import TableDataModule

DOCUMENT = Path(__file__).parents[3] / "docs/datasets/table.md"

CLASSES = ["benign", "malignant", "unsure"]
VARIABLES = {"age": {"mean": 40, "std": 10}, "sex": ["female", "male"]}
SETTINGS = {
    "modalities": {"photo": "photo", "scan": "scans"},
    "label_column": "dx",
    "class_names": CLASSES,
    "case_column": "id",
    "group_column": "patient",
    "split_column": "split",
}


def build(root, *stages, **settings):
    data = TableDataModule(root=root, img_size=16, **{**SETTINGS, **settings})
    for stage in stages:
        data.setup(stage)
    return data


def documented():
    """The configurations of the documentation: of a training, and of another hospital's table."""
    return [yaml.safe_load(part.split("```")[0]) for part in DOCUMENT.read_text().split("```yaml\n")[1:]]
