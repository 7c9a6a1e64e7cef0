"""The audit of MMC-AMD: a sound copy passes with its quirks named, and every planted fault is found."""

import shutil

import cv2
import pytest

from data_modules.audit import Audit
from data_modules.errors import DatasetNotFoundError, DataSettingsError
from data_modules.retina.audit import OFFICIAL_COUNTS, OFFICIAL_EYES, audit_mmc_amd, compare_with_release
from data_modules.synthetic import mmc_amd
from tests.data_modules.retina.trees import list_path, read_list, write_list

SCANS = "ImageData/oct-median3x3-448x448"


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    root = tmp_path_factory.mktemp("audit") / "mmc_amd"
    mmc_amd.write(root, cases=50, seed=0, img_size=64)
    return root


@pytest.fixture
def root(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "mmc_amd")


def faults(root, **settings):
    return audit_mmc_amd(root, **settings).by_kind("fault")


def scan_of(root, split, place=0):
    return root / SCANS / f"{read_list(root, split, 'ImageSets', 'oct')[place]}.jpg"


def test_a_look_alike_is_sound_and_its_quirks_are_named(pristine):
    audit = audit_mmc_amd(pristine)
    assert audit.sound
    quirks = audit.by_kind("quirk")
    assert quirks.keys() == {
        "eyes with one modality (allow_missing: true keeps them)",
        "name that gives the class away",
    }
    assert any("'h' of the name" in message and "are normal" in message for message in quirks.popitem()[1])
    assert {"sizes", "release", "look-alike"} == set(audit.by_kind("note"))
    assert sum(audit.counts["normal"].values()) in (12, 13)
    assert {split: sum(row[split] for row in audit.counts.values()) for split in ("train", "val", "test")} == {
        "train": 27,
        "val": 8,
        "test": 15,
    }


def test_split_a_is_reported_as_a_leak(pristine):
    audit = audit_mmc_amd(pristine, split="A")
    assert set(audit.by_kind("fault")) == {"patient in several splits"}
    assert "mmc-amd-splitA-train" in audit.by_kind("fault")["patient in several splits"][0]


def test_an_unknown_split_and_a_missing_set(tmp_path):
    with pytest.raises(DataSettingsError, match="unknown split 'P'"):
        audit_mmc_amd(tmp_path, split="P")
    with pytest.raises(DatasetNotFoundError, match="medlit data synth mmc_amd"):
        audit_mmc_amd(tmp_path)


def test_all_faults_of_files_at_once(root):
    scan_of(root, "train").unlink()
    scan_of(root, "test").write_text("no picture")
    lines = read_list(root, "val", "annotations", "cfp")
    write_list(root, "val", "annotations", "cfp", [f"{lines[0].split()[0]} 7", *lines[1:]])
    list_path(root, "test", "annotations", "oct").unlink()
    images = read_list(root, "train", "ImageSets", "cfp")
    write_list(root, "train", "ImageSets", "cfp", [*images, images[0]])
    found = faults(root)
    assert set(found) == {"missing image", "unreadable image", "line that cannot be used", "missing list"}
    assert "mmc-amd-splitAP-train/ImageSets/oct.txt line 1" in found["missing image"][0]
    assert {message.split(": ")[1][:13] for message in found["line that cannot be used"]} == {
        "unknown label",
        repr(images[0])[:13],
    }


def test_labels_of_the_modalities_that_contradict(root):
    lines = read_list(root, "train", "annotations", "cfp")
    row = next(i for i, line in enumerate(lines) if line.startswith("f-h-"))
    lines[row] = lines[row].removesuffix("0") + "3"
    write_list(root, "train", "annotations", "cfp", lines)
    audit = audit_mmc_amd(root)
    (message,) = audit.by_kind("fault")["labels that contradict each other"]
    assert f"wet_amd in mmc-amd-splitAP-train/annotations/cfp.txt line {row + 1}, normal in" in message
    assert "annotations/oct.txt line" in message
    assert len(audit.by_kind("quirk")["label other than the name's"]) == 1


