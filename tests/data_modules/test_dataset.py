import math

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


def case(case_id="a", label=None, variables=None, **files):
    images = {name: tuple(ImageFile(path, "here") for path in paths) for name, paths in files.items()}
    where = f"line {case_id}"
    return Case(case_id=case_id, group_id=case_id, images=images, label=label, where=where, variables=variables)


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


def test_variables_are_a_row_and_absent_where_none_is_known():
    cases = [case("a", x=("51",), variables=(0.5, math.nan)), case("b", x=("51",))]
    data = Slices(cases, modalities=["variables", "x"], transform=SeededTransform([], img_size=4))
    first, second = data[0], data[1]
    assert first["images"]["variables"].tolist()[0][0] == 0.5
    assert first["images"]["variables"].isnan().tolist() == [[False, True]]
    assert list(second["images"]) == ["x"]
    batch = collate([first, second])
    assert batch["images"]["variables"].shape == (2, 1, 2)
    assert batch["image_mask"]["variables"].tolist() == [[True], [False]]
    assert batch["images"]["variables"][1].tolist() == [[0.0, 0.0]]
    assert "variables" not in collate([second])["images"]


class Counting(Slices):
    """Notes what is read."""

    reads = 0

    def read(self, case, modality, generator):
        self.reads += 1
        return super().read(case, modality, generator)


def dropped(rate, *, requests, modalities=("x", "y", "z")):
    cases = [case(**{name: ("51",) for name in modalities if name != "variables"}, variables=(1.0,))]
    data = Counting(cases, modalities=modalities, transform=SeededTransform([], img_size=2))
    data.modality_dropout = rate
    kept = [frozenset(data[0, seed]["images"]) for seed in range(requests)]
    return kept, data


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_rate_and_leaves_one(rate):
    read, data = dropped(rate, requests=50)
    assert data.reads == sum(map(len, read))
    kept = [frozenset(data._kept(data.cases[0], seed)) for seed in range(2000)]  # without the images: quicker
    assert kept[:50] == read
    for name in "xyz":
        # Dropped: its draw is below the rate, unless all three are and it is the one that stays.
        assert abs(np.mean([name not in names for names in kept]) - (rate - rate**3 / 3)) < 0.04
    assert min(map(len, kept)) == 1


def test_dropout_is_a_function_of_the_request():
    assert dropped(0.5, requests=50)[0] == dropped(0.5, requests=50)[0]
    assert len(set(dropped(0.5, requests=50)[0])) > 3
    assert set(dropped(0.9, requests=50, modalities=("x",))[0]) == {frozenset("x")}
    assert set(dropped(0.0, requests=50)[0]) == {frozenset("xyz")}


def test_dropout_takes_variables_too():
    kept, _ = dropped(0.5, requests=100, modalities=("x", "variables"))
    assert set(kept) == {frozenset(["x"]), frozenset(["variables"]), frozenset(["x", "variables"])}


def test_what_is_kept_looks_as_without_dropout():
    _, data = dropped(0.5, requests=1)
    data.transform = SeededTransform(paper_augmentation(4), img_size=4)
    dropping = data[0, 4]["images"]
    data.modality_dropout = 0.0
    assert 0 < len(dropping) < 3
    assert all(torch.equal(images, data[0, 4]["images"][name]) for name, images in dropping.items())


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


def test_plot_writes_variables_under_the_images():
    both = sample("a", x=2)
    both["images"]["variables"] = torch.zeros(1, 2)
    figure = plot_sample(both, class_names=[], variables=["age 50", "sex unknown"])
    assert len(figure.axes) == 2
    assert figure.get_supxlabel() == "age 50\nsex unknown"
    alone = {"images": {"variables": torch.zeros(1, 2)}, "case_id": "b", "group_id": "b"}
    assert "age 50" in plot_sample(alone, class_names=[], variables=["age 50"]).get_supxlabel()
