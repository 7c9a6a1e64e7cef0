"""State dicts of the released code of Early Intervention, as those of medlit's models."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.interop.foundation import timm_names
from medlit.interop.released import FIRST, SECOND, SHOWN, Parts, ReleasedModel, describe_parts, read_parts
from medlit.models.unimodal import PASS

ENCODER, PASSES = "backbone.encoder.vit.", "backbone.passes."
"""Where medlit's models keep the foundation, and the adapters of each pass."""

PROJECTOR = {"ln": "0", "mlp.0": "1", "mlp.2": "3"}
"""Layers of a projector: their released names, and their places in medlit's."""


def convert_ei_state_dict(
    state: Mapping[str, Tensor], *, modalities: Sequence[str], source: str = "state dict"
) -> dict[str, Tensor]:
    """A released Early Intervention state dict as that of an ``EarlyInterventionClassifier``, to be loaded strictly.

    The foundation, which the released file repeats for each of the 2M backbones, is kept once; the position embedding
    is taken as it is. Tensors share memory with ``state`` where their layout stays.

    Reference: Wei, Lin, Li, arXiv 2603.17514, released code.

    Args:
        state: Of ``best_model.pkl``.
        modalities: Names of the modalities in the order in which the released code was given them.
        source: The file, for messages.

    Raises:
        CheckpointMismatchError: If tensors are missing or left over, or the frozen weights of the backbones differ.
        ConfigurationError: If there is not one name for each modality of the checkpoint.
    """
    parts = read_parts(state, source=source)
    model = describe_parts(parts, num_heads=1, source=source)  # no shape depends on it
    if model.kind != "ei":
        raise CheckpointMismatchError(
            f"{source}: a unimodal checkpoint (backbone.*, fc.*), not one of several modalities"
        )
    if len(modalities) != model.num_modalities:
        raise ConfigurationError(
            f"{source}: a model of {model.num_modalities} modalities, but {len(modalities)} names were given: "
            f"{', '.join(modalities)}"
        )
    converted = _foundation(parts, model)
    for index, modality in enumerate(modalities):
        for owner, kind in ((FIRST, "auxiliary"), (SECOND, "main")):
            converted |= _adapters(parts, f"{owner}.{index}", f"{kind}_{modality}")
    converted |= _renamed(parts.rest, _small_parts(modalities), source=source)
    _check(converted, model, modalities, source=source)
    return converted


def convert_unimodal_state_dict(state: Mapping[str, Tensor], *, source: str = "state dict") -> dict[str, Tensor]:
    """A released unimodal state dict as that of a ``UnimodalClassifier``, to be loaded strictly.

    Args:
        state: Of ``best_model.pkl``.
        source: The file, for messages.

    Raises:
        CheckpointMismatchError: If tensors are missing or left over.
    """
    parts = read_parts(state, source=source)
    model = describe_parts(parts, num_heads=1, source=source)
    if model.kind != "unimodal":
        raise CheckpointMismatchError(
            f"{source}: a checkpoint of {model.num_modalities} modalities, not a unimodal one"
        )
    names = {f"fc.{kind}": f"head.{kind}" for kind in ("weight", "bias")}
    converted = _foundation(parts, model) | _adapters(parts, "", PASS) | _renamed(parts.rest, names, source=source)
    _check(converted, model, ["any"], source=source)
    return converted


def foundation_state(converted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The foundation weights of a converted state dict, in timm's names."""
    return {name.removeprefix(ENCODER): tensor for name, tensor in converted.items() if name.startswith(ENCODER)}


def _foundation(parts: Parts, model: ReleasedModel) -> dict[str, Tensor]:
    return {f"{ENCODER}{name}": tensor for name, tensor in timm_names(parts.frozen, model.foundation).items()}


def _adapters(parts: Parts, owner: str, own_pass: str) -> dict[str, Tensor]:
    return {f"{PASSES}{own_pass}.vit.{name}": tensor for name, tensor in parts.backbones[owner].adapters().items()}


def _small_parts(modalities: Sequence[str]) -> dict[str, str]:
    """Names of heads, projectors and gate: the released one, then medlit's."""
    names = {}
    for kind in ("weight", "bias"):
        names[f"route.{kind}"] = f"gate.{kind}"
        for t, target in enumerate(modalities):
            names[f"{FIRST}.{t}.fc.{kind}"] = f"auxiliary_heads.{target}.{kind}"
            names[f"{SECOND}.{t}.fc.{kind}"] = f"main_heads.{target}.{kind}"
            for r, reference in enumerate(modalities):
                for layer, place in PROJECTOR.items() if r != t else ():
                    names[f"projs_cls.{t}_{r}.{layer}.{kind}"] = f"projectors.{target}.{reference}.{place}.{kind}"
    return names


def _renamed(rest: Mapping[str, Tensor], names: Mapping[str, str], *, source: str) -> dict[str, Tensor]:
    """Rename tensors, all of those that are expected and no other."""
    for what, found in (
        ("lacks", [name for name in names if name not in rest]),
        ("has left over", [name for name in rest if name not in names]),
    ):
        if found:
            raise CheckpointMismatchError(
                f"{source}: {what} {len(found)} tensors, as {', '.join(sorted(found)[:SHOWN])}"
            )
    return {new: rest[name] for name, new in names.items()}


def _check(converted: Mapping[str, Tensor], model: ReleasedModel, modalities: Sequence[str], *, source: str) -> None:
    """Compare names and shapes with those of the model, which is made without memory."""
    with torch.device("meta"):
        expected = model.make(modalities=modalities).state_dict()
    common = expected.keys() & converted.keys()
    for what, names in (
        ("lacks", expected.keys() - converted.keys()),
        ("has left over", converted.keys() - expected.keys()),
        ("has in another shape", {name for name in common if expected[name].shape != converted[name].shape}),
    ):
        if names:
            shown = ", ".join(name.removeprefix(ENCODER) for name in sorted(names)[:SHOWN])
            raise CheckpointMismatchError(
                f"{source}: {what} {len(names)} tensors of a model on {model.foundation.name}, as {shown}"
            )
