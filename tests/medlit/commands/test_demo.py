"""The demo from end to end on a smaller set, and with it that Early Intervention is what makes the difference."""

import json

import polars as pl
import pytest

from benchmarks.look_alike import SWAPPED, figures
from data_modules.errors import DataSettingsError
from data_modules.synthetic import derm7pt
from data_modules.synthetic.tree import MARKER
from medlit.commands import demo
from tests.medlit.command_line import warm_run

CASES = 240

pytestmark = pytest.mark.slow


def leave_an_earlier_demo(path):
    """What a demo on another set would have left behind."""
    derm7pt.write(path / "data", cases=10, seed=1, img_size=24)
    for run in demo.runs(path):
        (run.folder / "checkpoints").mkdir(parents=True)
        (run.folder / "manifest.json").write_text(json.dumps({"versions": {"medlit": "0.0.1"}}))
        (run.folder / "checkpoints" / "best.ckpt").write_text("of the earlier demo")


OTHERS = {"mmc_amd": (160, 40), "mrnet": (160, 16)}
"""Cases and epochs of the smaller demos of other sets; of MRNet a case has twelve images."""


@pytest.fixture(scope="module", autouse=True)
def forked_commands():
    """Each training is a command in a process of its own, as ever, but for the imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "run_medlit", warm_run)
        yield


@pytest.mark.parametrize("name", OTHERS)
def test_early_intervention_makes_the_difference_on_other_sets_too(name, tmp_path):
    cases, epochs = OTHERS[name]
    words = ["--set", name, "--dir", str(tmp_path), "--cases", str(cases), "--epochs", str(epochs)]
    assert demo.main(words) == 0
    maps = {title: figures["map"] for title, figures in demo.compare(tmp_path, name=name).items()}
    alone = [maps[f"{modality} alone"] for modality in demo.MODALITIES[name]]
    assert maps[demo.FUSED] >= max(alone) + 0.25
    assert f"| {demo.mean_row(name)} |" in (tmp_path / demo.RESULTS).read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "demo"
    leave_an_earlier_demo(path)
    assert demo.main(["--dir", str(path), "--cases", str(CASES), "--seed", "0"]) == 0
    return path


@pytest.fixture(scope="module")
def maps(folder):
    return figures(folder)


def better_unimodal(maps):
    return max(maps["clinic alone"], maps["derm alone"])


def test_early_intervention_reads_what_no_single_photograph_says(maps):
    assert maps[demo.FUSED] >= 0.80
    assert maps[demo.FUSED] >= better_unimodal(maps) + 0.40


def test_a_photograph_alone_tells_the_class_in_part(maps):
    for modality in demo.MODALITIES["derm7pt"]:
        assert 0.22 < maps[f"{modality} alone"] < 0.50


def test_the_sum_of_the_separate_evidence_does_not_replace_it(maps):
    assert maps[demo.mean_row()] <= maps[demo.FUSED] - 0.20


def test_with_the_tokens_of_other_cases_the_gain_is_gone(maps):
    assert maps[SWAPPED] <= better_unimodal(maps) + 0.05


def test_every_run_has_its_folder_and_a_row_per_case(folder):
    for run in demo.runs(folder):
        assert len(pl.read_parquet(run.predictions)) == CASES * 3 // 10
        manifest = json.loads((run.folder / "manifest.json").read_text())
        assert manifest["seed"] == 0
        assert (run.folder / "config.yaml").is_file()
        assert (run.folder / "checkpoints" / "best.ckpt").is_file()


def test_the_table_is_kept_as_markdown(folder):
    text = (folder / demo.RESULTS).read_text()
    for row in (demo.FUSED, demo.mean_row(), "clinic alone", "derm alone"):
        assert f"| {row} |" in text


def test_it_replaces_an_earlier_demo(folder):
    assert json.loads((folder / "data" / MARKER).read_text())["cases"] == CASES
    for run in demo.runs(folder):
        assert (run.folder / "checkpoints" / "best.ckpt").stat().st_size > 1000


def test_somebody_elses_data_are_left_alone(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("")
    with pytest.raises(DataSettingsError, match="not empty"):
        demo.main(["--dir", str(tmp_path)])
