"""A text model of transformers as a function from tokens to hidden states: causal or bidirectional, adapted or not."""

import copy
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from peft import PeftConfig, inject_adapter_in_model
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from medlit.errors import ConfigurationError
from medlit.models.adapted_backbone import parameter_sums
from medlit.models.fingerprint import frozen_fingerprint
from medlit.models.text_weights import grow_embedding, pretrained_text_model, random_text_model

UNLIMITED = 1 << 30
"""Positions of a model that names no last one."""


class TextEncoder(nn.Module):
    """Captions in, last hidden states out; a model of transformers without any head, attention by SDPA.

    Letters: B captions, T tokens, H channels.

    Args:
        backbone: A local folder (``config.json`` and weights) or a name on the Hugging Face hub; with ``pretrained:
            false`` also an architecture of transformers: ``bert``, ``gpt2``, ``llama``, ...
        num_tokens: Tokens that the data's tokenizer knows, added ones included. The embedding grows to it by rows
            that start as the mean of the others.
        pretrained: Take the released weights; false: random ones, the same in every run.
        model_args: What differs from the model's configuration, by its own names, as ``{n_layer: 2, n_embd: 64}``.
        adapter: Any configuration of PEFT, as LoRA; the model's own weights stay frozen. null: no adapter.
        train_backbone: Train the model's own weights; needs ``adapter: null``.
        train_new_tokens: Of a frozen model, train the embeddings of the tokens that were added, and those alone.
        gradient_checkpointing: Recompute each block in the backward pass: less memory, about a third more time.
        low_cpu_mem: Map files of weights instead of reading them whole.

    Raises:
        ConfigurationError: If a setting does not fit the model, or the tokenizer is another model's.
        WeightsNotFoundError: If the model is not to be had.
        CheckpointMismatchError: If its files do not hold it.
    """

    def __init__(
        self,
        backbone: str,
        *,
        num_tokens: int,
        pretrained: bool = True,
        model_args: dict[str, Any] | None = None,
        adapter: PeftConfig | None = None,
        train_backbone: bool = False,
        train_new_tokens: bool = False,
        gradient_checkpointing: bool = False,
        low_cpu_mem: bool = True,
    ) -> None:
        super().__init__()
        if train_backbone and adapter is not None:
            raise ConfigurationError("text train_backbone: true needs adapter: null; an adapter keeps the model frozen")
        arguments = model_args or {}
        if pretrained:
            model = pretrained_text_model(backbone, model_args=arguments, low_cpu_mem=low_cpu_mem)
        else:
            model = random_text_model(backbone, num_tokens=num_tokens, model_args=arguments)
        known = grow_embedding(model, num_tokens, backbone=backbone)
        self.backbone_name = backbone
        self.num_tokens = num_tokens
        self.adapter = adapter
        self.width: int = model.config.hidden_size
        self.max_positions = _most_positions(model)
        _fuse_activations(model)
        model.requires_grad_(train_backbone)
        self.model: Any = model
        if adapter is not None:
            _inject(model, adapter)
        if train_new_tokens and not train_backbone:
            _train_rows(model, known, num_tokens, backbone=backbone)
        if gradient_checkpointing and self.is_trained:
            _recompute_blocks(model, backbone)
        self.train()
        self._fingerprint: str | None = None
        self.register_load_state_dict_pre_hook(_forget_fingerprint)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states, after the model's final norm; those at padding mean nothing.

        Args:
            input_ids: (B, T) int64, padded on the right.
            attention_mask: (B, T) int64, 0 for padding.

        Returns:
            (B, T, H).

        Raises:
            ConfigurationError: If captions are longer than the model reads.
        """
        if input_ids.shape[1] > self.max_positions:
            raise ConfigurationError(
                f"captions have {input_ids.shape[1]} tokens, {self.backbone_name} reads {self.max_positions}; "
                f"set the data's max_tokens to {self.max_positions} or fewer"
            )
        hidden: Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return hidden

    def train(self, mode: bool = True) -> "TextEncoder":
        """As every module, but that a model of which nothing is trained stays without dropout.

        Args:
            mode: Whether to train.
        """
        super().train(mode)
        self.model.train(mode and self.is_trained)
        return self

    @property
    def is_trained(self) -> bool:
        """Whether training changes anything of it."""
        return any(parameter.requires_grad for parameter in self.model.parameters())

    def fingerprint(self) -> str:
        """What identifies the frozen weights, see :func:`frozen_fingerprint`; kept."""
        if self._fingerprint is None:
            self._fingerprint = frozen_fingerprint(self.model)
        return self._fingerprint

    def frozen_names(self) -> set[str]:
        """Names of the parameters that no training changes, as in the state dict."""
        return {name for name, parameter in self.named_parameters() if not parameter.requires_grad}


class GrownEmbedding(nn.Module):
    """A frozen table of the tokens that a model knew, and trained rows of those that were added.

    Args:
        table: (V + A, H), the A added rows last.
        known: V.
    """

    def __init__(self, table: nn.Embedding, known: int) -> None:
        super().__init__()
        weight = table.weight.detach()
        self.known = nn.Embedding(known, weight.shape[1], table.padding_idx, _weight=weight[:known].clone())
        self.known.requires_grad_(False)
        self.added = nn.Parameter(weight[known:].clone())

    def forward(self, input_ids: Tensor) -> Tensor:
        """Embeddings (..., H) of tokens (...) int64."""
        known = self.known.num_embeddings
        added = F.embedding((input_ids - known).clamp_min(0), self.added)
        return torch.where((input_ids >= known)[..., None], added, self.known(input_ids.clamp_max(known - 1)))


def _most_positions(model: Any) -> int:
    """Tokens that a model reads at most; the kin of RoBERTa leave positions up to that of padding unused."""
    most: int = getattr(model.config, "max_position_embeddings", None) or UNLIMITED
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding) and module.padding_idx is not None:
            most = min(most, module.num_embeddings - module.padding_idx - 1)
    return most


def _fuse_activations(model: nn.Module) -> None:
    """Compute GPT-2's activation in one operation: written out as transformers does it, five of its steps are kept."""
    from transformers.activations import NewGELUActivation

    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))


