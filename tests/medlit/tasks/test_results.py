"""Rows of several processes come back in the order of the table, each case once."""

import pytest
import torch

from medlit.tasks.results import UNKNOWN_LABEL, CaseResults, _deal_back, gather, join


def rows(cases: list[int], *, label: bool | str = True) -> CaseResults:
    number = torch.tensor(cases, dtype=torch.float32)[:, None]
    labels = {True: number[:, 0].long(), False: None, "multi": torch.ones(len(cases), 2)}
    return CaseResults(
        case_id=[f"c{case}" for case in cases],
        group_id=[f"g{case}" for case in cases],
        label=labels[label],
        logits={"fused": torch.cat([number, -number], dim=1)},
        gate=number,
        strata={"site": [str(case % 2) for case in cases]},
    )


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("cases", [1, 5, 6, 7])
def test_cases_are_dealt_back_in_order_without_repeats(world, cases):
    each = -(-cases // world)
    shares = [rows([(rank + turn * world) % cases for turn in range(each)]) for rank in range(world)]
    whole = _deal_back(shares)
    assert whole.case_id == [f"c{case}" for case in range(cases)]
    assert whole.group_id == [f"g{case}" for case in range(cases)]
    assert whole.answer[:, 0].tolist() == list(range(cases))
    assert whole.gate.tolist() == [[case] for case in range(cases)]
    assert whole.label.tolist() == list(range(cases))
    assert whole.strata == {"site": [str(case % 2) for case in range(cases)]}


def test_shares_of_different_length_are_dealt_back_too():
    assert _deal_back([rows([0, 2, 4]), rows([1, 3])]).case_id == ["c0", "c1", "c2", "c3", "c4"]


def test_nothing_gathered_is_none():
    assert gather([]) is None


def test_labels_missing_in_some_batches_are_unknown():
    assert join([rows([0, 1], label=False), rows([2])]).label.tolist() == [UNKNOWN_LABEL, UNKNOWN_LABEL, 2]
    several = join([rows([0], label=False), rows([2], label="multi")])
    assert several.label.isnan().tolist() == [[True, True], [False, False]]
    assert several.labelled().case_id == ["c2"]


def test_a_stratum_has_its_rows_in_their_order_and_strata_that_of_their_names():
    parts = rows([3, 0, 1, 2]).by_stratum()
    assert {name: part.case_id for name, part in parts.items()} == {"site=0": ["c0", "c2"], "site=1": ["c3", "c1"]}
    assert list(parts) == ["site=0", "site=1"]


def test_labelled_leaves_the_unknown_out():
    assert join([rows([0, 1], label=False), rows([2, 3])]).labelled().case_id == ["c2", "c3"]
    assert rows([0, 1], label=False).labelled().case_id == []


def test_probabilities_are_the_softmax_or_for_several_labels_the_sigmoid():
    logits = rows([0, 1, 2])
    assert torch.allclose(logits.probabilities("fused", multi_label=False).sum(dim=1), torch.ones(3).double())
    assert logits.probabilities("fused", multi_label=True)[0].tolist() == [0.5, 0.5]
