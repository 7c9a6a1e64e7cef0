"""Checks of a DataModule's settings, before any data is read."""

from collections.abc import Sequence

from data_modules.batch import VARIABLES
from data_modules.errors import DataSettingsError, nearest

FEWEST_FOLDS = 3
"""One fold tests, one validates, the rest trains."""


def check_modalities(name: str, modalities: Sequence[str], known: Sequence[str]) -> None:
    """Refuse modalities that the set does not have, none at all, and repeated ones.

    Args:
        name: The set's name, for the error.
        modalities: Those to read.
        known: Those there are.

    Raises:
        DataSettingsError: Naming the nearest one.
    """
    for modality in modalities:
        if modality not in known:
            raise DataSettingsError(f"{name}: unknown modality {modality!r}; {nearest(modality, known)}")
    if not modalities or len(set(modalities)) < len(modalities):
        raise DataSettingsError(
            f"{name}: modalities are {list(modalities)}; name one or more of {list(known)}, each once"
        )


def check_variables(name: str, modalities: Sequence[str], *, described: bool) -> None:
    """Refuse clinical variables without a description, and a description of what is not read.

    Args:
        name: The set's name, for the error.
        modalities: Those to read.
        described: Whether the settings describe variables.

    Raises:
        DataSettingsError: Saying which of the two is missing.
    """
    if VARIABLES in modalities and not described:
        raise DataSettingsError(f"{name}: modalities name {VARIABLES!r}, but the setting variables describes none")
    if VARIABLES not in modalities and described:
        raise DataSettingsError(
            f"{name}: the setting variables describes some, but modalities are {list(modalities)}; add {VARIABLES!r}, "
            "or set variables to null"
        )


def check_numbers(**settings: tuple[int, int]) -> None:
    """Refuse numbers that are too small.

    Args:
        **settings: Value and least value by the setting's name.

    Raises:
        DataSettingsError: Naming the first one.
    """
    for name, (value, least) in settings.items():
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")


def check_dropout(modality_dropout: float) -> None:
    """Refuse what is no probability below one.

    Raises:
        DataSettingsError: Naming the value.
    """
    if not 0 <= modality_dropout < 1:
        raise DataSettingsError(
            f"modality_dropout is {modality_dropout}; it is a probability, zero or more and below one"
        )


def check_folds(num_folds: int | None, fold: int | None) -> None:
    """Refuse folds that cannot be: both settings or neither, three folds or more, the fold one of them.

    Raises:
        DataSettingsError: Naming the settings.
    """
    if num_folds is None and fold is None:
        return
    if num_folds is None:
        raise DataSettingsError(f"fold is {fold}, but num_folds is not set; set both, or neither")
    if num_folds < FEWEST_FOLDS:
        raise DataSettingsError(
            f"num_folds is {num_folds}; it has to be at least {FEWEST_FOLDS}: one to test, one to validate, the rest "
            "to train"
        )
    if fold is None or not 0 <= fold < num_folds:
        raise DataSettingsError(f"fold is {fold}; with num_folds {num_folds} it has to be 0 to {num_folds - 1}")
