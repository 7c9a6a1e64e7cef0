"""No rule by which tables are joined moves a patient: what one DataModule trains on, another one never tests on."""

import pytest

from data_modules.mammography import CBISDDSMDataModule, EMBEDDataModule
from data_modules.mammography.embed.rules import EmbedRules
from tests.data_modules.mammography.cbis_ddsm.trees import FILES, row_of
from tests.data_modules.mammography.csv_tables import read_csv, write_csv
from tests.data_modules.mammography.prepared_trees import copy_of, make_cbis_ddsm, pretend_to_prepare

CLINICAL = "tables/EMBED_OpenData_clinical.csv"
IMAGES = "tables/EMBED_OpenData_metadata_reduced.csv"


def labels(data):
    data.setup("fit")
    return {case.case_id: case.label for cases in data.splits.values() for case in cases}


def patients(data):
    return {case.group_id: split for split, cases in data.splits.items() for case in cases}


@pytest.fixture(scope="module")
def embed(tmp_path_factory):
    """Exams with a worse row of no side, exams without a row of the right side, left breasts seen in C-view alone."""
    root = copy_of("embed", tmp_path_factory.mktemp("rules") / "embed")
    findings = read_csv(root / CLINICAL)
    for row in findings[3::8]:
        row.update(side="L", desc="MG Screening Bilateral")
    write_csv(root / CLINICAL, [*findings, *({**row, "side": "", "asses": "S"} for row in findings[::4])])
    images = read_csv(root / IMAGES)
    for row in images:
        if row["ImageLateralityFinal"] == "L" and int(row["acc_anon"]) % 2:
            row["FinalImageType"] = "cview"
    write_csv(root / IMAGES, images)
    return root


@pytest.mark.parametrize(
    ("setting", "changes"),
    [
        ({"fidelity": "code"}, True),
        ({"missing_side": "drop"}, True),
        ({"image_types": ["2D", "C-view"]}, True),
        ({"biopsy_days": 5000, "follow_up_days": 0}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_no_rule_of_embed_moves_a_patient(embed, setting, changes):
    default = EMBEDDataModule(root=embed)
    other = EMBEDDataModule(root=embed, rules=EmbedRules(**setting))
    assert (labels(default) != labels(other)) == changes  # else the rule had nothing to do
    both = patients(default).keys() & patients(other).keys()
    assert len(both) == len(patients(default))
    assert [patient for patient in both if patients(default)[patient] != patients(other)[patient]] == []


LEAKING = {"P_00012", "P_00024"}


@pytest.fixture(scope="module")
def cbis_ddsm(tmp_path_factory):
    """Eighty patients; two who are in the training table of one kind are in the test table of the other, too."""
    root = make_cbis_ddsm(tmp_path_factory.mktemp("rules") / "cbis_ddsm", patients=80)
    test = root / FILES["mass", "test"]
    write_csv(test, [*read_csv(test), *(row_of("mass", "test", patient, side="RIGHT") for patient in LEAKING)])
    return pretend_to_prepare(root, "cbis_ddsm")


@pytest.mark.parametrize(
    "setting",
    [{"abnormalities": "calcification"}, {"leaking_patients": "train"}, {"leaking_patients": "drop"}],
    ids=str,
)
def test_no_rule_of_cbis_ddsm_moves_another_patient_than_those_who_leak(cbis_ddsm, setting):
    default, other = (CBISDDSMDataModule(root=cbis_ddsm, **rules) for rules in ({}, setting))
    for data in (default, other):
        data.setup("fit")
    before, after = patients(default), patients(other)
    assert before != after
    assert {patient for patient, split in after.items() if before[patient] != split} <= LEAKING
