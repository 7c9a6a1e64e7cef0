"""From a sample table to cases: splits that neither target nor level move, breasts of two views, worst labels."""

import polars as pl
import pytest

from data_modules.errors import DataSettingsError, SplitLeakageError
from data_modules.mammography.prepare.manifest import COLUMNS
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import Prepared
from data_modules.mammography.samples import SCHEMA
from data_modules.mammography.selection import TARGETS, divide, keep_prepared, known, make_cases


def table(*rows):
    """A sample table; each row gives the cells that matter, with an image, a patient and a breast of its own."""
    made = [
        {
            **{"image": f"{i}.dcm", "image_id": f"i{i}", "patient_id": f"p{i}", "exam_id": f"e{i}", "laterality": "L"},
            **{"breast_id": f"e{i}_L", "view": "CC", "output": f"images/{i}.png"},
            **row,
        }
        for i, row in enumerate(rows)
    ]
    return pl.DataFrame(made, schema={**SCHEMA, "output": pl.String()})


def cases(frame, **settings):
    return make_cases(frame, **{"root": "/root", "label": "birads", "level": "image", **settings})


def breasts(*rows, label="birads"):
    frame = table(*[{"patient_id": "p", "exam_id": "e", "breast_id": "e_L", **row} for row in rows])
    return list(cases(frame, label=label, level="breast"))


def paths(case):
    return {name: [file.path for file in files] for name, files in case.images.items()}


def test_an_image_is_a_case_with_its_breast_and_exam():
    [case] = cases(table({"birads": 4}))
    assert (case.case_id, case.group_id, case.label) == ("i0", "p0", 4)
    assert case.units == {"breast": "e0_L", "exam": "e0"}
    assert paths(case) == {"mammogram": ["/root/images/0.png"]}
    assert "images/0.png" in case.images["mammogram"][0].where


@pytest.mark.parametrize("label", TARGETS)
def test_labels_are_ids_in_the_order_of_the_names(label):
    target = TARGETS[label]
    values = [target.first + number for number in range(len(target.class_names))]
    found = cases(table(*[{label: value} for value in [*values, None]]), label=label)
    assert found.labels == [*range(len(values)), None]
    assert sorted(target.severity) == list(range(len(values)))


def test_a_breast_has_its_views_as_modalities_and_spot_views_come_last():
    [case] = breasts({"spot": True}, {"view": "MLO"}, {"view": "CC"}, {"view": "ML"})
    assert case.case_id == "e_L"
    assert case.units == {"breast": "e_L", "exam": "e"}  # an exam is put together of breasts, as from images
    assert paths(case) == {"CC": ["/root/images/2.png", "/root/images/0.png"], "MLO": ["/root/images/1.png"]}


@pytest.mark.parametrize(
    ("label", "values", "worst"),
    [
        ("birads", (1, 5, 0), 5),
        ("birads", (6, 0, 3), 0),
        ("birads", (3, 6), 6),
        ("birads", (2, None, 1), 2),
        ("birads", (None, None), None),
        ("density", (2, 4, 3), 3),
        ("cancer", (0, 1), 1),
    ],
)
def test_of_several_labels_of_a_breast_the_most_severe_one_stands(label, values, worst):
    [case] = breasts(*[{label: value} for value in values], label=label)
    assert case.label == worst


def test_breasts_come_in_the_order_of_their_first_row():
    frame = table(*[{"breast_id": name, "patient_id": f"of {name}"} for name in "badbc"])
    found = cases(frame, level="breast")
    assert [(case.case_id, case.group_id) for case in found] == [(name, f"of {name}") for name in "badc"]
    assert [len(case.images["CC"]) for case in found] == [2, 1, 1, 1]


PATIENTS = 200


@pytest.fixture
def frame():
    """Two images of each patient; categories in turn, densities otherwise."""
    return table(
        *[{"patient_id": f"p{i % PATIENTS}", "birads": i % 7, "density": 1 + i % 4} for i in range(2 * PATIENTS)]
    )


def parts(frame):
    return dict(frame.select("patient_id", "split").iter_rows())


def test_patients_are_cut_whole_in_the_shares_of_the_paper(frame):
    found = parts(divide(frame, stratify="birads", seed=0))
    counts = {split: list(found.values()).count(split) for split in ("train", "val", "test")}
    assert counts == pytest.approx({"train": 140, "val": 20, "test": 40}, abs=1)


