import numpy as np
import pytest
import torch

from data_modules.cases import Case, ImageFile, check_labelled, label_groups, label_matrix
from data_modules.dataset import CaseDataset, collate
from data_modules.errors import TableError
from data_modules.plot import plot_sample
from data_modules.transforms import SeededTransform, paper_augmentation


def sample(case_id, label=None, **counts):
    images = {name: torch.ones(count, 3, 2, 2) for name, count in counts.items()}
    known = {} if label is None else {"label": torch.tensor(label)}
    return {"images": images, "case_id": case_id, "group_id": f"g{case_id}", **known}


def case(case_id="a", label=None, **files):
    images = {name: tuple(ImageFile(path, "here") for path in paths) for name, paths in files.items()}
    return Case(case_id=case_id, group_id=case_id, images=images, label=label, where=f"line {case_id}")


class Slices(CaseDataset):
    """Every file is a gray ramp: as a set of volumes would read its slices."""

    def read(self, case, modality, generator):
        return [np.full((8, 8, 3), int(file.path), np.uint8) for file in case.images[modality]]


def test_ragged_cases_are_padded_and_masked():
    batch = collate([sample("a", 1, x=3), sample("b", 0, x=1, y=2)])
    assert batch["images"]["x"].shape == (2, 3, 3, 2, 2)
    assert batch["image_mask"]["x"].tolist() == [[True] * 3, [True, False, False]]
    assert batch["image_mask"]["y"].tolist() == [[False] * 2, [True] * 2]
    assert batch["images"]["x"].sum() == 4 * 12
    assert batch["label"].tolist() == [1, 0]
    assert (batch["case_id"], batch["group_id"]) == (["a", "b"], ["ga", "gb"])


def test_unknown_labels():
    assert "label" not in collate([sample("a", x=1), sample("b", x=1)])
    assert collate([sample("a", 2, x=1), sample("b", x=1)])["label"].tolist() == [2, -1]
    several = collate([sample("a", [0.0, 1.0], x=1), sample("b", x=1)])["label"]
    assert several[0].tolist() == [0, 1]
    assert several[1].isnan().all()


def test_every_image_is_augmented_by_itself():
    transform = SeededTransform(paper_augmentation(8), img_size=8)
    data = Slices([case(x=("100", "100"), y=("100",))], modalities=["x", "y"], transform=transform)
    images = data[0, 5]["images"]
    assert not torch.equal(images["x"][0], images["x"][1])
    assert not torch.equal(images["x"][0], images["y"][0])
    assert torch.equal(data[0, 5]["images"]["x"], images["x"])
    assert not torch.equal(data[0, 6]["images"]["x"], images["x"])


def test_absent_modalities_have_no_key_and_several_labels_are_floats():
    data = Slices([case(x=("51",), label=(1, 0, 1))], modalities=["x", "y"], transform=SeededTransform([], img_size=4))
    only = data[0]
    assert list(only["images"]) == ["x"]
    torch.testing.assert_close(only["images"]["x"], torch.full((1, 3, 4, 4), 0.2))
    assert only["label"].dtype == torch.float32


def test_label_groups_are_combinations_and_the_matrix_is_multi_hot():
    several = [case(label=(1, 0)), case(label=(1, 1)), case(label=(1, 0))]
    assert label_groups(several) == [0, 1, 0]
    assert label_matrix(several, num_classes=2).tolist() == [[1, 0], [1, 1], [1, 0]]
    assert label_matrix([case(label=2), case(), case(label=0)], num_classes=3).tolist() == [[0, 0, 1], [1, 0, 0]]


def test_unlabelled_case_is_named():
    with pytest.raises(TableError, match="line b: no label"):
        check_labelled([case("a", label=0), case("b")])


def test_plot_of_ragged_cases():
    figure = plot_sample(sample("a", [1.0, 0.0, 1.0], x=3, y=1), class_names=["p", "q", "r"])
    assert len(figure.axes) == 6
    assert figure.get_suptitle() == "case a: p, r"
