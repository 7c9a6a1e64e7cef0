"""MaMA's training step as it is written down: softmax attention spelled out, its maps kept, loops over captions.

Both towers, the heads and the losses, of torch's own layers. It exists to be compared with ``medlit.models`` and
``medlit.losses``: same numbers, more time and memory. Names of the towers' layers are timm's and transformers', so that
weights can be taken over. Letters: N images with a caption each, P patches, K tokens of an image (1 + registers + P),
T tokens of a caption, S sentences of all captions, D and W channels of the towers, E of the embeddings, A heads.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from data_modules.batch import ImageTextBatch
    from medlit.models.mama.model import MaMAModel

TEMPERATURE = 0.5
"""Of the loss between two views."""
HIDDEN = 2048
"""Width inside a local head."""


@dataclass(frozen=True)
class Sizes:
    """What the literal form is made of; the defaults are those of the step that is measured."""

    img_size: int
    num_tokens: int
    patch: int = 14
    width: int = 768
    depth: int = 12
    heads: int = 12
    registers: int = 4
    text_width: int = 2560
    text_depth: int = 2
    text_heads: int = 20
    positions: int = 1024
    rank: int = 8
    alpha: int = 32
    dropout: float = 0.1
    """In the text tower and of its LoRA."""
    embed_dim: int = 512


def literal_attention(
    qkv: Tensor, heads: int, *, seen: Tensor | None = None, dropout: float = 0
) -> tuple[Tensor, Tensor]:
    """``softmax(q k^T / sqrt(d)) v`` of (B, K, 3D), and its maps (B, A, K, K); ``seen``: (B, 1, K, K) bool."""
    batch, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.reshape(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-2, -1) / math.sqrt(width // heads)
    if seen is not None:
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    attention = scores.softmax(dim=-1)
    mixed = F.dropout(attention, dropout) @ v
    return mixed.transpose(1, 2).reshape(batch, tokens, width), attention


class LayerScale(nn.Module):
    """A factor per channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((width,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, K, D) to (B, K, D)."""
        return x * self.gamma


class ImageBlock(nn.Module):
    """A block of a vision transformer; gives back its attention maps as well."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        self.ls1, self.ls2 = LayerScale(width), LayerScale(width)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, K, D) to (B, K, D) and maps (B, A, K, K)."""
        mixed, attention = literal_attention(self.attn["qkv"](self.norm1(x)), self.heads)
        x = x + self.ls1(self.attn["proj"](mixed))
        return x + self.ls2(self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))), attention


class ImageTower(nn.Module):
    """DINOv2's vision transformer with registers."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, patches = sizes.width, (sizes.img_size // sizes.patch) ** 2
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, sizes.patch, sizes.patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.reg_token = nn.Parameter(torch.zeros(1, sizes.registers, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches, width))
        self.blocks = nn.ModuleList(ImageBlock(width, sizes.heads) for _ in range(sizes.depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Of (N, 3, H, W) in [0, 1]: mean of all tokens before the final norm (N, D), patches after it, maps."""
        patches = self.patch_embed["proj"]((images - 0.5) / 0.5).flatten(2).transpose(1, 2) + self.pos_embed
        prefix = torch.cat([self.cls_token, self.reg_token], dim=1).expand(len(images), -1, -1)
        x, maps = torch.cat([prefix, patches], dim=1), []
        for block in self.blocks:
            x, attention = block(x)
            maps.append(attention)
        return x.mean(dim=1), self.norm(x)[:, prefix.shape[1] :], maps


class LoRA(nn.Module):
    """``x W + b + (alpha / r) B A dropout(x)``; W and b stay as they are."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, self.dropout, self.scale = sizes.text_width, sizes.dropout, sizes.alpha / sizes.rank
        self.weight = nn.Parameter(torch.zeros(width, 3 * width), requires_grad=False)
        self.bias = nn.Parameter(torch.zeros(3 * width), requires_grad=False)
        self.down = nn.Parameter(torch.zeros(sizes.rank, width))
        self.up = nn.Parameter(torch.zeros(3 * width, sizes.rank))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, W) to (N, T, 3W)."""
        return x @ self.weight + self.bias + self.scale * (F.dropout(x, self.dropout) @ self.down.T @ self.up.T)


