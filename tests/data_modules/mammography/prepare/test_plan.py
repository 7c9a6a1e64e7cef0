"""The plan: which names are refused, and what is said of files that cannot be had."""

import os
from dataclasses import replace

import pytest

from data_modules.errors import TableError, UnsafePathError
from data_modules.mammography.prepare.plan import check_outputs
from data_modules.mammography.prepare.run import prepare_set
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.rsna.tables import SET
from tests.data_modules.mammography.prepare.trees import make_rsna


@pytest.mark.parametrize("image", ["", "/etc/x.dcm", "../x.dcm", "a/../../x.dcm", "a/", "a\0.dcm"])
def test_images_that_leave_the_folder_are_refused(image):
    with pytest.raises(UnsafePathError, match="leaves the data set"):
        check_outputs(["a/b.dcm", image])


def test_two_images_of_one_output_are_refused():
    check_outputs(["a/b.dcm", "a/b.c.dcm", "b.dcm"])
    for other in ("a/b.png", "a/./b.dcm", "a//b.dcm"):
        with pytest.raises(TableError, match=rf"'a/b.dcm' and '{other}' would be written to the same file"):
            check_outputs(["a/b.dcm", other])


def test_names_that_are_no_text_and_messages_that_hold_the_machines_paths_stay_out_of_the_manifest(tmp_path):
    root = make_rsna(tmp_path / "raw", images=4)
    folder = root / "train_images"

    def find(_, image):
        if image.endswith("1000.dcm"):
            return folder / os.fsdecode(b"\xff.dcm")
        return folder / ("x" * 300) if image.endswith("1001.dcm") and (folder / ("x" * 300)).is_file() else root / image

    summary = prepare_set(
        replace(SET, find=find), root, tmp_path / "out", settings=PreparationSettings(long_side=32), workers=1
    )
    assert [(group.kind, group.error) for group in summary.failures] == [
        ("unreadable file", "its name is no UTF-8; rename it"),
        ("unreadable file", "File name too long; check its name and the permissions of its folder"),
    ]
