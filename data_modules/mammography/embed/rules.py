"""How EMBED's tables are read: every choice that is not written in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from data_modules.errors import DataSettingsError, nearest

BIRADS: Mapping[str, int] = {"A": 0, "N": 1, "B": 2, "P": 3, "S": 4, "M": 5, "K": 6}
"""Category by the code of column ``asses``; code X is no assessment."""
IMAGE_TYPES: Mapping[str, str] = {"2d": "2D", "cview": "C-view", "c-view": "C-view"}
"""The sample table's name of an image type by the table's, without regard to case."""
CODED = ("side", "asses", "tissueden", "path_severity", "spot_mag", "massshape", "massdens", "calcfind", "calcdistri")
"""Columns whose cells are codes; the last four list one or several, with commas between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRules:
    """Rules that turn EMBED's tables into samples. Each counts what it touched.

    Args:
        image_types: What is kept: ``2D`` (full-field digital mammograms), ``C-view`` (made from tomosynthesis).
        fidelity: Which row of several speaks for a breast. ``paper``: of the rows of its side, of both sides (B) and of
            none, the one that comes first in the clinical order 5, 4, 0, 6, 3, 2, 1. ``code``: as MaMA's code does:
            rows of its side; only if there is none those of both sides; and if neither all of the exam's, the other
            breast's too; of these the highest category, but 0 where all are at most 2 and one is 0.
        missing_side: A breast without a row in a bilateral exam: ``negative`` (BI-RADS 1, marked ``inferred``, as the
            set's own curation does) or ``drop``. Not used by ``fidelity: code``, which finds a row for each.
        unknown_codes: Codes without a meaning, by column, that are to be read as empty cells, or ``all``; any other is
            an error.
        biopsy_days: A cancer belongs to an exam if its biopsy was at most so many days after it.
        follow_up_days: A breast without cancer counts as such if an exam at least so many days later is negative or
            benign. EMBED's own label assignment looks from day 365 on.
        path_prefix: What ``anon_dicom_path`` starts with; the rest is the path below ``images/``.
        metadata: The table of images: ``reduced`` has all that is needed except the machine's name; ``full`` is many
            times larger; ``auto`` takes the reduced one where it exists.

    Raises:
        DataSettingsError: For a value that cannot be.
    """

    image_types: Sequence[Literal["2D", "C-view"]] = ("2D",)
    fidelity: Literal["paper", "code"] = "paper"
    missing_side: Literal["negative", "drop"] = "negative"
    unknown_codes: Mapping[str, Sequence[str]] | Literal["all"] = field(default_factory=dict)
    biopsy_days: int = 180
    follow_up_days: int = 365
    path_prefix: str = "/mnt/NAS2/mammo/anon_dicom/"
    metadata: Literal["auto", "reduced", "full"] = "auto"

    def __post_init__(self) -> None:
        choices = {
            "fidelity": (self.fidelity, ("paper", "code")),
            "missing_side": (self.missing_side, ("negative", "drop")),
            "metadata": (self.metadata, ("auto", "reduced", "full")),
        }
        for name, (value, allowed) in choices.items():
            if value not in allowed:
                raise DataSettingsError(f"EMBED: {name} is {value!r}; {nearest(str(value), allowed)}")
        known = tuple(dict.fromkeys(IMAGE_TYPES.values()))
        for name in self.image_types:
            if name not in known:
                raise DataSettingsError(f"EMBED: unknown image type {name!r}; {nearest(name, known)}")
        if isinstance(self.image_types, str) or not self.image_types:
            raise DataSettingsError(f"EMBED: image_types is {self.image_types!r}; name one or more of {list(known)}")
        if isinstance(self.unknown_codes, str) and self.unknown_codes != "all":
            raise DataSettingsError(f"EMBED: unknown_codes is {self.unknown_codes!r}; name codes by column, or 'all'")
        for column in () if self.unknown_codes == "all" else self.unknown_codes:
            if column not in CODED:
                raise DataSettingsError(f"EMBED: unknown_codes names column {column!r}; {nearest(column, CODED)}")
        object.__setattr__(self, "image_types", tuple(self.image_types))  # equal to the default, a list of YAML too
        for name, days in (("biopsy_days", self.biopsy_days), ("follow_up_days", self.follow_up_days)):
            if days < 0:
                raise DataSettingsError(f"EMBED: {name} is {days}; it has to be at least 0")

    def with_default_choices(self) -> "EmbedRules":
        """The default rules, but for what the tables cannot be read without: their codes, paths and names."""
        return EmbedRules(unknown_codes=self.unknown_codes, path_prefix=self.path_prefix, metadata=self.metadata)
