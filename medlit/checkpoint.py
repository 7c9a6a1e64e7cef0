"""What medlit keeps of a trained model: its trainable tensors, and which foundation weights they belong to."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError
from medlit.models.base import AdaptedClassifier
from medlit.models.lineage import cuts_of, inherit, restrictions_of
from medlit.models.unimodal import PASS
from medlit.models.variables import VARIABLES
from medlit.models.weights import read_file, write_tensors

FORMAT_VERSION = 1
"""Version of the layout written here; raised whenever an older reader would misread it."""

ONCE_FIXED: Mapping[str, Any] = {"variables": [], "pooling": "backbone"}
"""What checkpoints that do not say it were trained with: there was no other."""

VARIABLE_ENCODER = "backbone.variable_encoder."
"""Prefix of the tensors of clinical variables in a model."""

TASK_PREFIX = "model."
"""Prefix of the model's tensors in the state dict of a task."""


def trainable_state(model: AdaptedClassifier) -> dict[str, Tensor]:
    """Tensors that training may change: trainable parameters and every persistent buffer, by name."""
    frozen = {
        f"backbone.encoder.{name}"
        for name, tensor in model.backbone.encoder.named_parameters()
        if not tensor.requires_grad
    }
    return {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}


def foundation_fingerprint(model: AdaptedClassifier) -> str:
    """What identifies the frozen weights under a model, see :meth:`AdaptedBackbone.fingerprint`."""
    return model.backbone.fingerprint()


