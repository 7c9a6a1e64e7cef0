"""The audit of a raw set's files: missing, unnamed, unreadable, at odds with the table, there twice."""

import errno
import shutil
from dataclasses import replace

import pydicom
import pytest

from data_modules.audit import Audit
from data_modules.errors import DataSettingsError
from data_modules.mammography.audit_files import audit_files, spaced
from data_modules.mammography.rsna.tables import SET, read_samples
from tests.data_modules.mammography.csv_tables import edit_csv, read_csv, touch
from tests.data_modules.mammography.look_alikes import AUDITS, copy_of, pristine

audit_rsna_mammo = AUDITS["rsna_mammo"]


@pytest.fixture
def root(tmp_path):
    return copy_of("rsna_mammo", tmp_path)


def image(root, row):
    cells = read_csv(root / "train.csv")[row]
    return f"train_images/{cells['patient_id']}/{cells['image_id']}.dcm"


def edit_header(path, **values):
    dataset = pydicom.dcmread(path)
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def test_a_missing_image(root):
    name = image(root, 4)
    (root / name).unlink()
    assert audit_rsna_mammo(root).by_kind("fault") == {"missing image": [f"no file {name!r} below {root}"]}


def test_an_image_behind_a_link_that_leaves_the_root(root, tmp_path):
    path = root / image(root, 4)
    path.replace(tmp_path / "elsewhere.dcm")
    path.symlink_to(tmp_path / "elsewhere.dcm")
    [words] = audit_rsna_mammo(root).by_kind("fault")["path that leaves the root"]
    assert path.name in words


def test_a_folder_that_the_system_does_not_let_be_looked_into(root):
    def refuse(root, image):
        raise PermissionError(errno.EACCES, "Permission denied", str(root / "train_images"))

    audit = Audit("a set")
    frame = read_samples(root).frame.head(1)
    everything = {"folder": "", "is_named": lambda path: True, "known_bad": {}, "read": 1, "track": iter}
    audit_files(audit, frame, dataset=replace(SET, find=refuse), root=root, **everything)
    words = f"{root / 'train_images'} cannot be read (Permission denied); check its permissions"
    assert audit.by_kind("fault")["unreadable folder"] == [words]


def test_a_file_that_no_table_names(root):
    touch(root / "train_images/10006/1.dcm")
    touch(root / "train_images/README.txt")  # no image
    touch(root / "test_images/1/2.dcm")  # of the challenge's hidden set: not looked at
    audit = audit_rsna_mammo(root)
    assert audit.by_kind("quirk")["image that the tables do not name"] == ["train_images/10006/1.dcm"]
    assert audit.sound


def test_a_converted_image_is_the_table_s_whatever_its_name(root):
    first, second = image(root, 0), image(root, 1)
    (root / first).rename(root / first.replace(".dcm", ".png"))
    (root / second).rename(root / f"train_images/{second.removeprefix('train_images/').replace('/', '_')[:-4]}.png")
    audit = audit_rsna_mammo(root, read=0)
    assert audit.sound
    assert "image that the tables do not name" not in audit.by_kind("quirk")


def test_c_views_are_named_by_the_table_though_they_are_no_samples():
    audit = AUDITS["embed"](pristine("embed"), read=0)
    assert any("cview" in message for message in audit.by_kind("note")["rows left out"])
    assert "image that the tables do not name" not in audit.by_kind("quirk")


def test_crops_and_masks_are_named_by_the_tables(tmp_path):
    root = copy_of("cbis_ddsm", tmp_path)
    folder, _, series, _ = read_csv(root / "mass_case_description_train_set.csv")[0]["cropped image file path"].split(
        "/"
    )
    touch(root / folder / "07-20-2016-DDSM/1.000000-ROI mask images/1-1.dcm")
    touch(root / "jpeg" / series / "2-217.jpg")  # as a well-known conversion has it
    touch(root / "Mass-Training_P_99999_LEFT_CC/x/y/1-1.dcm")
    quirks = AUDITS["cbis_ddsm"](root, read=0).by_kind("quirk")
    assert quirks["image that the tables do not name"] == ["Mass-Training_P_99999_LEFT_CC/x/y/1-1.dcm"]


