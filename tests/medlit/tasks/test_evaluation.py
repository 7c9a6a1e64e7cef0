"""A task that only judges: thresholds of its validation, kept in the checkpoint, are those of its test."""

import math

import pytest
import torch

from medlit.callbacks import FiguresWriter
from medlit.errors import CheckpointMismatchError
from medlit.metrics import choose_thresholds, classification_metrics, decisions_at, predictive_values
from medlit.tasks.units import unit_results
from tests.medlit.tasks.judged import CANCER, GivenData, cancers, case, task
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal

SCREENING = {"positive_class": 1, "natural_prevalence": True, "screening_prevalence": 0.005}
SITES = ["1", "2"]


def drawn(n, *, seed, share=0.3, apart=1.0):
    generator = torch.Generator().manual_seed(seed)
    labels = (torch.rand(n, generator=generator) < share).long()
    scores = torch.randn(n, generator=generator) + apart * labels
    return scores.tolist(), labels.tolist()


def with_units(n):
    """Two images a breast, two breasts an exam; of two sites, exams whole."""
    return {
        "units": [{"breast": f"b{row // 2}", "exam": f"e{row // 4}"} for row in range(n)],
        "strata": [{"site": SITES[row // 4 % 2]} for row in range(n)],
        "group_id": [f"g{row // 4}" for row in range(n)],
    }


def data(*, parts=False, **said):
    """80 cases to validate and 80 to test; with ``parts`` they are images of breasts at two sites."""
    n = 80
    more = with_units(n) if parts else {}
    return GivenData(
        {stage: cancers(*drawn(n, seed=seed), **more) for stage, seed in (("val", 0), ("test", 1))},
        **{**SCREENING, **said},
    )


def validated(folder, cases):
    """A checkpoint of a task that was validated on the cases."""
    runner, judge = trainer(folder), task(cases.names)
    runner.validate(judge, datamodule=cases, verbose=False)
    runner.save_checkpoint(folder / "best.ckpt")
    return folder / "best.ckpt"


def run_test(folder, cases, checkpoint=None, callbacks=()):
    """A fresh task, tested from a checkpoint or without, and what it logged."""
    judge = task(cases.names)
    runner = trainer(folder, callbacks=list(callbacks), enable_checkpointing=False)
    given = {} if checkpoint is None else {"ckpt_path": checkpoint, "weights_only": True}
    [logged] = runner.test(judge, datamodule=cases, verbose=False, **given)
    return judge, logged


def scores_and_truth(cases, stage):
    logits = torch.stack([sample["images"]["mammogram"].flatten() for sample in cases.cases[stage]]).double()
    return logits[:, 1] - logits[:, 0], torch.stack([sample["label"] for sample in cases.cases[stage]]) == 1


def test_a_task_without_a_loss_logs_the_figures_of_its_heads(tmp_path):
    cases = GivenData({"test": cancers(*drawn(20, seed=0))})
    judge, logged = run_test(tmp_path, cases)
    expected = classification_metrics(judge.case_results.answer, judge.case_results.label, class_names=CANCER)
    assert {name: logged[f"test/{name}"] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert logged["test/other/auroc"] == logged["test/auroc"]
    assert "test/loss" not in logged
    assert not any("specificity_90" in name or "pf1" in name for name in logged)  # nobody asked for them


def test_thresholds_are_the_validations_and_travel_with_the_checkpoint(tmp_path):
    cases = data()
    checkpoint = validated(tmp_path, cases)
    judge, logged = run_test(tmp_path, cases, checkpoint)
    thresholds = choose_thresholds(*scores_and_truth(cases, "val"))
    assert judge.operating_points["mammogram"] == {"answer": pytest.approx(thresholds)}
    scores, positive = scores_and_truth(cases, "test")
    for point, threshold in thresholds.items():
        decisions = decisions_at(scores, positive, threshold)
        own = predictive_values(decisions, prevalence=positive.double().mean().item())
        stated = predictive_values(decisions, prevalence=0.005)
        expected = decisions | own | {f"{name}_screening": value for name, value in stated.items()}
        assert {name: logged[f"test/{point}/{name}"] for name in expected} == pytest.approx(expected, abs=1e-6)
    # the same rule on the test's own cases would have said something else
    assert choose_thresholds(scores, positive) != pytest.approx(thresholds)


def test_each_head_and_kind_of_unit_has_its_own(tmp_path):
    cases = data(parts=True)
    judge, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert set(judge.operating_points) == {"mammogram", "other", "breast", "exam", "other/breast", "other/exam"}
    points = {name: asked["answer"]["youden"] for name, asked in judge.operating_points.items()}
    assert points["other"] == pytest.approx(2 * points["mammogram"])  # its scores are twice as large
    assert len({points["mammogram"], points["breast"], points["exam"]}) == 3
    assert logged["test/other/youden/sensitivity"] == logged["test/youden/sensitivity"]
    scores, labels = judge.units["breast"].labelled()
    expected = decisions_at(scores[:, 1] - scores[:, 0], labels == 1, points["breast"])
    assert logged["test/breast/youden/sensitivity"] == pytest.approx(expected["sensitivity"], abs=1e-6)
    assert logged["test/exam/pf1_screening"] < logged["test/exam/pf1"]
    # the other answer has its breasts and exams too; its probabilities are others, in the same order of images
    assert logged["test/other/auroc"] == logged["test/auroc"]
    other = unit_results(judge.case_results, multi_label=False, head="other")["breast"].figures(CANCER)
    assert logged["test/other/breast/auroc"] == pytest.approx(other["auroc"], abs=1e-6)
    assert logged["test/site=1/other/exam/units"] == 10


def test_a_validation_has_no_figures_at_thresholds_chosen_on_it(tmp_path):
    [logged] = trainer(tmp_path).validate(task(CANCER), datamodule=data(parts=True), verbose=False)
    assert "val/breast/auroc" in logged
    assert not any(word in name for name in logged for word in ("youden", "specificity_9", "pf1", "site"))


def test_without_thresholds_a_test_says_so(tmp_path, capsys):
    _, logged = run_test(tmp_path, data())
    assert not any("specificity_90" in name for name in logged)
    assert "test/pf1_screening" in logged  # needs none
    printed = " ".join(capsys.readouterr().out.split())
    assert "no thresholds: the checkpoint holds none of a validation; medlit fit writes them" in printed


def test_a_balanced_test_has_no_figures_of_a_population(tmp_path, capsys):
    cases = data(natural_prevalence=False, screening_prevalence=None)
    _, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert "test/specificity_90/sensitivity" in logged
    names = {part for name in logged for part in name.split("/")}
    assert not names & {"ppv", "npv", "pf1", "brier", "ece", "prevalence"}
    assert not any(name.endswith("_screening") for name in names)
    assert "classes are not as frequent" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
def test_figures_of_a_site_are_those_of_its_cases_alone_at_the_same_thresholds(tmp_path):
    cases = data(parts=True)
    checkpoint = validated(tmp_path, cases)
    judge, logged = run_test(tmp_path, cases, checkpoint)
    for site in SITES:
        alone = GivenData(
            {
                stage: [s for s in rows if stage == "val" or s["strata"]["site"] == site]
                for stage, rows in cases.cases.items()
            },
            **SCREENING,
        )
        _, expected = run_test(tmp_path, alone, checkpoint)
        classes = tuple(f"/{name}" for name in CANCER)
        for name, value in expected.items():
            if "site" not in name and not name.endswith(classes):
                assert logged[name.replace("test/", f"test/site={site}/")] == pytest.approx(
                    value, abs=1e-6, nan_ok=True
                )
        assert logged[f"test/site={site}/cases"] == 40
    assert list(judge.figures.strata) == ["site=1", "site=2"]
    assert "test/sensitivity/cancer" in logged
    assert "test/site=1/sensitivity/cancer" not in logged


def test_a_validation_without_positives_leaves_the_threshold_out_in_words(tmp_path, capsys):
    cases = data()
    cases.cases["val"] = [sample for sample in cases.cases["val"] if sample["label"] == 0]
    _, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert "test/specificity_90/sensitivity" in logged
    assert "test/youden/sensitivity" not in logged
    printed = " ".join(capsys.readouterr().out.split())
    assert "mammogram: no threshold youden: the validation lacked positive or negative cases" in printed


def test_scores_that_tie_call_nobody_and_that_is_said(tmp_path, capsys):
    cases = data()
    for sample in cases.cases["val"]:
        sample["images"]["mammogram"] = torch.zeros(1, 1, 1, 2)
    _, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert math.isinf(logged["test/specificity_90/threshold"])
    assert (logged["test/specificity_90/sensitivity"], logged["test/specificity_90/specificity"]) == (0, 1)
    assert "nobody is called positive at specificity_90" in " ".join(capsys.readouterr().out.split())


def birads(labels, *, seed=0):
    logits = torch.randn(len(labels), 7, generator=torch.Generator().manual_seed(seed))
    logits[range(len(labels)), labels] += 2
    return [case(row, own.tolist(), label) for row, (own, label) in enumerate(zip(logits, labels, strict=True))]


SUSPICIOUS = {"contrasts": {"suspicious": ([4, 5], [1, 2])}, "ordinal_classes": [1, 2, 3, 4, 5]}


def test_suspicious_against_benign_judges_those_alone_and_reports_the_others_apart(tmp_path, capsys):
    labels = [row % 7 for row in range(140)]
    cases = GivenData({"val": birads(labels, seed=1), "test": birads(labels)}, **SUSPICIOUS, natural_prevalence=True)
    judge, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    logits, label = judge.case_results.answer.double(), judge.case_results.label
    chances = logits.softmax(dim=1)
    score = (chances[:, [4, 5]].sum(dim=1) / chances[:, [1, 2]].sum(dim=1)).log()
    kept = torch.isin(label, torch.tensor([1, 2, 4, 5]))
    positive = label >= 4
    expected = decisions_at(score[kept], positive[kept], 0.0) | {"positives": 40, "negatives": 40}
    assert {name: logged[f"test/suspicious/{name}"] for name in expected} == pytest.approx(expected, abs=1e-6)
    two = torch.stack([-score, score], dim=1)[kept]
    assert logged["test/suspicious/auroc"] == pytest.approx(classification_metrics(two, positive[kept].long())["auroc"])
    for index in (0, 3, 6):
        assert logged[f"test/suspicious/cases/BI-RADS {index}"] == 20
        share = (score[label == index] >= 0).double().mean().item()
        assert logged[f"test/suspicious/called/BI-RADS {index}"] == pytest.approx(share)
        assert f"test/suspicious/youden/called/BI-RADS {index}" in logged
    assert logged["test/weighted_kappa_cases"] == 100
    assert "test/suspicious/specificity_95/ppv" in logged
    printed = " ".join(capsys.readouterr().out.split())
    assert "suspicious: BI-RADS 4, BI-RADS 5 against BI-RADS 1, BI-RADS 2" in printed
    kappa = f"mammogram {logged['test/weighted_kappa']:.3f}"
    assert f"weighted kappa among BI-RADS 1, BI-RADS 2, BI-RADS 3, BI-RADS 4, BI-RADS 5: {kappa}" in printed


def test_a_set_that_knows_no_suspicious_case_says_so(tmp_path, capsys):
    cases = GivenData({"val": birads([0, 1, 2] * 5), "test": birads([0, 1, 2] * 5)}, **SUSPICIOUS)
    _, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert "test/suspicious/auroc" not in logged
    assert logged["test/suspicious/specificity"] == logged["test/suspicious/specificity"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "mammogram, suspicious: no case is BI-RADS 4 or BI-RADS 5" in printed


def test_a_site_whose_cases_have_no_label_is_named(tmp_path):
    cases = data(parts=True)
    for sample in cases.cases["test"]:
        if sample["strata"]["site"] == "2":
            del sample["label"]
    judge, logged = run_test(tmp_path, cases, validated(tmp_path, cases))
    assert "site=2: no case has a label" in judge.figures.notes
    assert list(judge.figures.strata) == ["site=1"]
    assert (judge.figures.cases, judge.figures.without_label) == (40, 40)
    assert logged["test/cases_without_label"] == 40


@pytest.mark.parametrize("points", [[1], {"mammogram": 3}, {"mammogram": {"answer": {"youden": "0"}}}, {1: {}}])
def test_a_checkpoint_with_damaged_thresholds_is_refused(points, tmp_path):
    checkpoint = validated(tmp_path, data())
    content = torch.load(checkpoint, weights_only=True)
    content["medlit"]["operating_points"] = points
    torch.save(content, checkpoint)
    with pytest.raises(CheckpointMismatchError, match=r"best.ckpt: its operating points .* damaged"):
        run_test(tmp_path, data(), checkpoint)


def test_heads_of_one_modality_have_figures_but_no_row_in_the_tables_of_a_question(tmp_path, capsys):
    cases = TinyDataModule()
    cases.contrasts = {"MEL or BCC": ([2, 0], [1])}
    [logged] = trainer(tmp_path).test(early_intervention(test_subsets=False), datamodule=cases, verbose=False)
    assert {"test/MEL or BCC/auroc", "test/clinic/MEL or BCC/auroc"} <= logged.keys()
    table = capsys.readouterr().out.partition("MEL or BCC: MEL, BCC against NEV")[2]
    assert "fused" in table
    assert "clinic" not in table.partition("classes are not as frequent")[0]


def test_a_classifier_keeps_its_thresholds_beside_its_weights(tmp_path):
    cases = TinyDataModule()
    cases.contrasts = {"MEL or BCC": ([2, 0], [1])}
    runner, judge = trainer(tmp_path), unimodal()
    runner.validate(judge, datamodule=cases, verbose=False)
    runner.save_checkpoint(tmp_path / "last.ckpt")
    again = unimodal()
    writer = trainer(tmp_path, callbacks=[FiguresWriter()], enable_checkpointing=False)
    [logged] = writer.test(again, datamodule=cases, ckpt_path=tmp_path / "last.ckpt", weights_only=True, verbose=False)
    assert again.operating_points == judge.operating_points
    assert logged["test/MEL or BCC/youden/threshold"] == pytest.approx(
        again.operating_points["derm"]["MEL or BCC"]["youden"]
    )
