"""What a DICOM file says about the meaning of its stored values."""

from typing import Any, Literal

import numpy as np

from data_modules.mammography.dicom.attributes import Attributes, Refused
from data_modules.mammography.dicom.grayscale import Function, Table, Tone, Window

FUNCTIONS: tuple[Function, ...] = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
MAX_ENTRIES = 2**16


def read_tone(facts: Attributes) -> Tone:
    """Read padding, modality step, values of interest and inversion; what is malformed is flagged and left out.

    Of several windows or tables the first that can work is taken; a table goes before any window. MONOCHROME1 is
    inverted once: a Presentation LUT Shape of INVERSE says the same again, and one that contradicts is flagged.

    Args:
        facts: Of a file that holds one grayscale frame.
    """
    signed = facts.whole("PixelRepresentation", low=0, high=1, default=0) == 1
    invert = facts.text("PhotometricInterpretation") == "MONOCHROME1"
    shape = facts.text("PresentationLUTShape")
    if shape is not None and shape != ("INVERSE" if invert else "IDENTITY"):
        facts.flag(f"presentation LUT shape {shape} with {facts.text('PhotometricInterpretation')}")
    slopes, intercepts = facts.numbers("RescaleSlope"), facts.numbers("RescaleIntercept")
    slope = slopes[0] if slopes else 1.0
    if slope == 0:
        facts.flag("rescale slope 0")
        slope = 1.0
    function = _function(facts)
    return Tone(
        signed=signed,
        invert=invert,
        padding=_padding(facts, signed=signed),
        slope=slope,
        intercept=intercepts[0] if intercepts else 0.0,
        modality=_table(facts, "ModalityLUTSequence"),
        voi=_table(facts, "VOILUTSequence") or _window(facts, function),
        function=function,
    )


def _padding(facts: Attributes, *, signed: bool) -> tuple[int, int] | None:
    ends = [_stored(facts.value(name), signed=signed) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    first, limit = ends
    if first is None:
        return None
    limit = first if limit is None else limit
    return min(first, limit), max(first, limit)


def _stored(value: Any, *, signed: bool) -> int | None:
    """A stored value whose representation (US or SS) was ambiguous to its writer or reader."""
    if isinstance(value, bytes) and len(value) == 2:
        value = int.from_bytes(value, "little")
    if not isinstance(value, int):
        return None
    pattern = value & 0xFFFF
    return pattern - 2**16 if signed and pattern >= 2**15 else pattern


def _function(facts: Attributes) -> Function:
    name = (facts.text("VOILUTFunction") or "LINEAR").upper()
    if name in FUNCTIONS:
        return name
    facts.flag(f"unknown VOI LUT function {name!r}")
    return "LINEAR"


def _window(facts: Attributes, function: Function) -> Window | None:
    least = 1.0 if function == "LINEAR" else np.finfo(np.float64).tiny
    centers, widths = facts.numbers("WindowCenter"), facts.numbers("WindowWidth")
    for center, width in zip(centers, widths, strict=False):
        if width >= least:
            return Window(center, width)
        facts.flag(f"window width {width:g}")
    return None


def _table(facts: Attributes, sequence: Literal["ModalityLUTSequence", "VOILUTSequence"]) -> Table | None:
    for item in facts.items(sequence):
        try:
            return _read_table(item)
        except (Refused, ValueError) as error:
            facts.flag(f"malformed {sequence} ({error})")
    return None


def _read_table(item: Attributes) -> Table:
    """The table of one item.

    Raises:
        ValueError: If its descriptor and its data do not agree.
    """
    descriptor = [int(number) for number in item.numbers("LUTDescriptor")]
    if len(descriptor) != 3:
        raise ValueError("no descriptor")
    count, first, bits = (descriptor[0] & 0xFFFF) or MAX_ENTRIES, descriptor[1], descriptor[2]
    if not 1 <= bits <= 16:
        raise ValueError(f"{bits} bits an entry")
    data = item.value("LUTData")
    if isinstance(data, bytes):  # OW: in the byte order of the file
        words = ">u2" if item.dataset.original_encoding[1] is False else "<u2"
        entries = np.frombuffer(data, dtype=np.uint8 if len(data) in (count, count + 1) and bits <= 8 else words)
    else:
        entries = np.asarray([int(number) & 0xFFFF for number in item.numbers("LUTData")], dtype=np.uint16)
    if len(entries) < count:
        raise ValueError(f"{len(entries)} entries, not {count}")
    return Table(first, entries[:count].astype(np.uint16), bits)
