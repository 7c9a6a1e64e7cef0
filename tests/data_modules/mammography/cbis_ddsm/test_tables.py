"""CBIS-DDSM's tables become samples: abnormalities joined, leaking patients in one split, wrong cells refused."""

import polars as pl
import pytest

from data_modules.errors import DatasetNotFoundError, DataSettingsError, TableError
from data_modules.mammography.cbis_ddsm.rows import read_official
from data_modules.mammography.cbis_ddsm.tables import SET, make_samples, read_samples
from data_modules.mammography.samples import SCHEMA
from tests.data_modules.mammography.cbis_ddsm.trees import FILES, image_path, make_cbis, row_of
from tests.data_modules.mammography.csv_tables import edit_cell, read_csv, write_csv

MASS = FILES["mass", "train"]
CALC = FILES["calc", "test"]


@pytest.fixture
def root(tmp_path):
    return make_cbis(tmp_path)


def samples_of(root, tables, **rules):
    return read_samples(make_cbis(root, tables), **rules)


def one(frame, patient):
    return frame.filter(pl.col("patient_id") == patient).row(0, named=True)


def test_a_sample_for_every_image(root):
    samples = read_samples(root)
    assert samples.dropped == samples.touched == {}
    assert dict(samples.frame.schema) == SCHEMA
    assert samples.frame.height == 16
    assert {name: value for name, value in samples.frame.row(0, named=True).items() if value is not None} == {
        "image": image_path("mass", "train", "P_00001"),
        "image_id": "Mass-Training_P_00001_LEFT_CC",
        "patient_id": "P_00001",
        "exam_id": "P_00001",
        "breast_id": "P_00001_L",
        "laterality": "L",
        "view": "CC",
        "image_type": "2D",
        "birads": 4,
        "density": 2,
        "cancer": 1,
        "mass_shape": "oval",
        "spot": False,
        "inferred": False,
        "split": "train",
    }


def test_both_kinds_both_splits_and_both_spellings_of_density(root):
    frame = read_samples(root).frame
    assert frame["split"].to_list() == 2 * [*4 * ["train"], *4 * ["test"]]
    assert frame["density"].to_list() == 16 * [2]
    assert frame["calc_finding"].to_list() == 8 * [None] + 8 * ["pleomorphic"]
    assert frame["calc_distribution"].to_list() == 8 * [None] + 8 * ["clustered"]


@pytest.mark.parametrize(("kind", "patients"), [("mass", {1, 2, 3, 4}), ("calcification", {5, 6, 7, 8})])
def test_one_kind_alone(root, kind, patients):
    frame = read_samples(root, abnormalities=kind).frame
    assert {int(patient[2:]) for patient in frame["patient_id"]} == patients


@pytest.mark.parametrize(
    ("pathologies", "cancer"),
    [
        (("BENIGN", "MALIGNANT"), 1),
        (("MALIGNANT", "BENIGN_WITHOUT_CALLBACK"), 1),
        (("BENIGN", "BENIGN_WITHOUT_CALLBACK"), 0),
    ],
)
def test_an_image_is_malignant_where_any_abnormality_is(tmp_path, pathologies, cancer):
    rows = [row_of("mass", "train", "P_00001", number=n, pathology=p) for n, p in enumerate(pathologies, start=1)]
    samples = samples_of(tmp_path, {("mass", "train"): rows})
    assert one(samples.frame, "P_00001")["cancer"] == cancer
    assert samples.touched == {"abnormality joined to the first one of its image": 1}


@pytest.mark.parametrize(
    ("assessments", "worst"), [("25", 5), ("04", 4), ("03", 0), ("32", 3), ("12", 2), ("534120", 5)]
)
def test_the_worst_assessment_of_an_image_in_the_clinical_order(tmp_path, assessments, worst):
    rows = [row_of("mass", "train", "P_00001", number=n, assessment=a) for n, a in enumerate(assessments, start=1)]
    assert one(samples_of(tmp_path, {("mass", "train"): rows}).frame, "P_00001")["birads"] == worst


