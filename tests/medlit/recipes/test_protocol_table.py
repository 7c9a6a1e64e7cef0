"""The table of a protocol: which figure of which run stands where, and that nothing else moves it."""

import csv
import json
from pathlib import Path
from statistics import fmean, stdev

import pytest
import yaml

from medlit.errors import ConfigurationError
from medlit.recipes import protocol_rows, protocol_table
from medlit.recipes.plan import plan
from medlit.recipes.recipe import read_recipe

RECIPE = {
    "name": "small",
    "seeds": [0, 1],
    "stages": {
        "zero": {"configs": ["x.yaml"], "seeds": [0]},
        "probe": {
            "configs": ["x.yaml"],
            "variants": {
                "few": {"set": {"data.init_args.label_fraction": 0.01}, "seeds": [0, 1, 2]},
                "all": {"set": {"data.init_args.label_fraction": 1.0}},
            },
        },
    },
    "protocol": [
        {
            "set": "RSNA",
            "target": "cancer",
            "case": "image",
            "rows": {
                "zero-shot": {"stage": "zero", "labels": "none"},
                "probe": {"stage": "probe"},
                "kNN": {"stage": "probe", "head": "knn"},
            },
        }
    ],
}


def figures(value):
    """All kinds of figures of a set; ``value`` tells them apart."""
    screening = {"specificity_90/sensitivity": value, "specificity_90/ppv": value / 2, "pf1_screening": value / 4}
    image = {"auroc": value + 0.1, "auroc_softmax": value, "balanced_accuracy": value, "odd": None, **screening}
    heads = {"knn": {"auroc": value + 0.3}, "linear": image}
    units, others = {"breast": {"auroc": value + 0.01}}, {"knn": {"breast": {"auroc": value + 0.02}}}
    return {"heads": heads, "units": units, "other_units": others}


