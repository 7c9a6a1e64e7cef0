"""Partners by study and by breast, against a scan of all rows."""

import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data_modules.errors import DataSettingsError
from data_modules.mammography.pairs import PairIndex, rows_of_other_patients


def scan(codes, index):
    """The definition: every other row of the same unit, those that follow first."""
    same = [row for row, code in enumerate(codes) if code == codes[index] and code >= 0 and row != index]
    return [row for row in same if row > index] + [row for row in same if row < index]


@given(st.lists(st.tuples(st.integers(-1, 5), st.integers(-1, 9)), min_size=1, max_size=40))
def test_equals_a_scan_of_all_rows(units):
    studies, breasts = (list(column) for column in zip(*units, strict=True))
    pairs = PairIndex({"study": studies, "breast": breasts})
    assert len(pairs) == len(units)
    for index in range(len(units)):
        assert pairs.partners(index, "study").tolist() == scan(studies, index)
        assert pairs.partners(index, "breast").tolist() == scan(breasts, index)
    assert pairs.partner_counts("breast").tolist() == [len(scan(breasts, index)) for index in range(len(units))]


def test_partners_are_a_view_that_cannot_be_written():
    partners = PairIndex({"study": [7, 7, 7, 3]}).partners(1, "study")
    assert partners.base is not None
    with pytest.raises(ValueError, match="read-only"):
        partners[0] = 0


def test_survives_pickling_and_an_empty_set():
    pairs = pickle.loads(pickle.dumps(PairIndex({"study": [0, 1, 0]})))
    assert pairs.partners(2, "study").tolist() == [0]
    assert len(PairIndex({"study": np.empty(0)})) == 0


def test_refuses_kinds_of_different_length_and_unknown_kinds():
    with pytest.raises(DataSettingsError, match="'study': 2, 'breast': 1"):
        PairIndex({"study": [0, 1], "breast": [0]})
    with pytest.raises(DataSettingsError, match=r"no pairs by 'breast'; did you mean|allowed are 'study'"):
        PairIndex({"study": [0, 1]}).partners(0, "breast")


@given(patients=st.lists(st.integers(0, 9), min_size=2, max_size=60), seed=st.integers(0, 99))
def test_no_row_stands_in_for_one_of_its_own_patient(patients, seed):
    codes = np.array(patients, dtype=np.int32)
    assume(np.bincount(codes).max() <= len(codes) // 2)
    rows = rows_of_other_patients(codes, seed=seed)
    assert sorted(rows.tolist()) == list(range(len(codes)))
    assert (codes[rows] != codes).all()


def test_a_patient_with_most_of_the_images_leaves_no_others_to_take():
    with pytest.raises(DataSettingsError, match="more than half"):
        rows_of_other_patients(np.array([0, 0, 1], dtype=np.int32), seed=0)
