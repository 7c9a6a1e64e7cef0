"""Drawn mammograms as DICOM files: every variety is read as the same picture, and says what the machine would."""

import importlib.util
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from data_modules.errors import DataSettingsError
from data_modules.mammography.dicom import read_mammogram
from data_modules.synthetic import embed
from data_modules.synthetic.mammo_dicom import (
    DIGITIZED_FILM,
    ENCODINGS,
    UNWINDOWED,
    Encoding,
    Header,
    oriented,
    uid,
    write_mammogram,
)
from data_modules.synthetic.mammo_lesions import lesions_of
from data_modules.synthetic.mammo_pictures import draw_breast, draw_view
from data_modules.synthetic.rsna_mammo import ENCODINGS as RSNA
from tests.data_modules.synthetic.mammo_helpers import TISSUE

HEADER = Header("1", "2.25.1", "2.25.2", "2.25.3", "L", "MLO", age=61, date="2015-02-28", description="MG Screening")
SAMPLES = (*ENCODINGS, *(encoding for encoding in RSNA if encoding.transfer == "jpeg"))
EVERY = (*SAMPLES, *UNWINDOWED)
SYNTAXES = {
    "explicit": "1.2.840.10008.1.2.1",
    "implicit": "1.2.840.10008.1.2",
    "jpeg2000": "1.2.840.10008.1.2.4.90",
    "jpeg": "1.2.840.10008.1.2.4.70",
    "rle": "1.2.840.10008.1.2.5",
}


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(5)
    return draw_view(draw_breast(2, rng, lesions=lesions_of(5, rng)), "MLO", height=160).picture


def name(encoding):
    return f"{encoding.transfer}-{encoding.monochrome}-{encoding.bits}-{encoding.voi}{'-padded' * encoding.padding}"


def test_the_varieties_hold_all_that_a_reader_has_to_know():
    assert {encoding.transfer for encoding in SAMPLES} == set(SYNTAXES)
    assert {encoding.monochrome for encoding in ENCODINGS} == {1, 2}
    assert {encoding.bits for encoding in ENCODINGS} == {12, 14}
    assert {encoding.voi for encoding in EVERY} == {"window", "exact", "sigmoid", "lut", "none"}
    assert max(encoding.windows for encoding in ENCODINGS) == 4
    assert any(encoding.bare for encoding in ENCODINGS)
    assert any(encoding.padding and encoding.monochrome == 1 for encoding in ENCODINGS)
    assert any(encoding.padding and encoding.monochrome == 2 for encoding in ENCODINGS)


@pytest.mark.parametrize("encoding", EVERY, ids=name)
def test_pydicom_reads_every_variety(tmp_path, picture, encoding):
    path = tmp_path / "a/b.dcm"
    write_mammogram(path, picture, HEADER, encoding)
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == SYNTAXES[encoding.transfer]
    assert dataset.PhotometricInterpretation == f"MONOCHROME{encoding.monochrome}"
    assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, encoding.bits, encoding.bits - 1)
    assert ("Modality" in dataset) == ("BodyPartExamined" in dataset) == (not encoding.bare)
    stored = dataset.pixel_array
    assert stored.max() < 2**encoding.bits
    values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(float)
    gray = (values - values.min()) / (values.max() - values.min())
    gray = 1 - gray if encoding.monochrome == 1 else gray
    kept = stored != dataset.PixelPaddingValue if encoding.padding else np.ones(stored.shape, dtype=bool)
    order = np.argsort(picture[kept], kind="stable")
    assert np.corrcoef(gray[kept], picture[kept])[0, 1] > 0.98
    assert np.diff(gray[kept][order]).min() > -0.002  # brighter stays brighter, but for the rounding


@pytest.mark.parametrize("encoding", SAMPLES, ids=name)
def test_medlit_reads_every_variety_as_the_same_breast(tmp_path, picture, encoding):
    write_mammogram(tmp_path / "plain.dcm", picture, HEADER, Encoding("explicit", 2, 12))
    write_mammogram(tmp_path / "other.dcm", picture, HEADER, encoding)
    plain, other = (read_mammogram(tmp_path / file, long_side=64) for file in ("plain.dcm", "other.dcm"))
    assert other.crop_method == "otsu"
    assert other.laterality_check == "agrees"
    rows, columns = (min(pair) for pair in zip(plain.pixels.shape, other.pixels.shape, strict=True))
    assert abs(plain.pixels.shape[1] - other.pixels.shape[1]) <= 2
    difference = np.abs(plain.pixels[:rows, :columns].astype(float) - other.pixels[:rows, :columns])
    assert difference.mean() / 65535 < (0.08 if encoding.voi == "sigmoid" else 0.02)


