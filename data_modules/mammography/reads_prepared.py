"""A prepared set where it lies: single images in a folder, shards in a folder, shards in an object store."""

from abc import ABC, abstractmethod
from pathlib import Path

from data_modules.mammography.image_files import FOLDER, ImageFiles
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import DESCRIPTION, MANIFEST, Prepared, open_prepared
from data_modules.mammography.shards.object_store import fetch_tables, split_root
from data_modules.mammography.shards.reader import open_image_files
from data_modules.synthetic.tree import MARKER


class ReadsPrepared(ABC):
    """The part of a DataModule that finds its tables and images."""

    set_name: str
    root: Path
    """Where the tables are read from."""
    preparation: PreparationSettings
    url: str | None = None
    """Of the shards in an object store."""
    image_files: ImageFiles = FOLDER
    """Where the bytes of images come from, once the tables are read."""

    @abstractmethod
    def official_tables(self) -> tuple[str, ...]:
        """Paths of the official tables below ``root``."""

    def place(self, root: str | Path) -> Path:
        """The folder that a setting ``root`` stands for; of an address, where its tables will lie.

        Raises:
            DataSettingsError: If it is an address that cannot be read.
        """
        folder, self.url = split_root(root)
        return folder

    def prepare_data(self) -> None:
        """Fetch the tables of shards in an object store, once on every node; images come when they are asked for."""
        if self.url is not None:
            fetch_tables(self.url, self.root, names={*self.official_tables(), MANIFEST, DESCRIPTION, MARKER})

    def open_prepared(self) -> Prepared:
        """The prepared set, its images ready to be read.

        Raises:
            DataError: If it is not there, or cannot be used.
        """
        self.prepare_data()  # of a process that Lightning does not ask to; what is there is not fetched again
        prepared = open_prepared(self.root, name=self.set_name, settings=self.preparation)
        self.image_files = open_image_files(prepared, url=self.url)
        return prepared
