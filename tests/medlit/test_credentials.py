"""Secrets are hidden wherever they stand, and nothing else is."""

from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser

from medlit.callbacks.manifest import command
from medlit.credentials import has_secrets, hidden_settings, hidden_text, hidden_words, holds_secret
from medlit.lightning_cli import save_config

EXPERIMENTS = sorted((Path(__file__).parents[2] / "experiments").rglob("*.yaml"))
TOKEN = "hf_" + "AbCd1234" * 4


@pytest.mark.parametrize(
    "name",
    [
        *("token", "HF_TOKEN", "api_key", "apikey", "data.init_args.password", "aws_secret_access_key"),
        *("client-secret", "account_key", "storage.AccountKey", "store.credentials.user"),
    ],
)
def test_names_that_hold_secrets(name):
    assert holds_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        *("tokenizer", "num_tokens", "max_tokens", "train_new_tokens", "class_token", "pad_token", "secretary"),
        *("pad_token_id", "cls_token", "token_dropout", "model.tokenizer.name", "credentials_file"),
        *("keys", "key", "backbone", "insert_at", "monkey", "tokens"),
    ],
)
def test_names_that_do_not(name):
    assert not holds_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s3://me:pass@host/bucket", "s3://***@host/bucket"),
        ("https://me@host/x", "https://***@host/x"),
        (f"x{TOKEN}", f"x{TOKEN}"),  # inside of a word it is something else
        (f"/data/{TOKEN}/x", "/data/***/x"),
        ("https://host/x?token=abc&size=3", "https://host/x?token=***&size=3"),
        ("https://host/x?X-Amz-Security-Token=abc%2F&a=b", "https://host/x?X-Amz-Security-Token=***&a=b"),
        ('{"api_key": "a b", "size": 3}', '{"api_key": ***, "size": 3}'),
        ("{api_key: abc, size: 3}", "{api_key: ***, size: 3}"),
        ("AccountName=me;AccountKey=aB3+/x==;Suffix=x", "AccountName=me;AccountKey=***;Suffix=x"),
        ("{store: {credentials: {user: me, keys: [a, b]}, size: 3}}", "{store: {credentials: ***, size: 3}}"),
        ("{credentials: {user: me, keys: [{a: b}]}, size: 3}", "{credentials: ***"),  # too deep to see where it ends
        ("{size: 3, credentials: {user: me,\n pass: abc", "{size: 3, credentials: ***"),
        ("{api_key: [abc, def], size: 3}", "{api_key: ***, size: 3}"),
        ("{tokenizer: words, max_tokens: 144, pad_token: '[PAD]'}",) * 2,
        ("runs/a@b/best.ckpt",) * 2,
        ("mean: [0.5, 0.5]",) * 2,
    ],
)
def test_texts(text, expected):
    assert hidden_text(text) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["medlit", "--logger.api_key", "abc", "--size", "3"], ["medlit", "--logger.api_key", "***", "--size", "3"]),
        (["medlit", "--logger.api_key=abc"], ["medlit", "--logger.api_key=***"]),
        (["--store.credentials={user: {name: me}, pass: [a b]}"], ["--store.credentials=***"]),
        (["--store.credentials.pass", "abc"], ["--store.credentials.pass", "***"]),
        (["medlit", "--hub.token", "--flag", "x"], ["medlit", "--hub.token", "--flag", "x"]),
        (["--data.root", "gs://a:b@c/d"], ["--data.root", "gs://***@c/d"]),
        (["--tokenizer", "words"], ["--tokenizer", "words"]),
        ([], []),
    ],
)
def test_command_lines(words, expected):
    assert hidden_words(words) == expected


def test_settings_of_every_depth_keep_what_is_no_secret():
    settings = {
        "data": {"root": "https://me:pass@host/x", "class_token": True, "token": None, "password": ""},
        "loggers": [{"api_key": "abc", "name": "run"}, (1, TOKEN)],
    }
    assert hidden_settings(settings) == {
        "data": {"root": "https://***@host/x", "class_token": True, "token": None, "password": ""},
        "loggers": [{"api_key": "***", "name": "run"}, [1, "***"]],
    }


@pytest.mark.parametrize("value", [12345678, 0, 1.5, {"user": "me", "pass": "abc"}, ["abc"], [[1]]])
@pytest.mark.parametrize("name", ["password", "credentials", "account_key", "store.password"])
def test_a_secret_is_hidden_whatever_its_type(name, value):
    assert hidden_settings({"a": [{name: value}]}) == {"a": [{name: "***"}]}


@pytest.mark.parametrize("value", [None, True, False, "", [], {}])
def test_what_holds_nothing_stays(value):
    assert hidden_settings({"password": value}) == {"password": value}


def test_nothing_of_the_shipped_experiments_is_hidden():
    assert len(EXPERIMENTS) > 50
    assert [file for file in EXPERIMENTS if has_secrets(yaml.safe_load(file.read_text()))] == []


def test_nor_is_anything_of_models_and_tokenizers():
    settings = {
        **{"num_tokens": 144, "max_tokens": 3, "pad_token_id": 0, "bos_token_id": 1, "reg_tokens": 4},
        **{
            "tokenizer": {"path": "words.json"},
            "cls_token": {"content": "[CLS]"},
            "mask_token": 7,
            "class_token": True,
        },
        **{"key": 3, "key_dim": 64, "qk_norm": {"a": 1}, "class_token": True, "num_virtual_tokens": 8},
    }
    assert not has_secrets(settings)


class Connected:
    """A class of a configuration that takes a key."""

    def __init__(self, *, api_key: str, address: str, tokens: int = 3, pad_token: str = "[PAD]"):
        pass


def test_a_saved_configuration_has_no_secrets_and_is_read_again(tmp_path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--loggers", type=list[Connected])
    parser.add_argument("--root", type=str)
    one = {"class_path": f"{__name__}.Connected", "init_args": {"api_key": "abc", "address": "s3://me:abc@host"}}
    config = parser.parse_object({"loggers": [one], "root": f"https://host/{TOKEN}/set"})
    save_config(parser, config, tmp_path / "config.yaml")
    text = (tmp_path / "config.yaml").read_text()
    assert "abc" not in text
    assert TOKEN not in text
    again = parser.parse_path(str(tmp_path / "config.yaml"))
    assert again.root == "https://host/***/set"
    assert vars(again.loggers[0].init_args) == {
        "api_key": "***",
        "address": "s3://***@host",
        "tokens": 3,
        "pad_token": "[PAD]",
    }


def test_a_configuration_without_secrets_is_saved_as_it_was(tmp_path):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--root", type=str)
    parser.add_argument("--lr", type=float)
    config = parser.parse_object({"root": "data/set", "lr": 1e-5})
    save_config(parser, config, tmp_path / "config.yaml")
    parser.save(config, tmp_path / "expected.yaml")
    assert (tmp_path / "config.yaml").read_text() == (tmp_path / "expected.yaml").read_text()


def test_the_manifests_command_has_no_secrets(monkeypatch):
    monkeypatch.setattr("sys.argv", ["medlit", "fit", "--trainer.logger.api_key", "abc", "--data.root", "s3://a:b@c"])
    assert command() == "medlit fit --trainer.logger.api_key '***' --data.root 's3://***@c'"
