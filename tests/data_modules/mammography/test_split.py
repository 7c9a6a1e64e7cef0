from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.errors import DataSettingsError
from data_modules.mammography.split import LABELS, balanced_subset, label_fraction, split_patients

URGENCY = [1, 2, 3, 6, 0, 4, 5]
"""BI-RADS categories, the least urgent first."""
CATEGORIES = {"birads": 7, "density": 5, "cancer": 2}
"""Numbers below which labels are drawn; density has no 0, which then is unknown."""


def table(patients, *, seed, label="birads", unknown=0.1):
    """One to eight images a patient, each with a label of its own or none."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(patients):
        for image in range(generator.integers(1, 9)):
            value = int(generator.integers(CATEGORIES[label])) if generator.random() > unknown else None
            rows.append((f"{patient}-{image}", f"p{patient}", value or None if label == "density" else value))
    return pl.DataFrame(rows, schema={"image_id": pl.String, "patient_id": pl.String, label: pl.Int8}, orient="row")


def worst(frame, label):
    """The patients' strata, patient by patient."""
    found = {}
    for patient, value in frame.select("patient_id", label).rows():
        rank = -1 if value is None else URGENCY.index(value) if label == "birads" else value
        found[patient] = max(found.get(patient, -1), rank)
    return found


def patients(frame):
    return set(frame["patient_id"])


