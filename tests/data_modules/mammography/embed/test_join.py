"""The joins of random tables against their definition, written down image by image and row by row."""

from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.mammography.embed.rules import BIRADS, EmbedRules
from tests.data_modules.mammography.embed.small import samples

DAYS = [0, 100, 180, 181, 364, 365, 400, 800]
START = date(2014, 1, 1)
ORDER = [5, 4, 0, 6, 3, 2, 1]
SHAPES = {"O": "oval", "X": "irregular", None: None}
BILATERAL = {
    "MG Screening Bilateral": True,
    "MG Screen Bilat w/Tomo/CAD Stnd Protocol": True,
    "MG Diagnostic Left": False,
}


def day(number):
    return None if number is None else (START + timedelta(days=number)).isoformat()


@st.composite
def tables(draw):
    """Two patients with a few exams each; an exam has a day and a description, some have no rows, some no images."""
    image_rows, finding_rows = [], []
    for number in range(draw(st.integers(1, 5))):
        exam = {"empi_anon": draw(st.sampled_from("12")), "acc_anon": str(number)}
        exam["study_date_anon"] = day(draw(st.sampled_from(DAYS)))
        description = draw(st.sampled_from(list(BILATERAL)))
        sides = st.sampled_from("LR")
        for side in draw(st.lists(sides, max_size=4)):
            kind = draw(st.sampled_from(["2D", "2D", "cview"]))
            image_rows.append(
                {**exam, "ImageLateralityFinal": side, "FinalImageType": kind, "StudyDescription": description}
            )
        for _ in range(draw(st.integers(0, 4))):
            finding_rows.append(
                {
                    **exam,
                    "desc": description,
                    "side": draw(st.sampled_from(["L", "R", "B", None])),
                    "asses": draw(st.sampled_from([*"ANNBBPSMKX", None])),
                    "tissueden": draw(st.sampled_from(["1", "2.0", "3", "4", "5", None])),
                    "numfind": draw(st.sampled_from(["1", "2", None])),
                    "massshape": draw(st.sampled_from(list(SHAPES))),
                    "path_severity": draw(st.sampled_from([None, None, None, "0", "1.0", "3", "4", "6"])),
                    "bside": draw(st.sampled_from([None, None, "L", "R", "B"])),
                    "procdate_anon": day(draw(st.sampled_from([None, *DAYS]))),
                }
            )
    return image_rows, finding_rows


def once(rows):
    """Rows that are not, cell by cell, an earlier one."""
    return [row for place, row in enumerate(rows) if row not in rows[:place]]


def matching(rows, side, fidelity):
    same = [row for row in rows if row["side"] == side]
    both = [row for row in rows if row["side"] == "B"]
    if fidelity == "paper":
        return [row for row in rows if row["side"] in (side, "B", None)]
    return same or both or rows


def speaker(rows, fidelity):
    """The row that speaks for a breast, None without rows."""
    assessed = [row for row in rows if row["asses"] in BIRADS]
    if not assessed:
        return rows[0] if rows and fidelity == "code" else min(rows, key=turn, default=None)
    numbers = [BIRADS[row["asses"]] for row in assessed]
    if fidelity == "paper":
        category = min(numbers, key=ORDER.index)
        return min((row for row in assessed if BIRADS[row["asses"]] == category), key=turn)
    category = 0 if max(numbers) <= 2 and min(numbers) == 0 else max(numbers)
    return assessed[numbers.index(category)]


def turn(row):
    """Rows without a number come last; of equal ones, the first of the table."""
    return float(row["numfind"] or "inf")


def density_of(row):
    number = None if row is None or row["tissueden"] is None else int(float(row["tissueden"]))
    return None if number == 5 else number


def judge(rows, side, fidelity):
    """BI-RADS, density, shape of the mass and whether it was inferred, of one breast of an exam with these rows."""
    own = matching(rows, side, fidelity)
    row = speaker(own, fidelity)
    birads = BIRADS.get(row["asses"]) if row else None
    shape = SHAPES[row["massshape"]] if row else None
    if fidelity == "code":
        return birads, density_of(row), shape, False
    bilateral = bool(rows) and BILATERAL[rows[0]["desc"]]
    missing = not own and bilateral and any(other["asses"] in BIRADS for other in rows)
    density = density_of(row)
    for others in (own, rows):
        if density is None and (own or missing):
            density = max((density_of(other) for other in others if density_of(other) is not None), default=None)
    if any(other["tissueden"] == "5" for other in rows):
        density = None
    return (1 if missing else birads), density, shape, missing


