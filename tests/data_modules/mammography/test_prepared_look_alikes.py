"""Look-alikes of the sets, prepared from their DICOM files and read by the DataModules."""

import pytest

from data_modules.mammography import CBISDDSMDataModule, EMBEDDataModule, VinDrMammoDataModule
from data_modules.mammography.prepare.run import prepare_set
from data_modules.mammography.prepare.settings import PreparationSettings
from tests.data_modules.mammography.look_alikes import pristine
from tests.data_modules.mammography.prepared_trees import the_set

MODULES = {"embed": EMBEDDataModule, "vindr_mammo": VinDrMammoDataModule, "cbis_ddsm": CBISDDSMDataModule}
"""RSNA-Mammo goes through the installed command, in a test of its own."""


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_a_look_alike_is_prepared_and_read(name, tmp_path):
    root = tmp_path / name
    prepare_set(the_set(name), pristine(name), root, settings=PreparationSettings(), workers=1)
    images, breasts = (
        MODULES[name](root=root, img_size=32, level=level, predict_split="all") for level in ("image", "breast")
    )
    for data in (images, breasts):
        data.setup("predict")
        assert data.synthetic
    assert images.left_out == the_set(name).read(root).dropped
    for sample in images.dataset("all"):
        assert sample["images"]["mammogram"].max() > 0.3  # of a breast, not of the air around it
    assert {view for case in breasts.splits["all"] for view in case.images} == {"CC", "MLO"}
