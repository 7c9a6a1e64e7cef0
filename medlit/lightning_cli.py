"""The verbs of Lightning's Trainer on tasks and DataModules from YAML: fit, validate, test, predict."""

import argparse
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from lightning import LightningDataModule, LightningModule, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from medlit import code_paths, resume, run_folder
from medlit.callbacks import RunFolder
from medlit.callbacks.checkpoint import keeper_of
from medlit.callbacks.defaults import with_defaults
from medlit.checkpoint_io import SealedCheckpointIO, refuse_address
from medlit.config_errors import explain, refuse_unheard, refused
from medlit.config_source import config_files, read_settings
from medlit.credentials import hidden_settings
from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.models.weights import read_file

FROM_DATA = ("num_classes", "modalities", "img_size", "class_names", "multi_label", "variables", "num_tokens")
"""What a task takes from its DataModule once that exists."""

PARSE_LINKS = {"data.init_args.seed": "seed_everything", "trainer.default_root_dir": "run_dir"}
"""What is known before anything exists: target and source."""

LINKS = {**{f"model.init_args.{name}": f"data.{name}" for name in FROM_DATA}, **PARSE_LINKS}

ONE_TIME = ("ckpt_path", "weights_only", "overwrite", "resume", "test_after_fit", code_paths.KEY)
"""Options of one training that its saved configuration leaves out, for the configuration also tests and predicts."""

MAX_SEED = 2**32 - 1
"""Of numpy's generator, which Lightning seeds."""


def main(args: list[str]) -> int:
    """Carry out one of the Trainer's verbs.

    Args:
        args: The verb and what follows it.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: If the configuration is not valid, or contradicts what is there.
    """
    logging.getLogger("lightning").handlers.clear()  # its own writes to standard error, which is for errors
    try:
        with code_paths.known_code_alone(unless=code_paths.code_is_allowed(args[1:])):
            MedlitCLI(args)
    except MisconfigurationException as error:
        raise ConfigurationError(str(error)) from error
    return 0


