"""One mammogram from its file; whatever is wrong with it becomes one error of one line."""

import io
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from PIL import Image
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, JPEG2000Lossless, RLELossless

from data_modules.errors import DataSettingsError, UnreadableImageError
from data_modules.mammography.dicom import CropBox, read_mammogram
from tests.data_modules.mammography.dicom.files import dataset, drawn, items, save, table

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}


def refusal(path, **settings):
    with pytest.raises(UnreadableImageError) as caught:
        read_mammogram(path, **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_left_breast(tmp_path):
    path = save(tmp_path / "left.dcm", drawn(), ImageLaterality="L", ViewPosition="CC", **WINDOW)
    read = read_mammogram(path)
    assert (read.pixels.dtype, read.pixels.flags.owndata, read.pixels.dtype.isnative) == (np.uint16, True, True)
    assert (read.header.laterality, read.header.view) == ("L", "CC")
    assert (read.crop_method, read.flipped, read.laterality_check, read.reduced) == ("otsu", False, "agrees", 0)
    assert (read.window, read.flags) == ("WINDOW LINEAR 2048/4096", ())
    top, left, bottom, right = read.crop_box
    assert read.pixels.shape == (bottom - top, right - left)
    expected = drawn()[top:bottom, left:right] / 4095
    np.testing.assert_allclose(read.pixels / 65535, expected, atol=1e-5)


def test_a_right_breast_comes_out_on_the_left(tmp_path):
    left = read_mammogram(save(tmp_path / "left.dcm", drawn(), ImageLaterality="L"))
    mirrored = np.ascontiguousarray(drawn()[:, ::-1])
    right = read_mammogram(save(tmp_path / "right.dcm", mirrored, ImageLaterality="R"))
    assert (right.flipped, right.laterality_check) == (True, "agrees")
    assert right.crop_box == CropBox(left.crop_box.top, 160 - left.crop_box.right, left.crop_box.bottom, 160)
    np.testing.assert_array_equal(right.pixels, left.pixels)
    kept = read_mammogram(tmp_path / "right.dcm", orient="none")
    assert not kept.flipped
    np.testing.assert_array_equal(kept.pixels[:, ::-1], left.pixels)


def test_pixels_win_over_a_header_that_contradicts_them(tmp_path):
    path = save(tmp_path / "x.dcm", drawn(), ImageLaterality="R", PatientOrientation=["P", "F"])
    read = read_mammogram(path)
    assert (read.flipped, read.laterality_check) == (False, "contradicts")
    assert read.flags == (
        "laterality R, but the breast is on the left",
        "patient orientation P, but the breast is on the left",
    )


@pytest.mark.parametrize("settings", [{"crop": False}, {"crop": False, "orient": "none", "long_side": None}])
def test_the_whole_image_where_no_crop_is_asked_for(tmp_path, settings):
    read = read_mammogram(save(tmp_path / "x.dcm", drawn(), **WINDOW), **settings)
    assert (read.crop_method, read.crop_box, read.pixels.shape) == ("none", CropBox(0, 0, 240, 160), (240, 160))


def test_every_encoding_of_one_image_comes_out_the_same(tmp_path):
    padding = {"PixelPaddingValue": 0}
    inverted = (4095 - drawn()).astype(np.uint16)
    files = [
        save(tmp_path / "plain", drawn(), **padding),
        save(tmp_path / "rle", drawn(), syntax=RLELossless, **padding),
        save(tmp_path / "j2k", drawn(), syntax=JPEG2000Lossless, **padding),
        save(tmp_path / "mono1", inverted, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"),
        save(tmp_path / "signed", (drawn().astype(np.int16) - 2048), RescaleIntercept=2048, RescaleSlope=1),
    ]
    images = [read_mammogram(path) for path in files]
    for other in images[1:]:
        assert other.crop_box == images[0].crop_box
        np.testing.assert_allclose(other.pixels.astype(int), images[0].pixels, atol=1)


def test_pixels_and_tables_of_a_big_endian_file(tmp_path):
    entries = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(np.uint16)
    little = read_mammogram(save(tmp_path / "little.dcm", drawn(), VOILUTSequence=items(table(entries))))
    made = dataset(drawn().byteswap(), VOILUTSequence=items(table(entries.byteswap())))
    made.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dcmwrite(tmp_path / "big.dcm", made, force_encoding=True, implicit_vr=False, little_endian=False)
    big = read_mammogram(tmp_path / "big.dcm")
    assert (big.window, big.crop_box) == ("LUT", little.crop_box)
    np.testing.assert_array_equal(big.pixels, little.pixels)


def test_a_png_comes_out_as_the_file_it_was_made_from(tmp_path):
    Image.fromarray(drawn()).save(tmp_path / "x.png")
    png = read_mammogram(tmp_path / "x.png")
    dicom = read_mammogram(
        save(tmp_path / "x.dcm", drawn(), WindowCenter=2047.5, WindowWidth=4095, VOILUTFunction="LINEAR_EXACT")
    )
    assert (png.window, png.crop_box) == ("BITS 12", dicom.crop_box)
    np.testing.assert_array_equal(png.pixels, dicom.pixels)


def test_the_name_of_a_file_does_not_matter(tmp_path):
    path = save(tmp_path / "x.png", drawn())
    assert read_mammogram(str(path)).header.modality == "MG"


def test_twice_the_same(tmp_path):
    path = save(tmp_path / "x.dcm", drawn(), syntax=JPEG2000Lossless)
    first, second = (read_mammogram(path, long_side=100) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert (first.header, first.window, first.flags) == (second.header, second.window, second.flags)


@pytest.mark.parametrize("settings", [{"long_side": 0}, {"long_side": -1}, {"orient": "right"}])
def test_arguments_that_cannot_work(tmp_path, settings):
    with pytest.raises(DataSettingsError, match=next(iter(settings))):
        read_mammogram(tmp_path / "none.dcm", **settings)


def test_files_that_are_none(tmp_path):
    assert "No such file" in refusal(tmp_path / "missing.dcm")
    assert "Is a directory" in refusal(tmp_path)
    for content, words in [(b"", "empty"), (b"x" * 500, "by its first bytes"), (bytes(128) + b"DICM", "")]:
        (tmp_path / "x.dcm").write_bytes(content)
        assert words in refusal(tmp_path / "x.dcm")


@pytest.mark.parametrize("settings", [{}, {"syntax": JPEG2000Lossless}, {"syntax": RLELossless}])
def test_a_file_cut_off_anywhere_is_refused(tmp_path, settings):
    whole = save(tmp_path / "whole.dcm", drawn(), **settings).read_bytes()
    path = tmp_path / "cut.dcm"
    for length in [*range(0, 1000, 37), *range(1000, len(whole), len(whole) // 20), len(whole) - 20]:
        path.write_bytes(whole[:length])
        refusal(path)


def test_a_cut_png_is_refused(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(drawn()).save(buffer, "PNG")
    (tmp_path / "x.png").write_bytes(buffer.getvalue()[:-5000])
    assert "truncated" in refusal(tmp_path / "x.png")


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((40, 40), np.uint16), "every pixel holds 0"),
        (np.full((40, 40), 4095, np.uint16), "every pixel holds 4095"),
        (drawn(40, 40) + np.uint16(4000), "exceed the 12 bits"),
    ],
)
def test_images_of_nothing_and_beyond_their_bits(tmp_path, pixels, words):
    assert words in refusal(save(tmp_path / "x.dcm", pixels))


def test_a_file_too_large_is_refused_unread(tmp_path, monkeypatch):
    path = save(tmp_path / "x.dcm", drawn())
    monkeypatch.setattr("data_modules.mammography.dicom.reader.MAX_FILE_BYTES", 1000)
    assert "more than 1,000: no single mammogram" in refusal(path)


def test_a_deflated_file_is_read_and_a_bomb_is_not(tmp_path, monkeypatch):
    made = dataset(drawn())
    made.file_meta.TransferSyntaxUID = UID(DeflatedExplicitVRLittleEndian)
    made.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    plain = read_mammogram(save(tmp_path / "plain.dcm", drawn()))
    np.testing.assert_array_equal(read_mammogram(tmp_path / "x.dcm").pixels, plain.pixels)
    head = (tmp_path / "x.dcm").read_bytes()
    end = 144 + struct.unpack("<I", head[140:144])[0]
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    (tmp_path / "bomb.dcm").write_bytes(head[:end] + squeezer.compress(bytes(3 * 10**6)) + squeezer.flush())
    monkeypatch.setattr("data_modules.mammography.dicom.reader.MAX_FILE_BYTES", 10**6)
    assert "inflates to more than 1,000,000 bytes" in refusal(tmp_path / "bomb.dcm")


def test_nesting_without_end_is_refused_not_a_crash(tmp_path):
    start = save(tmp_path / "x.dcm", drawn()).read_bytes()
    opened = b"\x54\x00\x20\x02SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    at = start.index(b"\xe0\x7f\x10\x00OW")
    (tmp_path / "x.dcm").write_bytes(start[:at] + opened * 20000)
    refusal(tmp_path / "x.dcm")


def with_sequence(path, *, length, content):
    """A mammogram with a view code sequence of these bytes before its pixels."""
    start = save(path, drawn()).read_bytes()
    at = start.index(b"\xe0\x7f\x10\x00OW")
    path.write_bytes(start[:at] + b"\x54\x00\x20\x02SQ\x00\x00" + length + content + start[at:])
    return path


def test_a_header_without_end_is_refused_in_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("data_modules.mammography.dicom.reader.MAX_READS", 5000)
    many = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 5000
    end = b"\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    refusal(with_sequence(tmp_path / "x.dcm", length=b"\xff\xff\xff\xff", content=many + end))
    few = with_sequence(tmp_path / "y.dcm", length=b"\xff\xff\xff\xff", content=many[:800] + end)
    assert read_mammogram(few).header.view is None


def test_a_sequence_of_endless_items_is_not_converted_but_counts_as_absent(tmp_path):
    many = b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * 130_000  # converted, they would take a quarter of a minute
    path = with_sequence(tmp_path / "x.dcm", length=struct.pack("<I", len(many)), content=many)
    started = time.monotonic()
    flags = read_mammogram(path).flags
    assert "malformed ViewCodeSequence (longer than any mammogram's)" in flags
    assert time.monotonic() - started < 5


def test_importing_loads_neither_pydicom_nor_polars_nor_torch():
    code = (
        "import sys; import data_modules.mammography.dicom; "
        "print(sorted({'pydicom', 'polars', 'torch', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_pydicom_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = save(tmp_path / "x.dcm", drawn())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert 'pip install "medlit[dicom]"' in refusal(path)
