"""What evaluation yields, a row per case: collected by batch, gathered over processes, in the order of the table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, cast

import torch
from torch import Tensor, distributed

from data_modules.batch import ClassificationBatch

T = TypeVar("T")

FUSED = "fused"
"""Head of the answer of a model of several modalities; the other heads are called after these."""

UNKNOWN_LABEL = -1
"""Stands for the unknown label of a case (single label); in multi-label sets a row of NaN does."""


@dataclass(frozen=True)
class CaseResults:
    """Outputs of N cases; C classes, M modalities."""

    case_id: list[str]
    group_id: list[str]
    label: Tensor | None
    """(N,) int64, ``UNKNOWN_LABEL`` where unknown, or (N, C) float32, NaN where unknown; None: no case has one."""
    logits: dict[str, Tensor]
    """By head, (N, C) float32 on the CPU; the first head is the model's answer."""
    gate: Tensor | None
    """(N, M) float32 weights of the modalities, in their order; None for a model without a gate."""
    present: Tensor | None = None
    """(N, M) bool: which modalities a case has; logits and weights of the others mean nothing. None: there is only one,
    and every case has it."""
    subsets: dict[str, Tensor] = field(default_factory=dict)
    """By subset of the modalities (``clinic+derm``), (N, C) logits of the answer from these alone."""
    units: dict[str, list[str]] = field(default_factory=dict)
    """What each case is a part of, N ids by kind (breast, exam), the smaller kind first."""
    strata: dict[str, list[str]] = field(default_factory=dict)
    """Groups that are also judged by themselves, N values by what tells them apart (site)."""

    @property
    def answer(self) -> Tensor:
        """(N, C) logits of the first head."""
        return next(iter(self.logits.values()))

    def select(self, rows: Sequence[int]) -> "CaseResults":
        """These rows, in this order."""
        index = torch.tensor(list(rows), dtype=torch.long)
        return CaseResults(
            case_id=[self.case_id[row] for row in rows],
            group_id=[self.group_id[row] for row in rows],
            label=None if self.label is None else self.label[index],
            logits={head: logits[index] for head, logits in self.logits.items()},
            gate=None if self.gate is None else self.gate[index],
            present=None if self.present is None else self.present[index],
            subsets={subset: logits[index] for subset, logits in self.subsets.items()},
            units={kind: [ids[row] for row in rows] for kind, ids in self.units.items()},
            strata={name: [values[row] for row in rows] for name, values in self.strata.items()},
        )

    def labelled(self) -> "CaseResults":
        """The rows whose label is known."""
        if self.label is None:
            return self.select([])
        known = self.label >= 0  # false for NaN
        known = known.all(dim=1) if known.ndim == 2 else known
        return self.select(known.nonzero()[:, 0].tolist())

    def by_stratum(self) -> "dict[str, CaseResults]":
        """The rows of each group by its name (``site=1``), in the order of the names."""
        return {
            f"{name}={value}": self.select([row for row, own in enumerate(values) if own == value])
            for name, values in self.strata.items()
            for value in sorted(set(values))
        }

    def having(self, modalities: Sequence[int]) -> "CaseResults":
        """The rows of cases that have any of these modalities, given by their places."""
        if self.present is None:
            return self
        return self.select(self.present[:, list(modalities)].any(dim=1).nonzero()[:, 0].tolist())

    def probabilities(self, head: str, *, multi_label: bool) -> Tensor:
        """(N, C) float64: softmax over classes, or the sigmoid of each label."""
        logits = self.logits[head].double()
        return logits.sigmoid() if multi_label else logits.softmax(dim=1)


def rows_of(
    batch: ClassificationBatch, heads: Mapping[str, Tensor], *, gate: Tensor | None, present: Tensor | None
) -> CaseResults:
    """The rows of a batch, on the CPU and in float32.

    Args:
        batch: B cases.
        heads: Logits (B, C) by head, the model's answer first.
        gate: (B, M) weights of the modalities, or None.
        present: (B, M) bool, or None.
    """
    label = batch.get("label")
    return CaseResults(
        case_id=list(batch["case_id"]),
        group_id=list(batch["group_id"]),
        label=None if label is None else label.cpu(),
        logits={head: logits.detach().float().cpu() for head, logits in heads.items()},
        gate=None if gate is None else gate.detach().float().cpu(),
        present=None if present is None else present.cpu(),
        units=dict(batch.get("units", {})),
        strata=dict(batch.get("strata", {})),
    )


def join(parts: Sequence[CaseResults]) -> CaseResults:
    """One after the other; where only some parts have labels the others' are unknown.

    Args:
        parts: One or more, of the same heads.
    """
    labels = [part.label for part in parts]
    like = next((label for label in labels if label is not None), None)
    if like is not None:
        unknown = float("nan") if like.is_floating_point() else UNKNOWN_LABEL
        parts = [
            part
            if part.label is not None
            else replace(part, label=like.new_full((len(part.case_id), *like.shape[1:]), unknown))
            for part in parts
        ]
    return CaseResults(
        case_id=[case for part in parts for case in part.case_id],
        group_id=[group for part in parts for group in part.group_id],
        label=None if like is None else torch.cat([cast(Tensor, part.label) for part in parts]),
        logits={head: torch.cat([part.logits[head] for part in parts]) for head in parts[0].logits},
        gate=None if parts[0].gate is None else torch.cat([cast(Tensor, part.gate) for part in parts]),
        present=None if parts[0].present is None else torch.cat([cast(Tensor, part.present) for part in parts]),
        subsets={subset: torch.cat([part.subsets[subset] for part in parts]) for subset in parts[0].subsets},
        units={kind: [name for part in parts for name in part.units[kind]] for kind in parts[0].units},
        strata={name: [value for part in parts for value in part.strata[name]] for name in parts[0].strata},
    )


def gather(batches: Sequence[CaseResults]) -> CaseResults | None:
    """The whole set on every process, each case once, in the order of the table.

    Process r of W evaluates the cases r, r + W, r + 2W, ..., and perhaps one a second time, so that all make as many
    forward passes; the rows are dealt back in turn, and of each case the first is kept.

    Args:
        batches: What this process has evaluated, in order.

    Returns:
        The same rows on every process; None if no process has evaluated anything.
    """
    local = join(batches) if batches else None
    parts = [share for share in gather_objects(local) if share is not None]
    return _deal_back(parts) if parts else None


def gather_objects(local: T) -> list[T]:
    """What every process holds, in the order of their ranks; the same list on each."""
    if not _several_processes():
        return [local]
    shares: list[T] = [local] * distributed.get_world_size()
    distributed.all_gather_object(shares, local)
    return shares


def everywhere(flag: Tensor) -> bool:
    """Whether a flag, a bool scalar, is set on every process; waits for the device once."""
    if _several_processes():
        flag = flag.to(torch.int32)
        distributed.all_reduce(flag, distributed.ReduceOp.MIN)
    return bool(flag)


def _several_processes() -> bool:
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


def _deal_back(parts: Sequence[CaseResults]) -> CaseResults:
    """Row 0 of each part, then row 1 of each, ...; of rows with the same case the first."""
    whole = join(parts)
    turns = [(turn, rank) for rank, part in enumerate(parts) for turn in range(len(part.case_id))]
    first: dict[str, int] = {}
    for row in sorted(range(len(turns)), key=turns.__getitem__):
        first.setdefault(whole.case_id[row], row)
    return whole.select(list(first.values()))
