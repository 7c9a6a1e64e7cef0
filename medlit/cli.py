"""Entry point ``medlit``: answers help, version and unknown verbs at once, imports torch only for a verb's work."""

import atexit
import errno
import gc
import importlib
import os
import sys

from medlit import __version__, preemption
from medlit.commands import VERBS

LIGHTNING_VERBS = {
    "fit": "train a model, then test its best checkpoint",
    "validate": "metrics of a checkpoint on the validation split",
    "test": "metrics and predictions of a checkpoint on the test split",
    "predict": "predictions of a checkpoint, labels not needed",
}
"""Verbs that Lightning's Trainer carries out, each with one line of help."""

OK, FAILED, USER_ERROR, INTERRUPTED = 0, 1, 2, 130
PREEMPTED = preemption.EXIT_CODE
WORKER_DIED = "DataLoader worker"
"""How torch's message starts where a process that reads images was killed."""
NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
READER_LEFT = 141
"""128 + SIGPIPE, as a shell reports a program whose reader has read enough: ``medlit data captions ... | head``."""

LONGEST_LINE = 1_000
"""Letters of an error, which may quote a file that somebody else wrote."""

NOISE = (
    "\N{ELECTRIC LIGHT BULB} Tip",  # Lightning's advertisements
    "`weights_only` was not set",  # said of saving, where it has no choice
    "`isinstance(treespec, LeafSpec)`",  # Lightning's use of torch
    "SLURM auto-requeueing enabled",  # it is not: medlit's handlers are there first, and the batch script requeues
)
"""Logs and warnings that begin so say nothing that a user could act upon."""


def main(args: list[str] | None = None) -> int:
    """Carry out one command line.

    Args:
        args: Words after the program's name; None: those of this process.

    Returns:
        The exit code: 0, 2 for what the user can mend, 1 for a loss that is no number and a worker that was killed, 75
        where a signal stopped a training that can go on, 130 after Ctrl-C, each with one line on standard error. Other
        errors are not caught: Python ends them with a traceback and exit code 1.
    """
    words = sys.argv[1:] if args is None else args
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return OK
    if words[0] == "--version":
        print(f"medlit {__version__}")
        return OK
    verb, rest = words[0], words[1:]
    if verb not in LIGHTNING_VERBS and verb not in VERBS:
        return _fail(_unknown(verb), USER_ERROR)
    return _guarded(verb, rest)


def _help() -> str:
    """What ``medlit --help`` prints."""
    verbs = {**LIGHTNING_VERBS, **{verb: line for verb, (_, line) in VERBS.items()}}
    width = max(map(len, verbs))
    return "\n".join(
        [
            "medlit: adapt vision foundation models to multimodal medical images, and learn whether it helped.",
            "",
            "usage: medlit VERB [options]",
            "",
            *(f"  {verb:<{width}}  {line}" for verb, line in verbs.items()),
            "",
            "medlit VERB --help explains a verb; medlit --version prints the version.",
            "first steps: medlit demo, or medlit fit --config experiments/ei_derm7pt.yaml",
        ]
    )


def _unknown(verb: str) -> str:
    """Message for a word that is no verb, with the nearest one."""
    if verb.startswith("-"):
        return f"the verb comes before its options: medlit VERB {verb} ...; medlit --help lists the verbs"
    from difflib import get_close_matches

    near = get_close_matches(verb, [*LIGHTNING_VERBS, *VERBS], n=1, cutoff=0.5)
    return f"unknown verb '{verb}'; " + (f"did you mean '{near[0]}'?" if near else "medlit --help lists the verbs")


