"""What medlit keeps of a pretraining with captions: image tower, heads, and what is trained of the text tower."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from torch import Tensor

from medlit.checkpoint import FORMAT_VERSION, check_tensors
from medlit.errors import CheckpointMismatchError
from medlit.models.lineage import cuts_of, inherit, restrictions_of
from medlit.models.mama.model import MaMAModel
from medlit.models.mama.sharding import load_whole


def mama_info(
    model: MaMAModel,
    *,
    target: str | None = None,
    class_names: Sequence[str] | None = None,
    tokenizer: Mapping[str, Any] | None = None,
    folds: Mapping[str, int] | None = None,
    cut: Mapping[str, Any] | None = None,
    restrictions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a checkpoint says of itself, in plain types.

    Args:
        model: What is kept.
        target: What the labels of its validation say, or None.
        class_names: Of that target, or None.
        tokenizer: ``source``, ``separator`` and ``max_tokens`` of the captions; None where they are not known.
        folds: Of the data, see :func:`medlit.checkpoint.restore`.
        cut: Of the data, which cases train; those of the checkpoints that the model started from join it.
        restrictions: By data set, why what was learned from it must not be shared; those of the checkpoints that the
            model started from join them.
    """
    from medlit import __version__

    return {
        "format_version": FORMAT_VERSION,
        "medlit_version": __version__,
        "model": type(model).__name__,
        "image": model.image_info(),
        "text": model.text_info(),
        "settings": model.settings(),
        "target": target,
        "class_names": None if class_names is None else list(class_names),
        "tokenizer": None if tokenizer is None else dict(tokenizer),
        "folds": None if folds is None else dict(folds),
        "cuts": cuts_of(model, cut),
        "restrictions": {**restrictions_of(model), **(restrictions or {})},
    }


def restore_mama(
    model: MaMAModel,
    state: Mapping[str, Tensor],
    info: Mapping[str, Any],
    *,
    source: str,
    tokenizer: Mapping[str, Any] | None = None,
    folds: Mapping[str, int] | None = None,
) -> None:
    """Load what a training kept into a model on the same frozen text weights, strictly.

    Args:
        model: Built with the settings that the state was trained with.
        state: Of ``MaMAModel.trained_state``, by name.
        info: Of :func:`mama_info`.
        source: The file, for messages.
        tokenizer: Of the data; None: not compared.
        folds: Of the data; None: not compared.

    Raises:
        CheckpointMismatchError: If the file is of another model, other towers, settings, tokens or folds.
    """
    check_mama_info(model, info, source=source, tokenizer=tokenizer, folds=folds)
    check_tensors(model.trained_state(), state, source=source)
    load_whole(model, state)  # all that is left out is frozen and in place
    inherit(model, info, source=source)


def check_mama_info(
    model: MaMAModel,
    info: Mapping[str, Any],
    *,
    source: str,
    tokenizer: Mapping[str, Any] | None = None,
    folds: Mapping[str, int] | None = None,
) -> None:
    """Refuse what a checkpoint says of itself where it contradicts the model; arguments as in :func:`restore_mama`.

    Raises:
        CheckpointMismatchError: Saying which of the two is what.
    """
    if info.get("format_version") != FORMAT_VERSION:
        raise CheckpointMismatchError(
            f"{source}: format version {info.get('format_version')}, this medlit reads version {FORMAT_VERSION}"
        )
    if info.get("model") != type(model).__name__:
        raise CheckpointMismatchError(
            f"{source}: a checkpoint of {info.get('model')}, not of {type(model).__name__}; give one that a MaMATask "
            "trained"
        )
    parts = {name: info.get(name) for name in ("image", "text", "settings")}
    others = [info.get(name) for name in ("tokenizer", "folds")]
    sound = all(isinstance(part, dict) for part in parts.values())
    if not sound or not all(isinstance(other, (dict, type(None))) for other in others):
        raise CheckpointMismatchError(f"{source}: its 'medlit' entry is incomplete; the file is damaged")
    _compare(_tokens(info.get("tokenizer")), _tokens(tokenizer), part="tokenizer ", source=source)
    text, here, settings = dict(parts["text"] or {}), model.text_info(), model.settings()
    # These decide what is frozen, so that the fingerprint differs with them, and would say less.
    deciding = {"num_tokens": here["num_tokens"]} | {
        name: settings[name] for name in ("train_text", "train_new_tokens")
    }
    _compare({**text, **(parts["settings"] or {})}, deciding, part="", source=source)
    if text.get("fingerprint") != here["fingerprint"]:
        raise CheckpointMismatchError(
            f"{source}: trained on other text weights ({text.get('name')}, {str(text.get('fingerprint'))[:12]}) than "
            f"loaded here ({here['name']}, {here['fingerprint'][:12]}); give the same backbone of the text tower"
        )
    text["name"] = here["name"]  # a folder may have moved: the fingerprint says what matters
    given = {"image": model.image_info(), "text": here, "settings": settings}
    for part, found in {**parts, "text": text}.items():
        _compare(found or {}, given[part], part="" if part == "settings" else f"{part} ", source=source)
    if folds is not None and info.get("folds") is not None:
        _compare(info["folds"], folds, part="data ", source=source)


def _tokens(tokenizer: Mapping[str, Any] | None) -> dict[str, Any]:
    """What decides which token is which; of a folder its name, for it may have moved."""
    if tokenizer is None:
        return {}
    return {"source": PurePath(str(tokenizer.get("source"))).name, "separator": tokenizer.get("separator")}


def _compare(trained: Mapping[str, Any], given: Mapping[str, Any], *, part: str, source: str) -> None:
    """Refuse the first setting that differs; one that only one of the two knows is not compared."""
    for name in given:
        if name in trained and trained[name] != given[name]:
            raise CheckpointMismatchError(
                f"{source}: trained with {part}{name} {trained[name]}, here it is {given[name]}"
            )
