"""What the tests of the mammography look-alikes share: contents of folders, read pictures, simple classifiers."""

import csv

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from data_modules.mammography.dicom import read_mammogram

TISSUE = 0.06
"""Brighter than air, on a scale from 0 to 1."""


def contents(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def columns(path):
    with path.open(newline="") as file:
        return next(csv.reader(file))


def look(path, *, side=64):
    """What a small network sees: the breast on black, (side, side) in [0, 1]."""
    pixels = read_mammogram(path, long_side=side).pixels
    seen = np.zeros((side, side))
    seen[: pixels.shape[0], : pixels.shape[1]] = pixels / 65535
    return seen


def features(picture):
    """Quantiles of the tissue's gray, and how much of it is bright: enough to tell density and a bright mass."""
    tissue = picture[picture > TISSUE]
    quantiles = np.quantile(tissue, (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1))
    return [*quantiles, (picture > 0.85).mean(), (picture > 0.45).sum() / len(tissue)]


def held_out_accuracy(pictures, labels, groups, *, seed=0):
    """Balanced accuracy of a logistic regression on ``features``, on the 30 % of groups that it has not seen."""
    seen = np.asarray([features(picture) for picture in pictures])
    labels, names = np.asarray(labels), np.unique(groups)
    test = np.isin(groups, np.random.default_rng(seed).permutation(names)[: 3 * len(names) // 10])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, class_weight="balanced"))
    model.fit(seen[~test], labels[~test])
    return balanced_accuracy_score(labels[test], model.predict(seen[test]))


def reduced(picture, *, height=64):
    """The picture with another height, by area."""
    wide = round(picture.shape[1] * height / picture.shape[0])
    return cv2.resize(picture, (wide, height), interpolation=cv2.INTER_AREA)
