"""What a job asks SLURM for, checked before SLURM is asked."""

import re
from dataclasses import dataclass

from medlit.errors import ConfigurationError

EARLY = 60
"""SLURM may send a job's signal so many seconds before it was asked to."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Nodes, processes and time of a job.

    Args:
        time: Limit, as SLURM writes it: ``30`` (minutes), ``12:00:00``, ``1-00:00:00``.
        partition: None: the cluster's default.
        nodes: How many.
        gpus_per_node: One process each; 0: a job on CPUs.
        tasks_per_node: Processes per node of a job on CPUs.
        cpus_per_task: CPU cores of a process, its DataLoader's workers included.
        mem: Memory per node, as SLURM writes it: ``64G``; None: the partition's default.
        account: Whom it is charged to; None: the user's default.
        qos: Quality of service; None: the default.
        signal_seconds: How long before the limit training is told to save and end.

    Raises:
        ConfigurationError: If a number makes no sense, or SLURM would not read it.
    """

    time: str
    partition: str | None = None
    nodes: int = 1
    gpus_per_node: int = 1
    tasks_per_node: int = 1
    cpus_per_task: int = 1
    mem: str | None = None
    account: str | None = None
    qos: str | None = None
    signal_seconds: int = 120

    def __post_init__(self) -> None:
        for option in ("nodes", "tasks_per_node", "cpus_per_task", "signal_seconds"):
            if getattr(self, option) < 1:
                raise ConfigurationError(f"{_spelled(option)} is {getattr(self, option)}; it has to be at least 1")
        if self.gpus_per_node < 0:
            raise ConfigurationError(f"--gpus-per-node is {self.gpus_per_node}; it has to be 0 (CPUs alone) or more")
        if self.gpus_per_node and self.tasks_per_node != 1:
            raise ConfigurationError("--tasks-per-node is for jobs without GPUs; with GPUs each has one process")
        for option in ("partition", "account", "qos"):
            value = getattr(self, option)
            if value is not None and not re.fullmatch(r"[\w.,@:+-]+", value):
                raise ConfigurationError(f"{_spelled(option)} {value!r} is no name of SLURM's")
        if self.mem is not None and not re.fullmatch(r"\d+[KMGT]?", self.mem):
            raise ConfigurationError(f"--mem {self.mem!r}: expected megabytes, or a number and K, M, G or T: 64G")
        refuse_short(self.time, self.signal_seconds, otherwise="fewer --signal-seconds")

    @property
    def processes_per_node(self) -> int:
        """One per GPU, or as asked."""
        return self.gpus_per_node or self.tasks_per_node


def refuse_short(time: str, signal_seconds: int, *, otherwise: str) -> None:
    """Refuse a limit of time that leaves none before training is told to end.

    Args:
        time: As SLURM writes it.
        signal_seconds: How long before the limit training is told.
        otherwise: What may be done instead of giving more time.

    Raises:
        ConfigurationError: If it is too short, or no time.
    """
    limit = seconds(time)
    if limit <= signal_seconds + EARLY:
        raise ConfigurationError(
            f"--time {time} is {limit} seconds: training would be told to end {signal_seconds} seconds "
            f"before that, and SLURM may do so {EARLY} seconds early; give more time, or {otherwise}"
        )


def seconds(time: str) -> int:
    """A limit of time in seconds.

    Args:
        time: ``minutes``, ``minutes:seconds``, ``hours:minutes:seconds``, ``days-hours``, ``days-hours:minutes`` or
            ``days-hours:minutes:seconds``.

    Raises:
        ConfigurationError: If it is none of these.
    """
    days, dash, rest = time.rpartition("-")
    if not re.fullmatch(r"\d+(:\d{1,2}){0,2}", rest) or (dash and not days.isdecimal()):
        raise ConfigurationError(
            f"--time {time!r}: expected minutes (30), hours:minutes:seconds (12:00:00) or days-hours (2-12)"
        )
    parts = [int(part) for part in rest.split(":")]
    if dash:
        hours, minutes, left = (*parts, 0, 0)[:3]
        return ((int(days) * 24 + hours) * 60 + minutes) * 60 + left
    if len(parts) == 3:
        return (parts[0] * 60 + parts[1]) * 60 + parts[2]
    minutes, left = (*parts, 0)[:2]
    return minutes * 60 + left


def seeds_of(array: str) -> tuple[int, ...]:
    """Seeds of an array of jobs.

    Args:
        array: Numbers and ranges: ``0-2`` or ``0,1,5-7``.

    Raises:
        ConfigurationError: If it is nothing of the kind, or names a seed twice.
    """
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", array, flags=re.ASCII):
        raise ConfigurationError(f"--array {array!r}: expected seeds such as 0-2 or 0,1,2")
    seeds: list[int] = []
    for part in array.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first) or int(last or first) - int(first) > 10_000:
            raise ConfigurationError(f"--array {array!r}: {part} is no range of seeds")
        seeds += range(int(first), int(last or first) + 1)
    if len(set(seeds)) < len(seeds):
        raise ConfigurationError(f"--array {array!r} names a seed twice")
    return tuple(seeds)


def _spelled(option: str) -> str:
    """As the user types it."""
    return "--" + option.replace("_", "-")
