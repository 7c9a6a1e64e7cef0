"""Reading one mammogram, from file to oriented 16-bit gray."""

import io
import os
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.errors import DataSettingsError, UnreadableImageError
from data_modules.mammography.dicom.attributes import Attributes, Refused
from data_modules.mammography.dicom.decode import StoredImage, stored_image
from data_modules.mammography.dicom.develop import Orient, develop
from data_modules.mammography.dicom.grayscale import Tone
from data_modules.mammography.dicom.header import MammogramHeader, read_header
from data_modules.mammography.dicom.mammogram import Mammogram
from data_modules.mammography.dicom.picture import format_of, read_picture
from data_modules.mammography.dicom.tone import read_tone

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_FILE_BYTES = 256 * 2**20
"""The largest film scans, uncompressed, take 80 MB; what is larger is a tomosynthesis."""
DEFLATED = b"1.2.840.10008.1.2.1.99"
"""Transfer syntax whose data set is compressed as a whole."""
MAX_READS = 100_000
"""Reading an element takes one to three. The longest headers of mammograms, with a vendor's own, have some thousand."""
META_START = 144
"""After 128 free bytes, the letters DICM, and the element that says the meta information's length (PS3.10, 7.1)."""


def read_mammogram(
    path: str | Path,
    *,
    long_side: int | None = 1024,
    crop: bool = True,
    orient: Orient = "left",
    reduced_decode: bool = True,
) -> Mammogram:
    """Read one mammogram.

    In this order: stored values; padding set aside; modality LUT or rescale; values of interest (the first table, else
    the first window that can work: LINEAR, LINEAR_EXACT, SIGMOID; where there is none, or it shows nothing of the
    image, percentiles 0.1 to 99.9); MONOCHROME1 inverted; crop to the breast; longer side shrunk (an image is never
    enlarged); breast on the left. Padding comes out as 0.

    Read are DICOM files with one grayscale frame of 8 or 16 bits, whatever their modality says (a film may call itself
    RG or OT, RSNA's files say nothing): any but a projection's is flagged, as ``modality CT``. Refused are colour (also
    palettes), several frames, tomosynthesis (a synthetic 2D image is read and flagged), FOR PROCESSING, images of one
    value, values beyond the bits stored, streams without their end. PNG and JPEG pictures, known by their first bytes,
    are read as already windowed.

    JPEG 2000 of 1024 pixels or more whose crop is at least twice too large for ``long_side`` is decoded without its
    finest wavelet levels. That takes a fraction of the time and gives another image: wavelets smooth otherwise than
    means over areas, and sample at the corners of those areas, so that it stands less than half a pixel aside. Mean and
    largest absolute difference to the full decode, in percent of full scale, without crop: a real film of 4664 x 3064
    (lossy JPEG 2000; the largest at the edges of its letters) 0.19 and 18 at 2048 pixels, 0.28 and 24 at 1024, 0.43 and
    32 at 512; a drawn mammogram of 4664 x 3790 with noise (lossless) 0.25 and 2.8, 0.20 and 4.0, 0.24 and 5.0. Measured
    with ``read_mammogram(path, long_side=n, crop=False)`` against the same with ``reduced_decode=False``.

    Args:
        path: The file; its name's suffix does not matter.
        long_side: Pixels of the longer side after the crop, at most; None keeps the size.
        crop: Cut to the breast, without film borders and labels; where none is plausible the whole image stays.
        orient: ``left`` mirrors images that show the breast on the right.
        reduced_decode: False decodes everything, always.

    Raises:
        UnreadableImageError: For anything that is wrong with the file.
        DataSettingsError: For arguments that cannot work.
    """
    if long_side is not None and long_side < 1:
        raise DataSettingsError(f"long_side {long_side}: at least 1, or None to keep the size")
    if orient not in ("none", "left"):
        raise DataSettingsError(f"orient {orient!r}: 'none' or 'left'")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom and Pillow remark about a file is in the flags or the error
            header, image, tone = _open(_read(path))
            return develop(
                header, image, tone, long_side=long_side, crop=crop, orient=orient, reduced_decode=reduced_decode
            )
    except ModuleNotFoundError as error:
        raise UnreadableImageError(path, f'DICOM needs {error.name}: pip install "medlit[dicom]"') from error
    except OSError as error:
        raise UnreadableImageError(path, error.strerror or _one_line(error)) from error
    except Refused as error:
        raise UnreadableImageError(path, _one_line(error)) from error
    except Exception as error:  # whatever pydicom and the decoders raise, from zlib.error to RecursionError
        raise UnreadableImageError(
            path, f"{type(error).__name__}: {_one_line(error)}; copy it anew from the original data set"
        ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read(path: str | Path) -> bytes:
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > MAX_FILE_BYTES:
            raise Refused(f"{size:,} bytes are more than {MAX_FILE_BYTES:,}: no single mammogram")
        data = file.read(MAX_FILE_BYTES + 1)
    if not data:
        raise Refused("the file is empty; copy it anew from the original data set")
    return data


def _open(data: bytes) -> tuple[MammogramHeader, StoredImage, Tone]:
    name = format_of(data)
    if name is not None:
        return read_picture(data, name)
    dataset = _dataset(data)
    header = read_header(dataset)
    facts = Attributes(dataset)
    tone = read_tone(facts)
    header = replace(header, flags=tuple(sorted({*header.flags, *facts.flags})))
    return header, stored_image(dataset, header), tone


def _dataset(data: bytes) -> "Dataset":
    import pydicom

    if data[128:132] != b"DICM":
        raise Refused("no DICOM, PNG or JPEG file by its first bytes; copy it anew from the original data set")
    meta_end = META_START + int.from_bytes(data[META_START - 4 : META_START], "little")
    if DEFLATED in data[META_START:meta_end]:
        _refuse_bombs(data, start=meta_end)
    return pydicom.dcmread(_Limited(data))


class _Limited(io.BytesIO):
    """A file in memory that ends the parsing of a header without end: every eight bytes may take 40 us."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        """As every file's.

        Raises:
            Refused: If it was asked too often.
        """
        self.reads += 1
        if self.reads > MAX_READS:
            raise Refused("a header of more elements than any mammogram has")
        return super().read(size)


def _refuse_bombs(data: bytes, *, start: int) -> None:
    """Inflate a deflated data set up to the limit only: pydicom would go on until memory ends."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(data[start:], MAX_FILE_BYTES)
    if inflater.unconsumed_tail:
        raise Refused(f"inflates to more than {MAX_FILE_BYTES:,} bytes: no single mammogram")
