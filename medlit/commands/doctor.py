"""``medlit doctor``: checks machine, data and folders before an allocation is spent on what cannot work."""

import argparse
import contextlib
import io
import json
import logging
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medlit.doctor import devices, folder, installation, limits
from medlit.doctor.finding import Finding, examined, ok, wrong

if TYPE_CHECKING:
    from medlit.commands.configuration import Configuration

SOUND, WRONG = 0, 2
PROCESSES = 2
"""Of the sum on the CPU."""


def main(args: list[str]) -> int:
    """Check, and print a line per check.

    Args:
        args: Words after ``doctor``.

    Returns:
        0; 2 where something is wrong.
    """
    options, words = _parser().parse_known_args(args)
    if os.environ.get("SLURM_LOCALID", "0") != "0":  # of several tasks on a node one looks
        return SOUND
    os.environ["HF_HUB_OFFLINE"] = "1"  # whether it would work without network is the question; read at import
    found: list[Finding] = []
    with _quiet(everything=options.json):
        for finding in _checks(words):
            found.append(finding)
            if not options.json:
                print(f"{_node()}{finding.state:<7}  {finding.check}: {finding.said}", flush=True)
    if options.json:
        print(json.dumps([{"node": platform.node(), **asdict(finding)} for finding in found], indent=2))
    return WRONG if any(finding.state == "wrong" for finding in found) else SOUND


def _checks(words: Sequence[str]) -> Iterator[Finding]:
    """Findings as they are made."""
    gloo = devices.Collective("gloo", PROCESSES)  # their imports take as long as those below
    yield examined("python", installation.check_python)
    yield examined("packages", installation.check_packages)
    imports = examined("imports", installation.check_imports)
    yield imports
    yield examined(gloo.check, gloo.finding)
    if imports.state == "wrong":
        return  # nothing below could run
    yield examined("devices of this machine", devices.check_machine)
    yield from _nccl()
    yield examined("open files", limits.check_open_files)
    if not words:
        yield examined("shared memory", limits.check_shared_memory)
        return
    from medlit import code_paths

    with code_paths.known_code_alone(unless=code_paths.code_is_allowed(words)):
        yield from _configuration(words)


def _configuration(words: Sequence[str]) -> Iterator[Finding]:
    """Whether it is one, and what it asks for."""
    from data_modules.errors import DataError
    from medlit.commands.configuration import Configuration
    from medlit.errors import ConfigurationError

    try:
        configuration = Configuration(words)
    except (ConfigurationError, DataError) as error:
        yield wrong("configuration", " ".join(str(error).split()))
        return
    yield ok("configuration", "every key and value is known")
    yield from _configured(configuration, configuration.plain)


def _nccl() -> Iterator[Finding]:
    """Whether the GPUs of this machine reach each other, where there are any."""
    import torch

    if count := torch.cuda.device_count():
        nccl = devices.Collective("nccl", count)
        yield examined(nccl.check, nccl.finding)


def _configured(configuration: "Configuration", config: dict[str, Any]) -> Iterator[Finding]:
    """What a configuration asks of the machine, of data, of files and of the run folder."""
    from data_modules.errors import DataError
    from medlit.errors import ConfigurationError

    processes = 1
    try:
        trainer = devices.make_trainer(config["trainer"])
    except ConfigurationError as error:
        yield wrong("devices", str(error))
    else:
        processes = trainer.num_devices
        yield examined("devices", partial(devices.check_devices, trainer, config["trainer"]))
        yield examined("precision", partial(devices.check_precision, trainer))
    yield examined("shared memory", partial(_check_shared_memory, config, processes))
    run_dir = Path(config["run_dir"])
    yield examined("run folder", partial(folder.check_writing, run_dir))
    yield examined("run", partial(_check_claim, configuration, run_dir))
    yield examined("clock", partial(folder.check_clock, run_dir))
    yield examined("data", partial(_check_data, configuration))
    yield from _needs(config)
    try:
        trained = sum(p.numel() for p in configuration.make_task().parameters() if p.requires_grad)
    except (ConfigurationError, DataError) as error:
        yield wrong("model", " ".join(str(error).split()))
        yield examined("free space", partial(folder.check_space, run_dir, None))
    else:
        yield ok("model", f"{trained:,} numbers are trained")
        yield examined("free space", partial(folder.check_space, run_dir, trained))


def _check_shared_memory(config: dict[str, Any], processes: int) -> Finding:
    """Whether the batches of a training have room."""
    return limits.check_shared_memory(limits.shared_bytes(config["data"].get("init_args") or {}, processes=processes))


def _check_claim(configuration: "Configuration", run_dir: Path) -> Finding:
    """Whether the run folder is free, or goes on."""
    configuration.claim()
    return ok("run", f"{run_dir} is free for it")


def _check_data(configuration: "Configuration") -> Finding:
    """Whether the DataModule finds all that training and test read."""
    data = configuration.make_data()
    data.prepare_data()
    data.setup("fit")
    splits = getattr(data, "splits", {})
    sizes = ", ".join(f"{len(cases)} cases for {split}" for split, cases in splits.items())
    return ok("data", f"{type(data).__name__}{f': {sizes}' if sizes else ' is there'}")


def _needs(config: dict[str, Any]) -> Iterator[Finding]:
    """Whether pretrained weights, tokenizers and checkpoints are there without network."""
    from medlit.needed_files import Need, needs_of

    def look(need: Need) -> Finding:
        """The finding of one of them."""
        files = need.files(network=False)
        return ok(need.kind, f"{need.name} in {files[0].parent}")

    for need in needs_of(config):
        finding = examined(need.kind, partial(look, need))
        if finding.state == "wrong" and need.kind in ("backbone", "text model", "configuration", "tokenizer"):
            finding = wrong(need.kind, f"run medlit weights fetch where there is network; {finding.said}")
        yield finding


@contextlib.contextmanager
def _quiet(*, everything: bool) -> Iterator[None]:
    """Without what Lightning and DataModules say on their way; with ``--json`` without any word but the list."""
    logging.disable(logging.CRITICAL if everything else logging.INFO)
    aside = contextlib.redirect_stdout(io.StringIO()) if everything else contextlib.nullcontext()
    try:
        with aside:
            yield
    finally:
        logging.disable(logging.NOTSET)


def _node() -> str:
    """The machine's name at the beginning of a line, where several machines print."""
    several = int(os.environ.get("SLURM_JOB_NUM_NODES") or 1) > 1
    return f"{platform.node()}: " if several else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit doctor",
        description="Check what a training would fail on: packages, devices, processes that reach each other, shared "
        "memory, run folder, data, weights without network. A line each: ok, warning, or wrong with what to do; exit "
        "code 2 where something is wrong. Options are those of medlit fit, --config A.yaml ...; without any, the "
        "machine alone is checked. Nothing is trained, and the network is not asked.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="print the findings as a list for scripts")
    return parser
