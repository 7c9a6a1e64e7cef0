"""Imported by every Python that finds this folder on its path: notes in a file what it asks of the network."""

import os

from network_guard import watch

_LOG = os.open(os.environ["MEDLIT_NETWORK_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def _note(attempt: str) -> None:
    os.write(_LOG, f"{attempt}\n".encode())


watch(_note)
