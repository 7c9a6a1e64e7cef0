"""Settings that cannot work, refused in words that say which."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

from lightning.pytorch import Trainer

from medlit.errors import ConfigurationError


def check_names(what: str, names: Sequence[str], modalities: Sequence[str]) -> None:
    """Refuse a setting by modality that names others than the data's.

    Raises:
        ConfigurationError: Saying which there are.
    """
    if strangers := [name for name in names if name not in modalities]:
        raise ConfigurationError(
            f"{what} names {', '.join(strangers)}; the data's modalities are {', '.join(modalities)}"
        )


def check_monitors(trainer: Trainer) -> None:
    """Refuse callbacks that watch a figure nobody logs; called when a validation has logged its own.

    Raises:
        ConfigurationError: Naming the nearest figures.
    """
    logged = [name for name in trainer.callback_metrics if name.startswith("val/")]
    for callback in trainer.callbacks:  # type: ignore[attr-defined]  # Lightning sets it without a type
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor not in logged and not monitor.startswith("train/"):
            near = get_close_matches(monitor, logged, n=3, cutoff=0.4) or logged[:3]
            raise ConfigurationError(
                f"{type(callback).__name__}: monitor {monitor!r} is no figure of the validation; "
                f"did you mean {' or '.join(near)}?"
            )


@contextmanager
def blame(setting: str) -> Iterator[None]:
    """Turn what a class says of its arguments into an error of the setting.

    Raises:
        ConfigurationError: With what the class said.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{setting}: {error}") from error
