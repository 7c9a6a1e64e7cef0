"""Batches of shards are those of the folder, bit by bit: whoever reads them, from wherever in an epoch."""

import pickle
from types import SimpleNamespace

import pytest
import torch

from data_modules.errors import (
    DataError,
    DataSettingsError,
    PreparationMismatchError,
    TableError,
    UnreadableImageError,
)
from data_modules.mammography import EMBEDDataModule, RSNAMammoDataModule
from data_modules.mammography.audit import is_prepared
from data_modules.mammography.embed.audit import audit_embed
from data_modules.mammography.image_text import PairSettings
from data_modules.mammography.prepared import MANIFEST
from data_modules.mammography.shards import object_store
from data_modules.mammography.shards.layout import INDEX
from data_modules.mammography.shards.reader import ShardFiles
from tests.data_modules.contract import same
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.mammography.shards.trees import copy_of_shards, pristine_shards, shard_files

KINDS = {
    "pretraining": {"pretraining": PairSettings()},
    "images": {"target": "density"},
    "breasts": {"level": "breast", "target": "density", "modality_dropout": 0.3, "images_per_view": "all"},
}


def loader(root, kind, *, rank=0, world_size=1, num_workers=0):
    """The training batches of one process."""
    data = EMBEDDataModule(root=root, img_size=12, batch_size=8, num_workers=num_workers, **KINDS[kind])
    strategy = SimpleNamespace(root_device=torch.device("cpu"))
    data.trainer = SimpleNamespace(world_size=world_size, global_rank=rank, strategy=strategy)
    data.setup("fit")
    return data.train_dataloader()


def assert_same(first, second):
    """Two lists of batches, neither of them empty."""
    assert first
    assert len(first) == len(second)
    assert all(same(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_process_gets_the_batches_of_the_folder_epoch_by_epoch(kind, world_size):
    seen = []
    for rank in range(world_size):
        single, sharded = (
            loader(root, kind, rank=rank, world_size=world_size)
            for root in (pristine("embed"), pristine_shards("embed"))
        )
        assert isinstance(sharded.dataset.files, ShardFiles)
        for epoch in (0, 1):
            for each in (single, sharded):
                each.sampler.set_epoch(epoch)
            batches = list(sharded)
            assert_same(list(single), batches)
            seen.append([case for batch in batches for case in batch["case_id"]])
    assert len(set(map(tuple, seen))) == len(seen)  # no process and no epoch is like another


def steps(loader, number):
    """So many batches of the epoch; the loader knows how far it is."""
    batches = iter(loader)
    return [next(batches) for _ in range(number)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_goes_on_in_the_middle(kind):
    single, sharded = (
        loader(root, kind, rank=1, world_size=2) for root in (pristine("embed"), pristine_shards("embed"))
    )
    for each in (single, sharded):
        each.sampler.set_epoch(1)
    whole = list(single)
    steps(single, 3)
    sharded.load_state_dict(single.state_dict())  # as a run does that goes on
    assert_same(list(sharded), whole[3:])


@pytest.mark.slow
def test_workers_change_nothing_not_even_in_the_middle_of_an_epoch():
    single, sharded = (
        loader(root, "pretraining", rank=1, world_size=2, num_workers=workers)
        for root, workers in ((pristine("embed"), 0), (pristine_shards("embed"), 2))
    )
    for epoch in (0, 1):
        for each in (single, sharded):
            each.sampler.set_epoch(epoch)
        whole = list(single)
        assert_same(list(sharded), whole)
        steps(single, 3)
        sharded.load_state_dict(single.state_dict())
        assert_same(list(sharded), whole[3:])


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_evaluation_is_the_folders(stage):
    batches = []
    for root in (pristine("embed"), pristine_shards("embed")):
        data = EMBEDDataModule(root=root, img_size=12, predict_split="all")
        data.setup(stage)
        loaders = {
            "validate": data.val_dataloader,
            "test": data.test_dataloader,
            "predict": data.predict_dataloader,
        }
        batches.append(list(loaders[stage]()))
    assert_same(*batches)


def test_hashes_and_so_kept_features_are_the_folders():
    hashes = []
    for root in (pristine("embed"), pristine_shards("embed")):
        data = EMBEDDataModule(root=root, img_size=12)
        data.setup("fit")
        hashes.append((data.data_hashes(), data.dataset("train").image_settings()))
    assert hashes[0] == hashes[1]


def test_connections_do_not_travel_to_a_worker():
    files = loader(pristine_shards("embed"), "images").dataset
    first = files[0]
    assert same(pickle.loads(pickle.dumps(files))[0], first)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-100])


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def flip_offset(file):
    content = bytearray(file.read_bytes())
    content[7] ^= 0x80  # where the first image begins, is now beyond the end
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, r"OSError: \d[\d,]+ bytes, not \d[\d,]+"),
        (flip, r"the bytes of images/\S+ changed since they were written"),
        (flip_offset, r"\w+"),
        (lambda file: file.unlink(), r"No such file"),
    ],
    ids=["truncated", "bit flipped", "offset changed", "missing"],
)
def test_a_damaged_shard_is_named_in_one_line_that_says_what_to_do(tmp_path, damage, reason):
    root = copy_of_shards("embed", tmp_path / "shards")
    file = shard_files(root)[4]
    damage(file)
    with pytest.raises(UnreadableImageError, match=reason) as caught:
        list(loader(root, "images"))
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "manifest.parquet, image images/" in message
    assert message.endswith("write it again: medlit data shard, or copy the set anew")
    assert "\n" not in message