def write_run(job, value, *, counts=True, synthetic=True):
    job.folder.mkdir(parents=True)
    content = {**figures(value), "answer": "linear", "strata": {"site=1": figures(value - 0.05)}}
    (job.folder / "figures_test.json").write_text(json.dumps(content, sort_keys=True))
    training = {"patients": 40 + job.seed, "positive_patients": 3 + job.seed, "positive_classes": ["cancer"]}
    manifest = {"synthetic": synthetic, "created": f"now {value}", **({"training_counts": training} if counts else {})}
    (job.folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A recipe whose runs are finished, and their value by stage and seed."""
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("")
    Path("r.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    recipe = read_recipe("r.yaml")
    jobs = plan(recipe, Path("out"))
    values = {key: 0.5 + 0.03 * number for number, key in enumerate(jobs)}
    for key, job in jobs.items():
        write_run(job, values[key])
    return recipe, jobs, values


def table(text, number=0):
    """One of the tables of a Markdown, a dictionary for each line."""
    blocks = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            blocks[-1].append([cell.strip() for cell in line.split("|")[1:-1]])
        elif blocks[-1]:
            blocks.append([])
    head, _, *lines = blocks[number]
    return [dict(zip(head, line, strict=True)) for line in lines]


def of(values, stage):
    return [value for key, value in values.items() if key[0] == stage]


def test_a_row_for_each_method_and_share_with_what_its_labels_were(made):
    recipe, jobs, _ = made
    lines = table(protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs), title="t"))
    assert [(line["method"], line["labels"], line["patients"], line["positives"], line["n"]) for line in lines] == [
        ("zero-shot", "none", "", "", "1"),
        ("probe", "1 %", "40 to 42", "3 to 5", "3"),
        ("probe", "100 %", "40 to 41", "3 to 4", "2"),
        ("kNN", "1 %", "40 to 42", "3 to 5", "3"),
        ("kNN", "100 %", "40 to 41", "3 to 4", "2"),
    ]


def test_figures_are_means_over_seeds_by_image_and_breast_of_each_head(made):
    recipe, jobs, values = made
    zero, few, _, knn, _ = table(protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs), title="t"))
    mine = of(values, "probe/few")
    assert few["AUC, image"] == f"{fmean(mine):.3f} ± {stdev(mine):.3f}"  # by probability, as breasts are ranked
    assert few["AUC, breast"].startswith(f"{fmean(mine) + 0.01:.3f}")
    assert knn["AUC, image"].startswith(f"{fmean(mine) + 0.3:.3f}")
    assert knn["AUC, breast"].startswith(f"{fmean(mine) + 0.02:.3f}")
    assert zero["AUC, image"] == f"{of(values, 'zero')[0]:.3f}"  # one seed has no deviation
    assert knn["balanced accuracy, image"] == ""


def test_figures_of_a_diagnostic_test_have_a_row_by_unit_and_sites_their_own_tables(made):
    recipe, jobs, values = made
    text = protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs), title="t")
    line = table(text, 1)[0]
    value = of(values, "zero")[0]
    assert line == {
        "method": "zero-shot",
        "labels": "none",
        "by": "image",
        "sensitivity at 90 %": f"{value:.3f}",
        "PPV at 90 %": f"{value / 2:.3f}",
        "pF1, screening": f"{value / 4:.3f}",
    }
    assert "## RSNA, cancer, site=1" in text
    assert table(text, 2)[0]["AUC, image"] == f"{value - 0.05:.3f}"


def test_the_csv_has_every_figure_of_every_seed(made):
    recipe, jobs, values = made
    rows = protocol_rows.rows_of(recipe, jobs, jobs)
    out = Path("out")
    protocol_table.write(out, rows, title="t")
    wanted = {"method": "probe", "labels": "1 %", "stratum": "", "unit": "image", "figure": "specificity_90/ppv"}

    def lines(name):
        """The lines of that figure."""
        found = csv.DictReader((out / name).read_text().splitlines())
        return [line for line in found if wanted.items() <= line.items()]

    mine = of(values, "probe/few")
    assert [float(line["value"]) for line in lines(protocol_table.BY_SEED)] == [value / 2 for value in mine]
    assert [line["positives"] for line in lines(protocol_table.BY_SEED)] == ["3", "4", "5"]
    [line] = lines(protocol_table.TABLE)
    assert float(line["mean"]) == pytest.approx(fmean(mine) / 2)
    assert (line["n"], line["patients_min"], line["patients_max"]) == ("3", "40", "42")
    assert "odd" not in (out / protocol_table.TABLE).read_text()


def test_neither_times_nor_the_order_of_runs_move_a_byte(made):
    recipe, jobs, values = made
    texts = []
    for _ in range(2):
        protocol_table.write(Path("out"), protocol_rows.rows_of(recipe, jobs, jobs), title="t")
        texts.append([(Path("out") / name).read_bytes() for name in ("protocol.md", "protocol.csv")])
        for key, job in reversed(jobs.items()):
            manifest = json.loads((job.folder / "manifest.json").read_text())
            (job.folder / "manifest.json").write_text(json.dumps({**manifest, "created": f"later {values[key]}"}))
    assert texts[0] == texts[1]


def test_a_seed_counts_where_it_is_finished(made):
    recipe, jobs, _ = made
    rows = protocol_rows.rows_of(recipe, jobs, [key for key in jobs if key[1] == 0])
    assert [len(row.figures) for row in rows] == [1] * 5
    rows = protocol_rows.rows_of(recipe, jobs, [])
    assert [line["n"] for line in table(protocol_table.markdown(rows, title="t"))] == [""] * 5


@pytest.mark.parametrize(("synthetic", "said"), [(True, True), (False, False)])
def test_of_a_look_alike_the_table_says_so(made, synthetic, said):
    recipe, jobs, _ = made
    for job in jobs.values():
        (job.folder / "manifest.json").write_text(json.dumps({"synthetic": synthetic}))
    text = protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs), title="t")
    assert ("look-alike" in text) is said


def test_a_figure_that_some_seeds_lack_says_how_many_have_it(made):
    recipe, jobs, values = made
    file = jobs["probe/few", 1, None].folder / "figures_test.json"
    content = json.loads(file.read_text())
    del content["heads"]["linear"]["specificity_90/ppv"]  # nobody was called positive
    file.write_text(json.dumps(content))
    text = protocol_table.markdown(protocol_rows.rows_of(recipe, jobs, jobs), title="t")
    known = [value / 2 for value in (of(values, "probe/few")[0], of(values, "probe/few")[2])]
    line = next(line for line in table(text, 1) if (line["method"], line["labels"]) == ("probe", "1 %"))
    assert line["PPV at 90 %"] == f"{fmean(known):.3f} ± {stdev(known):.3f} (2 of 3)"
    assert "of 3" not in line["sensitivity at 90 %"]


def test_the_share_of_labels_is_what_the_training_says_wherever_it_was_set(made):
    recipe, jobs, _ = made
    for seed in (0, 1):
        file = jobs["probe/all", seed, None].folder / "manifest.json"
        content = json.loads(file.read_text())
        content["training_counts"]["label_fraction"] = 0.1  # by an overlay
        file.write_text(json.dumps(content))
    rows = protocol_rows.rows_of(recipe, jobs, jobs)
    assert [row.labels for row in rows if row.method == "probe"] == ["1 %", "10 %"]


def test_a_head_that_is_not_there_is_told_with_those_that_are(made):
    recipe, jobs, _ = made
    file = jobs["probe/few", 1, None].folder / "figures_test.json"
    content = json.loads(file.read_text())
    del content["heads"]["knn"]
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError, match=r"probe/few, seed 1: .* has no head 'knn'; its heads are linear"):
        protocol_rows.rows_of(recipe, jobs, jobs)
    file.unlink()
    with pytest.raises(ConfigurationError, match=r"probe/few, seed 1: no figures of a test in"):
        protocol_rows.rows_of(recipe, jobs, jobs)
