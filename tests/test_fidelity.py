"""Where the paper and its released code part: one test per departure, each of which tells the two apart."""

import copy
import re
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import yaml
from lightning.pytorch.callbacks import EarlyStopping
from torch.optim.lr_scheduler import CyclicLR

from medlit import lightning_cli
from medlit.callbacks import BestCheckpoint
from medlit.losses import EarlyInterventionLoss
from medlit.metrics import classification_metrics
from medlit.models.vision_encoder import VisionEncoder
from medlit.tasks import PaperCyclicLR
from medlit.tasks.fidelity import as_written
from tests.medlit.command_line import EXPERIMENTS
from tests.medlit.models import test_early_intervention
from tests.medlit.tasks.tiny import TinyDataModule, early_intervention, trainer, unimodal

OVERLAY = EXPERIMENTS / "overlays" / "fidelity_code.yaml"
FIDELITIES = ("paper", "code")


PARSED = {}


def settings(capsys, experiment, fidelity):
    """The task's arguments of a shipped experiment, with or without the overlay; each is parsed once."""
    if (experiment, fidelity) not in PARSED:
        PARSED[experiment, fidelity] = parsed(capsys, experiment, fidelity)
    return copy.deepcopy(PARSED[experiment, fidelity])


def parsed(capsys, experiment, fidelity):
    files = [EXPERIMENTS / f"{experiment}.yaml", *([OVERLAY] if fidelity == "code" else [])]
    configs = [word for file in files for word in ("--config", str(file))]
    with pytest.raises(SystemExit):
        lightning_cli.main(["fit", *configs, "--print_config"])
    return yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]


@pytest.mark.parametrize("experiment", ["ei_derm7pt", "unimodal_derm7pt_derm"])
def test_one_overlay_turns_all_of_them(experiment, capsys):
    paper, code = (settings(capsys, experiment, fidelity) for fidelity in FIDELITIES)
    expected = copy.deepcopy(paper)
    expected["fidelity"] = "code"
    expected["model"]["init_args"]["pad"] = True
    expected["scheduler"]["init_args"] |= {"cycle_momentum": True, "base_momentum": 0.8, "max_momentum": 0.9}
    assert paper["fidelity"] == "paper"
    assert code == expected


# 1. Momentum


def momenta(capsys, fidelity, steps):
    """Learning rate and momentum of every step under an experiment's optimizer and schedule."""
    arguments = settings(capsys, "ei_derm7pt", fidelity)
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], **arguments["optimizer"]["init_args"])
    schedule = PaperCyclicLR(optimizer, **{**arguments["scheduler"]["init_args"], "step_size_up": 4})
    return trace(optimizer, schedule, steps)


