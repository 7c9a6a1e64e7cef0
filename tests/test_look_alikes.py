"""The figures of docs/look_alikes.md say what its text says."""

from pathlib import Path

import pytest

from medlit.commands.demo import FUSED, MODALITIES, mean_row

TEXT = (Path(__file__).parents[1] / "docs" / "look_alikes.md").read_text()


def rows(name):
    """By seed, the figures by column of a set's table."""
    section = TEXT.split(f"## {name}\n")[1].split("\n## ")[0]
    header, _, *lines = [line for line in section.splitlines() if line.startswith("|")]
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    return [dict(zip(columns, map(float, line.strip("|").split("|")), strict=True)) for line in lines]


@pytest.mark.parametrize("name", ["mmc_amd", "mrnet"])
def test_early_intervention_gains_a_quarter_over_the_best_modality_in_every_seed(name):
    table = rows(name)
    assert [row["seed"] for row in table] == [0, 1, 2, 3, 4]
    for row in table:
        best = max(row[f"{modality} alone"] for modality in MODALITIES[name])
        assert row[FUSED] >= best + 0.25
        assert row[FUSED] >= row[mean_row(name)] + 0.20
        assert row["swapped tokens"] <= best + 0.05
