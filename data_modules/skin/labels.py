"""What Derm7pt's table may say, and the classes made of it."""

from collections.abc import Mapping
from typing import Literal, get_args

from data_modules.errors import DataSettingsError, nearest

Target = Literal[
    "diagnosis",
    "diagnosis_20",
    "pigment_network",
    "streaks",
    "pigmentation",
    "regression_structures",
    "dots_and_globules",
    "blue_whitish_veil",
    "vascular_structures",
]

DIAGNOSES = (
    "clark nevus",
    "melanoma (less than 0.76 mm)",
    "reed or spitz nevus",
    "melanoma (in situ)",
    "melanoma (0.76 to 1.5 mm)",
    "seborrheic keratosis",
    "basal cell carcinoma",
    "dermal nevus",
    "vascular lesion",
    "blue nevus",
    "melanoma (more than 1.5 mm)",
    "lentigo",
    "dermatofibroma",
    "congenital nevus",
    "melanosis",
    "combined nevus",
    "miscellaneous",
    "recurrent nevus",
    "melanoma metastasis",
    "melanoma",
)
"""All 20, by frequency in the release; their order is that of the target ``diagnosis_20``."""

FIVE_CLASSES = ("BCC", "NEV", "MEL", "SK", "MISC")
"""In the order of the ids of Early Intervention (arXiv 2603.17514)."""

CRITERIA: Mapping[str, Mapping[str, str]] = {
    "pigment_network": {"absent": "absent", "typical": "typical", "atypical": "atypical"},
    "streaks": {"absent": "absent", "regular": "regular", "irregular": "irregular"},
    "pigmentation": {
        "absent": "absent",
        "diffuse regular": "regular",
        "localized regular": "regular",
        "diffuse irregular": "irregular",
        "localized irregular": "irregular",
    },
    "regression_structures": {
        "absent": "absent",
        "blue areas": "present",
        "white areas": "present",
        "combinations": "present",
    },
    "dots_and_globules": {"absent": "absent", "regular": "regular", "irregular": "irregular"},
    "blue_whitish_veil": {"absent": "absent", "present": "present"},
    "vascular_structures": {
        "absent": "absent",
        "arborizing": "regular",
        "comma": "regular",
        "hairpin": "regular",
        "within regression": "regular",
        "wreath": "regular",
        "dotted": "irregular",
        "linear irregular": "irregular",
    },
}
"""Criterion -> value in the table -> class (Kawahara et al., "Seven-Point Checklist and Skin Lesion Classification
Using Multitask Multimodal Neural Nets", 2019)."""

VARIABLE_VALUES: Mapping[str, tuple[str, ...]] = {
    "sex": ("female", "male"),
    "location": (
        "abdomen",
        "acral",
        "back",
        "buttocks",
        "chest",
        "genital areas",
        "head neck",
        "lower limbs",
        "upper limbs",
    ),
    "elevation": ("flat", "nodular", "palpable"),
}
"""What is known of a patient and a lesion before anyone has judged it, and the values in the columns of release_v0.
Left out on purpose: management, level of difficulty, the criteria and their score know of the diagnosis."""


def five_class(diagnosis: str) -> str:
    """The paper's class of one of the 20 diagnoses."""
    if diagnosis == "basal cell carcinoma":
        return "BCC"
    if diagnosis.endswith("nevus"):
        return "NEV"
    if diagnosis.startswith("melanoma"):  # not melanosis
        return "MEL"
    return "SK" if diagnosis == "seborrheic keratosis" else "MISC"


def check_target(target: str) -> None:
    """Refuse a target that there is not.

    Raises:
        DataSettingsError: Naming the nearest one.
    """
    if target not in get_args(Target):
        raise DataSettingsError(f"Derm7pt: unknown target {target!r}; {nearest(target, get_args(Target))}")


def column_of(target: Target) -> str:
    """The column of the table that a target is made of."""
    return "diagnosis" if target == "diagnosis_20" else target


def known_values(column: str) -> tuple[str, ...]:
    """The values that a column may hold."""
    return DIAGNOSES if column == "diagnosis" else tuple(CRITERIA[column])


def class_of(value: str, target: Target) -> str:
    """The class of a column's value for a target."""
    if target == "diagnosis":
        return five_class(value)
    return value if target == "diagnosis_20" else CRITERIA[target][value]


def class_names(target: Target) -> tuple[str, ...]:
    """Classes of a target in the order of their ids."""
    if target == "diagnosis":
        return FIVE_CLASSES
    return DIAGNOSES if target == "diagnosis_20" else tuple(dict.fromkeys(CRITERIA[target].values()))
