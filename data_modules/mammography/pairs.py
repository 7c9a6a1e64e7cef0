"""Which other images show the same study, or the same breast: found in constant time, whatever the size of the set."""

import zlib
from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data_modules.errors import DataSettingsError, nearest

PairKind = Literal["study", "breast"]


class PairIndex:
    """The partners of every row, by kind.

    The rows of each unit (study or breast) stand twice in a row, one after the other: in ``a b c a b c`` the two
    entries that follow the first ``b`` are its partners ``c a``. So the partners of a row are a view of an array, its
    unit without itself, and nothing is searched for or copied.

    Args:
        units: By kind, the number of each row's unit, length N; negative where a row belongs to none and has no
            partner.

    Raises:
        DataSettingsError: If the kinds differ in length.
    """

    def __init__(self, units: Mapping[PairKind, ArrayLike]) -> None:
        codes = {kind: np.asarray(values, dtype=np.int64) for kind, values in units.items()}
        lengths = {kind: len(values) for kind, values in codes.items()}
        if len(set(lengths.values())) != 1:
            raise DataSettingsError(f"a pair index needs one unit per row and kind, got {lengths}")
        self._length = next(iter(lengths.values()))
        self._tables = {kind: _doubled(values) for kind, values in codes.items()}

    def __len__(self) -> int:
        return self._length

    def partners(self, index: int, kind: PairKind) -> NDArray[np.int32]:
        """The other rows of a row's unit.

        Args:
            index: Row, 0 to N - 1.
            kind: study or breast.

        Returns:
            A read-only view of int32 row numbers, empty where the row is alone: first the rows that follow it in its
            unit, then, from the start of the unit, those before it.

        Raises:
            DataSettingsError: If the index was made without this kind.
        """
        if kind not in self._tables:
            raise DataSettingsError(f"no pairs by {kind!r}; {nearest(kind, self._tables)}")
        rows, first, last = self._tables[kind]
        return rows[first[index] : last[index]]

    def partner_counts(self, kind: PairKind) -> NDArray[np.int32]:
        """How many partners each row has, (N,)."""
        _, first, last = self._tables[kind]
        return last - first


def rows_of_other_patients(patients: NDArray[np.int32], *, seed: int) -> NDArray[np.int64]:
    """Each row's stand-in: a permutation of the rows that gives none to a row of its own patient.

    The patients are put in an order drawn from the seed, their rows one after the other; each row takes the one that is
    half of all rows further on, round the end.

    Args:
        patients: (N,) number of each row's patient.
        seed: Zero or more.

    Returns:
        (N,) row numbers.

    Raises:
        DataSettingsError: If one patient has more than half of all rows.
    """
    count = len(patients)
    if np.bincount(patients).max(initial=0) > count // 2:
        raise DataSettingsError("shuffle_captions: one patient has more than half of the images; it takes others")
    generator = np.random.default_rng([seed, zlib.crc32(b"shuffle_captions")])
    rows = generator.permutation(count)
    places = generator.permutation(int(patients.max(initial=0)) + 1)
    order = rows[np.argsort(places[patients[rows]], kind="stable")]
    stand_ins = np.empty(count, dtype=np.int64)
    stand_ins[order] = np.roll(order, count // 2)
    return stand_ins


def _doubled(codes: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Rows by unit, each unit twice (2N,), and where the partners of each row begin and end there, (N,) each."""
    rows = len(codes)
    codes = np.where(codes < 0, rows + codes.max(initial=0) + np.arange(rows), codes)  # each alone in a unit of its own
    order = np.argsort(codes, kind="stable")
    _, starts, sizes = np.unique(codes[order], return_index=True, return_counts=True)
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)  # of the unit of each entry of order
    inside = np.arange(rows) - start
    doubled = np.empty(2 * rows, dtype=np.int32)
    doubled[2 * start + inside] = doubled[2 * start + size + inside] = order
    first = np.empty(rows, dtype=np.int32)
    last = np.empty(rows, dtype=np.int32)
    first[order] = 2 * start + inside + 1
    last[order] = 2 * start + inside + size
    doubled.setflags(write=False)
    return doubled, first, last
