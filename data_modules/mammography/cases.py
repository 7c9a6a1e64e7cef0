"""Cases of hundreds of thousands of images: columns of numbers and text, cheap to hand to a DataLoader's worker."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

from data_modules.cases import Case, CaseColumns, ImageFile
from data_modules.errors import TableError
from data_modules.mammography.prepared import IMAGES

UNKNOWN = -1
"""In the column of labels."""


class TextColumn(Sequence[str]):
    """Texts in one buffer; a Python string is made of the one that is asked for.

    Args:
        texts: N of them.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode() for text in texts]
        self._buffer = b"".join(encoded)
        self._ends = np.cumsum(np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded)))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        position = range(len(self))[index]
        start = int(self._ends[position - 1]) if position else 0
        return self._buffer[start : int(self._ends[position])].decode()

    def take(self, rows: NDArray[np.int64]) -> "TextColumn":
        """The texts of some rows, in their order."""
        return TextColumn([self[row] for row in rows.tolist()])


@dataclass(frozen=True, slots=True)
class Names:
    """A column in which texts repeat: patients, exams, breasts."""

    codes: NDArray[np.int32]
    """(N,) positions in ``values``."""
    values: TextColumn

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Names":
        """Encode texts; they are numbered in the order in which they come."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(text, len(numbers)) for text in texts]
        return cls(np.array(codes, dtype=np.int32), TextColumn(numbers))

    def __getitem__(self, index: int) -> str:
        return self.values[int(self.codes[index])]

    def take(self, rows: NDArray[np.int64]) -> "Names":
        """The column of some rows, in their order, without the texts that none of them has."""
        kept, codes = np.unique(self.codes[rows], return_inverse=True)
        return Names(codes.astype(np.int32), self.values.take(kept.astype(np.int64)))


@dataclass(frozen=True, slots=True)
class Files:
    """The images of each case in one modality."""

    ends: NDArray[np.int64]
    """(N,) where the files of a case end in ``paths``; they begin where those of the case before end."""
    paths: TextColumn
    """Below the root, with forward slashes."""

    def of(self, index: int) -> list[str]:
        """The paths of a case, none where it lacks the modality."""
        return self.paths[int(self.ends[index - 1]) if index else 0 : int(self.ends[index])]

    @property
    def counts(self) -> NDArray[np.int64]:
        """(N,) images of each case."""
        return np.diff(self.ends, prepend=0)

    def take(self, rows: NDArray[np.int64]) -> "Files":
        """The files of some cases, in their order."""
        counts = self.counts[rows]
        ends = np.cumsum(counts)
        positions = np.arange(int(counts.sum())) + np.repeat(self.ends[rows] - ends, counts)
        return Files(ends, self.paths.take(positions))


class CaseTable(CaseColumns):
    """Cases as columns of N rows; ``table[i]`` makes a ``Case``.

    Args:
        root: Folder that the paths of ``files`` start from.
        source: The table that names the images, for errors.
        case_ids: Distinct.
        groups: Patients.
        labels: (N,) classes, ``UNKNOWN`` where there is none.
        files: By modality.
        units: What the cases are a part of, by kind, the smaller kind first.
        strata: Groups of cases that are also judged by themselves, by what tells them apart.
    """

    def __init__(
        self,
        *,
        root: str,
        source: str,
        case_ids: TextColumn,
        groups: Names,
        labels: NDArray[np.int16],
        files: Mapping[str, Files],
        units: Mapping[str, Names],
        strata: Mapping[str, Names] | None = None,
    ) -> None:
        self.root = root
        self.source = source
        self.ids = case_ids
        self.groups = groups
        self.label_codes = labels
        self.files = dict(files)
        self.units = dict(units)
        self.strata = dict(strata or {})

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> "CaseTable": ...
    def __getitem__(self, index: int | slice) -> "Case | CaseTable":
        if isinstance(index, slice):
            return self.take(np.arange(len(self))[index])
        row = range(len(self))[index]
        folder = os.path.join(self.root, IMAGES)  # which may itself be a link
        images = {
            name: tuple(
                ImageFile(os.path.join(self.root, path), f"{self.source}, image {path}", folder) for path in paths
            )
            for name, files in self.files.items()
            if (paths := files.of(row))
        }
        label, case_id = int(self.label_codes[row]), self.ids[row]
        return Case(
            case_id=case_id,
            group_id=self.groups[row],
            images=images,
            label=None if label == UNKNOWN else label,
            where=f"{self.source}, {case_id}",
            units={kind: names[row] for kind, names in self.units.items()} or None,
            strata={name: values[row] for name, values in self.strata.items()} or None,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CaseTable) and len(self) == len(other) and all(map(Case.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def labels(self) -> list[int | None]:
        """The class of every case, None where it is unknown."""
        return [None if label == UNKNOWN else label for label in self.label_codes.tolist()]

    @property
    def case_ids(self) -> list[str]:
        """The id of every case."""
        return self.ids[:]

    def has_any(self, modalities: Sequence[str]) -> NDArray[np.bool_]:
        """(N,): whether a case has an image of one of some modalities."""
        found = np.zeros(len(self), dtype=np.bool_)
        for name in modalities:
            found |= self.files[name].counts > 0
        return found

    def take(self, rows: NDArray[np.int64]) -> "CaseTable":
        """Some of the cases, in the order of ``rows``."""
        return CaseTable(
            root=self.root,
            source=self.source,
            case_ids=self.ids.take(rows),
            groups=self.groups.take(rows),
            labels=self.label_codes[rows],
            files={name: files.take(rows) for name, files in self.files.items()},
            units={kind: names.take(rows) for kind, names in self.units.items()},
            strata={name: values.take(rows) for name, values in self.strata.items()},
        )


def keep_with(cases: CaseTable, *, modalities: Sequence[str], allow_missing: bool) -> CaseTable:
    """The cases that have at least one of the modalities.

    Args:
        cases: With all modalities.
        modalities: Those to read.
        allow_missing: Whether a case may lack some of them.

    Returns:
        ``cases`` itself where none is left out.

    Raises:
        TableError: If a case lacks one and may not.
    """
    for modality in () if allow_missing else modalities:
        lacking = np.flatnonzero(~cases.has_any([modality]))
        if len(lacking):
            case = cases[int(lacking[0])]
            raise TableError(
                f"{case.where}: case {case.case_id!r} has no {modality} ({len(lacking)} such cases in all); complete "
                "the set, or set allow_missing: true"
            )
    has = cases.has_any(modalities)
    return cases if has.all() else cases.take(np.flatnonzero(has))