def test_an_eye_and_a_patient_in_two_splits(root):
    train = [line for line in read_list(root, "train", "ImageSets", "cfp") if line.endswith("-r")]
    stolen = train[-1]
    for kind, line in (("ImageSets", stolen), ("annotations", f"{stolen} {'hdpw'.index(stolen[2])}")):
        write_list(root, "test", kind, "cfp", [*read_list(root, "test", kind, "cfp"), line])
    found = faults(root)
    assert repr(stolen[2:]) in found["splits that share an eye"][0]
    patient = train[0][4:-2]
    new = f"f-w-{patient}"
    shutil.copy(root / f"ImageData/cfp-clahe-448x448/{train[0]}.jpg", root / f"ImageData/cfp-clahe-448x448/{new}.jpg")
    for kind, line in (("ImageSets", new), ("annotations", f"{new} 3")):
        write_list(root, "val", kind, "cfp", [*read_list(root, "val", kind, "cfp"), line])
    found = faults(root)
    assert repr(patient) in found["patient in several splits"][0]
    assert set(found) == {"splits that share an eye", "patient in several splits", "the same picture in several splits"}


def test_a_picture_saved_anew_in_another_split(root):
    picture = cv2.imread(str(scan_of(root, "train")))
    cv2.imwrite(str(scan_of(root, "test")), cv2.resize(picture, (72, 72)), [cv2.IMWRITE_JPEG_QUALITY, 90])
    (message,) = faults(root)["almost the same picture in several splits"]
    assert "(train)" in message
    assert "(test)" in message


def test_lists_of_eyes_and_patients_are_compared(root):
    write_list(root, "train", "EyeSets", "oct", read_list(root, "train", "EyeSets", "oct")[1:])
    for modality in ("cfp", "oct"):
        write_list(root, "val", "SubjectSets", modality, ["somebody"])
    quirks = audit_mmc_amd(root).by_kind("quirk")
    assert "EyeSets/oct.txt: 1 eyes" in quirks["list of eyes that differs from the images"][0]
    assert "patients told from names" in quirks["patient that no list names"][0]


def test_ids_of_the_release_that_may_be_one_patient(root):
    for split, patient in (("train", "ICG-4232"), ("test", "ICG-14232")):
        for modality, letter in (("cfp", "f"), ("oct", "o")):
            old = read_list(root, split, "ImageSets", modality)[0]
            new = f"{letter}-p-{patient}-r"
            folder = list_path(root, split, "ImageSets", modality).parents[2] / "ImageData"
            path = next(folder.glob(f"*/{old}.jpg"))
            path.rename(path.with_name(f"{new}.jpg"))
            write_list(root, split, "ImageSets", modality, [new, *read_list(root, split, "ImageSets", modality)[1:]])
            write_list(
                root, split, "annotations", modality, [f"{new} 2", *read_list(root, split, "annotations", modality)[1:]]
            )
    (message,) = audit_mmc_amd(root).by_kind("quirk")["patients who may be one"]
    assert message.startswith("ICG-14232 (test) and ICG-4232 (train)")


def test_an_empty_split_and_an_eye_without_label(root):
    for kind in ("ImageSets", "annotations"):
        for modality in ("cfp", "oct"):
            write_list(root, "val", kind, modality, [])
    for modality in ("cfp", "oct"):
        lines = read_list(root, "test", "annotations", modality)
        eye = lines[0].split()[0][2:].split("_")[0]
        write_list(root, "test", "annotations", modality, [line for line in lines if eye not in line])
    found = faults(root)
    assert found["empty split"] == ["mmc-amd-splitAP-val names no image"]
    assert len(found["no label"]) == 1


def test_the_official_counts_add_up():
    totals = [sum(counts[split] for counts in OFFICIAL_COUNTS.values()) for split in ("train", "val", "test")]
    assert totals == [610, 79, 79]
    assert sum(totals) == OFFICIAL_EYES


def test_counts_other_than_the_releases_are_listed():
    audit = Audit("a release", counts={name: dict(counts) for name, counts in OFFICIAL_COUNTS.items()})
    compare_with_release(audit)
    assert audit.by_kind("note") == {"release": ["classes and splits count as in the release"]}
    audit.counts["pcv"]["train"] -= 1
    audit.counts["pcv"]["val"] += 1
    compare_with_release(audit)
    assert len(audit.by_kind("quirk")["counts differ from the release"]) == 2