def test_the_description_of_the_worst_abnormality(tmp_path):
    rows = [
        row_of("mass", "train", "P_00001", number=1, assessment=5, pathology="BENIGN", **{"mass shape": "ROUND"}),
        row_of("mass", "train", "P_00001", number=2, assessment=3, **{"mass shape": "OVAL"}),
        row_of("mass", "train", "P_00001", number=3, assessment=4, **{"mass shape": "IRREGULAR-LYMPH_NODE"}),
    ]
    assert (
        one(samples_of(tmp_path, {("mass", "train"): rows}).frame, "P_00001")["mass_shape"] == "irregular, lymph node"
    )


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("FINE_LINEAR_BRANCHING", "fine linear branching"),
        ("ROUND_AND_REGULAR-LUCENT_CENTERED", "round and regular, lucent center"),
        ("LUCENT_CENTER-LUCENT_CENTERED", "lucent center"),
        ("N/A", None),
        ("NA", None),
        ("", None),
    ],
)
def test_words_of_a_finding(root, cell, words):
    edit_cell(root / CALC, 0, "calc type", cell)
    assert one(read_samples(root).frame, "P_00007")["calc_finding"] == words


def test_density_zero_is_unknown_and_counted(root):
    edit_cell(root / CALC, 0, "breast density", "0")
    samples = read_samples(root)
    assert one(samples.frame, "P_00007")["density"] is None
    assert samples.touched == {"density 0 in the table, taken as unknown": 1}


def leaking(root):
    """P_00005 has calcifications on the left in training, and a mass on the right in the test."""
    rows = [row_of("mass", "test", "P_00005", side="RIGHT", view=view, pathology="BENIGN") for view in ("CC", "MLO")]
    return make_cbis(root, {("mass", "test"): rows})


@pytest.mark.parametrize(
    ("policy", "images", "moved"),
    [
        ("test", {"test": 4}, {"image of a patient in a train and a test table, moved to test": 2}),
        ("train", {"train": 4}, {"image of a patient in a train and a test table, moved to train": 2}),
        ("drop", {}, {}),
    ],
)
def test_a_patient_of_two_splits_is_put_into_one(tmp_path, policy, images, moved):
    samples = read_samples(leaking(tmp_path), leaking_patients=policy)
    own = samples.frame.filter(pl.col("patient_id") == "P_00005")
    assert dict(own.group_by("split").len().iter_rows()) == images
    assert samples.touched == moved
    dropped = {"abnormality of a patient in a train and a test table": 4} if policy == "drop" else {}
    assert samples.dropped == dropped
    splits = samples.frame.group_by("patient_id").agg(pl.col("split").n_unique())["split"]
    assert splits.max() == 1


def test_the_patient_of_two_splits_is_in_the_test_by_default(tmp_path):
    leaking(tmp_path)
    assert read_samples(tmp_path).frame.equals(read_samples(tmp_path, leaking_patients="test").frame)


def both_kinds(root):
    """The left CC film of P_00001 is in the tables of both kinds: a benign mass, malignant calcifications."""
    mass = row_of("mass", "train", "P_00001", assessment=2, pathology="BENIGN")
    return make_cbis(root, {("mass", "train"): [mass], ("calc", "train"): [row_of("calc", "train", "P_00001")]})


def test_a_film_in_the_tables_of_both_kinds_is_one_sample(tmp_path):
    samples = read_samples(both_kinds(tmp_path))
    own = samples.frame.filter(pl.col("patient_id") == "P_00001")
    assert own.select("birads", "cancer", "mass_shape", "calc_finding").rows() == [(4, 1, "oval", "pleomorphic")]
    assert own["image"].to_list() == [image_path("mass", "train", "P_00001")]
    assert samples.touched["image in the tables of both kinds, joined"] == 1