def _inject(model: nn.Module, adapter: PeftConfig) -> None:
    """Put fresh adapters into a frozen model.

    Raises:
        ConfigurationError: If they do not fit, or would train or change the model's own weights.
    """
    own, before = list(model.parameters()), parameter_sums(model.parameters())
    try:
        with warnings.catch_warnings():
            # GPT-2 keeps its weights transposed; PEFT sees that by itself and says that it did.
            warnings.filterwarnings(
                "ignore", message="fan_in_fan_out is set to False but the target module is `Conv1D`"
            )
            inject_adapter_in_model(copy.deepcopy(adapter), model)
    except (ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"adapter {type(adapter).__name__} does not fit the text model: {error}") from error
    if any(parameter.requires_grad for parameter in own) or parameter_sums(own) != before:
        raise ConfigurationError(
            f"adapter {type(adapter).__name__} changes or trains weights of the frozen text model; choose settings "
            "that leave it alone (no bias, no init_lora_weights of its weights)"
        )


def _train_rows(model: Any, known: int, num_tokens: int, *, backbone: str) -> None:
    """Make the rows of added tokens, ``known`` to ``num_tokens``, the only trained ones of the embedding.

    Raises:
        ConfigurationError: If no token was added, or the embedding is no plain table.
    """
    table = model.get_input_embeddings()
    if type(table) is not nn.Embedding:
        raise ConfigurationError(
            f"text train_new_tokens: the embedding of {backbone} is a {type(table).__name__}, no plain table; set false"
        )
    if known >= num_tokens:
        raise ConfigurationError(
            f"text train_new_tokens: {backbone} knows all {num_tokens} tokens of the data; set it to false"
        )
    model.set_input_embeddings(GrownEmbedding(table, known))


def _recompute_blocks(model: Any, backbone: str) -> None:
    """Switch transformers' own gradient checkpointing on, in the form that works with frozen weights.

    Raises:
        ConfigurationError: If the model has none.
    """
    name = "activation_checkpointing_enable"  # the newer name; where both are, the older one warns
    enable = getattr(model, name if hasattr(model, name) else "gradient_checkpointing_enable")
    try:
        enable({"use_reentrant": False})
    except ValueError as error:
        raise ConfigurationError(
            f"text gradient_checkpointing: {type(model).__name__} of {backbone} has none; set it to false"
        ) from error


def _forget_fingerprint(module: nn.Module, state: dict[str, Any], prefix: str, *_rest: object) -> None:
    """Other frozen weights, another fingerprint.

    Loading into weights that are dealt out (FSDP2) also writes back, as they were, those that were not given.
    """
    if not isinstance(module, TextEncoder):
        return
    given = [state.get(f"{prefix}{name}") for name in module.frozen_names()]
    if any(tensor is not None and not isinstance(tensor, DTensor) for tensor in given):
        module._fingerprint = None
