"""Cases that lack modalities, in training, figures, tables and predictions; and tests with fewer modalities."""

import contextlib
import io
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from medlit.callbacks import PredictionWriter
from medlit.metrics import classification_metrics
from medlit.tasks.figures import subset_figures
from medlit.tasks.results import CaseResults
from medlit.tasks.subsets import proper_subsets
from tests.medlit.tasks.tiny import CLASSES, TinyDataModule, early_intervention, trainer

WITHOUT_DERM, WITHOUT_CLINIC = (0, 3, 7), (2,)


def incomplete(**options):
    return TinyDataModule(lacking={"derm": WITHOUT_DERM, "clinic": WITHOUT_CLINIC}, **options)


def run_test(folder, *, data=None, **settings):
    task = early_intervention(**settings)
    runner = trainer(folder, callbacks=[PredictionWriter("csv")], enable_checkpointing=False)
    [figures] = runner.test(task, datamodule=data or incomplete(), verbose=False)
    return task, figures


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """A test of cases of which some lack a modality: task, logged figures, run folder, and what it printed."""
    folder, printed = tmp_path_factory.mktemp("run"), io.StringIO()
    with contextlib.redirect_stdout(printed):
        task, figures = run_test(folder)
    return SimpleNamespace(task=task, figures=figures, folder=folder, printed=" ".join(printed.getvalue().split()))


@pytest.mark.slow
def test_training_goes_through_and_the_loss_falls(tmp_path):
    task = early_intervention()
    [before] = trainer(tmp_path).validate(task, datamodule=incomplete(), verbose=False)
    trainer(tmp_path, max_epochs=3).fit(task, datamodule=incomplete())
    [after] = trainer(tmp_path).validate(task, datamodule=incomplete(), verbose=False)
    assert after["val/loss"] < before["val/loss"]
    assert after["val/derm/absent"] == 3
    assert not any("subset" in name for name in after)


def test_a_modality_is_judged_by_the_cases_that_have_it(tested):
    results, figures = tested.task.case_results, tested.figures
    rows = [case for case in range(13) if case not in WITHOUT_DERM]
    for head in ("derm", "derm/auxiliary"):
        expected = classification_metrics(results.logits[head][rows], results.label[rows], class_names=CLASSES)
        found = {name: figures[f"test/{head}/{name}"] for name in expected}
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert (figures["test/derm/absent"], figures["test/clinic/absent"]) == (3, 1)
    assert "test, 13 cases, 1 without clinic, 3 without derm" in tested.printed


def test_figures_do_not_depend_on_the_batches(tested, tmp_path):
    _, figures = run_test(tmp_path, data=incomplete(batch_size=1))
    assert figures == pytest.approx(tested.figures, abs=1e-6, nan_ok=True)


def test_predictions_are_empty_where_a_modality_is_absent(tested):
    table = pl.read_csv(tested.folder / "predictions_test.csv")
    for name, absent in (("derm", WITHOUT_DERM), ("clinic", WITHOUT_CLINIC)):
        for column in (f"{name}_prob_BCC", f"{name}_logit_MEL", f"gate_{name}"):
            empty = table[column].is_null()
            assert tuple(empty.arg_true()) == absent, column
    assert table["prob_BCC"].null_count() == 0
    weights = table.select("gate_clinic", "gate_derm").fill_null(0).sum_horizontal()
    assert weights.to_list() == pytest.approx([1] * 13)


def test_a_modality_that_no_case_has_is_without_figures(tmp_path):
    task, figures = run_test(tmp_path, data=TinyDataModule(lacking={"derm": range(13)}))
    assert "test/derm/map" not in figures
    assert figures["test/derm/absent"] == 13
    assert task.figures.heads["derm"] == task.figures.subsets.figures["derm"] == {}
    assert task.figures.subsets.cases == {"clinic": 13, "derm": 0, "clinic+derm": 13}


# Fewer modalities


def test_a_subset_is_the_test_of_a_set_with_these_modalities_alone(tested, tmp_path):
    task, figures = tested.task, tested.figures
    for name in ("clinic", "derm"):
        data = incomplete()
        for sample in data.samples:
            sample["images"] = {key: value for key, value in sample["images"].items() if key == name}
        data.samples = [sample for sample in data.samples if sample["images"]]
        alone, expected = run_test(tmp_path, data=data, test_subsets=False)
        assert figures[f"test/subset/{name}/map"] == pytest.approx(expected["test/map"], abs=1e-6)
        assert figures[f"test/subset/{name}/auroc"] == pytest.approx(expected["test/auroc"], abs=1e-6)
        assert figures[f"test/subset/{name}/cases"] == len(data.samples)
        assert alone.figures.subsets is None
    assert task.figures.subsets.cases == {"clinic": 12, "derm": 10, "clinic+derm": 13}
    assert task.figures.subsets.figures["clinic+derm"] == task.figures.heads["fused"]


def test_the_second_table_is_printed_and_kept(tested):
    text = (tested.folder / "subsets_test.md").read_text()
    assert text.startswith("test with fewer modalities\n\n| | cases | mAP |")
    assert [line.split("|")[1].strip() for line in text.splitlines()[4:]] == ["clinic", "derm", "clinic+derm"]
    assert f"| clinic | 12 | {tested.task.figures.subsets.figures['clinic']['map']:.3f} |" in text
    assert "test with fewer modalities" in tested.printed


def test_no_table_without_subsets_not_even_that_of_an_earlier_test(tmp_path, capsys):
    (tmp_path / "subsets_test.md").touch()
    run_test(tmp_path, test_subsets=False)
    assert not (tmp_path / "subsets_test.md").exists()
    assert "fewer modalities" not in capsys.readouterr().out


def test_every_proper_subset_up_to_four_modalities():
    assert list(proper_subsets("ab")) == ["a", "b"]
    assert list(proper_subsets("abc")) == ["a", "b", "c", "a+b", "a+c", "b+c"]
    assert len(proper_subsets("abcd")) == 14
    assert proper_subsets("abc")["a+c"] == (0, 2)


def test_of_more_modalities_single_ones_and_all_but_one_and_the_title_says_so():
    subsets = proper_subsets("abcde")
    assert list(subsets) == ["a", "b", "c", "d", "e", "a+b+c+d", "a+b+c+e", "a+b+d+e", "a+c+d+e", "b+c+d+e"]
    results = CaseResults(
        case_id=["x", "y"],
        group_id=["x", "y"],
        label=torch.tensor([0, 1]),
        logits={"fused": torch.eye(2)},
        gate=None,
        present=torch.tensor([[True] * 5, [True, False, False, False, False]]),
        subsets={name: torch.eye(2) for name in subsets},
    )
    found = subset_figures(results, "abcde", whole={"map": 1.0})
    assert "of 5 modalities single ones, all but one, and all" in found.title
    assert found.cases["b"] == 1
    assert found.cases["a+b+c+d"] == 2
