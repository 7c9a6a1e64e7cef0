"""Devices: Lightning judges what is asked for, and processes have to reach each other."""

import pytest

from data_modules.errors import TableError
from medlit.doctor.devices import Collective, check_devices, check_machine, check_precision, make_trainer
from medlit.doctor.finding import examined, ok
from medlit.errors import ConfigurationError

CPU = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "precision": "32-true", "strategy": "auto"}


def test_what_is_there_is_told():
    assert "CPU cores" in check_machine().said


def test_a_cpu_that_was_asked_for_is_fine():
    trainer = make_trainer({**CPU, "devices": 2, "precision": "bf16-mixed"})
    found = check_devices(trainer, CPU)
    assert (found.state, found.said) == ("ok", "CPU x 2 a node, nodes: 1, processes: 2")
    assert check_precision(trainer).said == "bf16-mixed"


def test_a_cpu_that_was_found_for_want_of_a_gpu_is_a_warning():
    found = check_devices(make_trainer(CPU), {"accelerator": "auto"})
    assert found.state == "warning"
    assert "run this inside the allocation" in found.said


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accelerator": "cuda", "devices": 1000}, r"trainer\.accelerator, trainer\.devices"),
        ({"precision": "64-bit"}, r"64-bit"),
        ({"strategy": "dpd"}, "dpd"),
    ],
)
def test_what_lightning_refuses_is_told_in_one_line(settings, message):
    with pytest.raises(ConfigurationError, match=message) as error:
        make_trainer({**CPU, **settings})
    assert "\n" not in str(error.value)


def test_a_job_of_another_shape_is_refused(monkeypatch):
    told = {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_NAME": "ei", "SLURM_JOB_ID": "1"}
    told |= {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_JOB_NODELIST": "n1"}
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=r"devices=3.*--ntasks-per-node=2"):
        make_trainer({**CPU, "devices": 3, "strategy": "ddp"})


@pytest.mark.slow
def test_processes_that_do_not_reach_each_other_are_wrong(monkeypatch):
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    found = Collective("gloo", 2).finding()
    assert found.state == "wrong"
    assert found.said.endswith("see GLOO_SOCKET_IFNAME=nowhere0")
    assert "\n" not in found.said


def test_a_check_that_breaks_off_is_a_finding():
    def fail(error):
        raise error

    assert examined("a", lambda: ok("a", "b")).state == "ok"
    assert examined("a", lambda: fail(TableError("x.csv:\n no column"))).said == "x.csv: no column"
    assert examined("a", lambda: fail(KeyError("x"))).said == "the check broke off with KeyError: 'x'"
