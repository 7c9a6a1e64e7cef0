"""Early Intervention as the released code computes it, under the released names, with nothing shared and nothing fused.

``state_dict()`` of these modules is the released format. Letters: B cases, I images a case, N tokens, D channels.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
RANKS, ALPHAS = (2, 4, 8), (4, 8, 16)
DEPTH, WIDTH, HEADS = 2, 32, 2
BACKBONES = {  # patch size, grid, registers
    "clip": (16, 2, 0),
    "dinov2": (14, 3, 4),
    "dinov2_plain": (14, 2, 0),
}


class Mixture(nn.Module):
    """An adapted linear layer: ``linear``, ``lora_as``, ``lora_bs``, ``route``."""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.lora_as = nn.ModuleList(nn.Linear(linear.in_features, rank, bias=False) for rank in RANKS)
        self.lora_bs = nn.ModuleList(nn.Linear(rank, linear.out_features, bias=False) for rank in RANKS)
        self.route = nn.Linear(linear.in_features, len(RANKS) + 1)

    def forward(self, x):
        output, weights = self.linear(x), self.route(x).softmax(dim=-1)
        for k, (a, b) in enumerate(zip(self.lora_as, self.lora_bs, strict=True)):
            output = output + weights[..., k + 1 : k + 2] * (ALPHAS[k] / RANKS[k]) * b(a(x))
        return output


class MixtureQKV(nn.Module):
    """An adapted fused projection: thirds with experts and a router each."""

    def __init__(self, linear, parts):
        super().__init__()
        self.linear, self.parts = linear, parts
        width = linear.out_features // 3
        for part in parts:
            downs = nn.ModuleList(nn.Linear(linear.in_features, rank, bias=False) for rank in RANKS)
            ups = nn.ModuleList(nn.Linear(rank, width, bias=False) for rank in RANKS)
            self.add_module(f"lora_as_{part}", downs)
            self.add_module(f"lora_bs_{part}", ups)
            self.add_module(f"route_{part}", nn.Linear(linear.in_features, len(RANKS) + 1))

    def forward(self, x):
        thirds = dict(zip("qkv", self.linear(x).chunk(3, dim=-1), strict=True))
        for part in self.parts:
            downs, ups, route = (getattr(self, f"{name}_{part}") for name in ("lora_as", "lora_bs", "route"))
            weights = route(x).softmax(dim=-1)
            for k, (a, b) in enumerate(zip(downs, ups, strict=True)):
                thirds[part] = thirds[part] + weights[..., k + 1 : k + 2] * (ALPHAS[k] / RANKS[k]) * b(a(x))
        return torch.cat([thirds["q"], thirds["k"], thirds["v"]], dim=-1)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        cases, tokens, _ = x.shape
        q, k, v = self.qkv(x).view(cases, tokens, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(cases, tokens, WIDTH))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(WIDTH) + 0.5)

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        eps = 1e-5 if kind == "clip" else 1e-6
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=eps), nn.LayerNorm(WIDTH, eps=eps)
        self.attn, self.mlp = Attention(), MLP()
        self.ls1, self.ls2 = (nn.Identity() if kind == "clip" else Scale() for _ in range(2))

    def forward(self, x):
        x = x + self.ls1(self.attn(self.norm1(x)))
        return x + self.ls2(self.mlp(self.norm2(x)))


class ViT(nn.Module):
    """CLIP's in timm's names, DINOv2's in its own."""

    def __init__(self, kind):
        super().__init__()
        self.patch, grid, registers = BACKBONES[kind]
        self.cls_token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + grid**2, WIDTH))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, WIDTH, self.patch, self.patch, bias=kind != "clip")
        if kind == "clip":
            self.norm_pre = nn.LayerNorm(WIDTH, eps=1e-5)
        else:
            self.mask_token = nn.Parameter(torch.randn(1, WIDTH))
        if registers:
            self.register_tokens = nn.Parameter(torch.randn(1, registers, WIDTH))
        self.blocks = nn.ModuleList(Block(kind) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-5 if kind == "clip" else 1e-6)

    def forward(self, images, extra=None):
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
        missing = -images.shape[-1] % self.patch
        pixels = F.pad((images - mean) / std, (0, missing, 0, missing))
        patches = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(images), -1, -1), patches], dim=1) + self.pos_embed
        if hasattr(self, "register_tokens"):
            registers = self.register_tokens.expand(len(images), -1, -1)
            tokens = torch.cat([tokens[:, :1], registers, tokens[:, 1:]], dim=1)
        if hasattr(self, "norm_pre"):
            tokens = self.norm_pre(tokens)
        if extra is not None:
            tokens = torch.cat([tokens, extra], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]


