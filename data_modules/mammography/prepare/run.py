"""Preparing a set: plan, work, manifest; resumable at every point, and the same bytes whatever the way there."""

import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import polars as pl

from data_modules.errors import DataSettingsError, OutputError, TableError, TooManyErrorsError
from data_modules.mammography.prepare.files import (
    PARTIAL,
    cannot_write,
    check_folders,
    copy_whole,
    locked,
    refuse_what_is_not_ours,
    write_whole,
)
from data_modules.mammography.prepare.journal import Journal, remove_journal
from data_modules.mammography.prepare.manifest import collect, write_manifest
from data_modules.mammography.prepare.plan import Plan, Progress, count_unnamed, make_plan
from data_modules.mammography.prepare.pool import Lost, run_jobs
from data_modules.mammography.prepare.settings import PIPELINE_VERSION, PreparationSettings
from data_modules.mammography.prepare.summary import Summary, count_remarks, group_failures
from data_modules.mammography.prepare.work import ErrorKind, Job, Row, failed, prepare_image, source_facts
from data_modules.mammography.prepared import (
    DESCRIPTION,
    MANIFEST,
    check_description,
    output_path,
    read_description,
)
from data_modules.mammography.samples import SampleTable
from data_modules.mammography.sets import MammographySet
from data_modules.synthetic.tree import MARKER

SECONDS = 60.0
"""A worker that reads one file for so long is stopped: the slowest known, 14 megapixels of JPEG 2000, take 0.7 s."""

Work = Callable[[Job], Row]

LOST: dict[str, ErrorKind] = {"crashed": "decoder crashed", "killed": "worker killed", "timeout": "timeout"}


def prepare_set(
    dataset: MammographySet,
    root: Path,
    out: Path,
    *,
    settings: PreparationSettings,
    workers: int,
    max_errors: int | None = None,
    progress: Progress = lambda what, done, total, failures: None,
    retry_failed: bool = False,
    work: Work = prepare_image,
    seconds: float = SECONDS,
) -> Summary:
    """Prepare a set, or go on where an earlier run ended, however it ended.

    Args:
        dataset: Which.
        root: Of the raw set; nothing is written there.
        out: Of the prepared set: missing, empty, or prepared from the same set with the same settings.
        settings: How.
        workers: Processes, 1 or more.
        max_errors: The run stops where more images than this have failed; None: it never does.
        progress: Told after every image.
        retry_failed: Try images again that failed in an earlier run and would fail again as long as their bytes are
            the same. Failures that may be over are tried again in any case.
        work: What a worker does with an image; a function of a module's top level.
        seconds: That a worker may take for one image.

    Returns:
        What was done, and what could not be.

    Raises:
        DataSettingsError: If the folders do not go together, ``out`` holds something else, or the decoders are missing.
        DatasetNotFoundError: If a table or all images are missing.
        TableError: If a table cannot be used, or names no image.
        PreparationMismatchError: If ``out`` was prepared from another set or with other settings.
        PreparationLockedError: If another process prepares into it.
        OutputError: If there is not enough space, or nothing can be written.
        TooManyErrorsError: If more than ``max_errors`` images failed.
        WorkerError: If workers cannot start.
    """
    if workers < 1:
        raise DataSettingsError(f"{workers} workers cannot work; give 1 or more")
    check_folders(root, out)
    _is_begun(dataset, out, settings)  # before the tables are read, which may take long
    table = dataset.read(root)
    sides = dict(zip(table.frame["image"].to_list(), table.frame["laterality"].to_list(), strict=True))
    images = sorted(sides)
    if not images:  # a finished folder would lose all of its images
        raise TableError(f"{dataset.title}: the tables below {root} name no image to prepare; are they whole?")
    with locked(out):
        begun = _is_begun(dataset, out, settings)  # another run may have come and gone meanwhile
        shutil.rmtree(out / PARTIAL, ignore_errors=True)
        plan = make_plan(
            dataset,
            root,
            out,
            images=images,
            known=collect(out),
            settings=settings,
            retry_failed=retry_failed,
            progress=progress,
        )
        _check_decoders(plan)
        _check_space(plan, settings, out)
        if not begun or plan.jobs or plan.not_found:
            _describe(dataset, settings, out, state="unfinished")
        _copy_tables(dataset, root, out)
        _work_off(plan, out, workers=workers, max_errors=max_errors, progress=progress, work=work, seconds=seconds)
        return _finish(dataset, root, out, table, sides, plan, settings)


def _is_begun(dataset: MammographySet, out: Path, settings: PreparationSettings) -> bool:
    """Whether an earlier run of this set with these settings wrote into the folder.

    Raises:
        DataSettingsError: If it holds something else.
        PreparationMismatchError: If it was prepared from another set or with other settings.
    """
    described = read_description(out) if out.is_dir() else None
    if described is None:
        refuse_what_is_not_ours(out)
        return False
    check_description(described, out, name=dataset.name, settings=settings)
    return True


def _check_decoders(plan: Plan) -> None:
    """Refuse to begin without pydicom where a file needs it."""
    dicom = [job.source for job in plan.jobs if PurePosixPath(job.source).suffix.lower() in (".dcm", ".dicom")]
    if dicom and importlib.util.find_spec("pydicom") is None:
        raise DataSettingsError(
            f'{len(dicom):,} DICOM files are to be read; install the decoders: pip install "medlit[dicom]"'
        )


