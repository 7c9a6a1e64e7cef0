"""From the compressed or plain frame of a DICOM file to its stored values, whole or at a fraction of its size."""

import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.codestream import Codestream, read_codestream
from data_modules.mammography.dicom.header import MammogramHeader

if TYPE_CHECKING:
    from pydicom import Dataset

Values = NDArray[np.uint16] | NDArray[np.int16]
"""(H, W) as stored: before any look-up table."""

PLUGINS = ("pylibjpeg", "gdcm", "pillow", "pydicom")
"""Order in which decoders are tried."""
HTJ2K = frozenset(f"1.2.840.10008.1.2.4.20{number}" for number in (1, 2, 3))
"""High-throughput JPEG 2000: Pillow's OpenJPEG may be too old for it."""
MAX_EXPANSION = 4
"""A compressed frame this many times larger than its pixels is no image but an attack or a mistake."""

logging.getLogger("pydicom").addHandler(logging.NullHandler())  # what it logs about a bad file goes into the error


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One frame, not decoded yet."""

    rows: int
    columns: int
    signed: bool
    levels: int
    """The size can be halved so often while decoding."""
    full: Callable[[], Values]
    """Decodes all of it."""
    reduced: Callable[[int], Values]
    """Decodes it with both sides divided by ``2**r`` (rounded up), r from 1 to ``levels``."""


def stored_image(dataset: "Dataset", header: MammogramHeader) -> StoredImage:
    """The frame of a data set, checked against its header.

    Args:
        dataset: As pydicom read it.
        header: Facts read from it: one grayscale frame of 8 or 16 bits.

    Raises:
        Refused: If the frame contradicts the header, or its end is missing.
    """
    signed = bool(dataset.get("PixelRepresentation", 0))
    allocated = int(dataset.BitsAllocated)
    frame, stream = _frame(dataset, header, allocated // 8)
    bits = header.bits_stored
    levels, precision = 0, bits
    if stream is not None and stream.signed == signed and header.transfer_syntax not in HTJ2K:
        # Unsigned values are the same whatever precision the stream states; of signed ones it says where the sign is.
        levels = stream.levels if not signed or stream.bits == bits else 0
        precision = stream.bits

    def full() -> Values:
        """Every pixel."""
        return within_bits(_decode(dataset, header), bits, signed=signed)

    def reduced(power: int) -> Values:
        """Without the finest ``power`` wavelet levels."""
        values = reduced_jpeg2000(frame, power, bits=precision, signed=signed)
        if precision > bits and int(values.max()) >= 2**bits:
            full()  # refuses values that are too large; wavelets alone may overshoot a little
        return values

    return StoredImage(header.rows, header.columns, signed, levels, full, reduced)


def _frame(dataset: "Dataset", header: MammogramHeader, pixel_bytes: int) -> tuple[bytes, Codestream | None]:
    """The compressed frame and what it says of itself; nothing for uncompressed pixels."""
    from pydicom.encaps import get_frame

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_encapsulated:
        return b"", None
    data = dataset.PixelData
    if len(data) > MAX_EXPANSION * header.rows * header.columns * pixel_bytes + 2**16:
        raise Refused(f"{len(data):,} compressed bytes for {header.columns} x {header.rows} pixels")
    frame = get_frame(data, 0, number_of_frames=1)
    stream = read_codestream(frame)
    if stream is not None:
        size = (stream.rows, stream.columns, stream.components)
        if size != (header.rows, header.columns, 1):
            raise Refused(
                f"the compressed image is {size[1]} x {size[0]} with {size[2]} channels, the header says "
                f"{header.columns} x {header.rows} with 1"
            )
        if stream.bits > 8 * pixel_bytes:  # GDCM ends the process on JPEG-LS of more than 16
            raise Refused(f"the compressed image has {stream.bits} bits a pixel, the header says {8 * pixel_bytes}")
    return frame, stream


def _decode(dataset: "Dataset", header: MammogramHeader) -> NDArray[Any]:
    """All pixels, by the first plugin that can."""
    from pydicom.pixels.decoders.base import get_decoder

    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    # Unused bits are left as they are: pydicom would cut off what is too large, and it would wrap around.
    if not decoder.is_encapsulated:
        return decoder.as_array(dataset, index=0, correct_unused_bits=False)[0]  # type: ignore[arg-type]
    if not decoder.is_available:
        raise Refused(f'no decoder for transfer syntax {header.transfer_syntax}: pip install "medlit[dicom]"')
    reasons = []
    for plugin in sorted(decoder.available_plugins, key=PLUGINS.index):
        try:
            return decoder.as_array(
                dataset,
                index=0,
                decoding_plugin=plugin,
                correct_unused_bits=False,  # type: ignore[arg-type]
            )[0]
        except Exception as error:  # whatever a decoder raises: RuntimeError, ValueError, AttributeError, ...
            reasons.append(f"{plugin}: {' '.join(str(error).split(f'{plugin}:')[-1].split())}")
    raise Refused(f"no decoder reads it ({'; '.join(reasons)})")


def within_bits(values: NDArray[Any], bits: int, *, signed: bool) -> Values:
    """Values in native byte order as 16-bit numbers, none beyond the bits that the header says are stored.

    Args:
        values: (H, W), 8 or 16 bits, any byte order.
        bits: BitsStored.
        signed: Two's complement.

    Raises:
        Refused: If there is a value beyond: what it means nobody can say (an overlay, or damage).
    """
    if values.ndim != 2:
        raise Refused(f"shape {values.shape}: no single grayscale image")
    if not signed:
        plain = np.ascontiguousarray(values, dtype=np.uint16)
        if int(plain.max()) >= 2**bits:
            raise Refused(f"pixels up to {plain.max()} exceed the {bits} bits that the header says are stored")
        return plain
    native = np.ascontiguousarray(values, dtype=np.int16)
    unused = 16 - bits
    extended = (native << unused) >> unused  # some writers leave the bits above the sign zero, some repeat it there
    if unused and not ((native == extended) | (native == native & (2**bits - 1))).all():
        least, most = native.min(), native.max()
        raise Refused(f"pixels from {least} to {most} exceed the {bits} bits that the header says are stored")
    return np.asarray(extended, dtype=np.int16)


def reduced_jpeg2000(frame: bytes, power: int, *, bits: int, signed: bool) -> Values:
    """Decode JPEG 2000 without its finest wavelet levels: a smaller image for a fraction of the time.

    Args:
        frame: The codestream; one component of ``bits`` bits.
        power: Both sides are divided by ``2**power`` and rounded up.
        bits: Its precision, 1 to 16.
        signed: Two's complement.

    Returns:
        (H, W) in the codestream's own units.

    Raises:
        Refused: If Pillow gives another size, for how it is asked is no promise of its interface, or another type.
    """
    with Image.open(io.BytesIO(frame), formats=("JPEG2000",)) as picture:
        columns, rows = (-(-side >> power) for side in picture.size)
        picture.reduce = power  # type: ignore[assignment, method-assign]  # of this format's class: a number
        # JPEG 2000 rounds sizes up; Pillow rounds them to the nearest, and then fails where that is down. A size that
        # divides without a rest leaves it nothing to round.
        picture._size = (columns << power, rows << power)
        pixels = np.asarray(picture)
    if pixels.shape[:2] != (rows, columns):
        raise Refused(
            f"Pillow {PIL.__version__} reduces JPEG 2000 to {pixels.shape[1]} x {pixels.shape[0]}, not {columns} x "
            f"{rows}: decode it whole (reduced_decode=False; medlit data prepare --full-decode)"
        )
    width = 16 if pixels.dtype == np.uint16 else 8  # Pillow moves the precision to the top of its mode's bits
    if pixels.dtype not in (np.uint16, np.uint8) or pixels.ndim != 2:
        raise Refused(f"Pillow decodes it as {pixels.dtype} with {pixels.ndim} dimensions")
    values: Values = np.right_shift(pixels, width - bits, dtype=np.uint16)
    if not signed:
        return values
    lowered = values.astype(np.int32) - 2 ** (bits - 1)  # Pillow lifts signed values above zero
    return np.asarray(lowered, dtype=np.int16)