def _guarded(verb: str, args: list[str]) -> int:
    """Run a verb; its errors become exit codes."""
    if verb == "fit":
        preemption.arm()  # before the seconds of imports: SLURM's signal may come early
    from data_modules.errors import DataError
    from medlit.errors import ConfigurationError, NonFiniteLossError

    _send_chatter_to_stdout()
    try:
        code = _run(verb, args)
        if sys.stdout is not None:  # closed by the caller: medlit ... >&-
            sys.stdout.flush()  # here, for an error at the interpreter's end could not be answered
        return code
    except BrokenPipeError:
        if not _reader_has_left():
            raise
        return READER_LEFT
    except preemption.Preempted as stop:
        return _preempted(stop)
    except (DataError, ConfigurationError) as error:
        return _fail(one_line(error), USER_ERROR)
    except NonFiniteLossError as error:
        return _fail(one_line(error), FAILED)
    except RuntimeError as error:
        if not str(error).startswith(WORKER_DIED):
            raise
        return _worker_died(error)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        place = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror}{place}: free some; a training goes on with --resume true", USER_ERROR)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):  # the Trainer turns Ctrl-C into exit code 1
            return _fail("interrupted", INTERRUPTED)
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else FAILED


def _preempted(stop: preemption.Preempted) -> int:
    """Say, once for all processes, that a signal stopped a training."""
    if os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("SLURM_PROCID", "0") == "0":
        print(f"medlit: {stop}; go on with the same command and --resume true", file=sys.stderr)
    return PREEMPTED


def _worker_died(error: RuntimeError) -> int:
    """Say what became of a worker; one that died of a signal to all, before it heeds none, is no failure of its own."""
    if (name := preemption.noted()) is not None:
        return _preempted(preemption.Preempted(name))
    return _fail(
        f"a process that reads images was killed ({one_line(error)}) Where memory ran out, set fewer "
        "data.init_args.num_workers or a smaller batch_size; what was trained is kept: go on with --resume true",
        FAILED,
    )


def _reader_has_left() -> bool:
    """Whether standard output is a pipe that nobody reads; what is left to print is thrown away then."""
    import select

    end = select.poll()
    end.register(sys.stdout.fileno(), 0)  # POLLERR is always reported: a write would find no reader
    left = any(event & select.POLLERR for _, event in end.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return left


def _run(verb: str, args: list[str]) -> int:
    """Import what carries out the verb, and let it."""
    if verb in LIGHTNING_VERBS:
        import_all_that_trains()
        from medlit import lightning_cli

        return lightning_cli.main([verb, *args])
    code: int = importlib.import_module(VERBS[verb][0]).main(args)
    return code


def import_all_that_trains() -> None:
    """Import Lightning and all that it needs, a million objects that stay.

    To look through them for garbage, again and again, would be a sixth of a command's start.
    """
    if "medlit.lightning_cli" in sys.modules:
        return
    gc.disable()
    try:
        importlib.import_module("medlit.lightning_cli")
    finally:
        gc.enable()
    gc.freeze()
    atexit.register(gc.unfreeze)  # at its end the interpreter clears them away, or libraries speak of leaks


def one_line(error: BaseException) -> str:
    """An error's message on one line, fit for a terminal; of an error inside a DataLoader's worker, what that said."""
    text = str(error).strip()
    if "Original Traceback" in text:
        last = text.splitlines()[-1]
        name, colon, said = last.partition(": ")
        text = said if colon and name.rpartition(".")[2].isidentifier() else last
    text = " ".join(text.split()) or type(error).__name__
    text = text if len(text) <= LONGEST_LINE else f"{text[: LONGEST_LINE - 4]} ..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def _fail(message: str, code: int) -> int:
    """Tell of an error, once for all processes that meet it."""
    if "torch" in sys.modules:
        from medlit.collectives import is_first_to

        if not is_first_to(message):
            return code
    print(f"medlit: error: {message}", file=sys.stderr)
    return code


def _send_chatter_to_stdout() -> None:
    """Logs and warnings go to standard output: standard error is for what stopped the run.

    Lightning logs through the root logger where that has a handler before Lightning is imported.
    """
    import logging
    import warnings

    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(lambda record: not record.getMessage().removeprefix("FutureWarning: ").startswith(NOISE))
    logging.basicConfig(format="%(message)s", handlers=[handler])
    warnings.showwarning = _log_warning


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    """A warning as a log of one line; takes what ``warnings.showwarning`` takes."""
    import logging

    logging.getLogger("py.warnings").warning("%s: %s", category.__name__, message)


if __name__ == "__main__":
    sys.exit(main())
