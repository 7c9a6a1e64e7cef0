"""What the DataModules of mammography leave out and say, what they refuse, and what their splits do not depend on."""

import json
import os

import polars as pl
import pytest
import torch
from jsonargparse import ArgumentParser
from matplotlib.figure import Figure

from data_modules.errors import (
    DataSettingsError,
    PreparationMismatchError,
    TableError,
    UnreadableImageError,
)
from data_modules.mammography import CBISDDSMDataModule, EMBEDDataModule, RSNAMammoDataModule, VinDrMammoDataModule
from data_modules.mammography.image_text import PairSettings
from data_modules.mammography.prepare.settings import PreparationSettings
from tests.data_modules.mammography.csv_tables import edit_csv
from tests.data_modules.mammography.prepared_trees import copy_of, make_embed, pretend_to_prepare, pristine, the_set

MODULES = {
    "embed": EMBEDDataModule,
    "rsna_mammo": RSNAMammoDataModule,
    "vindr_mammo": VinDrMammoDataModule,
    "cbis_ddsm": CBISDDSMDataModule,
}
CLINICAL = "tables/EMBED_OpenData_clinical.csv"


def build(root, *stages, **settings):
    """The DataModule of the set whose prepared folder this is."""
    name = json.loads((root / "prepared.json").read_text())["set"]
    data = MODULES[name](root=root, **{"img_size": 12, "batch_size": 4, **settings})
    for stage in stages:
        data.setup(stage)
    return data


def ids(data, split):
    return [case.case_id for case in data.splits[split]]


def patients(data):
    return {case.group_id: split for split, cases in data.splits.items() for case in cases}


@pytest.mark.parametrize("name", MODULES)
def test_every_image_is_in_a_split_or_counted(name):
    data = build(pristine(name), "fit")
    images = len(the_set(name).read(pristine(name)).frame)
    assert sum(map(len, data.splits.values())) + sum(data.left_out.values()) == images


def test_of_breasts_too_every_image_is_in_a_split_or_counted_once(tmp_path):
    root = copy_of("embed", tmp_path / "embed")
    edit_csv(root / CLINICAL, 0, asses="X")
    for row in (0, 4):  # of the breast without an assessment, and of another one
        edit_csv(root / "tables/EMBED_OpenData_metadata_reduced.csv", row, ViewPosition="ML")
    data = build(root, "fit", level="breast")
    files = [file for cases in data.splits.values() for case in cases for view in case.images.values() for file in view]
    assert data.left_out == {"birads unknown": 2, "view other than CC and MLO": 1}
    assert len(files) + 3 == len(the_set("embed").read(root).frame)


def test_the_sites_of_rsna_are_read_each_by_itself():
    root = pristine("rsna_mammo")
    both = build(root, "fit")
    site = dict(the_set("rsna_mammo").read(root).frame.select("image_id", "site").iter_rows())
    for number in (1, 2):
        one = build(root, "fit", sites=[number])
        for split in both.splits:
            assert ids(one, split) == [name for name in ids(both, split) if site[name] == str(number)]
        assert one.left_out == {"of another site": 48}
        shown = build(root, "predict", sites=[number], predict_split="all")
        assert {site[name] for name in ids(shown, "all")} == {str(number)}
    for wrong in ([], [3]):
        with pytest.raises(DataSettingsError, match=r"sites is .*; give 1, 2, or null for both"):
            RSNAMammoDataModule(sites=wrong)


def test_images_that_failed_are_left_out_and_counted(tmp_path):
    make_embed(tmp_path, patients=20)
    frame = the_set("embed").read(tmp_path).frame
    pretend_to_prepare(tmp_path, "embed", failed=frame["image"][:5].to_list())
    data = build(tmp_path, "fit")
    assert data.left_out["not prepared: unreadable"] == 5
    failed = set(frame["image_id"][:5])
    assert not failed & {name for split in data.splits for name in ids(data, split)}


def test_images_without_a_label_or_a_caption_are_left_out_and_counted(tmp_path):
    root = copy_of("embed", tmp_path / "embed")
    edit_csv(root / CLINICAL, 0, asses="X")
    for row in (2, 3):  # both sides of an exam
        edit_csv(root / CLINICAL, row, tissueden="")
    images = len(the_set("embed").read(root).frame)
    classification = build(root, "fit")
    assert classification.left_out == {"birads unknown": 2}
    pretraining = build(root, "fit", pretraining=PairSettings())
    assert pretraining.left_out == {"no caption: no birads": 2, "no caption: no density": 4}
    assert sum(map(len, pretraining.splits.values())) == images - 6


