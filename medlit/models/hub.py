"""Files of the Hugging Face hub: from its local cache, or downloaded; the loaders and ``medlit weights`` share it."""

import json
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path

from medlit.sizes import in_words

CONFIG = "config.json"

TEXT_WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""One of them is in a repository or folder of transformers, taken in this order; an index names several files."""


class HubError(OSError):
    """Why the hub does not give a file, in one line."""


class NoSuchFileError(HubError):
    """The hub has the repository, and no file of that name in it."""


def cached(repo: str, file: str) -> Path | None:
    """A file in the hub's local cache, of the version that was downloaded last; None where it is not there.

    Args:
        repo: As ``timm/vit_base_patch16_clip_224.openai``.
        file: Its name in the repository.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(repo, file)
    except HFValidationError:  # what is no name of the hub is not there
        return None
    return Path(found) if isinstance(found, str) and Path(found).is_file() else None


def may_download() -> bool:
    """Whether the network may be asked: not where HF_HUB_OFFLINE is set, nor where the hub's host has no address.

    Asked first, for the hub's client retries for a minute.
    """
    from huggingface_hub import constants

    return not constants.HF_HUB_OFFLINE and hub_resolves(constants.ENDPOINT)


def hub_resolves(endpoint: str) -> bool:
    """Whether the hub's host has an address, or a proxy is set that may know one."""
    from urllib.parse import urlsplit
    from urllib.request import getproxies

    if getproxies():
        return True
    try:
        socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
    except OSError:
        return False
    return True


def download(repo: str, file: str) -> Path:
    """Bring a file into the hub's local cache, unless it is there already.

    Args:
        repo: Of the hub.
        file: Its name in the repository.

    Returns:
        Where it is.

    Raises:
        NoSuchFileError: If the repository has no such file.
        HubError: If it cannot be had for any other reason, or does not fit on the disk.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError
    from huggingface_hub.errors import RepositoryNotFoundError as UnknownRepoError

    try:
        told = hf_hub_download(repo, file, dry_run=True)
        if told.will_download:
            _require_space(told.file_size or 0, Path(constants.HF_HUB_CACHE))
        return Path(hf_hub_download(repo, file))
    except HubError:
        raise
    except GatedRepoError as error:  # also an UnknownRepoError
        raise HubError(f"its terms have to be accepted on {constants.ENDPOINT}/{repo}, then HF_TOKEN set") from error
    except UnknownRepoError as error:
        raise HubError(f"{constants.ENDPOINT} has no {repo}, or keeps it private (HF_TOKEN)") from error
    except LocalEntryNotFoundError as error:  # also an EntryNotFoundError; the client could not ask
        raise HubError(f"{constants.ENDPOINT} does not answer") from error
    except EntryNotFoundError as error:
        raise NoSuchFileError(f"{constants.ENDPOINT}/{repo} has no {file}") from error
    except Exception as error:  # the client and its transport have dozens: broken connections, disks, checksums
        raise HubError(next(iter(str(error).strip().splitlines()), type(error).__name__)) from error


def download_first(repo: str, files: Sequence[str]) -> Path:
    """Bring the first of some files that a repository has into the hub's local cache.

    Args:
        repo: Of the hub.
        files: Names, best first.

    Returns:
        Where it is.

    Raises:
        NoSuchFileError: If the repository has none of them.
        HubError: If it cannot be had for any other reason.
    """
    for file in files:
        try:
            return download(repo, file)
        except NoSuchFileError:
            continue
    raise NoSuchFileError(f"{repo} has no {' or '.join(files)}")


def text_snapshot(repo: str, *, weights: bool) -> Path | None:
    """The folder of a text model in the hub's local cache, where all that loading reads is there; None: it is not.

    Args:
        repo: Of the hub.
        weights: Whether the weights are needed as well as the configuration.
    """
    config = cached(repo, CONFIG)
    if config is None or not weights:
        return config and config.parent
    files = [path for name in TEXT_WEIGHT_FILES if (path := cached(repo, name)) is not None][:1]
    whole = files and all(cached(repo, shard) is not None for shard in shards(files[0]))
    return config.parent if whole else None


def download_text_model(repo: str, *, weights: bool) -> Path:
    """Bring into the cache what :func:`text_snapshot` looks for: safetensors where the repository has them.

    Args:
        repo: Of the hub.
        weights: Whether the weights are needed as well as the configuration.

    Returns:
        The folder.

    Raises:
        HubError: If it cannot be had.
    """
    folder = download(repo, CONFIG).parent
    if not weights:
        return folder
    first = download_first(repo, TEXT_WEIGHT_FILES)
    for shard in shards(first):
        download(repo, shard)
    return first.parent


def shards(path: Path) -> list[str]:
    """Names of the files that an index names; none for a file that is no index.

    Raises:
        HubError: If it is no index of transformers, or names files outside of its folder.
    """
    if not path.name.endswith(".index.json"):
        return []
    try:
        names = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise HubError(f"{path} is no index of weights ({type(error).__name__})") from error
    wrong = [name for name in names if not isinstance(name, str) or Path(name).name != name]
    if wrong:
        raise HubError(f"{path} names {wrong[0]!r}, which is no file beside it")
    return names


def files_of_text_model(folder: Path) -> list[Path]:
    """The files of a text model's folder that loading reads: configuration, then weights."""
    for first in (folder / name for name in TEXT_WEIGHT_FILES):
        if first.is_file():
            return [folder / CONFIG, first, *(folder / shard for shard in shards(first))]
    return [folder / CONFIG]


def _require_space(size: int, cache: Path) -> None:
    """Refuse a download that does not fit.

    Raises:
        HubError: Saying how much is needed, and how much is free.
    """
    place = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        raise HubError(
            f"{in_words(size)} do not fit into {cache}, where {in_words(free)} are free; HF_HOME names another folder"
        )
