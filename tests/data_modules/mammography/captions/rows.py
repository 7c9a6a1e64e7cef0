"""Rows of the sample table for captions, and the categories as the specification has them."""

import re

from hypothesis import strategies as st

CATEGORIES = {
    0: "incomplete",
    1: "negative",
    2: "benign",
    3: "probably benign",
    4: "suspicious",
    5: "highly suggestive of malignancy",
    6: "malignancy proven by biopsy",
}
COMPOSITIONS = {
    1: ("A", "almost entirely fatty"),
    2: ("B", "scattered fibroglandular"),
    3: ("C", "heterogeneously dense"),
    4: ("D", "extremely dense"),
}
FULL = {
    "procedure": "MG Diagnostic Left w/ CAD",
    "reason": "diagnostic",
    "race": "Asian",
    "ethnicity": "Hispanic or Latino",
    "age": 61.0,
    "image_type": "2D",
    "laterality": "L",
    "view": "MLO",
    "density": 3,
    "mass_shape": "oval",
    "mass_density": "high density",
    "calc_finding": "amorphous",
    "calc_distribution": "grouped",
    "birads": 4,
}
"""Nothing is unknown."""

cells = st.none() | st.text(st.characters(blacklist_characters="{}", blacklist_categories=["Cs"]), max_size=30)
rows = st.fixed_dictionaries(
    {
        **dict.fromkeys(("procedure", "reason", "race", "ethnicity", "image_type", "view"), cells),
        **dict.fromkeys(("mass_shape", "mass_density", "calc_finding", "calc_distribution"), cells),
        "age": st.none() | st.floats(0, 120) | st.just(float("nan")),
        "laterality": st.sampled_from(["L", "R", None]),
        "density": st.sampled_from([1, 2, 3, 4]),
        "birads": st.sampled_from(list(CATEGORIES)),
    }
)
"""Any row that has a caption; free text holds anything but braces, so that a brace in a caption is a placeholder."""

IMPRESSION = {
    "structured": re.compile(r"Impression: BI-RADS category (\d), (.*)\."),
    "natural": re.compile(r"The breast is in BI-RADS category (\d), (.*)\."),
    "simple": re.compile(r"BI-RADS (\d), (.*)\."),
}
COMPOSITION = {
    "structured": re.compile(r"Breast composition: density ([A-D]), (.*)\."),
    "natural": re.compile(r"The breast tissue is (?P<words>.*), density (?P<letter>[A-D])\."),
    "simple": re.compile(r"density ([A-D]), (.*)\."),
}


def only(pattern, sentences):
    """Groups of the one sentence that is of this form."""
    (found,) = [match for match in map(pattern.fullmatch, sentences) if match]
    return found


def said_category(style, sentences):
    found = only(IMPRESSION[style], sentences)
    return int(found[1]), found[2]


def said_composition(style, sentences):
    found = only(COMPOSITION[style], sentences)
    return (found["letter"], found["words"]) if style == "natural" else (found[1], found[2])
