"""A description of shards is data of somebody else: what it may say is checked before anything is read."""

import json
import pickle
import struct

import pytest

from data_modules.errors import DataError, PreparationUnfinishedError, TableError
from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.shards.layout import DESCRIPTION, INDEX, check_index, parse_layout, read_layout
from tests.data_modules.mammography.shards.trees import copy_of_shards, pristine_shards, shard_files

SHA = "0" * 64


def described(**changes):
    said = json.loads((pristine_shards("embed") / DESCRIPTION).read_text())
    return json.dumps({**said, **changes}).encode()


def test_what_is_written_is_read():
    content = (pristine_shards("embed") / DESCRIPTION).read_bytes()
    layout = parse_layout(content, where="here")
    assert layout.text().encode() == content
    assert (layout.name, layout.images, layout.state) == ("embed", 166, "finished")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
        b"[]",
        described(version=2),
        described(shards=[]),
        described(shards=[{"file": "../shard-000000-0123456789abcdef.bin", "images": 1, "bytes": 20}]),
        described(shards=[{"file": "/etc/passwd", "images": 1, "bytes": 20}]),
        described(shards=[{"file": "shard-000000-0123456789abcdef.bin", "images": 0, "bytes": 20}]),
        described(shards=[{"file": "shard-000000-0123456789abcdef.bin", "images": 1, "bytes": 2**40}]),
        described(shards=[{"file": "shard-000000-0123456789abcdef.bin", "images": True, "bytes": 20}]),
        described(tables=[{"file": "../manifest.parquet", "bytes": 1, "sha256": SHA}]),
        described(tables=[{"file": "/manifest.parquet", "bytes": 1, "sha256": SHA}]),
        described(tables=[{"file": "tables/./a.csv", "bytes": 1, "sha256": SHA}]),
        described(tables=[{"file": "a.csv", "bytes": 2**40, "sha256": SHA}]),
        described(tables=[{"file": "a.csv", "bytes": 1, "sha256": "no hash"}]),
        described(shard_bytes="64MB"),
    ],
    ids=lambda content: content[-60:].decode(errors="replace"),
)
def test_another_description_is_refused_in_one_line(content):
    with pytest.raises(TableError, match=r"^here: .*shard the set anew") as caught:
        parse_layout(content, where="here")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_unfinished_shards_are_refused():
    with pytest.raises(PreparationUnfinishedError, match="go on with it: medlit data shard embed"):
        parse_layout(described(state="unfinished"), where="here")


def test_a_description_larger_than_any_is_not_read(tmp_path):
    with (tmp_path / DESCRIPTION).open("wb") as file:
        file.truncate(2**27)
    with pytest.raises(TableError, match="larger than"):
        read_layout(tmp_path)


@pytest.mark.parametrize("change", ["data_format", "item_loader", "compression", "filename", "text", "size", "missing"])
def test_an_index_that_differs_from_the_description_is_refused(tmp_path, change):
    root = copy_of_shards("embed", tmp_path / "shards")
    said = json.loads((root / INDEX).read_text())
    if change in ("data_format", "item_loader", "compression"):
        said["config"][change] = ["pickle"] if change == "data_format" else "zstd"
    said["chunks"][0]["filename"] = "../secret" if change == "filename" else said["chunks"][0]["filename"]
    (root / INDEX).write_text("no JSON" if change == "text" else json.dumps(said, sort_keys=True) + "\n")
    if change == "size":
        with (root / INDEX).open("wb") as file:
            file.truncate(2**27)
    if change == "missing":
        (root / INDEX).unlink()
    with pytest.raises(DataError, match=r"index.json: .*shard the set anew") as caught:
        check_index(root, read_layout(root))
    assert ("data_format is ['pickle']" in str(caught.value)) == (change == "data_format")


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("index_too", [True, False], ids=["index says pickle", "index says bytes"])
def test_a_booby_trapped_shard_creates_nothing(tmp_path, index_too):
    root, sprung = copy_of_shards("embed", tmp_path / "shards"), tmp_path / "sprung"
    file = shard_files(root)[0]
    layout = read_layout(root)
    trap = pickle.dumps(Trap(sprung))
    item = struct.pack("<I", len(trap)) + trap
    images = layout.shards[0].images
    start = 4 * (images + 2)
    offsets = [start + number * len(item) for number in range(images + 1)]
    packed = struct.pack(f"<{images + 2}I", images, *offsets) + item * images
    file.write_bytes(packed.ljust(layout.shards[0].bytes, b"\0"))
    if index_too:
        index = json.loads((root / INDEX).read_text())
        index["config"]["data_format"] = ["pickle"]
        (root / INDEX).write_text(json.dumps(index, sort_keys=True) + "\n")
    data = EMBEDDataModule(root=root, img_size=12)
    with pytest.raises(DataError, match="data_format is" if index_too else f"{file.name}: the bytes of .* changed"):
        data.setup("predict") if index_too else list(read_all(data))
    assert not sprung.exists()
    pickle.loads(trap).close()
    assert sprung.exists()  # the trap works where somebody unpickles it


def read_all(data):
    data.predict_split = "all"
    data.setup("predict")
    return data.predict_dataloader()
