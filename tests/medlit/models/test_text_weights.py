"""Text models of folders and the hub: what is read, and what is said where it cannot be."""

import logging
import os

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError
from medlit.models import TextEncoder
from tests.medlit.models.small import TEXT_ARGS, TOKENS, captions

ADDED = 2
"""A separator and a token for padding."""


@pytest.fixture
def folder(tmp_path):
    """Writes what ``save_pretrained`` writes of a tiny model with its language-model head."""

    def write(name="gpt2", *, vocabulary=TOKENS, **options):
        special = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
        config = AutoConfig.for_model(name, **TEXT_ARGS[name], **special, vocab_size=vocabulary)
        with_head = AutoModelForMaskedLM if name == "bert" else AutoModelForCausalLM
        torch.manual_seed(3)
        model = with_head.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():  # first values of biases and norms say little
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(tmp_path / name, **options)
        return tmp_path / name

    return write


def read(path, *, num_tokens=TOKENS, **options):
    return TextEncoder(str(path), num_tokens=num_tokens, **options)


@pytest.mark.parametrize("name", TEXT_ARGS)
def test_equals_the_base_model_of_transformers_with_explicit_attention(folder, name):
    path = folder(name)
    expected = AutoModel.from_pretrained(path, attn_implementation="eager", dtype=torch.float32).eval()
    ids, mask = captions()
    hidden = expected(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(read(path).eval()(ids, mask)[mask.bool()], hidden[mask.bool()], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", TEXT_ARGS)
def test_the_head_of_a_language_model_is_left_aside_without_a_word(folder, name, caplog, capfd):
    path = folder(name)
    capfd.readouterr()
    with caplog.at_level(logging.DEBUG):
        model = read(path)
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert capfd.readouterr() == ("", "")
    assert not any("lm_head" in key or key.startswith("model.cls") for key in model.state_dict())


def test_reading_leaves_the_random_state_alone(folder):
    path = folder()
    torch.manual_seed(5)
    read(path, num_tokens=TOKENS + ADDED)
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))


def test_added_tokens_start_as_the_mean_of_the_others_which_stay(folder):
    path = folder()
    table = read(path).model.wte.weight
    grown = read(path, num_tokens=TOKENS + ADDED).model.wte.weight
    assert torch.equal(grown[:TOKENS], table)
    torch.testing.assert_close(grown[TOKENS:], table.mean(dim=0).expand(ADDED, -1))


def test_a_padded_table_stays_as_it_is(folder):
    assert read(folder(), num_tokens=TOKENS - 1).model.wte.num_embeddings == TOKENS


@pytest.mark.parametrize("vocabulary", [500, 10])
def test_the_tokenizer_of_another_model_is_refused(folder, vocabulary):
    message = rf"tokenizer has {TOKENS} tokens, \S+gpt2 was trained with {vocabulary}: .*set the data's tokenizer to"
    with pytest.raises(ConfigurationError, match=message):
        read(folder(vocabulary=vocabulary))


@pytest.mark.parametrize("adapter", [None, LoraConfig(target_modules=["c_attn"])])
def test_of_a_frozen_model_the_added_tokens_alone_may_be_trained(folder, adapter):
    path = folder()
    options = {"num_tokens": TOKENS + ADDED, "adapter": adapter}
    frozen, model = read(path, **options).eval(), read(path, train_new_tokens=True, **options).eval()
    ids, mask = captions()
    ids[:, 1] = TOKENS + 1
    torch.testing.assert_close(model(ids, mask), frozen(ids, mask))
    trained = {name: tensor for name, tensor in model.named_parameters() if tensor.requires_grad}
    assert [name for name in trained if "lora" not in name] == ["model.wte.added"]
    before = [tensor.clone() for tensor in model.parameters() if not tensor.requires_grad]
    model(ids, mask).square().sum().backward()
    added = trained["model.wte.added"]
    assert added.grad[1].abs().sum() > 0
    assert torch.equal(added.grad[0], torch.zeros_like(added.grad[0]))  # this one no caption had
    torch.optim.AdamW(trained.values(), lr=0.1, weight_decay=0.1).step()
    after = [tensor for tensor in model.parameters() if not tensor.requires_grad]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not torch.allclose(model(ids, mask), frozen(ids, mask), atol=1e-2)


def test_settings_differ_from_the_folders_where_asked(folder):
    assert read(folder(), model_args={"resid_pdrop": 0.25}).model.h[0].mlp.dropout.p == 0.25
    with pytest.raises(ConfigurationError, match="no setting 'resid_drop'; did you mean resid_pdrop"):
        read(folder(), model_args={"resid_drop": 0.25})


