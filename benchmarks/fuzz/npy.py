"""Volumes: ``.npy`` files."""

import io
import math
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzz.changes import change_bytes, plain_value
from benchmarks.fuzz.target import Target
from data_modules.volumes import open_volume

READERS = ("data_modules/volumes.py",)
TYPES = (
    "|u1",
    "<u2",
    ">u2",
    "|i1",
    "<f4",
    "<f8",
    "|b1",
    "<U3",
    "|S5",
    "<M8[s]",
    "<c16",
    "|O",
    "|V4",
    [("a", "|u1"), ("b", "<i4")],
)
SHAPES = (
    (2, 3, 4),
    (1, 1, 1),
    (3, 16, 16),
    (4,),
    (),
    (2, 3, 4, 1),
    (0, 3, 4),
    (2**31, 2**31, 4),
    (-1, 3, 4),
    (2.0, 3, 4),
    (24, True, 1),
)


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write inputs to.
    """
    path = folder / "volume.npy"

    def read(data: bytes) -> int:
        """Map it, and look at every value as a data set does."""
        path.write_bytes(data)
        return int(np.asarray(open_volume(path, where="train-acl.csv line 3")).sum())

    return Target(READERS, seeds(), opens, read, mutate)


def seeds() -> list[bytes]:
    """Arrays of many types, orders, versions and shapes."""
    generator = np.random.default_rng(0)
    volume = generator.integers(0, 256, (3, 5, 4), dtype=np.uint8)
    made = [npy(volume, version=version, order=order) for version in ((1, 0), (2, 0), (3, 0)) for order in ("C", "F")]
    made += [npy(volume.astype(kind)) for kind in ("<u2", ">u2", "i1", "f4", "f8", "bool", "U3", "S5", "M8[s]", "c16")]
    made += [npy(np.zeros(shape, np.uint8)) for shape in ((), (4,), (2, 3), (0, 2, 2), (2, 2, 2, 1), (5, 64, 64))]
    structured = np.zeros((2, 2, 2), dtype=[("a", "u1"), ("b", "<i4")])
    return [*made, npy(structured)]


def npy(array: np.ndarray[Any, Any], *, version: tuple[int, int] = (1, 0), order: str = "C") -> bytes:
    """A file."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array, order=order), version=version, allow_pickle=False)  # type: ignore[call-overload]
    return stream.getvalue()


def opens(data: bytes) -> bool:
    """Whether numpy understands the header."""
    stream = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        read(stream)
    except Exception:  # whatever numpy's parser raises
        return False
    return True


def mutate(data: bytes, random: Random) -> bytes:
    """A header that claims something else, or the same header before other data."""
    end = _header_end(data)
    match random.randrange(10):
        case 0 | 1 | 2:
            return change_bytes(data, random, start=end)
        case 3:
            return change_bytes(data, random)
        case 4:
            return data[:end] + random.randbytes(random.choice((0, 1, 23, 24, 25, 60, 4096)))
        case 5 | 6:
            shape = tuple(random.randint(1, 9) for _ in range(3))
            sound: dict[str, object] = {"descr": "|u1", "fortran_order": random.random() < 0.5, "shape": shape}
            values = random.randbytes(math.prod(shape) + random.choice((0, 0, 0, 1, -1)))
            return header(sound, version=random.choice((1, 2)), random=random) + values
    claims: dict[str, object] = {
        "descr": random.choice(TYPES) if random.random() < 0.5 else "|u1",
        "fortran_order": random.choice((True, False, True, False, 1, None)),
        "shape": random.choice(SHAPES) if random.random() < 0.7 else tuple(random.randrange(9) for _ in range(3)),
    }
    if random.random() < 0.1:
        claims[random.choice((*claims, "more"))] = plain_value(random)
    return header(claims, version=random.choice((1, 1, 1, 2, 3, 9)), random=random) + data[end:]


def header(claims: dict[str, object], *, version: int, random: Random) -> bytes:
    """Magic, version, length and the dictionary, mostly padded as numpy pads it."""
    text = repr(claims)
    wide = 2 if version == 1 else 4
    text += " " * (-(len(text) + 7 + wide + 2) % 64) + ("\n" if random.random() < 0.95 else "")
    encoded = text.encode("utf-8")
    length = len(encoded) if random.random() < 0.95 else random.choice((0, 1, 10, 65535))
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if wide == 2 else "<I", length) + encoded


def _header_end(data: bytes) -> int:
    """Where the values begin, by the length that the file states."""
    if len(data) < 12:
        return len(data)
    wide = 2 if data[6] == 1 else 4
    return min(8 + wide + int.from_bytes(data[8 : 8 + wide], "little"), len(data))
