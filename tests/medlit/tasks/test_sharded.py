"""FSDP2 on two processes: the losses of one, checkpoints that go to and fro, and refusals where it cannot work."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import distributed

from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.tasks.sharding import deal_out
from tests.medlit.command_line import warm_ranks
from tests.medlit.tasks.run_sharded import EPOCHS, SCENARIOS, pretrain
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal
from tests.medlit.tasks.tiny_pairs import TinyPairs, mama

# Runs go on in another folder than that of the checkpoint they start from.
pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed:UserWarning")

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Runs of one process and of two by name, and those that go on from a checkpoint of the other kind."""
    root = tmp_path_factory.mktemp("sharded")
    for scenario in SCENARIOS:
        pretrain(root / "one" / scenario, scenario, devices=1)
    last = root / "one/frozen/checkpoints/last.ckpt"
    for done in warm_ranks(2, "tests.medlit.tasks.run_sharded", "run_sharded", root / "two", last, cwd=ROOT):
        assert done.returncode == 0, done.stdout + done.stderr
        assert "FSDP2-wrapped" not in done.stdout + done.stderr  # its warnings
    for name, start in (("from_one", last), ("from_two", root / "two/frozen/checkpoints/last.ckpt")):
        pretrain(root / "one" / name, "frozen", devices=1, epochs=EPOCHS + 1, checkpoint=str(start))
    return root


def said(folder, rank=0):
    return json.loads((folder / f"said{rank}.json").read_text())


def checkpoint(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_losses_and_figures_are_one_processs(folders, scenario):
    one, two = folders / "one" / scenario, folders / "two" / scenario
    alone, *shares = said(one)["losses"], *(said(two, rank)["losses"] for rank in (0, 1))
    assert len(alone) == 4 * EPOCHS
    assert max(alone[6:]) > 2 * max(alone[:6])  # the late losses joined
    for share in shares:  # the loss is that of the global batch, on each
        assert share == pytest.approx(alone, abs=1e-4)
    figures = [json.loads((folder / "figures.json").read_text()) for folder in (one, two)]
    assert {"test/loss", "test/local", "test/zero_shot_auroc"} <= figures[0].keys()
    assert figures[1] == pytest.approx(figures[0], abs=1e-4)


@pytest.mark.slow
def test_a_process_holds_half_of_the_text_tower(folders):
    for rank in (0, 1):
        held = said(folders / "two/frozen", rank)["held"]
        assert 0.45 * held["whole"] < held["here"] < 0.55 * held["whole"]


@pytest.mark.slow
def test_a_checkpoint_is_that_of_one_process(folders):
    for name in ("best", "last"):
        one, two = (checkpoint(folders / side / "frozen", name) for side in ("one", "two"))
        assert two["medlit"] == one["medlit"]
        assert two["state_dict"].keys() == one["state_dict"].keys()
        for key, tensor in one["state_dict"].items():
            assert type(two["state_dict"][key]) is torch.Tensor
            assert torch.allclose(two["state_dict"][key], tensor, rtol=1e-4, atol=1e-5), key
    [expected], [found] = one["optimizer_states"], two["optimizer_states"]
    assert [group["params"] for group in found["param_groups"]] == [g["params"] for g in expected["param_groups"]]
    assert found["state"].keys() == expected["state"].keys()
    for key, state in expected["state"].items():
        momentum = found["state"][key]["momentum_buffer"]
        assert torch.allclose(momentum, state["momentum_buffer"], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_checkpoints_go_on_on_one_process_and_on_two(folders):
    expected = said(folders / "one/from_one")["losses"]
    assert len(expected) == 4
    for side, start in (("one", "from_two"), ("two", "from_one"), ("two", "from_two")):
        assert said(folders / side / start)["losses"] == pytest.approx(expected, abs=1e-4)
        again, whole = (checkpoint(folders / name) for name in (f"{side}/{start}", "one/from_one"))
        assert again["medlit"]["text"]["fingerprint"] == whole["medlit"]["text"]["fingerprint"]
        assert again["global_step"] == whole["global_step"] == 4 * (EPOCHS + 1)


# What cannot work


@pytest.fixture
def alone():
    """A process group of this process, gone afterwards."""
    yield
    if distributed.is_initialized():
        distributed.destroy_process_group()


def sharded_trainer(folder, **settings):
    given = {"data_parallel_size": 1, "tensor_parallel_size": 1, "save_distributed_checkpoint": False, **settings}
    return trainer(folder, devices=1, strategy=ModelParallelStrategy(**given))


@pytest.mark.parametrize("make", [early_intervention, unimodal])
def test_a_task_that_keeps_its_model_whole_says_so(tmp_path, alone, make):
    with pytest.raises(ConfigurationError, match=r"Task keeps its model whole .*; set trainer.strategy to ddp"):
        sharded_trainer(tmp_path).fit(make(), datamodule=TinyDataModule())


def test_checkpoints_in_many_files_are_refused(tmp_path, alone):
    with pytest.raises(ConfigurationError, match=r"save_distributed_checkpoint is true, .*; set it to false"):
        sharded_trainer(tmp_path, save_distributed_checkpoint=True).fit(mama(), datamodule=TinyPairs())


def test_a_checkpoint_of_other_settings_is_refused(tmp_path, alone):
    other = trainer(tmp_path / "other", limit_val_batches=0)
    other.fit(mama(model={"fidelity": "code"}), datamodule=TinyPairs())
    other.save_checkpoint(tmp_path / "other.ckpt", weights_only=False)
    with pytest.raises(CheckpointMismatchError, match="trained with fidelity code, here it is paper"):
        sharded_trainer(tmp_path).fit(mama(), datamodule=TinyPairs(), ckpt_path=tmp_path / "other.ckpt")


@pytest.mark.parametrize("kind", [FSDPStrategy, DeepSpeedStrategy])
def test_strategies_that_wrap_from_outside_are_refused(kind):
    task = mama()
    task._trainer = SimpleNamespace(strategy=kind.__new__(kind))  # neither can be made on every machine
    with pytest.raises(ConfigurationError, match=rf"MaMATask knows no {kind.__name__}; .*mama_fsdp2.yaml"):
        deal_out(task, task.model)