def checkpoint_info(
    model: AdaptedClassifier,
    *,
    class_names: Sequence[str] | None,
    folds: Mapping[str, int] | None = None,
    cut: Mapping[str, Any] | None = None,
    restrictions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """What a checkpoint says of itself, in plain types: format, classes, modalities, foundation, folds, lineage.

    Args:
        model: What is kept.
        class_names: C names, or None.
        folds: Of the data, see :func:`restore`.
        cut: Of the data, which cases train; those of the checkpoints that the model started from join it.
        restrictions: By data set, why what was learned from it must not be shared; those of the checkpoints that the
            model started from join them.
    """
    from medlit import __version__

    return {
        "format_version": FORMAT_VERSION,
        "medlit_version": __version__,
        "model": type(model).__name__,
        "modalities": list(model.modalities),
        "num_classes": model.num_classes,
        "class_names": None if class_names is None else list(class_names),
        "foundation": {"name": model.backbone_name, "fingerprint": foundation_fingerprint(model)},
        "settings": model.settings(),
        "folds": None if folds is None else dict(folds),
        "cuts": cuts_of(model, cut),
        "restrictions": {**restrictions_of(model), **(restrictions or {})},
    }


def restore(
    model: AdaptedClassifier,
    state: Mapping[str, Tensor],
    info: Mapping[str, Any],
    *,
    source: str,
    class_names: Sequence[str] | None = None,
    folds: Mapping[str, int] | None = None,
) -> None:
    """Load a trained state into a model on the same foundation, strictly.

    Args:
        model: Built with the settings that the state was trained with.
        state: Of :func:`trainable_state`.
        info: Of :func:`checkpoint_info`.
        source: The file, for messages.
        class_names: Those of the data; None: not compared.
        folds: Those of the data (num_folds, fold, split_seed), of which other folds test what this one trains on;
            None: not compared.

    Raises:
        CheckpointMismatchError: If format, modalities, classes, foundation, fold or tensors differ.
    """
    check_info(model, info, source=source, class_names=class_names, folds=folds)
    expected = trainable_state(model)
    check_tensors(expected, state, source=source)
    model.load_state_dict(state, strict=False)  # all that is left out is frozen and in place
    inherit(model, info, source=source)


def check_info(
    model: AdaptedClassifier,
    info: Mapping[str, Any],
    *,
    source: str,
    class_names: Sequence[str] | None = None,
    modalities: Sequence[str] | None = None,
    folds: Mapping[str, int] | None = None,
) -> None:
    """Refuse what a checkpoint says of itself where it contradicts the model; arguments as in :func:`restore`.

    Raises:
        CheckpointMismatchError: Saying which of the two is what.
    """
    if info.get("format_version") != FORMAT_VERSION:
        raise CheckpointMismatchError(
            f"{source}: format version {info.get('format_version')}, this medlit reads version {FORMAT_VERSION}"
        )
    if info.get("model") == "MaMAModel":
        raise CheckpointMismatchError(f"{source}: a checkpoint of MaMAModel, no classifier; give it as model's weights")
    foundation, settings = info.get("foundation"), info.get("settings")
    if not isinstance(foundation, dict) or not isinstance(settings, dict) or {"name", "fingerprint"} - set(foundation):
        raise CheckpointMismatchError(f"{source}: its 'medlit' entry is incomplete; the file is damaged")
    here = foundation_fingerprint(model)
    if foundation["fingerprint"] != here:
        raise CheckpointMismatchError(
            f"{source}: trained on other foundation weights ({foundation['name']}, {foundation['fingerprint'][:12]}) "
            f"than loaded here ({model.backbone_name}, {here[:12]}); give the same backbone, weights and img_size"
        )
    trained: dict[str, Any] = {**ONCE_FIXED, **info, **settings}
    ours = {
        "modalities": list(modalities or model.modalities),
        "num_classes": model.num_classes,
        "class_names": None if class_names is None else list(class_names),
        **model.settings(),
    }
    ours["variables"] = model.variables if VARIABLES in ours["modalities"] else []
    for name, value in ours.items():
        known = name in (*settings, *ONCE_FIXED) or None not in (value, trained.get(name))
        if known and trained[name] != value:
            raise CheckpointMismatchError(f"{source}: trained with {name} {trained[name]}, here it is {value}")
    if folds is not None and info.get("folds") not in (None, folds):
        theirs, here = (", ".join(f"{key} {own[key]}" for key in own) for own in (info["folds"], folds))
        raise CheckpointMismatchError(
            f"{source}: trained on {theirs}, the data has {here}, which tests cases that "
            "it was trained on; give the fold it was trained on"
        )


def check_tensors(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse a state whose names or shapes differ.

    Raises:
        CheckpointMismatchError: Naming the first few tensors.
    """
    missing, left_over = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    shapes = [name for name in expected if name in found and expected[name].shape != found[name].shape]
    for what, names in (("lacks", missing), ("has left over", left_over), ("has in another shape", shapes)):
        if names:
            raise CheckpointMismatchError(
                f"{source}: {what} {len(names)} trained tensors, as {', '.join(names[:3])}; "
                "were adapter and model configured the same?"
            )


def read_checkpoint(path: str | Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A task's checkpoint as the model's trained state and what it says of itself; nothing is unpickled but tensors.

    Raises:
        WeightsNotFoundError: If there is no such file.
        CheckpointMismatchError: If it is none of medlit's.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsNotFoundError(f"checkpoint {path} does not exist; train it first, or give the path of another")
    return unpack(read_file(path), source=str(path))


def unpack(content: Mapping[str, Any], *, source: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The model's trained state in a task's checkpoint, and what it says of itself.

    Raises:
        CheckpointMismatchError: If it is none of medlit's.
    """
    state, info = content.get("state_dict"), content.get("medlit")
    if not isinstance(info, dict) or not isinstance(state, dict):
        raise CheckpointMismatchError(f"{source}: not a checkpoint of medlit (it has no 'medlit' entry)")
    return {name.removeprefix(TASK_PREFIX): tensor for name, tensor in state.items()}, info


def initialise_from_unimodal(
    model: AdaptedClassifier,
    checkpoints: Mapping[str, str],
    *,
    class_names: Sequence[str] | None = None,
    folds: Mapping[str, int] | None = None,
    passes: Sequence[str] = ("auxiliary_{}", "main_{}"),
    heads: str | None = "auxiliary_heads.{}",
) -> None:
    """Start a multimodal model from unimodal runs: the adapters of each modality's passes, and perhaps a head of it.

    The encoder of clinical variables comes from their own run.

    Args:
        model: An ``EarlyInterventionClassifier`` (main heads, projectors and gate stay as they are), or a model of
            other ``passes`` and ``heads``.
        checkpoints: A unimodal checkpoint by modality; modalities left out start fresh.
        class_names: Those of the data; None: not compared.
        folds: As in :func:`restore`.
        passes: Names of the passes of a modality, which stands for ``{}``.
        heads: Name of the head of a modality that starts from the unimodal head; None: all heads start fresh.

    Raises:
        CheckpointMismatchError: If a checkpoint is of another modality, foundation, set of classes, fold or adapter.
        ConfigurationError: If the model trains the backbone, of which unimodal runs have one each, or has nothing that
            could start from theirs.
        WeightsNotFoundError: If a file does not exist.
    """
    if any(parameter.requires_grad for parameter in model.backbone.encoder.parameters()):
        raise ConfigurationError(
            "init_from starts adapters; with train_backbone: true all passes share one backbone: set init_from: null"
        )
    own = trainable_state(model)
    new: dict[str, Tensor] = {}
    for modality, path in checkpoints.items():
        if modality not in model.modalities:
            raise CheckpointMismatchError(f"init_from names modality {modality!r}, the data has {model.modalities}")
        state, info = read_checkpoint(path)
        check_info(model, info, source=str(path), class_names=class_names, modalities=[modality], folds=folds)
        renamed = {}
        for name, tensor in state.items():
            if heads is not None and name.startswith("head."):
                renamed[f"{heads.format(modality)}.{name.removeprefix('head.')}"] = tensor
            if name.startswith(f"backbone.passes.{PASS}."):
                renamed |= {
                    name.replace(f".{PASS}.", f".{own_pass.format(modality)}.", 1): tensor for own_pass in passes
                }
            if name.startswith(VARIABLE_ENCODER):
                renamed[name] = tensor
        if not renamed:
            raise ConfigurationError(
                "init_from starts adapters, and this model has none (adapter: null): set it to null"
            )
        starts = (
            *([] if heads is None else [f"{heads.format(modality)}."]),
            *(f"backbone.passes.{own_pass.format(modality)}." for own_pass in passes),
            *([VARIABLE_ENCODER] if modality == VARIABLES else []),
        )
        check_tensors({name: own[name] for name in own if name.startswith(starts)}, renamed, source=str(path))
        new |= renamed
        inherit(model, info, source=str(path))
    model.load_state_dict(new, strict=False)


def save_weights(state: Mapping[str, Tensor], info: Mapping[str, Any], path: Path) -> None:
    """Write a trained state as safetensors, with what it says of itself as its metadata."""
    write_tensors(state, path, metadata={"medlit": json.dumps(info)})


def load_weights(model: AdaptedClassifier, path: Path, *, class_names: Sequence[str] | None = None) -> None:
    """Load what :func:`save_weights` wrote into a model on the same foundation.

    Raises:
        CheckpointMismatchError: As :func:`restore`.
        WeightsNotFoundError: If there is no such file.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise WeightsNotFoundError(f"weights {path} do not exist")
    try:
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {}).get("medlit", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping: it has keys alone)
    except (SafetensorError, json.JSONDecodeError, RecursionError) as error:
        raise CheckpointMismatchError(f"{path}: not exported by medlit ({error})") from error
    restore(model, state, info, source=str(path), class_names=class_names)
