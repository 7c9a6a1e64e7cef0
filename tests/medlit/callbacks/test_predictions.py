"""One row per case, in the columns that a run folder promises."""

import numpy as np
import polars as pl
import pytest
import torch

from medlit.callbacks import PredictionWriter
from medlit.callbacks.predictions import prediction_columns
from medlit.files import write_whole
from medlit.tasks import CaseResults
from tests.medlit.tasks.tiny import CLASSES, TinyDataModule, early_intervention, trainer, unimodal

ANSWER = [f"{kind}_{name}" for kind in ("prob", "logit") for name in CLASSES]


def runner(folder, format):
    return trainer(folder, callbacks=[PredictionWriter(format)], enable_checkpointing=False)


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_early_intervention_writes_the_answer_each_modality_and_the_gate(format, tmp_path):
    task = early_intervention()
    runner(tmp_path, format).test(task, datamodule=TinyDataModule(), verbose=False)
    path = tmp_path / f"predictions_test.{format}"
    table = pl.read_parquet(path) if format == "parquet" else pl.read_csv(path)
    modalities = [f"{modality}_{column}" for modality in ("clinic", "derm") for column in ANSWER]
    assert table.columns == ["case_id", "group_id", "label", *ANSWER, *modalities, "gate_clinic", "gate_derm"]
    assert table["case_id"].to_list() == [f"c{case}" for case in range(13)]
    assert table["label"].to_list() == [case % 3 for case in range(13)]
    assert np.allclose(table.select([f"prob_{name}" for name in CLASSES]).to_numpy().sum(axis=1), 1)
    logits = table.select([f"derm_logit_{name}" for name in CLASSES]).to_numpy()
    assert np.allclose(logits, task.case_results.logits["derm"].numpy(), atol=1e-6)
    assert {file.name for file in tmp_path.iterdir()} == {path.name, "subsets_test.md"}


def test_prediction_of_a_split_needs_no_labels(tmp_path):
    data = TinyDataModule(labelled=False)
    data.predict_split = "all"
    runner(tmp_path, "parquet").predict(unimodal(), datamodule=data)
    table = pl.read_parquet(tmp_path / "predict_all.parquet")
    assert table.columns == ["case_id", "group_id", "label", *ANSWER]
    assert table["label"].null_count() == 13
    assert table["label"].dtype == pl.Int64


def test_predicting_leaves_the_tests_rows_alone(tmp_path):
    task = unimodal()
    runner(tmp_path, "csv").test(task, datamodule=TinyDataModule(), verbose=False)
    before = (tmp_path / "predictions_test.csv").read_bytes()
    runner(tmp_path, "csv").predict(task, datamodule=TinyDataModule(cases=5))
    assert (tmp_path / "predictions_test.csv").read_bytes() == before
    assert len(pl.read_csv(tmp_path / "predict_test.csv")) == 5


def test_a_case_without_label_among_others_has_an_empty_one(tmp_path):
    data = TinyDataModule()
    del data.samples[2]["label"], data.samples[12]["label"]
    runner(tmp_path, "parquet").test(unimodal(), datamodule=data, verbose=False)
    labels = pl.read_parquet(tmp_path / "predictions_test.parquet")["label"].to_list()
    assert [case for case, label in enumerate(labels) if label is None] == [2, 12]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_units_have_a_table_each_and_their_ids_in_that_of_the_cases(format, tmp_path):
    task = unimodal()
    runner(tmp_path, format).test(task, datamodule=TinyDataModule(units=True), verbose=False)
    read = pl.read_parquet if format == "parquet" else pl.read_csv
    cases = read(tmp_path / f"predictions_test.{format}")
    assert cases.columns == ["case_id", "group_id", "breast_id", "exam_id", "label", *ANSWER]
    probabilities = [f"prob_{name}" for name in CLASSES]
    breasts = read(tmp_path / f"predictions_test_breast.{format}")
    assert breasts.columns == ["breast_id", "exam_id", "group_id", "label", *probabilities, "num_cases"]
    assert breasts["num_cases"].to_list() == [2] * 6 + [1]
    means = cases.group_by("breast_id", maintain_order=True).agg(pl.col("label").max(), pl.col(probabilities).mean())
    assert breasts["label"].to_list() == means["label"].to_list()
    assert np.allclose(breasts.select(probabilities), means.select(probabilities), atol=1e-6)
    exams = read(tmp_path / f"predictions_test_exam.{format}")
    assert exams.columns == ["exam_id", "group_id", "label", *probabilities, "num_cases"]
    assert exams["num_cases"].to_list() == [4, 4, 4, 1]
    assert exams["group_id"].to_list() == ["g0", "g1", "g2", "g3"]


@pytest.mark.parametrize("format", ["parquet", "csv"])
def test_files_of_the_users_own_stay_beside_the_tables(format, tmp_path):
    runner(tmp_path, format).test(unimodal(), datamodule=TinyDataModule(units=True), verbose=False)
    breast = (tmp_path / f"predictions_test_breast.{format}").read_bytes()
    own = {"breast_copy": breast, "notes": b"to do", "empty": b""}
    kept = {f"predictions_test_{name}.{format}": content for name, content in own.items()}
    for name, content in kept.items():
        (tmp_path / name).write_bytes(content)
    runner(tmp_path, format).test(unimodal(), datamodule=TinyDataModule(), verbose=False)
    assert {path.name for path in tmp_path.iterdir()} == kept.keys() | {f"predictions_test.{format}"}


def test_tables_of_units_go_with_their_test(tmp_path):
    runner(tmp_path, "csv").test(unimodal(), datamodule=TinyDataModule(units=True), verbose=False)
    runner(tmp_path, "csv").predict(unimodal(), datamodule=TinyDataModule(units=True, labelled=False))
    runner(tmp_path, "csv").test(unimodal(), datamodule=TinyDataModule(), verbose=False)
    units = ["predict_test_breast.csv", "predict_test_exam.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predict_test.csv", *units, "predictions_test.csv"]
    assert pl.read_csv(tmp_path / "predict_test_exam.csv")["label"].null_count() == 4


def test_a_trial_run_writes_nothing(tmp_path):
    trainer(tmp_path, callbacks=[PredictionWriter()], fast_dev_run=True).test(
        unimodal(), datamodule=TinyDataModule(), verbose=False
    )
    assert not list(tmp_path.iterdir())


def test_several_labels_have_a_column_each_and_sigmoids():
    results = CaseResults(
        case_id=["a", "b"],
        group_id=["a", "b"],
        label=torch.tensor([[1.0, 0.0, 1.0], [float("nan")] * 3]),
        logits={"derm": torch.tensor([[0.0, 2.0, 3.0], [1.0, -1.0, 3.0]])},
        gate=None,
    )
    columns = prediction_columns(unimodal(multi_label=True), results)
    assert columns["label_BCC"] == [1, None]
    assert columns["label_NEV"] == [0, None]
    assert columns["prob_BCC"].tolist() == pytest.approx([0.5, 0.7310586])


def test_a_file_is_whole_or_not_there(tmp_path):
    def broken(path):
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_whole(tmp_path / "new" / "a.csv", broken)
    assert list((tmp_path / "new").iterdir()) == []
