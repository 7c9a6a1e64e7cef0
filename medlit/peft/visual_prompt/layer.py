"""A frozen transformer block with learned tokens beside its input."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from medlit.peft.visual_prompt.config import VisualPromptConfig

CANNOT_MERGE = "Visual prompts are tokens and cannot be merged into weights. Keep the adapter, or unload() it."


class VisualPromptBlock(nn.Module, BaseTunerLayer):
    """A block that reads the prompts of every active adapter beside its input, and returns the input's tokens alone.

    Prompts are float32 (float64 beside a float64 block), ``visual_prompt_tokens`` (P, D), and join the sequence at its
    end in the dtype of the input. A mask is lengthened so that all tokens see them, a rotary embedding so that it does
    not turn them.

    Args:
        base_layer: The block to prompt; one of its direct children is a norm over D channels.
        adapter_name: Name of the first adapter.
        config: Its settings.
    """

    adapter_layer_names = ("visual_prompt_tokens",)

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: VisualPromptConfig) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.width = block_width(base_layer)
        self.visual_prompt_tokens = nn.ParameterDict()
        self.merged_adapters: list[str] = []  # stays empty: see merge
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: VisualPromptConfig) -> None:
        """Add an adapter, or start an existing one afresh: uniform, in the reference's bounds for 16 x 16 patches."""
        frozen = next(self.get_base_layer().parameters())
        dtype = torch.promote_types(frozen.dtype, torch.float32)
        tokens = nn.Parameter(torch.empty(config.num_tokens, self.width, device=frozen.device, dtype=dtype))
        bound = math.sqrt(6 / (3 * 16 * 16 + self.width))  # Glorot's, between the pixels of a patch and D
        nn.init.uniform_(tokens, -bound, bound)
        self.visual_prompt_tokens[adapter_name] = tokens
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def forward(self, x: Tensor, *arguments: Any, **options: Any) -> Tensor:
        """Map tokens (B, N, D) to (B, N, D).

        Args:
            x: Any float dtype.
            arguments: Whatever the block takes by position; no tensors.
            options: Whatever it takes by name; of these ``rope``, (..., N - prefix, 2 d) with sines before cosines, and
                a mask (..., N, N) or (..., 1, N), bool or added to the attention's logits, are lengthened.

        Raises:
            ValueError: If a tensor is given by position: it may be a mask, which has to be lengthened.
        """
        active = [] if self.disable_adapters else [a for a in self.active_adapters if a in self.visual_prompt_tokens]
        if not active:
            plain: Tensor = self.base_layer(x, *arguments, **options)
            return plain
        if any(isinstance(argument, Tensor) for argument in arguments):
            raise ValueError("a prompted block takes masks by name, as attn_mask or attention_mask")
        prompts = torch.cat([self.visual_prompt_tokens[adapter] for adapter in active]).to(x.dtype)
        for name, lengthen in LENGTHENED.items():
            if options.get(name) is not None:
                options[name] = lengthen(options[name], len(prompts))
        sequence = torch.cat([x, prompts.expand(len(x), -1, -1)], dim=1)
        output: Tensor = self.base_layer(sequence, *arguments, **options)
        return output[:, : x.shape[1]]

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        """Refuse: tokens are no weights.

        Raises:
            ValueError: Always.
        """
        raise ValueError(CANNOT_MERGE)

    def unmerge(self) -> None:
        """Do nothing: prompts are never merged."""

    def extra_repr(self) -> str:
        """Name the prompts of each adapter when the model is printed."""
        return f"num_tokens={ ({name: len(tokens) for name, tokens in self.visual_prompt_tokens.items()}) }"


def block_width(block: nn.Module) -> int:
    """Channels D of the tokens that a block reads, by the first norm among its direct children.

    Raises:
        ValueError: If there is none.
    """
    for child in block.children():
        weight = getattr(child, "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 1:
            return len(weight)
    raise ValueError(
        f"visual prompts need transformer blocks, which hold a norm over their channels; a {type(block).__name__} "
        "holds none"
    )


def _turning_no_more(rope: Tensor, count: int) -> Tensor:
    """A rotary embedding with ``count`` further rows that turn nothing: sine 0, cosine 1."""
    rows = rope.new_zeros(*rope.shape[:-2], count, rope.shape[-1])
    rows[..., rope.shape[-1] // 2 :] = 1
    return torch.cat([rope, rows], dim=-2)


def _seeing_more(mask: Tensor, count: int) -> Tensor:
    """A mask under which every token sees ``count`` further ones, and they see each other and all tokens."""
    rows = count if mask.shape[-2] > 1 else 0
    return F.pad(mask, (0, count, 0, rows), value=True if mask.dtype == torch.bool else 0.0)


LENGTHENED = {"rope": _turning_no_more, "attn_mask": _seeing_more, "attention_mask": _seeing_more}
"""Arguments of a block, in timm and in transformers, that know the length of the sequence."""
