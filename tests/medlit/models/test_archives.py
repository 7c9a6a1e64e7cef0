"""A checkpoint that would unpack to more than its file is refused before anything of it is unpacked."""

import shutil
import zipfile

import pytest
import torch

from medlit.errors import CheckpointMismatchError
from medlit.models.archives import refuse_bomb
from medlit.models.weights import read_file


@pytest.fixture
def checkpoint(tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_what_torch_writes_passes(checkpoint, tmp_path):
    refuse_bomb(checkpoint)
    torch.save({}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    refuse_bomb(tmp_path / "old.ckpt")
    assert read_file(checkpoint)["state_dict"]["weight"].shape == (1000,)


def test_a_compressed_part_is_refused(checkpoint, tmp_path):
    bomb = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(checkpoint) as sound, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in sound.namelist():
            packed.writestr(part, bytes(2**26) if part.endswith("data/0") else sound.read(part))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(
        CheckpointMismatchError, match=r"bomb.ckpt: its part '.*' is compressed, which torch does not do"
    ):
        read_file(bomb)


def test_parts_that_lie_on_each_other_are_refused(checkpoint, tmp_path):
    bomb = tmp_path / "bomb.ckpt"
    shutil.copy(checkpoint, bomb)
    with zipfile.ZipFile(bomb, "a") as archive:
        archive.writestr("more", bytes(5000))
        for number in range(9):  # the directory names the same bytes again
            again = zipfile.ZipInfo(f"again_{number}")
            one = archive.getinfo("more")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(again, name, getattr(one, name))
            archive.filelist.append(again)
    with pytest.raises(CheckpointMismatchError, match=r"its parts claim [\d,]+ bytes, the file holds [\d,]+; nothing"):
        read_file(bomb)


def test_a_damaged_directory_is_told_in_one_line(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    start = content.rindex(b"PK\x01\x02")
    content[start : start + 4] = b"XXXX"
    checkpoint.write_bytes(content)
    with pytest.raises(CheckpointMismatchError, match=r"a.ckpt: "):
        read_file(checkpoint)
