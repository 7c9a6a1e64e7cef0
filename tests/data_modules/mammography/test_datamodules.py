"""The four sets keep the contract of every DataModule, by image and by breast."""

from typing import ClassVar

from data_modules.mammography import (
    CBISDDSMDataModule,
    EMBEDDataModule,
    RSNAMammoDataModule,
    VinDrMammoDataModule,
)
from data_modules.mammography.selection import TARGETS, VIEWS
from tests.data_modules.contract import DataModuleContract
from tests.data_modules.mammography.cbis_ddsm.trees import FILES
from tests.data_modules.mammography.csv_tables import read_csv, write_csv
from tests.data_modules.mammography.prepared_trees import copy_of

CLINICAL = "tables/EMBED_OpenData_clinical.csv"


class Prepared(DataModuleContract):
    set_name: str
    module: type
    labels: ClassVar[dict[str, tuple[str, ...]]]
    unknown = ""
    modalities = ("mammogram",)
    settings: ClassVar[dict[str, object]] = {}
    test_workers_do_not_change_samples = None  # test_workers.py says it, of the datasets that all four sets share

    def make_tree(self, root):
        return copy_of(self.set_name, root)

    def build(self, root, **settings):
        return self.module(root=root, **self.settings, **settings)

    def remove_labels(self, root):
        for file, columns in self.labels.items():
            rows = [{**row, **dict.fromkeys(columns, self.unknown)} for row in read_csv(root / file)]
            write_csv(root / file, rows)


class TestEMBED(Prepared):
    set_name, module = "embed", EMBEDDataModule
    labels: ClassVar = {CLINICAL: ("asses", "tissueden")}
    class_names = TARGETS["birads"].class_names


class TestEMBEDBreasts(TestEMBED):
    modalities = VIEWS
    settings: ClassVar = {"level": "breast", "target": "density"}
    class_names = ("A", "B", "C", "D")


class TestRSNAMammo(Prepared):
    set_name, module = "rsna_mammo", RSNAMammoDataModule
    labels: ClassVar = {"train.csv": ("cancer",)}
    class_names = ("no cancer", "cancer")


class TestVinDrMammo(Prepared):
    set_name, module = "vindr_mammo", VinDrMammoDataModule
    labels: ClassVar = {"breast-level_annotations.csv": ("breast_birads", "breast_density")}
    class_names = TARGETS["birads"].class_names


class TestCBISDDSM(Prepared):
    set_name, module = "cbis_ddsm", CBISDDSMDataModule
    settings: ClassVar = {"target": "density"}
    labels: ClassVar = {
        file: ("breast_density" if kind == "mass" else "breast density",) for (kind, _), file in FILES.items()
    }
    unknown = "0"  # as its tables write it
    class_names = ("A", "B", "C", "D")
