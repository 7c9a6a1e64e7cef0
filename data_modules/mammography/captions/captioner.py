"""Captions of mammograms from the columns of the sample table: of an image in training, of a class for zero-shot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from data_modules.errors import DataSettingsError, nearest
from data_modules.mammography.captions.template import METADATA, load_style
from data_modules.mammography.captions.words import (
    BIRADS,
    DENSITIES,
    UNKNOWN,
    age_word,
    birads_category,
    density_category,
    known,
    side_word,
    without_side,
)

Row = Mapping[str, str | int | float | None]
"""A row of the sample table, by the names of its columns; a column that is not there is unknown."""
CaptionStyle = Literal["structured", "natural", "simple"]
SideText = Literal["consistent", "paper"]
ClassTarget = Literal["birads", "density", "cancer"]

MASKED = ("race", "ethnicity", "age", "image_type", "side", "view")
"""The metadata fields that training masks. Du et al. count six and do not list them; these are the six of the
sections patient and image. Procedure and reason are not among them: an image without either has no caption at all."""
CANCER = {1: 0, 2: 0, 4: 1, 5: 1}
"""BI-RADS categories that stand for a class of the target cancer: negative or benign, and suspicious."""


@dataclass(frozen=True, slots=True)
class ClassCaption:
    """One caption that stands for a class."""

    label: int
    """Index of the class among the target's classes."""
    sentences: list[str]


class Captioner:
    """Writes captions, a list of sentences each.

    The reader of a caption learns nothing that the row does not say: a density or BI-RADS category that is unknown has
    no sentence. Race, ethnicity and the like that are unknown are called so.

    Args:
        templates: A YAML file of templates; None: the one that comes along.
        style: Of the templates.
        mask_probability: With which each of ``masked`` becomes ``unknown`` in training, each drawn by itself.
        masked: The fields that are masked, of ``template.METADATA``.
        side_text: ``consistent`` calls the side unknown, and leaves it out of the procedure's name, where ``one_sided``
            makes it untrue; ``paper`` keeps it.
        one_sided: Whether images are turned so that every breast is on one side, or are flipped in training: left and
            right can no longer be seen then.

    Raises:
        DataSettingsError: If the templates are not as they should be, or a setting is out of its range.
    """

    def __init__(
        self,
        *,
        templates: str | Path | None = None,
        style: CaptionStyle = "structured",
        mask_probability: float = 0.8,
        masked: Sequence[str] = MASKED,
        side_text: SideText = "consistent",
        one_sided: bool = True,
    ) -> None:
        if not 0 <= mask_probability <= 1:
            raise DataSettingsError(f"mask_probability: {mask_probability!r} is no probability; give 0 to 1")
        if side_text not in get_args(SideText):
            raise DataSettingsError(f"side_text: {side_text!r}; {nearest(str(side_text), get_args(SideText))}")
        for field in masked:
            if field not in METADATA:
                raise DataSettingsError(f"masked: {field!r} cannot be masked; {nearest(field, METADATA)}")
        self.style = load_style(style, file=templates)
        self.mask_probability = mask_probability
        self.masked = tuple(masked)
        self.hides_side = one_sided and side_text == "consistent"
        self._compositions = {number: self._composition(number) for number in DENSITIES}
        self._impressions = {number: self._impression(number) for number in BIRADS}

    def sentences(self, row: Row, generator: np.random.Generator | None = None) -> list[str]:
        """The caption of an image.

        Args:
            row: Its row of the sample table.
            generator: Draws which fields are masked; None (evaluation) masks nothing.

        Returns:
            Sentences in the order of the sections, one or more.

        Raises:
            TableError: If a code of the row has no meaning.
        """
        density, birads = _whole(row.get("density")), _whole(row.get("birads"))
        return [
            *self._about(self._metadata(row, generator)),
            *(() if density is None else self._compositions.get(density) or self._composition(density)),
            *self._findings(row),
            *(() if birads is None else self._impressions.get(birads) or self._impression(birads)),
        ]

    def class_captions(self, target: ClassTarget, row: Row | None = None) -> list[ClassCaption]:
        """Captions that stand for the classes of a target, for zero-shot classification.

        They hold the metadata and the target's own sentences. Nothing else of the row enters: its density, findings and
        category are labels, and one would give another away.

        Args:
            target: ``birads``: seven captions; ``density``: four; ``cancer``: four, of the BI-RADS categories 1 and 2
                (no cancer) and 4 and 5 (cancer), to be pooled by class.
            row: The metadata of an image, unmasked; None: all of it unknown.

        Returns:
            Captions by label.

        Raises:
            DataSettingsError: If there is no such target.
            TableError: If a code of the row has no meaning.
        """
        about = self._about(self._metadata(row or {}, None))
        if target == "birads":
            return [ClassCaption(number, [*about, *self._impressions[number]]) for number in BIRADS]
        if target == "density":
            return [ClassCaption(number - 1, [*about, *self._compositions[number]]) for number in DENSITIES]
        if target == "cancer":
            return [ClassCaption(label, [*about, *self._impressions[number]]) for number, label in CANCER.items()]
        raise DataSettingsError(f"target: no captions for {target!r}; {nearest(str(target), get_args(ClassTarget))}")

    def _metadata(self, row: Row, generator: np.random.Generator | None) -> dict[str, str]:
        """Words by placeholder; what is masked is unknown."""
        get = row.get
        procedure = known(_text(get("procedure")))
        words = {
            "procedure": without_side(procedure) if self.hides_side else procedure,
            "reason": known(_text(get("reason"))),
            "race": known(_text(get("race"))),
            "ethnicity": known(_text(get("ethnicity"))),
            "age": age_word(_number(get("age"))),
            "image_type": known(_text(get("image_type"))),
            "side": side_word(_text(get("laterality"))),
            "view": known(_text(get("view"))),
        }
        if self.hides_side:
            words["side"] = UNKNOWN
        if generator is not None:
            for field, draw in zip(self.masked, generator.random(len(self.masked)).tolist(), strict=True):
                if draw < self.mask_probability:
                    words[field] = UNKNOWN
        return words

    def _about(self, words: Mapping[str, str]) -> list[str]:
        fill = self.style.fill
        return [
            *fill("procedure", words),
            *fill("reason", words),
            *fill("patient", words),
            *fill("image", words),
        ]

    def _composition(self, number: int) -> list[str]:
        density = density_category(number)
        words = {"density": density.letter, "composition": density.composition, "sensitivity": density.sensitivity}
        note = self.style.fill("sensitivity", words) if density.sensitivity else []
        return [*self.style.fill("composition", words), *note]

    def _findings(self, row: Row) -> list[str]:
        """A sentence on the mass, one on the calcifications; what is not said of either is unknown."""
        found = []
        for section, first, second in (
            ("mass", "mass_shape", "mass_density"),
            ("calcification", "calc_finding", "calc_distribution"),
        ):
            one, other = row.get(first), row.get(second)
            if one is not None or other is not None:
                words = known(_text(other)).removesuffix(" density")  # the legend says "high density" of a mass
                found += self.style.fill(section, {first: known(_text(one)), second: words})
        return found or self.style.fill("no_finding", {})

    def _impression(self, number: int) -> list[str]:
        category = birads_category(number)
        words = {"birads": str(number), "meaning": category.meaning, "advice": category.advice}
        return [*self.style.fill("impression", words), *self.style.fill("assessment", words)]


def _text(value: str | float | None) -> str | None:
    return None if value is None else str(value)


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(value)


def _whole(value: str | float | None) -> int | None:
    return None if value is None else int(value)
