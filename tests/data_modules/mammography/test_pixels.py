"""Prepared images read again: exact, in 8 bits, in a square; whatever is no whole image is refused by name."""

import struct
import zlib

import cv2
import numpy as np
import pytest

from data_modules.cases import ImageFile
from data_modules.errors import UnreadableImageError, UnsafePathError
from data_modules.links import LINKS
from data_modules.mammography.pixels import as_picture, pad_to_square, read_prepared, read_prepared_file, to_8_bit


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 65536, (24, 16)).astype(np.uint16)


@pytest.fixture
def path(tmp_path, image):
    cv2.imwrite(str(tmp_path / "a.png"), image)
    return tmp_path / "a.png"


def test_reads_what_was_written(path, image):
    read = read_prepared(path)
    assert read.dtype == np.uint16
    assert np.array_equal(read, image)


def test_a_link_that_leaves_the_prepared_folder_is_refused_unless_the_user_names_where_to(path, monkeypatch):
    images = path.parent / "prepared/images"
    images.mkdir(parents=True)
    (images / "b.png").symlink_to(path)
    file = ImageFile(str(images / "b.png"), "manifest.parquet, image b", str(images))
    with pytest.raises(
        UnsafePathError, match=f"b.png: a link that leaves {images}; manifest.parquet, image b names it"
    ):
        read_prepared_file(file)
    monkeypatch.setenv(LINKS, str(path.parent))
    assert np.array_equal(read_prepared_file(file), read_prepared(path))


def test_links_within_the_prepared_folder_are_followed_and_it_may_be_one(path):
    images = path.parent / "images"
    images.symlink_to(path.parent)
    (path.parent / "b.png").symlink_to("a.png")
    file = ImageFile(str(images / "b.png"), "manifest.parquet, image b", str(images))
    assert np.array_equal(read_prepared_file(file), read_prepared(path))


def test_every_level_is_rounded_to_the_nearest_of_256():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    assert np.array_equal(to_8_bit(levels), np.round(levels / 257).astype(np.uint8))


def test_a_square_keeps_the_image_in_its_upper_left_corner():
    image = np.full((3, 2), 9, dtype=np.uint8)
    assert pad_to_square(image).tolist() == [[9, 9, 0], [9, 9, 0], [9, 9, 0]]
    assert pad_to_square(image.T).tolist() == [[9, 9, 9], [9, 9, 9], [0, 0, 0]]


def test_gray_is_repeated_and_the_aspect_is_kept_or_not(image):
    assert as_picture(image, aspect="keep").shape == (24, 24, 3)
    picture = as_picture(image, aspect="stretch")
    assert picture.shape == (24, 16, 3)
    assert all(np.array_equal(picture[..., channel], to_8_bit(image)) for channel in range(3))


def refusal(path, **limits):
    with pytest.raises(UnreadableImageError, match=r"prepare the set again|no prepared image is") as refused:
        read_prepared(path, where="manifest.parquet, image a", **limits)
    assert "manifest.parquet, image a" in str(refused.value)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_missing_file_says_how_to_prepare_it(tmp_path):
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "b.png")


@pytest.mark.parametrize("keep", [0, 7, 60, 0.5, 0.99])
def test_a_file_cut_short_is_refused(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
    assert "no whole PNG" in refusal(path)


def test_damage_inside_is_refused(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    assert "16-bit grayscale" in refusal(path)


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_eight_bits_or_colours_are_refused(tmp_path, shape):
    cv2.imwrite(str(tmp_path / "b.png"), np.ones(shape, dtype=np.uint8))
    assert "16-bit grayscale" in refusal(tmp_path / "b.png")


def test_limits_hold_before_anything_is_decoded(path):
    assert "larger than 10 bytes" in refusal(path, max_file_bytes=10)
    assert "16 x 24 is more than 383 pixels" in refusal(path, max_pixels=383)


def test_colour_is_refused_before_it_is_decoded_to_four_times_the_memory(tmp_path):
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 16, 6, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    (tmp_path / "b.png").write_bytes(data)
    assert "no 16-bit grayscale PNG; " in refusal(tmp_path / "b.png").replace(
        "; manifest.parquet, image a names it", ""
    )


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def test_a_small_file_that_claims_to_be_huge_is_refused(tmp_path):
    header = struct.pack(">IIBBBBB", 2**20, 2**20, 16, 0, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    (tmp_path / "b.png").write_bytes(data)
    assert "1048576 x 1048576 is more than" in refusal(tmp_path / "b.png")
