"""A batch in recomputed parts: the gradient of the whole, dropout and all, and less kept."""

import pytest
import torch
from peft import LoraConfig
from torch import nn

from medlit.errors import ConfigurationError
from medlit.models.mama.chunks import in_chunks
from tests.medlit.models.small import VIT14, captions, mama

LORA = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.1, target_modules=["c_attn"])
DROPOUT = {"image": {"model_args": {**VIT14["model_args"], "proj_drop_rate": 0.1}, "patch_dropout": 0.25}}
"""GPT-2 has dropout of 0.1 by itself."""
CASES = {
    "dropout": {**DROPOUT},
    "blocks recomputed too": {
        "image": {**DROPOUT["image"], "gradient_checkpointing": True},
        "gradient_checkpointing": True,
    },
    "adapters on frozen weights": {**DROPOUT, "adapter": LORA, "gradient_checkpointing": True},
    "frozen text": {**DROPOUT, "train_backbone": False},
}
IMAGES = 5


def images(size=28):
    return torch.rand(IMAGES, 3, size, size, generator=torch.Generator().manual_seed(0))


def loss_of(model, pooled, patches, hidden, mask):
    """One number that every pair of rows and every head has a part in."""
    image, text = model.image_embedding(pooled), model.text_embedding(model.pool_text(hidden, mask))
    sentences, owner = model.sentence_features(hidden, torch.tensor([[1, -1], [0, 1], [1, -1], [-1, -1], [0, -1]]))
    local = (model.local_patches(patches) @ model.local_sentences(sentences).T).amax(dim=1)[:, owner]
    view = model.view_embedding(pooled)
    return (model.scale * image @ text.T).logsumexp(1).sum() + (model.local_scale * local).sum() + view.square().sum()


def gradients(model, encode):
    """By name, after one step on the same random state."""
    model.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    loss_of(model, *encode(model), captions()[1]).backward()
    return {name: tensor.grad.clone() for name, tensor in model.named_parameters() if tensor.grad is not None}


def recomputed(size):
    def encode(model):
        found = model.encode_images(images(), micro_batch_size=size)
        return found.pooled, found.patches, model.encode_texts(*captions(), micro_batch_size=size)

    return encode


def kept(size):
    """The same parts, of which autograd keeps everything."""

    def encode(model):
        found = [model.encode_images(part) for part in images().split(size)]
        hidden = [model.encode_texts(*part) for part in zip(*(t.split(size) for t in captions()), strict=True)]
        pooled, patches = (torch.cat([getattr(part, name) for part in found]) for name in ("pooled", "patches"))
        return pooled, patches, torch.cat(hidden)

    return encode


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [2, 2 * IMAGES])
def test_dropout_is_the_same_when_a_part_is_run_again(case, size):
    model = mama(**CASES[case]).train()
    expected, found = gradients(model, kept(size)), gradients(model, recomputed(size))
    trained = {name for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert found.keys() == expected.keys() == trained
    for name in trained:
        torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-6, msg=lambda text, n=name: n + text)


@pytest.mark.parametrize("text", ["gpt2", "bert", "llama"])
def test_the_gradient_is_that_of_the_whole_batch(text):
    model = mama(text=text).train()
    model.text_encoder.model.eval()  # no dropout: parts would draw other numbers than the whole
    expected, found = gradients(model, recomputed(None)), gradients(model, recomputed(2))
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-5, atol=1e-5, msg=lambda text, n=name: n + text)


def kept_numbers(run):
    """Numbers that autograd keeps, parameters and batch left aside."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()), lambda _: None):
        run()
    return sum(sizes)


def test_of_a_part_its_inputs_alone_are_kept():
    tower = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 4))
    rows = torch.rand(12, 4)
    whole = kept_numbers(lambda: in_chunks(lambda x: (tower(x),), rows, micro_batch_size=None))
    assert whole > 12 * 64
    assert kept_numbers(lambda: in_chunks(lambda x: (tower(x),), rows, micro_batch_size=3)) <= rows.numel()


def test_nothing_is_run_twice_where_there_is_no_gradient():
    calls = []

    def tower(rows):
        calls.append(len(rows))
        return (2 * rows,)

    with torch.no_grad():
        [output] = in_chunks(tower, torch.ones(5, 2), micro_batch_size=2)
    assert calls == [2, 2, 1]
    assert torch.equal(output, torch.full((5, 2), 2.0))


@pytest.mark.parametrize("size", [0, -1])
def test_a_part_without_rows_is_refused(size):
    with pytest.raises(ConfigurationError, match=f"micro_batch_size: one row or more, or null, got {size}"):
        in_chunks(lambda rows: (rows,), torch.ones(2), micro_batch_size=size)
