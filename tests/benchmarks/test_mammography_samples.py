"""The benchmark times what training does: the captions and partners are those of the table, looked up row by row."""

import re
import zlib

import numpy as np
import polars as pl

from benchmarks.mammography_samples import look_up, main, make_dataset, make_frame, make_requests
from data_modules.mammography.captions import Captioner

IMAGES = 42


def test_captions_and_partners_are_those_of_the_table():
    dataset, frame = make_dataset(IMAGES), make_frame(IMAGES).with_row_index("row")
    requests = make_requests(IMAGES, samples=100, seed=3)
    assert {index for index, _ in requests} <= set(range(IMAGES))
    partners = 0
    for (index, seed), sentences in zip(requests, look_up(dataset, requests), strict=True):
        row = frame.row(index, named=True)
        generator = np.random.default_rng([seed, zlib.crc32(b"caption")])
        assert sentences == Captioner().sentences(row, generator)
        partner = dataset.partner(index, seed)
        study = frame.filter((pl.col("exam_id") == row["exam_id"]) & (pl.col("row") != index))["row"].to_list()
        assert partner is None or partner in study
        partners += partner is not None
    assert 0 < partners < len(requests)


def test_both_figures_and_their_ratio_are_printed(capsys):
    main(["--sizes", "20", "40", "--samples", "16", "--rounds", "2", "--batch", "4"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["metadata, caption, partner", "the same, tokenised by 4"]
    for line in lines:
        assert re.search(r"[\d.]+ us at 20 images, +[\d.]+ us at 40: ratio [\d.]+$", line)