def _check_space(plan: Plan, settings: PreparationSettings, out: Path) -> None:
    """Refuse to begin what will not fit.

    Raises:
        OutputError: Saying what is needed, and what is there.
    """
    if not plan.jobs:
        return
    needed = plan.space(settings)
    free = shutil.disk_usage(out).free
    if needed > free:
        raise OutputError(
            f"{out}: {len(plan.jobs):,} images of {settings.long_side} pixels need about {_gigabytes(needed)}, and "
            f"{_gigabytes(free)} are free; free some space, name another folder, or give a smaller --long-side"
        )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _describe(dataset: MammographySet, settings: PreparationSettings, out: Path, *, state: str) -> None:
    said = {
        "set": dataset.name,
        "settings": asdict(settings),
        "pipeline_version": PIPELINE_VERSION,
        "hash": settings.hash,
        "state": state,
    }
    content = (json.dumps(said, indent=1) + "\n").encode()
    path = out / DESCRIPTION
    if not path.is_file() or path.read_bytes() != content:
        write_whole(path, content)


def _copy_tables(dataset: MammographySet, root: Path, out: Path) -> None:
    """The official tables, and what marks a look-alike, for a DataModule needs nothing of the raw set."""
    for name in (*dataset.tables, MARKER):
        if (root / name).is_file():
            copy_whole(root / name, out / name)
        else:  # an optional one, taken away since
            (out / name).unlink(missing_ok=True)


def _work_off(
    plan: Plan,
    out: Path,
    *,
    workers: int,
    max_errors: int | None,
    progress: Progress,
    work: Work,
    seconds: float,
) -> None:
    """Carry out a plan's jobs, each into the journal as it ends."""
    failures = plan.kept_failures
    try:
        (out / PARTIAL).mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(out / PARTIAL, error) from error
    try:
        with Journal(out) as journal:
            for row in plan.not_found:
                journal.write(failed(row, str(out), row["error_kind"], row["error"]))
                failures += 1
            _check_failures(failures, max_errors, out)
            for number, (job, result) in enumerate(run_jobs(work, plan.jobs, workers=workers, seconds=seconds), 1):
                row = _lost(job, result) if isinstance(result, Lost) else result
                journal.write(row)
                failures += "error_kind" in row
                progress("preparing", number, len(plan.jobs), failures)
                _check_failures(failures, max_errors, out)
    finally:
        shutil.rmtree(out / PARTIAL, ignore_errors=True)


def _lost(job: Job, lost: Lost) -> Row:
    """The row of an image whose worker did not come back."""
    row: Row = {"image": job.image, "source": job.source}
    with suppress(OSError):  # the next run finds no size, and tries again
        row |= source_facts(Path(job.root, job.source))
    return failed(row, job.out, LOST[lost.kind], lost.reason)


def _check_failures(failures: int, max_errors: int | None, out: Path) -> None:
    """Stop where too many images failed.

    Raises:
        TooManyErrorsError: With the most frequent failures.
    """
    if max_errors is None or failures <= max_errors:
        return
    said = f"{failures:,} images failed, more than --max-errors {max_errors}"
    raise TooManyErrorsError(_too_many(collect(out), out, said))


def _too_many(known: pl.DataFrame, out: Path, said: str) -> str:
    """A message with the most frequent failures."""
    examples = [f"{group.count:,} {group.kind} ({group.image}: {group.error})" for group in group_failures(known)[:3]]
    return (
        f"{out}: {said}: {'; '.join(examples)}. What is written stays: mend the files, or give a larger --max-errors, "
        "and the same command goes on from here"
    )


def _finish(
    dataset: MammographySet,
    root: Path,
    out: Path,
    table: SampleTable,
    sides: dict[str, str | None],
    plan: Plan,
    settings: PreparationSettings,
) -> Summary:
    """Write the manifest, say that the folder is finished, forget the journal, count.

    Raises:
        TooManyErrorsError: If every image failed.
    """
    known = collect(out)
    if sides and not known["output"].count():
        raise TooManyErrorsError(_too_many(known, out, f"not one of {len(sides):,} images could be prepared"))
    for image in known.filter(~pl.col("image").is_in(list(sides)))["image"].to_list():  # the tables dropped it since
        (out / output_path(image)).unlink(missing_ok=True)
    manifest = write_manifest(known, sides, out)
    if plan.jobs or (out / MANIFEST).stat().st_mtime_ns > plan.began:
        os.utime(out / MANIFEST, ns=(plan.began, plan.began))  # what changed while this run worked is newer than that
    _describe(dataset, settings, out, state="finished")
    remove_journal(out)
    return Summary(
        out=out,
        images=len(sides),
        written=manifest["output"].count(),
        done_now=len(plan.jobs) + len(plan.not_found),
        failures=group_failures(manifest),
        counts=count_remarks(manifest),
        unnamed=count_unnamed(root, plan.sources.union(sides)),
        dropped=table.dropped,
        touched=table.touched,
    )
