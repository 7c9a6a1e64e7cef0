"""Shards by their address: over HTTP on the loopback, to LitData an S3 like any other."""

import os
import resource
import stat
import tempfile
from pathlib import Path

import pytest

from data_modules.errors import DatasetNotFoundError, DataSettingsError, OutputError, TableError, UnreadableImageError
from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from data_modules.mammography.prepared import MANIFEST
from data_modules.mammography.shards import layout, object_store, reader
from data_modules.mammography.shards.object_store import split_root
from tests.data_modules.contract import same
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.mammography.shards.trees import copy_of_shards, pristine_shards, shard_files
from tests.data_modules.mammography.shards.trees import object_store as serve

URL = "s3://bucket/sets/embed"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A copy of the shards, served; its folder is ``store.shards``, what is fetched goes to ``store.cache``."""
    shards = copy_of_shards("embed", tmp_path / "bucket" / "sets" / "embed")
    with serve(tmp_path / "bucket", monkeypatch, tmp_path / "cache") as server:
        server.shards, server.cache = shards, tmp_path / "cache"
        yield server


def batches(root, **settings):
    data = EMBEDDataModule(root=root, img_size=12, batch_size=8, pretraining=PairSettings(), **settings)
    data.prepare_data()
    data.setup("fit")
    return list(data.train_dataloader())


def asked_for(store, pattern=""):
    return [path for method, path, _ in store.asked if method == "GET" and pattern in path]


def assert_same(first, second):
    assert all(same(one, two) for one, two in zip(first, second, strict=True))


def test_batches_are_the_folders_and_every_object_is_fetched_once(store):
    expected = batches(pristine("embed"))
    assert_same(batches(URL), expected)
    fetched = [path for path in asked_for(store) if not path.endswith("shards.json")]
    assert len(fetched) == len(set(fetched)) == 10 + 5
    store.asked.clear()
    assert_same(batches(URL), expected)  # another run on this machine
    assert {Path(path).name for path in asked_for(store)} == {"shards.json"}
    [folder] = store.cache.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {file.name for file in shard_files(folder)} == {file.name for file in shard_files(store.shards)}


@pytest.mark.slow
def test_workers_fetch_for_themselves(store):
    assert_same(batches(URL, num_workers=2), batches(pristine("embed")))
    assert set(asked_for(store, "shard-")) == {f"sets/embed/{file.name}" for file in shard_files(store.shards)}


def test_where_the_disk_is_too_small_images_are_fetched_one_by_one(store, monkeypatch):
    monkeypatch.setattr(reader, "KEEP_BELOW", 0.0)
    assert_same(batches(URL), batches(pristine("embed")))
    [folder] = store.cache.iterdir()
    assert shard_files(folder) == []
    ranges = [asked for _, path, asked in store.asked if "shard-" in path]
    lengths = [int(last) - int(first) + 1 for first, last in (asked.split("=")[1].split("-") for asked in ranges)]
    assert max(lengths) < 2_000  # never a whole shard


def test_where_the_disk_fills_up_images_are_fetched_one_by_one(store):
    expected = batches(pristine("embed"))
    data = EMBEDDataModule(root=URL, img_size=12, batch_size=8, pretraining=PairSettings())
    data.setup("fit")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        assert_same(list(data.train_dataloader()), expected)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert shard_files(data.root) == []


def test_a_set_that_was_sharded_anew_is_noticed(store):
    batches(URL)
    description = store.shards / layout.DESCRIPTION
    description.write_text(description.read_text().replace('"shard_bytes": 20000', '"shard_bytes": 20001'))
    store.asked.clear()
    assert_same(batches(URL), batches(pristine("embed")))
    assert asked_for(store, "shard-") == []  # the same images, as their names say


@pytest.mark.parametrize("how", ["missing", "cut short", "changed", "kept and changed"])
def test_a_damaged_shard_is_named_by_its_address(store, how):
    file = shard_files(store.shards)[4]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    if how == "kept and changed":
        batches(URL)
        [folder] = store.cache.iterdir()
        (folder / file.name).write_bytes(content)
    elif how == "missing":
        file.unlink()
    else:
        file.write_bytes(content if how == "changed" else content[:-100])
    with pytest.raises(UnreadableImageError) as caught:
        batches(URL)
    message = str(caught.value)
    assert message.startswith(f"{URL}/{file.name}: ")
    reasons = {
        "missing": "NoSuchKey",
        "cut short": "bytes",
        "changed": "changed since",
        "kept and changed": "changed since",
    }
    assert reasons[how] in message
    assert ("so that it is fetched anew" in message) == ("changed" in how)
    assert "\n" not in message


def test_no_object_there_is_one_line(store):
    with pytest.raises(
        DatasetNotFoundError, match=r"s3://bucket/none/shards.json cannot be fetched .*404.*check"
    ) as caught:
        batches("s3://bucket/none")
    assert "\n" not in str(caught.value)


def test_no_credentials_is_one_line(store, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    with pytest.raises(DatasetNotFoundError, match=r"NoCredentialsError: .*the credentials in the environment"):
        batches(URL)


def test_a_table_that_differs_from_the_description_is_refused(store):
    content = bytearray((store.shards / MANIFEST).read_bytes())
    content[100] ^= 1
    (store.shards / MANIFEST).write_bytes(content)
    with pytest.raises(TableError, match=r"manifest.parquet: not as shards.json says"):
        batches(URL)


def test_a_table_that_nobody_reads_is_not_fetched(store):
    description = store.shards / layout.DESCRIPTION
    (store.shards / ".bashrc").write_text("exit")
    other = '"tables": [{"file": ".bashrc", "bytes": 4, "sha256": "' + "0" * 64 + '"},'
    description.write_text(description.read_text().replace('"tables": [', other))
    batches(URL)
    assert asked_for(store, ".bashrc") == []


def test_the_index_of_the_store_is_never_read(store):
    (store.shards / layout.INDEX).write_text('{"config": {"data_format": ["pickle"]}}')
    assert_same(batches(URL), batches(pristine("embed")))
    assert asked_for(store, layout.INDEX) == []


def test_a_huge_description_is_given_up(store, monkeypatch):
    monkeypatch.setattr(object_store, "MAX_DESCRIPTION_BYTES", 1000)
    with pytest.raises(DatasetNotFoundError, match="larger than 1,000 bytes"):
        batches(URL)


def test_a_folder_of_somebody_else_is_refused(store, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(OutputError, match="belongs to another user; name a folder of your own by LITDATA_CACHE_DIR"):
        batches(URL)


@pytest.mark.parametrize("level", ["all sets", "the set"])
@pytest.mark.parametrize(
    "how",
    [
        *("others write", "group writes", "link"),
        pytest.param("owner", marks=pytest.mark.skipif(os.getuid() != 0, reason="nobody else gives folders away")),
    ],
)
def test_a_folder_that_others_can_exchange_is_refused(store, tmp_path, monkeypatch, level, how):
    monkeypatch.delenv(object_store.CACHE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = split_root(URL)[0]
    assert folder.parents[1] == tmp_path
    folder.mkdir(parents=True, mode=0o700)
    folder.parent.chmod(0o700)
    doubtful = folder.parent if level == "all sets" else folder
    if how == "link":
        doubtful.rename(tmp_path / "elsewhere")
        doubtful.symlink_to(tmp_path / "elsewhere")
    elif how == "owner":
        os.chown(doubtful, 12345, -1)
    else:
        doubtful.chmod(0o707 if how == "others write" else 0o770)
    said = {"link": "is a link", "owner": "belongs to another user"}.get(how, "others can write to it")
    with pytest.raises(OutputError, match=f"{doubtful}: {said}.*; .* by LITDATA_CACHE_DIR"):
        batches(URL)
    assert list(folder.iterdir()) == []


def test_above_a_folder_that_the_user_names_anybody_may_write(store, monkeypatch):
    store.cache.mkdir()
    store.cache.chmod(0o777)
    assert_same(batches(URL), batches(pristine("embed")))
    [folder] = store.cache.iterdir()
    folder.chmod(0o777)
    with pytest.raises(OutputError, match=f"{folder}: others can write to it"):
        batches(URL)


def test_nothing_is_asked_for_before_data_are(store):
    EMBEDDataModule(root=URL)
    assert store.asked == []


@pytest.mark.parametrize(
    "root",
    [
        "http://example.org/set",
        "s3://key:secret@bucket/set",
        "s3://",
        "s3://bucket/set?versionId=1",
        "ftp://bucket/set",
        "s3://bucket//set",
    ],
)
def test_other_addresses_are_refused_and_no_key_is_repeated(root):
    with pytest.raises(DataSettingsError, match=r"name a folder, s3://BUCKET/PATH or gs://BUCKET/PATH") as caught:
        EMBEDDataModule(root=root)
    assert "secret@" not in str(caught.value)


def test_folders_are_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("LITDATA_CACHE_DIR", str(tmp_path))
    assert split_root("data/embed") == (Path("data/embed"), None)
    assert split_root(Path("data/embed")) == (Path("data/embed"), None)
    assert split_root("file:///data/an%20embed") == (Path("/data/an embed"), None)
    folders = {split_root(url)[0] for url in ("s3://a/b", "s3://a-b", "gs://a/b")}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {tmp_path}
    assert split_root("s3://a/b/") == split_root("s3://a/b")
    assert_same(batches(f"file://{pristine_shards('embed')}"), batches(pristine("embed")))
