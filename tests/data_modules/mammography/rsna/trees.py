"""RSNA-Mammo's table, a few patients of four images each."""

from tests.data_modules.mammography.csv_tables import write_csv

IMAGES = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def rsna_rows(patients=6):
    """Sites in turn; the third patient has cancer on the right; the second site gives no BI-RADS and no density."""
    rows = []
    for number in range(patients):
        for position, (side, view) in enumerate(IMAGES):
            cancer = int(number % 5 == 2 and side == "R")
            site = 1 + number % 2
            rows.append(
                {
                    "site_id": site,
                    "patient_id": 10006 + number,
                    "image_id": 462822612 + 10 * number + position,
                    "laterality": side,
                    "view": view,
                    "age": f"{50 + number % 40}.0",
                    "cancer": cancer,
                    "biopsy": cancer,
                    "invasive": cancer,
                    "BIRADS": "" if site == 2 else "0.0" if cancer else "1.0",
                    "implant": 0,
                    "density": "" if site == 2 else "ABCD"[number % 4],
                    "machine_id": 29,
                    "difficult_negative_case": "False",
                }
            )
    return rows


def make_rsna(root, patients=6):
    write_csv(root / "train.csv", rsna_rows(patients))
    return root
