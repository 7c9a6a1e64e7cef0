"""The header of a mammogram: typed facts, none of them about who the patient is, and which files are refused."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from data_modules.mammography.dicom import views
from data_modules.mammography.dicom.attributes import Attributes, Refused

if TYPE_CHECKING:
    from pydicom import Dataset

Laterality = Literal["L", "R", "B"]

MAX_PIXELS = 100_000_000
"""A film scanned at 42 um, the largest mammograms, has 40 million."""
PROJECTIONS = frozenset({"MG", "DX", "CR", "RG", "RF", "OT", "SC"})
"""Modalities under which a projection radiograph or a scanned film is stored; every other one is flagged."""
GRAYSCALE = ("MONOCHROME1", "MONOCHROME2")
MAGNIFIED = 1.3
"""Contact views state factors up to 1.1 (the breast lies some cm above the detector), magnification views 1.5 to 2."""
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
FOR_PROCESSING = frozenset({"1.2.840.10008.5.1.4.1.1.1.2.1", "1.2.840.10008.5.1.4.1.1.1.1.1"})
"""Storage classes of mammograms and digital X-rays that are raw, whatever else the file says (PS3.4, B.5)."""


@dataclass(frozen=True, slots=True)
class MammogramHeader:
    """Facts of one file; None where the file does not say. A picture already converted says only its size."""

    rows: int
    columns: int
    bits_stored: int
    photometric: str
    """``MONOCHROME1`` (low values are bright) or ``MONOCHROME2``."""
    transfer_syntax: str
    """Its UID; ``PNG`` or ``JPEG`` for a converted picture."""
    sop_class: str | None = None
    """UID."""
    modality: str | None = None
    laterality: Laterality | None = None
    """ImageLaterality, else Laterality, else that of the frame; B is both breasts."""
    view: str | None = None
    """CC, MLO, ML, LM, LMO, ...: from ViewCodeSequence, else ViewPosition."""
    patient_orientation: tuple[str, ...] = ()
    """Where the rows and the columns point to: A anterior, P posterior, H head, F foot, L, R."""
    presentation_intent: str | None = None
    spot: bool = False
    """Spot compression."""
    magnification: bool = False
    implant: bool = False
    manufacturer: str | None = None
    model: str | None = None
    flags: tuple[str, ...] = ()
    """What is odd about the file, in words, sorted."""


def read_header(dataset: "Dataset") -> MammogramHeader:
    """Facts of a DICOM file.

    Args:
        dataset: As pydicom read it.

    Raises:
        Refused: If it holds no image, or one that is no single grayscale frame of 8 or 16 bits; if it is marked FOR
            PROCESSING (raw detector values, in which tissue is dark), or is a slice of a tomosynthesis.
    """
    facts = Attributes(dataset)
    rows, columns, stored = refuse_what_is_no_image(facts)
    view, codes = _view(facts)
    spot, magnification = _compression(facts, codes)
    modality = facts.text("Modality")
    if modality is not None and modality not in PROJECTIONS:
        facts.flag(f"modality {modality}")
    if (facts.text("PartialView") or "").upper() == "YES":
        facts.flag("partial view")
    implant = (facts.text("BreastImplantPresent") or "").upper() == "YES"
    implant = implant or not codes.isdisjoint(views.IMPLANT_DISPLACED_CODES)
    for found, words in ((spot, "spot compression"), (magnification, "magnification"), (implant, "implant")):
        if found:
            facts.flag(words)
    meta = getattr(dataset, "file_meta", None)
    return MammogramHeader(
        rows=rows,
        columns=columns,
        bits_stored=stored,
        photometric=facts.text("PhotometricInterpretation") or "",
        transfer_syntax=str(getattr(meta, "TransferSyntaxUID", "")),
        sop_class=facts.text("SOPClassUID"),
        modality=modality,
        laterality=_laterality(facts),
        view=view,
        patient_orientation=tuple(word.upper() for word in facts.texts("PatientOrientation")),
        presentation_intent=facts.text("PresentationIntentType"),
        spot=spot,
        magnification=magnification,
        implant=implant,
        manufacturer=facts.text("Manufacturer"),
        model=facts.text("ManufacturerModelName"),
        flags=facts.flags,
    )


def refuse_what_is_no_image(facts: Attributes) -> tuple[int, int, int]:
    """Rows, columns and bits stored of a single grayscale frame.

    Raises:
        Refused: If it is anything else.
    """
    if not any(name in facts.dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        modality = facts.text("Modality")
        kind = f" (modality {modality})" if modality else ""
        raise Refused(f"holds no pixels{kind}: no image, or cut off before them")
    frames = facts.number("NumberOfFrames", default=1)
    if frames != 1:
        raise Refused(f"{frames:g} frames: only single images are read (no tomosynthesis, no series)")
    synthetic = any(word.upper() == "GENERATED_2D" for word in facts.texts("ImageType"))
    if facts.text("SOPClassUID") == TOMOSYNTHESIS and not synthetic:
        raise Refused("a slice of a tomosynthesis: only 2D images are read")
    if synthetic:
        facts.flag("synthetic 2D")
    raw = facts.text("SOPClassUID") in FOR_PROCESSING
    if raw or (facts.text("PresentationIntentType") or "").upper() == "FOR PROCESSING":
        raise Refused("marked FOR PROCESSING: raw detector values; take the FOR PRESENTATION image of the same view")
    photometric = facts.text("PhotometricInterpretation")
    if photometric not in GRAYSCALE or facts.number("SamplesPerPixel", default=1) != 1:
        raise Refused(f"photometric interpretation {photometric}: only grayscale is read")
    return _size(facts)


def _size(facts: Attributes) -> tuple[int, int, int]:
    rows, columns = (facts.whole(name, low=1, high=65535) for name in ("Rows", "Columns"))
    if rows * columns > MAX_PIXELS:
        raise Refused(f"{columns} x {rows} is more than {MAX_PIXELS:,} pixels")
    allocated = facts.whole("BitsAllocated", low=1, high=64)
    if allocated not in (8, 16) or "PixelData" not in facts.dataset:
        raise Refused(f"{allocated} bits a pixel: only 8 and 16 are read")
    stored = facts.whole("BitsStored", low=1, high=allocated, default=allocated)
    facts.whole("PixelRepresentation", low=0, high=1, default=0)
    return rows, columns, stored


def _laterality(facts: Attributes) -> Laterality | None:
    for name in ("ImageLaterality", "Laterality", "FrameLaterality"):
        match (facts.text(name) or "").upper():
            case "L" | "LEFT":
                return "L"
            case "R" | "RIGHT":
                return "R"
            case "B":
                return "B"
            case "" | "U":
                continue
            case other:
                facts.flag(f"{name} {other!r}")
    return None


def _view(facts: Attributes) -> tuple[str | None, frozenset[str]]:
    """The view, and the codes of its modifiers."""
    items = facts.items("ViewCodeSequence")
    modifiers = [*facts.items("ViewModifierCodeSequence")]
    for item in items:
        modifiers += item.items("ViewModifierCodeSequence")
    codes = frozenset(code for item in modifiers if (code := item.text("CodeValue")))
    values = [item.text("CodeValue") or "" for item in items]
    coded = next((views.VIEW_CODES[value] for value in values if value in views.VIEW_CODES), None)
    position = (facts.text("ViewPosition") or "").upper() or None
    if position is not None:
        position = views.VIEW_WORDS.get(position, position)
    if coded and position and coded != position:
        facts.flag(f"ViewPosition {position} but view code {coded}")
    return coded or position, codes


def _compression(facts: Attributes, codes: frozenset[str]) -> tuple[bool, bool]:
    """Spot compression, magnification."""
    paddle = (facts.text("PaddleDescription") or "").upper()
    factor = max(facts.numbers("EstimatedRadiographicMagnificationFactor"), default=1)
    spot = not codes.isdisjoint(views.SPOT_CODES) or "SPOT" in paddle
    magnification = not codes.isdisjoint(views.MAGNIFICATION_CODES) or "MAG" in paddle or factor > MAGNIFIED
    return spot, magnification
