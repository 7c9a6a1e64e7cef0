"""Options of ``medlit submit``."""

import argparse
from pathlib import Path

from medlit.cluster.resources import Resources
from medlit.errors import ConfigurationError

CPUS_OF_A_GPU = 8
"""Cores of a process with a GPU where none are asked for: the shipped experiments load data with four workers."""


def make_parser() -> argparse.ArgumentParser:
    """Of all that ``medlit submit`` takes."""
    parser = argparse.ArgumentParser(
        prog="medlit submit",
        description="Train as a batch job of SLURM. The script and the configuration, every default filled in, are "
        "written into the run folder and submitted. A job that is pre-empted, or whose time is up, saves, goes back "
        "into the queue, and goes on from its checkpoint.",
    )
    what = parser.add_argument_group("what is trained")
    what.add_argument(
        "--config", action="append", default=[], metavar="FILE", help="as of medlit fit; several are merged"
    )
    what.add_argument("--array", metavar="SEEDS", help="one job for each of several seeds: 0-2 or 0,1,2")
    what.add_argument("--run_dir", type=Path, metavar="DIR", help="folder of the run (default: runs/<config names>)")
    what.add_argument("--resume", type=Path, metavar="RUN", help="submit a run folder again; it goes on where it ended")
    what.add_argument("--recipe", metavar="FILE", help="the trainings of a recipe that are not finished, each a job")
    what.add_argument("--seeds", type=int, nargs="+", help="of --recipe, as of medlit recipe run")
    what.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="of --recipe, likewise"
    )
    what.add_argument("--rerun", action="store_true", help="of --recipe, likewise")
    what.add_argument(
        "fit_options", nargs="*", default=[], metavar="-- OPTIONS", help="further options of medlit fit, behind a --"
    )
    where = parser.add_argument_group("what SLURM is asked for")
    where.add_argument("--time", help="limit: minutes (30), 12:00:00 or days-hours (2-12)")
    where.add_argument("--partition", help="default: the cluster's")
    where.add_argument("--nodes", type=int, help="default: 1; of a recipe: what each configuration says")
    where.add_argument("--gpus-per-node", type=int, help="one process each; 0: CPUs alone (default: as of --nodes)")
    where.add_argument("--tasks-per-node", type=int, help="processes per node of a job without GPUs (default: 1)")
    where.add_argument(
        "--cpus-per-task", type=int, help=f"cores of a process (default: {CPUS_OF_A_GPU} beside a GPU, or 1)"
    )
    where.add_argument("--mem", help="memory of a node, such as 64G")
    where.add_argument("--account")
    where.add_argument("--qos")
    where.add_argument(
        "--signal-seconds", type=int, default=120, help="how long before its limit a job saves (default: %(default)s)"
    )
    how = parser.add_argument_group("how it runs")
    how.add_argument(
        "--stage", type=Path, metavar="DATA", help="folder or .tar that is brought to each node's own disk"
    )
    how.add_argument("--container", type=Path, metavar="IMAGE", help="Apptainer image that holds medlit")
    how.add_argument(
        "--allow-code", action="store_true", help="let class paths name code of any package, as of medlit fit"
    )
    how.add_argument("--no-doctor", action="store_true", help="start without medlit doctor's look around")
    how.add_argument("--dry-run", action="store_true", help="print the script; nothing is written or submitted")
    return parser


def resources_of(
    asked: argparse.Namespace, *, nodes: int = 1, gpus_per_node: int = 1, tasks_per_node: int = 1
) -> Resources:
    """What the options ask for.

    Args:
        asked: The options.
        nodes: Where they do not say.
        gpus_per_node: Where they do not say.
        tasks_per_node: Where they do not say.

    Raises:
        ConfigurationError: If something is missing, or makes no sense.
    """
    if asked.time is None:
        raise ConfigurationError("--time is missing: how long the job may take, such as 12:00:00")

    def or_else(value: int | None, default: int) -> int:
        return default if value is None else value

    gpus = or_else(asked.gpus_per_node, gpus_per_node)
    return Resources(
        time=asked.time,
        partition=asked.partition,
        nodes=or_else(asked.nodes, nodes),
        gpus_per_node=gpus,
        tasks_per_node=or_else(asked.tasks_per_node, tasks_per_node),
        cpus_per_task=or_else(asked.cpus_per_task, CPUS_OF_A_GPU if gpus else 1),
        mem=asked.mem,
        account=asked.account,
        qos=asked.qos,
        signal_seconds=asked.signal_seconds,
    )
