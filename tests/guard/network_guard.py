"""Notices what a Python process asks of the network beyond loopback: connections, datagrams, look-ups of names."""

import ipaddress
import socket
import sys
from collections.abc import Callable

LOOK_UPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
SENDS = ("socket.connect", "socket.sendto", "socket.sendmsg")


class NetworkAttempt(AssertionError):
    """A test asked the network for something."""


def watch(report: Callable[[str], None]) -> None:
    """Call ``report`` with a line for each attempt from now on; it cannot be undone, and what it raises goes through.

    Args:
        report: Takes the attempt.
    """
    own = {None, "", "localhost", socket.gethostname()}

    def hook(event: str, args: tuple) -> None:
        if event in LOOK_UPS:
            host = args[0].decode() if isinstance(args[0], bytes) else args[0]
            if host not in own and not _is_loopback(host):
                report(f"{event} {host}")
        elif event in SENDS and isinstance(args[1], tuple):  # other families have paths
            host = args[1][0]
            if host not in own and not _is_loopback(host):
                report(f"{event} {args[1]}")

    sys.addaudithook(hook)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a name
        return False
    return address.is_loopback or address.is_unspecified
