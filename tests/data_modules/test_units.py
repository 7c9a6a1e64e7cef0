"""What a case is a part of (its breast, its exam) comes along to the batch."""

import pytest

from data_modules.cases import Case
from data_modules.dataset import CaseDataset, collate
from data_modules.errors import TableError
from data_modules.transforms import SeededTransform


def dataset(*units, groups="ppp"):
    cases = [
        Case(case_id=str(i), group_id=groups[i], images={}, label=i, where=f"line {i}", variables=(1.0,), units=mine)
        for i, mine in enumerate(units)
    ]
    return CaseDataset(cases, modalities=["variables"], transform=SeededTransform([], img_size=2))


def test_units_reach_the_batch_in_their_order():
    data = dataset({"breast": "E1_L", "exam": "E1"}, {"breast": "E1_R", "exam": "E1"})
    assert data[1]["units"] == {"breast": "E1_R", "exam": "E1"}
    batch = collate([data[1], data[0]])
    assert list(batch["units"].items()) == [("breast", ["E1_R", "E1_L"]), ("exam", ["E1", "E1"])]


def test_a_set_without_units_has_no_key():
    data = dataset(None, {})
    assert "units" not in data[0]
    assert "units" not in collate([data[0], data[1]])


@pytest.mark.parametrize("other", [None, {"exam": "E1"}, {"exam": "E1", "breast": "E1_L"}])
def test_cases_of_different_kinds_are_refused(other):
    with pytest.raises(TableError, match=r"line 1: part of .*, where line 0 is part of breast, exam"):
        dataset({"breast": "E1_L", "exam": "E1"}, other)


def test_a_unit_in_two_larger_ones_or_groups_is_named():
    whole = {"breast": "E1_L", "exam": "E1"}
    with pytest.raises(
        TableError, match="line 2: breast 'E1_L' is part of exam 'E2', but of 'E1' in line 0; give each"
    ):
        dataset(whole, {"breast": "E1_R", "exam": "E1"}, whole | {"exam": "E2"})
    with pytest.raises(TableError, match="line 1: exam 'E1' is part of group 'q', but of 'p' in line 0"):
        dataset(whole, {"breast": "E1_R", "exam": "E1"}, groups="pq")
