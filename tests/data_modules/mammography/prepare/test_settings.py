"""Settings of a preparation: what changes pixels changes the hash."""

import re
from dataclasses import replace

import pytest

from data_modules.errors import DataSettingsError
from data_modules.mammography.prepare import settings as module
from data_modules.mammography.prepare.settings import PIPELINE_VERSION, PreparationSettings, differences

CHANGES = ({"long_side": 512}, {"crop": False}, {"orient": "none"}, {"reduced_decode": False})
OPTIONS = ("--long-side 512", "--no-crop", "--orient none", "--full-decode")


@pytest.mark.parametrize("change", CHANGES)
def test_every_setting_changes_the_hash(change):
    assert re.fullmatch("[0-9a-f]{64}", PreparationSettings().hash)
    assert replace(PreparationSettings(), **change).hash != PreparationSettings().hash


def test_equal_settings_have_one_hash():
    assert PreparationSettings(long_side=512).hash == PreparationSettings(512, True, "left", True).hash


def test_another_pipeline_has_another_hash(monkeypatch):
    before = PreparationSettings().hash
    monkeypatch.setattr(module, "PIPELINE_VERSION", PIPELINE_VERSION + 1)
    assert PreparationSettings().hash != before


@pytest.mark.parametrize(("change", "option"), list(zip(CHANGES, OPTIONS, strict=True)))
def test_settings_name_the_options_that_give_them(change, option):
    assert PreparationSettings().options() == ""
    assert PreparationSettings(**change).options() == option


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"long_side": 0}, "long_side is 0; give 1 pixel or more"),
        ({"long_side": 64.0}, "long_side is 64.0; give int"),
        ({"long_side": True}, "long_side is True; give int"),
        ({"crop": 1}, "crop is 1; give bool"),
        ({"orient": "lefft"}, "orient is 'lefft'; did you mean 'left'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(DataSettingsError, match=said):
        PreparationSettings(**wrong)


def test_differences_are_named():
    found = {"long_side": 512, "crop": True, "orient": "left"}
    assert differences(PreparationSettings(), found, pipeline_version=0) == [
        "long_side is 512 there and 1024 here",
        "reduced_decode is None there and True here",
        f"medlit's reading steps have version 0 there and {PIPELINE_VERSION} here",
    ]
