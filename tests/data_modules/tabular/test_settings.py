"""Settings that cannot work, told before a table is read."""

import pytest

from data_modules.errors import DataSettingsError
from tests.data_modules.tabular.settings import CLASSES, VARIABLES, build


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": {}}, "no modality"),
        ({"modalities": {"variables": "age"}}, "'variables' is no name for a modality of images"),
        ({"modalities": {"a.b": "photo"}}, r"modality 'a.b': a name has letters"),
        ({"modalities": {"type": "photo"}}, "modality 'type': modules of torch have an attribute of that name; choose"),
        ({"modalities": {"training": "photo"}}, "modality 'training': modules of torch"),
        ({"label_column": None}, "set label_column .* or label_columns"),
        ({"label_columns": ["a"]}, "one of the two"),
        ({"class_names": None}, "label_column needs class_names"),
        ({"class_names": ["benign"]}, "name 2 or more"),
        ({"class_names": ["a", "a"]}, "each once"),
        ({"class_map": {"x": "bening"}}, "'bening', which is no class; did you mean 'benign'"),
        (
            {"label_column": None, "label_columns": ["a", "b"]},
            r"3 class_names \(benign, malignant, unsure\) for 2 label_columns \(a, b\); name as many",
        ),
        (
            {"label_column": None, "label_columns": ["a", "a"], "class_names": None},
            r"label_columns are \['a', 'a'\]; name 1 or more, each once",
        ),
        ({"label_column": None, "label_columns": [], "class_names": None}, r"label_columns are \[\]; name 1 or more"),
        ({"variables": VARIABLES | {"dx": CLASSES}}, "variables read 'dx', the column of the labels"),
        (
            {"label_column": None, "class_names": None, "label_columns": ["a", "sex"], "variables": VARIABLES},
            "variables read 'sex', the column of the labels",
        ),
        ({"label_column": None, "label_columns": ["a", "b", "c"], "class_map": {}}, "class_map goes with label_column"),
        ({"table": "../table.csv"}, "name a file below the root"),
        ({"table": "table.xlsx"}, ".csv or a .parquet"),
        ({"unit_columns": {"a/b": "id"}}, "unit 'a/b': a name has letters"),
        ({"unit_columns": {"photo": "id"}}, "unit 'photo': other figures and columns have this name"),
        ({"unit_columns": {"case": "id"}}, "unit 'case': other figures and columns have this name"),
        ({"variables": {}}, "variables are empty"),
        ({"variables": {"age": {"mean": 0, "std": 0}}}, "variables: age has mean 0, std 0"),
        ({"variables": {"sex": ["f", "f"]}}, r"categories \['f', 'f'\]"),
        ({"fold": 1}, "num_folds is not set"),
        ({"num_folds": 2, "fold": 0}, "num_folds is 2"),
        ({"num_folds": 5}, "fold is None; with num_folds 5 it has to be 0 to 4"),
        ({"num_folds": 5, "fold": 5}, "fold is 5"),
        ({"modality_dropout": 1.0}, "modality_dropout is 1.0"),
        ({"split_seed": -1}, "split_seed is -1"),
    ],
)
def test_settings_that_cannot_work(tmp_path, settings, message):
    with pytest.raises(DataSettingsError, match=message):
        build(tmp_path, **settings)
