"""Settings of the right type that a class refuses: one line that names the class, before anything is written."""

from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning.pytorch.callbacks import ModelCheckpoint

from medlit import lightning_cli
from medlit.checkpoint_io import SealedCheckpointIO
from medlit.errors import ConfigurationError
from tests.medlit.command_line import tiny


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--trainer.strategy", "dpp", "^Trainer: .*invalid strategy name: `strategy='dpp'`"),
        ("--trainer.overfit_batches", "2", "^trainer.overfit_batches .* set trainer.limit_train_batches"),
        ("--model.prior", "{clinic: -1, derm: 1}", "^EarlyInterventionTask: priors .* must be finite"),
        ("--model.model.adapter.alphas", "[4, 8]", "^MoRConfig: MoR needs an alpha for each of its ranks"),
        ("--model.model.intervene_at", "99", "^intervene_at must be a block from 0 to 1, got 99"),
    ],
)
def test_it_is_an_error_of_the_configuration(option, value, message, tmp_path):
    words = [*tiny(tmp_path / "data", tmp_path / "run"), option, value]
    with pytest.raises(ConfigurationError, match=message) as error:
        lightning_cli.main(["fit", *map(str, words)])
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


ADDRESS = "http://host.invalid/x.ckpt"
LOCAL = f"checkpoint {ADDRESS}: checkpoints are read from local files alone; copy it to one"


@pytest.mark.parametrize(
    ("verb", "given"),
    [
        *((verb, "option") for verb in ("fit", "validate", "test", "predict")),
        *(("fit", given) for given in ("file", "with code", "name of a file")),
    ],
)
def test_no_checkpoint_comes_from_an_address(verb, given, tmp_path, monkeypatch, network_attempts):
    monkeypatch.chdir(tmp_path)
    words = [*tiny(tmp_path / "data", tmp_path / "run"), "--ckpt_path", ADDRESS]
    if given == "file":
        (tmp_path / "x.yaml").write_text(yaml.safe_dump({"ckpt_path": ADDRESS}))
        words[-2:] = ["--config", tmp_path / "x.yaml"]
    elif given == "with code":
        words += ["--allow-code", "true"]
    elif given == "name of a file":
        (tmp_path / "http:" / "host.invalid").mkdir(parents=True)
        torch.save({}, tmp_path / "http:" / "host.invalid" / "x.ckpt")
    with pytest.raises(ConfigurationError) as error:
        lightning_cli.main([verb, *map(str, words)])
    assert str(error.value) == LOCAL
    assert network_attempts == []
    assert not (tmp_path / "run").exists()


def test_nor_does_one_that_a_checkpoint_calls_the_best(network_attempts):
    best = ModelCheckpoint(dirpath="checkpoints")
    best.load_state_dict({**best.state_dict(), "best_model_path": ADDRESS})
    with pytest.raises(ConfigurationError) as error:
        SealedCheckpointIO().load_checkpoint(best.best_model_path)
    assert str(error.value) == LOCAL
    assert network_attempts == []


def test_the_best_checkpoint_is_not_tested_at_an_address(capsys):
    ended = object.__new__(lightning_cli.MedlitCLI)
    ended.verb = "fit"
    ended.config = {"fit": SimpleNamespace(test_after_fit=True, trainer=SimpleNamespace(fast_dev_run=False))}
    another = SimpleNamespace(best_model_path=ADDRESS)
    ended.trainer = SimpleNamespace(checkpoint_callbacks=[another], checkpoint_callback=another)
    ended.after_fit()
    expected = f"test after fit: {ADDRESS} is no local file; copy it to one, and test it with --ckpt_path\n"
    assert capsys.readouterr().out == expected
