"""A sealed file is read by everyone, and any change of it is found."""

import zipfile

import pytest
import torch

from medlit.checkpoint_io import SealedCheckpointIO
from medlit.errors import CheckpointNotWrittenError, DamagedCheckpointError
from medlit.seal import SEAL_BYTES, verify, write_sealed


@pytest.fixture
def sealed(tmp_path):
    path = tmp_path / "a.ckpt"
    write_sealed(path, lambda file: torch.save({"weight": torch.arange(1000.0), "step": 3}, file))
    return path


def test_every_reader_of_such_archives_reads_it(sealed):
    assert verify(sealed)
    assert torch.load(sealed, weights_only=True)["step"] == 3
    assert torch.equal(torch.load(sealed, weights_only=True, mmap=True)["weight"], torch.arange(1000.0))
    assert zipfile.ZipFile(sealed).testzip() is None


def test_what_is_sealed_is_what_torch_writes(sealed, tmp_path):
    plain = tmp_path / "plain.ckpt"
    with plain.open("wb") as file:
        torch.save({"weight": torch.arange(1000.0), "step": 3}, file)
    ours, theirs = sealed.read_bytes()[:-SEAL_BYTES], plain.read_bytes()
    assert ours[:-2] == theirs[:-2]


@pytest.mark.parametrize("place", [0, 100, 2000, -SEAL_BYTES - 3, -1])
def test_one_changed_bit_is_found(sealed, place):
    content = bytearray(sealed.read_bytes())
    content[place] ^= 1
    sealed.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"a\.ckpt: the file is damaged, its SHA-256 is not that"):
        verify(sealed)


def test_a_changed_bit_of_a_tensor_is_what_torch_itself_does_not_find(sealed):
    content = bytearray(sealed.read_bytes())
    content[content.find(torch.arange(3.0).numpy().tobytes()) + 6] ^= 1
    sealed.write_bytes(content)
    assert not torch.equal(torch.load(sealed, weights_only=True)["weight"], torch.arange(1000.0))
    with pytest.raises(DamagedCheckpointError):
        SealedCheckpointIO().load_checkpoint(sealed, weights_only=True)


def test_an_empty_file_is_damaged_and_a_foreign_one_has_no_seal(sealed, tmp_path):
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"a": 1}, foreign)
    assert not verify(foreign)
    sealed.write_bytes(sealed.read_bytes()[:-200])  # cut short: the seal is gone, and the archive's end with it
    assert not verify(sealed)
    assert not zipfile.is_zipfile(sealed)
    sealed.write_bytes(b"")
    with pytest.raises(DamagedCheckpointError, match="the file is empty"):
        verify(sealed)


def test_what_is_no_archive_is_not_sealed(tmp_path):
    with pytest.raises(ValueError, match="not a ZIP archive without a comment"):
        write_sealed(tmp_path / "a", lambda file: file.write(b"text"))


def test_the_last_becomes_the_one_before_and_nothing_else_stays(tmp_path):
    keeper = SealedCheckpointIO()
    for step in range(3):
        keeper.save_checkpoint({"step": step}, tmp_path / "last.ckpt")
        keeper.save_checkpoint({"step": step}, tmp_path / "best.ckpt")
    names = {path.name: torch.load(path, weights_only=True)["step"] for path in tmp_path.iterdir()}
    assert names == {"last.ckpt": 2, "previous.ckpt": 1, "best.ckpt": 2}


def test_a_checkpoint_that_cannot_be_written_says_where_and_what_to_do(tmp_path):
    (tmp_path / "checkpoints").write_text("a file where the folder would be")
    with pytest.raises(CheckpointNotWrittenError, match=r"last\.ckpt: cannot be written \(.*go on with --resume true"):
        SealedCheckpointIO().save_checkpoint({}, tmp_path / "checkpoints" / "last.ckpt")
