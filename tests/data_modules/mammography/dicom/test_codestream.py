"""Compressed streams say their size and bits themselves, and that they are whole."""

import struct

import numpy as np
import pytest
from pydicom.encaps import get_frame
from pydicom.uid import JPEG2000Lossless

from data_modules.mammography.dicom.codestream import Codestream, read_codestream
from tests.data_modules.mammography.dicom.files import dataset, drawn


def jpeg2000(pixels, **settings):
    return get_frame(dataset(pixels, syntax=JPEG2000Lossless, **settings).PixelData, 0, number_of_frames=1)


def jpeg(marker, *, bits=12, rows=7, columns=5, components=1, before=b""):
    """A stream of a frame header, a scan of nothing, and its end."""
    frame = struct.pack(">BHHB", bits, rows, columns, components) + bytes(3 * components)
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(frame) + 2) + frame
    return b"\xff\xd8" + before + segment + b"\xff\xda\x00\x02" + b"\xff\xd9"


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.uint16, 16), (np.int16, 13), (np.uint8, 8)])
def test_jpeg_2000(dtype, bits):
    stream = read_codestream(jpeg2000((drawn(64, 96) // 32).astype(dtype), bits=bits))
    signed = np.dtype(dtype).kind == "i"
    assert stream == Codestream(rows=64, columns=96, components=1, bits=bits, signed=signed, levels=stream.levels)
    assert stream.levels >= 3


@pytest.mark.parametrize("marker", [0xC0, 0xC1, 0xC3, 0xF7])
def test_jpeg_lossy_lossless_and_ls(marker):
    table = b"\xff\xc4\x00\x04\xff\xd9"  # a Huffman table between; its bytes are no markers
    assert read_codestream(jpeg(marker, before=table + b"\xff")) == Codestream(7, 5, 1, 12, False, 0)


def test_run_lengths_say_nothing():
    assert read_codestream(bytes(64)) is None


@pytest.mark.parametrize("padding", [b"", b"\0", b"\xff", b"\0" * 9])
def test_padding_may_follow_the_end(padding):
    assert read_codestream(jpeg(0xC3) + padding).rows == 7


@pytest.mark.parametrize("stream", [jpeg(0xC3), jpeg2000(drawn(64, 96))])
def test_every_cut_is_noticed(stream):
    for length in [*range(4, 60), len(stream) // 2, len(stream) - 2]:
        if length < len(stream):
            with pytest.raises(ValueError, match=r"breaks off|cut off|damaged"):
                read_codestream(stream[:length])


def test_damaged_markers_are_noticed():
    with pytest.raises(ValueError, match="JPEG header is damaged"):
        read_codestream(b"\xff\xd8\xff\xe0\x00\x01" + bytes(20))
    with pytest.raises(ValueError, match="JPEG header is damaged"):
        read_codestream(b"\xff\xd8\x00" + bytes(20))
    between = jpeg(0xC3).index(b"\xff\xda")  # frame header and scan
    with pytest.raises(ValueError, match="JPEG header is damaged"):
        read_codestream(jpeg(0xC3)[:between] + b"\x99" + jpeg(0xC3)[between:])
    with pytest.raises(ValueError, match="JPEG header is damaged"):
        read_codestream(b"\xff\xd8" + jpeg(0xC3)[between:])
    stream = bytearray(jpeg2000(drawn(64, 96)))
    stream[stream.index(b"\xff\x52")] = 0
    with pytest.raises(ValueError, match="JPEG 2000 header is damaged"):
        read_codestream(bytes(stream))
