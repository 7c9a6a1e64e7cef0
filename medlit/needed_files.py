"""Which files of pretrained models a configuration names, and whether they are there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from medlit.errors import WeightsNotFoundError

Kind = Literal["backbone", "text model", "configuration", "tokenizer", "weights", "checkpoint"]


@dataclass(frozen=True, kw_only=True)
class Need:
    """Something that a configuration reads from files.

    Args:
        kind: ``backbone`` and ``text model``: released weights by name; ``configuration``: a text model's settings, for
            random weights; ``tokenizer``; ``weights`` and ``checkpoint``: a path.
        name: What the configuration gives.
        key: Where it stands there, with dots.
        arguments: Of a backbone, its ``model_args``.
    """

    kind: Kind
    name: str
    key: str
    arguments: Mapping[str, Any] | None = None

    def files(self, *, network: bool) -> list[Path]:
        """The files, found or downloaded by the very functions that training finds them by.

        Args:
            network: Whether to download what is not there.

        Raises:
            WeightsNotFoundError: If they are not to be had; says what to do.
            ConfigurationError: If there is no such model.
            DataSettingsError: If it is a tokenizer that is not to be had.
        """
        if self.kind == "backbone":
            return [_backbone_weights(self.name, self.arguments, network=network)]
        if self.kind in ("text model", "configuration"):
            return _text_files(self.name, weights=self.kind == "text model", network=network)
        if self.kind == "tokenizer":
            return _tokenizer_files(self.name, network=network)
        if self.kind == "weights":
            from medlit.models.weights import find_weights

            return [find_weights(self.name)]
        if not Path(self.name).is_file():
            raise WeightsNotFoundError(f"{self.key}: checkpoint {self.name} does not exist; train it first")
        return [Path(self.name)]


def needs_of(config: Mapping[str, Any]) -> list[Need]:
    """What a configuration reads from files, each once.

    Args:
        config: Of a training, every default filled in, in plain types.
    """
    found = [
        *_needs_of_model(config["model"], "model"),
        *_tokenizers(config["data"], "data"),
    ]
    if config.get("ckpt_path"):
        found.append(Need(kind="checkpoint", name=config["ckpt_path"], key="ckpt_path"))
    unique: dict[tuple[str, str, str], Need] = {}
    for need in found:
        unique.setdefault((need.kind, need.name, repr(need.arguments)), need)
    return list(unique.values())


def _needs_of_model(settings: Mapping[str, Any], key: str) -> Iterator[Need]:
    """Of a task and all that is configured below it."""
    for below, part in _mappings(settings, key):
        if isinstance(part.get("backbone"), str) and "pretrained" in part:
            yield from _needs_of_tower(part, below)
        if isinstance(part.get("checkpoint"), str):
            yield Need(kind="checkpoint", name=part["checkpoint"], key=f"{below}.checkpoint")
        for modality, path in (part.get("init_from") or {}).items():
            yield Need(kind="checkpoint", name=path, key=f"{below}.init_from.{modality}")


def _needs_of_tower(part: Mapping[str, Any], key: str) -> Iterator[Need]:
    """Of an encoder: of images, which may take ``weights`` from a file, or of text, which has no such setting."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    name = part["backbone"]
    if "weights" in part:
        if part["weights"] is not None:
            yield Need(kind="weights", name=part["weights"], key=f"{key}.weights")
        elif part["pretrained"]:
            yield Need(kind="backbone", name=name, key=f"{key}.backbone", arguments=part.get("model_args"))
    elif part["pretrained"]:
        yield Need(kind="text model", name=name, key=f"{key}.backbone")
    elif name not in CONFIG_MAPPING or Path(name).is_dir():
        yield Need(kind="configuration", name=name, key=f"{key}.backbone")


def _tokenizers(settings: Mapping[str, Any], key: str) -> Iterator[Need]:
    from data_modules.mammography.tokenizer_files import WORDS

    for below, part in _mappings(settings, key):
        name = part.get("tokenizer")
        if isinstance(name, str) and name != WORDS:
            yield Need(kind="tokenizer", name=name, key=f"{below}.tokenizer")


def _mappings(value: object, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A mapping and all below it, lists included, each with its key."""
    if isinstance(value, Mapping):
        yield key, value
        for name, child in value.items():
            yield from _mappings(child, f"{key}.{name}")
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _mappings(child, f"{key}.{number}")


def _backbone_weights(name: str, arguments: Mapping[str, Any] | None, *, network: bool) -> Path:
    """Asks a model without memory where its weights are, as the encoder asks the one that it makes."""
    import torch

    from medlit.models.foundations import FOUNDATIONS, architecture_of, require_known
    from medlit.models.timm_vit import create_vit
    from medlit.models.weights import download_weights

    require_known(name)
    with torch.device("meta"):
        model = create_vit(*architecture_of(name, arguments))
    return download_weights(model, name, FOUNDATIONS.get(name), network=network)


def _text_files(name: str, *, weights: bool, network: bool) -> list[Path]:
    from medlit.models import hub
    from medlit.models.text_weights import text_folder

    folder = text_folder(name, weights=weights, network=network)
    return hub.files_of_text_model(folder) if weights else [folder / hub.CONFIG]


def _tokenizer_files(name: str, *, network: bool) -> list[Path]:
    from data_modules.mammography.tokenizer_files import tokenizer_files
    from data_modules.mammography.tokens import load_tokenizer

    load_tokenizer(name, network=network)
    return tokenizer_files(name)
