"""Early Intervention as it is written down: a backbone per pass, an expert per pair of layers, nothing fused or shared.

Built on timm's models and torch's own layers. It exists to be compared with ``medlit.models``: same numbers, more time
and memory. Letters: B cases (one image each), N tokens, D channels, O outputs of a layer, K experts, M modalities,
C classes.
"""

from collections.abc import Sequence

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medlit.models import EarlyInterventionClassifier, EarlyInterventionOutput
from medlit.peft import MoRConfig, MoRLinear

PROJECTOR_WIDTH = 384


class LiteralMoR(nn.Module):
    """``W x + b + sum_k softmax(R x + c)_k * (alpha_k / r_k) * B_k A_k x``, by way of a (B, N, K, O) tensor."""

    def __init__(self, linear: nn.Linear, config: MoRConfig) -> None:
        super().__init__()
        self.linear = linear
        self.scales = config.scales
        self.downs = nn.ModuleList(nn.Linear(linear.in_features, rank, bias=False) for rank in config.ranks)
        self.ups = nn.ModuleList(nn.Linear(rank, linear.out_features, bias=False) for rank in config.ranks)
        self.router = nn.Linear(linear.in_features, len(config.ranks) + 1)
        for up in self.ups:
            nn.init.zeros_(up.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to (B, N, O)."""
        gates = self.router(x).softmax(dim=-1)[..., 1:]  # (B, N, K)
        experts = [scale * up(down(x)) for down, up, scale in zip(self.downs, self.ups, self.scales, strict=True)]
        return self.linear(x) + (gates[..., None] * torch.stack(experts, dim=-2)).sum(dim=-2)

    def copy_from(self, layer: MoRLinear) -> None:
        """Take the experts of a fused layer apart."""
        ranks = layer.ranks["default"]
        for down, weight in zip(self.downs, layer.mor_A["default"].split(ranks), strict=True):
            down.weight.copy_(weight)
        for up, weight in zip(self.ups, layer.mor_B["default"].split(ranks, dim=1), strict=True):
            up.weight.copy_(weight)
        self.router.load_state_dict(layer.mor_router["default"].state_dict())


def literal_backbone(name: str, size: int, config: MoRConfig, **model_args: int) -> nn.Module:
    """A frozen timm ViT of its own for one pass, the linear layers of its MLPs replaced."""
    vit = timm.create_model(name, img_size=size, num_classes=0, **model_args).requires_grad_(False)
    for block in vit.blocks:
        block.mlp.fc1 = LiteralMoR(block.mlp.fc1, config)
        block.mlp.fc2 = LiteralMoR(block.mlp.fc2, config)
    return vit


class LiteralEarlyIntervention(nn.Module):
    """Two passes over every modality, each through a whole backbone of its own: 2 M of them in memory."""

    def __init__(
        self, name: str, *, modalities: Sequence[str], num_classes: int, size: int, config: MoRConfig, **model_args: int
    ) -> None:
        super().__init__()
        self.modalities = list(modalities)
        self.auxiliary, self.main = (
            nn.ModuleDict({m: literal_backbone(name, size, config, **model_args) for m in modalities}) for _ in range(2)
        )
        width = self.main[self.modalities[0]].num_features
        self.auxiliary_heads, self.main_heads = (
            nn.ModuleDict({m: nn.Linear(width, num_classes) for m in modalities}) for _ in range(2)
        )
        self.projectors = nn.ModuleDict(
            {target: nn.ModuleDict({m: _projector(width) for m in modalities if m != target}) for target in modalities}
        )
        self.gate = nn.Linear(len(self.modalities) * width, len(self.modalities))

    def forward(self, images: dict[str, Tensor]) -> EarlyInterventionOutput:
        """Logits from one image (B, 1, 3, H, W) per case and modality."""
        reference = {m: _cls_token(self.auxiliary[m], images[m][:, 0]) for m in self.modalities}
        auxiliary = {m: self.auxiliary_heads[m](reference[m]) for m in self.modalities}
        steered = {}
        for target in self.modalities:
            tokens = [project(reference[m]) for m, project in self.projectors[target].items()]
            steered[target] = _cls_token(self.main[target], images[target][:, 0], torch.stack(tokens, dim=1))
        main = {m: self.main_heads[m](steered[m]) for m in self.modalities}
        gate = self.gate(torch.cat(list(steered.values()), dim=-1).detach()).softmax(dim=-1)
        fused = sum(gate[:, [i]] * main[m].detach() for i, m in enumerate(self.modalities))
        present = torch.ones_like(gate, dtype=torch.bool)
        return EarlyInterventionOutput(fused=fused, auxiliary=auxiliary, main=main, gate=gate, present=present)

    @torch.no_grad()
    def copy_from(self, product: EarlyInterventionClassifier) -> None:
        """Take over all weights of the product, so that the two can be compared."""
        frozen = product.backbone.encoder.vit.state_dict()
        for kind, backbones in (("auxiliary", self.auxiliary), ("main", self.main)):
            for modality, vit in backbones.items():
                vit.load_state_dict({_inside(name): value for name, value in frozen.items()}, strict=False)
                view = product.backbone.passes[f"{kind}_{modality}"].vit
                for block, original in zip(vit.blocks, view.blocks, strict=True):
                    block.mlp.fc1.copy_from(original.mlp.fc1)
                    block.mlp.fc2.copy_from(original.mlp.fc2)
        for part in ("auxiliary_heads", "main_heads", "projectors", "gate"):
            getattr(self, part).load_state_dict(getattr(product, part).state_dict())


def literal_loss(output: EarlyInterventionOutput, label: Tensor, prior: Sequence[float]) -> Tensor:
    """``fused + 0.3 sum aux + sum main + 0.1 gate``, all cross-entropies; the gate's target is the best modality."""
    main = torch.stack([F.cross_entropy(m, label, reduction="none") for m in output.main.values()], dim=1)  # (B, M)
    target = (main.detach() * torch.tensor(prior)).argmin(dim=1)
    auxiliary = sum(F.cross_entropy(m, label) for m in output.auxiliary.values())
    gate = F.nll_loss(output.gate.log(), target)
    return F.cross_entropy(output.fused, label) + 0.3 * auxiliary + main.mean(dim=0).sum() + 0.1 * gate


def _cls_token(vit: nn.Module, images: Tensor, extra_tokens: Tensor | None = None) -> Tensor:
    """Final-norm CLS token (B, D) of images (B, 3, H, W) in [0, 1]; extra tokens join before the first block."""
    mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed((images - mean) / std)))
    if extra_tokens is not None:
        tokens = torch.cat([tokens, extra_tokens], dim=1)
    return vit.norm(vit.blocks(tokens))[:, 0]


def _projector(width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(width, eps=1e-6), nn.Linear(width, PROJECTOR_WIDTH), nn.GELU(), nn.Linear(PROJECTOR_WIDTH, width)
    )


def _inside(name: str) -> str:
    """Where a frozen weight of timm's lies once its layer is wrapped."""
    return name.replace("fc1.", "fc1.linear.").replace("fc2.", "fc2.linear.")
