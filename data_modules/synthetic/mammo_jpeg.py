"""JPEG lossless (process 14, selection value 1), which pydicom decodes and does not encode: GDCM's encoder."""

import importlib

import numpy as np
from numpy.typing import NDArray


def jpeg_lossless(values: NDArray[np.uint16], *, bits: int) -> bytes:
    """Compress stored values; the same values give the same bytes.

    Args:
        values: (H, W) uint16.
        bits: How many of them are used, at most 16.

    Returns:
        A JPEG stream without DICOM's frame around it.

    Raises:
        ValueError: If GDCM refuses the values.
    """
    gdcm = importlib.import_module("gdcm")  # carries no types
    rows, columns = values.shape
    writer = gdcm.ImageWriter()  # owns the image; an image of its own would be freed twice
    image = writer.GetImage()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, 0))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ImplicitVRLittleEndian))
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(values.astype("<u2").tobytes())
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(image)
    if not change.Change():
        raise ValueError(f"GDCM does not compress {rows} x {columns} values of {bits} bits to JPEG lossless")
    compressed = change.GetOutput()  # owns the fragments
    stream = compressed.GetDataElement().GetSequenceOfFragments().GetFragment(0).GetByteValue().GetBuffer()
    return stream if isinstance(stream, bytes) else str(stream).encode("utf-8", "surrogateescape")
