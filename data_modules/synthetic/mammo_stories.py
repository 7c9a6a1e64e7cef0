"""The exams of the look-alike of EMBED: patients come more than once, and what is found leads to what comes next.

A patient's story is one of ``STORIES``. Screening images both breasts and ends in BI-RADS 0, 1 or 2; what it recalls,
a diagnostic exam assesses, often of one breast alone. A category stands for the one breast that shows it, the other is
negative; only benign findings may be on both sides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np

from data_modules.synthetic.mammo_lesions import lesions_of
from data_modules.synthetic.mammo_pictures import Breast, draw_breast
from data_modules.synthetic.mammo_plan import SIDES, Side, cycles

Reason = Literal["Screening", "Diagnostic"]
Quirk = Literal["X", "male", "contradiction", "other date", "no rows", "no density", "not of the breast"]

STORIES: tuple[tuple[tuple[Reason, int], ...], ...] = (
    (("Screening", 1), ("Screening", 1)),
    (("Screening", 1),),
    (("Screening", 2), ("Screening", 2)),
    (("Screening", 2),),
    (("Screening", 0), ("Diagnostic", 4)),
    (("Screening", 0), ("Diagnostic", 5)),
    (("Screening", 0), ("Diagnostic", 3)),
    (("Diagnostic", 3),),
    (("Diagnostic", 4),),
    (("Diagnostic", 4),),
    (("Diagnostic", 5),),
    (("Diagnostic", 5), ("Diagnostic", 6)),
    (("Diagnostic", 6),),
)
"""Reason and category of each exam, in order of time. Of 18 exams 5 are suspicious (4 or 5), 5 benign or negative."""
QUIRKS_FROM = 40
"""Smaller trees have no quirks: they would weigh too much."""
QUIRK_EVERY = 40
"""Each quirk is in one of so many exams."""
SEVERITIES_4 = (0, 4, 1, 4, 2, 4, 3)
"""Severities of what biopsies of category 4 find, in turn; of 5 and 6 always 0 or 1, a cancer."""
RACES = ("African American  or Black", "Caucasian or White", "Asian", "Unknown, Unavailable or Unreported")
ETHNICITIES = ("Non-Hispanic or Latino", "Hispanic or Latino", "Unreported, Unknown, Unavailable", "")
FITS: Mapping[Quirk, Callable[["Exam"], bool]] = {
    "X": lambda exam: exam.reason == "Diagnostic" and exam.birads[exam.index] == 3,
    "male": lambda exam: exam.alone and exam.reason == "Diagnostic" and exam.birads[exam.index] == 3,
    "contradiction": lambda exam: exam.birads[exam.index] == 4,
    "other date": lambda exam: exam.reason == "Screening",
    "no rows": lambda exam: exam.alone and exam.birads[exam.index] == 1,
    "no density": lambda exam: exam.reason == "Screening",
    "not of the breast": lambda exam: exam.alone and exam.birads[exam.index] == 4,
}
"""Which exams may have a quirk; none has two."""


@dataclass(frozen=True, slots=True)
class Patient:
    """Who comes: the same in all exams."""

    number: int
    empi: int
    density: int
    race: str
    ethnicity: str
    born: date


@dataclass(frozen=True, slots=True)
class Exam:
    """One visit: what is imaged, what it shows and what became of it."""

    number: int
    patient: Patient
    accession: int
    day: date
    reason: Reason
    index: Side
    """The breast with the finding, or any where there is none."""
    birads: Mapping[Side, int]
    """Of each breast that is imaged."""
    breasts: Mapping[Side, Breast]
    alone: bool
    """The patient's only exam."""
    severity: int | None = None
    """What a biopsy found in the breast with the finding."""
    biopsied: date | None = None
    quirk: Quirk | None = None
    extra: Sequence[int] = field(default=())
    """Categories of further findings of that breast."""

    @property
    def age(self) -> float:
        """Years, at the exam."""
        return round((self.day - self.patient.born).days / 365.25, 2)

    @property
    def description(self) -> str:
        """As EMBED words it."""
        if len(self.birads) == 2:
            return {"Screening": "MG Screening Bilateral w/CAD", "Diagnostic": "MG Diagnostic Bilateral w/ CAD"}[
                self.reason
            ]
        return f"MG Diagnostic {'Left' if self.index == 'L' else 'Right'} w/CAD"


