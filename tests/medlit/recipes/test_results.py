"""The table: means and sample deviations over seeds, folds pooled, what was published beside."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
import yaml

from medlit.errors import ConfigurationError
from medlit.metrics import classification_metrics
from medlit.recipes import results
from medlit.recipes.plan import plan
from medlit.recipes.published import Published, published_file, read_published
from medlit.recipes.recipe import read_recipe

NAMES = ("a", "b", "c")


def recipe(tmp_path, monkeypatch, **changes):
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("")
    stages = {"first": {"configs": ["x.yaml"]}, "second": {"configs": ["x.yaml"]}}
    content = {"name": "small", "seeds": [0, 1, 2], "stages": stages, **changes}
    Path("r.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    read = read_recipe("r.yaml")
    return read, plan(read, Path("out"))


def write_predictions(job, cases, *, multi_label=False):
    """Random logits for numbered cases, in an order of its own; labels belong to the case."""
    generator = np.random.default_rng([len(job.stage), job.seed, job.fold or 0])
    cases = generator.permutation(cases)
    columns = {"case_id": [f"case {case}" for case in cases]}
    if multi_label:
        columns |= {f"label_{name}": [int(case >> bit) % 2 for case in cases] for bit, name in enumerate(NAMES)}
    else:
        columns["label"] = [int(case) % 3 for case in cases]
    columns |= {f"logit_{name}": generator.normal(size=len(cases)).astype(np.float32) for name in NAMES}
    columns |= {f"gate_{name}": generator.normal(size=len(cases)) for name in NAMES}
    job.folder.mkdir(parents=True)
    table = pl.DataFrame(columns)
    table.write_parquet(job.predictions)
    return table.sort("case_id")


def logits(table):
    return table.select([f"logit_{name}" for name in NAMES]).to_numpy().astype(float)


def slow_metrics(values, labels):
    return classification_metrics(torch.tensor(values), torch.tensor(labels))


def test_mean_and_deviation_over_seeds(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch)
    tables = {key: write_predictions(job, range(30)) for key, job in jobs.items()}
    first, _ = results.rows_of(read, jobs, jobs.keys())
    own = [
        slow_metrics(logits(tables["first", seed, None]), tables["first", 0, None]["label"].to_list())
        for seed in (0, 1, 2)
    ]
    maps = [figures["map"] for figures in own]
    assert first.cases == 30
    assert first.values("map") == pytest.approx(maps)
    assert first.mean("map") == pytest.approx(np.mean(maps))
    assert first.deviation("map") == pytest.approx(np.std(maps, ddof=1))


def test_a_row_of_several_stages_averages_their_logits(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], compare={"both": ["first", "second"]})
    first, second = (write_predictions(jobs[stage, 0, None], range(30)) for stage in ("first", "second"))
    (row,) = results.rows_of(read, jobs, jobs.keys())
    mean = (logits(first) + logits(second)) / 2
    assert row.figures[0]["map"] == pytest.approx(slow_metrics(mean, first["label"].to_list())["map"])


def test_several_labels(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], compare={"row": "first"})
    table = write_predictions(jobs["first", 0, None], range(32), multi_label=True)
    (row,) = results.rows_of(read, jobs, jobs.keys())
    labels = table.select([f"label_{name}" for name in NAMES]).to_numpy().tolist()
    assert row.figures[0] == pytest.approx(
        {key: slow_metrics(logits(table), labels)[key] for key in row.figures[0]}, nan_ok=True
    )


def test_folds_are_pooled_every_case_once(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], num_folds=3, compare={"row": "first"})
    parts = [write_predictions(jobs["first", 0, fold], range(fold, 30, 3)) for fold in range(3)]
    (row,) = results.rows_of(read, jobs, jobs.keys())
    pool = pl.concat(parts).sort("case_id")
    assert row.cases == 30
    assert row.figures[0]["map"] == pytest.approx(slow_metrics(logits(pool), pool["label"].to_list())["map"])


def test_a_case_of_two_folds_is_refused(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], num_folds=3, compare={"row": "first"})
    for fold in range(3):
        write_predictions(jobs["first", 0, fold], range(9))
    with pytest.raises(ConfigurationError, match="tested more than once"):
        results.rows_of(read, jobs, jobs.keys())


@pytest.mark.parametrize("shift", [0, 1])
def test_a_stage_that_tests_what_its_source_was_trained_on_is_refused(tmp_path, monkeypatch, shift):
    stages = {"first": {"configs": ["x.yaml"]}, "second": {"configs": ["x.yaml"], "init_from": {"m": "first"}}}
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], num_folds=3, stages=stages)
    for fold in range(3):
        write_predictions(jobs["first", 0, fold], range(fold, 24, 3))
        write_predictions(jobs["second", 0, fold], range((fold + shift) % 3, 30, 3))  # some the first one cannot read
    if shift:
        with pytest.raises(
            ConfigurationError, match=r"second, seed 0, fold 0 tests case .* \(8 in all\), on which first"
        ):
            results.rows_of(read, jobs, jobs.keys())
    else:
        assert [row.cases for row in results.rows_of(read, jobs, jobs.keys())] == [24, 30]


@pytest.mark.parametrize("synthetic", [True, False, None])
def test_of_a_look_alike_the_table_says_so(tmp_path, monkeypatch, synthetic):
    read, jobs = recipe(tmp_path, monkeypatch, seeds=[0], compare={"row": "first"})
    write_predictions(jobs["first", 0, None], range(30))
    if synthetic is not None:
        (jobs["first", 0, None].folder / "manifest.json").write_text(json.dumps({"synthetic": synthetic}))
    text = results.markdown(results.rows_of(read, jobs, jobs.keys()), PUBLISHED, title="t")
    assert (results.LOOK_ALIKE in text) == bool(synthetic)


def test_of_folds_the_table_says_what_is_pooled_and_what_was_published(tmp_path):
    rows = [results.Row(title="row", cases=12, figures={0: dict.fromkeys(results.COLUMNS, 0.5)})]
    assert results.POOLED not in results.markdown(rows, PUBLISHED, title="t")
    text = results.markdown(rows, PUBLISHED, title="t", pooled=True)
    assert results.POOLED in text
    assert results.OTHER_SPLITS in text
    assert results.OTHER_SPLITS not in results.markdown(rows, None, title="t", pooled=True)


def test_a_seed_counts_where_all_it_needs_is_finished(tmp_path, monkeypatch):
    read, jobs = recipe(tmp_path, monkeypatch, compare={"row": "first", "both": ["first", "second"]})
    for job in jobs.values():
        write_predictions(job, range(30))
    row, both = results.rows_of(read, jobs, set(jobs) - {("second", 1, None)})
    assert list(row.figures) == [0, 1, 2]
    assert list(both.figures) == [0, 2]


PUBLISHED = Published(source="somewhere", rows={"row": {"map": 0.5, "auroc": None}, "other": {"map": 0.25}, "none": {}})


def test_the_table_states_what_is_known_and_leaves_the_rest_blank(tmp_path):
    figures = {
        seed: {**dict.fromkeys(results.COLUMNS, 0.5), "map": value} for seed, value in enumerate((0.1, 0.2, 0.3))
    }
    rows = [
        results.Row(title="row", cases=12, figures=figures),
        results.Row(title="once", cases=12, figures={0: figures[0]}),
    ]
    text = results.write(tmp_path, rows, PUBLISHED, title="t")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    head, _, row, once, other = lines
    assert head[:6] == ["", "cases", "n", "mAP", "mAP published", "AUROC"]
    assert "AUROC published" not in head
    assert row[:6] == ["row", "12", "3", "0.200 ± 0.100", "0.500", "0.500 ± 0.000"]
    assert once[:6] == ["once", "12", "1", "0.100", "", "0.500"]  # one seed has no deviation
    assert other[:6] == ["other", "", "", "", "0.250", ""]
    assert "Published: somewhere." in text
    table = list(csv.DictReader((tmp_path / results.TABLE).read_text().splitlines()))
    assert [float(table[0][f"map_{kind}"]) for kind in ("mean", "sd", "published")] == pytest.approx([0.2, 0.1, 0.5])
    assert (table[1]["map_sd"], table[1]["source"], table[2]["source"]) == ("", "", "somewhere")
    by_seed = list(csv.DictReader((tmp_path / results.BY_SEED).read_text().splitlines()))
    assert [(line["row"], line["seed"], float(line["map"])) for line in by_seed] == [
        ("row", "0", 0.1),
        ("row", "1", 0.2),
        ("row", "2", 0.3),
        ("once", "0", 0.1),
    ]


def test_an_undefined_figure_stays_blank():
    row = results.Row(title="row", cases=3, figures={0: {"map": math.nan}, 1: {"map": 0.5}})
    assert "| row | 3 | 2 |  |" in results.markdown([row], None, title="t")


def test_the_published_figures_are_those_of_the_source():
    known = {
        name: {title: figures["map"] for title, figures in entry["rows"].items() if figures["map"] is not None}
        for name, entry in yaml.safe_load(published_file().read_text()).items()
    }
    derm7pt, mmc_amd, mrnet = (
        ("best baseline (MMRAD)", 0.566),
        ("best baseline (MMRAD)", 0.821),
        ("best baseline (MM-MIL)", 0.835),
    )
    assert known == {
        "derm7pt_dinov2_b": dict([("Early Intervention", 0.767), derm7pt]),
        "derm7pt_clip_b": dict([derm7pt]),
        "mmc_amd_dinov2_b": dict([("Early Intervention", 0.909), mmc_amd]),
        "mmc_amd_clip_b": dict([mmc_amd]),
        "mrnet_dinov2_b": dict([("Early Intervention", 0.848), mrnet]),
        "mrnet_clip_b": dict([mrnet]),
    }


def test_an_unknown_entry_is_told_with_the_nearest():
    with pytest.raises(ConfigurationError, match=r"no entry 'derm7pt_dino' .* did you mean 'derm7pt_dinov2_b'"):
        read_published("derm7pt_dino")


def test_an_unknown_metric_is_refused(tmp_path):
    (tmp_path / "p.yaml").write_text("x: {source: s, rows: {row: {mAP: 0.5}}}")
    with pytest.raises(ConfigurationError, match=r"x, row: unknown metrics \['mAP'\]"):
        read_published("x", file=tmp_path / "p.yaml")
