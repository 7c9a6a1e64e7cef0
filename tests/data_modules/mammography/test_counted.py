"""How many labels there are to learn from: counted case by case, and said where there are less than all."""

import logging

import pytest

from data_modules.mammography import EMBEDDataModule, RSNAMammoDataModule
from data_modules.mammography.image_text import PairSettings
from tests.data_modules.mammography.prepared_trees import pristine


def counted(module, positive):
    """The definition, case by case."""
    cases = list(module.splits["train"])
    names = module.class_names
    return {
        "label_fraction": module.label_fraction,
        "patients": len({case.group_id for case in cases}),
        "cases": len(cases),
        "positive_classes": [names[index] for index in positive],
        "positive_patients": len({case.group_id for case in cases if case.label in positive}),
        "positive_cases": sum(case.label in positive for case in cases),
        "patients_by_class": {
            name: len({case.group_id for case in cases if case.label == index}) for index, name in enumerate(names)
        },
        "cases_by_class": {name: sum(case.label == index for case in cases) for index, name in enumerate(names)},
    }


def read(module):
    module.setup("fit")
    return module


@pytest.mark.parametrize("fraction", [1.0, 0.3])
@pytest.mark.parametrize(
    ("make", "positive"),
    [
        (lambda **settings: RSNAMammoDataModule(root=pristine("rsna_mammo"), **settings), [1]),
        (lambda **settings: RSNAMammoDataModule(root=pristine("rsna_mammo"), level="breast", **settings), [1]),
        (lambda **settings: EMBEDDataModule(root=pristine("embed"), target="birads", **settings), [4, 5]),
        (lambda **settings: EMBEDDataModule(root=pristine("embed"), target="density", **settings), []),
    ],
)
def test_patients_and_cases_of_the_training_split(make, positive, fraction):
    module = read(make(label_fraction=fraction))
    assert module.training_counts == counted(module, positive)
    assert module.training_counts["patients"] > 0


def test_another_seed_draws_other_patients():
    def patients(seed):
        module = read(RSNAMammoDataModule(root=pristine("rsna_mammo"), label_fraction=0.3, fraction_seed=seed))
        return {case.group_id for case in module.splits["train"]}

    assert patients(0) != patients(1)


def test_a_fraction_says_how_many_positives_are_left(caplog):
    with caplog.at_level(logging.INFO):
        module = read(RSNAMammoDataModule(root=pristine("rsna_mammo"), label_fraction=0.3, fraction_seed=2))
    counts = module.training_counts
    assert (
        f"label_fraction 0.3, fraction_seed 2: {counts['patients']} patients to learn from ({counts['cases']} cases), "
        f"{counts['positive_patients']} of them with cancer ({counts['positive_cases']} cases)"
    ) in caplog.text


def test_without_a_finding_to_look_for_patients_are_told_by_class(caplog):
    with caplog.at_level(logging.INFO):
        read(EMBEDDataModule(root=pristine("embed"), target="density", label_fraction=0.5))
    assert "patients by class A: " in caplog.text


def test_of_all_labels_nothing_is_said_and_nothing_is_counted_before_the_tables_are_read(caplog):
    module = RSNAMammoDataModule(root=pristine("rsna_mammo"))
    assert module.training_counts is None
    with caplog.at_level(logging.INFO):
        read(module)
    assert "to learn from" not in caplog.text


def test_pretraining_has_no_labels_to_count():
    pretraining = PairSettings(pair="study", tokenizer="words")
    assert read(EMBEDDataModule(root=pristine("embed"), pretraining=pretraining)).training_counts is None
