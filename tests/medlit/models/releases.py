"""Files as the field's foundation models are released, with random weights; and a vision transformer written out."""

import argparse

import torch
from torch.nn.functional import conv2d, gelu, layer_norm, linear


def vit_shapes(width, depth, patch, tokens, *, heads_bias="qkv.bias", scale=None):
    """Names and shapes of a plain vision transformer, as original code bases name them."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for index in range(depth):
        block = {
            "attn.qkv.weight": (3 * width, width),
            "attn.proj.weight": (width, width),
            "attn.proj.bias": (width,),
            "mlp.fc1.weight": (4 * width, width),
            "mlp.fc1.bias": (4 * width,),
            "mlp.fc2.weight": (width, 4 * width),
            "mlp.fc2.bias": (width,),
        }
        block |= {f"norm{n}.{kind}": (width,) for n in (1, 2) for kind in ("weight", "bias")}
        block |= {f"attn.{heads_bias}": (3 * width,)} if heads_bias == "qkv.bias" else {}
        block |= {"attn.q_bias": (width,), "attn.v_bias": (width,)} if heads_bias == "q and v" else {}
        block |= {scale.format(n): (width,) for n in (1, 2)} if scale else {}
        shapes |= {f"blocks.{index}.{name}": shape for name, shape in block.items()}
    return shapes


def filled(shapes, seed=0, device=None):
    """Random tensors of these shapes; on the meta device none."""
    if device == "meta":
        return {name: torch.empty(shape, device=device) for name, shape in shapes.items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def retfound_mae(width=32, depth=2, tokens=5, **options):
    """A masked autoencoder of MAE's code: encoder, decoder, and what the training kept beside them."""
    shapes = vit_shapes(width, depth, 16, tokens)
    decoder = {
        "mask_token": (1, 1, 8),
        "decoder_pos_embed": (1, tokens, 8),
        "decoder_embed.weight": (8, width),
        "decoder_embed.bias": (8,),
        "decoder_blocks.0.norm1.weight": (8,),
        "decoder_norm.weight": (8,),
        "decoder_pred.weight": (768, 8),
    }
    return {
        "model": filled({**shapes, **decoder}, **options),
        "optimizer": {"state": {0: {"step": 3, "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 1e-3}]},
        "epoch": 799,
        "scaler": {"scale": 65536.0},
        "args": argparse.Namespace(model="mae_vit_large_patch16", blr=1e-3, output_dir="out"),
    }


def retfound_dinov2(width=32, depth=2, tokens=5, **options):
    """The teacher of DINOv2's code with its heads."""
    backbone = {**vit_shapes(width, depth, 14, tokens, scale="ls{}.gamma"), "mask_token": (1, width)}
    heads = {"dino_head.mlp.0.weight": (8, width), "ibot_head.last_layer.weight_v": (8, 8)}
    return {"teacher": filled({**{f"backbone.{name}": shape for name, shape in backbone.items()}, **heads}, **options)}


def panderm(width=32, depth=2, tokens=5, **options):
    """The encoder alone: a bias of queries and values, layer scales gamma_1 and gamma_2."""
    return filled(vit_shapes(width, depth, 16, tokens, heads_bias="q and v", scale="gamma_{}"), **options)


def panderm_in_full(*sizes, **options):
    """The encoder beside decoder and teacher, as a pretraining keeps it."""
    others = {"decoder.blocks.0.norm1.weight": torch.zeros(8), "teacher.proj": torch.zeros(8, 8)}
    return {"model": {**{f"encoder.{name}": tensor for name, tensor in panderm(*sizes, **options).items()}, **others}}


def biomedclip(width=32, depth=2, tokens=5, **options):
    """OpenCLIP with a timm image tower and a BERT."""
    tower = {f"visual.trunk.{name}": shape for name, shape in vit_shapes(width, depth, 16, tokens).items()}
    others = {
        "visual.head.proj.weight": (8, width),
        "text.transformer.embeddings.word_embeddings.weight": (9, 8),
        "text.proj.0.weight": (8, 8),
        "logit_scale": (),
    }
    return filled({**tower, **others}, **options)


def lively(model, seed=0):
    """Away from the first values, under which norms, layer scales and positions tell nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def slow_vit(state, images, *, heads):
    """Tokens after the final norm of a vision transformer, from its released names, head by head."""

    def norm(tokens, name):
        return layer_norm(tokens, tokens.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    def dense(tokens, name):
        return linear(tokens, state[f"{name}.weight"], state[f"{name}.bias"])

    def scale(block, n):
        return state.get(f"{block}.gamma_{n}", state.get(f"{block}.ls{n}.gamma", torch.ones(1)))

    kernel = state["patch_embed.proj.weight"]
    patches = conv2d(images, kernel, state["patch_embed.proj.bias"], stride=kernel.shape[-1]).flatten(2).mT
    tokens = torch.cat([state["cls_token"].expand(len(images), -1, -1), patches], dim=1) + state["pos_embed"]
    for index in range(max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")) + 1):
        block = f"blocks.{index}"
        if f"{block}.attn.q_bias" in state:
            query, value = state[f"{block}.attn.q_bias"], state[f"{block}.attn.v_bias"]
            bias = torch.cat([query, torch.zeros_like(value), value])
        else:
            bias = state[f"{block}.attn.qkv.bias"]
        qkv = linear(norm(tokens, f"{block}.norm1"), state[f"{block}.attn.qkv.weight"], bias)
        attended = []
        for query, key, value in zip(*(part.chunk(heads, dim=-1) for part in qkv.chunk(3, dim=-1)), strict=True):
            attended.append((query @ key.mT / query.shape[-1] ** 0.5).softmax(dim=-1) @ value)
        tokens = tokens + scale(block, 1) * dense(torch.cat(attended, dim=-1), f"{block}.attn.proj")
        hidden = gelu(dense(norm(tokens, f"{block}.norm2"), f"{block}.mlp.fc1"))
        tokens = tokens + scale(block, 2) * dense(hidden, f"{block}.mlp.fc2")
    return norm(tokens, "norm")
