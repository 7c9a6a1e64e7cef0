"""The pool: every job once, whatever happens to the workers."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_modules.errors import WorkerError
from data_modules.mammography.prepare.pool import Lost, run_jobs
from tests.data_modules.mammography.prepare import crew


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # dead, and not yet asked for by its parent


@pytest.mark.parametrize("workers", [1, 3])
def test_every_job_is_done_once(workers):
    results = dict(run_jobs(crew.square, range(1, 20), workers=workers, seconds=60))
    assert results == {number: number**2 for number in range(1, 20)}


def test_no_job_starts_no_worker():
    assert list(run_jobs(crew.square, [], workers=2, seconds=60)) == []


def test_a_worker_that_dies_costs_its_job_and_no_other():
    jobs = [1, 2, -signal.SIGSEGV, 4, -signal.SIGABRT, 6, -signal.SIGKILL, 8, -signal.SIGTERM]
    results = dict(run_jobs(crew.signal_itself, jobs, workers=2, seconds=60))
    assert results.keys() == set(jobs)
    assert all(results[job] == job for job in jobs if job > 0)
    assert results[-signal.SIGSEGV] == Lost("crashed", "decoder crashed (signal 11, Segmentation fault)")
    assert results[-signal.SIGABRT].kind == "crashed"
    assert results[-signal.SIGKILL].kind == results[-signal.SIGTERM].kind == "killed"  # no fault of the file


def test_a_real_segmentation_fault_is_survived():
    results = dict(run_jobs(crew.read_null, range(1, 6), workers=1, seconds=60))
    assert results[3].reason.startswith("decoder crashed (signal 11")
    assert [results[job] for job in (1, 2, 4, 5)] == [1, 2, 4, 5]


def test_a_job_that_takes_too_long_is_given_up():
    start = time.monotonic()
    results = dict(run_jobs(crew.sleep, [0.01, 300, 0.02], workers=1, seconds=0.5))
    assert time.monotonic() - start < 100
    assert results == {0.01: 0.01, 300: Lost("timeout", "not read within 0.5 s"), 0.02: 0.02}


def test_what_the_function_raises_ends_the_run():
    with pytest.raises(ValueError, match="two is refused") as raised:
        list(run_jobs(crew.refuse, [1, 2, 3], workers=1, seconds=60))
    assert any("crew.py" in note for note in raised.value.__notes__)


def test_a_function_that_cannot_be_imported_is_said_before_any_job():
    with pytest.raises(WorkerError, match="could not start: ModuleNotFoundError: No module named 'no_such_module'"):
        list(run_jobs(Unpicklable(), [1], workers=2, seconds=60))


class Unpicklable:
    """Reads back as an import of what is not there."""

    def __reduce__(self):
        return __import__, ("no_such_module",)

    def __call__(self, job):
        return job


def test_workers_do_not_see_ctrl_c_and_import_nothing_heavy():
    assert dict(run_jobs(crew.blocked_signals, [1], workers=1, seconds=60)) == {1: True}
    assert dict(run_jobs(crew.environment, [1], workers=1, seconds=60)) == {1: ("1", set())}
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_memory_of_a_worker_is_bounded():
    assert dict(run_jobs(crew.allocate, [2**20, 2**32], workers=1, seconds=60)) == {2**20: 2**20, 2**32: None}


@pytest.mark.slow
def test_a_worker_that_hangs_outlives_a_killed_parent_but_for_a_moment():
    code = "from data_modules.mammography.prepare.pool import run_jobs\n"
    code += "from tests.data_modules.mammography.prepare import crew\n"
    code += (
        "for _, pid in run_jobs(crew.process_or_hang, [0, 300], workers=1, seconds=1.0):\n    print(pid, flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        time.sleep(0.2)  # the worker sleeps meanwhile, as a decoder would that never ends
        parent.kill()
    assert alive(pid)
    start = time.monotonic()
    while alive(pid):
        assert time.monotonic() - start < 60
        time.sleep(0.05)


def test_processes_that_the_system_refuses_are_said_in_one_line():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 12, hard))
    try:
        with pytest.raises(WorkerError, match=r"could not start \(Too many open files\); use fewer --workers"):
            list(run_jobs(crew.square, range(100), workers=100, seconds=60))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_closing_the_iterator_ends_the_workers():
    results = run_jobs(crew.process, range(100), workers=2, seconds=60)
    pids = {next(results)[1] for _ in range(4)}
    results.close()
    assert not any(map(alive, pids))
