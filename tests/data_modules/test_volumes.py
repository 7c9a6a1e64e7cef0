"""Volumes are mapped into memory where their header tells the truth, and refused in one line where not."""

import os
import pickle
import struct

import numpy as np
import pytest

from data_modules.errors import UnreadableImageError
from data_modules.volumes import open_volume, slice_positions


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def npy_header(shape, dtype="|u1"):
    """A version 1 header that may claim anything."""
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (63 - (10 + len(text)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.fixture
def volume():
    return np.random.default_rng(0).integers(0, 256, (5, 6, 7), dtype=np.uint8)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "0000.npy"


def refusal(path, **settings):
    with pytest.raises(UnreadableImageError) as caught:
        open_volume(path, where="train-acl.csv line 3", **settings)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "train-acl.csv line 3 names it" in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("order", ["C", "F"])
def test_values_are_as_stored(path, volume, order):
    np.save(path, np.asarray(volume, order=order))
    opened = open_volume(path)
    assert isinstance(opened, np.memmap)
    assert (opened.dtype, opened.shape) == (np.uint8, (5, 6, 7))
    assert not opened.flags.writeable
    np.testing.assert_array_equal(opened, volume)


def test_version_two_of_the_header(path, volume):
    with path.open("wb") as file:
        np.lib.format.write_array(file, volume, version=(2, 0))
    np.testing.assert_array_equal(open_volume(path), volume)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int8", "uint16", "bool"])
def test_other_values_than_eight_bits_are_refused(path, volume, dtype):
    np.save(path, volume.astype(dtype))
    assert f"values are {dtype}, not uint8" in refusal(path)


@pytest.mark.parametrize("shape", [(6, 7), (2, 3, 6, 7), (42,)])
def test_other_dimensions_are_refused(path, shape):
    np.save(path, np.zeros(shape, np.uint8))
    assert "not slices x height x width" in refusal(path)


@pytest.mark.parametrize("shape", [(0, 6, 7), (5, 0, 7), (5, 6, 0)])
def test_a_volume_without_slices_or_pixels_is_refused(path, shape):
    np.save(path, np.zeros(shape, np.uint8))
    assert "no slice or no pixel" in refusal(path)


def test_an_array_of_objects_is_refused_and_never_unpickled(path, tmp_path):
    array = np.empty((1, 1, 1), dtype=object)
    array[0, 0, 0] = Malicious(tmp_path / "owned")
    np.save(path, array, allow_pickle=True)
    assert "Python objects" in refusal(path)
    assert not (tmp_path / "owned").exists()


def test_a_pickle_named_npy_is_refused_and_never_unpickled(path, tmp_path):
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "owned")))
    assert "no .npy file" in refusal(path)
    assert not (tmp_path / "owned").exists()


def test_the_trap_works(tmp_path):
    """Otherwise the two tests above could not fail."""
    pickle.loads(pickle.dumps(Malicious(tmp_path / "owned")))
    assert (tmp_path / "owned").is_dir()


def test_a_pickle_behind_the_header_of_bytes_is_refused(path, tmp_path):
    path.write_bytes(npy_header((2, 2, 2)) + pickle.dumps(Malicious(tmp_path / "owned")))
    assert "something is appended" in refusal(path)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"no volume at all", b"\x93NUMPY\x09\x00\x10\x00{}"])
def test_what_is_no_npy_file(path, content):
    path.write_bytes(content)
    assert "no .npy file" in refusal(path)


def test_an_archive_of_arrays_is_no_npy_file(path, volume):
    with path.open("wb") as file:
        np.savez(file, volume=volume)
    assert "no .npy file" in refusal(path)


def test_a_truncated_file(path, volume):
    np.save(path, volume)
    path.write_bytes(path.read_bytes()[:-1])
    assert "5 x 6 x 7 = 210 bytes, the file holds 209: cut off" in refusal(path)


@pytest.mark.parametrize("shape", [(10**9, 10**9, 10**9), (10**30, 2, 2), (1000, 1000, 1000)])
def test_a_header_that_claims_more_than_the_file_holds(path, shape):
    path.write_bytes(npy_header(shape) + b"\x00" * 100)
    assert "cut off" in refusal(path)


@pytest.mark.parametrize("shape", ["(-1, 2, 2)", "(-2, -2, 2)"])
def test_negative_claims(path, shape):
    path.write_bytes(npy_header(shape) + b"\x00" * 8)
    assert "no slice or no pixel" in refusal(path)


@pytest.mark.parametrize("shape", ["(2, 2, 'x')", "2", "(2.0, 2, 2)", "__import__('os').getcwd()", "(" * 500])
def test_headers_that_are_no_headers(path, shape):
    path.write_bytes(npy_header(shape) + b"\x00" * 8)
    assert "no .npy file" in refusal(path)


def test_an_overlong_header_is_not_parsed(path):
    path.write_bytes(npy_header("(2, 2, 2), 'more': '" + "x" * 20_000 + "'") + b"\x00" * 8)
    assert "no .npy file" in refusal(path)


def test_too_large_a_file(path, volume):
    np.save(path, volume)
    assert "larger than 100 bytes" in refusal(path, max_file_bytes=100)


def test_a_missing_file_and_a_folder(path):
    assert "No such file" in refusal(path)
    path.mkdir()
    assert "directory" in refusal(path)


@pytest.mark.parametrize(
    ("slices", "count", "expected"),
    [
        (4, 4, [0, 1, 2, 3]),
        (8, 4, [1, 3, 5, 7]),
        (30, 4, [3, 11, 18, 26]),
        (5, 1, [2]),
        (2, 4, [0, 0, 1, 1]),
        (1, 4, [0, 0, 0, 0]),
        (3, 4, [0, 1, 1, 2]),
    ],
)
def test_evenly_spaced_slices(slices, count, expected):
    assert slice_positions(slices, count).tolist() == expected


def test_jitter_stays_within_each_step_and_reaches_every_slice():
    seen = set()
    for seed in range(200):
        positions = slice_positions(21, 4, generator=np.random.default_rng(seed))
        steps = positions * 4 / 21
        assert all(step - 4 / 21 < place <= step + 1 for step, place in zip(range(4), steps, strict=True))
        assert positions.tolist() == sorted(positions)
        seen |= set(positions.tolist())
    assert seen == set(range(21))


def test_jitter_follows_its_generator():
    first, again, other = (slice_positions(40, 4, generator=np.random.default_rng(seed)).tolist() for seed in (1, 1, 2))
    assert first == again != other
