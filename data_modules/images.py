"""Pictures on disk: found whatever the case of their path, read strictly, as 8-bit RGB."""

import os
from pathlib import Path, PureWindowsPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from data_modules.errors import ImageNotFoundError, UnreadableFileError, UnreadableImageError, UnsafePathError
from data_modules.links import HINT, stays_within

Pixels = NDArray[np.uint8]
"""(H, W, 3), RGB."""
MAX_FILE_BYTES = 64 * 2**20
MAX_PIXELS = 100_000_000
FORMATS = ("JPEG", "PNG", "TIFF", "BMP", "WEBP")
"""What is decoded whatever a file's name: of Pillow's other formats some start programs (EPS: Ghostscript)."""


class ImageFolder:
    """Finds files below a folder; directories are listed once, when first needed.

    Args:
        root: The folder that the paths of a table start from; it may itself be a link to another place.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, relative: str, *, where: str) -> Path:
        """The file of a table's path, without regard to case where no file has the exact name.

        Args:
            relative: Path below the root, with slashes of either kind.
            where: File, line and column that name it, for the error.

        Raises:
            UnsafePathError: If the path is absolute, climbs out of the root, or leaves it through a link.
            UnreadableFileError: If a folder on the way cannot be read.
            ImageNotFoundError: If there is no such file.
        """
        path = PureWindowsPath(relative)  # splits at both kinds of slash, and knows drives
        if path.anchor or ".." in path.parts:
            raise UnsafePathError(f"{where}: path {relative!r} leaves {self.root}; correct the table")
        try:
            found = self._descend(self.root, path.parts) if path.parts else None
        except OSError as error:
            raise UnreadableFileError(
                f"{where}: {error.filename} cannot be read ({error.strerror}); check its permissions"
            ) from error
        if found is None:
            raise ImageNotFoundError(f"{where}: no file {relative!r} below {self.root}")
        if not stays_within(found, self.root):
            raise UnsafePathError(f"{where}: {relative!r} is a link that leaves {self.root}; {HINT}")
        return found

    def _descend(self, folder: Path, parts: tuple[str, ...]) -> Path | None:
        """Depth first, for two folders may differ in case alone; the exact name is tried first."""
        candidates = self._listing(folder).get(parts[0].casefold(), [])
        for name in sorted(candidates, key=lambda name: (name != parts[0], name)):
            path = folder / name
            found = self._descend(path, parts[1:]) if len(parts) > 1 else path if path.is_file() else None
            if found is not None:
                return found
        return None

    def _listing(self, folder: Path) -> dict[str, list[str]]:
        """Names in a folder by their case-folded form; a file or a missing folder holds none."""
        if folder not in self._listings:
            names: dict[str, list[str]] = {}
            if folder.is_dir():
                for name in os.listdir(folder):
                    names.setdefault(name.casefold(), []).append(name)
            self._listings[folder] = names
        return self._listings[folder]


def read_image(
    path: str | Path, *, where: str = "", max_file_bytes: int = MAX_FILE_BYTES, max_pixels: int = MAX_PIXELS
) -> Pixels:
    """Decode a picture as RGB.

    Pillow decodes, for OpenCV fills the missing part of a truncated JPEG with gray and says nothing. One kind of damage
    goes unseen by both: a JPEG that lost its lower part and then got an end marker anew. Grayscale is
    repeated to three channels, palettes are resolved, an alpha channel is dropped. An EXIF orientation is ignored: the
    pixels are taken as stored, as the authors of the sets did.

    Args:
        path: The file.
        where: File, line and column of the table that names it, for the error.
        max_file_bytes: Larger files are refused.
        max_pixels: Larger pictures are refused before they are decoded.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UnreadableImageError: If the file is no whole picture of 8 bits a channel, or too large.
    """
    named = f"; {where} names it" if where else ""
    try:
        if os.stat(path).st_size > max_file_bytes:
            raise UnreadableImageError(path, f"larger than {max_file_bytes:,} bytes{named}; is this the right file?")
        with Image.open(path, formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > max_pixels:
                raise UnreadableImageError(
                    path, f"{width} x {height} is more than {max_pixels:,} pixels{named}; shrink it"
                )
            if picture.mode.startswith(("I", "F")):
                raise UnreadableImageError(
                    path, f"not 8 bits a channel (mode {picture.mode}){named}; convert it to 8 bits"
                )
            return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    except UnreadableImageError:
        raise
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:  # all that Pillow is known to raise
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else _one_line(error)
        raise UnreadableImageError(path, f"{reason}{named}; copy it anew from the original data set") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