@pytest.mark.parametrize("encoding", EVERY, ids=name)
def test_the_same_arguments_give_the_same_bytes(tmp_path, picture, encoding):
    for file in ("first", "second"):
        write_mammogram(tmp_path / file, picture, HEADER, encoding)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    text = (tmp_path / "first").read_bytes().decode("latin-1")
    assert pydicom.__version__ not in text[:2000]


@pytest.mark.parametrize("encoding", [encoding for encoding in ENCODINGS if encoding.padding], ids=name)
def test_padding_is_white_lies_at_the_border_without_a_breast_and_nowhere_else(tmp_path, picture, encoding):
    for laterality, strip in (("L", np.s_[:, -6:]), ("R", np.s_[:, :6])):
        write_mammogram(tmp_path / "a.dcm", picture, replace(HEADER, laterality=laterality), encoding)
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        padded = dataset.pixel_array == dataset.PixelPaddingValue
        assert padded[strip].all()
        assert padded.sum() == padded[strip].sum()
        assert dataset.PixelPaddingValue == (2**encoding.bits - 1 if encoding.monochrome == 2 else 0)


def test_right_breasts_hang_from_the_right_border(tmp_path, picture):
    for laterality, orientation in (("L", ["A", "FR"]), ("R", ["P", "FL"])):
        write_mammogram(tmp_path / "a.dcm", picture, replace(HEADER, laterality=laterality), ENCODINGS[0])
        dataset = pydicom.dcmread(tmp_path / "a.dcm")
        assert dataset.ImageLaterality == laterality
        assert list(dataset.PatientOrientation) == orientation
        at_the_left = dataset.pixel_array[:, :8].mean() > dataset.pixel_array[:, -8:].mean()
        assert at_the_left == (laterality == "L")


@pytest.mark.parametrize("laterality", ["L", "R"])
def test_a_label_is_burned_into_the_air_and_can_be_read(picture, laterality):
    header = replace(HEADER, laterality=laterality, label=True)
    plain, labelled = oriented(picture, replace(header, label=False)), oriented(picture, header)
    written = labelled != plain
    assert 20 < written.sum() < 0.02 * written.size
    assert labelled[written].max() == 1
    assert plain[written].max() < TISSUE
    rows, columns = np.nonzero(written)
    assert rows.max() < 0.1 * len(plain)
    at_the_left = columns.max() < plain.shape[1] / 2
    assert at_the_left == (laterality == "R")


def test_headers_say_what_a_machine_would(tmp_path, picture):
    write_mammogram(tmp_path / "a.dcm", picture, replace(HEADER, spot=True, label=True), ENCODINGS[0])
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert dataset.SOPClassUID.name == "Digital Mammography X-Ray Image Storage - For Presentation"
    assert dataset.PresentationIntentType == "FOR PRESENTATION"
    assert dataset.PresentationLUTShape == "IDENTITY"
    assert (dataset.PatientAge, dataset.StudyDate, dataset.BurnedInAnnotation) == ("061Y", "20150228", "YES")
    assert dataset.ViewCodeSequence[0].CodeMeaning == "medio-lateral oblique"
    header = read_mammogram(tmp_path / "a.dcm").header
    assert (header.laterality, header.view, header.modality) == ("L", "MLO", "MG")
    assert header.magnification
    write_mammogram(tmp_path / "a.dcm", picture, HEADER, ENCODINGS[0])
    assert read_mammogram(tmp_path / "a.dcm").header.flags == ()


def test_films_are_secondary_captures(tmp_path, picture):
    write_mammogram(tmp_path / "a.dcm", picture, replace(HEADER, storage=DIGITIZED_FILM), Encoding("explicit", 2, 16))
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    assert "PresentationIntentType" not in dataset
    assert dataset.pixel_array.max() > 2**14


def test_identifiers_are_valid_and_functions_of_their_parts():
    assert uid(1, "study", 2) == uid(1, "study", 2)
    assert uid(1, "study", 2) != uid(12, "study", "")
    assert all(pydicom.uid.UID(uid(number)).is_valid for number in range(50))


@pytest.mark.parametrize("missing", ["pydicom", "openjpeg", "gdcm"])
def test_without_the_extra_it_says_what_to_install(tmp_path, monkeypatch, missing):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    with pytest.raises(DataSettingsError, match=rf'{missing} is missing: pip install "medlit\[dicom\]"'):
        embed.write(tmp_path / "set", cases=10, seed=0)
    assert not (tmp_path / "set").exists()
