import hashlib

import pytest

from data_modules.cases import Case
from data_modules.errors import SplitLeakageError
from data_modules.splits import check_disjoint, file_hash, ids_hash

SOURCES = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


def case(case_id, group_id):
    return Case(case_id=case_id, group_id=group_id, images={}, label=0, where=f"table line {case_id}")


def test_groups_within_a_split_may_repeat():
    check_disjoint({"train": [case("1", "a"), case("2", "a")], "val": [], "test": [case("3", "b")]}, sources=SOURCES)


@pytest.mark.parametrize(("leak", "message"), [(case("1", "c"), "share case '1'"), (case("4", "a"), "share group 'a'")])
def test_leaks_are_named(leak, message):
    splits = {"train": [case("1", "a")], "val": [case("2", "b")], "test": [leak]}
    with pytest.raises(SplitLeakageError, match=rf"train.txt and test.txt {message} \(table line"):
        check_disjoint(splits, sources=SOURCES)


def test_hashes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()
    assert ids_hash(["1", "2"]) == hashlib.sha256(b"1\n2").hexdigest() != ids_hash(["2", "1"])
