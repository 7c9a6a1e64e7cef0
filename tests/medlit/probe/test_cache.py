"""Features are kept under all that decides them, whole or not at all, whoever else writes."""

import json
import threading

import pytest
import torch
from safetensors.torch import save_file

from medlit.errors import ConfigurationError
from medlit.probe import FeatureCache
from medlit.probe import cache as module

SETTINGS = {"weights": "a1", "images": {"img_size": 32}}
WIDTH = 5


def cache(root, **settings):
    made = FeatureCache(root, {**SETTINGS, **settings}, width=WIDTH)
    made.read()
    return made


def rows(*cases):
    """A feature of each case, made of its number."""
    return torch.tensor([[float(case[1:]) + place / 7 for place in range(WIDTH)] for case in cases])


def names(*numbers):
    return [f"c{number}" for number in numbers]


def shards(made):
    return sorted(made.folder.glob("*.safetensors"))


def filled(root, *numbers, **settings):
    made = cache(root, **settings)
    made.add(names(*numbers), rows(*names(*numbers)))
    made.flush()
    return made


def test_features_come_back_bit_for_bit_by_case(tmp_path):
    filled(tmp_path, 3, 1, 2)
    again = cache(tmp_path)
    assert again.case_ids == {"c1", "c2", "c3"}
    assert torch.equal(again.of(["c2", "c3"]), rows("c2", "c3"))
    assert ("c1" in again, "c9" in again) == (True, False)
    assert again.of([]).shape == (0, WIDTH)
    with pytest.raises(KeyError):
        again.of(["c9"])


def test_whatever_decides_a_feature_is_a_folder_of_its_own_that_says_what_it_is(tmp_path):
    made = filled(tmp_path, 1)
    for other in ({"weights": "b2"}, {"images": {"img_size": 33}}, {"more": None}):
        assert len(cache(tmp_path, **other)) == 0
        assert cache(tmp_path, **other).key != made.key
    said = json.loads((made.folder / "settings.json").read_text())
    assert said == {**SETTINGS, "format_version": module.FORMAT_VERSION, "width": WIDTH}
    assert made.folder.parent == tmp_path
    assert {path.parent for path in tmp_path.rglob("*") if path.is_file()} == {made.folder}


def test_shards_are_written_while_encoding_so_that_a_run_that_ends_early_loses_little(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_ROWS", 4)
    made = cache(tmp_path)
    made.add(names(0, 1, 2), rows(*names(0, 1, 2)))
    assert len(cache(tmp_path)) == 0
    made.add(names(2, 3, 4), rows(*names(2, 3, 4)))
    made.add(names(5), rows("c5"))  # lost: the run ends here
    assert cache(tmp_path).case_ids == set(names(0, 1, 2, 3, 4))
    assert len(shards(made)) == 1


def test_a_slow_encoder_writes_by_the_clock(tmp_path, monkeypatch):
    made = cache(tmp_path)
    monkeypatch.setattr(module, "SHARD_SECONDS", 0.0)
    made.add(names(0), rows("c0"))
    assert cache(tmp_path).case_ids == {"c0"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content[:-3], "cannot be read"),
        (lambda content: content[:20], "cannot be read"),
        (lambda content: b"", "cannot be read"),
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "hash differs"),
        (lambda content: content.replace(b"c1", b"c7", 1), "hash differs"),
    ],
    ids=["cut short", "header alone", "empty", "a bit flipped", "another case's name"],
)
def test_a_broken_shard_is_told_removed_and_its_cases_encoded_again(tmp_path, damage, words):
    filled(tmp_path, 1, 2)
    made = filled(tmp_path, 8)
    [broken] = [path for path in shards(made) if b"c1" in path.read_bytes()]
    broken.write_bytes(damage(broken.read_bytes()))
    again = cache(tmp_path)
    assert again.case_ids == {"c8"}
    [fault] = again.faults
    assert str(broken) in fault
    assert words in fault
    again.add(names(1, 2), rows("c1", "c2"))
    again.flush()
    whole = cache(tmp_path)
    assert (whole.case_ids, whole.faults) == ({"c1", "c2", "c8"}, [])


def test_a_shard_of_another_cache_or_no_shard_at_all_is_not_taken(tmp_path):
    made, other = filled(tmp_path, 1), filled(tmp_path, 2, weights="b2")
    [foreign] = shards(other)
    (made.folder / foreign.name).write_bytes(foreign.read_bytes())
    save_file({"features": torch.zeros(1, WIDTH)}, made.folder / "features-0.safetensors")
    again = cache(tmp_path)
    assert again.case_ids == {"c1"}
    assert len(again.faults) == 2
    assert all("no shard of this cache" in fault for fault in again.faults)


def test_runs_at_once_leave_whole_shards_and_the_same_features(tmp_path):
    runs = [cache(tmp_path) for _ in range(8)]
    ready = threading.Barrier(len(runs))

    def encode(made):
        ready.wait()
        for start in range(0, 40, 4):
            ids = names(*range(start, start + 4))
            made.add(ids, rows(*ids))
            made.flush()

    threads = [threading.Thread(target=encode, args=(made,)) for made in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    again = cache(tmp_path)
    assert (again.case_ids, again.faults) == (set(names(*range(40))), [])
    assert torch.equal(again.of(names(*range(40))), rows(*names(*range(40))))
    assert len(shards(again)) == 10  # what is the same has the same name
    assert [path.name for path in again.folder.iterdir() if path.name.startswith(".")] == []


def test_what_another_run_wrote_since_is_taken_in_by_the_next_reading(tmp_path):
    first = filled(tmp_path, 1)
    filled(tmp_path, 2)
    first.read()
    assert first.case_ids == {"c1", "c2"}


def test_without_a_folder_features_are_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = cache(None)
    made.add(["c1"], rows("c1"))
    made.flush()
    assert torch.equal(made.of(["c1"]), rows("c1"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    made = cache(tmp_path / "file")
    made.add(["c1"], rows("c1"))
    with pytest.raises(ConfigurationError, match=r"features cannot be kept in .*file.*give cache_dir another folder"):
        made.flush()
