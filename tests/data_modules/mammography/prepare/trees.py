"""RSNA-Mammo in the official layout: uncompressed DICOM files with a bright half ellipse for a breast."""

import csv
import io
from pathlib import Path

import numpy as np

from data_modules.mammography.rsna.tables import COLUMNS

ROWS, WIDTH = 96, 64
BITS = 12


def make_rsna(root: Path, *, images: int, seed: int = 0) -> Path:
    """A tree of as many images, four to a patient: L CC, L MLO, R CC, R MLO."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(images):
        patient, image, side = str(10 + number // 4), str(1000 + number), "LLRR"[number % 4]
        rows.append({**ROW, "patient_id": patient, "image_id": image, "laterality": side, "view": VIEWS[number % 2]})
        path = root / f"train_images/{patient}/{image}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dicom(breast(side, seed=[seed, number]), laterality=side))
    write_table(root, rows)
    return root


VIEWS = ("CC", "MLO")
ROW = {"site_id": "2", "age": "60", "cancer": "0", "biopsy": "0", "invasive": "0", "implant": "0", "machine_id": "1"}


def write_table(root: Path, rows: list[dict[str, str]]) -> None:
    with (root / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows({"difficult_negative_case": "False", **row} for row in rows)


def read_table(root: Path) -> list[dict[str, str]]:
    with (root / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(root: Path) -> list[Path]:
    return sorted((root / "train_images").rglob("*.dcm"))


def breast(side: str, *, seed: list[int], rows: int = ROWS, width: int = WIDTH) -> np.ndarray:
    """(rows, width) uint16, 12 bits: noisy tissue at the chest wall, air elsewhere."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:width]
    inside = ((y - rows / 2) / (0.45 * rows)) ** 2 + (x / (0.7 * width)) ** 2 < 1
    tissue = generator.integers(1200, 3800, (rows, width))
    pixels = np.where(inside, tissue, generator.integers(0, 40, (rows, width))).astype(np.uint16)
    return pixels[:, ::-1] if side == "R" else pixels


def dicom(pixels: np.ndarray, *, laterality: str = "L") -> bytes:
    """Explicit VR little endian, MONOCHROME2, one window over all values."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import DigitalMammographyXRayImageStorageForPresentation, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalMammographyXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ImageLaterality = "MG", laterality
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, BITS, BITS - 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 2048, 4096
    dataset.PixelData = np.ascontiguousarray(pixels, dtype="<u2").tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
