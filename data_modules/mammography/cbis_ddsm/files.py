"""Where copies of CBIS-DDSM keep the whole mammograms: the tables' paths are of no copy that can be had today."""

from pathlib import Path, PurePosixPath

from data_modules.mammography.official import CONVERTED, file_below, find_converted

TOPS = ("", "CBIS-DDSM")
"""Folders below the root that may hold the images: TCIA's download puts one around them."""
WHOLE = "full mammogram"
"""In the name of the series' folder in TCIA's download."""


def find_image(root: Path, image: str) -> Path | None:
    """The file of a sample's image below the raw root.

    Looked for in this order, below the root and below ``CBIS-DDSM`` in it:

    1. the path of the table, as DICOM, PNG or JPEG;
    2. the only file below the first folder of the path (``Mass-Training_P_00001_LEFT_CC``): TCIA's download names the
       folders in it, and the file, otherwise than the table;
    3. a PNG or JPEG file of that folder's name;
    4. the only file in ``jpeg/<series>``, where the series is the last folder of the path.

    Args:
        root: Folder that holds the tables.
        image: As the sample table names it.

    Returns:
        The file; None where there is none, or several of which none is said to be the whole mammogram.
    """
    path = PurePosixPath(image)
    for top in TOPS:
        found = (
            find_converted(Path(root), top, image)
            or _only_file(Path(root), top, path.parts[0], suffixes=(".dcm", *CONVERTED))
            or _flat(Path(root), top, path.parts[0])
            or _only_file(Path(root), top, f"jpeg/{path.parent.name}", suffixes=CONVERTED)
        )
        if found is not None:
            return found
    return None


def _only_file(root: Path, top: str, folder: str, *, suffixes: tuple[str, ...]) -> Path | None:
    """The one image below a folder, or the one whose folder says that it is the whole mammogram."""
    base = root / top / folder
    if not base.is_dir():
        return None
    paths = sorted(path for path in base.rglob("*") if path.suffix.lower() in suffixes)
    if len(paths) > 1:
        paths = [path for path in paths if WHOLE in path.relative_to(base).as_posix()]
    if len(paths) != 1:
        return None
    return file_below(root, top, paths[0].relative_to(root / top).as_posix())


def _flat(root: Path, top: str, folder: str) -> Path | None:
    found = (file_below(root, top, f"{folder}{suffix}") for suffix in CONVERTED)
    return next((path for path in found if path is not None), None)
