"""What a compressed frame says of itself, read before a decoder sees it: size, bits, and whether its end is there.

The C libraries fill what a truncated stream lacks with gray and say nothing, or allocate what a forged one claims.
Sources: ISO/IEC 15444-1, annex A (JPEG 2000: SOC, SIZ, COD, EOC); ISO/IEC 10918-1, annex B (JPEG: SOF, EOI);
ISO/IEC 14495-1, annex C (JPEG-LS: SOF55).
"""

from dataclasses import dataclass

JPEG2000_START = b"\xff\x4f\xff\x51"
JPEG_START = b"\xff\xd8"
END = b"\xff\xd9"
"""EOI of JPEG and JPEG-LS, EOC of JPEG 2000."""
TAIL = 64
"""The end may be followed by padding: to even length, by some writers to more, and not always with zeros."""
COD = b"\xff\x52"
"""Coding style: has to come before the first tile."""
TILE = 0x90
NO_FRAME_HEADER = frozenset({0xC4, 0xC8, 0xCC})
"""Markers among C0 to CF that start no frame: DHT, JPG, DAC."""
JPEG_LS_FRAME = 0xF7
LEAST_SEGMENT = 0xC0
"""Markers below it carry no length, and have no place before a scan."""
SCAN = 0xDA


@dataclass(frozen=True, slots=True)
class Codestream:
    """A stream's own words; DICOM's elements may contradict them."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool
    levels: int
    """Wavelet levels of JPEG 2000: the size can be halved so often in decoding; 0 for the other kinds."""


def read_codestream(frame: bytes) -> Codestream | None:
    """Read the markers at the start of a frame.

    Args:
        frame: One frame, as it is stored between DICOM's item tags.

    Returns:
        None if it is of no kind that has markers (run lengths).

    Raises:
        ValueError: If it breaks off within its markers, or lacks the marker of its end.
    """
    try:
        if frame.startswith(JPEG2000_START):
            stream = _jpeg2000(frame)
        elif frame.startswith(JPEG_START):
            stream = _jpeg(frame)
        else:
            return None
    except IndexError:
        raise ValueError("the compressed image breaks off in its header") from None
    if END not in frame[-TAIL:]:  # within compressed data these two bytes cannot stand
        raise ValueError("the compressed image is cut off: the marker of its end is missing")
    return stream


def _short(frame: bytes, at: int) -> int:
    return frame[at] << 8 | frame[at + 1]


def _long(frame: bytes, at: int) -> int:
    return _short(frame, at) << 16 | _short(frame, at + 2)


def _jpeg2000(frame: bytes) -> Codestream:
    width, height = (_long(frame, at) - _long(frame, at + 8) for at in (8, 12))  # the grid less its offset
    depth, steps = frame[42], frame[43:45]
    at = 4 + _short(frame, 4)
    while frame[at : at + 2] != COD:
        if frame[at] != 0xFF or frame[at + 1] == TILE:
            raise ValueError("the JPEG 2000 header is damaged")
        at += 2 + _short(frame, at + 2)
    whole = steps == b"\x01\x01" and _long(frame, 16) == _long(frame, 20) == 0  # neither subsampled nor shifted
    return Codestream(
        rows=height,
        columns=width,
        components=_short(frame, 40),
        bits=(depth & 0x7F) + 1,
        signed=bool(depth & 0x80),
        levels=frame[at + 9] if whole else 0,
    )


def _jpeg(frame: bytes) -> Codestream:
    """Read up to the first scan: GDCM ends the process on some streams whose markers are damaged."""
    at, stream = 2, None
    while True:
        if frame[at] != 0xFF:
            raise ValueError("the JPEG header is damaged")
        marker = frame[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == SCAN and stream is not None:
            return stream
        length = _short(frame, at + 2)
        if marker < LEAST_SEGMENT or marker == SCAN or length < 2:
            raise ValueError("the JPEG header is damaged")
        if (marker <= 0xCF and marker not in NO_FRAME_HEADER) or marker == JPEG_LS_FRAME:
            stream = Codestream(
                rows=_short(frame, at + 5),
                columns=_short(frame, at + 7),
                components=frame[at + 9],
                bits=frame[at + 4],
                signed=False,
                levels=0,
            )
        at += 2 + length
