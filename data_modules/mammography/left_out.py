"""What a DataModule counts and says of the images that it does not use."""

from collections.abc import Mapping, Sequence

from lightning.pytorch.utilities import rank_zero_info

from data_modules.errors import DataSettingsError, nearest


class CountsLeftOut:
    """The part of a DataModule that keeps account of images, and names what a setting may be."""

    name: str
    left_out: dict[str, int]
    """Images that are in no split, by reason."""

    def _count(self, reason: str, count: int) -> None:
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    def _say(self, what: str, counts: Mapping[str, int]) -> None:
        told = "; ".join(f"{reason}: {count:,}" for reason, count in counts.items())
        rank_zero_info("%s: %s: %s", self.name, what, told or "nothing")

    def _check_choice(self, setting: str, value: str, allowed: Sequence[str]) -> None:
        if value not in allowed:
            raise DataSettingsError(f"{self.name}: unknown {setting} {value!r}; {nearest(str(value), allowed)}")
