"""Carries out a command where no packet leaves, and notes each that would: ``python sealed.py LOG COMMAND ...``.

It is run in a network namespace of its own. That gets loopback and one device that leads nowhere; whatever the command
and its children send, in Python or not, arrives at the device's other end, where it is written to the log. Questions to
a name server on loopback are seen there.
"""

import socket
import subprocess
import sys
import threading

ETH_P_ALL = 0x0003
OUR, THEIRS, MAC = "10.99.0.1/24", "10.99.0.2", "02:00:00:00:00:01"
SET_UP = (
    "ip link set lo up",
    f"ip link add name out type veth peer name sink address {MAC}",
    "ip link set out up",
    "ip link set sink up",
    f"ip address add {OUR} dev out",
    f"ip neighbour add {THEIRS} lladdr {MAC} dev out",
    f"ip route add default via {THEIRS}",
)


def main(log: str, *command: str) -> int:
    """Exit code of the command."""
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w") as setting:
        setting.write("1")  # its devices announce themselves
    for line in SET_UP:
        subprocess.run(line.split(), check=True)
    ended = threading.Event()
    listeners = [
        threading.Thread(target=_listen, args=(_tap("sink"), "sink", _is_ip, log, ended)),
        threading.Thread(target=_listen, args=(_tap("lo"), "lo", _is_question, log, ended)),
    ]
    for listener in listeners:
        listener.start()
    code = subprocess.run(command, check=False).returncode
    ended.set()
    for listener in listeners:
        listener.join()
    return code


def _tap(device: str) -> socket.socket:
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    tap.bind((device, 0))
    tap.settimeout(0.2)
    return tap


def _listen(tap: socket.socket, device: str, seen, log: str, ended: threading.Event) -> None:
    """Write down packets until the command has ended and no more come."""
    while True:
        try:
            frame = tap.recv(65535)
        except TimeoutError:
            if ended.is_set():
                return
            continue
        if seen(frame):
            with open(log, "a") as file:
                file.write(f"packet on {device}: protocol {frame[23]} to {socket.inet_ntoa(frame[30:34])}\n")


def _is_ip(frame: bytes) -> bool:
    return frame[12:14] == b"\x08\x00"


def _is_question(frame: bytes) -> bool:
    """Whether a packet of IP goes to port 53."""
    start = 14 + 4 * (frame[14] & 15)
    return _is_ip(frame) and frame[start + 2 : start + 4] == (53).to_bytes(2, "big")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
