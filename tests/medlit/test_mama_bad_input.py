"""Bad input of a pretraining, through ``medlit fit``: one line that says what to change."""

import pytest
import yaml

from data_modules.errors import DataError
from medlit import lightning_cli
from medlit.errors import ConfigurationError, NonFiniteLossError
from tests.data_modules.mammography.prepared_trees import pristine

pytestmark = pytest.mark.slow

IMG_SIZE = 32
TEXT = {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 144}


def configuration():
    """A pretraining of a few steps on the look-alike EMBED."""
    model = {
        "image": {
            "backbone": "vit_tiny_patch16_224",
            "pretrained": False,
            "model_args": {"depth": 1, "embed_dim": 16, "num_heads": 2},
        },
        "text": {"backbone": "gpt2", "pretrained": False, "model_args": TEXT, "train_backbone": True},
        "embed_dim": 8,
        "local_hidden": 8,
    }
    task = {"model": {"class_path": "medlit.models.MaMAModel", "init_args": model}, "late_start": 2}
    data = {"root": str(pristine("embed")), "img_size": IMG_SIZE, "batch_size": 16, "pretraining": {}}
    return {
        "model": {"class_path": "medlit.tasks.MaMATask", "init_args": task},
        "data": {"class_path": "data_modules.mammography.EMBEDDataModule", "init_args": data},
        "trainer": {
            "max_epochs": 1,
            "limit_train_batches": 4,
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "limit_val_batches": 2,
            "log_every_n_steps": 1,
            "callbacks": [
                {"class_path": "medlit.callbacks.BestCheckpoint", "init_args": {"monitor": "val/loss", "mode": "min"}}
            ],
        },
    }


@pytest.fixture
def fit(tmp_path):
    """Train with settings changed, by their place in the configuration."""

    def run(changes):
        config = configuration()
        for place, value in changes.items():
            *path, last = place.split(".")
            part = config
            for name in path:
                part = part[name]["init_args"] if "init_args" in part[name] else part[name]
            part[last] = value
        file = tmp_path / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        lightning_cli.main(["fit", "--config", str(file), "--run_dir", str(tmp_path / "run")])
        return tmp_path / "run"

    return run


def refused(fit, changes, error=(ConfigurationError, DataError)):
    """The one line that refuses a training; the command line prints it and nothing else."""
    with pytest.raises(error) as found:
        fit(changes)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_trains_and_tests_as_it_is(fit):
    folder = fit({"data.pretraining": {"max_tokens": 40}})  # captions are cut at a sentence, and counted
    assert (folder / "checkpoints" / "best.ckpt").is_file()
    [file] = (folder / "logs" / "csv").glob("fit/metrics.csv")
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    counts = [float(row[header.index("train/cut_captions")] or 0) for row in rows]
    assert max(counts) > 0


def test_captions_longer_than_the_text_model_reads(fit):
    line = refused(fit, {"model.model.text.model_args": {**TEXT, "n_positions": 100}})
    assert "captions of up to 144 tokens, but the text model reads 100" in line


def test_a_batch_of_one(fit):
    assert "EMBEDDataModule: batch_size is 1 on 1 process" in refused(fit, {"data.batch_size": 1})


def test_captions_that_are_all_alike(fit):
    """Cut to the first words of their first sentence; test_pair_checks has batches of such captions."""
    line = refused(fit, {"data.pretraining": {"max_tokens": 3}})
    assert "captions of different classes of birads are the same to tokenizer words in 3 tokens" in line


def test_a_tokenizer_that_is_not_there(fit, tmp_path):
    line = refused(fit, {"data.pretraining": {"tokenizer": str(tmp_path / "nowhere")}})
    assert f"tokenizer: there is no folder {tmp_path / 'nowhere'}" in line


def test_a_separator_that_is_no_token(fit):
    assert "separator: should be a token such as [SEP]" in refused(fit, {"data.pretraining": {"separator": " "}})


def test_a_tokenizer_of_another_model(fit, tmp_path):
    """A handful of words beside a released text model's embedding: the captions would mean nothing to it."""
    folder = released_text_model(tmp_path)
    line = refused(fit, {"model.model.text": {"backbone": str(folder)}})
    assert "tokenizer" in line
    assert str(folder) in line


def test_a_text_model_folder_without_weights(fit, tmp_path):
    folder = released_text_model(tmp_path)
    (folder / "model.safetensors").unlink()
    line = refused(fit, {"model.model.text": {"backbone": str(folder)}})
    assert str(folder) in line
    assert "model.safetensors" in line


def test_a_loss_that_is_no_number(fit):
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1e30}}
    line = refused(fit, {"model.optimizer": optimizer}, NonFiniteLossError)
    assert "training loss is not finite at epoch 0, step 1" in line


def test_data_without_captions(fit):
    assert "set data.init_args.pretraining: {}" in refused(fit, {"data.pretraining": None})


def released_text_model(root):
    """A folder as a hub has them, of a GPT-2 with a vocabulary of its own."""
    from transformers import GPT2Config, GPT2Model

    folder = root / "text"
    GPT2Model(GPT2Config(vocab_size=5000, **TEXT)).save_pretrained(folder)
    return folder
