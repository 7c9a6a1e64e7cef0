"""Every figure of a test is in one file, the same bytes for the same test."""

import json

import pytest

from medlit.callbacks import FiguresWriter
from medlit.run_folder import OUTPUTS
from tests.medlit.tasks.judged import GivenData, cancers, task
from tests.medlit.tasks.test_evaluation import data, run_test, validated
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal

NAME = "figures_test.json"


def read(folder):
    return json.loads((folder / NAME).read_text(encoding="utf-8"))


def test_holds_all_that_the_test_logged_at_full_precision(tmp_path):
    cases = data(parts=True)
    judge, logged = run_test(tmp_path, cases, validated(tmp_path, cases), [FiguresWriter()])
    found = read(tmp_path)
    flat = {}
    for start, part in [("", found), *((f"{name}/", stratum) for name, stratum in found["strata"].items())]:
        flat |= {f"{start}{name}": value for name, value in part["heads"][found["answer"]].items()}
        for owner in ("heads", "units"):
            for key, figures in part[owner].items():
                flat |= {f"{start}{key}/{name}": value for name, value in figures.items()}
        for head, kinds in part["other_units"].items():
            for kind, figures in kinds.items():
                flat |= {f"{start}{head}/{kind}/{name}": value for name, value in figures.items()}
    flat |= {f"{name}/cases": stratum["cases"] for name, stratum in found["strata"].items()}
    names = {name.removeprefix("test/") for name in logged}
    assert names <= set(flat)
    assert {name: logged[f"test/{name}"] for name in names} == pytest.approx({n: flat[n] for n in names}, abs=1e-6)
    assert (found["answer"], found["cases"], found["class_names"]) == ("mammogram", 80, ["no cancer", "cancer"])
    assert (found["natural_prevalence"], found["screening_prevalence"], found["synthetic"]) == (True, 0.005, False)
    assert found["operating_points"] == judge.operating_points
    assert found["heads"]["mammogram"] == judge.figures.heads["mammogram"]


def test_the_same_test_gives_the_same_bytes_in_sorted_keys(tmp_path):
    cases = data()
    checkpoint = validated(tmp_path, cases)
    texts = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        run_test(folder, cases, checkpoint, [FiguresWriter()])
        texts.append((folder / NAME).read_bytes())
    assert texts[0] == texts[1]
    assert str(tmp_path).encode() not in texts[0]
    content = json.loads(texts[0])
    assert texts[0].decode() == json.dumps(content, indent=1, sort_keys=True) + "\n"


def test_what_is_no_number_is_null(tmp_path):
    cases = GivenData({"test": cancers([0.5, 1.0, 2.0], [0, 0, 0])}, synthetic=True)
    run_test(tmp_path, cases, None, [FiguresWriter()])
    found = read(tmp_path)
    assert found["heads"]["mammogram"]["auroc"] is None
    assert found["synthetic"] is True


def test_has_the_loss_the_subsets_and_what_cases_lack(tmp_path):
    writer = trainer(tmp_path, callbacks=[FiguresWriter()], enable_checkpointing=False)
    [logged] = writer.test(early_intervention(), datamodule=TinyDataModule(lacking={"clinic": [0, 1]}), verbose=False)
    found = read(tmp_path)
    assert found["loss"]["loss"] == pytest.approx(logged["test/loss"])
    assert found["absent"] == {"clinic": 2}
    assert found["subsets"]["clinic"]["cases"] == 11
    assert found["subsets"]["clinic"]["map"] == pytest.approx(logged["test/subset/clinic/map"])
    assert (found["strata"], found["notes"], found["units"]) == ({}, [], {})


def test_is_a_file_of_the_run_and_a_trial_run_leaves_none(tmp_path):
    assert NAME in OUTPUTS
    trainer(tmp_path, callbacks=[FiguresWriter()], fast_dev_run=True).test(
        unimodal(), datamodule=TinyDataModule(), verbose=False
    )
    assert not (tmp_path / NAME).exists()


def test_a_validation_writes_nothing(tmp_path):
    writer = trainer(tmp_path, callbacks=[FiguresWriter()], enable_checkpointing=False)
    writer.validate(task(["no cancer", "cancer"]), datamodule=data(), verbose=False)
    assert not (tmp_path / NAME).exists()
