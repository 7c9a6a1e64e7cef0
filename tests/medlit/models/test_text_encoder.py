"""What goes through a text encoder, and what of it is trained."""

import pytest
import torch
from peft import LoraConfig

from medlit.errors import ConfigurationError
from medlit.models import TextEncoder
from tests.medlit.models.small import TEXT_ARGS, TOKENS, captions, randomise_adapters

LORA = LoraConfig(r=2, lora_alpha=4, lora_dropout=0.1, target_modules=["c_attn"])
NO_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def encoder(name="gpt2", *, num_tokens=TOKENS, seed=0, model_args=None, **options):
    torch.manual_seed(seed)  # of the adapters
    arguments = {**TEXT_ARGS[name], **(model_args or {})}
    return TextEncoder(name, num_tokens=num_tokens, pretrained=False, model_args=arguments, **options)


@pytest.mark.parametrize("name", TEXT_ARGS)
def test_padding_has_no_influence_on_the_tokens_of_a_caption(name):
    model = encoder(name).eval()
    ids, mask = captions()
    other = torch.where(mask.bool(), ids, 7)
    longer = [torch.nn.functional.pad(tensor, (0, 3)) for tensor in (ids, mask)]
    expected = model(ids, mask)[mask.bool()]
    torch.testing.assert_close(model(other, mask)[mask.bool()], expected)
    torch.testing.assert_close(model(*longer)[:, : ids.shape[1]][mask.bool()], expected)


@pytest.mark.parametrize(("name", "looks_ahead"), [("gpt2", False), ("llama", False), ("bert", True)])
def test_a_causal_model_does_not_look_ahead_and_a_bidirectional_one_does(name, looks_ahead):
    model = encoder(name).eval()
    ids, mask = captions(count=1)
    changed = ids.clone()
    changed[:, -1] = (ids[:, -1] + 1) % TOKENS
    same = torch.allclose(model(ids, mask)[:, 0], model(changed, mask)[:, 0])
    assert same is not looks_ahead


def test_no_head_no_pooler_no_attention_maps():
    for name in TEXT_ARGS:
        model = encoder(name)
        assert not any("head" in key or "pooler" in key for key in model.state_dict())
        assert model.model.config._attn_implementation == "sdpa"
        assert (model.width, model.max_positions) == (32, 24)


def test_a_caption_longer_than_the_model_reads_says_what_to_set():
    ids = torch.zeros(1, 25, dtype=torch.int64)
    with pytest.raises(ConfigurationError, match=r"25 tokens, gpt2 reads 24; set the data's max_tokens to 24"):
        encoder()(ids, torch.ones_like(ids))


@pytest.mark.parametrize("name", ["roberta", "xlm-roberta"])
def test_positions_that_stand_for_padding_are_not_counted(name):
    model = TextEncoder(name, num_tokens=TOKENS, pretrained=False, model_args=TEXT_ARGS["bert"]).eval()
    ids = torch.full((1, 23), 7)
    assert model.max_positions == 22
    assert model(ids[:, :22], torch.ones(1, 22, dtype=torch.int64)).isfinite().all()
    with pytest.raises(ConfigurationError, match=f"23 tokens, {name} reads 22"):
        model(ids, torch.ones_like(ids))


def test_lora_trains_its_own_weights_alone_and_starts_as_the_identity():
    adapted, plain = encoder(adapter=LORA), encoder()
    trained = {name for name, tensor in adapted.named_parameters() if tensor.requires_grad}
    assert trained
    assert all(".c_attn.lora_" in name for name in trained)
    assert adapted.is_trained
    assert not plain.is_trained
    assert torch.equal(adapted.eval()(*captions()), plain.eval()(*captions()))
    assert not torch.allclose(randomise_adapters(adapted).eval()(*captions()), plain(*captions()), atol=1e-3)


def test_dropout_acts_where_something_is_trained_and_nowhere_else():
    for options, repeatable in (({}, True), ({"adapter": LORA}, False), ({"train_backbone": True}, False)):
        model = encoder(**options).train()
        assert torch.equal(model(*captions()), model(*captions())) is repeatable
        assert model.training


