"""What tasks ask of a DataModule, or tell it, before its loaders are made."""

import json

import albumentations as A
import pytest

from data_modules.errors import UnreadableImageError
from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.embed.rules import EmbedRules
from data_modules.skin import Derm7ptDataModule
from tests.data_modules.trees import make_derm7pt


@pytest.fixture
def make(tmp_path):
    root = make_derm7pt(tmp_path / "tree")

    def datamodule(**settings):
        return Derm7ptDataModule(root=root, **{"img_size": 8, "batch_size": 4, "modalities": ["derm"], **settings})

    return datamodule


def test_images_that_are_not_needed_are_not_read_and_their_batches_hold_all_else(make):
    data = make()
    data.setup("fit")
    ids = [case.case_id for case in data.splits["val"]]
    whole = [data.dataset("val")[index] for index in range(len(ids))]
    data.skip_images = {ids[0]}
    (data.root / "images").rename(data.root / "elsewhere")  # reading one would fail
    skipped = data.dataset("val")[0]
    assert skipped["images"] == {}
    assert {**skipped, "images": None} == {**whole[0], "images": None}
    with pytest.raises(UnreadableImageError):
        data.dataset("val")[1]
    batch = data.dataset("val").collate([skipped, whole[1]])
    assert batch["image_mask"]["derm"].tolist() == [[False], [True]]
    assert data.dataset("val").collate([skipped, skipped])["images"] == {}


def test_plain_training_reads_the_training_split_as_evaluation_does(make):
    data = make(modalities=["clinic", "derm"], modality_dropout=0.9)
    data.setup("fit")
    plain = data.dataset("train")
    data.plain_training = True
    training = data.dataset("train", training=True)
    for index in range(len(plain)):
        first, second = plain[index, 0], training[index, 3]
        assert first["images"].keys() == second["images"].keys()
        assert all(first["images"][name].equal(second["images"][name]) for name in first["images"])


def test_what_a_task_set_ends_with_the_next_setup(make):
    data = make()
    data.skip_images, data.plain_training = {"1"}, True
    data.setup("fit")
    assert (data.skip_images, data.plain_training) == (frozenset(), False)


def test_settings_that_draw_in_training_are_named_with_what_ends_them(make):
    assert make(balanced_sampling=True, modality_dropout=0.1, modalities=["clinic", "derm"]).training_draws() == {
        "balanced_sampling": "false",
        "modality_dropout": "0",
        "train_transform": "[]",
    }
    assert make(balanced_sampling=False, train_transform=[]).training_draws() == {}
    same = [A.Resize(8, 8), A.CLAHE(p=1)]
    plain = {"balanced_sampling": False, "train_transform": same}
    assert make(**plain, eval_transform=same).training_draws() == {}
    assert make(**plain).training_draws() == {"train_transform": "[]"}


def test_settings_of_images_tell_apart_what_shows_other_pixels(make):
    said = [
        make().image_settings(),
        make(img_size=9).image_settings(),
        make(modalities=["clinic"]).image_settings(),
        make(eval_transform=[A.CLAHE(p=1)]).image_settings(),
    ]
    assert all(one != other for place, one in enumerate(said) for other in said[:place])
    assert make(seed=3, batch_size=1, train_transform=[]).image_settings() == said[0]


def test_rules_of_joining_tables_are_settings_of_images_too():
    said = [EMBEDDataModule(root="none", rules=rules).image_settings() for rules in (None, EmbedRules(biopsy_days=90))]
    one, other = (json.dumps(each) for each in said)  # plain types
    assert one != other
