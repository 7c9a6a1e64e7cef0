"""What becomes of SIGUSR1 and SIGTERM: a training ends its step, keeps it, and ends, to be gone on with later.

SLURM sends the one before the time of a job is up (``--signal=USR1@120``) and the other before it gives a node to
another job. Until training starts, and after it, there is nothing to keep: the process ends at once. In between the
signal is noted, and `medlit.callbacks.BestCheckpoint` ends the training where its state is whole.

Nothing heavy is imported: the command line calls `arm` before all else, for a signal that comes earlier kills.
"""

import signal
import threading
from types import FrameType

EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: not done, try again. The batch script of ``medlit submit`` requeues its job then."""
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
STOPPED = (EXIT_CODE, *(128 + number for number in SIGNALS))
"""How a batch script sees a program end that a signal stopped, the last two before it could hear the signal."""


class Preempted(SystemExit):
    """A signal stopped the run; nothing that was kept is lost.

    Args:
        signal_name: Of the signal; None where another process got it.
        kept: The checkpoint that was written for it, None where there was nothing to keep.
    """

    def __init__(self, signal_name: str | None, kept: str | None = None) -> None:
        super().__init__(EXIT_CODE)
        self.signal_name, self.kept = signal_name, kept

    def __str__(self) -> str:
        what = f"stopped by {self.signal_name or 'a signal to another process'}"
        return f"{what}, {self.kept} is whole" if self.kept else f"{what} where there was nothing to keep"


class _Watch:
    """The signal that came while it was only to be noted, and whether it is."""

    noting = False
    came: str | None = None


def arm() -> None:
    """Take the signals over; does nothing outside of the main thread, where Python allows no handlers."""
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            signal.signal(number, _handle)


def note_only(noting: bool) -> None:
    """Whether a signal is noted from now on, or ends the process at once; forgets what was noted before."""
    _Watch.noting, _Watch.came = noting, None


def noted() -> str | None:
    """Name of the signal that came, None if none did."""
    return _Watch.came


def _handle(number: int, frame: FrameType | None) -> None:
    name = signal.Signals(number).name
    if not _Watch.noting:
        raise Preempted(name)
    _Watch.came = name