class Projection(nn.Module):
    """``x W + b``, W stored as GPT-2 does, (in, out)."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(fan_in, fan_out)), nn.Parameter(torch.zeros(fan_out))

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, in) to (N, T, out)."""
        return x @ self.weight + self.bias


class TextBlock(nn.Module):
    """A block of GPT-2; gives back its attention maps as well."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.text_width
        self.heads, self.dropout = sizes.text_heads, sizes.dropout
        self.ln_1, self.ln_2 = nn.LayerNorm(width, eps=1e-5), nn.LayerNorm(width, eps=1e-5)
        self.attn = nn.ModuleDict({"c_attn": LoRA(sizes), "c_proj": Projection(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": Projection(width, 4 * width), "c_proj": Projection(4 * width, width)})

    def forward(self, x: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """(N, T, W) to (N, T, W) and maps (N, A, T, T)."""
        qkv = self.attn["c_attn"](self.ln_1(x))
        mixed, attention = literal_attention(qkv, self.heads, seen=seen, dropout=self.dropout)
        x = x + F.dropout(self.attn["c_proj"](mixed), self.dropout)
        hidden = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh")
        return x + F.dropout(self.mlp["c_proj"](hidden), self.dropout), attention


class TextTower(nn.Module):
    """GPT-2, frozen but for LoRA."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.dropout = sizes.dropout
        self.wte = nn.Embedding(sizes.num_tokens, sizes.text_width)
        self.wpe = nn.Embedding(sizes.positions, sizes.text_width)
        self.h = nn.ModuleList(TextBlock(sizes) for _ in range(sizes.text_depth))
        self.ln_f = nn.LayerNorm(sizes.text_width, eps=1e-5)
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name.endswith(("c_attn.down", "c_attn.up")))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Of (N, T): last hidden states (N, T, W) and maps; a token sees itself and what is before it, no padding."""
        length = input_ids.shape[1]
        before = torch.ones(length, length, dtype=torch.bool).tril()
        seen = before & attention_mask.bool()[:, None, None, :]
        x, maps = F.dropout(self.wte(input_ids) + self.wpe(torch.arange(length)), self.dropout), []
        for block in self.h:
            x, attention = block(x, seen)
            maps.append(attention)
        return self.ln_f(x), maps


class LiteralMaMA(nn.Module):
    """Towers, heads, temperatures and all four losses."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width, text, embed = sizes.width, sizes.text_width, sizes.embed_dim
        self.image, self.text = ImageTower(sizes), TextTower(sizes)
        self.image_head, self.text_head = nn.Linear(width, embed), nn.Linear(text, embed)
        self.local_image, self.local_text = local_head(width, embed), local_head(text, embed)
        first, last = nn.Linear(width, width, bias=False), nn.Linear(width, embed, bias=False)
        self.view = nn.Sequential(first, nn.BatchNorm1d(width), nn.ReLU(), last, nn.BatchNorm1d(embed))
        self.log_scale, self.log_local_scale = (nn.Parameter(torch.tensor(math.log(1 / 0.07))) for _ in range(2))

    def forward(self, batch: "ImageTextBatch") -> tuple[dict[str, Tensor], list[Tensor]]:
        """The losses of one batch, and every attention map that was computed for them."""
        first, patches, maps = self.image(batch["image"])
        second, _, second_maps = self.image(batch["second_image"])
        hidden, text_maps = self.text(batch["input_ids"], batch["attention_mask"])
        real = batch["attention_mask"][..., None]
        text = F.normalize(self.text_head((hidden * real).sum(dim=1) / real.sum(dim=1)), dim=-1)
        scale, local_scale = self.log_scale.exp().clamp(max=100), self.log_local_scale.exp().clamp(max=100)
        sentences, counts = sentence_features(hidden, batch["sentence_positions"])
        losses = {
            "image_text": literal_clip(F.normalize(self.image_head(first), dim=-1), text, scale),
            "second_image_text": literal_clip(F.normalize(self.image_head(second), dim=-1), text, scale),
            "view": literal_nt_xent(self.view(first), self.view(second)),
            "local": literal_local(
                F.normalize(self.local_image(patches.flatten(0, 1)), dim=-1).view(*patches.shape[:2], -1),
                F.normalize(self.local_text(sentences), dim=-1),
                counts,
                local_scale,
            ),
        }
        return losses, [*maps, *second_maps, *text_maps]

    def copy_from(self, product: "MaMAModel") -> None:
        """Take over all weights of the product, so that the two can be compared."""
        state = product.state_dict()
        self.load_state_dict({name: state[name_in_product(name)] for name, _ in self.named_parameters()}, strict=False)


