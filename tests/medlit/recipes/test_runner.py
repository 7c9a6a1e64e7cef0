"""What a training is given of the machine, and that one recipe at a time works in a folder."""

import fcntl
import os
from types import SimpleNamespace

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


def test_one_that_wants_the_whole_machine_waits_for_it_and_keeps_others_waiting():
    names = ("alone", "a", "b", "after")
    jobs = {(name, 0, None): SimpleNamespace(key=(name, 0, None), alone=name == "alone", after=()) for name in names}
    jobs["after", 0, None].after = (("alone", 0, None),)
    alone, a, b, _ = jobs.values()

    def ready(*running, finished=()):
        """Names of what starts beside some, two at a time."""
        beside = [SimpleNamespace(job=job) for job in running]
        outcome = runner.Outcome({job.key for job in finished})
        return [job.key[0] for job in runner._ready(jobs, outcome, beside, workers=2)]

    assert ready() == ["a", "b"]
    assert ready(a, finished=[b]) == []
    assert ready(finished=[a, b]) == ["alone"]
    assert ready(alone, finished=[a]) == []
    assert ready(finished=[alone, a, b]) == ["after"]


def test_a_second_recipe_in_the_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS_FOR_THE_LAST_ONE", 0.2)
    with (tmp_path / runner.LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigurationError, match="another recipe is at work"):
            runner.run({}, out=tmp_path, workers=1, devices=[])
    assert runner.run({}, out=tmp_path, workers=1, devices=[]).finished == set()
