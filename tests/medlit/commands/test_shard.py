"""``medlit data shard`` as a user gives it."""

import argparse
import re

import pytest

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.shards.layout import read_layout
from medlit.commands import data, progress, shard
from tests.data_modules.mammography.prepared_trees import pristine
from tests.data_modules.mammography.shards.trees import shard_files
from tests.medlit.command_line import medlit


def words(out, *more):
    return ["shard", "embed", "--root", str(pristine("embed")), "--out", str(out), "--shard-size", "20kB", *more]


def test_shards_are_written_checked_and_trained_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "TOLD_EVERY", 0.0)
    out = tmp_path / "out"
    assert data.main(words(out)) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{out}: 166 images of EMBED in 10 shards, 0.2 MB; 10 of them written now.")
    assert re.search(r"^sharding: 166 of 166, [\d.,]+ images/s, 00:00:00 left, 0 failed$", said.err, re.MULTILINE)
    [root] = re.findall(r"--data.init_args.root (\S+)$", said.out)
    EMBEDDataModule(root=root, img_size=12).setup("fit")
    assert data.main(words(out, "--workers", "1")) == 0
    assert "; 0 of them written now" in capsys.readouterr().out
    assert data.main(words(out, "--check")) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 166 of 166 images in 10 shards are those of {pristine('embed')}, byte by byte\n"
    assert re.search(r"^comparing: 166 of 166, ", said.err, re.MULTILINE)


def test_a_check_ends_with_2_and_lists_some_of_what_is_wrong(tmp_path, capsys):
    out = tmp_path / "out"
    data.main(words(out))
    for file in shard_files(out)[:2]:
        file.unlink()
    capsys.readouterr()
    assert data.main(words(out, "--check")) == 2
    *faults, more, counts = capsys.readouterr().out.splitlines()
    assert len(faults) == 20
    assert all("No such file" in fault and "medlit data shard" in fault for fault in faults)
    assert more == "and 16 more"
    assert counts.startswith(f"{out}: 130 of 166 images in 10 shards are those of")
    assert data.main(words(out)) == 0
    assert data.main(words(out, "--check")) == 0


@pytest.mark.parametrize(
    ("text", "size"), [("64MB", 64_000_000), ("1GB", 10**9), ("500 kB", 500_000), ("1234", 1234)], ids=str
)
def test_sizes(text, size):
    assert shard._parser().parse_args([*words("out")[1:-2], "--shard_size", text]).shard_size == size


@pytest.mark.parametrize("text", ["0", "0MB", "-1MB", "64 apples", "64MiB", "1.5GB", ""])
def test_other_sizes_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="give one such as 64MB"):
        shard._size(text)


@pytest.mark.slow
def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path):
    done = medlit("data", "shard", "embed", "--root", tmp_path / "none", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert re.fullmatch(r"medlit: error: no prepared embed below .*: medlit data prepare embed .*\n", done.stderr)
    done = medlit("data", *words(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    assert read_layout(tmp_path / "out").images == 166
