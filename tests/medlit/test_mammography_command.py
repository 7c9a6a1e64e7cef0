"""From a raw set to figures by image, breast and exam, through the installed command."""

import json

import polars as pl
import pytest

from tests.medlit.command_line import medlit, tiny, warm


@pytest.mark.slow
def test_a_set_is_drawn_prepared_and_learned(tmp_path):
    raw, prepared, run = (tmp_path / name for name in ("raw", "prepared", "run"))
    synth = medlit("data", "synth", "rsna_mammo", "--root", raw, "--cases", 24, "--img_size", 64)
    assert synth.returncode == 0, synth.stderr
    prepare = medlit("data", "prepare", "rsna_mammo", "--root", raw, "--out", prepared, "--workers", 1)
    assert prepare.returncode == 0, prepare.stderr
    fit = warm("fit", *tiny(prepared, run, experiment="unimodal_rsna_mammo"), "--trainer.max_epochs", 1)
    assert fit.returncode == 0, fit.stderr
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["synthetic"] is True
    assert {"train.csv", "manifest.parquet", "prepared.json"} < manifest["data_hashes"].keys()
    images, breasts, exams = (
        pl.read_parquet(run / f"predictions_test{unit}.parquet") for unit in ("", "_breast", "_exam")
    )
    assert set(images["breast_id"]) == set(breasts["breast_id"])
    assert set(images["exam_id"]) == set(exams["exam_id"])
    assert len(images) > len(breasts) > len(exams) > 0
    figures = json.loads((run / "figures_test.json").read_text())
    assert (figures["cases"], figures["synthetic"], figures["screening_prevalence"]) == (len(images), True, 0.005)
    sites = [figures["strata"][f"site={number}"]["cases"] for number in (1, 2)]
    assert sum(sites) == len(images)
    assert "cancer, at the threshold for 90 % specificity of the validation" in " ".join(fit.stdout.split())
    # the checkpoint alone says the same again: thresholds are not chosen anew
    before = (run / "figures_test.json").read_bytes()
    test = warm("test", "--config", run / "config.yaml")
    assert test.returncode == 0, test.stderr
    assert (run / "figures_test.json").read_bytes() == before