@pytest.mark.slow
def test_a_worker_says_so_too(tmp_path):
    root = copy_of_shards("embed", tmp_path / "shards")
    flip(shard_files(root)[4])
    with pytest.raises(UnreadableImageError, match="changed since they were written"):
        list(loader(root, "images", num_workers=1))


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_an_index_that_is_exchanged_after_it_was_checked_is_refused(tmp_path, workers):
    root = copy_of_shards("embed", tmp_path / "shards")
    batches = loader(root, "images", num_workers=workers)
    (root / INDEX).write_text((root / INDEX).read_text().replace('["bytes"]', '["pickle"]'))
    with pytest.raises(TableError, match=r"index\.json: not as medlit data shard writes it.*pickle"):
        list(batches)


def test_shards_of_another_manifest_are_refused(tmp_path):
    import polars as pl

    root = copy_of_shards("embed", tmp_path / "shards")
    manifest = pl.read_parquet(root / MANIFEST)
    manifest.with_columns(pl.col("output_sha256").str.replace("0", "1")).write_parquet(root / MANIFEST)
    with pytest.raises(PreparationMismatchError, match=r"shards.json: these shards were not made of the images"):
        loader(root, "images")


def test_shards_of_another_set_are_refused():
    with pytest.raises(PreparationMismatchError, match="holds a prepared embed, not rsna_mammo"):
        RSNAMammoDataModule(root=pristine_shards("embed"), target="cancer").setup("fit")


def test_without_litdata_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(object_store.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataSettingsError, match=r'install it: pip install "medlit\[shards\]"'):
        loader(pristine_shards("embed"), "images")


def test_an_audit_looks_at_the_shards(tmp_path):
    assert is_prepared(pristine_shards("embed"))
    whole = audit_embed(pristine_shards("embed"))
    assert whole.sound
    assert "166 images in 10 files" in whole.by_kind("note")["in shards"]
    root = copy_of_shards("embed", tmp_path / "shards")
    truncate(shard_files(root)[1])
    shard_files(root)[2].unlink()
    damaged = audit_embed(root).by_kind("fault")["damaged shard"]
    assert ["missing" in fault for fault in damaged] == [False, True]
    (root / "shards.json").write_text("{}")
    with pytest.raises(DataError, match=r"shards.json"):
        loader(root, "images")
    assert audit_embed(root).by_kind("fault")["no description of the shards"]
