"""Figures by breast and by exam: those of the answers put together, in validation and test."""

from dataclasses import replace

import pytest
import torch

from medlit.errors import ConfigurationError
from medlit.metrics import classification_metrics
from medlit.tasks import CaseResults
from medlit.tasks.figures import set_figures
from medlit.tasks.results import join
from medlit.tasks.units import severity_of, unit_results
from tests.medlit.tasks.tiny import CLASSES, TinyDataModule, early_intervention, trainer, unimodal


def results(logits, labels, **units):
    count = len(logits)
    return CaseResults(
        case_id=[str(row) for row in range(count)],
        group_id=["p"] * count,
        label=None if labels is None else torch.tensor(labels),
        logits={"derm": torch.tensor(logits, dtype=torch.float32)},
        gate=None,
        units=units,
    )


SIX = {"breast": ["L", "R", "L", "R", "R", "O"], "exam": ["e", "e", "e", "e", "e", "f"]}
"""Six images of two exams: two of the left breast, three of the right one; one of another exam."""


def logits_of(chances):
    return [[0.0, torch.logit(torch.tensor(chance)).item()] for chance in chances]


def test_a_breast_takes_the_mean_of_its_images_an_exam_its_worse_breast():
    rows = results(logits_of([0.1, 0.9, 0.3, 0.4, 0.5, 0.7]), [0, 1, 0, 1, 1, 0], **SIX)
    units = unit_results(rows, multi_label=False)
    assert list(units) == ["breast", "exam"]
    breast, exam = units["breast"], units["exam"]
    assert breast.unit_id == ["L", "R", "O"]
    assert breast.probabilities[:, 1].tolist() == pytest.approx([0.2, 0.6, 0.7], abs=1e-6)
    assert (breast.label.tolist(), breast.num_cases, breast.disagreeing) == ([0, 1, 0], [2, 3, 1], 0)
    assert (breast.within, breast.group_id) == ({"exam": ["e", "e", "f"]}, ["p", "p", "p"])
    assert exam.probabilities[:, 1].tolist() == pytest.approx([0.6, 0.7], abs=1e-6)
    assert exam.probabilities.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert (exam.label.tolist(), exam.num_cases, exam.disagreeing) == ([1, 0], [5, 1], 0)


def test_of_three_classes_an_exam_takes_the_mean_of_its_breasts():
    chances = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.5, 0.4, 0.1]], dtype=torch.float64)
    rows = results(chances.log().tolist(), [0, 2, 0], breast=["L", "R", "L"], exam=["e", "e", "e"])
    exam = unit_results(rows, multi_label=False)["exam"]
    assert exam.probabilities[0].tolist() == pytest.approx([0.35, 0.2, 0.45], abs=1e-6)


def test_of_several_labels_an_exam_has_each_that_a_breast_has():
    logits = torch.tensor([[0.2, 0.9], [0.8, 0.3], [0.4, 0.5]]).logit()
    rows = results(logits.tolist(), [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], breast=["L", "R", "L"], exam=["e"] * 3)
    units = unit_results(rows, multi_label=True)
    assert units["breast"].probabilities[0].tolist() == pytest.approx([0.3, 0.7], abs=1e-6)
    assert units["exam"].probabilities[0].tolist() == pytest.approx([0.8, 0.7], abs=1e-6)
    assert units["exam"].label.tolist() == [[1, 1]]
    assert units["breast"].figures(["a", "b"])["auroc"] == 1


def test_images_without_label_take_part_in_the_answer_and_units_without_are_not_judged():
    rows = results(logits_of([0.1, 0.9, 0.3, 0.4, 0.5, 0.7]), [0, -1, -1, 1, 0, -1], **SIX)
    breast = unit_results(rows, multi_label=False)["breast"]
    assert breast.label.tolist() == [0, 1, -1]
    figures = breast.figures(["no", "yes"])
    assert (figures["units"], figures["labels_disagree"], figures["auroc"]) == (2, 1, 1)
    assert (
        unit_results(results(rows.answer.tolist(), None, **SIX), multi_label=False)["breast"].figures(["a", "b"]) == {}
    )


