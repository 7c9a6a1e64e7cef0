"""What fuzzing has found in prediction tables, figures, manifests and records: refused in one line now."""

import json

import polars as pl
import pytest

from medlit.commands import demo
from medlit.errors import ConfigurationError
from medlit.predictions import read_predictions
from medlit.recipes import protocol_rows, results
from medlit.recipes.plan import plan, what_changed, write_record
from medlit.recipes.recipe import read_recipe
from medlit.resume import is_trained
from medlit.run_folder import CONFIG, FIGURES, MANIFEST
from tests.fuzz.found import ENDS_THE_PROCESS, bytes_of, refusal


def predictions(path, **columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = {"case_id": ["x", "y"], "label": [0, 1], "logit_a": [0.1, 0.2], "logit_b": [0.3, 0.1], **columns}
    pl.DataFrame({name: values for name, values in table.items() if values is not None}).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"case_id": None}, "no column 'case_id'"),
        ({"label": None}, "no column 'label'"),
        ({"logit_a": None, "logit_b": None}, "no column 'logit_<class>'"),
        ({"label": ["x", "y"]}, "not as a test writes it"),
        ({"label": [{"x": 1}, {"x": 2}]}, "labels or logits are no numbers"),
        ({"logit_a": [0.1, None]}, "without an id or a logit"),
    ],
)
def test_predictions_that_no_test_writes_are_refused(tmp_path, columns, said):
    assert said in refusal(ConfigurationError, read_predictions, predictions(tmp_path / "p.parquet", **columns))


def test_predictions_that_are_not_there_or_damaged_are_refused(tmp_path):
    path = tmp_path / "p.parquet"
    assert "cannot be read" in refusal(ConfigurationError, read_predictions, path)
    path.write_bytes(bytes_of(ENDS_THE_PROCESS))
    assert "it ends the process that reads it" in refusal(ConfigurationError, read_predictions, path)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"case_id": ["x", "z"]}, "other cases than Early Intervention's"),
        ({"logit_b": None, "logit_c": [0.3, 0.1]}, "'logit_b' is not in both"),
        ({"label": [0, None]}, "a case without a label"),
        ({"label": [0, 7]}, "predictions_test.parquet: "),
        ({"logit_a": [0.1, float("nan")]}, "predictions_test.parquet: "),
    ],
)
def test_the_demo_refuses_predictions_that_do_not_fit(tmp_path, columns, said):
    for run in demo.runs(tmp_path):
        predictions(run.predictions, **(columns if run.title == demo.FUSED or "case_id" in columns else {}))
        columns = (
            columns
            if run.title == demo.FUSED
            else {**columns, "case_id": ["x", "y"]}
            if "case_id" in columns
            else columns
        )
    assert said in refusal(ConfigurationError, demo.compare, tmp_path)


@pytest.fixture
def job(tmp_path):
    """A training of a recipe that has a protocol, its folder there."""
    file = tmp_path / "r.yaml"
    file.write_text(
        "{name: r, seeds: [0], stages: {a: {configs: [experiments/overlays/tiny.yaml]}}, "
        "protocol: [{set: S, target: t, rows: {m: {stage: a}}}]}"
    )
    recipe = read_recipe(file)
    jobs = plan(recipe, tmp_path / "out")
    (made,) = jobs.values()
    write_record(made, "finished")
    return recipe, jobs, made


@pytest.mark.parametrize("inputs", ["3", "[1]", '{"configs": [3]}', '{"set": 3}', '{"set": {"a": []}, "configs": 3}'])
def test_a_record_that_no_recipe_writes_is_another(job, inputs):
    _, _, made = job
    path = made.folder / "recipe.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "inputs": json.loads(inputs)}))
    assert what_changed(made)


@pytest.mark.parametrize(
    "figures",
    [
        {"heads": 3, "answer": "a"},
        {"heads": {"a": 3}, "answer": "a"},
        {"heads": {"a": {}}, "answer": "a", "strata": [1]},
        {"heads": {"a": {}}, "answer": "a", "units": {"breast": 3}},
    ],
)
def test_figures_that_no_test_writes_are_refused(job, figures):
    recipe, jobs, made = job
    (made.folder / FIGURES).write_text(json.dumps(figures))
    (made.folder / MANIFEST).write_text("{}")
    said = refusal(ConfigurationError, protocol_rows.rows_of, recipe, jobs, jobs.keys())
    assert "train it anew with --rerun" in said


@pytest.mark.parametrize("text", ["3", '"x"', "[]", "{", '{"stages": 3}', '{"stages": {"fit": []}}', "[" * 100_000])
def test_a_manifest_that_no_run_writes_tells_nothing(job, text):
    _, _, made = job
    (made.folder / "checkpoints").mkdir()
    (made.folder / "checkpoints" / "best.ckpt").touch()
    (made.folder / CONFIG).touch()
    (made.folder / MANIFEST).write_text(text)
    assert not is_trained(made.folder)
    assert not results._is_synthetic(made)