@pytest.mark.parametrize("label", LABELS)
@given(st.integers(0, 60), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_patients_are_whole_and_each_label_is_shared_out(label, number, seed):
    frame = table(number, seed=number, label=label)
    split = split_patients(frame, label=label, seed=seed)
    assert split.drop("split").equals(frame)
    parts = {name: patients(split.filter(pl.col("split") == name)) for name in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == number
    strata = worst(frame, label)
    for stratum, total in Counter(strata.values()).items():
        for name, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
            assert abs(sum(strata[patient] == stratum for patient in parts[name]) - share * total) < 1 - 1e-9
    for name, share in zip(parts, (0.7, 0.1, 0.2), strict=True):
        assert abs(len(parts[name]) - share * number) < 1.5


def test_a_whole_number_of_patients_is_kept_to_whatever_other_labels_lack():
    """Of eight patients test gets one, 0.6 less than its share; of five it gets its one none the less."""
    labels = [5] * 8 + [4] * 5
    frame = pl.DataFrame({"patient_id": [f"p{i}" for i in range(13)], "birads": labels})
    split = split_patients(frame, label="birads", seed=0)
    assert Counter(split.filter(pl.col("birads") == 4)["split"]) == {"train": 3, "val": 1, "test": 1}


def test_a_split_is_a_function_of_ids_and_seed():
    frame = table(200, seed=0)
    split = split_patients(frame, label="birads", seed=5)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    assert split_patients(shuffled, label="birads", seed=5).sort("image_id").equals(split.sort("image_id"))
    assert not split_patients(frame, label="birads", seed=6).equals(split)
    assert split_patients(split, label="birads", seed=5).equals(split)  # an earlier split is replaced


def parts(split):
    return dict(split.select("patient_id", "split").iter_rows())


@pytest.mark.parametrize("change", ["labels", "patients"])
def test_a_correction_of_the_tables_moves_hardly_anybody(change):
    """A model that was trained before it has not seen the patients that are tested on after it."""
    generator = np.random.default_rng(0)
    labels = generator.choice(7, size=2000, p=[0.15, 0.35, 0.4, 0.05, 0.03, 0.01, 0.01])
    frame = pl.DataFrame({"patient_id": [f"p{i}" for i in range(2000)], "birads": labels})
    if change == "labels":
        labels[generator.choice(2000, size=20, replace=False)] = generator.choice(7, size=20)
        later = frame.with_columns(pl.Series("birads", labels))
    else:
        later = frame.filter(pl.Series(generator.random(2000) > 0.01))
    before, after = (parts(split_patients(rows, label="birads", seed=0)) for rows in (frame, later))
    assert sum(before[patient] != part for patient, part in after.items()) <= 20
    assert not [patient for patient, part in after.items() if {part, before[patient]} == {"train", "test"}]


def test_strata_of_other_samples_decide_and_no_patient_moves():
    frame = table(300, seed=0)
    known = frame.filter(pl.col("patient_id").str.ends_with("3").not_())
    split = split_patients(known, label="birads", seed=0)
    relabelled = frame.with_columns((6 - pl.col("birads")).alias("birads"))
    for rows in (relabelled, relabelled.head(500), frame.tail(200)):
        found = parts(split_patients(rows, label="birads", seed=0, strata=known))
        assert found.keys() == patients(rows)
        assert {patient: part for patient, part in found.items() if not patient.endswith("3")}.items() <= parts(
            split
        ).items()
    whole = parts(split_patients(frame, label="birads", seed=0, strata=known))
    some = parts(split_patients(frame.tail(200), label="birads", seed=0, strata=known))
    assert some.items() <= whole.items()


def test_patients_without_a_stratum_are_shared_out_by_chance():
    strata, others = table(5, seed=0), table(1000, seed=1).with_columns("new " + pl.col("patient_id"))
    found = Counter(parts(split_patients(others, label="birads", seed=0, strata=strata)).values())
    expected = {"train": 700, "val": 100, "test": 200}
    for name, number in expected.items():
        assert abs(found[name] - number) < 4 * (number * (1 - number / 1000)) ** 0.5  # four standard deviations


def test_shares_can_be_others():
    split = split_patients(table(100, seed=0), label="birads", shares=(0.5, 0.25, 0.25), seed=0)
    assert split.group_by("split").agg(pl.col("patient_id").n_unique()).sort("split").rows() == [
        ("test", 25),
        ("train", 50),
        ("val", 25),
    ]


@pytest.mark.parametrize("label", LABELS)
@given(st.integers(1, 60), st.lists(st.floats(0.001, 1), min_size=2, max_size=4), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_fractions_are_nested_whole_patients_of_every_class(label, number, fractions, seed):
    frame = table(number, seed=number, label=label)
    strata = worst(frame, label)
    before = None
    for fraction in sorted(fractions):
        part = label_fraction(frame, fraction=fraction, label=label, seed=seed)
        assert part.equals(frame.filter(pl.col("patient_id").is_in(list(patients(part)))))
        assert set(part[label].drop_nulls()) == set(frame[label].drop_nulls())
        for stratum, total in Counter(strata.values()).items():
            taken = sum(strata[patient] == stratum for patient in patients(part))
            assert round(fraction * total) <= taken <= max(round(fraction * total), frame[label].n_unique())
        assert before is None or before <= patients(part)
        before = patients(part)


def test_the_whole_fraction_is_the_table():
    frame = table(50, seed=1)
    assert label_fraction(frame, fraction=1, label="birads", seed=0).equals(frame)


@pytest.mark.parametrize("seed", range(5))
def test_a_class_that_only_one_patient_has_is_in_every_fraction(seed):
    rows = [(f"{patient}-a", f"p{patient}", 4) for patient in range(200)]
    frame = pl.DataFrame([*rows, ("77-b", "p77", 3)], schema=["image_id", "patient_id", "birads"], orient="row")
    part = label_fraction(frame, fraction=0.01, label="birads", seed=seed)
    assert "p77" in patients(part)
    assert len(patients(part)) == 2


def test_one_percent_of_many_patients_has_their_proportions():
    frame = table(3000, seed=0, unknown=0)
    part = label_fraction(frame, fraction=0.01, label="birads", seed=0)
    whole, taken = (Counter(worst(rows, "birads").values()) for rows in (frame, part))
    for stratum, total in whole.items():
        assert round(total / 100) <= taken[stratum] <= max(1, round(total / 100))
    assert set(part["birads"]) == set(range(7))


def test_a_fraction_is_a_function_of_ids_and_seed():
    frame = table(200, seed=0)
    part = label_fraction(frame, fraction=0.1, label="birads", seed=0)
    shuffled = label_fraction(frame.sample(fraction=1, shuffle=True, seed=1), fraction=0.1, label="birads", seed=0)
    assert patients(shuffled) == patients(part) != patients(label_fraction(frame, fraction=0.1, label="birads", seed=1))


@pytest.mark.parametrize("label", LABELS)
@given(st.integers(1, 60), st.floats(0.01, 1), st.integers(0, 3))
@settings(max_examples=10, deadline=None)
def test_a_balanced_subset_has_as_many_images_of_each_class(label, number, share, seed):
    frame = table(number, seed=number, label=label)
    subset = balanced_subset(frame, label=label, share=share, seed=seed)
    sizes = Counter(frame[label].drop_nulls())
    each = min([*sizes.values(), max(1, int(share * sizes.total() / max(len(sizes), 1)))])
    assert Counter(subset[label]) == dict.fromkeys(sizes, each)
    assert subset.equals(frame.filter(pl.col("image_id").is_in(subset["image_id"].to_list())))


def test_a_balanced_subset_takes_every_patient_before_any_twice():
    frame = pl.DataFrame(
        {
            "image_id": [f"{patient}-{image}" for patient in range(10) for image in range(4)],
            "patient_id": [f"p{patient}" for patient in range(10) for _ in range(4)],
            "cancer": [image % 2 for _ in range(10) for image in range(4)],
        }
    )
    for share, times in ((0.25, {1}), (0.75, {1, 2})):
        subset = balanced_subset(frame, label="cancer", share=share, seed=0)
        of_class = subset.filter(pl.col("cancer") == 1)["patient_id"]
        assert set(Counter(of_class).values()) == times
        assert len(patients(subset.filter(pl.col("cancer") == 1))) == min(10, len(of_class))


def test_a_balanced_subset_is_a_function_of_ids_and_seed():
    frame = table(100, seed=0)
    subset = balanced_subset(frame, label="birads", seed=0)
    shuffled = balanced_subset(frame.sample(fraction=1, shuffle=True, seed=1), label="birads", seed=0)
    assert set(shuffled["image_id"]) == set(subset["image_id"])
    assert set(balanced_subset(frame, label="birads", seed=1)["image_id"]) != set(subset["image_id"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda frame: split_patients(frame, label="view", seed=0), "no splits by 'view'"),
        (lambda frame: split_patients(frame, label="birads", seed=-1), "seed of a split is -1"),
        (lambda frame: split_patients(frame, label="birads", shares=(0.5, 0.5), seed=0), "their sum 1"),
        (lambda frame: split_patients(frame, label="birads", shares=(0.5, 0.5, 0.5), seed=0), "their sum 1"),
        (lambda frame: label_fraction(frame, fraction=0, label="birads", seed=0), "label_fraction is 0"),
        (lambda frame: balanced_subset(frame, label="birads", share=2, seed=0), "balanced subset is 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(call, message):
    with pytest.raises(DataSettingsError, match=message):
        call(table(3, seed=0))
