"""Which image goes into which shard."""

import hashlib

import numpy as np
import pytest

from data_modules.errors import TableError
from data_modules.mammography.cases import TextColumn
from data_modules.mammography.prepare.manifest import COLUMNS
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.prepared import Prepared
from data_modules.mammography.shards.plan import Images, packed_bytes, plan_shards


def images(sizes, *, changed=None):
    """Images of some sizes; the hash of one of them is another."""
    names = [f"images/{number:03}.png" for number in range(len(sizes))]
    hashes = [hashlib.sha256(f"{name}{name == changed}".encode()).digest() for name in names]
    digests = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 32)
    return Images(TextColumn(names), np.array(sizes, dtype=np.int64), digests)


@pytest.mark.parametrize("seed", range(5))
def test_shards_hold_all_images_in_order_and_each_as_many_as_fit(seed):
    sizes = np.random.default_rng(seed).integers(1, 400, 100).tolist()
    shards = plan_shards(images(sizes), shard_bytes=1000)
    first = 0
    for shard in shards:
        own, rest = sizes[first : first + shard.images], sizes[first + shard.images :]
        assert shard.bytes == packed_bytes(own) <= 1000
        assert not rest or packed_bytes([*own, rest[0]]) > 1000
        first += shard.images
    assert first == len(sizes)


def test_an_image_larger_than_a_shard_is_one_of_its_own():
    assert [shard.images for shard in plan_shards(images([10, 5000, 10]), shard_bytes=100)] == [1, 1, 1]


def test_no_image_no_shard():
    assert plan_shards(images([]), shard_bytes=100) == ()


def test_names_tell_content():
    sizes = [30] * 9
    before = plan_shards(images(sizes), shard_bytes=140)
    after = plan_shards(images(sizes, changed="images/004.png"), shard_bytes=140)
    assert [shard.images for shard in before] == [3, 3, 3]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]
    assert before[1].file.split("-")[:2] == after[1].file.split("-")[:2] == ["shard", "000001"]


@pytest.mark.parametrize(
    "changes",
    [{"output_bytes": None}, {"output_bytes": 2**40}, {"output_sha256": None}, {"output_sha256": "g" * 64}],
    ids=str,
)
def test_a_manifest_without_sizes_and_hashes_is_refused(tmp_path, changes):
    import polars as pl

    row = {"image": "a.dcm", "output": "images/a.png", "output_bytes": 10, "output_sha256": "0" * 64, **changes}
    manifest = pl.DataFrame([row], schema={name: COLUMNS[name] for name in row})
    with pytest.raises(TableError, match=r"manifest.parquet: .*prepare the set again"):
        Images.of(Prepared(tmp_path, "embed", PreparationSettings(), manifest))
