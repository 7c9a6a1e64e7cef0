"""Small tables of EMBED's form: rows are written down by the cells that matter, the rest is as usual."""

import csv

import polars as pl

from data_modules.mammography.embed.legend import CODE, HEADER, LEGEND, MEANING
from data_modules.mammography.embed.tables import make_samples

PREFIX = "/mnt/NAS2/mammo/anon_dicom/"
WORDS = {
    "massshape": {"O": "oval", "X": "irregular", "A": "architectural distortion"},
    "massdens": {"+": "high density", "=": "isodense", "0": "fat containing"},
    "calcfind": {"A": "amorphous", "9": "benign", "P": "punctate"},
    "calcdistri": {"G": "grouped", "A": "invented for this test"},
}
IMAGE = {
    "empi_anon": "7",
    "acc_anon": "70",
    "study_date_anon": "2015-06-01",
    "StudyDescription": "MG Screening Bilateral",
    "FinalImageType": "2D",
    "ImageLateralityFinal": "L",
    "ViewPosition": "CC",
    "spot_mag": None,
}
FINDING = {
    "empi_anon": "7",
    "acc_anon": "70",
    "study_date_anon": "2015-06-01",
    "desc": "MG Screening Bilateral",
    "asses": "N",
    "tissueden": "2.0",
    "numfind": "1",
    "side": None,
    "massshape": None,
    "massdens": None,
    "calcfind": None,
    "calcdistri": None,
    "path_severity": None,
    "bside": None,
    "procdate_anon": None,
    "pdate_anon": None,
    "age_at_study": "61.5",
    "RACE_DESC": "Asian",
    "ETHNICITY_DESC": "Non-Hispanic or Latino",
    "implanfind": None,
    "loc_num": "2",
}


def images(*rows):
    """The table of images; each row gives the cells that are not as in ``IMAGE``."""
    made = [
        {"row": i, **IMAGE, "anon_dicom_path": f"{PREFIX}cohort_1/p/s/e/1.2.{i}.dcm", **row}
        for i, row in enumerate(rows)
    ]
    kinds = {"row": pl.UInt32, **dict.fromkeys([*IMAGE, "anon_dicom_path"], pl.String)}
    return pl.DataFrame(made, schema=kinds)


def findings(*rows):
    """The clinical table; each row gives the cells that are not as in ``FINDING``."""
    made = [{"row": i, **FINDING, **row} for i, row in enumerate(rows)]
    return pl.DataFrame(made, schema={"row": pl.UInt32, **dict.fromkeys(FINDING, pl.String)})


def samples(image_rows, finding_rows, **options):
    """The sample table of two lists of rows."""
    return make_samples(images(*image_rows), findings(*finding_rows), legend=WORDS, **options)


def one(image, finding_rows, **options):
    """The sample of the only image, as a dictionary."""
    return samples([image], finding_rows, **options).frame.row(0, named=True)


def write_tables(root, image_rows, finding_rows, *, extra=None):
    """Write the tables as files, with columns and padding as in the official ones."""
    folder = root / "tables"
    folder.mkdir(parents=True)
    table = images(*image_rows).drop("row").insert_column(0, pl.Series("Unnamed: 0", range(len(image_rows))))
    table.write_csv(folder / "EMBED_OpenData_metadata_reduced.csv")
    findings(*finding_rows).drop("row").write_csv(folder / "EMBED_OpenData_clinical.csv")
    with (root / LEGEND).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([HEADER, "Discription", CODE, MEANING])
        for column, words in {**WORDS, **(extra or {})}.items():
            writer.writerows(
                [column, "", f"{code}     ", f"{meaning.capitalize()}   "] for code, meaning in words.items()
            )
    return root