def adapted_vit(kind, foundation, targets):
    """A backbone of its own with the foundation's weights, frozen, and fresh experts in the targeted layers."""
    vit = ViT(kind)
    vit.load_state_dict(foundation)
    vit.requires_grad_(False)
    for block in vit.blocks:
        for target in targets:
            owner, name = getattr(block, target.split(".")[0]), target.split(".")[1]
            if name == "qkv":
                parts = [t[-1] for t in targets if t.startswith("attn.qkv.")]
                if isinstance(owner.qkv, nn.Linear):
                    owner.qkv = MixtureQKV(owner.qkv, parts)
            else:
                setattr(owner, name, Mixture(getattr(owner, name)))
    return vit


class Unimodal(nn.Module):
    """``backbone`` and ``fc``; also one pass of Early Intervention."""

    def __init__(self, kind, foundation, *, num_classes, targets=("mlp.fc1", "mlp.fc2")):
        super().__init__()
        self.backbone = adapted_vit(kind, foundation, targets)
        self.fc = nn.Linear(WIDTH, num_classes)

    def forward(self, images):
        """Scores of cases (B, I, 3, H, W): the maximum over images."""
        return torch.stack([self.fc(self.backbone(images[:, i])) for i in range(images.shape[1])]).amax(dim=0)


class Projector(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 384), nn.GELU(), nn.Linear(384, WIDTH))

    def forward(self, x):
        return self.mlp(self.ln(x))


class EarlyIntervention(nn.Module):
    """2M backbones; images come as a list in the order of the modalities."""

    def __init__(self, kind, *, modalities, num_classes, targets=("mlp.fc1", "mlp.fc2")):
        super().__init__()
        self.count = modalities
        foundation = ViT(kind).state_dict()
        options = {"num_classes": num_classes, "targets": targets}
        self.first_backbones, self.second_backbones = (
            nn.ModuleList(Unimodal(kind, foundation, **options) for _ in range(modalities)) for _ in range(2)
        )
        pairs = [(t, r) for t in range(modalities) for r in range(modalities) if t != r]
        self.projs_cls = nn.ModuleDict({f"{t}_{r}": Projector() for t, r in pairs})
        self.route = nn.Linear(modalities * WIDTH, modalities)

    def forward(self, images):
        first, reference = [], []
        for model, stack in zip(self.first_backbones, images, strict=True):
            cls = torch.stack([model.backbone(stack[:, i]) for i in range(stack.shape[1])])  # (I, B, D)
            first.append(model.fc(cls).amax(dim=0))
            reference.append(cls.amax(dim=0))
        second, steered = [], []
        for t, (model, stack) in enumerate(zip(self.second_backbones, images, strict=True)):
            tokens = [self.projs_cls[f"{t}_{r}"](reference[r]) for r in range(self.count) if r != t]
            extra = torch.stack(tokens, dim=1)
            cls = torch.stack([model.backbone(stack[:, i], extra) for i in range(stack.shape[1])])
            steered.append(cls.mean(dim=0))
            second.append(model.fc(steered[-1]))
        gate = self.route(torch.cat(steered, dim=1).detach()).softmax(dim=1)
        fused = sum(gate[:, [t]] * second[t].detach() for t in range(self.count))
        return fused, first, second, gate


def released_loss(output, label, prior):
    """The four terms with their weights, as the released code computes them."""
    fused, first, second, gate = output
    loss = F.binary_cross_entropy_with_logits if label.is_floating_point() else F.cross_entropy
    each = torch.stack([F.cross_entropy(scores, label, reduction="none") for scores in second], dim=1).detach()
    target = (each * torch.tensor(prior)).argmin(dim=1)
    terms = {
        "fused": loss(fused, label),
        "auxiliary": sum(loss(scores, label) for scores in first),
        "main": sum(loss(scores, label) for scores in second),
        "gate": F.cross_entropy(gate, target),
    }
    return {**terms, "total": terms["fused"] + 0.3 * terms["auxiliary"] + terms["main"] + 0.1 * terms["gate"]}
