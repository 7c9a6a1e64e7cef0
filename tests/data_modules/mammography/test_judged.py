"""What the DataModules of mammography say about judging answers: findings, scales, prevalences, groups apart."""

import pytest
import torch

from data_modules.dataset import collate
from data_modules.mammography import CBISDDSMDataModule, EMBEDDataModule, RSNAMammoDataModule, VinDrMammoDataModule
from data_modules.mammography.selection import TARGETS
from data_modules.skin import Derm7ptDataModule
from tests.data_modules.mammography.prepared_trees import pristine, the_set
from tests.data_modules.mammography.test_selection import cases, table


def test_suspicious_is_birads_4_and_5_against_1_and_2_and_the_others_are_no_answer_to_it():
    data = EMBEDDataModule(target="birads")
    assert data.contrasts == {"suspicious": ((4, 5), (1, 2))}
    assert [data.class_names[index] for index in data.ordinal_classes] == [f"BI-RADS {n}" for n in (1, 2, 3, 4, 5)]
    assert (data.positive_class, data.screening_prevalence) == (None, None)


def test_cancer_is_looked_for_and_density_is_a_scale():
    cancer, density = EMBEDDataModule(target="cancer"), VinDrMammoDataModule(target="density")
    assert (cancer.class_names[cancer.positive_class], cancer.contrasts, cancer.ordinal_classes) == ("cancer", {}, None)
    assert (density.positive_class, density.contrasts, density.ordinal_classes) == (None, {}, (0, 1, 2, 3))


def test_a_set_says_which_settings_decide_who_trains():
    said = {"name": "EMBED", "split_seed": 3, "num_folds": None, "fold": None}
    assert EMBEDDataModule(split_seed=3).cut == said
    assert EMBEDDataModule(split_seed=3, target="density", label_fraction=0.1, seed=7).cut == said
    assert RSNAMammoDataModule(num_folds=5, fold=1).cut == {
        **said,
        "name": "RSNA-Mammo",
        "split_seed": 0,
        "num_folds": 5,
        "fold": 1,
    }
    assert CBISDDSMDataModule().cut != CBISDDSMDataModule(leaking_patients="train").cut
    assert Derm7ptDataModule().cut is None


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_classes_that_are_named_are_there_and_no_class_is_on_both_sides(target):
    ids = set(range(len(target.class_names)))
    assert set(target.scale or ()) <= ids
    assert target.positive is None or {target.positive, 0} == ids
    for positive, negative in target.contrasts.values():
        assert set(positive) | set(negative) <= ids
        assert not set(positive) & set(negative)


@pytest.mark.parametrize(
    ("data", "natural", "prevalence"),
    [
        (RSNAMammoDataModule(), True, 0.005),
        (RSNAMammoDataModule(balanced_sampling=True, label_fraction=0.01), True, 0.005),  # of training alone
        (RSNAMammoDataModule(target="birads"), True, None),
        (EMBEDDataModule(target="cancer"), True, 0.005),
        (EMBEDDataModule(target="cancer", balanced_test=True), False, None),
        (EMBEDDataModule(target="birads", balanced_test=True), False, None),
        (CBISDDSMDataModule(target="cancer"), False, None),  # chosen for its findings
        (Derm7ptDataModule(), False, None),
    ],
)
def test_only_test_cases_that_came_as_they_are_stand_for_a_population(data, natural, prevalence):
    assert (data.natural_prevalence, data.screening_prevalence) == (natural, prevalence)


def test_batches_of_rsna_say_which_site_each_case_is_of():
    data = RSNAMammoDataModule(root=pristine("rsna_mammo"), img_size=12, batch_size=64)
    data.setup("test")
    batch = next(iter(data.test_dataloader()))
    sites = dict(the_set("rsna_mammo").read(data.root).frame.select("image_id", "site").iter_rows())
    assert batch["strata"] == {"site": [sites[case] for case in batch["case_id"]]}
    assert set(batch["strata"]["site"]) == {"1", "2"}


@pytest.mark.parametrize("level", ["image", "breast"])
def test_a_case_is_in_the_group_of_its_first_row_and_without_a_value_in_that_of_the_unknown(level):
    frame = table({"site": "2"}, {"site": "1"}, {})
    found = cases(frame, level=level, strata=["site"])
    assert [case.strata for case in found] == [{"site": "2"}, {"site": "1"}, {"site": "unknown"}]
    assert cases(frame, level=level)[0].strata is None


def test_a_batch_has_groups_where_its_cases_have():
    sample = {"images": {"derm": torch.zeros(1, 3, 2, 2)}, "case_id": "a", "group_id": "p"}
    assert "strata" not in collate([sample])
    assert collate([{**sample, "strata": {"site": "1"}}] * 2)["strata"] == {"site": ["1", "1"]}