@pytest.mark.parametrize("content", [b"", b"no image at all", None], ids=["empty", "other", "cut off"])
def test_an_unreadable_image(root, content):
    path = root / image(root, 0)
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    [message] = audit_rsna_mammo(root).by_kind("fault")["unreadable image"]
    assert message.startswith(f"{path}: ")


def test_an_image_of_the_release_known_to_be_bad_is_no_fault(root):
    old = root / image(root, 0)
    edit_csv(root / "train.csv", 0, image_id="1942326353")
    old.unlink()
    path = touch(root / image(root, 0))
    audit = audit_rsna_mammo(root)
    assert audit.by_kind("quirk")["image of the release known to be bad"] == [f"{path}: all of it is zero"]
    assert audit.sound


def test_a_file_that_tells_another_side_or_view_than_the_table(root):
    row = read_csv(root / "train.csv")[0]
    side, view = {"L": "R", "R": "L"}[row["laterality"]], {"CC": "MLO", "MLO": "CC"}[row["view"]]
    edit_csv(root / "train.csv", 0, laterality=side, view=view)
    quirks = audit_rsna_mammo(root).by_kind("quirk")
    [message] = quirks["side that table and file tell differently"]
    assert message == f"{image(root, 0)}: {side} in the table, {row['laterality']} in the file; the table counts"
    [message] = quirks["view that table and file tell differently"]
    assert message == f"{image(root, 0)}: {view} in the table, {row['view']} in the file; the table counts"


def test_a_picture_on_the_other_side_than_its_header_says(root):
    row = read_csv(root / "train.csv")[0]
    other = {"L": "R", "R": "L"}[row["laterality"]]
    edit_header(root / image(root, 0), ImageLaterality=other, PatientOrientation="")
    [message] = audit_rsna_mammo(root).by_kind("quirk")["picture on the other side"]
    assert message.startswith(image(root, 0))


def patient_images(root, row):
    """Numbers of two rows: of one patient, or of two."""
    rows = read_csv(root / "train.csv")
    patients = [cells["patient_id"] for cells in rows]
    return next(i for i in range(len(rows)) if i != row and (patients[i] == patients[row]))


def test_the_same_picture_twice(root):
    other = patient_images(root, 0)
    shutil.copyfile(root / image(root, 0), root / image(root, other))
    [message] = audit_rsna_mammo(root).by_kind("quirk")["the same picture twice"]
    assert image(root, 0) in message
    assert image(root, other) in message


def test_the_same_picture_of_several_patients(root):
    last = len(read_csv(root / "train.csv")) - 1
    shutil.copyfile(root / image(root, 0), root / image(root, last))
    assert len(audit_rsna_mammo(root).by_kind("quirk")["the same picture of several patients"]) == 1


def test_the_same_picture_in_several_splits_is_a_fault(tmp_path):
    root = copy_of("vindr_mammo", tmp_path)
    rows = read_csv(root / "breast-level_annotations.csv")
    first = {row["split"]: row for row in reversed(rows)}
    paths = [root / f"images/{row['study_id']}/{row['image_id']}.dicom" for row in first.values()]
    shutil.copyfile(*paths)
    [message] = AUDITS["vindr_mammo"](root).by_kind("fault")["the same picture in several splits"]
    assert all(path.name in message for path in paths)


def test_only_so_many_images_are_read_at_equal_distances(root):
    seen = []
    audit = audit_rsna_mammo(root, read=5, track=lambda images: seen.extend(images) or images)
    total = len(read_csv(root / "train.csv"))
    assert audit.by_kind("note")["images read"] == [f"5 of {total} images, evenly spaced; prepare reads all"]
    assert len(seen) == 5


@pytest.mark.parametrize(("count", "chosen"), [(0, ""), (1, "a"), (2, "ad"), (3, "ace"), (6, "abcdef"), (9, "abcdef")])
def test_equal_distances(count, chosen):
    assert spaced("abcdef", count) == list(chosen)


def test_a_negative_number_is_refused(root):
    with pytest.raises(DataSettingsError, match="-1 images to read"):
        audit_rsna_mammo(root, read=-1)


def test_without_pydicom_the_audit_says_what_to_install(root, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    audit = audit_rsna_mammo(root)
    assert audit.by_kind("fault") == {"images not read": ['DICOM needs pydicom: pip install "medlit[dicom]"']}
    assert "images read" not in audit.by_kind("note")