def test_figures_are_those_of_the_units_probabilities():
    chances = torch.rand(40, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(dim=1)
    rows = results(chances.log().tolist(), [row % 3 for row in range(40)], breast=[str(row // 2) for row in range(40)])
    breast = unit_results(rows, multi_label=False)["breast"]
    expected = classification_metrics(breast.probabilities, breast.label, class_names=CLASSES)
    found = breast.figures(CLASSES)
    same = [name for name in expected if "softmax" not in name]
    assert {name: found[name] for name in same} == pytest.approx({name: expected[name] for name in same})
    assert found["map_softmax"] == found["map"]


@pytest.mark.parametrize("classes", [2, 3])
def test_cases_that_are_units_of_their_own_have_the_same_figures_in_both_rows(classes, capsys):
    generator = torch.Generator().manual_seed(classes)
    logits = torch.randn(40, classes, generator=generator) + 3 * torch.randn(40, 1, generator=generator)
    labels = torch.randint(classes, (40,), generator=generator).tolist()
    rows = results(logits.tolist(), labels, breast=[str(row) for row in range(40)])
    units = unit_results(rows, multi_label=False)
    names = CLASSES[:classes]
    figures = set_figures(rows, ["derm"], units=units, class_names=names, every_head=True)
    if classes == 2:
        same = figures.units["breast"].keys() - {"units"}
        assert {name: figures.units["breast"][name] for name in same} == pytest.approx(figures.heads["derm"])
    figures.show()
    printed = capsys.readouterr().out
    assert ("by probability" in printed) == (classes > 2)  # of two the logits rank alike
    [head, breast] = [line.split() for line in printed.splitlines() if line.lstrip().startswith(("derm", "by breast"))]
    assert head[1:] == breast[2:]


def test_an_answer_of_no_chance_at_all_is_still_ranked():
    rows = results([[0.0, -2000.0], [0.0, 2000.0]], [0, 1], breast=["L", "R"])
    assert unit_results(rows, multi_label=False)["breast"].figures(["no", "yes"])["auroc"] == 1


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_task_logs_and_a_test_prints_them(stage, tmp_path, capsys):
    task, runner = early_intervention(), trainer(tmp_path)
    [figures] = getattr(runner, stage)(task, datamodule=TinyDataModule(units=True), verbose=False)
    prefix = "val" if stage == "validate" else "test"
    for kind, count in (("breast", 7), ("exam", 4)):
        expected = task.units[kind].figures(CLASSES)
        found = {name: figures[f"{prefix}/{kind}/{name}"] for name in expected}
        assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)
        assert found["units"] == count
    assert figures[f"{prefix}/breast/labels_disagree"] == 6
    printed = " ".join(capsys.readouterr().out.split())
    assert ("test, 13 cases, 7 by breast, 4 by exam" in printed) == (stage == "test")
    assert (f" by exam {task.units['exam'].figures(CLASSES)['map']:.3f} " in printed) == (stage == "test")


def test_the_data_say_which_class_is_more_severe(tmp_path):
    data = TinyDataModule(units=True)
    data.class_severity = [2, 0, 1]
    task = unimodal()
    trainer(tmp_path).test(task, datamodule=data, verbose=False)
    assert task.units["breast"].label.tolist() == [1, 0, 1, 1, 0, 1, 0]  # of cases 0 1, 2 0, 1 2, 0 1, 2 0, 1 2, 0
    data.class_severity = [2, 0]
    with pytest.raises(ConfigurationError, match=r"TinyDataModule.class_severity: severity is \[2, 0\]"):
        trainer(tmp_path).test(unimodal(), datamodule=data, verbose=False)
    assert severity_of(None, num_classes=3) == [0, 1, 2]


@pytest.mark.parametrize("kind", ["derm", "case", "group", "subset"])
def test_a_kind_that_would_be_taken_for_something_else_is_refused(kind):
    with pytest.raises(ConfigurationError, match=f"unit '{kind}': .* another"):
        unit_results(results([[0.0, 1.0]], [0], **{kind: ["a"]}), multi_label=False)


def test_a_unit_in_two_larger_ones_is_named():
    rows = results(logits_of([0.5] * 3), [0, 1, 1], breast=["L", "R", "L"], exam=["e", "e", "f"])
    with pytest.raises(ConfigurationError, match="breast 'L' is part of exam 'e' and of exam 'f'"):
        unit_results(rows, multi_label=False)
    split = replace(rows, units={"breast": ["L", "R", "L"]}, group_id=["p", "q", "q"])
    with pytest.raises(ConfigurationError, match="breast 'L' is part of group 'p' and of group 'q'"):
        unit_results(split, multi_label=False)


def test_units_stay_with_their_rows():
    rows = results(logits_of([0.1] * 6), [0] * 6, **SIX)
    assert join([rows.select([0, 1]), rows.select([5])]).units == {"breast": ["L", "R", "O"], "exam": ["e", "e", "f"]}
    assert rows.labelled().units == SIX
