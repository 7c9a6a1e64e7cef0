"""What a checkpoint's archive promises, looked at before anything of it is unpacked."""

import zipfile
from pathlib import Path

from medlit.errors import CheckpointMismatchError


def refuse_bomb(path: Path) -> None:
    """Refuse an archive that would take more memory than its file: torch compresses nothing, and stores nothing twice.

    Args:
        path: A PyTorch file; one that is no archive passes, for torch's older format cannot unpack to more than it is.

    Raises:
        CheckpointMismatchError: If a part of it is compressed, or its parts together are larger than the file.
        OSError: If it cannot be read.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, UnicodeDecodeError, ValueError) as error:
        raise CheckpointMismatchError(f"{path}: a damaged archive ({error}); nothing was unpacked") from error
    packed = [part.filename for part in parts if part.compress_type != zipfile.ZIP_STORED]
    if packed:
        raise CheckpointMismatchError(
            f"{path}: its part {packed[0]!r} is compressed, which torch does not do; nothing was unpacked"
        )
    size, held = sum(part.file_size for part in parts), path.stat().st_size
    if size > held:
        raise CheckpointMismatchError(
            f"{path}: its parts claim {size:,} bytes, the file holds {held:,}; nothing was unpacked"
        )
