"""How the two towers of MaMA are made: what YAML says of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from peft import PeftConfig


@dataclass(frozen=True, kw_only=True)
class ImageTower:
    """The vision transformer of MaMA, trained as a whole.

    Args:
        backbone: timm's name, or one of docs/foundation_models.md.
        pretrained: Take the released weights from the hub (or its local cache).
        weights: A local file or folder of foundation weights instead, or a checkpoint of another MaMA run.
        model_args: Further arguments of the timm model.
        pad: Pad images to a multiple of the patch size.
        image_mean: RGB mean in [0, 1] to normalise by; Du et al. take 0.5.
        image_std: RGB standard deviation, likewise.
        patch_dropout: Share of the patches, in [0, 1), that training leaves out, drawn afresh for every image.
        gradient_checkpointing: Recompute blocks in the backward pass to save memory.
    """

    backbone: str = "vit_base_patch14_reg4_dinov2.lvd142m"
    pretrained: bool = True
    weights: str | None = None
    model_args: dict[str, Any] | None = None
    pad: bool = False
    image_mean: Sequence[float] | None = (0.5, 0.5, 0.5)
    image_std: Sequence[float] | None = (0.5, 0.5, 0.5)
    patch_dropout: float = 0.0
    gradient_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class TextTower:
    """The language model of MaMA, frozen under an adapter, or trained as a whole.

    Args:
        backbone: A local folder or a name on the Hugging Face hub; with ``pretrained: false`` also an architecture of
            transformers: ``bert``, ``gpt2``, ``llama``.
        pretrained: Take the released weights; false: random ones.
        model_args: What differs from the model's configuration, by its own names.
        adapter: Any configuration of PEFT; Du et al. take LoRA (r 8, alpha 32, dropout 0.1) on ``c_attn``. null: none.
        train_backbone: Train the model's own weights; needs ``adapter: null``.
        train_new_tokens: Of a frozen model, train the embeddings of the tokens that the data's tokenizer was given.
        gradient_checkpointing: Recompute blocks in the backward pass to save memory.
        low_cpu_mem: Map files of weights instead of reading them whole.
    """

    backbone: str = "stanford-crfm/BioMedLM"
    pretrained: bool = True
    model_args: dict[str, Any] | None = None
    adapter: PeftConfig | None = None
    train_backbone: bool = False
    train_new_tokens: bool = False
    gradient_checkpointing: bool = False
    low_cpu_mem: bool = True


def plain(value: Any) -> Any:
    """A setting in the types of JSON, so that it is the same after it was written and read."""
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
