"""The benchmark of the baselines stays runnable, and refuses a table that says nothing."""

import pytest
import torch

from benchmarks import baselines
from benchmarks.baselines import BASELINES, Step, Stepper, check, table, train
from medlit.commands.demo import experiments_folder
from tests.medlit.models.small import early_intervention

SMALL = Step(backbone="vit_tiny_patch16_224", img_size=32, batch=2, repeats=1)


def test_every_overlay_of_an_adapter_or_a_fusion_is_a_row():
    overlays = experiments_folder() / "overlays"
    shipped = {path.stem for kind in ("adapter", "fusion") for path in overlays.glob(f"{kind}_*.yaml")}
    assert {baseline.overlay for baseline in BASELINES} == {None, *shipped}
    assert len({baseline.slug for baseline in BASELINES}) == len(BASELINES) == 11


def test_a_row_at_chance_is_refused():
    with pytest.raises(SystemExit, match=r"hardly better than chance \(0.2\): {'b': 0.29}"):
        check({"a": 0.31, "b": 0.29}, {})


def test_two_rows_that_are_the_same_are_refused():
    first = torch.tensor([[0.2, 0.8], [0.5, 0.5]])
    check({}, {"a": first, "b": first + torch.tensor([[0.0, 0.0], [0.002, -0.002]])})
    with pytest.raises(SystemExit, match="a and b predict the same"):
        check({}, {"a": first, "b": first + 0.0005})


def test_memory_counts_weights_gradients_momentum_and_what_is_kept():
    probe, whole, adapted, recomputed = (
        Stepper(early_intervention(**options), SMALL)
        for options in (
            {"adapter": None},
            {"adapter": None, "train_backbone": True},
            {},
            {"gradient_checkpointing": True},
        )
    )
    encoder = 4 * sum(tensor.numel() for tensor in probe.model.backbone.encoder.parameters())
    assert probe.memory() > encoder
    assert whole.memory() > probe.memory() + 2 * encoder
    assert recomputed.memory() < adapted.memory()
    assert adapted.memory() == adapted.memory()  # counted, not sampled


@pytest.mark.slow
def test_trains_and_compares_a_fusion_and_an_adapter(tmp_path, monkeypatch):
    """Two rows of the table, without the time to learn anything."""
    monkeypatch.setattr(baselines, "MARGIN", -baselines.CHANCE)
    rows = [row for row in BASELINES if row.overlay in ("adapter_visual_prompt", "fusion_gated")]
    train(tmp_path, rows, cases=20, seed=0, epochs=1)
    lines = table(tmp_path, rows, SMALL).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| Early Intervention, visual prompts",
        "| gated fusion",
    ]
    assert [line.split(" | ")[2] for line in lines[2:]] == ["1.572 M", "2.960 M"]
    assert lines[2].split(" | ")[3] == "1.00"
