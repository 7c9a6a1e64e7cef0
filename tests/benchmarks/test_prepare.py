"""The benchmark compares like with like: its literal loop writes what the product writes."""

import cv2
import numpy as np
import pytest

from benchmarks.literal_prepare import literal_loop
from benchmarks.prepare import breast, difference, make_kinds, memory, prepare, take_turns, write_dicom
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import read_manifest


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw")
    return make_kinds(folder, real=None, images=2, scale=4, long_side=256)


def test_literal_form_gives_the_products_pixels(kinds):
    for kind in kinds[:2]:
        apart = difference(kind.paths[0], kind.settings)
        assert apart.box <= 4  # full pixels; a pixel of the small copy is 2
        assert apart.largest == 0


def test_it_does_so_for_a_right_breast_and_low_values_that_are_bright(tmp_path):
    import pydicom

    path = tmp_path / "right.dcm"
    write_dicom(path, 4095 - breast(1166, 766, seed=1)[:, ::-1], jpeg2000=False)
    dataset = pydicom.dcmread(path)
    dataset.PhotometricInterpretation, dataset.ImageLaterality = "MONOCHROME1", "R"
    dataset.save_as(path)
    apart = difference(path, PreparationSettings(long_side=256))
    assert apart.box <= 4
    assert apart.largest == 0


def test_reduced_decode_differs_a_little_more(kinds):
    apart = difference(kinds[2].paths[0], kinds[2].settings)
    assert 0 < apart.mean < 0.01


@pytest.mark.slow
def test_both_write_every_image_and_are_timed(kinds, tmp_path):
    literal, product = take_turns(kinds[0], tmp_path, repeats=1, workers=1)
    assert len(literal) == len(product) == 1
    assert min(*literal, *product) > 0
    (tmp_path / "loop").mkdir()
    literal_loop(kinds[0].paths, tmp_path / "loop", long_side=256)
    prepare(kinds[0], tmp_path / "product", workers=1)
    outputs = [
        cv2.imread(str(tmp_path / "product" / name), cv2.IMREAD_UNCHANGED)
        for name in read_manifest(tmp_path / "product")["output"]
    ]
    assert len(outputs) == 2
    for number, pixels in enumerate(outputs):
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / f"loop/{number}.png"), cv2.IMREAD_UNCHANGED), pixels)


def test_memory_of_a_worker_is_its_own(kinds, tmp_path):
    assert 40e6 < memory(kinds[0], tmp_path) < 600e6
