"""One frozen encoder in memory, seen through a view per pass; each view has adapters of its own."""

import copy
import json
from collections.abc import Iterable, Sequence
from typing import Any, cast

from peft import PeftConfig, inject_adapter_in_model
from torch import Tensor, nn

from medlit.errors import ConfigurationError
from medlit.models.fingerprint import frozen_fingerprint
from medlit.models.timm_vit import zero_of
from medlit.models.variables import VariableEncoder
from medlit.models.vision_encoder import VisionEncoder
from medlit.peft import MoRConfig

DEFAULT_ADAPTER = MoRConfig(ranks=[2, 4, 8], alphas=[4, 8, 16], target_modules=["mlp.fc1", "mlp.fc2"])
"""The adapters of the released configurations of Early Intervention."""


class AdaptedBackbone(nn.Module):
    """Runs one encoder with the adapters of the pass that is named in the call.

    A view is a copy of the encoder's modules around the very same parameter objects, with adapters injected by PEFT.
    Which adapters act is therefore an argument of the call and never a state: gradient checkpointing recomputes the
    right pass, no adapter freezes another, and any tuner of PEFT will do. The state dict has the encoder's weights
    once.

    Args:
        encoder: The foundation model; frozen here unless ``train_encoder``.
        passes: Names of the passes.
        adapter: Configuration of the adapters, the same for every pass; None: the encoder as it is.
        train_encoder: Train the encoder's own weights (full fine-tuning), which excludes adapters.
        num_variables: V, number of clinical variables that take the place of images in some pass; 0: there is none.

    Raises:
        ConfigurationError: If the adapter does not fit the encoder, changes or trains the encoder's own weights (they
            are shared by all passes), or is combined with ``train_encoder``.
    """

    def __init__(
        self,
        encoder: VisionEncoder,
        *,
        passes: Sequence[str],
        adapter: PeftConfig | None,
        train_encoder: bool = False,
        num_variables: int = 0,
    ) -> None:
        super().__init__()
        if train_encoder and adapter is not None:
            raise ConfigurationError("train_backbone: true needs adapter: null; an adapter keeps the backbone frozen")
        self.encoder = encoder.requires_grad_(train_encoder)
        self.adapter = adapter
        self.variable_encoder = VariableEncoder(num_variables, encoder.width) if num_variables else None
        self.passes = nn.ModuleDict()
        if adapter is not None:
            before = parameter_sums(encoder.parameters())
            self.passes.update({name: _adapted_view(encoder, adapter) for name in passes})
            if parameter_sums(encoder.parameters()) != before or any(
                tensor.requires_grad for tensor in encoder.parameters()
            ):
                raise ConfigurationError(
                    f"adapter {type(adapter).__name__} changes or trains weights of the frozen backbone, which all "
                    "passes share; choose settings that leave it alone (no bias, no init_lora_weights of its weights)"
                )
        self._fingerprint: str | None = None
        self._aliases = self._find_aliases()
        self.register_state_dict_post_hook(_drop_aliases)
        self.register_load_state_dict_pre_hook(_restore_aliases)

    def forward(
        self,
        images: Tensor,
        *,
        adapter: str,
        image_mask: Tensor | None = None,
        extra_tokens: Tensor | None = None,
        extra_mask: Tensor | None = None,
        insert_at: int = 0,
    ) -> Tensor:
        """Summary vectors of images that come several to a case.

        Only real images are run through the encoder. Where there is none, all that this pass could have trained gets
        gradients of zero, so that processes of one training never wait for each other's.

        Args:
            images: (B, I, 3, H, W), RGB in [0, 1]; or clinical variables (B, 1, V), NaN where unknown.
            adapter: Name of the pass whose adapters act.
            image_mask: (B, I) bool, False for what is no image; None: all are.
            extra_tokens: (B, E, D), the same for every image of a case.
            extra_mask: (B, E) bool, False for tokens that do not count in a case; None: all do.
            insert_at: Block before which they join.

        Returns:
            (B, I, D): each image as the encoder summarises it; zeros where there is none.
        """
        view = cast(VisionEncoder, self.passes[adapter] if self.passes else self.encoder)
        cases, per_case = images.shape[:2]
        rows = None if image_mask is None else image_mask.flatten().nonzero()[:, 0]
        if rows is not None and len(rows) == 0:
            return self._nothing(view, extra_tokens) + images.new_zeros(cases, per_case, view.width)
        pictures = _rows(images.flatten(0, 1), rows)
        if images.ndim == 3:
            pictures = self._variable_tokens(view, pictures)
        tokens, counts = (
            None if extra is None else _rows(extra.repeat_interleave(per_case, dim=0), rows)
            for extra in (extra_tokens, extra_mask)
        )
        summary = view.summarise(pictures, tokens, insert_at=insert_at, extra_mask=counts)
        if rows is not None:
            summary = summary.new_zeros(cases * per_case, view.width).index_copy(0, rows, summary)
        return summary.view(cases, per_case, -1)

    def fingerprint(self) -> str:
        """SHA-256 over names, shapes, dtypes and bytes of the encoder's frozen parameters, hexadecimal; kept.

        An encoder that is trained has no frozen parameters, hence the fingerprint of nothing.
        """
        if self._fingerprint is None:
            self._fingerprint = frozen_fingerprint(self.encoder)
        return self._fingerprint

    def _variable_tokens(self, view: VisionEncoder, values: Tensor) -> Tensor:
        """Tokens (B, 1, D) of clinical variables (B, V); no patches are embedded, what would train there gets zeros."""
        if self.variable_encoder is None:
            raise ValueError(f"clinical variables {tuple(values.shape)} for a model without any")
        tokens: Tensor = self.variable_encoder(values)
        return tokens + zero_of(view.vit.patch_embed.parameters())

    def _nothing(self, view: VisionEncoder, extra_tokens: Tensor | None) -> Tensor | float:
        """Zero, with gradients of zero for all that a pass trains."""
        own = [] if self.variable_encoder is None else self.variable_encoder.parameters()
        return zero_of([*view.parameters(), *own, *([] if extra_tokens is None else [extra_tokens])])

    def _find_aliases(self) -> dict[str, str]:
        """Name of each tensor of a view that is the encoder's, with the encoder's name for it."""
        own = {id(tensor): name for name, tensor in self.encoder.state_dict(keep_vars=True).items()}
        views = self.passes.state_dict(keep_vars=True)
        return {f"passes.{name}": f"encoder.{own[id(tensor)]}" for name, tensor in views.items() if id(tensor) in own}


