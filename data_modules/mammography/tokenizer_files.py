"""Tokenizers of transformers: in a local folder, in the hub's local cache, or on the hub."""

import socket
from pathlib import Path
from typing import TYPE_CHECKING

from data_modules.errors import DataSettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = "words"
"""The tokenizer that is made here, of the words of captions."""
FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
"""One of them holds the vocabulary in a folder of transformers."""
BESIDE = ("config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "merges.txt")
"""What else of a tokenizer may lie in that folder."""


def tokenizer_files(source: str) -> list[Path]:
    """The files of a tokenizer that is a folder or in the hub's local cache; none of ``words``, nor of one not there.

    Args:
        source: As in :func:`load_tokenizer`.
    """
    folder = Path(source).expanduser()
    if source == WORDS:
        return []
    if not folder.is_dir():
        vocabulary = _cached_vocabulary(source)
        if vocabulary is None:
            return []
        folder = vocabulary.parent
    return [path for name in (*FILES, *BESIDE) if (path := folder / name).is_file()]


def from_folder(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer in a local folder.

    Raises:
        DataSettingsError: If it holds none, or one that cannot be read.
    """
    if not any((folder / name).is_file() for name in FILES):
        raise DataSettingsError(f"tokenizer: {folder} holds no tokenizer; expected one of {', '.join(FILES)}")
    try:
        return _load(str(folder), local=True)
    except Exception as error:  # the readers have a dozen for a broken file, plain Exception among them
        raise DataSettingsError(f"tokenizer: {folder} cannot be read ({_first_line(error)})") from error


def from_hub(name: str, *, network: bool) -> "PreTrainedTokenizerBase":
    """The tokenizer of a name on the hub, from the local cache where it is there.

    There means with its vocabulary: of a configuration alone transformers would make an empty tokenizer.

    Args:
        name: Of a model on the hub.
        network: Whether to download what the cache lacks.

    Raises:
        DataSettingsError: If it cannot be had; says what to do.
    """
    from huggingface_hub import constants

    problem: Exception | None = None
    try:
        if _cached_vocabulary(name) is not None:
            return _load(name, local=True)
    except Exception as error:  # as above; what is not whole in the cache is downloaded
        problem = error
    by_hand = (
        f"download tokenizer.json, tokenizer_config.json and config.json from {constants.ENDPOINT}/{name} to a "
        f"folder and set tokenizer: FOLDER, or set tokenizer: {WORDS}"
    )
    if not network or constants.HF_HUB_OFFLINE or not _resolves(constants.ENDPOINT):
        raise DataSettingsError(f"tokenizer: no network and no cached tokenizer {name}: {by_hand}") from problem
    try:
        loaded = _load(name, local=False)
    except Exception as error:
        raise DataSettingsError(f"tokenizer: cannot get {name} ({_first_line(error)}): {by_hand}") from error
    if _cached_vocabulary(name) is None:
        raise DataSettingsError(f"tokenizer: {name} has none of {', '.join(FILES)}: {by_hand}")
    return loaded


def _cached_vocabulary(name: str) -> Path | None:
    """The vocabulary of a tokenizer in the hub's local cache."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file) for file in FILES)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _load(source: str, *, local: bool) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
        source, local_files_only=local, trust_remote_code=False
    )
    return loaded


def _resolves(endpoint: str) -> bool:
    """Whether the hub's host has an address, or a proxy may know one; its client would retry for a minute."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
