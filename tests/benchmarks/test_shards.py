"""The benchmark of shards reads the same images both ways, and prints what it found."""

import re

from benchmarks.shards import main


def test_files_are_counted_and_both_ways_timed(capsys):
    main(["--images", "20", "--size", "32", "24", "--shard_bytes", "5000", "--rounds", "1"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"20 images of 0.00 MB: 22 files, in shards \d+", first)
    assert [line.split()[0] for line in lines] == ["bytes", "decoded"]
    for line in lines:
        assert re.search(r" +[\d.]+ images/s of files, +[\d.]+ of shards: ratio [\d.]+$", line)