class MedlitCLI(LightningCLI):
    """LightningCLI with a run folder, data linked to the task, and errors in one line.

    Args:
        args: The verb and what follows it.
    """

    def __init__(self, args: list[str]) -> None:
        self.verb = args[0]
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=None,  # RunFolder saves it
            trainer_defaults={"use_distributed_sampler": False},  # the DataModules' samplers know the processes
            seed_everything_default=0,
            parser_kwargs={"prog": "medlit", "exit_on_error": False, "allow_abbrev": False},
            auto_configure_optimizers=False,  # tasks take theirs as arguments
            load_from_checkpoint_support=False,  # a checkpoint never changes the configuration
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # one verb: a parser takes 0.1 s to build
        """The verb in use, and the arguments of the Trainer's method that are no options."""
        return {self.verb: LightningCLI.subcommands()[self.verb]}

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Options beside trainer, model and data."""
        parser.add_argument("--seed_everything", type=int, default=0, help="Seed of everything random.")
        parser.add_argument(
            "--run_dir", type=str, default="runs/unnamed", help="Folder of the run (default: runs/<config names>)."
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Link what is never typed twice."""
        for name in FROM_DATA:
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for target, source in PARSE_LINKS.items():
            parser.link_arguments(source, target)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        parser.add_argument(
            f"--{code_paths.OPTION}",
            type=bool,
            nargs="?",
            const=True,
            default=False,
            help="Let class paths name code of any package, such as your own; a configuration cannot say so itself.",
        )
        if subcommand == "fit":
            parser.add_argument(
                "--overwrite", type=bool, default=False, help="Remove what an earlier run left in the run folder."
            )
            parser.add_argument(
                "--resume",
                type=bool,
                default=False,
                help="Go on from the newest sound checkpoint of the run folder, and start anew where there is none.",
            )
            parser.add_argument(
                "--test_after_fit", type=bool, default=True, help="Test the best checkpoint after training."
            )
        # Tensors only; tasks print their own table of a test, callbacks write predictions.
        defaults = {"weights_only": True, "verbose": subcommand != "test", "return_predictions": False}
        arguments = self._subcommand_method_arguments[subcommand]
        parser.set_defaults({name: value for name, value in defaults.items() if name in arguments})
        return parser

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse, with the run folder named after the configuration files and errors that name their place."""
        words = args[1:]
        settings = read_settings(words)
        allowed = code_paths.code_is_allowed(words)
        code_paths.refuse_code(settings, unless=allowed)
        refuse_unheard(settings, LINKS)
        verb_parser = self._parser(self.verb)
        verb_parser.set_defaults({"run_dir": run_folder.default_run_dir(config_files(words))})
        try:
            self.config = parser.parse_args(args)
        except argparse.ArgumentError as error:
            keys = {action.dest for action in verb_parser._actions if not action.dest.endswith("help")}
            raise explain(error, settings, keys) from error
        if not 0 <= self.options.seed_everything <= MAX_SEED:
            raise ConfigurationError(
                f"seed_everything: expected a whole number from 0 to {MAX_SEED}, got {self.options.seed_everything}"
            )
        code_paths.refuse_parsed(self.config, settings, unless=allowed)

    def _parse_ckpt_path(self) -> None:
        """Hyperparameters of a checkpoint would beat the configuration without a word: they are not read."""

    @property
    def options(self) -> Any:
        """The configuration of the verb, as parsed."""
        return self.config[self.verb]

    def before_instantiate_classes(self) -> None:
        """See to run folder and checkpoint before anything heavy is made."""
        options = self.options
        refuse_address(options.ckpt_path)  # before it is taken for a file: http:/x may be one
        if options.trainer.overfit_batches:
            raise ConfigurationError(
                "trainer.overfit_batches would take the place of the data's samplers, which also say how a case is "
                "read: set trainer.limit_train_batches instead"
            )
        if options.ckpt_path is not None and not Path(options.ckpt_path).is_file():
            raise WeightsNotFoundError(f"checkpoint {options.ckpt_path} does not exist")
        if self.verb == "fit":
            self.found = self._find_newest()
            if getattr(rank_zero_only, "rank", 0) == 0 and not options.trainer.fast_dev_run:
                going_on = {"resume": options.ckpt_path, "may_go_on": options.resume}
                run_folder.claim(options.run_dir, overwrite=options.overwrite, **going_on)
        elif options.ckpt_path is None:
            options.ckpt_path = str(run_folder.find_best(options.run_dir))
            say(f"{self.verb}: {options.ckpt_path}")
        if options.ckpt_path is not None:
            read_file(Path(options.ckpt_path), mmap=True)  # refuses what is none, in one line; tensors stay on disk

    def _find_newest(self) -> resume.Found:
        """What ``--resume true`` goes on from becomes the checkpoint to resume; what it is compared with is noted.

        Raises:
            ConfigurationError: If a checkpoint is named beside it, or the run was trained with other settings.
        """
        options = self.options
        settings = yaml.safe_load(self._parser(self.verb).dump(options, skip_none=False, skip_validation=True))
        self.settings = resume.settings_of(settings)
        if not options.resume:
            return resume.Found(None)
        if options.ckpt_path is not None or options.overwrite:
            raise ConfigurationError("--resume true finds the checkpoint itself, and overwrites nothing: give it alone")
        found = resume.find_newest(options.run_dir)
        for why in found.damaged.values():
            say(why)
        if found.checkpoint is not None:
            content = read_file(found.checkpoint, mmap=True)
            resume.check_settings(content, self.settings, source=str(found.checkpoint))
            options.ckpt_path = str(found.checkpoint)
            say(f"going on from {found.checkpoint}: epoch {content.get('epoch')}, step {content.get('global_step')}")
        return found

    def instantiate_classes(self) -> None:
        """Make data, task and Trainer; what their classes refuse is an error of the configuration."""
        try:
            super().instantiate_classes()
        except (ValueError, TypeError) as error:
            raise refused(error) from error

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The Trainer, with the default loggers where the configuration names none, and what every run writes."""
        options = self.options
        if options.trainer.logger is None:
            kwargs.setdefault("logger", default_loggers(options.run_dir, self.verb))
        checkpoints = options.trainer.enable_checkpointing is not False
        callbacks = with_defaults(self._get(self.config_init, "trainer").callbacks, checkpoints=checkpoints)
        if self.verb == "fit":
            save = partial(save_config, self._parser(self.verb), options)
            going_on = {"resumed": options.resume, "damaged": self.found.damaged, "overwrite": options.overwrite}
            callbacks = [RunFolder(Path(options.run_dir), save, settings=self.settings, **going_on), *callbacks]
        plugins = with_sealed_checkpoints(self._get(self.config_init, "trainer").plugins)
        return super().instantiate_trainer(**{"callbacks": callbacks, "plugins": plugins, **kwargs})

    def fit(self, model: LightningModule, **kwargs: Any) -> None:
        """Train, unless what is gone on with had decided to stop: Lightning does not keep that."""
        if self.options.resume and resume.stopped_early(Path(self.options.run_dir)):
            say(f"{self.options.run_dir}: training was stopped early and has come to its end")
            return
        self.trainer.fit(model, **kwargs)

    def after_fit(self) -> None:
        """Test the best checkpoint of the training that just ended."""
        options = self.options
        if not options.test_after_fit or options.trainer.fast_dev_run:
            return
        best = getattr(keeper_of(self.trainer), "best_model_path", "")
        if not best and options.resume and run_folder.best_checkpoint(options.run_dir).is_file():
            best = str(run_folder.best_checkpoint(options.run_dir))
        if not best:
            say("test after fit: no best checkpoint was kept (was there a validation?), nothing to test")
            return
        if "://" in best:
            say(f"test after fit: {best} is no local file; copy it to one, and test it with --ckpt_path")
            return
        say(f"test after fit: {os.path.relpath(best)}")
        self.trainer.test(self.model, datamodule=self.datamodule, ckpt_path=best, verbose=False, weights_only=True)


def with_sealed_checkpoints(plugins: Any) -> list[Any]:
    """The configured plugins, and what writes and verifies checkpoints unless one of them does."""
    own = list(plugins) if isinstance(plugins, Sequence) and not isinstance(plugins, str) else [plugins]
    own = [plugin for plugin in own if plugin is not None]
    return own if any(isinstance(plugin, CheckpointIO) for plugin in own) else [*own, SealedCheckpointIO()]


def save_config(parser: LightningArgumentParser, config: Any, path: Path) -> None:
    """Write what was parsed, without the options of one training and without secrets."""
    config = config.clone()
    for option in ONE_TIME:
        config.pop(option, None)
    text = parser.dump(config, skip_none=False, skip_validation=True)
    settings = yaml.safe_load(text)
    if (hidden := hidden_settings(settings)) != settings:
        text = yaml.safe_dump(hidden, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")


def default_loggers(run_dir: str, verb: str) -> list[Logger]:
    """CSV and TensorBoard below ``<run>/logs``, each verb in a folder of its own; nothing earlier is overwritten."""
    version = run_folder.log_version(run_dir, verb)
    return [
        CSVLogger(save_dir=run_dir, name="logs/csv", version=version),
        TensorBoardLogger(save_dir=run_dir, name="logs/tensorboard", version=version, default_hp_metric=False),
    ]


@rank_zero_only
def say(message: str) -> None:
    """Tell the user, once for all processes."""
    print(message, flush=True)
