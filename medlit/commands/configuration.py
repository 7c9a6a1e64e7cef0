"""The configuration of a training, read by the very parser of ``medlit fit``; nothing is trained."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from lightning import LightningDataModule, LightningModule

from medlit.config_errors import refused
from medlit.lightning_cli import MedlitCLI


class Configuration(MedlitCLI):
    """What ``medlit fit`` with some words would do, up to the point where it would make anything.

    Args:
        words: Options of ``fit``.

    Raises:
        ConfigurationError: As ``medlit fit`` would.
    """

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__(["fit", *words])

    def _set_seed(self) -> None:
        """Nothing random is drawn."""

    def before_instantiate_classes(self) -> None:
        """Nothing: see :meth:`claim`."""

    def instantiate_classes(self) -> None:
        """Nothing: see :meth:`make_data` and :meth:`make_task`."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Nothing is trained."""

    @property
    def plain(self) -> dict[str, Any]:
        """Every setting in plain types."""
        text = self._parser(self.verb).dump(self.options, skip_none=False, skip_validation=True)
        settings: dict[str, Any] = yaml.safe_load(text)
        return settings

    def claim(self) -> None:
        """See that the run folder is free, or goes on, as ``medlit fit`` sees to it; nothing is changed.

        Raises:
            ConfigurationError: If it is not.
        """
        super().before_instantiate_classes()

    def make_data(self) -> LightningDataModule:
        """The DataModule; nothing of the data has been read.

        Raises:
            ConfigurationError: If its settings cannot be.
        """
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--data", type=LightningDataModule)
        try:
            made: LightningDataModule = parser.instantiate_classes(
                parser.parse_object({"data": self.plain["data"]})
            ).data
        except (ValueError, TypeError, ArgumentError) as error:
            raise refused(error) from error
        return made

    def make_task(self) -> LightningModule:
        """The task without memory for its tensors, and without a file of weights read.

        Raises:
            ConfigurationError: If its settings cannot be, or do not fit the data's.
        """
        config = self.config.clone()
        options = config[self.verb]
        options.trainer.logger = options.trainer.callbacks = None
        for part in _namespaces(options.model):
            for name, value in (("pretrained", False), ("weights", None), ("init_from", None)):
                if name in part:
                    part[name] = value
        try:
            with torch.device("meta"):
                made: LightningModule = self.parser.instantiate_classes(config)[self.verb].model
        except (ValueError, TypeError) as error:
            raise refused(error) from error
        return made


def _namespaces(value: object) -> Iterator[Namespace]:
    """A group of settings and all below it."""
    if isinstance(value, Namespace):
        yield value
        for child in vars(value).values():
            yield from _namespaces(child)
