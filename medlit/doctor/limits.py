"""Limits of the machine that a DataLoader's workers run into."""

import math
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medlit.doctor.finding import Finding, ok, warning, wrong
from medlit.sizes import in_words

SHARED_MEMORY = Path("/dev/shm")
USUAL_SHARED = 2**30
"""Bytes that should be there where no configuration says how many are needed; a container's default is 64 MB."""
PREFETCHED = 2
"""Batches that a worker has ready, torch's default."""
LOADERS = 2
"""That have workers: those of the training keep their batches while a validation runs."""
FEWEST_FILES = 1024


def shared_bytes(data: Mapping[str, Any], *, processes: int) -> int | None:
    """Bytes of batches that wait in shared memory at most, counted as float32 images.

    Args:
        data: Settings of the DataModule.
        processes: Training processes on this machine.

    Returns:
        The bytes; None for a DataModule whose settings are of other kinds.
    """
    numbers = [data.get(name) or 0 for name in ("num_workers", "batch_size", "img_size")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    workers, batch, side = numbers
    images = 2 if data.get("pretraining") else max(1, len(data.get("modalities") or ()))
    images *= data.get("num_slices") or 1
    return int(processes * LOADERS * workers * PREFETCHED * batch * images * 3 * side**2 * 4)


def check_shared_memory(needed: int | None = None, *, folder: Path = SHARED_MEMORY) -> Finding:
    """Room for batches on their way from a worker to the training.

    Args:
        needed: Bytes; None: unknown.
        folder: Where shared memory is mounted.
    """
    check = "shared memory"
    if not folder.is_dir():
        return warning(check, f"there is no {folder}; set data.init_args.num_workers to 0 if workers fail")
    about = os.statvfs(folder)
    free = about.f_bavail * about.f_frsize
    mend = "enlarge it (docker run --shm-size, or bind the host's /dev/shm), or set fewer data.init_args.num_workers"
    if needed is None:
        told = f"{in_words(free)} free in {folder}"
        return ok(check, told) if free >= USUAL_SHARED else warning(check, f"only {told}: {mend}")
    told = f"{in_words(free)} free in {folder}, batches of workers take up to {in_words(needed)}"
    if needed > free:
        return wrong(check, f"{told}: {mend}")
    return ok(check, told)


def check_open_files() -> Finding:
    """The limit of open files: each tensor that waits in shared memory is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = math.inf if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < FEWEST_FILES:
        mend = f"ulimit -n {FEWEST_FILES}" if most >= FEWEST_FILES else "ask the administrator for more"
        return warning("open files", f"at most {soft}, workers may need {FEWEST_FILES}: {mend}")
    return ok("open files", "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft}")
