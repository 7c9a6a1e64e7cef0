"""What a training is given of the machine, and that one recipe at a time works in a folder."""

import fcntl
import os

import pytest

from medlit.errors import ConfigurationError
from medlit.recipes import runner


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    return monkeypatch


def test_each_worker_has_a_gpu(plain):
    given = [runner._environment(slot=slot, workers=3, devices=["4", "5"]) for slot in range(3)]
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in given] == ["4", "5", "4"]


def test_workers_on_a_cpu_share_its_cores(plain):
    given = runner._environment(slot=0, workers=3, devices=[])
    assert given["OMP_NUM_THREADS"] == "2"
    assert "CUDA_VISIBLE_DEVICES" not in given
    plain.setenv("OMP_NUM_THREADS", "5")
    assert runner._environment(slot=0, workers=3, devices=[])["OMP_NUM_THREADS"] == "5"


def test_one_worker_has_the_whole_machine(plain):
    given = runner._environment(slot=0, workers=1, devices=["0", "1"])
    assert not {"OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"} & given.keys()


def test_a_second_recipe_in_the_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_FOR_THE_LAST_ONE", 0.2)
    with (tmp_path / runner.LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another recipe is at work"):
            runner.run({}, out=tmp_path, workers=1, devices=[])
    assert runner.run({}, out=tmp_path, workers=1, devices=[]).finished == set()
