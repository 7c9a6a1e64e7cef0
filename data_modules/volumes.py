"""Volumes on disk: 8-bit arrays in .npy files, mapped into memory so that only the slices taken are read."""

import math
import os
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data_modules.errors import UnreadableImageError

MAX_FILE_BYTES = 512 * 2**20
MAX_HEADER_CHARACTERS = 10_000
Volume = NDArray[np.uint8]
"""(S, H, W): slices, height, width; gray values as stored."""


def open_volume(path: str | Path, *, where: str = "", max_file_bytes: int = MAX_FILE_BYTES) -> Volume:
    """Map a volume into memory, after its header was found to say what the file holds.

    Nothing is unpickled: an array of Python objects is refused by its header alone, and the rest of the file is only
    ever taken as 8-bit numbers.

    Args:
        path: The file.
        where: File, line and column of the table that names it, for the error.
        max_file_bytes: Larger files are refused.

    Returns:
        (S, H, W) uint8, read-only; slices are read from disk where they are looked at.

    Raises:
        UnreadableImageError: If the file is no .npy file of unsigned 8-bit numbers in three dimensions, is shorter or
            longer than its header says, or too large.
    """
    named = f"; {where} names it" if where else ""
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > max_file_bytes:
                raise UnreadableImageError(
                    path, f"larger than {max_file_bytes:,} bytes{named}; is this the right file?"
                )
            shape, fortran = _check_header(file, size)
            return np.memmap(file, np.uint8, mode="r", offset=file.tell(), shape=shape, order="F" if fortran else "C")
    except UnreadableImageError:
        raise
    except (OSError, ValueError, OverflowError, RecursionError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise UnreadableImageError(path, f"{reason}{named}; copy it anew from the original data set") from error


def _check_header(file: BinaryIO, size: int) -> tuple[tuple[int, int, int], bool]:
    """Shape and order of a file that holds what its header says; the file stands at its data then.

    Raises:
        ValueError: Saying what is wrong.
    """
    shape, fortran, dtype = _read_header(file)
    if dtype.hasobject:
        raise ValueError("an array of Python objects, which only unpickling could read; that is never done")
    if dtype != np.uint8:
        raise ValueError(f"values are {dtype}, not uint8 (0 to 255); a converted or scaled copy cannot be used")
    if len(shape) != 3 or any(type(size) is not int for size in shape):  # numpy lets True be a number
        raise ValueError(f"shape {shape}: not slices x height x width")
    if min(shape) < 1:
        raise ValueError(f"shape {shape}: no slice or no pixel in it")
    claimed, held = math.prod(shape), size - file.tell()
    if claimed != held:
        raise ValueError(
            f"its header says {shape[0]} x {shape[1]} x {shape[2]} = {claimed:,} bytes, the file holds {held:,}: "
            f"{'cut off' if held < claimed else 'something is appended'}"
        )
    return (shape[0], shape[1], shape[2]), fortran


def _read_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, whether it is in Fortran's order, and type of the values.

    Raises:
        ValueError: If it is no .npy file.
    """
    try:
        version = np.lib.format.read_magic(file)
        readers = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        shape, fortran, dtype = readers[version](file, max_header_size=MAX_HEADER_CHARACTERS)
    except (ValueError, KeyError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError) as error:
        raise ValueError("no .npy file") from error
    return shape, fortran, dtype


def slice_positions(slices: int, count: int, *, generator: np.random.Generator | None = None) -> NDArray[np.int64]:
    """Evenly spaced slices: the volume is cut into ``count`` steps of equal length, one slice of each is taken.

    A volume with fewer slices than steps gives some of them several times, evenly.

    Args:
        slices: S of the volume, at least one.
        count: How many to take.
        generator: Draws the place within each step; None takes its middle.

    Returns:
        (count,) positions, 0 to S - 1, in order.
    """
    within = np.full(count, 0.5) if generator is None else generator.random(count)
    return np.minimum((np.arange(count) + within) * slices / count, slices - 1).astype(np.int64)
