"""DICOM attributes read as text, numbers and items, whatever a file put into them."""

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_TEXT = 64
"""Longest text kept: long strings (LO) hold no more."""
MAX_VALUE_BYTES, MAX_ITEMS = 2**20, 1000
"""Of an attribute that is read; the largest, sequences of look-up tables of 16 bits, take 128 kB for each."""
ITEM = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")
"""The tag that starts an item of a sequence, in either byte order (PS3.5, 7.5)."""
FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
"""Where enhanced images keep what others keep at the top: macros, of which the first frame's is taken."""


class Refused(ValueError):
    """An image that is not read: what is wrong with it, without the file's name."""


class Attributes:
    """Reads attributes of a data set; a malformed optional one is flagged and counts as absent.

    Enhanced images keep a frame's attributes in functional groups; these are looked through after the top.

    Args:
        dataset: As pydicom read it.
        flags: Words about oddities are collected here; a new list where none is given.
    """

    def __init__(self, dataset: "Dataset", flags: list[str] | None = None) -> None:
        self.dataset = dataset
        self._flags = [] if flags is None else flags
        self._scopes: list[Dataset] | None = None

    @property
    def flags(self) -> tuple[str, ...]:
        """What was found odd so far, sorted, each once."""
        return tuple(sorted(set(self._flags)))

    def flag(self, words: str) -> None:
        """Note an oddity."""
        self._flags.append(words)

    def value(self, name: str) -> Any:
        """The raw value of the first data set that holds the attribute with a value, or None."""
        for scope in self._all_scopes():
            if name in scope:
                if _is_too_long(scope, name):
                    self.flag(f"malformed {name} (longer than any mammogram's)")
                    continue
                try:
                    value = scope[name].value
                except Exception as error:  # whatever pydicom's converters raise: ValueError, struct.error, ...
                    self.flag(f"malformed {name} ({type(error).__name__})")
                    continue
                if value is not None and not (isinstance(value, str) and not value.strip()):
                    return value
        return None

    def text(self, name: str) -> str | None:
        """The first value as text without spaces around it; None where absent or empty."""
        texts = self.texts(name)
        return texts[0] if texts else None

    def texts(self, name: str) -> list[str]:
        """All values as texts; empty ones are left out."""
        texts = [" ".join(str(value).split())[:MAX_TEXT] for value in _several(self.value(name))]
        return [text for text in texts if text]

    def numbers(self, name: str) -> list[float]:
        """All values as finite numbers; those that are none are flagged and left out."""
        numbers = []
        for value in _several(self.value(name)):
            try:
                number = float(value)
            except (TypeError, ValueError):
                number = math.nan
            if math.isfinite(number):
                numbers.append(number)
            else:
                self.flag(f"malformed {name} ({str(value)[:MAX_TEXT]!r})")
        return numbers

    def number(self, name: str, *, default: float) -> float:
        """The first value as a number, or the default where it is absent.

        Raises:
            Refused: If it is there and no number.
        """
        value = next(iter(_several(self.value(name))), None)
        if value is None:
            if any(flag.startswith(f"malformed {name} ") for flag in self._flags):
                raise Refused(f"{name} is malformed")
            return default
        try:
            return float(value)
        except (TypeError, ValueError):
            raise Refused(f"{name} {str(value)[:MAX_TEXT]!r} is no number") from None

    def whole(self, name: str, *, low: int, high: int, default: int | None = None) -> int:
        """The first value as a whole number within bounds.

        Raises:
            Refused: If it is absent and there is no default, no whole number, or out of bounds.
        """
        number = self.number(name, default=math.nan if default is None else float(default))
        if math.isnan(number):
            raise Refused(f"{name} is missing")
        if not number.is_integer() or not low <= number <= high:
            raise Refused(f"{name} {number:g} is not within {low} to {high}")
        return int(number)

    def items(self, name: str) -> list["Attributes"]:
        """Items of a sequence."""
        return [Attributes(item, self._flags) for item in _items(self.value(name))]

    def _all_scopes(self) -> list["Dataset"]:
        if self._scopes is None:
            self._scopes = [self.dataset]
            for name in FUNCTIONAL_GROUPS:
                there = name in self.dataset and not _is_too_long(self.dataset, name)
                groups = _items(self.dataset[name].value) if there else []
                for macro in groups[0] if groups else []:
                    self._scopes += _items(macro.value)[:1]
        return self._scopes


def _is_too_long(dataset: "Dataset", name: str) -> bool:
    """Whether an attribute, not converted yet, would take minutes and gigabytes to convert."""
    value = dataset.get_item(name).value  # raw bytes until it is asked for otherwise
    return isinstance(value, bytes) and (len(value) > MAX_VALUE_BYTES or sum(map(value.count, ITEM)) > MAX_ITEMS)


def _several(value: Any) -> list[Any]:
    from pydicom.multival import MultiValue

    if value is None:
        return []
    return list(value) if isinstance(value, (MultiValue, list, tuple)) else [value]


def _items(value: Any) -> list["Dataset"]:
    from pydicom.sequence import Sequence

    return list(value) if isinstance(value, Sequence) else []