def trace(optimizer, schedule, steps):
    found = []
    for _ in range(steps):
        found.append((optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return found


def test_momentum_is_the_optimizers_or_moves_with_the_schedule(capsys):
    paper, code = (momenta(capsys, fidelity, 20) for fidelity in FIDELITIES)
    assert {momentum for _, momentum in paper} == {0.95}
    assert [momentum for _, momentum in code[:9]] == pytest.approx(
        [0.9, 0.875, 0.85, 0.825, 0.8, 0.825, 0.85, 0.875, 0.9]
    )
    assert [lr for lr, _ in paper] == [lr for lr, _ in code]
    # What the released code writes: torch's schedule and nothing said of the momentum.
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-5, momentum=0.95)
    schedule = CyclicLR(optimizer, 1e-5, 1e-3, step_size_up=4, scale_fn=lambda cycle: 0.8 ** (cycle - 1))
    assert code == trace(optimizer, schedule, 20)


# 2. and 3. The gate


def scores():
    """One case, two modalities, three classes or labels."""
    main = {"a": torch.tensor([[2.0, 2.0, -4.0]]), "b": torch.tensor([[9.0, 8.0, 6.0]])}
    gate = torch.tensor([[0.7, 0.3]])
    present = torch.ones(1, 2, dtype=torch.bool)
    return SimpleNamespace(fused=main["a"], auxiliary=main, main=main, gate=gate, present=present)


def test_the_gates_cross_entropy_takes_its_weights_or_softmaxes_them_again():
    output, label = scores(), torch.tensor([0])
    target = EarlyInterventionLoss(prior=[1, 1]).gate_target(output, label)
    paper, code = (EarlyInterventionLoss(prior=[1, 1], fidelity=f)(output, label)["gate"] for f in FIDELITIES)
    torch.testing.assert_close(paper, F.nll_loss(output.gate.log(), target))
    torch.testing.assert_close(code, F.cross_entropy(output.gate, target))
    assert (paper - code).abs() > 0.1


def test_the_gates_target_of_several_labels_is_by_binary_or_by_soft_cross_entropy():
    output, label, prior = scores(), torch.tensor([[1.0, 1.0, 0.0]]), [1, 0.5]
    binary = [F.binary_cross_entropy_with_logits(m, label, reduction="sum") for m in output.main.values()]
    soft = [F.cross_entropy(m, label) for m in output.main.values()]
    assert binary[0] < 0.5 * binary[1]
    assert soft[0] > 0.5 * soft[1]
    targets = [int(EarlyInterventionLoss(prior=prior, fidelity=f).gate_target(output, label)) for f in FIDELITIES]
    assert targets == [0, 1]


# 4. Validation before the first step


def sgd(learning_rate):
    return lambda weights: torch.optim.SGD(weights, lr=learning_rate)


def trained(folder, task, *, patience=9, resume=None, **options):
    """A short training with checkpoints and early stopping: its parts."""
    stopping, best = EarlyStopping(monitor="val/map", mode="max", patience=patience), BestCheckpoint()
    run = trainer(folder, callbacks=[stopping, best], **options)
    run.fit(task, datamodule=TinyDataModule(), ckpt_path=resume, weights_only=True)
    return SimpleNamespace(task=task, stopping=stopping, best=best, run=run)


def assert_same_weights(one, other):
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("make", [unimodal, pytest.param(early_intervention, marks=pytest.mark.slow)])
def test_the_untrained_model_is_validated_and_counts(make, tmp_path):
    """A learning rate of zero: the figure of the start is the best, and stays it."""
    counted = {}
    for fidelity in FIDELITIES:
        done = trained(tmp_path / fidelity, make(fidelity=fidelity, optimizer=sgd(0.0)), patience=1, max_epochs=5)
        kept = torch.load(done.best.best_model_path, weights_only=True)
        counted[fidelity] = (done.run.current_epoch, kept["global_step"], done.stopping.wait_count)
    # Patience of one: the paper's form needs a first epoch to have something to be no better than.
    assert counted == {"paper": (2, 4, 1), "code": (1, 0, 1)}


@pytest.mark.slow
def test_training_itself_is_the_same(tmp_path):
    paper, code = (trained(tmp_path / f, unimodal(fidelity=f, optimizer=sgd(0.01))) for f in FIDELITIES)
    assert paper.run.global_step == code.run.global_step == 4
    assert_same_weights(paper.task, code.task)


@pytest.mark.slow
def test_a_training_that_goes_on_is_not_validated_again(tmp_path):
    whole = trained(tmp_path / "whole", unimodal(fidelity="code", optimizer=sgd(0.01)), max_epochs=2)
    first = trained(tmp_path / "first", unimodal(fidelity="code", optimizer=sgd(0.01)))
    task, seen = unimodal(fidelity="code", optimizer=sgd(0.01)), []
    evaluate = task.on_validation_epoch_end
    task.on_validation_epoch_end = lambda: (seen.append(task.global_step), evaluate())
    trained(tmp_path / "first", task, resume=first.best.last_model_path, max_epochs=2)
    assert seen == [8]
    assert whole.run.global_step == 8
    assert_same_weights(task, whole.task)


@pytest.mark.slow
def test_the_checkpoint_of_the_untrained_model_is_one_to_go_on_from(tmp_path):
    whole = trained(tmp_path / "whole", unimodal(fidelity="code", optimizer=sgd(0.01)))
    start = trained(tmp_path / "start", unimodal(fidelity="code", optimizer=sgd(0.0)))
    kept = torch.load(start.best.best_model_path, weights_only=True)
    assert kept["global_step"] == 0
    kept["optimizer_states"][0]["param_groups"][0]["lr"] = 0.01
    path = tmp_path / "start" / "checkpoints" / "start.ckpt"
    torch.save(kept, path)
    resumed = trained(tmp_path / "start", unimodal(fidelity="code", optimizer=sgd(0.01)), resume=str(path))
    assert resumed.run.global_step == 4
    assert_same_weights(resumed.task, whole.task)


def test_without_validation_nothing_is_done(tmp_path):
    task = unimodal(fidelity="code")
    trainer(tmp_path, limit_val_batches=0).fit(task, datamodule=TinyDataModule())
    assert task.case_results is None


# 5. Order, padding, and the decimals of a test


def test_padding_keeps_the_pixels_where_resizing_changes_them():
    small = {"pretrained": False, "model_args": {"depth": 1, "embed_dim": 32, "num_heads": 2}}
    padded = VisionEncoder("vit_base_patch14_reg4_dinov2", img_size=20, pad=True, **small)
    whole = VisionEncoder("vit_base_patch14_reg4_dinov2", img_size=28, **small)
    images = torch.rand(2, 3, 20, 20)
    by_hand = F.pad((images - whole.mean) / whole.std, (0, 8, 0, 8)) * whole.std + whole.mean
    torch.testing.assert_close(padded(images), whole(by_hand))
    resized = F.interpolate(images, 28, mode="bilinear")
    assert (padded(images) - whole(resized)).abs().max() > 1e-3


def test_a_tests_figures_are_of_scores_of_four_decimals(tmp_path):
    """Two logits that differ in the fifth decimal tie as written."""
    results = {}
    for fidelity in FIDELITIES:
        task = early_intervention(fidelity=fidelity)
        run = trainer(tmp_path / fidelity)
        with torch.no_grad():
            for name, parameter in task.model.named_parameters():
                if "heads" in name:
                    parameter.mul_(1e-4)  # logits that differ beyond the fourth decimal alone
        [figures] = run.test(task, datamodule=TinyDataModule(), verbose=False)
        rows = task.case_results
        exact = classification_metrics(rows.answer, rows.label)["map"]
        written = classification_metrics(as_written(rows).answer, rows.label)["map"]
        assert exact != pytest.approx(written, abs=1e-3)
        results[fidelity] = figures["test/map"]
        assert figures["test/map"] == pytest.approx({"paper": exact, "code": written}[fidelity], abs=1e-6)
        [validated] = run.validate(task, datamodule=TinyDataModule(), verbose=False)
        assert validated["val/map"] == pytest.approx(exact, abs=1e-6)  # the same 13 cases, never rounded
    assert results["paper"] != results["code"]


def test_written_scores_have_four_decimals_and_the_rows_stay_as_they_are(tmp_path):
    task = early_intervention(fidelity="code")
    trainer(tmp_path).test(task, datamodule=TinyDataModule(), verbose=False)
    written = as_written(task.case_results).answer
    torch.testing.assert_close(written, task.case_results.answer, rtol=0, atol=5.1e-5)
    assert torch.equal(written, torch.tensor([[float(f"{x:.4f}") for x in row] for row in written.tolist()]))
    assert not torch.equal(written, task.case_results.answer)


def test_the_documented_tests_exist():
    named = re.findall(r"`(test_\w+)`", (EXPERIMENTS.parent / "docs" / "fidelity.md").read_text())
    elsewhere = {"test_the_order_of_modalities_only_renames_the_gate"}
    assert len(named) == 7
    assert {name for name in named if name not in globals()} == elsewhere
    assert all(hasattr(test_early_intervention, name) for name in elsewhere)