def test_the_log_says_what_is_left_out_and_what_rules_decided(tmp_path, caplog):
    root = copy_of("embed", tmp_path / "embed")
    edit_csv(root / CLINICAL, 0, asses="X")
    with caplog.at_level("INFO"):
        build(root, "fit")
    assert "EMBED: left out: birads unknown: 2" in caplog.text
    assert "image of a breast without an assessment (X or empty): no BI-RADS: 2" in caplog.text


def test_no_split_depends_on_target_level_fraction_or_stage():
    """A patient on whom a pretraining was validated or tested never trains a classifier, and the other way round."""
    root = pristine("embed")
    first = patients(build(root, "fit", pretraining=PairSettings()))
    for settings in (
        {"target": "density"},
        {"target": "cancer", "predict_split": "train"},
        {"level": "breast"},
        {"label_fraction": 0.3},
        {"balanced_test": True},
        {"seed": 5, "fraction_seed": 5},
    ):
        stage = "predict" if "predict_split" in settings else "fit"
        assert patients(build(root, stage, **settings)).items() <= first.items()
    assert patients(build(root, "fit", split_seed=1)) != first


def test_smaller_fractions_are_parts_of_larger_ones_and_leave_evaluation_alone():
    root = pristine("embed")
    whole, half, tenth = (build(root, "fit", label_fraction=fraction) for fraction in (1.0, 0.5, 0.1))
    assert set(ids(tenth, "train")) < set(ids(half, "train")) < set(ids(whole, "train"))
    assert ids(tenth, "val") == ids(whole, "val")
    assert ids(tenth, "test") == ids(whole, "test")
    assert half.left_out == {"beyond label_fraction 0.5": len(whole.splits["train"]) - len(half.splits["train"])}
    assert ids(build(root, "fit", label_fraction=0.5, fraction_seed=1), "train") != ids(half, "train")


def test_a_balanced_test_set_has_as_many_images_of_every_class():
    data = build(pristine("embed"), "fit", target="density", balanced_test=True)
    labels = [case.label for case in data.splits["test"]]
    assert len({labels.count(label) for label in set(labels)}) == 1


def test_the_official_test_set_stays():
    data = build(pristine("vindr_mammo"), "fit")
    official = the_set("vindr_mammo").read(pristine("vindr_mammo")).frame.filter(pl.col("split") == "test")
    assert ids(data, "test") == official["image_id"].to_list()


def test_a_preparation_with_other_settings_is_refused():
    with pytest.raises(PreparationMismatchError, match="long_side is 1024 there and 512 here"):
        build(pristine("embed"), "fit", preparation=PreparationSettings(long_side=512))


def test_a_folder_of_another_set_is_refused():
    with pytest.raises(PreparationMismatchError, match="holds a prepared embed, not rsna_mammo"):
        RSNAMammoDataModule(root=pristine("embed")).setup("fit")


def test_an_image_that_is_gone_says_how_to_prepare_it_again(tmp_path):
    root = copy_of("vindr_mammo", tmp_path / "vindr")
    data = build(root, "test")
    os.remove(data.splits["test"][0].images["mammogram"][0].path)
    with pytest.raises(UnreadableImageError, match=r"No such file .*manifest.parquet, image images/.*prepare the set"):
        data.dataset("test")[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"target": "birds"}, "unknown target 'birds'; did you mean 'birads'"),
        ({"level": "exam"}, "unknown level 'exam'"),
        ({"aspect": "crop"}, "unknown aspect 'crop'"),
        ({"images_per_view": "two"}, "unknown images_per_view 'two'"),
        ({"modalities": ["CC"]}, "unknown modality 'CC'; allowed are 'mammogram'"),
        ({"label_fraction": 0.0}, "label_fraction is 0.0"),
        ({"label_fraction": 1.01}, "label_fraction is 1.01"),
        ({"fraction_seed": -1}, "fraction_seed is -1"),
        ({"balanced_test": True, "level": "breast"}, "balanced_test counts images"),
        ({"pretraining": PairSettings(), "level": "breast"}, "level is 'breast', but pretraining knows only 'image'"),
        ({"pretraining": PairSettings(), "label_fraction": 0.1}, "label_fraction is 0.1, but pretraining"),
        ({"pretraining": PairSettings(), "balanced_test": True}, "balanced_test is True, but pretraining"),
        ({"pretraining": PairSettings(), "balanced_sampling": True}, "balanced_sampling is True, but pretraining"),
        ({"pretraining": PairSettings(), "modality_dropout": 0.1}, "modality_dropout is 0.1, but pretraining"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, said):
    with pytest.raises(DataSettingsError, match=said):
        EMBEDDataModule(**settings)


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ({"tokenizer": "/nowhere/model"}, "there is no folder /nowhere/model"),
        ({"templates": "/nowhere/templates.yaml"}, "/nowhere/templates.yaml"),
        ({"max_tokens": 1}, "max_tokens: 1"),
    ],
)
def test_tokenizer_and_templates_are_tried_before_anything_is_read(tmp_path, pairs, said):
    with pytest.raises(DataSettingsError, match=said):
        EMBEDDataModule(root=tmp_path / "nowhere", pretraining=PairSettings(**pairs)).setup("fit")