def test_the_splits_do_not_depend_on_what_is_to_be_told(frame):
    found = parts(divide(frame, stratify="birads", seed=0))
    moved = frame.with_columns((5 - pl.col("density")).alias("density"), (pl.col("birads") % 2).alias("cancer"))
    assert parts(divide(moved, stratify="birads", seed=0)) == found
    assert parts(divide(frame, stratify="birads", seed=1)) != found


def test_of_an_official_training_set_an_eighth_of_the_patients_validates(frame):
    official = frame.with_columns(
        pl.when(pl.col("patient_id").str.ends_with("0")).then(pl.lit("test")).otherwise(pl.lit("train")).alias("split")
    )
    found = parts(divide(official, stratify="birads", seed=0))
    assert {patient for patient, split in found.items() if split == "test"} == {f"p{10 * i}" for i in range(20)}
    share = list(found.values()).count("val") / (PATIENTS - 20)
    assert share == pytest.approx(1 / 8, abs=1 / (PATIENTS - 20))


def test_an_official_validation_set_is_kept(frame):
    names = pl.Series("split", ["train", "val", "test", None] * (PATIENTS // 2))
    assert divide(frame.with_columns(names), stratify="birads", seed=0)["split"].to_list() == names.to_list()


def test_every_patient_is_tested_in_one_fold(frame):
    folds = [parts(divide(frame, stratify="birads", seed=0, num_folds=4, fold=fold)) for fold in range(4)]
    tested = [patient for fold in folds for patient, split in fold.items() if split == "test"]
    assert sorted(tested) == sorted(f"p{i}" for i in range(PATIENTS))
    for fold, following in zip(folds, [*folds[1:], folds[0]], strict=True):
        assert {p for p, split in fold.items() if split == "val"} == {p for p, s in following.items() if s == "test"}


@pytest.mark.parametrize("settings", [{}, {"num_folds": 4, "fold": 1}])
@pytest.mark.parametrize("official", [None, "train"])
def test_rules_that_change_labels_or_leave_rows_out_do_not_change_the_splits(frame, settings, official):
    frame = frame.with_columns(pl.lit(official, pl.String).alias("split"))
    found = parts(divide(frame, stratify="birads", seed=0, **settings))
    other = frame.with_columns((6 - pl.col("birads")).alias("birads")).filter(pl.col("patient_id") > "p2")
    assert parts(divide(other, stratify="birads", seed=0, strata=frame, **settings)).items() < found.items()
    assert not parts(divide(other, stratify="birads", seed=0, **settings)).items() < found.items()


def test_more_folds_than_patients_are_refused(frame):
    with pytest.raises(DataSettingsError, match="num_folds is 3, but there are 2 patients"):
        divide(frame.filter(pl.col("patient_id").is_in(["p0", "p1"])), stratify="birads", seed=0, num_folds=3, fold=0)


def test_a_patient_in_two_official_splits_is_refused(frame):
    official = frame.with_columns(pl.Series("split", ["train"] * PATIENTS + ["test"] + ["train"] * (PATIENTS - 1)))
    with pytest.raises(SplitLeakageError, match=r"patient 'p0' is in test and train \(1 such patients in all\)"):
        divide(official, stratify="birads", seed=0)


def test_images_that_were_not_prepared_are_left_out_and_counted():
    rows = [{"image": "0.dcm", "output": "images/0.png"}, {"image": "1.dcm", "error_kind": "unreadable"}]
    manifest = pl.DataFrame(rows, schema=COLUMNS)
    prepared = Prepared(root="/root", name="embed", settings=PreparationSettings(), manifest=manifest)
    kept, counts = keep_prepared(table({}, {}, {}).drop("output"), prepared)
    assert kept["image"].to_list() == ["0.dcm"]
    assert counts == {"not prepared: unreadable": 1, "not prepared: image is not in the manifest": 1}


def test_rows_without_the_label_are_left_out():
    frame = table({"birads": 1, "density": None}, {"birads": None, "density": 2})
    assert known(frame, "birads")["image_id"].to_list() == ["i0"]
    assert known(frame, "density")["image_id"].to_list() == ["i1"]
