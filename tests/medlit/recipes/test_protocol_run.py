"""The shipped protocol on small EMBED and RSNA-Mammo, every stage of it, twice: the whole table, the same bytes."""

import csv

import pytest

from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.synthetic.tree import MARKER
from medlit import lightning_cli
from medlit.recipes import protocol_rows, protocol_table
from medlit.recipes.changes import changed
from medlit.recipes.plan import plan, state_of, write_record
from medlit.recipes.recipe import read_recipe
from tests.data_modules.mammography.prepared_trees import MAKERS, pretend_to_prepare
from tests.data_modules.mammography.rsna.trees import make_rsna
from tests.medlit.command_line import EXPERIMENTS

pytestmark = pytest.mark.slow

ROOT = EXPERIMENTS.parent
OVERLAYS = {
    "mama": ["mama_tiny"],
    "zero_shot_*": ["zero_shot_tiny"],
    "probe_*": ["probe_tiny"],
    "linear_*": ["probe_tiny", "sgd_tiny"],
    "finetune_*": ["probe_tiny", "sgd_tiny"],
}
EVERYWHERE = {
    "data.init_args.img_size": 16,
    "trainer.enable_model_summary": "false",
}
SETTINGS = {
    "[!m]*": {"trainer.logger": "false"},  # the pretraining logs its learning rate
    "mama": {
        "trainer.max_steps": 2,
        "trainer.limit_train_batches": 1,
        "trainer.check_val_every_n_epoch": 1,
        "model.init_args.late_start": 1,
    },
    "*_birads": {"data.init_args.balanced_test": "false"},  # of seven classes a tenth would be nothing
    "*_density": {"data.init_args.balanced_test": "false"},
    "linear_*": {"trainer.max_steps": 1, "trainer.limit_train_batches": 1, "trainer.check_val_every_n_epoch": 1},
    "finetune_*": {"trainer.max_steps": 1, "trainer.limit_train_batches": 1, "trainer.check_val_every_n_epoch": 1},
}


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """Look-alikes of noise, with official tables; they say that they are drawn."""
    folder = tmp_path_factory.mktemp("sets")
    makers = {"embed": MAKERS["embed"], "rsna_mammo": lambda root: make_rsna(root, patients=60)}
    for name, make in makers.items():
        (folder / name).mkdir()
        make(folder / name)
        pretend_to_prepare(folder / name, name, settings=PreparationSettings(long_side=256))
        (folder / name / MARKER).write_text("{}")
    return folder


def small(roots):
    """The shipped recipe under the shipped overlays, a step or two each."""
    recipe = read_recipe("experiments/recipes/mama_protocol.yaml")
    options = [f"{key}={value}" for key, value in EVERYWHERE.items()]
    options += [f"{stage}:{key}={value}" for stage, keys in SETTINGS.items() for key, value in keys.items()]
    for name, stages in (("rsna_mammo", ["*_cancer"]), ("embed", ["mama", "*_birads", "*_density"])):
        options += [f"{stage}:data.init_args.root={roots / name}" for stage in stages]
    configs = [f"{stage}:experiments/overlays/{file}.yaml" for stage, files in OVERLAYS.items() for file in files]
    return changed(recipe, seeds=[0], configs=configs, settings=options)


def run(recipe, out):
    """What the runner does, in one process: to start one takes longer than these trainings."""
    jobs = plan(recipe, out)
    for job in jobs.values():
        assert state_of(job) == "new"
        write_record(job, "started")
        assert lightning_cli.main(["fit", *job.words]) == 0
        assert job.result.is_file(), job.title
        write_record(job, "finished")
        assert state_of(job) == "finished"
    protocol_table.write(out, protocol_rows.rows_of(recipe, jobs, jobs.keys()), title=recipe.name)
    return jobs


def test_the_whole_table_twice_is_the_same(roots, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    recipe = small(roots)
    first, second = tmp_path / "first", tmp_path / "second"
    jobs = run(recipe, first)
    run(recipe, second)
    for file in (protocol_table.MARKDOWN, protocol_table.TABLE, protocol_table.BY_SEED):
        assert (first / file).read_bytes() == (second / file).read_bytes()
    assert len(jobs) == 1 + 3 + 3 * 3 * 3

    rows = {}
    for line in csv.DictReader((first / protocol_table.TABLE).read_text().splitlines()):
        rows.setdefault((line["target"], line["method"], line["labels"]), []).append(line)
    taught = ("probe on kept features", "nearest neighbours", "linear probe as the paper", "fine-tuning")
    expected = {(way, "none") for way in ("zero-shot", "zero-shot with metadata")}
    expected |= {(way, share) for way in taught for share in ("1 %", "10 %", "100 %")}
    assert rows.keys() == {(target, *row) for target in ("BI-RADS", "density", "cancer") for row in expected}
    for (target, _, labels), lines in rows.items():
        known = {(line["unit"], line["figure"]) for line in lines}
        assert ("image", "balanced_accuracy") in known
        assert {line["patients_min"] != "" for line in lines} == {labels != "none"}
        assert {line["positives_min"] != "" for line in lines} == {labels != "none" and target != "density"}
    places = {(line["unit"], line["figure"]) for line in rows["cancer", "fine-tuning", "100 %"]}
    assert {("breast", "auroc"), ("exam", "auroc"), ("breast", "specificity_90/ppv_screening")} <= places
    assert ("image", "pf1") in places
    sites = {line["stratum"] for line in rows["cancer", "zero-shot", "none"]}
    assert {"", "site=1", "site=2"} <= sites
    text = (first / protocol_table.MARKDOWN).read_text()
    assert "look-alike" in text
    assert "## RSNA-Mammo, cancer, site=1" in text
