"""A prepared folder read again: what was made of which image, and with which settings.

``prepared.json`` names the set and the settings, ``manifest.parquet`` holds a row per image, ``images/`` the 16-bit
grayscale PNGs, and the official tables lie under their own names. Nothing here imports polars before it is called.
"""

import json
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_modules.errors import (
    DatasetNotFoundError,
    PreparationMismatchError,
    PreparationUnfinishedError,
    TableError,
    UnreadableFileError,
)
from data_modules.mammography.prepare.settings import PreparationSettings, differences

if TYPE_CHECKING:
    import polars as pl

DESCRIPTION = "prepared.json"
MANIFEST = "manifest.parquet"
IMAGES = "images"


def output_path(image: str) -> str:
    """Where a prepared image lies below the prepared root.

    Args:
        image: As the sample table names it: a path below the raw root, with forward slashes.

    Returns:
        ``images/<image without its suffix>.png``.
    """
    return f"{IMAGES}/{posixpath.splitext(image)[0]}.png"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A finished prepared folder."""

    root: Path
    name: str
    """Of the set, as on the command line."""
    settings: PreparationSettings
    manifest: "pl.DataFrame"
    """A row per image that the tables name, sorted by ``image``; columns of ``prepare.manifest.COLUMNS``."""

    def readable(self) -> "pl.DataFrame":
        """The rows of images that have an output."""
        import polars as pl

        return self.manifest.filter(pl.col("output").is_not_null())

    @property
    def failed(self) -> dict[str, str]:
        """The kind of error by image, of those that could not be prepared."""
        import polars as pl

        rows = self.manifest.filter(pl.col("output").is_null())
        return dict(zip(rows["image"].to_list(), rows["error_kind"].to_list(), strict=True))


def open_prepared(root: str | Path, *, name: str, settings: PreparationSettings) -> Prepared:
    """Open a prepared folder.

    Args:
        root: The folder that ``medlit data prepare`` wrote.
        name: Of the set, as on the command line.
        settings: Those it has to be made with.

    Raises:
        DatasetNotFoundError: If no set was prepared there.
        PreparationMismatchError: If another set was, or with other settings; each that differs is named.
        PreparationUnfinishedError: If the preparation did not come to its end.
        UnreadableFileError: If the system lets a file of it not be read.
        TableError: If one of its files does not hold what ``prepare`` writes.
    """
    root = Path(root)
    description = read_description(root)
    if description is None:
        raise DatasetNotFoundError(
            f"no prepared {name} below {root}: it holds no {DESCRIPTION}. Prepare the set as it was downloaded to RAW: "
            f"{command(name, settings, out=root)}"
        )
    check_description(description, root, name=name, settings=settings)
    if description["state"] != "finished":
        raise PreparationUnfinishedError(
            f"{root}: the preparation of {name} is not finished; go on with it: {command(name, settings, out=root)}"
        )
    return Prepared(root=root, name=name, settings=settings, manifest=read_manifest(root))


def command(name: str, settings: PreparationSettings, *, out: Path) -> str:
    """The command line that prepares a set with these settings."""
    return " ".join(filter(None, [f"medlit data prepare {name} --root RAW --out {out}", settings.options()]))


def read_description(root: Path) -> dict[str, Any] | None:
    """What ``prepared.json`` says, None where there is no such file.

    Raises:
        UnreadableFileError: If the system does not let it be read.
        TableError: If it is not what ``prepare`` writes.
    """
    path = root / DESCRIPTION
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise TableError(f"{path}: no text; prepare the set anew into another folder") from error
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TableError(f"{path}: no JSON; prepare the set anew into another folder") from error
    kinds = {"set": str, "settings": dict, "hash": str, "state": str}
    for key, kind in kinds.items():
        if not isinstance(said, dict) or not isinstance(said.get(key), kind):
            raise TableError(f"{path}: no {key!r} as prepare writes it; prepare the set anew into another folder")
    return dict(said)


def check_description(description: dict[str, Any], root: Path, *, name: str, settings: PreparationSettings) -> None:
    """Refuse a folder of another set, or of other settings.

    Raises:
        PreparationMismatchError: Naming what differs.
    """
    if description["set"] != name:
        raise PreparationMismatchError(
            f"{root}: holds a prepared {description['set']}, not {name}; name the folder of {name}"
        )
    if description["hash"] != settings.hash:
        said = differences(settings, description["settings"], pipeline_version=description.get("pipeline_version"))
        raise PreparationMismatchError(
            f"{root}: prepared with other settings ({'; '.join(said) or 'its hash differs'}); give the same settings, "
            f"or prepare into another folder: {command(name, settings, out=Path('OTHER'))}"
        )


def read_manifest(root: Path) -> "pl.DataFrame":
    """The manifest, sorted by ``image``.

    Raises:
        DatasetNotFoundError: If there is none.
        UnreadableFileError: If the system does not let it be read.
        TableError: If it is no Parquet table with the manifest's columns, or names a file that leaves the folder.
    """
    import polars as pl  # a process that used it may not fork

    from data_modules.mammography.prepare.manifest import COLUMNS

    path = root / MANIFEST
    if not path.is_file():
        raise DatasetNotFoundError(f"no {MANIFEST} below {root}; prepare the set again")
    try:
        frame = pl.read_parquet(path, glob=False, columns=list(COLUMNS)).cast(COLUMNS)
    except OSError as error:
        raise UnreadableFileError(f"{path}: cannot be read ({error}); check its permissions") from error
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        reason = " ".join(str(error).split())[:200]
        raise TableError(f"{path}: not as prepare writes it ({reason}); remove it and prepare the set again") from error
    strange = frame.filter(
        pl.col("output").str.contains(r"(^|/)\.\.(/|$)") | ~pl.col("output").str.starts_with(f"{IMAGES}/")
    )
    if len(strange):
        raise TableError(
            f"{path}: output {strange['output'][0]!r} leaves {root}; remove this manifest and prepare the set again"
        )
    return frame