def test_a_breast_may_lack_a_view_unless_that_is_refused(tmp_path):
    root = copy_of("embed", tmp_path / "embed")
    edit_csv(root / "tables/EMBED_OpenData_metadata_reduced.csv", 0, ViewPosition="ML")
    data = build(root, "fit", level="breast")
    [case] = [case for cases in data.splits.values() for case in cases if not case.has("CC")]
    assert case.has("MLO")
    assert data.left_out == {"view other than CC and MLO": 1}
    with pytest.raises(TableError, match=rf"case '{case.case_id}' has no CC \(1 such cases in all\)"):
        build(root, "fit", level="breast", allow_missing=False)


def test_of_several_images_of_a_view_one_is_drawn_or_all_are_shown():
    data = build(pristine("embed"), "fit", level="breast", target="density")
    several = [i for i, case in enumerate(data.splits["train"]) if len(case.images["CC"]) == 2]
    index = several[0]
    training, evaluation = data.dataset("train", training=True), data.dataset("train")
    assert evaluation[index]["images"]["CC"].shape[0] == 1
    training.transform = evaluation.transform  # no augmentation: what differs is the file
    drawn = {training[index, seed]["images"]["CC"].numpy().tobytes() for seed in range(12)}
    assert len(drawn) == 2
    assert evaluation[index]["images"]["CC"].numpy().tobytes() in drawn
    every = build(pristine("embed"), "fit", level="breast", target="density", images_per_view="all")
    assert every.dataset("train")[index]["images"]["CC"].shape[0] == 2


def test_severity_is_the_clinical_order():
    assert EMBEDDataModule().class_severity == [1, 2, 3, 6, 0, 4, 5]
    assert RSNAMammoDataModule().class_severity == [0, 1]


def test_batches_carry_breast_and_exam():
    data = build(pristine("rsna_mammo"), "test")
    batch = next(iter(data.test_dataloader()))
    assert list(batch["units"]) == ["breast", "exam"]
    assert batch["units"]["breast"] == [case.units["breast"] for case in data.splits["test"][:4]]


def test_pretraining_gives_image_text_batches_in_every_split():
    data = build(pristine("embed"), "fit", pretraining=PairSettings())
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        batch = next(iter(loader))
        assert batch["image"].shape == batch["second_image"].shape == (4, 3, 12, 12)
        assert batch["input_ids"].dtype == torch.int64
    figure = data.plot(data.dataset("test")[0])
    assert isinstance(figure, Figure)
    assert figure.get_supxlabel().startswith(data.dataset("test")[0]["sentences"][0][:20])


def test_pretraining_takes_images_whose_label_is_unknown():
    data = build(pristine("embed"), "fit", target="cancer", pretraining=PairSettings())
    labels = torch.cat([batch["label"] for batch in data.test_dataloader()]).tolist()
    assert labels == [-1 if case.label is None else case.label for case in data.splits["test"]]
    assert -1 in labels


def test_pretraining_in_folds_and_of_every_image():
    folds = [build(pristine("embed"), "fit", pretraining=PairSettings(), num_folds=3, fold=fold) for fold in range(3)]
    data = build(pristine("embed"), "predict", pretraining=PairSettings(), predict_split="all")
    shown = [name for batch in data.predict_dataloader() for name in batch["case_id"]]
    assert sorted(name for fold in folds for name in ids(fold, "test")) == sorted(shown)


def test_captions_hide_the_side_where_images_are_mirrored_or_turned():
    turned, plain = PreparationSettings(), PreparationSettings(orient="none")
    hides = {
        (preparation.orient, transform is not None): EMBEDDataModule(
            preparation=preparation, train_transform=transform, pretraining=PairSettings()
        ).captioner.hides_side
        for preparation in (turned, plain)
        for transform in (None, [])
    }
    assert hides == {("left", False): True, ("left", True): True, ("none", False): True, ("none", True): False}


def test_is_loaded_from_a_configuration_with_its_groups():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(EMBEDDataModule, "data")
    settings = {
        "pretraining": {"pair": "breast", "max_tokens": 64},
        "preparation": {"long_side": 512},
        "rules": {"missing_side": "drop"},
    }
    for path in ("data_modules.mammography.EMBEDDataModule", "EMBEDDataModule"):
        parsed = parser.parse_object({"data": {"class_path": path, "init_args": settings}})
        data = parser.instantiate_classes(parsed).data
        assert data.pretraining == PairSettings(pair="breast", max_tokens=64)
        assert data.preparation == PreparationSettings(long_side=512)
        assert data.rules.missing_side == "drop"
