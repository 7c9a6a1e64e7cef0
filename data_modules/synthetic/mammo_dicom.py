"""Drawn mammograms as DICOM files: the variety of photometry, depth, windows and compression that real sets have.

The bytes are a function of the arguments: unique identifiers come from hashes, no clock and no library's version is
written.
"""

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_modules.errors import DataSettingsError
from data_modules.synthetic.mammo_jpeg import jpeg_lossless
from data_modules.synthetic.mammo_lesions import Picture

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

Transfer = Literal["explicit", "implicit", "jpeg2000", "jpeg", "rle"]
"""Two without compression; JPEG 2000, JPEG (process 14) and run lengths, all lossless."""
Voi = Literal["window", "exact", "sigmoid", "lut", "none"]

NEEDED = ("pydicom", "openjpeg", "gdcm")
"""Modules of the extra: files, JPEG 2000, and run lengths ten times as fast as pydicom's own, and JPEG."""
SOFTWARE = "2.25.203718295511684373186497402389113524719"
"""Implementation that wrote the files: a fixed identifier, for pydicom's names its version."""
FOR_PRESENTATION = "1.2.840.10008.5.1.4.1.1.1.2"
"""Digital Mammography X-Ray Image Storage - For Presentation (PS3.4, B.5)."""
DIGITIZED_FILM = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture Image Storage, as CBIS-DDSM has it."""
VIEW_CODES = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}
"""SNOMED CT, PS3.16 context group 4014."""
MAGNIFICATION = ("399163009", "Magnification")
"""SNOMED CT, PS3.16 context group 4015."""
ORIENTATION = {
    ("L", "CC"): ["A", "R"],
    ("R", "CC"): ["P", "L"],
    ("L", "MLO"): ["A", "FR"],
    ("R", "MLO"): ["P", "FL"],
}
"""Of rows and columns: chest wall at the left for left breasts, at the right for right ones."""
SIGMOID_WIDTH = 0.75
"""Share of the stored range; a narrower one would lose what is in the shadows."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a picture is stored.

    Attributes:
        bits: Stored bits; two bytes are allocated.
        voi: What the file says of the values of interest; ``none``: nothing.
        windows: How many windows it names; the first is the one to use.
        padding: A strip without detector is filled with a white pixel padding value.
        bare: Modality and BodyPartExamined are missing.
        intercept: Rescale intercept; the modality values are the stored ones plus it.
    """

    transfer: Transfer
    monochrome: Literal[1, 2]
    bits: int
    voi: Voi = "window"
    windows: int = 1
    padding: bool = False
    bare: bool = False
    intercept: int | None = None


ENCODINGS = (
    Encoding("explicit", 2, 12),
    Encoding("jpeg2000", 1, 12),
    Encoding("rle", 2, 14, windows=2),
    Encoding("implicit", 1, 14, voi="exact", padding=True),
    Encoding("jpeg2000", 2, 12, voi="sigmoid", windows=4, bare=True),
    Encoding("explicit", 2, 14, intercept=-1000),
    Encoding("jpeg2000", 1, 14, voi="lut"),
    Encoding("rle", 1, 12),
    Encoding("explicit", 2, 12, padding=True),
)
"""The varieties, taken in turn. All name the values of interest: a reader that has to guess them stretches the shadows,
and a fatty breast would look dense."""
UNWINDOWED = (Encoding("explicit", 2, 14, voi="none"), Encoding("jpeg2000", 1, 12, voi="none"))
"""Varieties that leave the values of interest to the reader, for pictures that are no samples by default."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its picture."""

    patient: str
    study_uid: str
    series_uid: str
    image_uid: str
    laterality: Literal["L", "R"]
    view: str
    age: int | None = None
    date: str = ""
    description: str = ""
    manufacturer: str = ""
    spot: bool = False
    from_tomosynthesis: bool = False
    label: bool = False
    """Side and view are burned in near the border."""
    storage: str = FOR_PRESENTATION


