"""Pretrained files: what a configuration needs is what training loads, and a filled cache serves without network."""

import os
import subprocess

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, BertTokenizerFast

from data_modules.errors import DataSettingsError
from data_modules.mammography.tokens import load_tokenizer
from medlit.commands import weights
from medlit.commands.configuration import Configuration
from medlit.errors import ConfigurationError, WeightsNotFoundError
from medlit.models import TextEncoder, VisionEncoder
from medlit.needed_files import Need, needs_of
from tests.hub import serving
from tests.medlit.command_line import EXPERIMENTS, SCRIPT

VIT, VIT_REPO = "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
SMALL = {"depth": 1, "embed_dim": 16, "num_heads": 2}
BERT = "someone/bert-of-two-layers"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
IMAGE = Need(kind="backbone", name=VIT, key="backbone", arguments=SMALL)
TEXT = Need(kind="text model", name=BERT, key="backbone")
TOKENIZER = Need(kind="tokenizer", name=BERT, key="tokenizer")


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A ViT and a BERT with its tokenizer, random weights, as they are released."""
    folder = tmp_path_factory.mktemp("released")
    encoder = VisionEncoder(VIT, img_size=32, pretrained=False, model_args=SMALL)
    (folder / "vit").mkdir()
    save_file(encoder.vit.state_dict(), folder / "vit/model.safetensors")
    torch.save(encoder.vit.state_dict(), folder / "vit/pytorch_model.bin")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(WORDS), **sizes))
    model.save_pretrained(folder / "bert")
    model.save_pretrained(folder / "sharded", max_shard_size="10kB")
    torch.save(model.state_dict(), folder / "bert/pytorch_model.bin")
    for name in ("bert", "sharded"):
        BertTokenizerFast(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder / name)
    return folder


@pytest.fixture
def hub(released, tmp_path, monkeypatch):
    """A hub on loopback, and an empty cache: the clients read both when they are imported."""
    from huggingface_hub import constants
    from transformers.utils import hub as client

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving() as served:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = f"{served.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(client, "_hf_api", None)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        served.add(VIT_REPO, released / "vit")
        served.add(BERT, released / "bert")
        yield served


def load(**options):
    """Image tower, text tower and tokenizer, as training makes them."""
    return (
        VisionEncoder(VIT, img_size=32, model_args=SMALL),
        TextEncoder(BERT, num_tokens=len(WORDS), **options),
        load_tokenizer(BERT),
    )


def test_what_was_fetched_is_what_is_loaded_without_asking_again(hub, released, monkeypatch, capsys):
    from huggingface_hub import constants

    assert weights.fetch([IMAGE, TEXT, TOKENIZER]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*["fetched"] * 3, "Fetched."]
    sent = set(hub.downloaded())
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= sent
    assert not any(name.endswith(".bin") for name in sent)
    hub.asked.clear()
    for offline in (False, True):  # there is no word with the hub even where that were allowed
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        image, text, tokenizer = load()
        assert weights.show([IMAGE, TEXT, TOKENIZER]) == 0
    assert hub.asked == []
    expected = load_file(released / "vit/model.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in image.vit.state_dict().items())
    expected = load_file(released / "bert/model.safetensors")
    assert torch.equal(text.model.embeddings.word_embeddings.weight, expected["embeddings.word_embeddings.weight"])
    assert tokenizer.pretrained.convert_tokens_to_ids(list("abc")) == [5, 6, 7]


def test_training_downloads_what_was_not_fetched(hub):
    load()
    sent = hub.downloaded()
    assert sent.count("model.safetensors") == 2
    assert not any(name.endswith(".bin") for name in sent)


def test_every_shard_that_an_index_names_is_fetched(hub, released):
    hub.add(BERT, released / "sharded")
    files = TEXT.files(network=True)
    assert len([file for file in files if file.suffix == ".safetensors"]) > 2
    expected = load_file(released / "bert/model.safetensors")
    model = TextEncoder(BERT, num_tokens=len(WORDS)).model
    assert torch.equal(model.embeddings.word_embeddings.weight, expected["embeddings.word_embeddings.weight"])
    files[-1].unlink()
    with pytest.raises(WeightsNotFoundError, match="no cached text model"):
        TEXT.files(network=False)
    assert TEXT.files(network=True) == files


def test_a_model_without_safetensors_is_read_as_tensors_and_no_other_copy_is_asked_for(hub, released):
    hub.repos[BERT].pop("model.safetensors")
    assert [file.name for file in TEXT.files(network=True)] == ["config.json", "pytorch_model.bin"]
    hub.asked.clear()
    TextEncoder(BERT, num_tokens=len(WORDS))
    assert hub.asked == []


@pytest.mark.parametrize("outside", ["../../../refs/main", "/etc/passwd", "sub/model.safetensors"])
def test_an_index_that_names_files_elsewhere_is_refused(hub, released, outside):
    hub.repos[BERT].pop("model.safetensors")
    hub.repos[BERT]["model.safetensors.index.json"] = b'{"weight_map": {"a": "%s"}}' % outside.encode()
    with pytest.raises(WeightsNotFoundError, match=r"no file beside it") as error:
        TEXT.files(network=True)
    assert "\n" not in str(error.value)


def test_a_configuration_in_the_cache_makes_no_empty_tokenizer(hub):
    Need(kind="configuration", name=BERT, key="backbone").files(network=True)
    with pytest.raises(DataSettingsError, match="no network and no cached tokenizer"):
        load_tokenizer(BERT, network=False)
    assert len(load_tokenizer(BERT)) == len(WORDS)


def test_a_hub_without_a_vocabulary_gives_no_tokenizer(hub):
    hub.repos[BERT] = {"config.json": hub.repos[BERT]["config.json"]}
    with pytest.raises(DataSettingsError, match=r"has none of tokenizer\.json"):
        load_tokenizer(BERT)


@pytest.mark.parametrize("need", [IMAGE, TEXT, TOKENIZER], ids=lambda need: need.kind)
def test_what_the_hub_does_not_have_is_told_in_one_line(hub, need):
    hub.repos.clear()
    with pytest.raises((WeightsNotFoundError, DataSettingsError), match="cannot get") as error:
        need.files(network=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("need", [IMAGE, TEXT], ids=lambda need: need.kind)
def test_terms_that_were_not_accepted_are_named(hub, need):
    hub.gated = set(hub.repos)
    with pytest.raises(WeightsNotFoundError, match=r"its terms have to be accepted on http\S+, then HF_TOKEN set"):
        need.files(network=True)


def test_a_hub_that_does_not_answer_is_told_and_the_next_try_goes_on(hub):
    hub.cut = {"model.safetensors"}
    with pytest.raises(WeightsNotFoundError, match="cannot get the weights") as error:
        IMAGE.files(network=True)
    assert "\n" not in str(error.value)
    with pytest.raises(WeightsNotFoundError, match="no cached weights"):
        IMAGE.files(network=False)
    hub.cut = set()
    assert IMAGE.files(network=True)[0].is_file()


def test_what_does_not_fit_on_the_disk_is_not_begun(hub, monkeypatch):
    import shutil

    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(WeightsNotFoundError, match=r"kB do not fit into \S+, where 1\.0 kB are free; HF_HOME names"):
        IMAGE.files(network=True)
    assert hub.downloaded() == []


def test_everything_that_can_be_had_is_fetched_before_the_first_failure_is_told(hub, capsys):
    del hub.repos[VIT_REPO]
    with pytest.raises(ConfigurationError, match=r"cannot get the weights of vit_tiny\S+ \(\S+ has no timm/"):
        weights.fetch([IMAGE, TEXT, TOKENIZER])
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["missing", "fetched", "fetched"]


def test_files_of_the_user_count_as_present(released, capsys):
    needs = [
        Need(kind="weights", name=str(released / "vit"), key="weights"),
        Need(kind="text model", name=str(released / "bert"), key="backbone"),
        Need(kind="tokenizer", name=str(released / "bert"), key="tokenizer"),
    ]
    assert weights.show(needs) == 0
    assert capsys.readouterr().out.count("present") == 3


def test_a_checkpoint_of_an_earlier_stage_is_listed_and_not_fetched(tmp_path, capsys):
    need = Need(kind="checkpoint", name=str(tmp_path / "best.ckpt"), key="init_from.derm")
    assert weights.show([need]) == 2
    assert weights.fetch([need]) == 0
    assert "not yet" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ei_derm7pt", "overlays/tiny"], set()),
        (
            ["mama_embed"],
            {
                ("backbone", "vit_base_patch14_reg4_dinov2.lvd142m"),
                ("text model", "stanford-crfm/BioMedLM"),
                ("tokenizer", "stanford-crfm/BioMedLM"),
            },
        ),
        (
            ["zero_shot_embed"],
            {
                ("checkpoint", "runs/mama_embed/checkpoints/best.ckpt"),
                ("text model", "stanford-crfm/BioMedLM"),
                ("tokenizer", "stanford-crfm/BioMedLM"),
            },
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, list) else "",
)
def test_shipped_configurations_need_what_they_name(words, expected):
    options = [word for name in words for word in ("--config", str(EXPERIMENTS / f"{name}.yaml"))]
    assert {(need.kind, need.name) for need in needs_of(Configuration(options).plain)} == expected


@pytest.mark.slow
def test_settings_of_the_command_line_count(tmp_path):
    words = ["--config", str(EXPERIMENTS / "ei_derm7pt.yaml")]
    model = "--model.init_args.model.init_args"
    words += [f"{model}.backbone", "retfound_cfp", f"{model}.weights", str(tmp_path / "w")]
    words += ["--model.init_args.init_from", "{clinic: a.ckpt, derm: b.ckpt}"]
    found = {(need.kind, need.name) for need in needs_of(Configuration(words).plain)}
    assert found == {("weights", str(tmp_path / "w")), ("checkpoint", "a.ckpt"), ("checkpoint", "b.ckpt")}


@pytest.mark.slow
def test_the_command_fetches_for_a_configuration_and_training_loads_it_offline(released, tmp_path, monkeypatch):
    from huggingface_hub import constants

    model = "--model.init_args.model.init_args"
    words = ["--config", EXPERIMENTS / "mama_embed.yaml", "--config", EXPERIMENTS / "overlays/mama_tiny.yaml"]
    words += [f"{model}.image.backbone", VIT, f"{model}.image.pretrained", "true", f"{model}.image.model_args", SMALL]
    words += [f"{model}.text.backbone", BERT, f"{model}.text.pretrained", "true"]
    words += ["--data.init_args.pretraining.tokenizer", BERT]
    command = [SCRIPT, "weights", "fetch", *words]
    home = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    home |= {"HF_HOME": str(tmp_path)}

    def run(**environment):
        done = subprocess.run(
            list(map(str, command)), env={**home, **environment}, capture_output=True, text=True, check=False
        )
        return done.returncode, [line.split()[0] for line in done.stdout.splitlines()], done.stderr

    with serving() as hub:
        hub.add(VIT_REPO, released / "vit")
        hub.add(BERT, released / "bert")
        told = ["fetched", "fetched", "fetched", "Fetched."]
        assert run(HF_ENDPOINT=hub.address, HF_HUB_OFFLINE="0") == (0, told, "")
    command[2] = "list"  # the hub is gone
    assert run(HF_HUB_OFFLINE="1") == (0, ["present"] * 3, "")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    image, text, tokenizer = load()
    expected = load_file(released / "vit/model.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in image.vit.state_dict().items())
    assert (text.num_tokens, len(tokenizer)) == (len(WORDS),) * 2


@pytest.mark.slow
def test_a_fetch_that_is_told_to_stay_offline_says_so():
    with pytest.raises(ConfigurationError, match="HF_HUB_OFFLINE is set, unset it to fetch; no network and no cached"):
        weights.main(["fetch", "--config", str(EXPERIMENTS / "ei_derm7pt.yaml")])
