"""Valid mammograms: every encoding that the look-alikes know, and those that they do not."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_modules.synthetic.mammo_dicom import ENCODINGS, UNWINDOWED, Encoding, Header, write_mammogram


def seeds(folder: Path) -> list[bytes]:
    """A few dozen files of at most some thousand pixels.

    Args:
        folder: To write to.
    """
    return [*look_alikes(folder), *other_encodings(folder), *pictures()]


def look_alikes(folder: Path) -> list[bytes]:
    """As the look-alikes of the sets are written; of JPEG 2000 also long ones, that are decoded at reduced size."""
    path = folder / "look_alike.dcm"
    encodings = [*ENCODINGS, *UNWINDOWED, Encoding("jpeg", 2, 12), Encoding("jpeg", 1, 16)]
    made = []
    for number, encoding in enumerate(encodings):
        header = _header(number)
        write_mammogram(path, drawn(40 + number, 40), header, encoding)
        made.append(path.read_bytes())
        if encoding.transfer == "jpeg2000":
            write_mammogram(path, drawn(1040, 64), replace(header, spot=True), encoding)
            made.append(path.read_bytes())
    path.unlink()
    return made


def other_encodings(folder: Path) -> list[bytes]:
    """8 and 16 bits, signed, big endian, deflated, lossy, JPEG-LS, tables, functional groups."""
    from pydicom.uid import (
        JPEG2000,
        DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        ExplicitVRLittleEndian,
        JPEGBaseline8Bit,
        JPEGLSLossless,
        RLELossless,
    )

    deep = np.round(drawn(36, 40) * 4095).astype(np.uint16)
    flat = (deep >> 4).astype(np.uint8)
    signed = deep.astype(np.int16) - 1000
    plain = [_dataset(values) for values in (deep, flat, signed)]
    made = [_bytes(dataset, ExplicitVRLittleEndian) for dataset in (*plain, *_unusual(deep))]
    made += [_bytes(dataset, DeflatedExplicitVRLittleEndian) for dataset in plain[:2]]
    made.append(_bytes(_dataset(deep, order=">"), ExplicitVRBigEndian))
    for values in (deep, flat, signed):
        for syntax, plugin, options in (
            (RLELossless, "pydicom", {}),
            (JPEG2000, "pylibjpeg", {"j2k_cr": [4]}),
        ):
            dataset = _dataset(values)
            dataset.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False, **options)
            made.append(_bytes(dataset, syntax))
    for values, syntax in ((deep, JPEGLSLossless), (flat, JPEGLSLossless), (flat, JPEGBaseline8Bit)):
        made.append(_by_gdcm(folder, _bytes(_dataset(values), ExplicitVRLittleEndian), syntax.name))
    return made


def _unusual(values: NDArray[np.uint16]) -> list[Any]:
    """Tables instead of windows, several windows, padding, and an enhanced image's groups."""
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    lut, groups, voi, shared = _dataset(values), _dataset(values), Dataset(), Dataset()
    for name, first in (("ModalityLUTSequence", 0), ("VOILUTSequence", 10)):
        item = Dataset()
        item.add_new("LUTDescriptor", "US", [256, first, 12])
        item.add_new("LUTData", "US", list(range(0, 4096, 16)))
        setattr(lut, name, Sequence([item]))
    lut.PixelPaddingValue, lut.PixelPaddingRangeLimit = 0, 50
    voi.WindowCenter, voi.WindowWidth, voi.VOILUTFunction = ["2000", "1"], ["4000", "0"], "SIGMOID"
    shared.FrameVOILUTSequence = Sequence([voi])
    groups.SharedFunctionalGroupsSequence = Sequence([shared])
    groups.NumberOfFrames, groups.ImageType = 1, ["DERIVED", "PRIMARY", "TOMO", "GENERATED_2D"]
    groups.PatientOrientation, groups.EstimatedRadiographicMagnificationFactor = ["P", "L"], "1.8"
    groups.Laterality, groups.PaddleDescription, groups.PartialView = "R", "SPOT COMP", "YES"
    return [lut, groups]


def pictures() -> list[bytes]:
    """PNG of 8 and 16 bits, in gray as colours, and JPEG."""
    gray = drawn(30, 24)
    made = []
    for values, name in (
        (np.round(gray * 255).astype(np.uint8), "PNG"),
        (np.round(gray * 4095).astype(np.uint16), "PNG"),
        (np.repeat(np.round(gray * 255).astype(np.uint8)[..., None], 3, axis=2), "PNG"),
        (np.round(gray * 255).astype(np.uint8), "JPEG"),
    ):
        stream = io.BytesIO()
        Image.fromarray(values).save(stream, name)
        made.append(stream.getvalue())
    return made


def drawn(height: int, width: int) -> NDArray[np.float32]:
    """(H, W) float32, 0 to 1: a breast at the left edge, with some noise."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    radius = np.hypot((y - 0.5) / 0.4, x / 0.6)
    noise = np.random.default_rng(0).uniform(0, 0.02, (height, width))
    return np.asarray(np.clip(1 - radius, 0, 0.9) + noise, dtype=np.float32)


def _header(number: int) -> Header:
    return Header(
        patient=str(number),
        study_uid="2.25.1",
        series_uid="2.25.2",
        image_uid=f"2.25.{number + 3}",
        laterality="R" if number % 2 else "L",
        view="MLO" if number % 3 else "CC",
        age=50,
        date="2020-01-02",
        manufacturer="medlit",
    )


def _dataset(values: NDArray[Any], *, order: str = "<") -> Any:
    """A mammogram's data set without compression."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID("1.2.840.10008.5.1.4.1.1.1.2"), UID("2.25.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    bits = 8 if values.dtype.itemsize == 1 else 12
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = meta.MediaStorageSOPClassUID, "2.25.1", "MG"
    made.PhotometricInterpretation, made.SamplesPerPixel = "MONOCHROME2", 1
    made.Rows, made.Columns = values.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 8 * values.dtype.itemsize, bits, bits - 1
    made.PixelRepresentation = int(values.dtype.kind == "i")
    made.PixelData = values.astype(values.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
    made["PixelData"].VR = "OW"
    return made


def _bytes(dataset: Any, syntax: str) -> bytes:
    import pydicom

    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    little = syntax != pydicom.uid.ExplicitVRBigEndian
    pydicom.dcmwrite(stream, dataset, implicit_vr=False, little_endian=little, enforce_file_format=True)
    return stream.getvalue()


def _by_gdcm(folder: Path, plain: bytes, syntax: str) -> bytes:
    """What pydicom has no encoder for."""
    import gdcm

    source, target = folder / "plain.dcm", folder / "compressed.dcm"
    source.write_bytes(plain)
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    if not reader.Read():
        raise RuntimeError(f"GDCM cannot read its source for {syntax}")
    kind = gdcm.TransferSyntax.JPEGLSLossless if "JPEG-LS" in syntax else gdcm.TransferSyntax.JPEGBaselineProcess1
    change.SetTransferSyntax(gdcm.TransferSyntax(kind))
    change.SetInput(reader.GetImage())
    if not change.Change():
        raise RuntimeError(f"GDCM cannot write {syntax}")
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    if not writer.Write():
        raise RuntimeError(f"GDCM cannot write {target}")
    content = target.read_bytes()
    source.unlink()
    target.unlink()
    return content
