"""A look-alike of MMC-AMD: the same folders, lists and names, drawn eyes, and a class that needs both modalities.

The signal: each picture shows one of four signs. Class y, shift e (0 in 8 of 20 eyes, else 1 to 3 equally often) and
signs are elements of the field of four, 0 to 3, where addition is the exclusive or of the bits and w is the element 2::

    cfp = y + e        oct = y + w e        hence  y = cfp + (cfp + oct) / w^2

A single picture shows the class's own sign in 40 % of the eyes and each other in 20 %; the two together always tell the
class, but no sum of their separate evidence does: where the signs differ (e is not 0), y is neither of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from data_modules.errors import DataSettingsError
from data_modules.retina.names import CLASS_NAMES, LETTERS, MODALITIES, Modality, eye_of, patient_of
from data_modules.splits import SPLITS, Split
from data_modules.synthetic.retina_pictures import draw_bscan, draw_fundus
from data_modules.synthetic.tree import new_tree

FEWEST_CASES = 10
QUIRKS_FROM = 50
"""Smaller trees have no quirks: they would weigh too much."""
SHARES: dict[Split, float] = {"train": 0.55, "val": 0.15, "test": 0.30}
SHIFTS = (0,) * 8 + (1, 2, 3) * 4
TIMES_W = (0, 2, 3, 1)
"""w times an element of the field of four."""
FOLDERS: Mapping[Modality, str] = {"cfp": "cfp-clahe-448x448", "oct": "oct-median3x3-448x448"}
JPEG_QUALITY = 92
MOST_SCANS = 6
README = """A look-alike of MMC-AMD, drawn by a program for tests and trials.
No photograph, no patient and no medical truth is in it: never mix it with the real set.
"""


@dataclass(frozen=True, slots=True)
class SyntheticEye:
    """One drawn eye: what it is, and what its pictures show (indices into ``retina_pictures.SIGNS``)."""

    number: int
    split: Split
    label: int
    cfp: int
    oct: int
    images: Mapping[Modality, tuple[str, ...]]
    """Ids by modality, sorted; an absent modality has no key."""

    @property
    def eye(self) -> str:
        """Its id."""
        return eye_of(next(iter(self.images.values()))[0])


def write(root: str | Path, *, cases: int, seed: int, img_size: int = 96) -> None:
    """Write a look-alike set; the same arguments give the same bytes.

    Args:
        root: A missing or empty folder, or one that this function wrote before, which is then replaced.
        cases: How many eyes with both modalities, 10 or more; 55 % train, 15 % val, 30 % test, classes evenly in each.
            From 50 on, another eye with one modality alone for every 20.
        seed: Zero or more.
        img_size: Height and width of the pictures in pixels, 24 or more.

    Raises:
        DataSettingsError: If a number is too small, or the folder holds something else.
    """
    for name, value, least in (("cases", cases, FEWEST_CASES), ("seed", seed, 0), ("img_size", img_size, 24)):
        if value < least:
            raise DataSettingsError(f"{name} is {value}; it has to be at least {least}")
    settings = {"cases": cases, "seed": seed, "img_size": img_size}
    with new_tree(Path(root), description={"set": "mmc_amd", **settings}) as folder:
        _write_set(folder, **settings)


def _write_set(root: Path, *, cases: int, seed: int, img_size: int) -> None:
    """All files of a set below an empty folder."""
    (root / "README.txt").write_text(README)
    eyes = plan_eyes(cases, np.random.default_rng([seed, 0]))
    if cases >= QUIRKS_FROM:
        eyes = _add_quirks(eyes, np.random.default_rng([seed, 1]))
    for eye in eyes:
        _draw(root / "ImageData", eye, size=img_size, rng=np.random.default_rng([seed, 2, eye.number]))
    for split in SPLITS:
        _write_lists(root / f"mmc-amd-splitAP-{split}", [eye for eye in eyes if eye.split == split])
    for split, own in _cut_by_eye(eyes, np.random.default_rng([seed, 3])).items():
        _write_lists(root / f"mmc-amd-splitA-{split}", own)


def plan_eyes(cases: int, rng: np.random.Generator) -> list[SyntheticEye]:
    """Class, signs, names and split AP of every eye, split by split.

    Args:
        cases: How many.
        rng: Shuffles and draws names.
    """
    sizes: dict[Split, int] = {split: max(1, round(cases * SHARES[split])) for split in ("val", "test")}
    sizes = {"train": cases - sum(sizes.values()), **sizes}
    numbers = iter(_patient_numbers(2 * cases, rng))
    eyes: list[SyntheticEye] = []
    for split, size in sizes.items():
        waiting: list[str] = []  # patients with one eye so far: both are in one split
        for label, shift in _labels_and_shifts(size, rng):
            images = _image_ids(_eye_id(label, numbers, waiting, rng), rng)
            eyes.append(SyntheticEye(len(eyes), split, label, label ^ shift, label ^ TIMES_W[shift], images))
    return eyes


def _patient_numbers(count: int, rng: np.random.Generator) -> list[int]:
    most = 10 ** max(4, len(str(count)) + 1)
    numbers: list[int] = (most + rng.permutation(9 * most)[:count]).tolist()
    return numbers


def _labels_and_shifts(size: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Every four eyes hold each class once, every twenty of a class each shift as often as ``SHIFTS``."""
    classes = len(CLASS_NAMES)
    rounds = -(-size // classes)
    shifts = [
        [shift for _ in range(-(-rounds // len(SHIFTS))) for shift in rng.permutation(SHIFTS).tolist()]
        for _ in range(classes)
    ]
    pairs = [(label, shifts[label][i]) for i in range(rounds) for label in rng.permutation(classes).tolist()]
    return pairs[:size]


def _eye_id(label: int, numbers: Iterator[int], waiting: list[str], rng: np.random.Generator) -> str:
    """As in the release: healthy eyes and some others have a number alone, the rest a patient and a side."""
    letter = LETTERS[label]
    if label == 0 or rng.random() < 0.2:
        return f"{letter}-{next(numbers)}"
    if waiting and rng.random() < 0.6:
        return f"{letter}-{waiting.pop()}-l"
    patient = f"ICG-{next(numbers)}"
    waiting.append(patient)
    return f"{letter}-{patient}-r"


def _image_ids(eye: str, rng: np.random.Generator) -> dict[Modality, tuple[str, ...]]:
    """One photograph, and one scan or several; names of healthy eyes end with a slice."""
    scans = 1 if rng.random() < 0.65 else int(rng.integers(2, MOST_SCANS + 1))
    if eye.startswith("h-"):
        slices = sorted((1 + rng.permutation(128)[: scans + 1]).tolist())
        return {"cfp": (f"f-{eye}_{slices[0]}",), "oct": tuple(sorted(f"o-{eye}_{number}" for number in slices[1:]))}
    several = tuple(f"o-{eye}_{number:03}" for number in range(1, scans + 1))
    return {"cfp": (f"f-{eye}",), "oct": several if scans > 1 else (f"o-{eye}",)}


def _add_quirks(eyes: Sequence[SyntheticEye], rng: np.random.Generator) -> list[SyntheticEye]:
    """Quirks of the real set, in training eyes: a repeat visit, and eyes with one modality alone."""
    patients = {patient_of(eye.eye) for eye in eyes}
    numbers = (number for number in _patient_numbers(4 * len(eyes), rng) if f"ICG-{number}" not in patients)
    made = list(eyes)
    visited = next(i for i, eye in enumerate(eyes) if eye.split == "train" and eye.eye.endswith("-r"))
    again: dict[Modality, tuple[str, ...]] = {
        "cfp": (f"f-{eyes[visited].eye}", f"f-{eyes[visited].eye}_2014"),
        "oct": (*eyes[visited].images["oct"], f"o-{eyes[visited].eye}_2014"),
    }
    made[visited] = replace(eyes[visited], images=again)
    for extra in range(len(eyes) // 20):
        label, modality = 1 + extra % 3, MODALITIES[extra % 2]
        images = _image_ids(f"{LETTERS[label]}-ICG-{next(numbers)}-r", rng)
        shift = int(rng.choice(SHIFTS))
        made.append(
            SyntheticEye(len(made), "train", label, label ^ shift, label ^ TIMES_W[shift], {modality: images[modality]})
        )
    return made


def _cut_by_eye(eyes: Sequence[SyntheticEye], rng: np.random.Generator) -> dict[Split, list[SyntheticEye]]:
    """Split A: as many eyes of each class as in split AP, without regard to patients."""
    cut: dict[Split, list[SyntheticEye]] = {split: [] for split in SPLITS}
    for label in range(len(CLASS_NAMES)):
        own = [eye for eye in eyes if eye.label == label and len(eye.images) == len(MODALITIES)]
        splits = [eye.split for eye in own]
        for eye, place in zip(own, rng.permutation(len(own)).tolist(), strict=True):
            cut[splits[place]].append(eye)
    cut["train"] += [eye for eye in eyes if len(eye.images) < len(MODALITIES)]
    return {split: sorted(own, key=lambda eye: eye.number) for split, own in cut.items()}


def _draw(folder: Path, eye: SyntheticEye, *, size: int, rng: np.random.Generator) -> None:
    for modality, images in eye.images.items():
        (folder / FOLDERS[modality]).mkdir(parents=True, exist_ok=True)
        for image in images:
            if modality == "cfp":
                picture = draw_fundus(eye.cfp, size=size, rng=rng)
            else:
                picture = draw_bscan(eye.oct, size=size, rng=rng)
            _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (folder / FOLDERS[modality] / f"{image}.jpg").write_bytes(data.tobytes())


def _write_lists(folder: Path, eyes: Sequence[SyntheticEye]) -> None:
    """ImageSets, EyeSets, SubjectSets and annotations of a split, and its pairs where it does not train."""
    for modality in MODALITIES:
        own = [eye for eye in eyes if modality in eye.images]
        images = [(image, eye.label) for eye in own for image in eye.images[modality]]
        _write_lines(folder / f"ImageSets/{modality}.txt", [image for image, _ in images])
        _write_lines(folder / f"EyeSets/{modality}.txt", [eye.eye for eye in own])
        _write_lines(folder / f"SubjectSets/{modality}.txt", [patient_of(eye.eye) for eye in own])
        _write_lines(folder / f"annotations/{modality}.txt", [f"{image} {label}" for image, label in images])
    if not folder.name.endswith("train"):
        pairs = [
            f"{cfp} {scan}"
            for eye in eyes
            if len(eye.images) == len(MODALITIES)
            for cfp in eye.images["cfp"]
            for scan in eye.images["oct"]
        ]
        _write_lines(folder / "ImageSets/mm.txt", pairs)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    """Each line once, in order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)))
