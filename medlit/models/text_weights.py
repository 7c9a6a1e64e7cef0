"""Text models of transformers: from a folder, the hub, or at random; no head, no code of theirs, nothing unpickled."""

import difflib
import inspect
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError
from medlit.models import hub
from medlit.models.hub import CONFIG, TEXT_WEIGHT_FILES
from medlit.models.timm_vit import RANDOM_WEIGHTS_SEED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HEADS = frozenset(
    {
        *("lm_head", "cls", "pooler", "score", "classifier", "qa_outputs", "generator_predictions"),
        *("vocab_transform", "vocab_layer_norm", "vocab_projector", "position_ids", "masked_bias"),
    }
)
"""Parts of names in released files that belong to heads, which no caption needs, or to buffers of older versions."""

OTHER_VOCABULARY = 0.1
"""Share of its rows by which a released table may differ from its own tokenizer: padding takes 1 % at most."""

MOST_ADDED = 16
"""Tokens that may always be added or lack, whatever the size of the table; the data add two."""

SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def random_text_model(backbone: str, *, num_tokens: int, model_args: Mapping[str, Any]) -> "PreTrainedModel":
    """A text model with random weights that depend on nothing but its settings.

    Args:
        backbone: An architecture of transformers (``bert``, ``gpt2``, ``llama``), or what has a ``config.json``.
        num_tokens: Rows of its embedding.
        model_args: What differs from the configuration, by the configuration's own names.

    Raises:
        ConfigurationError: If there is no such architecture, or the settings do not suit it.
    """
    from transformers import AutoConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if "vocab_size" in model_args:
        raise ConfigurationError("text model_args: vocab_size is that of the data's tokenizer, take it out")
    named = backbone in CONFIG_MAPPING and not Path(backbone).is_dir()
    config = AutoConfig.for_model(backbone) if named else _read_config(text_folder(backbone, weights=False), backbone)
    model_class = _model_class(config, backbone)
    outside = [name for name in SPECIAL_IDS if (getattr(config, name, None) or 0) >= num_tokens]
    _change(config, backbone, {**dict.fromkeys(outside), **model_args, "vocab_size": num_tokens})
    with torch.random.fork_rng(devices=[]), _quiet():
        torch.default_generator.manual_seed(RANDOM_WEIGHTS_SEED)
        try:
            model = model_class._from_config(
                config, attn_implementation="sdpa", dtype=torch.float32, **_without_pooler(config, backbone)
            )
        except (TypeError, ValueError, AssertionError, ArithmeticError, KeyError, RuntimeError) as error:
            raise ConfigurationError(f"text backbone {backbone}: transformers refuses: {_line(error)}") from error
    return _checked(model, backbone)


def pretrained_text_model(
    backbone: str, *, model_args: Mapping[str, Any], low_cpu_mem: bool = True
) -> "PreTrainedModel":
    """A text model with its released weights, float32.

    Args:
        backbone: A local folder with ``config.json`` and weights, or a name on the Hugging Face hub, taken from the
            local cache where it is there.
        model_args: What differs from its configuration, as ``{attn_pdrop: 0.0}``.
        low_cpu_mem: Map files of weights instead of reading them whole.

    Raises:
        ConfigurationError: If the settings do not suit the model.
        WeightsNotFoundError: If there is no such folder, it holds no configuration or no weights, or the hub cannot be
            reached; says what to do.
        CheckpointMismatchError: If weights are missing, left over or cannot be read.
    """
    folder = text_folder(backbone, weights=True)
    config = _read_config(folder, backbone)
    _change(config, backbone, model_args)
    model_class = _model_class(config, backbone)
    arguments = _without_pooler(config, backbone)
    with torch.random.fork_rng(devices=[]), _quiet():
        try:
            model, report = model_class.from_pretrained(
                str(folder),
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                weights_only=True,
                disable_mmap=not low_cpu_mem,
                dtype=torch.float32,
                attn_implementation="sdpa",
                output_loading_info=True,
                **arguments,
            )
        except Exception as error:  # the readers have a dozen for a broken file, plain Exception among them
            raise CheckpointMismatchError(f"text backbone: {backbone} cannot be read ({_line(error)})") from error
    left_over = [name for name in report["unexpected_keys"] if HEADS.isdisjoint(name.split("."))]
    for what, names in (("lacks", report["missing_keys"]), ("has unknown", left_over)):
        if names:
            raise CheckpointMismatchError(
                f"text backbone {backbone}: {what} {len(names)} tensors of {type(model).__name__}, "
                f"{', '.join(sorted(names)[:3])} ...; do its config.json and model_args belong to its weights?"
            )
    return _checked(model, backbone)


def grow_embedding(model: "PreTrainedModel", num_tokens: int, *, backbone: str) -> int:
    """Add rows for tokens that the data's tokenizer was given, each the mean of the rows there are.

    Args:
        model: Changed in place.
        num_tokens: Of the tokenizer. Fewer than rows are fine: released tables are often padded.
        backbone: Its name, for messages.

    Returns:
        Rows that there were.

    Raises:
        ConfigurationError: If the tokenizer and the model cannot belong together.
    """
    table: Any = model.get_input_embeddings()
    known = int(table.weight.shape[0])
    if abs(num_tokens - known) > max(OTHER_VOCABULARY * known, MOST_ADDED):
        raise ConfigurationError(
            f"the data's tokenizer has {num_tokens} tokens, {backbone} was trained with {known}: it is another "
            f"model's; set the data's tokenizer to {backbone}"
        )
    if num_tokens > known:
        with _quiet(), torch.random.fork_rng(devices=[]):
            table = model.resize_token_embeddings(num_tokens, mean_resizing=False)
        with torch.no_grad():
            table.weight[known:] = table.weight[:known].mean(dim=0)
    return known


