"""The demo of MaMA: what it runs in which order, and what its table says."""

import json

import pytest

from medlit.commands import demo, demo_embed
from tests.medlit.command_line import warm_run


def write_figures(step, **figures):
    """What a test of this step would have left."""
    step.folder.mkdir(parents=True)
    record = {"answer": "class_captions", "heads": {"class_captions": figures, "class_captions_with_metadata": {}}}
    (step.folder / "figures_test.json").write_text(json.dumps(record))


def test_every_judged_checkpoint_is_made_before_in_a_folder_of_its_own(tmp_path):
    steps = demo_embed.plan(tmp_path)
    assert len({step.folder for step in steps}) == len(steps)
    made = []
    for step in steps:
        named = [word for word in step.words if word.endswith("best.ckpt")]
        assert [word in made for word in named] == ([True] if step.row else [])
        made.append(str(step.folder / "checkpoints" / "best.ckpt"))


def test_every_experiment_is_shipped(tmp_path):
    folder = demo.experiments_folder()
    assert all((folder / config).is_file() for step in demo_embed.plan(tmp_path) for config in step.configs)


def test_a_length_of_ones_own_is_the_pretrainings_alone(tmp_path):
    plain, short = demo_embed.plan(tmp_path), demo_embed.plan(tmp_path, epochs=3)
    changed = [ours for ours, theirs in zip(short, plain, strict=True) if ours != theirs]
    assert [step.title for step in changed] == ["pretraining on images and captions"]
    assert "--trainer.max_epochs 3" in " ".join(changed[0].words)


def test_the_table_has_chance_first_and_a_row_per_model_and_method(tmp_path):
    steps = [step for step in demo_embed.plan(tmp_path) if step.row]
    for step in steps:
        suspicious = {"suspicious/auroc": 0.9, "suspicious/balanced_accuracy": 0.8}
        figures = {"balanced_accuracy": 0.7, "auroc": 0.6}
        write_figures(step, **figures, **(suspicious if step.target == "birads" else {}))
    rows = demo_embed.compare(steps)
    assert list(rows) == [
        "chance",
        *(f"{name}, {how}" for name in ("untrained", "MaMA") for how in ("zero-shot", "probe")),
    ]
    assert rows["MaMA, zero-shot"] == {
        **{"balanced": 0.7, "auroc": 0.6},
        **{"suspicious_balanced": 0.8, "suspicious_auroc": 0.9},
    }
    assert rows["MaMA, probe"] == {"balanced": 0.7, "auroc": 0.6}


@pytest.mark.slow
def test_runs_from_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_embed, "run_medlit", warm_run)
    words = ["--set", "embed", "--dir", str(tmp_path / "demo"), "--cases", "40", "--epochs", "1"]
    assert demo.main(words) == 0
    table = (tmp_path / "demo" / demo.RESULTS).read_text()
    assert all(f"| {row} |" in table for row in ("chance", "untrained, zero-shot", "MaMA, zero-shot", "MaMA, probe"))
    for step in demo_embed.plan(tmp_path / "demo"):
        assert (step.folder / "checkpoints" / "best.ckpt").is_file()
    assert "nothing about medicine" in capsys.readouterr().out
