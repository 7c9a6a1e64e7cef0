"""Whether the devices that a configuration asks for are there, compute as asked, and reach each other."""

import contextlib
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from medlit.doctor.finding import Finding, ok, warning, wrong

if TYPE_CHECKING:
    from lightning import Trainer

SECONDS = 180
"""For all processes of a collective to start, meet and end; importing torch from a busy network disk is most of it."""
LOOPBACK = "lo"
"""The interface of a sum, unless the environment names one: gloo would look the machine's name up in the network."""
BF16_SINCE = (8, 0)
"""Compute capability of the first GPUs with bfloat16, Ampere; older ones emulate it."""
JUDGED = ("accelerator", "devices", "num_nodes", "precision")
"""Settings of the Trainer that depend on the machine."""


def check_machine() -> Finding:
    """The devices that are there, whatever will be asked for."""
    import torch

    count = torch.cuda.device_count()
    if not count:
        return ok("devices", f"no GPU; {len(os.sched_getaffinity(0))} CPU cores")
    about = [torch.cuda.get_device_properties(number) for number in range(count)]
    names = ", ".join(f"{gpu.name} {gpu.total_memory / 2**30:.0f} GiB" for gpu in about)
    return ok("devices", f"{count} GPUs ({names}), CUDA {torch.version.cuda}; {len(os.sched_getaffinity(0))} CPU cores")


def make_trainer(settings: Mapping[str, Any]) -> "Trainer":
    """Lightning's own Trainer on the devices that are asked for: what it refuses here it would refuse in training.

    Args:
        settings: Of the Trainer.

    Raises:
        ConfigurationError: With Lightning's words.
    """
    from lightning import Trainer
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from medlit.errors import ConfigurationError

    asked = {name: settings[name] for name in JUDGED if settings.get(name) is not None}
    if isinstance(settings.get("strategy"), str):
        asked["strategy"] = settings["strategy"]
    try:
        with _quiet():
            trainer = Trainer(**asked, logger=False, enable_checkpointing=False, enable_progress_bar=False)
            environment = getattr(trainer.strategy, "cluster_environment", None)
            if environment is not None:  # asked by Lightning when it starts processes
                environment.validate_settings(num_devices=trainer.num_devices, num_nodes=trainer.num_nodes)
            return trainer
    except (MisconfigurationException, ValueError, TypeError, RuntimeError) as error:
        raise ConfigurationError(f"{' '.join(str(error).split())} (trainer.{', trainer.'.join(asked)})") from error


def check_devices(trainer: "Trainer", settings: Mapping[str, Any]) -> Finding:
    """What a training would run on.

    Args:
        trainer: From :func:`make_trainer`.
        settings: Of the Trainer.
    """
    kind = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    told = f"{kind} x {trainer.num_devices} a node, nodes: {trainer.num_nodes}, processes: {trainer.world_size}"
    if kind == "CPU" and settings.get("accelerator") in (None, "auto"):
        return warning(
            "devices",
            f"no GPU here, accelerator: auto would take {told}; run this inside the allocation, or set "
            "trainer.accelerator to cpu",
        )
    return ok("devices", told)


def check_precision(trainer: "Trainer") -> Finding:
    """Whether the devices compute in the precision that is asked for.

    Args:
        trainer: From :func:`make_trainer`.
    """
    import torch

    precision = str(trainer.precision)
    if "bf16" in precision and trainer.strategy.root_device.type == "cuda":
        numbers = range(torch.cuda.device_count())
        old = [n for n in numbers if torch.cuda.get_device_capability(n) < BF16_SINCE]
        if old:
            name = torch.cuda.get_device_name(old[0])
            return wrong("precision", f"{name} only emulates bfloat16: set trainer.precision to 16-mixed or 32-true")
    return ok("precision", precision)


class Collective:
    """A sum over several processes on loopback, each with a GPU of its own for NCCL; it runs while others look on.

    Args:
        backend: gloo or nccl.
        processes: How many.
    """

    def __init__(self, backend: str, processes: int) -> None:
        self.backend = backend
        self.check = f"{backend} over {processes} processes"
        self._start = time.monotonic()
        command = [sys.executable, "-m", "medlit.doctor.all_reduce", backend]
        self._folder = tempfile.TemporaryDirectory(prefix="medlit-doctor-")
        meeting = os.path.join(self._folder.name, "meeting")
        environment = {f"{backend.upper()}_SOCKET_IFNAME": LOOPBACK, **os.environ}
        self._processes = [
            subprocess.Popen(
                [*command, str(rank), str(processes), meeting],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for rank in range(processes)
        ]

    def finding(self) -> Finding:
        """Wait for the sum, for a while at most."""
        ends = self._start + SECONDS
        try:
            said = [process.communicate(timeout=max(0.1, ends - time.monotonic()))[1] for process in self._processes]
        except subprocess.TimeoutExpired:
            return wrong(
                self.check, f"no sum within {SECONDS} s: a firewall on loopback, or {_interface(self.backend)}"
            )
        finally:
            for process in self._processes:
                process.kill()
                process.wait()
            self._folder.cleanup()
        failed = [text.strip().splitlines() for p, text in zip(self._processes, said, strict=True) if p.returncode]
        if failed:
            reason = next((lines[-1] for lines in failed if lines), "a process ended without a word")
            return wrong(self.check, f"{reason}: see {_interface(self.backend)}")
        return ok(self.check, f"summed within {time.monotonic() - self._start:.0f} s of starting them")


def _interface(backend: str) -> str:
    """The variable that names the network interface of a backend, and what it is."""
    name = f"{backend.upper()}_SOCKET_IFNAME"
    return f"{name}={os.environ.get(name, LOOPBACK)}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without Lightning's lines on what it found, and its advice on how to start a training."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
