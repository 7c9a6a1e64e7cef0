"""Small models with random weights for the tests of adapters, and the values that adapters start without."""

import timm
import torch
from torch import nn
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, ViTConfig, ViTModel


def timm_vit(seed=0):
    torch.manual_seed(seed)
    return timm.create_model(
        "vit_base_patch16_224", img_size=32, embed_dim=32, depth=2, num_heads=2, num_classes=3
    ).eval()


def hf_vit(seed=0):
    torch.manual_seed(seed)
    config = ViTConfig(
        image_size=32,
        patch_size=16,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ViTModel(config, add_pooling_layer=False).eval()


def hf_bert(seed=0):
    torch.manual_seed(seed)
    config = BertConfig(vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2)
    return BertModel(config, add_pooling_layer=False).eval()


def hf_gpt2(seed=0):
    torch.manual_seed(seed)
    return GPT2Model(GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=2)).eval()


def picture():
    return torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def words():
    return torch.randint(50, (2, 7), generator=torch.Generator().manual_seed(1))


def output(model, inputs):
    result = model(inputs)
    return result if isinstance(result, torch.Tensor) else result.last_hidden_state


def randomise(model, adapter="default", seed=0):
    """Give B, zero at the start, random values, so that the adapter acts."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "mor_B" in name and name.endswith(f".{adapter}"):
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return model