def uid(*parts: str | int) -> str:
    """A unique identifier that is a function of its parts (2.25 and a number, PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def require_pydicom() -> None:
    """See to it that files can be written.

    Raises:
        DataSettingsError: If pydicom, or one of the codecs that it calls, is not installed.
    """
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            raise DataSettingsError(
                f'look-alikes of mammograms are DICOM files, for which {name} is missing: pip install "medlit[dicom]"'
            )


def write_mammogram(path: Path, picture: Picture, header: Header, encoding: Encoding) -> None:
    """Write a picture as a DICOM file; the folder is made.

    Args:
        path: The file.
        picture: (H, W) float32, 0 black to 1 white, chest wall at the left; right breasts are stored mirrored.
        header: What the file says of it.
        encoding: How it is stored.

    Raises:
        DataSettingsError: If pydicom is not installed.
    """
    require_pydicom()
    from pydicom.encaps import encapsulate
    from pydicom.uid import (
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        JPEG2000Lossless,
        JPEGLosslessSV1,
        RLELossless,
    )

    dataset = _dataset(header, encoding)
    _add_pixels(dataset, oriented(picture, header), encoding)
    dataset.file_meta.TransferSyntaxUID = (
        ImplicitVRLittleEndian if encoding.transfer == "implicit" else ExplicitVRLittleEndian
    )
    if encoding.transfer == "jpeg2000":
        dataset.compress(JPEG2000Lossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    elif encoding.transfer == "rle":
        dataset.compress(RLELossless, encoding_plugin="gdcm", generate_instance_uid=False)
    elif encoding.transfer == "jpeg":
        values = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)
        dataset.PixelData = encapsulate([jpeg_lossless(values, bits=encoding.bits)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def oriented(picture: Picture, header: Header) -> Picture:
    """The picture as the detector gives it: right breasts hang from the right border; with its label."""
    turned = (picture[:, ::-1] if header.laterality == "R" else picture).copy()
    if header.label:
        height, wide = turned.shape
        text, size, thick = f"{header.laterality}{header.view}", height / 700, max(1, height // 300)
        long = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)[0][0]
        left = round(0.02 * wide) if header.laterality == "R" else wide - long - round(0.02 * wide)
        place = (left, round(0.06 * height))
        layer = np.zeros(turned.shape, np.uint8)  # OpenCV 5 writes on bytes alone
        cv2.putText(layer, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
        np.maximum(turned, layer / np.float32(max(1, layer.max())), out=turned)  # white, however thin the strokes are
    return turned


def _dataset(header: Header, encoding: Encoding) -> "FileDataset":
    """Everything but the pixels."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(header.storage)
    meta.MediaStorageSOPInstanceUID = UID(header.image_uid)
    meta.ImplementationClassUID = UID(SOFTWARE)
    meta.ImplementationVersionName = "MEDLIT"
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = header.storage, header.image_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = header.study_uid, header.series_uid
    dataset.PatientID, dataset.PatientName = header.patient, ""
    dataset.StudyDate, dataset.StudyDescription = header.date.replace("-", ""), header.description
    if header.age is not None:
        dataset.PatientAge = f"{header.age:03}Y"
    dataset.ImageType = ["DERIVED", "PRIMARY"] + (["TOMO", "GENERATED_2D"] if header.from_tomosynthesis else [])
    if not encoding.bare:
        dataset.Modality, dataset.BodyPartExamined = "MG", "BREAST"
    dataset.Manufacturer = header.manufacturer
    dataset.ImageLaterality, dataset.ViewPosition = header.laterality, header.view
    if header.storage == FOR_PRESENTATION:
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.PresentationLUTShape = "INVERSE" if encoding.monochrome == 1 else "IDENTITY"
        dataset.BreastImplantPresent = "NO"
    dataset.BurnedInAnnotation = "YES" if header.label else "NO"
    _add_view(dataset, header)
    return dataset


def _add_view(dataset: "FileDataset", header: Header) -> None:
    """View and orientation, coded."""
    from pydicom.dataset import Dataset

    def coded(value: str, meaning: str) -> Dataset:
        """An item of a code sequence, of SNOMED CT."""
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
        return item

    if header.view in VIEW_CODES:
        dataset.PatientOrientation = ORIENTATION[header.laterality, header.view]
        dataset.ViewCodeSequence = [coded(*VIEW_CODES[header.view])]
        if header.spot:
            dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [coded(*MAGNIFICATION)]


def _add_pixels(dataset: "FileDataset", picture: Picture, encoding: Encoding) -> None:
    """Stored values, little endian, and what turns them into gray."""
    top = 2**encoding.bits - 1
    values = np.round(picture * top).astype(np.uint16)
    if encoding.monochrome == 1:
        values = (top - values).astype(np.uint16)
    if encoding.padding:
        _pad(values, dark=0 if encoding.monochrome == 2 else top, value=top if encoding.monochrome == 2 else 0)
        dataset.PixelPaddingValue = top if encoding.monochrome == 2 else 0
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = f"MONOCHROME{encoding.monochrome}"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, encoding.bits, encoding.bits - 1
    if encoding.intercept is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = 1, encoding.intercept, "US"
    _add_voi(dataset, encoding, top)
    dataset.PixelData = values.astype("<u2").tobytes()


def _pad(values: NDArray[np.uint16], *, dark: int, value: int) -> None:
    """Fill the strip at the border without a breast, where it is, in place; the padding value is used nowhere else."""
    values[values == value] += np.uint16(1) if value == 0 else np.uint16(65535)
    wide = values.shape[1]
    strip = slice(0, wide // 20)
    left, right = (
        np.abs(values[:, part].astype(np.int32) - dark).mean() for part in (strip, slice(-(wide // 20), None))
    )
    values[:, strip if left < right else slice(-(wide // 20), None)] = value


def _add_voi(dataset: "FileDataset", encoding: Encoding, top: int) -> None:
    """The values of interest: the whole range, in one of the standard's ways (PS3.3 C.11.2)."""
    from pydicom.dataset import Dataset

    low = encoding.intercept or 0
    if encoding.voi == "lut":
        item = Dataset()
        item.LUTDescriptor = [top + 1, low, 16]
        item.LUTData = np.round(np.linspace(0, 65535, top + 1)).astype("<u2").tobytes()
        item.LUTExplanation = "NORMAL"
        item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
        dataset.VOILUTSequence = [item]
    elif encoding.voi != "none":
        share = SIGMOID_WIDTH if encoding.voi == "sigmoid" else 1.0
        others: Sequence[float] = (0.6, 1.4, 0.8)[: encoding.windows - 1]
        centre, width = low + (top + 1) / 2, (top + 1) * share
        dataset.WindowCenter = [round(centre * factor) for factor in (1.0, *others)]
        dataset.WindowWidth = [round(width * factor) for factor in (1.0, *others)]
        dataset.VOILUTFunction = {"window": "LINEAR", "exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}[encoding.voi]
