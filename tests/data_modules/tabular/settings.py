"""The settings that fit ``tests.data_modules.trees.make_table``."""

from data_modules import TableDataModule

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
