"""Prepared folders of the four sets: small official tables, noise for images, no DICOM and no worker process."""

import functools
import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import polars as pl

from data_modules.mammography.prepare.manifest import JOURNAL_COLUMNS, write_manifest
from data_modules.mammography.prepare.settings import PIPELINE_VERSION, PreparationSettings
from data_modules.mammography.prepared import DESCRIPTION, output_path
from tests.data_modules.mammography.cbis_ddsm.trees import FILES, make_cbis, row_of
from tests.data_modules.mammography.embed.small import PREFIX, write_tables
from tests.data_modules.mammography.rsna.trees import make_rsna
from tests.data_modules.mammography.vindr.trees import make_vindr

HEIGHT, WIDTH = 24, 20
VIEWS = ("CC", "MLO")
PACKAGES = {"embed": "embed", "rsna_mammo": "rsna", "vindr_mammo": "vindr", "cbis_ddsm": "cbis_ddsm"}


def make_embed(root, *, patients=30):
    """An exam of both breasts by patient, two for every third; the right one is normal, the left one goes through all.

    Two views of each breast; one breast in seven has a third, a spot view.
    """
    images, findings = [], []
    exams = [(patient, visit) for patient in range(patients) for visit in range(1 + (patient % 3 == 0))]
    for number, (patient, visit) in enumerate(exams):
        exam = {
            "empi_anon": f"{1000 + patient}",
            "acc_anon": f"{5000 + number}",
            "study_date_anon": f"201{visit}-03-01",
        }
        for side in "LR":
            views = [*VIEWS, *(["CC"] if number % 7 == 3 and side == "L" else [])]
            for turn, view in enumerate(views):
                path = f"{PREFIX}cohort_1/{patient}/{number}/s{turn}/{number}.{side}.{turn}.dcm"
                shown = {"ImageLateralityFinal": side, "ViewPosition": view, "spot_mag": "1" if turn == 2 else None}
                images.append({**exam, **shown, "anon_dicom_path": path})
            category = "ANBPSMK"[number % 7] if side == "L" else "N"
            finding = {"side": side, "asses": category, "massshape": "O" if category in "SM" else None}
            findings.append(
                {**exam, **finding, "tissueden": f"{1 + patient % 4}.0", "age_at_study": f"{40 + number}.5"}
            )
    return write_tables(root, images, findings)


def make_cbis_ddsm(root, *, patients=20):
    """Both views of a breast of each patient in one of the tables; half malignant, every fifth patient tests."""
    tables = {key: [] for key in FILES}
    for number in range(1, patients + 1):
        key = ("mass" if number % 2 else "calc", "test" if number % 5 == 0 else "train")
        cells = {"pathology": "MALIGNANT" if number % 4 < 2 else "BENIGN", "assessment": str(2 + number % 4)}
        density = {"breast_density" if key[0] == "mass" else "breast density": str(1 + number // 2 % 4)}
        tables[key] += [row_of(*key, f"P_{number:05}", view=view, **cells, **density) for view in VIEWS]
    return make_cbis(root, tables)


MAKERS = {
    "embed": make_embed,
    "rsna_mammo": functools.partial(make_rsna, patients=24),
    "vindr_mammo": functools.partial(make_vindr, studies=30),
    "cbis_ddsm": make_cbis_ddsm,
}


def the_set(name):
    return import_module(f"data_modules.mammography.{PACKAGES[name]}.tables").SET


def pretend_to_prepare(root, name, *, failed=(), settings=None):
    """Noise in place of every image that the tables below ``root`` name, and what ``prepare`` would say of it."""
    settings = settings or PreparationSettings()
    rows, sides = [], {}
    for image, side in the_set(name).read(root).frame.select("image", "laterality").iter_rows():
        sides[image] = side
        row = {"image": image, "source": image, "laterality_header": side, "laterality_pixels": side}
        if image in failed:
            rows.append({**row, "error_kind": "unreadable", "error": "no image"})
            continue
        seed = int.from_bytes(hashlib.sha256(image.encode()).digest()[:4], "big")
        pixels = np.random.default_rng(seed).integers(0, 65536, (HEIGHT, WIDTH)).astype(np.uint16)
        path = root / output_path(image)
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
        content = path.read_bytes()
        facts = {"output_bytes": len(content), "output_sha256": hashlib.sha256(content).hexdigest()}
        rows.append({**row, "output": output_path(image), **facts, "height": HEIGHT, "width": WIDTH})
    columns = [column for column in JOURNAL_COLUMNS if any(column in row for row in rows)]
    frame = pl.DataFrame(rows, schema={column: JOURNAL_COLUMNS[column] for column in columns})
    missing = [pl.lit(None, kind).alias(column) for column, kind in JOURNAL_COLUMNS.items() if column not in columns]
    write_manifest(frame.with_columns(missing).select(list(JOURNAL_COLUMNS)), sides, root)
    said = {
        "set": name,
        "settings": asdict(settings),
        "pipeline_version": PIPELINE_VERSION,
        "hash": settings.hash,
        "state": "finished",
    }
    (root / DESCRIPTION).write_text(json.dumps(said))
    return root


@functools.cache
def drawn(name):
    """A prepared folder that no test writes to; it lives as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="prepared-")
    root = Path(folder.name, name)
    root.mkdir()
    MAKERS[name](root)
    return folder, pretend_to_prepare(root, name)


def pristine(name):
    return drawn(name)[1]


def copy_of(name, root):
    return Path(shutil.copytree(pristine(name), root))
