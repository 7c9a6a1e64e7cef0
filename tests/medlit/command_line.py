"""Runs the installed script, as a user would."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).with_name("medlit")
EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TINY = EXPERIMENTS / "overlays" / "tiny.yaml"


def medlit(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Carry out ``medlit WORDS``."""
    return subprocess.run(
        [str(SCRIPT), *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False, timeout=500
    )


def tiny(root: Path, run_dir: Path, *, experiment: str = "ei_derm7pt") -> list[object]:
    """Options of a shipped experiment, shrunk to a CPU, on the data below ``root``."""
    return [
        *("--config", EXPERIMENTS / f"{experiment}.yaml", "--config", TINY),
        *("--data.root", root, "--run_dir", run_dir, "--trainer.enable_progress_bar", "false"),
    ]