def test_a_folder_may_give_the_architecture_alone(folder):
    path = folder()
    (path / "model.safetensors").unlink()
    model = read(path, pretrained=False, num_tokens=50)
    assert (model.width, model.model.wte.num_embeddings) == (32, 50)


def test_a_folder_without_weights_says_what_it_should_hold(folder):
    path = folder()
    (path / "model.safetensors").unlink()
    message = r"gpt2 holds no weights; expected one of model\.safetensors.*or set pretrained: false"
    with pytest.raises(WeightsNotFoundError, match=message):
        read(path)


def test_a_folder_without_a_configuration_says_so(folder):
    path = folder()
    (path / "config.json").unlink()
    with pytest.raises(WeightsNotFoundError, match=r"gpt2 holds no config\.json"):
        read(path)


@pytest.mark.parametrize("path", ["./not/here", "/not/here", "~/not/here", "not/a/name"])
def test_a_folder_that_is_not_there_is_no_name_on_the_hub(path):
    with pytest.raises(WeightsNotFoundError, match=f"there is no folder {path}"):
        read(path)


def test_missing_and_unknown_tensors_are_refused_by_name(folder):
    file = folder() / "model.safetensors"
    whole = load_file(file)
    for change, message in (
        ({"transformer.h.1.ln_2.bias": None}, r"lacks 1 tensors of GPT2Model, h\.1\.ln_2\.bias"),
        ({"transformer.h.2.ln_2.bias": torch.ones(32)}, r"has unknown 1 tensors of GPT2Model, .*h\.2\.ln_2\.bias"),
    ):
        changed = {name: tensor for name, tensor in {**whole, **change}.items() if tensor is not None}
        save_file(changed, file, metadata={"format": "pt"})
        with pytest.raises(CheckpointMismatchError, match=message):
            read(file.parent)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_broken_file_is_refused_with_its_folder(folder, name):
    path = folder()
    (path / name).write_bytes((path / name).read_bytes()[:60])
    with pytest.raises(CheckpointMismatchError, match=r"text backbone: \S+gpt2 cannot be read \("):
        read(path)


class Payload:
    """A pickled object that would run code when loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (self.path,))


def test_pickled_objects_are_never_loaded(folder, tmp_path):
    path = folder()
    (path / "model.safetensors").unlink()
    torch.save({"transformer.wte.weight": Payload(str(tmp_path / "opened"))}, path / "pytorch_model.bin")
    with pytest.raises(CheckpointMismatchError, match="cannot be read"):
        read(path)
    assert not (tmp_path / "opened").exists()


def test_tensors_in_a_file_of_torch_are_read(folder):
    path = folder()
    expected = read(path)
    torch.save(load_file(path / "model.safetensors"), path / "pytorch_model.bin")
    (path / "model.safetensors").unlink()
    for low_cpu_mem in (True, False):
        model = read(path, low_cpu_mem=low_cpu_mem)
        assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), model.parameters(), strict=True))


def test_code_that_comes_with_a_model_is_not_run(folder, tmp_path):
    path = folder()
    (path / "evil.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'opened')!r})\n")
    text = (path / "config.json").read_text().replace('"gpt2"', '"evil"')
    (path / "config.json").write_text(text.replace("{", '{"auto_map": {"AutoConfig": "evil.Config"},', 1))
    with pytest.raises(CheckpointMismatchError, match="cannot be read"):
        read(path)
    assert not (tmp_path / "opened").exists()


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's client as with HF_HUB_OFFLINE=1 and an empty cache, which it reads when it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("options", [{}, {"pretrained": False}])
def test_no_network_says_what_to_download_and_where_to_put_it(offline, options):
    message = (
        r"no network and no cached text model stanford-crfm/BioMedLM: download config\.json and model\.safetensors .* "
        r"from https://\S+/stanford-crfm/BioMedLM to a folder and set backbone: FOLDER, or set pretrained: false"
    )
    with pytest.raises(WeightsNotFoundError, match=message):
        read("stanford-crfm/BioMedLM", **options)


def test_an_unknown_architecture_is_answered_with_a_near_one(offline):
    with pytest.raises(WeightsNotFoundError, match="did you mean llama"):
        read("lama", pretrained=False)


def test_a_model_in_the_hubs_cache_is_taken(offline, folder, tmp_path):
    path = folder()
    cached = tmp_path / "cache" / "models--stanford-crfm--BioMedLM"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("1234")
    (cached / "snapshots").mkdir()
    path.rename(cached / "snapshots" / "1234")
    model = read("stanford-crfm/BioMedLM")
    expected = load_file(cached / "snapshots" / "1234" / "model.safetensors")
    assert torch.equal(model.model.wte.weight, expected["transformer.wte.weight"])
