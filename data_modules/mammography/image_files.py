"""Where the bytes of prepared images come from: the files of a folder here, shards in ``shards.reader``."""

import os
from abc import ABC, abstractmethod

from data_modules.errors import UnreadableImageError

AGAIN = "prepare the set again: medlit data prepare does what is missing"


class ImageFiles(ABC):
    """Gives the bytes of prepared images; workers unpickle it."""

    @abstractmethod
    def read(self, path: str, *, named: str, max_bytes: int) -> bytes:
        """The bytes that ``medlit data prepare`` wrote.

        Args:
            path: Of the image, below the prepared root where cases have it.
            named: What names it, for the error: empty, or a clause that begins with a semicolon.
            max_bytes: Larger images are refused.

        Raises:
            UnreadableImageError: If they cannot be had, or are too many.
        """


class FolderFiles(ImageFiles):
    """Every image is a file."""

    def read(self, path: str, *, named: str, max_bytes: int) -> bytes:
        """See ``ImageFiles.read``."""
        try:
            with open(path, "rb") as file:
                if os.fstat(file.fileno()).st_size > max_bytes:
                    raise UnreadableImageError(path, f"larger than {max_bytes:,} bytes{named}; no prepared image is")
                return file.read()
        except OSError as error:
            raise UnreadableImageError(path, f"cannot be read ({error.strerror}){named}; {AGAIN}") from error


FOLDER = FolderFiles()
