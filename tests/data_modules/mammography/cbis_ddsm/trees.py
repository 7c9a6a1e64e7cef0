"""CBIS-DDSM's four tables, their spellings and line breaks included."""

from tests.data_modules.mammography.csv_tables import write_csv

FILES = {
    ("mass", "train"): "mass_case_description_train_set.csv",
    ("mass", "test"): "mass_case_description_test_set.csv",
    ("calc", "train"): "calc_case_description_train_set.csv",
    ("calc", "test"): "calc_case_description_test_set.csv",
}


def image_path(kind, split, patient, side="LEFT", view="CC"):
    table = f"{'Mass' if kind == 'mass' else 'Calc'}-{'Training' if split == 'train' else 'Test'}"
    number = int(patient[2:])
    return f"{table}_{patient}_{side}_{view}/1.3.6.1.{number}/1.3.6.2.{number}/000000.dcm"


def row_of(kind, split, patient, *, side="LEFT", view="CC", number=1, **cells):
    """An abnormality, malignant and suspicious unless said otherwise."""
    image = image_path(kind, split, patient, side, view)
    part = image.replace("/", f"_{number}/", 1)
    finding = (
        {"mass shape": "OVAL", "mass margins": "CIRCUMSCRIBED"}
        if kind == "mass"
        else {"calc type": "PLEOMORPHIC", "calc distribution": "CLUSTERED"}
    )
    return {
        "patient_id": patient,
        "breast_density" if kind == "mass" else "breast density": "2",
        "left or right breast": side,
        "image view": view,
        "abnormality id": number,
        "abnormality type": "mass" if kind == "mass" else "calcification",
        **finding,
        "assessment": "4",
        "pathology": "MALIGNANT",
        "subtlety": "3",
        "image file path": image,
        "cropped image file path": part if kind == "mass" else f"{part}\n",
        "ROI mask file path": f"{part}\n" if kind == "mass" else part,
        **cells,
    }


def make_cbis(root, tables=None):
    """Two patients in every table, two views of each, one malignant; ``tables`` in place of some."""
    patients = {"mass train": (1, 2), "mass test": (3, 4), "calc train": (5, 6), "calc test": (7, 8)}
    for kind, split in FILES:
        rows = (tables or {}).get((kind, split)) or [
            row_of(kind, split, f"P_{number:05}", view=view, pathology="MALIGNANT" if number % 2 else "BENIGN")
            for number in patients[f"{kind} {split}"]
            for view in ("CC", "MLO")
        ]
        write_csv(root / FILES[kind, split], rows)
    return root
