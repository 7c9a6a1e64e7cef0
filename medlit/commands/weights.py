"""``medlit weights``: which pretrained files a configuration needs, and fetching them where there is network."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from data_modules.errors import DataError
from medlit.errors import ConfigurationError
from medlit.needed_files import Need, needs_of
from medlit.sizes import in_words

PRESENT, MISSING = 0, 2


def main(args: list[str]) -> int:
    """Carry out ``list`` or ``fetch``.

    Args:
        args: Words after ``weights``.

    Returns:
        0; for ``list`` where something is not there, 2.

    Raises:
        ConfigurationError: If the configuration is not valid, or something cannot be fetched.
    """
    options, words = _parser().parse_known_args(args)
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # read at import
    from medlit import code_paths
    from medlit.commands.configuration import Configuration

    with code_paths.known_code_alone(unless=code_paths.code_is_allowed(words)):
        needs = needs_of(Configuration(words).plain)
    if not needs:
        print("nothing: the configuration names no pretrained model, tokenizer or checkpoint")
        return PRESENT
    return fetch(needs) if options.verb == "fetch" else show(needs)


def show(needs: Sequence[Need]) -> int:
    """Print what is needed and whether it is there; the network is not asked.

    Args:
        needs: Of a configuration.

    Returns:
        0, or 2 where something is missing.
    """
    code = PRESENT
    for need in needs:
        try:
            print(_line("present", need, need.files(network=False)))
        except (ConfigurationError, DataError) as error:
            code = MISSING
            print(f"missing  {need.kind} {need.name}: {error}")
    if code == MISSING:
        print("medlit weights fetch, with the same options and network, brings what the hub has")
    return code


def fetch(needs: Sequence[Need]) -> int:
    """Bring what is not there into the hub's local cache, and print what, where and how large.

    Args:
        needs: Of a configuration.

    Returns:
        0.

    Raises:
        ConfigurationError: If something cannot be had; what can is fetched all the same.
    """
    from huggingface_hub import constants

    problems = [problem for need in needs if (problem := _fetch(need))]
    if problems:
        others = f" (and {len(problems) - 1} more, told above)" if len(problems) > 1 else ""
        offline = "HF_HUB_OFFLINE is set, unset it to fetch; " if constants.HF_HUB_OFFLINE else ""
        raise ConfigurationError(f"{offline}{problems[0]}{others}")
    for need in needs:  # where the hub was given a new version meanwhile, a file fetched before belongs to the old one
        if need.kind != "checkpoint":
            need.files(network=True)
    home = "" if "HF_HOME" not in os.environ else f" HF_HOME={os.environ['HF_HOME']}"
    print(f"Fetched. On compute nodes: HF_HUB_OFFLINE=1{home}")
    return PRESENT


def _fetch(need: Need) -> str:
    """Fetch one thing and print how that went; what stood in the way, nothing where it is there."""
    start = time.monotonic()
    try:
        print(_line("present", need, need.files(network=False)), flush=True)
        return ""
    except (ConfigurationError, DataError) as error:
        if need.kind == "checkpoint":  # of an earlier stage, which may not have been trained yet
            print(f"not yet  {need.kind} {need.name}: {error}", flush=True)
            return ""
    try:
        files = need.files(network=True)
    except (ConfigurationError, DataError) as error:
        print(f"missing  {need.kind} {need.name}: {error}", flush=True)
        return str(error)
    print(f"{_line('fetched', need, files)}, {time.monotonic() - start:.0f} s", flush=True)
    return ""


def _line(state: str, need: Need, files: Sequence[Path]) -> str:
    """What, how large and where."""
    size = in_words(sum(file.stat().st_size for file in files))
    where = str(files[0]) if len(files) == 1 else f"{files[0].parent} ({', '.join(file.name for file in files)})"
    return f"{state}  {need.kind} {need.name}: {size} in {where}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit weights",
        description="Pretrained weights, tokenizers and checkpoints that a configuration names. Options are those of "
        "medlit fit: --config A.yaml [--config B.yaml ...] and any setting.",
        allow_abbrev=False,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser(
        "list",
        help="what is needed and whether it is there; asks no network",
        description="Print what is needed and whether it is there, without network. Exit code 2 where it is not.",
        allow_abbrev=False,
    )
    verbs.add_parser(
        "fetch",
        help="download what is not there, on a machine with network",
        description="Download what is not there into the cache of the Hugging Face hub (HF_HOME), so that trainings "
        "run without network (HF_HUB_OFFLINE=1). Gated models need HF_TOKEN.",
        allow_abbrev=False,
    )
    return parser
