"""Preparing a mammogram as a script would: one process, pydicom, floats, one image after the other.

The steps are those of ``data_modules.mammography.dicom``: full decode, modality LUT, values of interest by pydicom's
own ``apply_voi_lut``, MONOCHROME1 inverted, the breast found on a small copy, crop, longer side, orientation, 16-bit
PNG. Where a breast is, and on which side, is asked of the same functions: how long that takes is no part of the
question, and the same box makes the pixels comparable.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from data_modules.mammography.dicom import CropBox
from data_modules.mammography.dicom.crop import find_breast
from data_modules.mammography.dicom.develop import SMALL_SIDE
from data_modules.mammography.dicom.grayscale import FULL_SCALE, PERCENTILES
from data_modules.mammography.dicom.orient import side_of_breast
from data_modules.mammography.prepare.work import PNG


def literal_gray(dataset: pydicom.Dataset, values: NDArray[np.generic]) -> NDArray[np.uint16]:
    """(H, W), 0 to 65535, bright tissue.

    Args:
        dataset: A file with a window and without padding.
        values: (H, W) in the modality's units.
    """
    gray = apply_voi_lut(values, dataset).astype(np.float64) / (2**dataset.BitsStored - 1)  # pydicom's full scale
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    return np.rint(np.clip(gray, 0, 1) * FULL_SCALE).astype(np.uint16)


def small_copy(dataset: pydicom.Dataset, values: NDArray[np.generic], power: int) -> NDArray[np.uint16]:
    """What the breast is looked for on: each side divided by ``2**power``, gray between percentiles."""
    size = (-(-values.shape[1] >> power), -(-values.shape[0] >> power))
    small = cv2.resize(values.astype(np.float64), size, interpolation=cv2.INTER_AREA)
    low, high = np.percentile(small, PERCENTILES)
    gray = np.clip((small - low) / (high - low), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        gray = 1 - gray
    return np.rint(gray * FULL_SCALE).astype(np.uint16)


def literal_image(path: Path, *, long_side: int, box: CropBox | None = None) -> tuple[NDArray[np.uint16], CropBox]:
    """The prepared image and its crop.

    Args:
        path: A DICOM file.
        long_side: Longer side of the result, pixels; the file's is longer.
        box: Take this crop; None: look for the breast.
    """
    dataset = pydicom.dcmread(path)
    values = apply_modality_lut(dataset.pixel_array, dataset)
    gray = literal_gray(dataset, values)
    power = max(int(np.log2(max(gray.shape) / SMALL_SIDE)), 0)
    small = small_copy(dataset, values, power)
    breast = find_breast(small)
    if box is None:
        edges = [edge << power for edge in breast.box]
        box = CropBox(edges[0], edges[1], min(edges[2], gray.shape[0]), min(edges[3], gray.shape[1]))
    part = gray[box.top : box.bottom, box.left : box.right]
    scale = long_side / max(part.shape)
    shape = (round(part.shape[1] * scale), round(part.shape[0] * scale))
    pixels = np.asarray(cv2.resize(part, shape, interpolation=cv2.INTER_AREA), dtype=np.uint16)
    return (pixels[:, ::-1] if side_of_breast(small, breast) == "R" else pixels), box


def literal_loop(paths: list[Path], out: Path, *, long_side: int) -> None:
    """Prepare files one after the other.

    Args:
        paths: DICOM files.
        out: Folder for the PNGs, named by their number.
        long_side: Longer side of the results, pixels.
    """
    cv2.setNumThreads(1)
    for number, path in enumerate(paths):
        hashlib.sha256(path.read_bytes())  # a manifest without it says nothing about its source
        pixels, _ = literal_image(path, long_side=long_side)
        cv2.imwrite(str(out / f"{number}.png"), pixels, PNG)
