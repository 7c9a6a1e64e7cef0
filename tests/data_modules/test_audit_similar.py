"""Copies of a picture are found however they are saved; different pictures are not taken for copies."""

import io
import os
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from data_modules.audit_similar import SIDE, similar_groups, thumbnail
from data_modules.images import read_image
from data_modules.synthetic.retina_pictures import draw_bscan, draw_fundus
from data_modules.synthetic.skin_pictures import draw_lesion

REAL = os.environ.get("MEDLIT_REAL_FILES")


def saved(picture, quality):
    """Through a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file).convert("RGB"))


def resized(picture, factor):
    height, width = picture.shape[:2]
    kind = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, (round(width * factor), round(height * factor)), interpolation=kind)


COPIES = {
    "JPEG 90": lambda picture: saved(picture, 90),
    "JPEG 75": lambda picture: saved(picture, 75),
    "half the size": lambda picture: resized(picture, 0.5),
    "nine tenths": lambda picture: resized(picture, 0.9),
    "twice the size": lambda picture: resized(picture, 2),
}


def drawn(count=24, size=96):
    rng = np.random.default_rng(0)
    lesions = [draw_lesion(("clinic", "derm")[i % 2], i % 5, width=size, height=size, rng=rng) for i in range(count)]
    fundi = [draw_fundus(i % 4, size=size, rng=rng) for i in range(count)]
    return lesions + fundi + [draw_bscan(i % 4, size=size, rng=rng) for i in range(count)]


def groups(pictures, modalities=None):
    thumbnails = np.stack([thumbnail(picture) for picture in pictures])
    return similar_groups(thumbnails, modalities=modalities or ["a"] * len(pictures))


@pytest.fixture(scope="module")
def pictures():
    return drawn()


def test_drawn_pictures_are_all_different(pictures):
    kinds = [kind for kind in ("lesion", "fundus", "scan") for _ in range(len(pictures) // 3)]
    assert groups(pictures, kinds) == []


@pytest.mark.parametrize("copy", COPIES)
def test_a_copy_of_each_is_found(pictures, copy):
    count = len(pictures)
    kinds = [kind for kind in ("lesion", "fundus", "scan") for _ in range(count // 3)]
    assert groups([*pictures, *map(COPIES[copy], pictures)], kinds * 2) == [[i, i + count] for i in range(count)]


@pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real scans")
@pytest.mark.parametrize("copy", COPIES)
def test_real_scans_and_photographs(copy):
    scans, skin = (sorted(Path(REAL, folder).glob("*.[pj][np]g")) for folder in ("oct", "dermoscopy"))
    originals = [read_image(path) for path in (*scans, *skin)]
    kinds = ["oct"] * len(scans) + ["skin"] * len(skin)
    assert groups(originals, kinds) == []
    count = len(originals)
    assert groups([*originals, *map(COPIES[copy], originals)], kinds * 2) == [[i, i + count] for i in range(count)]


@pytest.mark.skipif(REAL is None, reason="MEDLIT_REAL_FILES names no folder of real photographs")
def test_photographs_that_share_their_frame_alone():
    """A fundus photograph, turned and mirrored: the round frame is the same to the pixel."""
    picture = cv2.resize(read_image(Path(REAL, "fundus", "retina.jpg")), (448, 448), interpolation=cv2.INTER_AREA)
    turned = [np.ascontiguousarray(np.rot90(side, k)) for side in (picture, picture[:, ::-1]) for k in range(4)]
    thumbnails = np.stack([thumbnail(view) for view in turned])
    assert (np.triu(thumbnails @ thumbnails.T, 1)).max() > 0.9  # the frame
    assert groups(turned) == []


def test_where_most_pictures_are_copies_of_one(pictures):
    many = [saved(pictures[0], quality) for quality in range(86, 96)]
    assert groups([*many, pictures[1]]) == [list(range(10))]


def test_a_pair_alone_and_nothing(pictures):
    assert groups([pictures[0], saved(pictures[0], 90)]) == [[0, 1]]
    assert groups([pictures[0], pictures[1]]) == []
    assert similar_groups(np.empty((0, SIDE * SIDE), dtype=np.float32), modalities=[]) == []


def test_flat_pictures_show_nothing_to_compare():
    flat = [np.full((40, 40, 3), gray, dtype=np.uint8) for gray in (0, 90, 91)]
    assert not any(thumbnail(picture).any() for picture in flat)
    assert groups(flat) == []


def test_groups_do_not_depend_on_blocks(pictures, monkeypatch):
    rows = [pictures[i % 5] for i in range(13)]
    whole = groups(rows)
    monkeypatch.setattr("data_modules.audit_similar.BLOCK", 3)
    assert groups(rows) == whole == [[i, *range(i + 5, 13, 5)] for i in range(5)]


def test_a_thumbnail_has_mean_zero_and_length_one(pictures):
    for a, b in combinations([thumbnail(picture) for picture in pictures[:4]], 2):
        assert a.shape == (SIDE * SIDE,)
        assert abs(float(a.mean())) < 1e-6
        assert float(np.linalg.norm(a)) == pytest.approx(1, abs=1e-5)
        assert float(a @ b) < 0.96
