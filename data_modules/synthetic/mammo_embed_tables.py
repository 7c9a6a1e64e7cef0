"""The tables of the look-alike of EMBED: a row per file, a row per finding, and the legend of the codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from data_modules.synthetic.mammo_lesions import Lesion
from data_modules.synthetic.mammo_pictures import Box
from data_modules.synthetic.mammo_plan import Side, write_csv
from data_modules.synthetic.mammo_stories import Exam

PREFIX = "/mnt/NAS2/mammo/anon_dicom/"
"""What the paths of the release start with, on the machine where it was made."""
CATEGORY = {0: "A", 1: "N", 2: "B", 3: "P", 4: "S", 5: "M", 6: "K"}
SHAPES = {"round": "R", "oval": "O", "irregular": "X", "focal asymmetry": "F"}
MARGINS = {"circumscribed": "D", "indistinct": "I", "spiculated": "S"}
DENSITIES = {"low": "-", "equal": "=", "high": "+"}
CALCIFICATIONS = {"coarse": "Q", "fine pleomorphic": "I", "fine linear branching": "B"}
DISTRIBUTIONS = {"grouped": "G", "segmental": "S", "diffuse": "D"}
MALE = 5
STRAY = "Unnamed: 0"
"""Column of row numbers that the reduced tables hold."""
LEGEND = (
    ("asses", "Assessment", "A", "Additional evaluation"),
    ("asses", "Assessment", "N", "Negative"),
    ("asses", "Assessment", "B", "Benign"),
    ("asses", "Assessment", "P", "Probably benign"),
    ("asses", "Assessment", "S", "Suspicious"),
    ("asses", "Assessment", "M", "Highly suggestive of malignancy"),
    ("asses", "Assessment", "K", "Known biopsy proven"),
    ("massshape", "Mass Shape", "G", "Generic"),
    ("massshape", "Mass Shape", "R", "Round"),
    ("massshape", "Mass Shape", "O", "Oval"),
    ("massshape", "Mass Shape", "X", "Irregular"),
    ("massshape", "Mass Shape", "A", "Architectural distortion"),
    ("massshape", "Mass Shape", "F", "Focal asymetry"),
    ("massmargin", "Mass Margin", "D", "Circumscribed"),
    ("massmargin", "Mass Margin", "I", "Indistinct"),
    ("massmargin", "Mass Margin", "S", "Spiculated"),
    ("massdens", "Mass Density", "+", "High density"),
    ("massdens", "Mass Density", "=", "Isodense"),
    ("massdens", "Mass Density", "-", "Low density"),
    ("massdens", "Mass Density", "0", "Fat containing"),
    ("calcfind", "Calcification Finding", "A", "Amorphous"),
    ("calcfind", "Calcification Finding", "9", "Benign"),
    ("calcfind", "Calcification Finding", "I", "Fine pleomorphic"),
    ("calcfind", "Calcification Finding", "B", "Fine linear-branching (casting)"),
    ("calcfind", "Calcification Finding", "G", "Generic"),
    ("calcfind", "Calcification Finding", "Q", "Coarse"),
    ("calcdistri", "Calcification Distribution", "G", "Grouped"),
    ("calcdistri", "Calcification Distribution", "S", "Segmental"),
    ("calcdistri", "Calcification Distribution", "D", "Diffuse/scattered"),
    ("calcnumber", "Number of Calcifications", "", ""),
    ("otherfind", "Other related finding", "B     ", "site(s) of previous percutaneous needle biopsy" + " " * 40),
    ("side", "Side", "L", "Left"),
    ("side", "Side", "R", "Right"),
    ("side", "Side", "B", "Both"),
)
"""Part of the official legend, with its spelling and its trailing blanks; the same code means different things."""
CLINICAL = (
    "empi_anon", "acc_anon", "study_date_anon", "cohort_num", "desc", "asses", "tissueden", "numfind", "side",
    "bside", "location", "massshape", "massmargin", "massdens", "calcfind", "calcdistri", "calcnumber", "otherfind",
    "implanfind", "procdate_anon", "type", *(f"path{number}" for number in range(1, 11)), "path_severity",
    "total_L_find", "total_R_find", "age_at_study", "GENDER_DESC", "RACE_DESC", "ETHNICITY_DESC", "ETHNIC_GROUP_DESC",
)  # fmt: skip
CLINICAL_REDUCED = (
    "empi_anon", "acc_anon", "study_date_anon", "cohort_num", "desc", "asses", "tissueden", "numfind", "side",
    "massshape", "massmargin", "massdens", "calcfind", "calcdistri", "calcnumber", "implanfind", "procdate_anon",
    "path_severity", "age_at_study", "RACE_DESC", "ETHNICITY_DESC", "ETHNIC_GROUP_DESC",
)  # fmt: skip
METADATA = (
    "empi_anon", "acc_anon", "anon_dicom_path", "png_path", "png_filename", "study_date_anon", "cohort_num",
    "StudyDescription", "SeriesDescription", "FinalImageType", "ImageLateralityFinal", "ViewPosition", "spot_mag",
    "num_roi", "ROI_coords", "SRC_DST", "match_level", "Manufacturer", "ManufacturerModelName", "PatientSex",
)  # fmt: skip
METADATA_REDUCED = METADATA[:17]


@dataclass(frozen=True, slots=True)
class Image:
    """One file of an exam."""

    path: str
    """Below ``images/``."""
    side: Side
    view: str
    kind: str
    """``2D`` or ``cview``."""
    spot: bool
    boxes: tuple[Box, ...]
    series: str
    manufacturer: str
    model: str


def write_tables(root: Path, exams: Sequence[Exam], images: Mapping[int, Sequence[Image]]) -> None:
    """Write the five official tables below ``root/tables``.

    Args:
        root: Folder of the set.
        exams: All exams.
        images: Files by the exam's number.
    """
    folder = root / "tables"
    folder.mkdir()
    findings = [row for exam in exams for row in finding_rows(exam)]
    files = [_image_row(exam, image) for exam in exams for image in images[exam.number]]
    for name, columns, reduced, rows in (
        ("clinical", CLINICAL, CLINICAL_REDUCED, findings),
        ("metadata", METADATA, METADATA_REDUCED, files),
    ):
        write_csv(folder / f"EMBED_OpenData_{name}.csv", columns, [_cells(row, columns) for row in rows])
        numbered = [{STRAY: number, **_cells(row, reduced)} for number, row in enumerate(rows)]
        write_csv(folder / f"EMBED_OpenData_{name}_reduced.csv", (STRAY, *reduced), numbered)
    names = ("Header in export", "Discription", "Code", "Meaning")
    legend = [dict(zip(names, row, strict=True)) for row in LEGEND]
    write_csv(folder / "AWS_Open_Data_Clinical_Legend.csv", names, legend)


def _cells(row: Mapping[str, object], names: Sequence[str]) -> dict[str, object]:
    return {name: row[name] for name in names if name in row}


def finding_rows(exam: Exam) -> list[dict[str, object]]:
    """Rows of an exam in the clinical table: one per finding; negative breasts have one, share one or have none.

    Args:
        exam: Whose.
    """
    if exam.quirk == "no rows":
        return []
    category = exam.birads[exam.index]
    if category == 1:  # without a side, for both sides, or a row for each: all three occur
        sides = (("",), ("B",), ("L", "R"))[exam.number % 3]
        found = [_finding_row(exam, side, 1, None) for side in sides]
    elif exam.birads == {"L": 2, "R": 2}:
        found = [_finding_row(exam, "B", 2, exam.breasts["L"].lesions[0])]
    else:
        shown = exam.breasts[exam.index].lesions
        categories = (category, *exam.extra)
        found = [_finding_row(exam, exam.index, value, lesion) for value, lesion in zip(categories, shown, strict=True)]
        if len(exam.birads) == 2 and exam.number % 2:  # every other time nothing is said of the negative breast
            found.append(_finding_row(exam, "R" if exam.index == "L" else "L", 1, None))
    totals = {f"total_{side}_find": sum(row["side"] == side for row in found) for side in ("L", "R")}
    return [{**row, "numfind": number, **totals} for number, row in enumerate(found, start=1)]


def _finding_row(exam: Exam, side: str, category: int, lesion: Lesion | None) -> dict[str, object]:
    patient = exam.patient
    male, ill = exam.quirk == "male", side == exam.index and category in (4, 5, 6)
    row: dict[str, object] = {
        **_exam_cells(exam),
        "study_date_anon": exam.day.isoformat(),
        "desc": exam.description,
        "asses": "X" if exam.quirk == "X" and side == exam.index else CATEGORY[category],
        "tissueden": "" if exam.quirk == "no density" else f"{MALE if male else patient.density}.0",
        "side": side,
        "age_at_study": exam.age,
        "GENDER_DESC": "Male" if male else "Female",
        "RACE_DESC": patient.race,
        "ETHNICITY_DESC": "",
        "ETHNIC_GROUP_DESC": patient.ethnicity,
    }
    if lesion is not None:
        row["massshape"] = SHAPES.get(lesion.shape or "", "")
        row["massmargin"] = MARGINS.get(lesion.margin or "", "")
        row["massdens"] = DENSITIES.get(lesion.density or "", "")
        row["calcfind"] = CALCIFICATIONS.get(lesion.calcification or "", "")
        row["calcdistri"] = DISTRIBUTIONS.get(lesion.distribution or "", "")
        row["otherfind"] = "B" if lesion.clip else ""
    if ill and exam.severity is not None and exam.biopsied is not None:
        row["path_severity"], row["procdate_anon"] = f"{exam.severity}.0", exam.biopsied.isoformat()
        row["bside"], row["type"] = side, "CB"
    return row


def _exam_cells(exam: Exam) -> dict[str, object]:
    return {
        "empi_anon": exam.patient.empi,
        "acc_anon": exam.accession,
        "cohort_num": cohort(exam),
    }


def cohort(exam: Exam) -> int:
    """1 or 2: which half of the release a patient is in."""
    return 1 + exam.patient.number % 2


def _image_row(exam: Exam, image: Image) -> dict[str, object]:
    day = exam.day + timedelta(days=1 + exam.number % 3) if exam.quirk == "other date" else exam.day
    rois = [[top, left, bottom, right] for left, top, right, bottom in image.boxes]
    name = image.path.rpartition("/")[2].removesuffix(".dcm") + ".png"
    return {
        **_exam_cells(exam),
        "anon_dicom_path": PREFIX + image.path,
        "png_path": f"/mnt/NAS2/mammo/png/{image.path.rpartition('/')[0]}/{name}",
        "png_filename": name,
        "study_date_anon": day.isoformat(),
        "StudyDescription": exam.description,
        "SeriesDescription": image.series,
        "FinalImageType": image.kind,
        "ImageLateralityFinal": image.side,
        "ViewPosition": image.view,
        "spot_mag": "1.0" if image.spot else "",
        "num_roi": len(rois),
        "ROI_coords": str(rois),
        "SRC_DST": "",
        "match_level": "",
        "Manufacturer": image.manufacturer,
        "ManufacturerModelName": image.model,
        "PatientSex": "M" if exam.quirk == "male" else "F",
    }
