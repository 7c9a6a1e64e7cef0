"""What every DataModule has to do; a set's tests subclass ``DataModuleContract`` and say how to make its tree."""

from abc import ABC, abstractmethod
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from data_modules.base import ClassificationDataModule
from data_modules.batch import VARIABLES
from data_modules.errors import DatasetNotFoundError

SIZE = 16
BATCH = 4


def same(a: Any, b: Any) -> bool:
    """Equality of nested batches, tensors bit by bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


class DataModuleContract(ABC):
    class_names: tuple[str, ...]
    modalities: tuple[str, ...]

    @abstractmethod
    def make_tree(self, root: Path) -> Path:
        """Write a look-alike tree in the official layout."""

    @abstractmethod
    def build(self, root: Path, **settings: Any) -> ClassificationDataModule:
        """The DataModule on a tree, with settings of the base class."""

    @abstractmethod
    def remove_labels(self, root: Path) -> None:
        """Take the labels out of a tree."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        return self.make_tree(tmp_path / "tree")

    def prepared(self, root: Path, *stages: str, **settings: Any) -> ClassificationDataModule:
        data = self.build(root, img_size=SIZE, batch_size=BATCH, **settings)
        for stage in stages:
            data.setup(stage)
        return data

    def test_describes_itself_without_reading_data(self, tmp_path):
        data = self.prepared(tmp_path / "nowhere")
        assert tuple(data.class_names) == self.class_names
        assert data.num_classes == len(self.class_names)
        assert tuple(data.modalities) == self.modalities
        assert (data.img_size, data.batch_size) == (SIZE, BATCH)
        assert bool(data.variables) == (VARIABLES in data.modalities)

    @pytest.mark.parametrize(
        ("stage", "loader"), [("fit", "train"), ("fit", "val"), ("test", "test"), ("predict", "predict")]
    )
    def test_batches_keep_the_contract(self, root, stage, loader):
        data = self.prepared(root, stage)
        for batch in getattr(data, f"{loader}_dataloader")():
            cases = len(batch["case_id"])
            assert len(batch["group_id"]) == cases
            assert batch["images"].keys() == batch["image_mask"].keys() <= set(self.modalities)
            for name, images in batch["images"].items():
                mask = batch["image_mask"][name]
                if name == VARIABLES:
                    assert images.shape == (cases, 1, len(data.variables))
                    assert images.dtype == torch.float32
                    assert mask.shape == (cases, 1)
                    continue
                assert images.shape == (cases, mask.shape[1], 3, SIZE, SIZE)
                assert images.dtype == torch.float32
                assert mask.dtype == torch.bool
                assert images.min() >= 0
                assert images.max() <= 1
                assert images.max() > 1 / 255  # not divided twice
                assert not images[~mask].any()
            label = batch["label"]
            assert label.shape == ((cases, data.num_classes) if data.multi_label else (cases,))
            assert label.dtype == (torch.float32 if data.multi_label else torch.int64)

    def test_evaluation_takes_every_case_once_in_order(self, root):
        data = self.prepared(root, "test")
        ids = [case for batch in data.test_dataloader() for case in batch["case_id"]]
        assert ids == [case.case_id for case in data.splits["test"]]
        assert len(set(ids)) == len(ids) > 0

    def test_no_group_in_two_splits(self, root):
        splits = self.prepared(root, "fit").splits.values()
        for a, b in combinations(splits, 2):
            assert not {case.group_id for case in a} & {case.group_id for case in b}
            assert not {case.case_id for case in a} & {case.case_id for case in b}

    def test_same_seed_same_samples_other_seed_others(self, root):
        first, again, other = (list(self.prepared(root, "fit", seed=seed).train_dataloader()) for seed in (3, 3, 4))
        assert all(same(a, b) for a, b in zip(first, again, strict=True))
        assert not all(same(a, b) for a, b in zip(first, other, strict=True))

    def test_every_case_is_tested_in_one_fold(self, root):
        pool = [case for cases in self.prepared(root, "fit").splits.values() for case in cases]
        folds = [self.prepared(root, "fit", num_folds=3, fold=fold, split_seed=1).splits for fold in range(3)]
        tested = [case.case_id for splits in folds for case in splits["test"]]
        assert sorted(tested) == sorted(case.case_id for case in pool)
        for splits, following in zip(folds, [*folds[1:], folds[0]], strict=True):
            assert splits["val"] == following["test"]
            assert sum(map(len, splits.values())) == len(pool)
            for a, b in combinations(splits.values(), 2):
                assert not {case.group_id for case in a} & {case.group_id for case in b}

    def test_a_fold_is_the_same_in_every_stage(self, root):
        folds = {"num_folds": 3, "fold": 1}
        fit, predict = (self.prepared(root, stage, **folds).splits["test"] for stage in ("fit", "predict"))
        assert [case.case_id for case in fit] == [case.case_id for case in predict]

    def test_dropout_leaves_every_case_a_modality(self, root):
        data = self.prepared(root, "fit", modality_dropout=0.6)
        present = []
        for batch in data.train_dataloader():
            masks = [batch["image_mask"].get(name) for name in self.modalities]
            columns = [torch.zeros(len(batch["case_id"])) if mask is None else mask.any(1).float() for mask in masks]
            present.append(torch.stack(columns, dim=1))
        assert (torch.cat(present).sum(1) >= 1).all()
        assert (torch.cat(present) == 0).any() == (len(self.modalities) > 1)
        assert all(
            batch["image_mask"][name].any(1).all() for batch in data.val_dataloader() for name in self.modalities
        )

    @pytest.mark.slow
    def test_workers_do_not_change_samples(self, root):
        alone, together = (
            self.prepared(root, "fit", num_workers=workers, modality_dropout=0.3).train_dataloader()
            for workers in (0, 2)
        )
        assert all(same(a, b) for a, b in zip(list(alone), list(together), strict=True))

    def test_weights_and_counts_follow_the_training_split(self, root):
        data = self.prepared(root, "fit")
        assert tuple(data.class_counts) == self.class_names
        assert data.class_weights.shape == (data.num_classes,)
        assert data.class_weights.dtype == torch.float32
        assert torch.isfinite(data.class_weights).all()

    def test_hashes_name_tables_and_splits(self, root):
        hashes = self.prepared(root, "fit").data_hashes()
        assert hashes == self.prepared(root, "fit").data_hashes()
        assert {"split/train", "split/val", "split/test"} < hashes.keys()
        assert all(len(value) == 64 for value in hashes.values())

    def test_predicts_without_labels(self, root):
        self.remove_labels(root)
        data = self.prepared(root, "predict", predict_split="all")
        batches = list(data.predict_dataloader())
        assert batches
        assert all("label" not in batch for batch in batches)

    def test_plot_is_a_figure(self, root):
        data = self.prepared(root, "test")
        sample = data.dataset("test")[0]
        figure = data.plot(sample)
        assert isinstance(figure, Figure)
        assert sample["case_id"] in figure.get_suptitle()

    @pytest.mark.parametrize("stage", ["fit", "validate", "test", "predict"])
    def test_missing_root_says_what_to_do(self, tmp_path, stage):
        with pytest.raises(DatasetNotFoundError, match=r"not found: no .* below .*nowhere.*medlit data synth"):
            self.prepared(tmp_path / "nowhere", stage)
