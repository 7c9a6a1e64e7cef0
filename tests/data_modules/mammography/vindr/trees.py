"""VinDr-Mammo's tables, a few studies of four images each."""

from tests.data_modules.mammography.csv_tables import write_csv

IMAGES = (("L", "CC"), ("L", "MLO"), ("R", "CC"), ("R", "MLO"))


def vindr_rows(studies=5):
    """Breasts and findings: every fifth study is for the test; BI-RADS 3 on the right has a mass, 5 calcifications."""
    breasts, findings = [], []
    for number in range(studies):
        for position, (side, view) in enumerate(IMAGES):
            birads = 1 + number % 5 if side == "R" else 1
            row = {
                "study_id": f"s{number:031x}",
                "series_id": f"e{number:031x}",
                "image_id": f"{number * 4 + position:032x}",
                "laterality": side,
                "view_position": view,
                "height": 3518,
                "width": 2800,
                "breast_birads": f"BI-RADS {birads}",
                "breast_density": f"DENSITY {'ABCD'[number % 4]}",
                "split": "test" if number % 5 == 4 else "training",
            }
            breasts.append(row)
            shown = {3: "['Mass', 'Skin Retraction']", 5: "['Suspicious Calcification']"}.get(birads)
            box = {"xmin": 1.5, "ymin": 2.0, "xmax": 3.0, "ymax": 4.0} if shown else {}
            findings.append(
                {
                    **row,
                    "finding_categories": shown or "['No Finding']",
                    "finding_birads": f"BI-RADS {birads}" if shown else "",
                    **{name: box.get(name, "") for name in ("xmin", "ymin", "xmax", "ymax")},
                }
            )
    return breasts, findings


def make_vindr(root, studies=5):
    breasts, findings = vindr_rows(studies)
    write_csv(root / "breast-level_annotations.csv", breasts)
    write_csv(root / "finding_annotations.csv", findings)
    return root