@settings(max_examples=30, deadline=None)
@given(tables(), st.sampled_from(["paper", "code"]))
def test_labels_are_those_of_the_definition(made, fidelity):
    image_rows, finding_rows = made
    table = samples(image_rows, finding_rows, rules=EmbedRules(fidelity=fidelity))
    kept = [row for row in image_rows if row["FinalImageType"] == "2D"]
    expected = []
    for row in kept:
        rows = [other for other in once(finding_rows) if other["acc_anon"] == row["acc_anon"]]
        expected.append(judge(rows, row["ImageLateralityFinal"], fidelity))
    assert table.frame.select("birads", "density", "mass_shape", "inferred").rows() == expected
    assert table.frame["exam_id"].to_list() == [row["acc_anon"] for row in kept]
    assert len(kept) + sum(table.dropped.values()) == len(image_rows)
    inferred = "image of a side without a row in a bilateral exam: negative, inferred"
    assert table.touched.get(inferred, 0) == sum(said[3] for said in expected)


@settings(max_examples=10, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_labels_do_not_depend_on_the_order_of_the_images(made, random):
    image_rows, finding_rows = made
    image_rows = [{**row, "anon_dicom_path": f"/mnt/NAS2/mammo/anon_dicom/{i}.dcm"} for i, row in enumerate(image_rows)]
    shuffled = random.sample(image_rows, len(image_rows))
    before, after = (samples(rows, finding_rows) for rows in (image_rows, shuffled))
    assert before.frame.sort("image").equals(after.frame.sort("image"))
    assert (before.dropped, before.touched) == (after.dropped, after.touched)


def cancer_of(exams, image, finding_rows, rules):
    """Cancer of the breast of an image: every exam and all pathology of the patient are looked through."""
    side, patient, at = image["ImageLateralityFinal"], image["empi_anon"], exams[image["acc_anon"]]

    def birads(exam):
        return judge([row for row in finding_rows if row["acc_anon"] == exam], side, "paper")[0]

    events = []
    for row in finding_rows:
        if row["path_severity"] is not None and row["empi_anon"] == patient:
            of = row["bside"] if row["bside"] in ("L", "R") else row["side"]
            when = date.fromisoformat(row["procdate_anon"]) if row["procdate_anon"] else exams[row["acc_anon"]]
            if of == side or of in ("B", None):
                events.append((int(float(row["path_severity"])), (when - at).days, of == side))
    if any(severity in (0, 1) and 0 <= after <= rules.biopsy_days and sure for severity, after, sure in events):
        return 1
    benign = any(severity in (4, 5) and 0 <= after <= rules.biopsy_days and sure for severity, after, sure in events)
    owner = {row["acc_anon"]: row["empi_anon"] for row in finding_rows}
    waits = [
        (exams[exam] - at).days
        for exam, who in owner.items()
        if who == patient and birads(exam) in (1, 2) and (exams[exam] - at).days >= rules.follow_up_days
    ]
    if not waits or not (birads(image["acc_anon"]) in (0, 1, 2, 3) or benign):
        return None
    clear = not any(severity in (0, 1) and -rules.biopsy_days <= after <= min(waits) for severity, after, _ in events)
    return 0 if clear else None


@settings(max_examples=50, deadline=None)
@given(tables(), st.sampled_from([EmbedRules(), EmbedRules(biopsy_days=100, follow_up_days=180)]))
def test_cancer_is_that_of_the_definition(made, rules):
    image_rows, finding_rows = made
    exams = {row["acc_anon"]: date.fromisoformat(row["study_date_anon"]) for row in (*image_rows, *finding_rows)}
    table = samples(image_rows, finding_rows, rules=rules)
    kept = [row for row in image_rows if row["FinalImageType"] == "2D"]
    expected = [cancer_of(exams, row, once(finding_rows), rules) for row in kept]
    assert table.frame["cancer"].to_list() == expected
    assert table.touched.get("image with cancer", 0) == expected.count(1)
    assert table.touched.get("image without cancer", 0) == expected.count(0)
