import pytest

from data_modules.retina.names import class_of_name, eye_of, file_name, patient_of


@pytest.mark.parametrize(
    ("image", "eye"),
    [
        ("o-w-ICG-4449-r_001", "w-ICG-4449-r"),
        ("o-w-ICG-4449-r_001.jpg", "w-ICG-4449-r"),
        ("f-w-1544817", "w-1544817"),
        ("f-h-00112_30.jpg", "h-00112"),
        ("f-p-ICG-4232_2014", "p-ICG-4232"),
        ("cfp-448x448/f-d-7-L.JPG", "d-7-L"),
        ("scan_3.png", "scan"),
    ],
)
def test_the_eye_is_between_modality_and_underscore(image, eye):
    assert eye_of(image) == eye


def test_the_formula_of_the_release():
    name = "o-w-ICG-4449-r_001.jpg"
    assert eye_of(name) == name[2:-4].split("_")[0]


@pytest.mark.parametrize(
    ("eye", "patient"),
    [
        ("w-ICG-4449-r", "ICG-4449"),
        ("p-ICG-4449-l", "ICG-4449"),
        ("w-1544817", "1544817"),
        ("w-12-L", "12"),
        ("h-12", "h-12"),
        ("scan", "scan"),
    ],
)
def test_fellow_eyes_are_one_patient_whatever_their_class(eye, patient):
    assert patient_of(eye) == patient


@pytest.mark.parametrize(
    ("eye", "listed", "patient"),
    [
        ("w-ICG-4449-r", {"w-ICG-4449"}, "w-ICG-4449"),
        ("w-ICG-4449-r", {"ICG-4449"}, "ICG-4449"),
        ("w-ICG-4449-r", {"ICG-4449-r"}, "ICG-4449-r"),
        ("h-12", {"12"}, "12"),
        ("w-ICG-4449-r", {"ICG-444"}, "ICG-4449"),
    ],
)
def test_the_releases_patient_ids_go_before_the_names(eye, listed, patient):
    assert patient_of(eye, listed) == patient


def test_the_class_of_a_name():
    assert [class_of_name(eye) for eye in ("h-1", "d-1", "p-ICG-1-l", "w-1", "scan")] == [
        *("normal", "dry_amd", "pcv", "wet_amd"),
        None,
    ]


@pytest.mark.parametrize(("image", "file"), [("f-w-1", "f-w-1.jpg"), ("f-w-1.5", "f-w-1.5.jpg"), ("a.PNG", "a.PNG")])
def test_ids_leave_the_suffix_out(image, file):
    assert file_name(image) == file
