"""The facts of a header, and which files are refused."""

import dataclasses

import numpy as np
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from data_modules.mammography.dicom.attributes import Refused
from data_modules.mammography.dicom.header import read_header
from tests.data_modules.mammography.dicom.files import code, dataset, item, items

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def header(**elements):
    return read_header(dataset(PIXELS, **elements))


def test_facts_of_a_plain_file():
    facts = header(ImageLaterality="L", ViewPosition="MLO", PatientOrientation=["A", "FR"], Manufacturer="Maker ")
    assert (facts.rows, facts.columns, facts.bits_stored) == (3, 4, 12)
    assert (facts.photometric, facts.transfer_syntax) == ("MONOCHROME2", ExplicitVRLittleEndian)
    assert (facts.modality, facts.laterality, facts.view) == ("MG", "L", "MLO")
    assert (facts.patient_orientation, facts.manufacturer) == (("A", "FR"), "Maker")
    assert (facts.spot, facts.magnification, facts.implant, facts.flags) == (False, False, False, ())


def test_a_file_may_say_next_to_nothing():
    facts = header(Modality=None, SOPClassUID=None)
    assert (facts.modality, facts.sop_class, facts.laterality, facts.view, facts.flags) == (None, None, None, None, ())


def test_nothing_about_the_patient_is_kept():
    facts = header(PatientName="Doe^Jane", PatientID="4711", PatientBirthDate="19500101", AccessionNumber="A1")
    assert not {"Doe^Jane", "4711", "19500101", "A1"} & set(map(str, dataclasses.asdict(facts).values()))


@pytest.mark.parametrize(
    ("image", "series", "laterality"),
    [("R", "L", "R"), ("", "L", "L"), (None, "R", "R"), ("U", "R", "R"), (None, "", None), ("B", None, "B")],
)
def test_image_laterality_goes_before_laterality(image, series, laterality):
    assert header(ImageLaterality=image, Laterality=series).laterality == laterality


def test_an_unknown_laterality_is_flagged():
    facts = header(ImageLaterality="X")
    assert (facts.laterality, facts.flags) == (None, ("ImageLaterality 'X'",))


def test_laterality_and_view_in_the_groups_of_an_enhanced_image():
    anatomy = item(FrameAnatomySequence=items(item(FrameLaterality="R")))
    assert header(SharedFunctionalGroupsSequence=items(anatomy)).laterality == "R"


@pytest.mark.parametrize(
    ("coded", "position", "view"),
    [
        ("399368009", None, "MLO"),
        ("R-10242", None, "CC"),
        (None, "CRANIOCAUDAL", "CC"),
        (None, "LATEROMEDIAL", "LM"),
        ("unheard of", "XCCL", "XCCL"),
    ],
)
def test_view_from_its_code_or_its_position(coded, position, view):
    facts = header(ViewCodeSequence=items(code(coded)) if coded else None, ViewPosition=position)
    assert (facts.view, facts.flags) == (view, ())


def test_a_code_goes_before_another_position_and_the_conflict_is_flagged():
    facts = header(ViewCodeSequence=items(code("399162004")), ViewPosition="MLO")
    assert (facts.view, facts.flags) == ("CC", ("ViewPosition MLO but view code CC",))


@pytest.mark.parametrize(
    ("elements", "spot", "magnification", "implant"),
    [
        ({"PaddleDescription": "SPOT COMPRESSION 10CM"}, True, False, False),
        ({"PaddleDescription": "10CM MAG"}, False, True, False),
        ({"PaddleDescription": "18x24 flex"}, False, False, False),
        ({"EstimatedRadiographicMagnificationFactor": "1.8"}, False, True, False),
        ({"EstimatedRadiographicMagnificationFactor": "1.06"}, False, False, False),
        ({"BreastImplantPresent": "YES"}, False, False, True),
        ({"BreastImplantPresent": "NO"}, False, False, False),
    ],
)
def test_spot_magnification_and_implant(elements, spot, magnification, implant):
    facts = header(**elements)
    assert (facts.spot, facts.magnification, facts.implant) == (spot, magnification, implant)
    said = {"spot compression": spot, "magnification": magnification, "implant": implant}
    assert facts.flags == tuple(sorted(words for words, found in said.items() if found))


@pytest.mark.parametrize(
    ("modifier", "name"), [("399055006", "spot"), ("R-102D6", "magnification"), ("399209000", "implant")]
)
def test_modifiers_of_the_view(modifier, name):
    view = code("399162004")
    view.ViewModifierCodeSequence = items(code(modifier))
    facts = header(ViewCodeSequence=items(view))
    assert {each: getattr(facts, each) for each in ("spot", "magnification", "implant")} == {
        each: each == name for each in ("spot", "magnification", "implant")
    }


@pytest.mark.parametrize("modality", ["CT", "MR", "US"])
def test_another_modality_is_flagged(modality):
    assert header(Modality=modality).flags == (f"modality {modality}",)


@pytest.mark.parametrize("modality", ["MG", "RG", "CR", "DX", "OT"])
def test_a_modality_of_films_and_projections_is_not(modality):
    assert header(Modality=modality).flags == ()


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "RGB: only grayscale"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR: only grayscale"),
        ({"PhotometricInterpretation": None}, "None: only grayscale"),
        ({"NumberOfFrames": 30}, "30 frames: only single images"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "tomosynthesis"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.2.1"}, "FOR PROCESSING"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1.1"}, "FOR PROCESSING"),
        ({"Rows": None}, "Rows is missing"),
        ({"Rows": 0}, "Rows 0 is not within"),
        ({"Rows": 60000, "Columns": 60000}, "more than 100,000,000 pixels"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits a pixel"),
        ({"BitsStored": 17}, "BitsStored 17 is not within 1 to 16"),
    ],
)
def test_refused(elements, words):
    with pytest.raises(Refused, match=words):
        header(**elements)


def test_no_pixels_is_no_image():
    made = dataset(PIXELS, Modality="SR")
    del made.PixelData
    with pytest.raises(Refused, match=r"holds no pixels \(modality SR\)"):
        read_header(made)


def test_a_synthetic_2d_image_of_a_tomosynthesis_is_read_and_flagged():
    kind = ["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]
    assert header(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3", ImageType=kind).flags == ("synthetic 2D",)
