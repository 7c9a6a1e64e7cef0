"""``medlit data prepare``: a mammography set's images made ready for training, once."""

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.commands.progress import count, positive, processors, show_progress

if TYPE_CHECKING:
    from data_modules.mammography.sets import MammographySet

TABLES = {
    "embed": "data_modules.mammography.embed.tables",
    "rsna_mammo": "data_modules.mammography.rsna.tables",
    "vindr_mammo": "data_modules.mammography.vindr.tables",
    "cbis_ddsm": "data_modules.mammography.cbis_ddsm.tables",
}
"""By the set's name on the command line: the module whose ``SET`` describes it."""

MAX_ERRORS = 1000
"""Failures at which a run stops unless told otherwise: a few damaged files are usual, thousands mean something else."""


def main(args: list[str]) -> int:
    """Carry out ``prepare``.

    Args:
        args: Words after ``prepare``.

    Returns:
        0, also where single files failed.

    Raises:
        DataError: If the set cannot be prepared, or the run stopped before its end.
    """
    options = _parser().parse_args(args)

    from data_modules.mammography.prepare.run import prepare_set
    from data_modules.mammography.prepare.settings import PreparationSettings

    settings = PreparationSettings(
        long_side=options.long_side,
        crop=options.crop,
        orient=options.orient,
        reduced_decode=options.reduced_decode,
    )
    try:
        with show_progress() as progress:
            summary = prepare_set(
                mammography_set(options.set),
                options.root,
                options.out,
                settings=settings,
                workers=options.workers,
                max_errors=options.max_errors,
                retry_failed=options.retry_failed,
                progress=progress,
            )
    except KeyboardInterrupt:
        print(f"{options.out}: what is done stays; the same command goes on from here", file=sys.stderr)
        raise
    print("\n".join(summary.lines()))
    return 0


def mammography_set(name: str) -> "MammographySet":
    """What is known of a set.

    Args:
        name: A key of ``TABLES``.
    """
    described: MammographySet = importlib.import_module(TABLES[name]).SET
    return described


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit data prepare",
        description="Read every image of a mammography set once: grey values as a workstation shows them, cut to the "
        "breast, on one side, at one size, as 16-bit PNGs beside a manifest and copies of the tables. A run that "
        "ended early, in whatever way, is taken up again by the same command.",
    )
    parser.add_argument("set", choices=list(TABLES), help="which data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the data set as it was downloaded")
    parser.add_argument("--out", type=Path, required=True, help="folder of the prepared set")
    parser.add_argument(
        "--long-side",
        "--long_side",
        type=positive,
        default=1024,
        metavar="N",
        help="longer side of the images, pixels (default: 1024); smaller ones keep their size",
    )
    parser.add_argument(
        "--no-crop", "--no_crop", dest="crop", action="store_false", help="keep the whole image, not the breast alone"
    )
    parser.add_argument(
        "--orient",
        choices=["left", "none"],
        default="left",
        help="left (default): mirror images whose breast lies on the right; none: leave them",
    )
    parser.add_argument(
        "--full-decode",
        "--full_decode",
        dest="reduced_decode",
        action="store_false",
        help="decode JPEG 2000 at full resolution also where the result is much smaller: slower, hardly different",
    )
    parser.add_argument(
        "--workers",
        type=positive,
        default=processors(),
        metavar="N",
        help="processes (default: the processors there are)",
    )
    parser.add_argument(
        "--max-errors",
        "--max_errors",
        type=count,
        default=MAX_ERRORS,
        metavar="N",
        help=f"stop, to be taken up again, where more than N images failed (default: {MAX_ERRORS})",
    )
    parser.add_argument(
        "--retry-failed",
        "--retry_failed",
        action="store_true",
        help="try images again that failed before; without it only those whose file was missing or changed, could not "
        "be opened, took too long, or whose worker was killed",
    )
    return parser
