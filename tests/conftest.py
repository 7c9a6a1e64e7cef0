"""What every test runs under: one thread, no network, no window."""

import os

import pytest

from tests.guard.network_guard import NetworkAttempt, watch

# Set before torch, albumentations and matplotlib are first imported; processes that a test starts inherit them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"
# Lightning calls jsonargparse by names that its next major version drops; the tested bound in pyproject covers it.
os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"

_ATTEMPTS = []


def _refuse(attempt):
    _ATTEMPTS.append(attempt)
    raise NetworkAttempt(attempt)


watch(_refuse)


@pytest.fixture(autouse=True)
def network_attempts():
    """Nothing leaves the process: an attempt raises where it is made, and fails the test even if that was caught."""
    _ATTEMPTS.clear()
    yield _ATTEMPTS
    assert _ATTEMPTS == []


MEETING_PLACE = {
    name: os.environ.get(name)
    for name in ("MASTER_ADDR", "MASTER_PORT", "WORLD_SIZE", "RANK", "LOCAL_RANK", "NODE_RANK")
}
"""How processes meet, before a test: torch leaves there where those of this one met, and that port stays taken."""


@pytest.fixture(autouse=True)
def meeting_place():
    """Processes that a test starts do not look for those of an earlier one."""
    _leave_meeting_place()
    yield
    _leave_meeting_place()


def _leave_meeting_place():
    for name, value in MEETING_PLACE.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
