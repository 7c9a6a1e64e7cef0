"""All figures of a test, for programs."""

import json
import math
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from medlit.files import write_text
from medlit.run_folder import FIGURES
from medlit.tasks import EvaluationTask
from medlit.tasks.figures import SetFigures


class FiguresWriter(Callback):
    """Writes ``figures_test.json`` into the run folder after a test: every figure that it logged, at full precision.

    Keys, sorted::

        answer                the head that is the model's answer
        cases, without_label  how many have a label, and how many more there are
        class_names           of the classes
        heads                 {head: {figure: number}}, the answer among them
        units                 {kind: {figure: number}}, of the answer; kinds are breast and exam
        other_units           {head: {kind: {figure: number}}}, of other answers than the first
        strata                {"site=1": {cases, heads, units, other_units, absent}}, groups of the cases by themselves,
                              without figures of single classes
        subsets               {"clinic": {cases, figure: number}}, what comes of fewer modalities
        absent                {modality: how many cases lack it}
        loss                  {term: number}, loss the sum
        operating_points      {head, kind or head/kind: {question: {point: threshold}}}, those the test went by
        screening_prevalence  the stated one, or null
        natural_prevalence    whether classes are as frequent as where the test cases come from
        notes                 in words, which figures there are not, and why
        synthetic             whether the cases are a look-alike's

    Names of figures are those of the log (docs/mammography.md, "Figures"): ``auroc``, ``sensitivity/cancer``,
    ``specificity_90/ppv_screening``, ``suspicious/auroc``. A figure that is undefined has no name, or is null. The file
    holds no time and no path: the same test gives the same bytes.
    """

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the figures of the test, whole or not at all."""
        if not trainer.is_global_zero or getattr(trainer, "fast_dev_run", False):
            return
        if not isinstance(pl_module, EvaluationTask) or pl_module.figures is None:
            return
        record = figures_record(pl_module, pl_module.figures)
        record["synthetic"] = bool(getattr(getattr(trainer, "datamodule", None), "synthetic", False))
        text = json.dumps(_plain(record), indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_text(Path(trainer.default_root_dir) / FIGURES, text)


def figures_record(task: EvaluationTask, figures: SetFigures) -> dict[str, Any]:
    """What `FiguresWriter` writes, but for ``synthetic``."""
    table = figures.subsets
    subsets = {name: {"cases": table.cases[name], **row} for name, row in table.figures.items()} if table else {}
    return {
        **_of_set(figures),
        "answer": next(iter(figures.heads)),
        "class_names": task.class_names,
        "without_label": figures.without_label,
        "strata": {name: _of_set(stratum) for name, stratum in figures.strata.items()},
        "subsets": subsets,
        "loss": figures.loss,
        "operating_points": task.operating_points,
        "screening_prevalence": task.judgement.prevalence,
        "natural_prevalence": task.judgement.natural,
        "notes": list(figures.notes),
    }


def _of_set(figures: SetFigures) -> dict[str, Any]:
    """What the whole set and each stratum have."""
    others: dict[str, dict[str, dict[str, float]]] = {}
    for name, metrics in figures.units.items():
        head, _, kind = name.rpartition("/")
        if head:
            others.setdefault(head, {})[kind] = metrics
    return {
        "cases": figures.cases,
        "heads": figures.heads,
        "units": {kind: metrics for kind, metrics in figures.units.items() if "/" not in kind},
        "other_units": others,
        "absent": figures.absent,
    }


def _plain(value: Any) -> Any:
    """The same with null for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
