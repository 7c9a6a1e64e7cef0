"""Panics of polars: a damaged file makes it print a trace of its own code before Python hears of an error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile


@contextmanager
def unprinted_panics() -> Iterator[None]:
    """Keep what is printed of an error off the screen, for the error tells; what is printed without one is passed on.

    Rust writes to the descriptor of standard error, from threads of its own; nothing in Python can stop it there.
    """
    if sys.stderr is not None:
        sys.stderr.flush()
    try:
        screen = os.dup(2)
    except OSError:  # closed by the caller: nothing can be printed
        yield
        return
    with TemporaryFile() as heard:
        os.dup2(heard.fileno(), 2)
        try:
            yield
            heard.seek(0)
            os.write(screen, heard.read())
        finally:
            os.dup2(screen, 2)
            os.close(screen)