@pytest.mark.parametrize("options", [{"adapter": LORA}, {"train_backbone": True}])
def test_gradient_checkpointing_gives_the_same_gradients_with_dropout(options):
    gradients = []
    for recompute in (False, True):
        model = randomise_adapters(encoder(gradient_checkpointing=recompute, **options)).train()
        torch.manual_seed(1)
        model(*captions()).square().sum().backward()
        gradients.append({name: tensor.grad for name, tensor in model.named_parameters() if tensor.requires_grad})
    plain, recomputed = gradients
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(recomputed[name], gradient, rtol=0, atol=0)
        assert gradient.abs().sum() > 0


def test_gradient_checkpointing_keeps_less():
    def kept(model):
        """Numbers that the backward pass would find."""
        sizes = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda tensor: sizes.append(tensor.numel()), lambda _: None)
        with hooks:
            model(*captions(count=16))
        return sum(sizes)

    frugal, plain = (kept(encoder(adapter=LORA, gradient_checkpointing=on).train()) for on in (True, False))
    assert frugal < 0.5 * plain


def test_bfloat16_runs_with_frozen_weights_and_adapters():
    adapter = LoraConfig(r=2, target_modules=["c_attn"])
    model = randomise_adapters(encoder(adapter=adapter, gradient_checkpointing=True, model_args=NO_DROPOUT)).train()
    exact = model(*captions())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(*captions())
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
    rounded.float().square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in model.parameters() if tensor.requires_grad)


def test_random_weights_do_not_depend_on_the_seed_and_leave_it_alone():
    first, draw = encoder(seed=1), torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), draw)
    second = encoder(seed=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_fingerprint_is_that_of_the_frozen_weights_whatever_adapts_them():
    frozen = encoder()
    assert frozen.fingerprint() == encoder(adapter=LORA).fingerprint()
    assert frozen.fingerprint() != encoder(train_backbone=True).fingerprint()
    assert frozen.fingerprint() != encoder(num_tokens=TOKENS + 1).fingerprint()
    state = {name: tensor + 1 for name, tensor in frozen.state_dict().items()}
    before = frozen.fingerprint()
    frozen.load_state_dict(state)
    assert frozen.fingerprint() != before


def test_frozen_names_are_those_that_no_training_changes():
    model = encoder(adapter=LORA)
    state = model.state_dict()
    assert {name for name in state if name not in model.frozen_names()} == {name for name in state if "lora_" in name}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapter": LORA, "train_backbone": True}, "adapter: null"),
        ({"adapter": LoraConfig(target_modules=["fc1"])}, "LoraConfig does not fit the text model.*fc1"),
        ({"adapter": LoraConfig(target_modules=["c_attn"], bias="all")}, "changes or trains weights of the frozen"),
        ({"train_new_tokens": True}, f"gpt2 knows all {TOKENS} tokens"),
        ({"model_args": {"n_layers": 3, "hiden_size": 3}}, "no setting 'n_layers'; did you mean n_layer"),
        ({"model_args": {"vocab_size": 3}}, "vocab_size is that of the data's tokenizer"),
        ({"model_args": {"n_head": 5}}, "text backbone gpt2: transformers refuses"),
        ({"model_args": {"n_embd": -32}}, "text backbone gpt2: transformers refuses: .*negative dimension -32"),
        ({"model_args": {"activation_function": "gelu_nwe"}}, "text backbone gpt2: transformers refuses: 'gelu_nwe'"),
        ({"model_args": {"n_layer": "two"}}, "model_args: n_layer 'two' is refused: .*expected int, got str"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        encoder(**options)


@pytest.mark.parametrize("name", ["t5", "vit", "clip"])
def test_a_model_of_another_kind_is_refused(name):
    with pytest.raises(ConfigurationError, match=f"text backbone {name} is of kind {name}; needed is a causal"):
        TextEncoder(name, num_tokens=TOKENS, pretrained=False)