NAMES = {
    "image.": "image_encoder.vit.",
    "text.": "text_encoder.model.",
    "image_head.": "image_projection.",
    "text_head.": "text_projection.",
    "local_image.": "patch_head.",
    "local_text.": "sentence_head.",
    "view.": "view_projection.",
    "c_attn.down": "c_attn.lora_A.default.weight",
    "c_attn.up": "c_attn.lora_B.default.weight",
    "c_attn.weight": "c_attn.base_layer.weight",
    "c_attn.bias": "c_attn.base_layer.bias",
}
"""What differs between a name here and in the product."""


def name_in_product(name: str) -> str:
    """The product's name of a parameter of `LiteralMaMA`."""
    for here, there in NAMES.items():
        if name.startswith(here) or name.endswith(here):
            name = name.replace(here, there)
    return name


def local_head(width: int, embed: int) -> nn.Sequential:
    """Of every patch or sentence by itself."""
    first, last = nn.Linear(width, HIDDEN), nn.Linear(HIDDEN, embed)
    return nn.Sequential(first, nn.BatchNorm1d(HIDDEN), nn.ReLU(), last, nn.BatchNorm1d(embed, affine=False))


def sentence_features(hidden: Tensor, positions: Tensor) -> tuple[Tensor, list[int]]:
    """The hidden state at every separator, caption by caption: (S, W), and how many each caption has."""
    features, counts = [], []
    for caption, places in zip(hidden, positions.tolist(), strict=True):
        own = [caption[place] for place in places if place >= 0]
        features += own
        counts.append(len(own))
    return torch.stack(features), counts


def both_ways(scores: Tensor) -> Tensor:
    """Cross-entropy over rows and over columns of (N, N), added; the diagonal is right."""
    right = torch.arange(len(scores))
    return F.cross_entropy(scores, right) + F.cross_entropy(scores.T, right)


def literal_clip(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """L_clip of (N, E) and (N, E)."""
    return both_ways(scale * images @ texts.T)


def literal_nt_xent(a: Tensor, b: Tensor) -> Tensor:
    """L_view of (N, E) and (N, E): of 2N views each has one partner."""
    views = F.normalize(torch.cat([a, b]), dim=-1)
    scores = (views @ views.T / TEMPERATURE).masked_fill(torch.eye(len(views), dtype=torch.bool), -math.inf)
    return F.cross_entropy(scores, torch.arange(len(views)).roll(len(a)))


def literal_local(patches: Tensor, sentences: Tensor, counts: list[int], scale: Tensor) -> Tensor:
    """L_local of (N, P, E) and (S, E), by way of all products (N, P, S); every caption has a sentence."""
    products = patches @ sentences.T
    columns = [
        (own.amax(dim=1).mean(dim=1), own.amax(dim=2).mean(dim=1))  # (N, P, S_j): text to image, image to text
        for own in products.split(counts, dim=2)
    ]
    return sum(both_ways(scale * torch.stack(column, dim=1)) for column in zip(*columns, strict=True))
