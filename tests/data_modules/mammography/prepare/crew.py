"""What the pool's tests let its workers do; a module, for spawned processes import it."""

import ctypes
import os
import signal
import time
from pathlib import Path


def square(number):
    return number * number


def signal_itself(number):
    """A real SIGSEGV or the like for numbers below zero."""
    if number < 0:
        os.kill(os.getpid(), -number)
        time.sleep(10)
    return number


def read_null(number):
    """What a faulty decoder does."""
    return ctypes.string_at(0) if number == 3 else number


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def refuse(number):
    if number == 2:
        raise ValueError("two is refused")
    return number


def blocked_signals(_):
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def environment(_):
    import sys

    heavy = {"torch", "polars", "lightning"} & set(sys.modules)
    return os.environ["OPENBLAS_NUM_THREADS"], heavy


def allocate(number):
    try:
        return len(bytearray(number))
    except MemoryError:
        return None


def process(_):
    time.sleep(0.05)
    return os.getpid()


def process_or_hang(seconds):
    time.sleep(seconds)
    return os.getpid()


def crash_at_1003(job):
    """``prepare_image``, in a worker that dies of its fourth image as of a faulty decoder."""
    from data_modules.mammography.prepare.work import prepare_image

    if job.image.endswith("1003.dcm"):
        ctypes.string_at(0)
    return prepare_image(job)


def change_1000_at_1003(job):
    """``prepare_image``, while somebody puts other pixels into the file of the first image."""
    from data_modules.mammography.prepare.work import prepare_image

    row = prepare_image(job)
    if job.image.endswith("1003.dcm"):
        first = Path(job.root, "train_images/10/1000.dcm")
        first.write_bytes(Path(job.root, "train_images/10/1001.dcm").read_bytes())
    return row


def linger_at_1003(job):
    from data_modules.mammography.prepare.work import prepare_image

    if job.image.endswith("1003.dcm"):
        time.sleep(300)
    return prepare_image(job)


def heavy_after(job):
    """What a worker has imported that it should not have, once it has prepared an image, and OpenCV's threads."""
    import sys

    import cv2

    from data_modules.mammography.prepare.work import prepare_image

    row = prepare_image(job)
    return row["output"], {"polars", "torch", "lightning", "albumentations"} & set(sys.modules), cv2.getNumThreads()
