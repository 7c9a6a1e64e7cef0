"""Mammograms: DICOM files in many transfer syntaxes, and converted pictures."""

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image

from benchmarks.fuzz.changes import NUMBERS, WORDS, change_bytes
from benchmarks.fuzz.dicom_seeds import seeds
from benchmarks.fuzz.target import Target
from data_modules.mammography.dicom import read_mammogram
from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.header import read_header
from data_modules.mammography.dicom.picture import format_of

READERS = tuple(
    f"data_modules/mammography/dicom/{name}.py"
    for name in (
        "attributes",
        "codestream",
        "crop",
        "decode",
        "develop",
        "grayscale",
        "header",
        "orient",
        "picture",
        "reader",
        "tone",
    )
)
LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
"""Kinds of values whose length takes four bytes (PS3.5, 7.1.2)."""
KINDS = (*LONG, b"US", b"SS", b"UL", b"SL", b"FD", b"FL", b"DS", b"IS", b"CS", b"LO", b"UI", b"DA", b"PN", b"AT", b"ZZ")
PIXELS = b"\xe0\x7f\x10\x00"
FIRST = 132
"""Behind the free bytes and DICM."""
BINARY = (b"US", b"SS", b"OW", b"OB", b"UL", b"UN")


class Element(NamedTuple):
    """Where one element lies: its tag, its value, and its end."""

    start: int
    value: int
    end: int
    kind: bytes


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write inputs to.
    """
    path = folder / "image.dcm"

    def read(data: bytes) -> object:
        """Read it with settings that its first byte, which is free, decides."""
        path.write_bytes(data)
        choice = data[0] if data else 0
        return read_mammogram(path, long_side=(None, 16, 200, 1024)[choice & 3], crop=not choice & 4).flags

    return Target(READERS, seeds(folder), opens, read, mutate)


def opens(data: bytes) -> bool:
    """Whether the header is that of a single grayscale image, so that its pixels will be decoded."""
    import pydicom

    try:
        name = format_of(data)
        if name is not None:
            with Image.open(io.BytesIO(data), formats=(name,)):
                return True
        read_header(pydicom.dcmread(io.BytesIO(data)))
    except Refused:
        return False
    except Exception:  # whatever pydicom and Pillow raise
        return False
    return True


def mutate(data: bytes, random: Random) -> bytes:
    """Another value of an element, other pixels, or other bytes."""
    if data[128:FIRST] != b"DICM":
        return change_bytes(data, random, start=16 if random.random() < 0.9 else 0)
    free = bytes([random.randrange(8)])
    found = list(elements(data))
    pixels = next((element for element in found if data[element.start : element.start + 4] == PIXELS), None)
    draw = random.random()
    if pixels is not None and draw < 0.4:
        # The stream's own header is at the beginning: sizes, bits, tables.
        start = (
            pixels.value if random.random() < 0.5 else random.randrange(pixels.value, max(pixels.end, pixels.value + 1))
        )
        if random.random() < 0.4:
            near = data[: start + 200]
            return free + change_bytes(near, random, start=start)[1:] + data[start + 200 :]
        return free + change_bytes(data, random, start=start)[1:]
    if found and draw < 0.95:
        changed = data
        for _ in range(random.choice((1, 1, 2, 3))):
            changed = change_element(changed, random)
        return free + changed[1:]
    return free + change_bytes(data, random, start=FIRST)[1:]


def change_element(data: bytes, random: Random) -> bytes:
    """Another value, kind or length for one element, or the element gone, doubled or moved."""
    found = [element for element in elements(data) if data[element.start : element.start + 4] != PIXELS]
    if not found:
        return data
    start, value, end, kind = random.choice(found)
    before, tag, content, after = data[:start], data[start : start + 4], data[value:end], data[end:]
    match random.randrange(10):
        case 0:
            return before + after
        case 1:
            return before + data[start:end] * 2 + after
        case 2 if kind:
            return before + tag + random.choice(KINDS) + data[start + 6 :]
        case 3:
            return data[: value - 1] + bytes([random.randrange(256)]) + data[value:]
        case 4:
            other = random.choice(found)
            content = data[other.value : other.end]
        case 5 | 6:
            content = change_bytes(content, random) if content else b"\0\0"
        case 7:
            content = random.choice(WORDS).encode("utf-8", errors="replace")
        case 8:
            content = content + b"\\" + content
        case _:
            number = random.choice(NUMBERS)
            content = struct.pack("<H", number % 65536) if kind in BINARY else str(number).encode()
    content += b" " * (len(content) % 2)
    return before + tag + lengthened(kind, len(content)) + content + after


def lengthened(kind: bytes, length: int) -> bytes:
    """Kind and length of a value, as explicit and implicit files have them."""
    if not kind:
        return struct.pack("<I", length)
    return kind + (b"\0\0" + struct.pack("<I", length) if kind in LONG else struct.pack("<H", length % 65536))


def elements(data: bytes) -> Iterator[Element]:
    """Elements at the top, by their own lengths, as far as these can be followed; little endian alone.

    Args:
        data: A DICOM file.
    """
    at = FIRST
    explicit = True
    while at + 8 <= len(data):
        kind = data[at + 4 : at + 6]
        if int.from_bytes(data[at : at + 2], "little") > 2 and not kind.isalpha():
            explicit = False
        if not explicit:
            value, length, kind = at + 8, int.from_bytes(data[at + 4 : at + 8], "little"), b""
        elif kind in LONG:
            value, length = at + 12, int.from_bytes(data[at + 8 : at + 12], "little")
        else:
            value, length = at + 8, int.from_bytes(data[at + 6 : at + 8], "little")
        end = len(data) if length == 0xFFFFFFFF else min(value + length, len(data))
        yield Element(at, value, end, kind)
        at = end
