"""How checkpoints reach the disk: whole, sealed, and never in place of the only good one before they are there."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from medlit.errors import CheckpointNotWrittenError, ConfigurationError
from medlit.models.weights import read_file
from medlit.run_folder import LAST, PREVIOUS
from medlit.seal import HashingFile, verify, write_sealed


class SealedCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place, waits for the disk, and moves it there; verifies it when it is loaded.

    ``last.ckpt`` becomes ``previous.ckpt`` just before the new one takes its name. Whenever the process or the machine
    stops, one of the two is whole. What goes to an address (``://``) is written by Lightning, without a seal, and never
    read from there.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointNotWrittenError: If the system does not take it: no space, no permission.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        target = Path(path)
        try:
            replace_sealed(target, lambda file: torch.save(checkpoint, cast(IO[bytes], file)))
        except OSError as error:
            raise CheckpointNotWrittenError(
                f"{target}: cannot be written ({error.strerror or error}); the checkpoints before it are whole: "
                "mend that and go on with --resume true"
            ) from error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint that is what it was when it was written; of a file nothing but tensors is unpickled.

        Raises:
            DamagedCheckpointError: If it is not.
            CheckpointMismatchError: If it has no seal, and cannot be read.
            ConfigurationError: If it is an address.
        """
        refuse_address(path)
        verify(Path(path))
        return read_file(Path(path))


def refuse_address(path: Any) -> None:
    """Refuse a checkpoint that would come over the network; a configuration or another checkpoint may have named it.

    Args:
        path: Of a checkpoint to read; None names none.

    Raises:
        ConfigurationError: If it is an address.
    """
    if "://" in str(path):
        raise ConfigurationError(f"checkpoint {path}: checkpoints are read from local files alone; copy it to one")


def replace_sealed(target: Path, write: Callable[[HashingFile], object]) -> None:
    """Put a sealed file in the place of another, which stays until the new one is on the disk.

    Args:
        target: Its place; ``last.ckpt`` keeps what was there as ``previous.ckpt``.
        write: Writes the content, see `medlit.seal.write_sealed`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = part_of(target)
    try:
        write_sealed(temporary, write)
        if target.name == LAST and target.exists():
            os.replace(target, target.with_name(PREVIOUS))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def part_of(target: Path) -> Path:
    """Where a checkpoint is while it is written; a write that was killed leaves it, the next one takes the place."""
    return target.with_name(f".{target.name}.part")


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
