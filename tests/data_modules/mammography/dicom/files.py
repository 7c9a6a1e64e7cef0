"""Little DICOM files, written as a test wants them."""

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian

MAMMOGRAM = "1.2.840.10008.5.1.4.1.1.1.2"


def drawn(height=240, width=160, *, air=100, fat=1200, top=3000):
    """(H, W) uint16: a breast attached at the left edge, brighter towards its middle, fading at the skin; noise."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    radius = np.hypot((y - 0.5) / 0.4, x / 0.6)
    inside = np.clip((1 - radius) / 0.1, 0, 1)
    noise = np.random.default_rng(0).normal(0, 8, (height, width))
    tissue = inside * (fat - air + (top - fat) * np.clip(1 - radius, 0, 1))
    return np.clip(air + tissue + noise, 0, 4095).astype(np.uint16)


def dataset(pixels, *, bits=12, syntax=ExplicitVRLittleEndian, **elements):
    """A mammogram's data set; elements by keyword, None removes one."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(MAMMOGRAM), UID("2.25.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    allocated = 8 * pixels.dtype.itemsize
    standard = {
        "SOPClassUID": MAMMOGRAM,
        "SOPInstanceUID": "2.25.1",
        "Modality": "MG",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": allocated,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
    }
    for name, value in {**standard, **elements}.items():
        if value is not None:
            setattr(made, name, value)
    made.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    made["PixelData"].VR = "OW"
    if syntax != ExplicitVRLittleEndian:
        plugin = "pylibjpeg" if "2000" in syntax.name else "pydicom"
        made.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
    return made


def save(path, pixels, **settings):
    """Write one; returns its path."""
    made = dataset(pixels, **settings)
    made.save_as(path, enforce_file_format=True)
    return path


def item(**elements):
    made = Dataset()
    for name, value in elements.items():
        setattr(made, name, value)
    return made


def code(value):
    return item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning="")


def items(*made):
    return Sequence(made)


def table(entries, *, first=0, bits=16, vr="OW"):
    """An item of a sequence of look-up tables."""
    made = Dataset()
    made.add_new("LUTDescriptor", "US", [len(entries) % 65536, first % 65536, bits])
    made.add_new("LUTData", vr, np.asarray(entries, "<u2").tobytes() if vr == "OW" else [int(e) for e in entries])
    return made