def _rows(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """These rows of a tensor; None: all."""
    return tensor if rows is None else tensor[rows]


def _adapted_view(encoder: VisionEncoder, adapter: PeftConfig) -> VisionEncoder:
    """A copy of the encoder's modules around its own parameters and buffers, with fresh adapters."""
    shared = [*encoder.parameters(), *encoder.buffers()]
    view = copy.deepcopy(encoder, {id(tensor): tensor for tensor in shared})
    try:
        inject_adapter_in_model(copy.deepcopy(adapter), view.vit)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"adapter {type(adapter).__name__} does not fit the backbone: {error}") from error
    return view


def adapter_settings(adapter: PeftConfig | None) -> dict[str, Any]:
    """The settings of an adapter as plain types, ``adapter.<name>`` each; what says where it came from is left out."""
    origin = {"peft_version", "base_model_name_or_path", "revision", "auto_mapping", "task_type", "inference_mode"}
    settings = {} if adapter is None else {k: v for k, v in adapter.to_dict().items() if k not in origin}
    text = json.dumps(settings, default=lambda value: sorted(value) if isinstance(value, set) else str(value))
    named = {f"adapter.{name}": value for name, value in json.loads(text).items()}
    return {"adapter": None if adapter is None else type(adapter).__name__, **named}


def parameter_sums(parameters: Iterable[Tensor]) -> list[float]:
    """A number per parameter that gives a change away; none for those without memory."""
    return [float(tensor.detach().sum()) for tensor in parameters if not tensor.is_meta]


def _drop_aliases(module: nn.Module, state: dict[str, Any], prefix: str, _metadata: dict[str, Any]) -> None:
    """Leave the encoder's tensors out of the views when a state dict is made."""
    if isinstance(module, AdaptedBackbone):
        for name in module._aliases:
            state.pop(prefix + name, None)


def _restore_aliases(module: nn.Module, state: dict[str, Any], prefix: str, *_rest: object) -> None:
    """Put the encoder's tensors back into the views before a state dict is loaded."""
    if isinstance(module, AdaptedBackbone):
        if any(name.startswith(f"{prefix}encoder.") for name in state):
            module._fingerprint = None
        for name, original in module._aliases.items():
            if prefix + original in state:
                state[prefix + name] = state[prefix + original]
