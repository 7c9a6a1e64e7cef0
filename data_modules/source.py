"""What a set has to say about itself: its modalities, and the cases of its tables."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from data_modules.cases import Case
from data_modules.splits import Split


class CaseSource(ABC):
    """The part of a DataModule that each set writes: reading its tables."""

    known_modalities: tuple[str, ...]
    """All modalities of the set."""
    images_root: str = "."
    """Folder below ``root`` that the paths of the tables start from."""

    @abstractmethod
    def read_splits(self, splits: Sequence[Split], *, labelled: bool) -> Mapping[Split, Sequence[Case]]:
        """The cases of splits in the order of the tables; image paths start from ``images_root``.

        Which cases there are should not depend on the modalities chosen, for folds are cut from all of them: the
        folds of a first stage on one modality are then those of the second stage on several. Absent modalities have no
        key in ``Case.images``; ``setup`` refuses or leaves out what lacks too much.

        Args:
            splits: Those needed; the files of others need not exist.
            labelled: Whether the table has to have labels.
        """

    @abstractmethod
    def read_all(self) -> Sequence[Case]:
        """Every case of the table for prediction: labels and splits need not exist."""

    @abstractmethod
    def split_sources(self) -> Mapping[Split, str]:
        """The file that defines each split, for messages."""

    @abstractmethod
    def tables(self) -> list[Path]:
        """The tables that were read, for ``data_hashes``."""
