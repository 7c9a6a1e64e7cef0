"""A real SLURM of Debian's packages on this machine: a controller, two nodes of one core, four idle ones with GPUs.

Everything lies in a temporary folder, listens on the loopback alone, and ends with the context.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
INSTALL = (
    "apt-get update && DEBIAN_FRONTEND=noninteractive "
    "apt-get install -y --no-install-recommends slurmctld slurmd slurm-client munge"
)
REFUSAL = "MEDLIT_NO_SLURM"
PATH = f"{os.environ['PATH']}:/usr/sbin"
NODES = ("n1", "n2")
CONFIGURATION = """\
ClusterName=virtual
FirstJobId={first_job}
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5  # a requeued job waits for it
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SlurmdSpoolDir={folder}/spool-%n
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=1,sched_interval=1
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
NodeName=g[1-4] NodeAddr=127.0.0.1 Port=[{ports[3]}-{last_port}] CPUs=64 Gres=gpu:8 RealMemory=1000000
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=g[1-4] MaxTime=INFINITE State=UP
"""


@contextmanager
def virtual_slurm() -> Iterator[dict[str, str]]:
    """The environment in which SLURM's programs find the cluster."""
    install()
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: a socket's path has at most 107 characters
    environment = {**os.environ, "PATH": PATH, "SLURM_CONF": str(folder / "slurm.conf")}
    try:
        start(folder, environment)
        yield environment
    finally:
        stop(folder, environment)
        shutil.rmtree(folder, ignore_errors=True)


def install() -> None:
    """Install the packages where they are missing, as continuous integration wants it."""
    if os.environ.get(REFUSAL) == "1":
        pytest.skip(f"{REFUSAL}=1: a person does without SLURM")
    missing = [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]
    if missing and os.geteuid() != 0:
        pytest.fail(f"no {', '.join(missing)}; type: sudo sh -c '{INSTALL}' (or leave these tests out: {REFUSAL}=1)")
    if missing:
        done = subprocess.run(INSTALL, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{INSTALL}\n{done.stdout}\n{done.stderr}"


def start(folder: Path, environment: dict[str, str]) -> None:
    """Start munged, the controller and the nodes, and wait until these are idle."""
    ports = free_ports(7)
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname(),
            user=getpass.getuser(),
            ports=ports,
            last_port=ports[3] + 3,
            first_job=1000 + os.getpid() % 9000,
        )
    )
    (folder / "gres.conf").touch()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    files = {"socket": "munge.socket", "key-file": "munge.key", "seed-file": "munge.seed", "pid-file": "munged.pid"}
    files["log-file"] = "munged.log"
    run(["munged", "--force", *(f"--{option}={folder / name}" for option, name in files.items())], environment)
    run(["slurmctld"], environment)
    for node in NODES:
        run(["slurmd", "-N", node], environment)
    wait_until(lambda: nodes(environment) == {"idle"}, f"the nodes are {nodes(environment)}, see {folder}")


def nodes(environment: dict[str, str]) -> set[str]:
    done = subprocess.run(
        ["sinfo", "--noheader", "--partition=cpu", "--format=%t"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return set(done.stdout.split())


def stop(folder: Path, environment: dict[str, str]) -> None:
    """End jobs and daemons, by the process numbers that they wrote."""
    subprocess.run(["scancel", "--me"], env=environment, capture_output=True, check=False, timeout=30)
    give_up = time.monotonic() + 40  # SLURM kills what has not ended after 30 seconds
    while subprocess.run(["squeue", "-h"], env=environment, capture_output=True, check=False, timeout=30).stdout:
        if time.monotonic() > give_up:
            break
        time.sleep(0.2)
    pids = [
        int(file.read_text()) for name in (*NODES, "slurmctld", "munged") if (file := folder / f"{name}.pid").exists()
    ]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "a daemon does not end")


def run(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def wait_until(true, what: str, *, seconds: float = 300) -> None:
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, what
        time.sleep(0.5)  # who asks takes time from those who work


def free_ports(number: int) -> list[int]:
    """Ports in a row that nothing listens on."""
    for first in range(20_000 + os.getpid() % 9_000, 32_000, number):
        sockets = [socket.socket() for _ in range(number)]
        try:
            for offset, one in enumerate(sockets):
                one.bind(("127.0.0.1", first + offset))
            return list(range(first, first + number))
        except OSError:
            continue
        finally:
            for one in sockets:
                one.close()
    raise OSError("no free ports")
