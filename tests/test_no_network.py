"""medlit asks the network for nothing unless it is told to: every attempt is noted, also one that fails unseen."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard.network_guard import NetworkAttempt
from tests.medlit.command_line import SCRIPT, medlit, tiny

GUARD = Path(__file__).parent / "guard"
OF_TESTS = ("HF_HUB_OFFLINE", "NO_ALBUMENTATIONS_UPDATE")
"""Variables that keep tests off the network; a user has not set them."""
TOKEN = "hf_" + "Zz9Yy8Xx7" * 3


def namespace():
    """The words that start a network namespace; none where the system lets nobody make one."""
    for words in (["unshare", "--net"], ["unshare", "--map-root-user", "--net"]):
        if shutil.which("unshare") and shutil.which("ip"):
            tried = [*words, "ip", "link", "add", "name", "out", "type", "veth", "peer", "name", "sink"]
            if subprocess.run(tried, capture_output=True, check=False).returncode == 0:
                return words
    return []


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Runs a command as a user would, with a token and a umask; returns it, and all that asked the network.

    That is what Python asked, and where the system lets us make a namespace every packet.
    """
    log = tmp_path_factory.mktemp("network") / "attempts.txt"
    words = namespace()
    sealed = [*words, sys.executable, str(GUARD / "sealed.py"), str(log)] if words else []
    environment = {name: value for name, value in os.environ.items() if name not in OF_TESTS}
    home = tmp_path_factory.mktemp("home")
    path = os.pathsep.join([str(GUARD), *filter(None, [environment.get("PYTHONPATH")])])
    environment |= {"PYTHONPATH": path, "MEDLIT_NETWORK_LOG": str(log), "HF_HOME": str(home), "HF_TOKEN": TOKEN}
    environment |= {"RES_OPTIONS": "timeout:1 attempts:1"}  # nobody answers

    def run(*command):
        log.write_text("")
        done = subprocess.run(
            [*sealed, *map(str, command)],
            env=environment,
            umask=0o027,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        return done, log.read_text().splitlines()

    return run


@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.getaddrinfo('example.org', 443)",
        "import socket; socket.create_connection(('192.0.2.1', 443), timeout=0.2)",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
        "import urllib.request; urllib.request.urlopen('https://example.org', timeout=0.2)",
        "import os; os.system('python3 -c \"import socket; socket.gethostbyname(chr(97))\" 2> /dev/null')",
    ],
)
def test_an_attempt_is_noted_though_it_was_caught(watched, code):
    _, attempts = watched(sys.executable, "-c", f"try:\n    {code}\nexcept OSError:\n    pass")
    assert any(attempt.startswith("socket.") for attempt in attempts)


@pytest.mark.skipif(not namespace(), reason="the system lets nobody make a network namespace")
def test_an_attempt_of_another_language_is_noted(watched):
    _, attempts = watched("bash", "-c", "(echo x > /dev/udp/192.0.2.1/9) 2> /dev/null")
    assert attempts == ["packet on sink: protocol 17 to 192.0.2.1"]


def test_loopback_is_no_attempt(watched):
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
    done, attempts = watched(sys.executable, "-c", f"{code}; socket.getaddrinfo('localhost', 80)")
    assert (done.returncode, done.stderr, attempts) == (0, "", [])


def test_a_test_that_asks_the_network_fails_though_it_caught_that(network_attempts):
    with contextlib.suppress(NetworkAttempt):
        socket.getaddrinfo("example.org", 443)
    with pytest.raises(NetworkAttempt, match=r"socket\.connect \('192\.0\.2\.1', 443\)"), socket.socket() as asking:
        asking.connect(("192.0.2.1", 443))
    assert network_attempts == ["socket.getaddrinfo example.org", "socket.connect ('192.0.2.1', 443)"]
    network_attempts.clear()


@pytest.fixture(scope="module")
def trained(watched, tmp_path_factory):
    """A training of the tiny EI."""
    folder = tmp_path_factory.mktemp("trained")
    assert medlit("data", "synth", "derm7pt", "--root", folder / "set", "--cases", 24, "--img_size", 32).returncode == 0
    options = [*tiny(folder / "set", folder / "run"), "--trainer.max_epochs", 1]
    return folder, *watched(SCRIPT, "fit", *options)


def test_help_asks_nothing(watched):
    done, attempts = watched(SCRIPT, "--help")
    assert (done.returncode, done.stderr, attempts) == (0, "", [])


@pytest.mark.slow
def test_training_and_its_test_ask_nothing(trained):
    _, done, attempts = trained
    assert (done.returncode, done.stderr, attempts) == (0, "", [])


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["data check", "predict", "doctor"])
def test_other_verbs_ask_nothing(watched, trained, verb):
    folder = trained[0]
    words = {
        "data check": ["derm7pt", "--root", folder / "set"],
        "predict": tiny(folder / "set", folder / "run"),
        "doctor": [*tiny(folder / "set", folder / "other"), "--json"],
    }[verb]
    done, attempts = watched(SCRIPT, *verb.split(), *words)
    assert (done.returncode, done.stderr, attempts) == (0, "", [])
    if verb == "doctor":  # that of the next run, which is trained alike, and makes nothing
        said = {finding["check"]: finding["said"] for finding in json.loads(done.stdout)}
        manifest = json.loads((folder / "run/manifest.json").read_text())
        assert said["model"] == f"{manifest['parameters']['trainable']:,} numbers are trained"
        assert not (folder / "other").exists()


@pytest.mark.slow
def test_every_file_of_a_run_follows_the_umask(trained):
    run = trained[0] / "run"
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (run, *run.rglob("*"))}
    assert len(modes) > 10
    assert {path: oct(mode) for path, mode in modes.items() if mode != (0o750 if path.is_dir() else 0o640)} == {}


@pytest.mark.slow
def test_no_file_of_a_run_holds_the_token_of_the_environment(trained):
    files = [path for path in (trained[0] / "run").rglob("*") if path.is_file()]
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