def plan_exams(cases: int, rng: np.random.Generator) -> list[Exam]:
    """All exams, patient by patient.

    Args:
        cases: How many; the last patient's story may be cut.
        rng: Draws patients, places and quirks.
    """
    stories = cycles(STORIES, cases, rng)
    densities = cycles((1, 2, 3, 4), cases, rng)
    numbers = 10_000_000 + rng.permutation(80_000_000 // 1000)[:cases] * 1000 + rng.integers(0, 1000, cases)
    exams: list[Exam] = []
    for number, story in enumerate(stories):
        born = date(1940, 1, 1) + timedelta(days=int(rng.integers(0, 12000)))
        race, ethnicity = str(rng.choice(RACES)), str(rng.choice(ETHNICITIES))
        patient = Patient(number, int(numbers[number]), densities[number], race, ethnicity, born)
        exams += _story(patient, story[: cases - len(exams)], first=len(exams), rng=rng)
        if len(exams) == cases:
            break
    exams = _with_outcomes(exams, rng)
    return _with_quirks(exams, rng) if cases >= QUIRKS_FROM else exams


def _story(
    patient: Patient, story: Sequence[tuple[Reason, int]], *, first: int, rng: np.random.Generator
) -> list[Exam]:
    """The exams of a patient; a recall comes back within weeks, all others after a year and more."""
    index = SIDES[int(rng.integers(2))]
    day = date(2013, 1, 1) + timedelta(days=int(rng.integers(0, 1500)))
    made: list[Exam] = []
    for number, (reason, category) in enumerate(story, start=first):
        both = reason == "Screening" or rng.random() < 0.3
        two_sided = category == 2 and rng.random() < 0.5
        birads = {side: category if side == index or two_sided else 1 for side in SIDES if both or side == index}
        breasts = {
            side: draw_breast(patient.density, rng, lesions=lesions_of(value, rng)) for side, value in birads.items()
        }
        accession = int(rng.integers(10**15, 9 * 10**15))
        made.append(Exam(number, patient, accession, day, reason, index, birads, breasts, alone=len(story) == 1))
        day += timedelta(days=int(rng.integers(12, 40) if category in (0, 5) else rng.integers(366, 420)))
    return made


def _with_outcomes(exams: Sequence[Exam], rng: np.random.Generator) -> list[Exam]:
    """Biopsies of categories 4 and 5, and the known ones of 6, dated before the exam."""
    found = iter(cycles(SEVERITIES_4, len(exams), rng))
    return [_with_outcome(exam, found, rng) for exam in exams]


def _with_outcome(exam: Exam, found: Iterator[int], rng: np.random.Generator) -> Exam:
    category = exam.birads[exam.index]
    if category in (4, 5):
        severity = next(found) if category == 4 else int(rng.random() < 0.25)
        return replace(exam, severity=severity, biopsied=exam.day + timedelta(days=int(rng.integers(3, 12))))
    if category == 6:
        return replace(exam, severity=0, biopsied=exam.day - timedelta(days=int(rng.integers(2, 9))))
    return exam


def _with_quirks(exams: Sequence[Exam], rng: np.random.Generator) -> list[Exam]:
    """Each quirk in one of ``QUIRK_EVERY`` exams, where it fits."""
    made = list(exams)
    for quirk, fits in FITS.items():
        places = [place for place, exam in enumerate(made) if exam.quirk is None and fits(exam)]
        for place in rng.permutation(places)[: max(1, len(exams) // QUIRK_EVERY)].tolist():
            made[place] = _with_quirk(made[place], quirk, rng)
    return made


def _with_quirk(exam: Exam, quirk: Quirk, rng: np.random.Generator) -> Exam:
    """The exam with a quirk, drawn as its tables will say."""
    exam = replace(exam, quirk=quirk)
    if quirk == "contradiction":  # a benign finding, a row of its own, in the breast with the suspicious one
        breast = exam.breasts[exam.index]
        seen = replace(breast, lesions=(*breast.lesions, *lesions_of(2, rng)))
        return replace(exam, breasts={**exam.breasts, exam.index: seen}, extra=(2,))
    if quirk == "male":  # fat alone
        breasts = {side: draw_breast(1, rng, lesions=breast.lesions) for side, breast in exam.breasts.items()}
        return replace(exam, breasts=breasts)
    return replace(exam, severity=6) if quirk == "not of the breast" else exam
