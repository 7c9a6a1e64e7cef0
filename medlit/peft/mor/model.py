"""Puts MoR layers into any model: the part of the tuner that finds and replaces."""

import re
from typing import Any, cast

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils.constants import INCLUDE_LINEAR_LAYERS_SHORTHAND
from torch import nn
from transformers.pytorch_utils import Conv1D

from medlit.peft.mor.config import MoRConfig
from medlit.peft.mor.layer import CANNOT_MERGE, THIRDS, WHOLE, MoRLinear, linear_size


class MoRModel(BaseTuner):
    """A model whose targeted linear layers carry MoR adapters; made by ``get_peft_model(model, MoRConfig(...))``.

    Args:
        model: The model to adapt in place, from timm, transformers or anywhere else.
        peft_config: Settings of the first adapter.
        adapter_name: Its name.
    """

    prefix = "mor_"
    tuner_layer_cls = MoRLinear

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Check the targets, then adapt; a refused config leaves the model as it was.

        Raises:
            ValueError: If a target matches nothing, is no linear layer, or asks for thirds that cannot be.
        """
        config = cast(MoRConfig, self.peft_config[adapter_name])
        targets = config.target_modules
        self._thirds = find_thirds(model, config)
        self._check_targets(model, config)
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        config.target_modules = targets  # peft shortens long lists to bare ends, which cannot name a third

    def _check_target_module_exists(  # type: ignore[override]  # static in peft; the thirds are known to the instance
        self, peft_config: PeftConfig, key: str
    ) -> Any:
        found = super()._check_target_module_exists(peft_config, key)
        if found is False or found is None:  # neither matched nor excluded
            return key in self._thirds
        return found

    def _check_targets(self, model: nn.Module, config: MoRConfig) -> None:
        """Refuse what cannot be adapted before anything is replaced."""
        if isinstance(config.target_modules, list):
            layers = _layers(model)
            for target in config.target_modules:
                named = any(_ends_with(name, target) for name in layers)
                if not named and not _thirds_of_target(layers, target):
                    raise ValueError(_unmatched(target, layers))
        elif config.target_modules.lower() == INCLUDE_LINEAR_LAYERS_SHORTHAND:
            return
        for name, layer in _layers(model).items():
            whole = super()._check_target_module_exists(config, name)
            if whole and name in self._thirds:
                raise ValueError(f"MoR targets both {name} and its thirds {self._thirds[name]}: choose one")
            if whole and not _is_linear(layer):
                raise ValueError(f"MoR adapts linear layers; target {name} is a {type(layer).__name__}")

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        config = cast(MoRConfig, peft_config)
        parts = self._thirds.get(current_key, (WHOLE,))
        if isinstance(target, MoRLinear):
            target.update_layer(adapter_name, config, parts)
            return
        layer = MoRLinear(target, adapter_name, config, parts)
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def _check_merge_allowed(self) -> None:
        """Refuse to merge before any layer is touched.

        Raises:
            ValueError: Always.
        """
        raise ValueError(CANNOT_MERGE)


def find_thirds(model: nn.Module, config: MoRConfig) -> dict[str, tuple[str, ...]]:
    """The layers of which thirds are to be adapted, each with its thirds in the order q, k, v.

    Raises:
        ValueError: If a layer's output cannot be cut into three.
    """
    layers = _layers(model)
    found: dict[str, set[str]] = {}
    if isinstance(config.target_modules, str):
        for name, layer in layers.items():
            if name.rpartition(".")[2] == "qkv" and _is_linear(layer) and not re.fullmatch(config.target_modules, name):
                parts = {part for part in THIRDS if re.fullmatch(config.target_modules, f"{name}.{part}")}
                if parts:
                    found[name] = parts
    else:
        for target in config.target_modules:
            for name in _thirds_of_target(layers, target):
                found.setdefault(name, set()).add(target.rpartition(".")[2])
    for name in found:
        _, outputs = linear_size(_base(layers[name]))
        if outputs % len(THIRDS):
            raise ValueError(f"MoR cannot adapt thirds of {name}: its {outputs} outputs are no multiple of 3")
    return {name: tuple(part for part in THIRDS if part in parts) for name, parts in found.items()}


def _thirds_of_target(layers: dict[str, nn.Module], target: str) -> list[str]:
    """Linear layers of which ``target`` (``attn.qkv.q``) names a third."""
    stem, _, part = target.rpartition(".")
    if part not in THIRDS or not stem:
        return []
    return [name for name, layer in layers.items() if _ends_with(name, stem) and _is_linear(layer)]


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """All named modules but the inside of layers that are adapted already."""
    adapted = tuple(f"{name}." for name, module in model.named_modules() if isinstance(module, BaseTunerLayer))
    return {name: module for name, module in model.named_modules() if name and not name.startswith(adapted)}


def _base(layer: nn.Module) -> nn.Module:
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer


def _is_linear(layer: nn.Module) -> bool:
    return isinstance(_base(layer), nn.Linear | Conv1D)


def _ends_with(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def _unmatched(target: str, layers: dict[str, nn.Module]) -> str:
    linear = [name for name, layer in layers.items() if _is_linear(layer)]
    ends = sorted({".".join(name.split(".")[-2:]) for name in linear})
    return f"MoR target {target!r} matches no layer. Linear layers end in: {', '.join(ends[:20])}"
