"""CBIS-DDSM's whole mammograms are found in the layouts of the copies that exist."""

import pytest

from data_modules.errors import UnsafePathError
from data_modules.mammography.cbis_ddsm.files import find_image
from tests.data_modules.mammography.csv_tables import touch

FOLDER = "Mass-Training_P_00001_LEFT_CC"
IMAGE = f"{FOLDER}/1.3.6.1.4.1.9590.100.1.2.42/1.3.6.1.4.1.9590.100.1.2.34/000000.dcm"
SERIES = "07-20-2016-DDSM-NA-30288/1.000000-full mammogram images-24515"


@pytest.mark.parametrize(
    "file",
    [
        IMAGE,
        IMAGE.replace(".dcm", ".png"),
        f"{FOLDER}/{SERIES}/1-1.dcm",
        f"CBIS-DDSM/{FOLDER}/{SERIES}/1-1.dcm",
        f"{FOLDER}/image.png",
        f"{FOLDER}.png",
        f"{FOLDER}.jpg",
        "jpeg/1.3.6.1.4.1.9590.100.1.2.34/1-242.jpg",
    ],
)
def test_a_copy_as_downloaded_or_converted(tmp_path, file):
    touch(tmp_path / f"{FOLDER}_1/{SERIES}/1-1.dcm")  # crop and mask of the abnormality, in a folder of their own
    touch(tmp_path / "Mass-Training_P_00001_LEFT_MLO/x/y/1-1.dcm")
    touch(tmp_path / "jpeg/1.3.6.1.4.1.9590.100.1.2.99/1-1.jpg")
    assert find_image(tmp_path, IMAGE) is None
    path = touch(tmp_path / file)
    assert find_image(tmp_path, IMAGE) == path


def test_of_several_files_the_one_said_to_be_the_whole_mammogram(tmp_path):
    path = touch(tmp_path / FOLDER / SERIES / "1-1.dcm")
    touch(tmp_path / FOLDER / "07-20-2016-DDSM/1.000000-ROI mask images-1/1-1.dcm")
    assert find_image(tmp_path, IMAGE) == path


def test_none_of_several_that_say_nothing(tmp_path):
    touch(tmp_path / FOLDER / "a/1-1.dcm")
    touch(tmp_path / FOLDER / "b/1-1.dcm")
    assert find_image(tmp_path, IMAGE) is None


def test_no_file_outside_the_root(tmp_path):
    root = tmp_path / "root"
    (root / FOLDER).mkdir(parents=True)
    (root / FOLDER / "1-1.dcm").symlink_to(touch(tmp_path / "elsewhere.dcm"))
    with pytest.raises(UnsafePathError, match="leaves the folder of images, by its name or through a link"):
        find_image(root, IMAGE)