def text_folder(backbone: str, *, weights: bool, network: bool = True) -> Path:
    """The folder that a text model is read from: its own, or that of the hub's local cache.

    What the cache lacks is downloaded: its configuration and its weights, safetensors where the hub has them. Whatever
    there is, transformers reads the folder, so that it asks the network for nothing.

    Args:
        backbone: A local folder, or a name on the hub.
        weights: Whether the weights are needed as well as the configuration.
        network: Whether to download what is missing.

    Raises:
        WeightsNotFoundError: If there is no such folder, it lacks something, or the hub cannot be reached or has
            nothing of that name; says what to do.
        CheckpointMismatchError: If an index of weights cannot be read.
    """
    from huggingface_hub import constants
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    folder = Path(backbone).expanduser()
    if folder.is_dir():
        return _whole_folder(folder, backbone, weights=weights)
    if folder.is_absolute() or backbone.startswith((".", "~")) or backbone.count("/") > 1:
        raise WeightsNotFoundError(
            f"text backbone: there is no folder {backbone}; give one with config.json and weights, or a name on the hub"
        )
    by_hand = (
        f"download config.json and model.safetensors (or pytorch_model.bin) from {constants.ENDPOINT}/{backbone} to a "
        "folder and set backbone: FOLDER, or set pretrained: false and backbone: gpt2, bert or llama for random weights"
    )
    near = difflib.get_close_matches(backbone, CONFIG_MAPPING, n=1)
    near = [] if "/" in backbone or near == [backbone] else near
    hint = f"did you mean {near[0]}? " if near else ""
    try:
        found = hub.text_snapshot(backbone, weights=weights)
        if found is not None:
            return found
        if not network or not hub.may_download():
            raise WeightsNotFoundError(f"no network and no cached text model {backbone}: {hint}{by_hand}")
        return hub.download_text_model(backbone, weights=weights)
    except hub.HubError as error:
        raise WeightsNotFoundError(f"cannot get the text model {backbone} ({error}): {hint}{by_hand}") from error


def _whole_folder(folder: Path, backbone: str, *, weights: bool) -> Path:
    """A local folder, where it holds what is needed.

    Raises:
        WeightsNotFoundError: If it does not.
    """
    if not (folder / CONFIG).is_file():
        raise WeightsNotFoundError(f"text backbone: {backbone} holds no config.json; is it a folder of transformers?")
    if weights and not any((folder / name).is_file() for name in TEXT_WEIGHT_FILES):
        raise WeightsNotFoundError(
            f"text backbone: {backbone} holds no weights; expected one of {', '.join(TEXT_WEIGHT_FILES)} "
            "(or set pretrained: false for random weights)"
        )
    return folder


def _read_config(folder: Path, backbone: str) -> "PreTrainedConfig":
    """The configuration in a folder.

    Raises:
        CheckpointMismatchError: If it cannot be read.
    """
    from transformers import AutoConfig

    try:
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the readers have a dozen for a broken file, plain Exception among them
        raise CheckpointMismatchError(f"text backbone: {backbone} cannot be read ({_line(error)})") from error
    return config


def _change(config: "PreTrainedConfig", backbone: str, model_args: Mapping[str, Any]) -> None:
    """Set what differs from a configuration, and what every text tower has alike.

    Raises:
        ConfigurationError: If the configuration knows no such setting, or a value does not suit it.
    """
    from huggingface_hub.errors import StrictDataclassError

    unknown = [name for name in model_args if not hasattr(config, name)]
    if unknown:
        near = difflib.get_close_matches(unknown[0], list(config.to_dict()), n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"text model_args: {type(config).__name__} of {backbone} has no setting {unknown[0]!r}{hint}"
        )
    same = {"use_cache": False, "output_attentions": False, "output_hidden_states": False}
    for name, value in {**model_args, **same}.items():
        try:
            setattr(config, name, value)
        except (TypeError, ValueError, StrictDataclassError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"text model_args: {name} {value!r} is refused: {reason}") from error


def _model_class(config: "PreTrainedConfig", backbone: str) -> Any:
    """The class of the base model, without a head.

    Raises:
        ConfigurationError: If transformers has none, or it is an encoder and a decoder.
    """
    from transformers import MODEL_MAPPING

    if config.is_encoder_decoder or type(config) not in MODEL_MAPPING or not hasattr(config, "vocab_size"):
        raise ConfigurationError(
            f"text backbone {backbone} is of kind {config.model_type}; needed is a causal or a bidirectional text "
            "model (GPT-2, Llama, BERT, ...)"
        )
    found = MODEL_MAPPING[type(config)]
    return found[0] if isinstance(found, tuple) else found


def _without_pooler(config: "PreTrainedConfig", backbone: str) -> dict[str, bool]:
    """The argument that leaves BERT's pooler out, for models that have it."""
    known = inspect.signature(_model_class(config, backbone).__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in known else {}


def _checked(model: "PreTrainedModel", backbone: str) -> "PreTrainedModel":
    """The model, where it reads token ids.

    Raises:
        ConfigurationError: If it does not.
    """
    if model.main_input_name != "input_ids" or not isinstance(model.get_input_embeddings(), torch.nn.Embedding):
        raise ConfigurationError(f"text backbone {backbone}: {type(model).__name__} does not read token ids alone")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars and reports of transformers: what they would say is judged here."""
    from transformers.utils import logging as transformers_logging

    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            transformers_logging.enable_progress_bar()


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