def test_or_two_where_that_is_asked_for(tmp_path):
    samples = read_samples(both_kinds(tmp_path), same_film="keep")
    own = samples.frame.filter(pl.col("patient_id") == "P_00001")
    assert own.select("birads", "cancer").rows() == [(2, 0), (4, 1)]
    assert samples.touched == {}


@pytest.mark.parametrize("rule", ["abnormalities", "leaking_patients", "same_film"])
def test_a_rule_that_does_not_exist_is_refused(root, rule):
    with pytest.raises(DataSettingsError, match=f"{rule} is 'none'; allowed are"):
        read_samples(root, **{rule: "none"})


@pytest.mark.parametrize("kind", ["all", "mass", "calcification"])
def test_what_is_prepared_holds_the_images_of_every_rule(tmp_path, kind):
    prepared = SET.read(both_kinds(tmp_path)).frame
    wanted = read_samples(tmp_path, abnormalities=kind).frame
    assert set(wanted["image"]) <= set(prepared["image"])
    assert prepared["image"].is_unique().all()


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("patient_id", "P_1", "does not look like 'P_00001'"),
        ("left or right breast", "L", "allowed are 'LEFT', 'RIGHT'"),
        ("image view", "ML", "'ML' is unknown"),
        ("breast_density", "5", "'5' is unknown"),
        ("breast_density", "", "it is empty"),
        ("assessment", "6", "'6' is unknown"),
        ("pathology", "UNKNOWN", "'UNKNOWN' is unknown"),
        ("mass shape", "OVAL-SQUARE", "'SQUARE' is unknown"),
        ("mass margins", "SPICULATE", "'SPICULATE' is unknown"),
        ("image file path", "/etc/passwd", "does not look like"),
        ("image file path", "Mass-Training_P_00002_LEFT_CC/../../x.dcm", "does not look like"),
        (
            "image file path",
            image_path("mass", "test", "P_00002"),
            "does not start with 'Mass-Training_P_00002_LEFT_CC'",
        ),
        ("image file path", image_path("mass", "train", "P_00002", side="RIGHT"), "does not start with"),
        ("ROI mask file path", "", "it is empty"),
    ],
)
def test_a_wrong_cell_is_refused_with_its_place(root, column, value, said):
    edit_cell(root / MASS, 2, column, value)
    # a cell before it ends in a line break, so that the row starts on another line than its number says
    with pytest.raises(TableError, match=rf"{MASS} line 6 \(row 2\), column {column}: ") as caught:
        read_samples(root)
    assert said in str(caught.value)


def test_faults_are_collected_and_every_row_accounted_for(root):
    edit_cell(root / MASS, 0, "assessment", "9")
    edit_cell(root / CALC, 1, "pathology", "")
    rows = read_csv(root / CALC)
    write_csv(root / CALC, [*rows, rows[0] | {"abnormality id": 2}])
    faults = []
    samples = make_samples(read_official(root), faults=faults)
    assert [str(fault).split(" line")[0] for fault in faults] == [MASS, CALC]
    assert samples.dropped == {"row that cannot be used": 2}
    joined = samples.touched["abnormality joined to the first one of its image"]
    assert samples.frame.height + sum(samples.dropped.values()) + joined == 17


def test_either_spelling_of_density_in_any_table_but_one_there_has_to_be(root):
    rows = read_csv(root / MASS)
    renamed = [{"breast density" if name == "breast_density" else name: row[name] for name in row} for row in rows]
    write_csv(root / MASS, renamed)
    assert read_samples(root).frame["density"][0] == 2
    write_csv(root / MASS, rows, without=("breast_density",))
    with pytest.raises(TableError, match=f"{MASS}: no column 'breast_density'"):
        read_samples(root)


@pytest.mark.parametrize("file", FILES.values())
def test_a_missing_table_says_what_to_do(root, file):
    (root / file).unlink()
    with pytest.raises(DatasetNotFoundError, match=rf"no {file} below .*medlit data synth cbis_ddsm --root"):
        SET.read(root)
