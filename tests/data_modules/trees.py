"""Look-alike trees in the official layouts: functions of (root, seed), tiny pictures."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

HEADER = (
    "case_num,diagnosis,seven_point_score,pigment_network,streaks,pigmentation,regression_structures,dots_and_globules,"
    "blue_whitish_veil,vascular_structures,level_of_diagnostic_difficulty,elevation,location,sex,management,clinic,derm,"
    "case_id,notes"
)
COLUMNS = HEADER.split(",")

DIAGNOSES = (
    "basal cell carcinoma",
    "clark nevus",
    "blue nevus",
    "melanoma (in situ)",
    "seborrheic keratosis",
    "lentigo",
)

CRITERIA = {
    "pigment_network": ("absent", "typical", "atypical"),
    "streaks": ("absent", "regular", "irregular"),
    "pigmentation": ("absent", "diffuse regular", "localized irregular"),
    "regression_structures": ("absent", "blue areas"),
    "dots_and_globules": ("absent", "regular", "irregular"),
    "blue_whitish_veil": ("absent", "present"),
    "vascular_structures": ("absent", "comma", "dotted"),
}

VARIABLES = {
    "sex": ("female", "male"),
    "location": ("back", "head neck", "lower limbs"),
    "elevation": ("flat", "nodular", "palpable"),
}


def make_derm7pt(root: Path, *, seed: int = 0, cases: int = 24, width: int = 24, height: int = 16) -> Path:
    """A release of Derm7pt with noise for pictures; half of the cases train, a quarter each validation and test."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(cases):
        images = {}
        for modality, letter in (("clinic", "a"), ("derm", "l")):
            images[modality] = f"N{letter}L/N{letter}l{number:03}.jpg"
            picture = generator.integers(0, 255, (height, width, 3), dtype=np.uint8)
            path = root / "images" / images[modality]
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path, quality=95)
        criteria = {name: values[generator.integers(len(values))] for name, values in CRITERIA.items()}
        diagnosis = DIAGNOSES[number % len(DIAGNOSES)]
        variables = {name: values[number % len(values)] for name, values in VARIABLES.items()}
        notes = {"case_num": number + 1, "diagnosis": diagnosis, "notes": "a, b"}
        rows.append({**notes, **criteria, **variables, **images})
    (root / "meta").mkdir()
    write_meta(root, rows)
    order = generator.permutation(cases).tolist()
    half, quarter = cases // 2, cases // 4
    write_indexes(root, train=order[:half], valid=order[half : half + quarter], test=order[half + quarter :])
    return root


def write_meta(root: Path, rows: list[dict[str, object]], *, columns: list[str] | None = None) -> None:
    with (root / "meta/meta.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_meta(root: Path) -> list[dict[str, object]]:
    with (root / "meta/meta.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def edit_meta(root: Path, row: int, **cells: str) -> None:
    rows = read_meta(root)
    rows[row].update(cells)
    write_meta(root, rows)


def write_indexes(root: Path, **splits: list[object]) -> None:
    """By the official names: train, valid, test."""
    for name, indexes in splits.items():
        (root / f"meta/{name}_indexes.csv").write_text("\n".join(["indexes", *map(str, indexes)]) + "\n")


def read_indexes(root: Path, name: str) -> list[int]:
    return [int(line) for line in (root / f"meta/{name}_indexes.csv").read_text().split()[1:]]


def make_table(root: Path, *, seed: int = 0, cases: int = 24, size: int = 20) -> Path:
    """A table of one's own: photos and scans (one to three), a patient of two cases, age and sex, official splits.

    The first 12 cases train, six each validate and test.
    """
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(cases):
        paths = {"photo": [f"photos/{number}.png"], "scans": [f"scans/{number}_{i}.png" for i in range(1 + number % 3)]}
        for path in (path for files in paths.values() for path in files):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 255, (size, size + 4, 3), dtype=np.uint8)).save(root / path)
        rows.append(
            {
                "id": f"case {number}",
                "patient": f"p{number // 2}",
                "dx": ("benign", "malignant", "unsure")[number // 2 % 3],
                "fever": number // 2 % 2,
                "cough": number // 4 % 2,
                "age": 30 + number,
                "sex": ("female", "male")[number // 2 % 2],
                "split": "train" if number < cases // 2 else ("Valid", "test")[number // 2 % 2],
                **{column: "; ".join(files) for column, files in paths.items()},
            }
        )
    write_table(root, rows)
    return root


def read_table(root: Path) -> list[dict[str, object]]:
    with (root / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_table(root: Path, rows: list[dict[str, object]], *, without: tuple[str, ...] = ()) -> None:
    with (root / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name not in without], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def edit_table(root: Path, row: int, **cells: object) -> None:
    rows = read_table(root)
    rows[row].update(cells)
    write_table(root, rows)
