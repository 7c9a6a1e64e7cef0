"""Samples of any rows of CBIS-DDSM against the rules written out slowly, in plain Python."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.mammography.cbis_ddsm.tables import read_samples
from tests.data_modules.mammography.cbis_ddsm.trees import FILES, row_of
from tests.data_modules.mammography.csv_tables import write_csv

WORST_FIRST = "540321"


@st.composite
def abnormalities(draw):
    """Some rows of each table, of few patients, so that they meet: on an image, in both kinds, in both splits."""
    tables = {}
    for key in FILES:
        patients = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
        tables[key] = [
            row_of(
                *key,
                f"P_{patient:05}",
                side=draw(st.sampled_from(["LEFT", "RIGHT"])),
                view=draw(st.sampled_from(["CC", "MLO"])),
                number=number,
                assessment=draw(st.sampled_from("012345")),
                pathology=draw(st.sampled_from(["MALIGNANT", "BENIGN", "BENIGN_WITHOUT_CALLBACK"])),
            )
            for number, patient in enumerate(patients, start=1)
        ]
    return tables


def slow(tables, *, policy, same_film):
    """{image: (cancer, birads, split)} by the rules, one image at a time."""
    rows = [(split, row) for (_, split), own in tables.items() for row in own]

    def film(row):
        same = (row["patient_id"], row["left or right breast"], row["image view"])
        return same if same_film == "join" else row["image file path"]

    samples = {}
    for split, row in rows:
        own = [other for _, other in rows if film(other) == film(row)]
        splits = {place for place, other in rows if other["patient_id"] == row["patient_id"]}
        if len(splits) > 1 and policy == "drop":
            continue
        cancer = int(any(other["pathology"] == "MALIGNANT" for other in own))
        birads = int(min((other["assessment"] for other in own), key=WORST_FIRST.index))
        samples[own[0]["image file path"]] = (cancer, birads, policy if len(splits) > 1 else split)
    return samples


@settings(deadline=None, derandomize=True)
@given(
    tables=abnormalities(),
    policy=st.sampled_from(["test", "train", "drop"]),
    same_film=st.sampled_from(["join", "keep"]),
)
def test_any_rows_become_what_the_rules_say(tables, policy, same_film):
    with tempfile.TemporaryDirectory() as folder:
        for key, file in FILES.items():
            write_csv(Path(folder, file), tables[key])
        samples = read_samples(Path(folder), leaking_patients=policy, same_film=same_film)
    found = {image: tuple(rest) for image, *rest in samples.frame.select("image", "cancer", "birads", "split").rows()}
    assert found == slow(tables, policy=policy, same_film=same_film)
    joined = samples.touched.get("abnormality joined to the first one of its image", 0)
    assert len(found) + joined + sum(samples.dropped.values()) == sum(map(len, tables.values()))
