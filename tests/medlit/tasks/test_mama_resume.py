"""A pretraining that was stopped before its late losses and resumed equals one that never stopped, bit for bit."""

import pytest
import torch
from lightning.pytorch import Callback
from torch.optim import AdamW

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.image_text import PairSettings
from medlit.callbacks import BestCheckpoint
from medlit.tasks import WarmupCosineLR
from tests.data_modules.mammography.prepared_trees import pristine
from tests.medlit.tasks.tiny import trainer
from tests.medlit.tasks.tiny_pairs import IMG_SIZE, mama, text_tower

pytestmark = pytest.mark.slow

EPOCHS = 3


class Losses(Callback):
    """Each term of each step, by the optimizer steps before it."""

    def __init__(self):
        self.by_step = {}

    def on_train_batch_end(self, runner, task, outputs, batch, batch_idx):
        self.by_step[runner.global_step - 1] = float(outputs["loss"])


def fit(folder, *, epochs, late_start, resume=None, micro_batch_size=None):
    """Through the loaders of EMBED, with dropout of LoRA, GPT-2 and patches, masked captions and drawn pairs."""
    data = EMBEDDataModule(
        root=pristine("embed"),
        pretraining=PairSettings(),
        img_size=IMG_SIZE,
        batch_size=16,
        seed=3,
    )
    settings = {"num_tokens": data.num_tokens, "late_start": late_start, "micro_batch_size": micro_batch_size}
    task = mama(
        dropout=0.1,
        model={"text": text_tower(dropout=0.1, positions=data.pretraining.max_tokens)},
        optimizer=lambda parameters: AdamW(parameters, lr=1e-3, weight_decay=0.1),
        scheduler=lambda optimizer: WarmupCosineLR(optimizer, warmup_steps=4, total_steps=30),
        **settings,
    )
    torch.manual_seed(epochs)  # a process that goes on has another random state than one that never stopped
    losses = Losses()
    runner = trainer(folder, max_epochs=epochs, callbacks=[BestCheckpoint("val/loss", mode="min"), losses])
    runner.fit(task, datamodule=data, ckpt_path=resume, weights_only=True if resume else None)
    return task, runner, losses.by_step


def state_of(runner, task):
    """Everything that the next step depends on, by name."""
    state = {f"model.{name}": tensor for name, tensor in task.model.state_dict().items()}
    [optimizer] = runner.optimizers
    for number, kept in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{number}.{name}": tensor for name, tensor in kept.items()}
    state["lr"] = torch.tensor([group["lr"] for group in optimizer.param_groups])
    return state


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.fixture(scope="module")
def steps_an_epoch():
    data = EMBEDDataModule(root=pristine("embed"), pretraining=PairSettings(), batch_size=16)
    data.setup("fit")
    return len(data.train_dataloader())


@pytest.mark.parametrize(
    ("stop", "late"),
    [(1, 1.5), (1, 1.0), (2, 1.5)],
    ids=["before late_start", "at late_start", "after late_start"],
)
def test_resumed_equals_unbroken(stop, late, steps_an_epoch, tmp_path):
    late_start = round(late * steps_an_epoch)
    whole, unbroken, steps = fit(tmp_path / "whole", epochs=EPOCHS, late_start=late_start)
    _, _, first = fit(tmp_path / "parts", epochs=stop, late_start=late_start)
    last = str(tmp_path / "parts" / "checkpoints" / "last.ckpt")
    task, resumed, second = fit(tmp_path / "parts", epochs=EPOCHS, late_start=late_start, resume=last)
    assert first | second == steps
    assert len(steps) == len(set(steps.values())) == EPOCHS * steps_an_epoch
    assert_same(state_of(unbroken, whole), state_of(resumed, task))
    scores = [runner.checkpoint_callback.best_model_score for runner in (unbroken, resumed)]
    assert scores[0] == scores[1]


def test_the_cached_gradient_step_resumes_alike(steps_an_epoch, tmp_path):
    settings = {"late_start": steps_an_epoch + 1, "micro_batch_size": 5}
    whole, unbroken, _ = fit(tmp_path / "whole", epochs=2, **settings)
    fit(tmp_path / "parts", epochs=1, **settings)
    last = str(tmp_path / "parts" / "checkpoints" / "last.ckpt")
    task, resumed, _ = fit(tmp_path / "parts", epochs=2, resume=last, **settings)
    assert_same(state_of(unbroken, whole), state_of(resumed, task))


def test_another_seed_draws_otherwise(tmp_path, monkeypatch):
    """Dropout is on in these runs: what resumes alike does not do so for want of chance."""
    _, _, steps = fit(tmp_path / "one", epochs=1, late_start=0)
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    _, _, others = fit(tmp_path / "two", epochs=1, late_start=0)
    assert all(steps[step] != others[step] for step in steps)
