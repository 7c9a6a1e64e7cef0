"""Errors of a run: what the user can mend, and what stopped a training."""


class ConfigurationError(ValueError):
    """A setting that cannot work, or two that contradict; the command line answers with one line and exit code 2."""


class WeightsNotFoundError(ConfigurationError, FileNotFoundError):
    """Foundation weights or a checkpoint are not where they were looked for; says what to get and where to put it."""


class CheckpointMismatchError(ConfigurationError):
    """A checkpoint belongs to other foundation weights, classes or modalities, or is no checkpoint of medlit."""


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; names epoch, step and case ids. The command line answers with exit code 1."""


class DamagedCheckpointError(CheckpointMismatchError):
    """A checkpoint is not what was written: cut short, empty, or changed."""


class CheckpointNotWrittenError(ConfigurationError, OSError):
    """The system does not take a checkpoint: no space is left, or writing is not permitted."""
