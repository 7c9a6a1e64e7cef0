"""Files that run a program when they are read carelessly: each tries to make a folder."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch

from medlit.seal import write_sealed


class Trap:
    """An object whose pickle makes a folder."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sprung),)


def archive(path: Path, trap: Trap) -> None:
    """A checkpoint as torch writes it."""
    torch.save(_checkpoint(trap), path)


def sealed(path: Path, trap: Trap) -> None:
    """A checkpoint with medlit's seal, which is no secret."""
    write_sealed(path, lambda file: torch.save(_checkpoint(trap), cast(IO[bytes], file)))


def old_format(path: Path, trap: Trap) -> None:
    """A checkpoint as torch wrote it before 1.6."""
    torch.save(_checkpoint(trap), path, _use_new_zipfile_serialization=False)


def bare_pickle(path: Path, trap: Trap) -> None:
    """No checkpoint at all."""
    path.write_bytes(pickle.dumps(trap))


def array_of_objects(path: Path, trap: Trap) -> None:
    """A .npy file of one Python object."""
    np.save(path, np.array([[[trap]]], dtype=object), allow_pickle=True)


def _checkpoint(trap: Trap) -> dict[str, Any]:
    return {"state_dict": {"model.weight": torch.zeros(1)}, "medlit": {"format_version": 1}, "callbacks": trap}


CHECKPOINTS: tuple[Callable[[Path, Trap], None], ...] = (archive, sealed, old_format, bare_pickle)
