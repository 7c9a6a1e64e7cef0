"""The probe encodes each image once, solves for its head, and keeps what it encoded."""

import logging
from functools import partial

import pytest
import torch

from data_modules.images import read_image
from data_modules.skin import Derm7ptDataModule
from medlit.callbacks import BestCheckpoint, PredictionWriter, RunManifest
from medlit.errors import ConfigurationError
from medlit.models import UnimodalClassifier
from medlit.preemption import Preempted
from medlit.probe import Neighbours, solve_path
from medlit.tasks import ProbeTask
from tests.data_modules.trees import make_derm7pt
from tests.medlit.tasks.stopped import Send, own_handlers
from tests.medlit.tasks.tiny import BACKBONE, IMG_SIZE, TinyDataModule, trainer, unimodal

PENALTIES = [1.0, 0.01]
ARGS = BACKBONE["model_args"]


@pytest.fixture
def root(tmp_path):
    return make_derm7pt(tmp_path / "tree", cases=48)


def data(root, **settings):
    plain = {"balanced_sampling": False, "train_transform": []}
    given = {"img_size": IMG_SIZE, "batch_size": 4, "modalities": ["derm"], **plain, **settings}
    return Derm7ptDataModule(root=root, **given)


def probe(module, **settings):
    torch.manual_seed(0)
    model = partial(UnimodalClassifier, **BACKBONE, adapter=None, **settings.pop("model_args", {}))
    names = {"modalities": ["derm"], "num_classes": module.num_classes, "img_size": IMG_SIZE}
    given = {"class_names": module.class_names, "l2": PENALTIES, "knn": 3, "model": model, **settings}
    return ProbeTask(**{**names, **given})


def fit(folder, module, task, **settings):
    callbacks = [BestCheckpoint(), PredictionWriter(), RunManifest()]
    runner = trainer(folder, callbacks=callbacks, **settings)
    runner.fit(task, module)
    return runner


@pytest.fixture
def encoded(monkeypatch):
    """Names of the files that were read."""
    read = []

    def note(path, **where):
        read.append(str(path))
        return read_image(path, **where)

    monkeypatch.setattr("data_modules.dataset.read_image", note)
    return read


def features_of(task, module, split):
    """Features (N, D) and labels (N,) of a split in the order of its table, one image at a time."""
    samples = [module.dataset(split)[index] for index in range(len(module.dataset(split)))]
    with torch.no_grad():
        rows = [task.model.eval().features({"derm": sample["images"]["derm"][None]}) for sample in samples]
    return torch.cat(rows), torch.stack([sample["label"] for sample in samples])


def test_the_head_is_the_solution_on_unaugmented_features_that_validates_best(tmp_path, root):
    module = data(root)
    task = probe(module)
    runner = fit(tmp_path / "runs/a", module, task)
    module.setup("fit")
    train, val, test = (features_of(task, module, split) for split in ("train", "val", "test"))
    solutions = {each.l2: each for each in solve_path(*train, num_classes=module.num_classes, l2=PENALTIES)}
    expected = solutions[task.l2_chosen].logits(val[0])
    torch.testing.assert_close(task.case_results.logits["linear"].double(), expected, atol=1e-3, rtol=0)
    figures = {name: float(value) for name, value in runner.callback_metrics.items()}
    assert figures["val/l2"] == pytest.approx(task.l2_chosen)
    knn = Neighbours.of(*train, k=3, num_classes=module.num_classes)
    torch.testing.assert_close(task.case_results.logits["knn"], knn.logits(val[0]), atol=5e-3, rtol=0)
    best = {}
    for penalty in PENALTIES:
        alone = probe(module, l2=[penalty])
        fit(tmp_path / f"runs/{penalty}", module, alone)
        best[penalty] = alone.figures.heads["linear"]["auroc"]
    assert figures["val/auroc"] == pytest.approx(max(best.values()))
    runner.test(task, module, ckpt_path=str(tmp_path / "runs/a/checkpoints/best.ckpt"), weights_only=True)
    torch.testing.assert_close(
        task.case_results.logits["linear"].double(), solutions[task.l2_chosen].logits(test[0]), atol=1e-3, rtol=0
    )
    assert {"test/auroc", "test/knn/auroc"} <= runner.callback_metrics.keys()


def test_no_image_is_read_twice_also_by_another_run(tmp_path, root, encoded):
    module = data(root)
    fit(tmp_path / "runs/a", module, probe(module))
    assert len(encoded) == len(set(encoded)) == 36  # training and validation
    second = data(root, batch_size=3, seed=7)
    again = probe(second, knn=None)
    runner = fit(tmp_path / "runs/b", second, again)
    assert len(encoded) == 36
    runner.test(again, second, ckpt_path=str(tmp_path / "runs/b/checkpoints/best.ckpt"), weights_only=True)
    assert len(encoded) == len(set(encoded)) == 48
    runner.test(again, second, ckpt_path=str(tmp_path / "runs/b/checkpoints/best.ckpt"), weights_only=True)
    assert len(encoded) == 48
    assert list(again.case_results.logits) == ["linear"]
    assert [path.name for path in (tmp_path / "runs").iterdir() if "features" in path.name] == ["features"]


def test_what_was_encoded_before_a_signal_is_kept(tmp_path, root, encoded):
    module, send = data(root), Send("training", 0)
    with own_handlers(), pytest.raises(Preempted):
        trainer(tmp_path / "runs/a", callbacks=[send, BestCheckpoint()]).fit(probe(module), module)
    assert len(encoded) == 4  # one batch
    fit(tmp_path / "runs/a", data(root), probe(module))
    assert len(encoded) == len(set(encoded)) == 36


@pytest.mark.parametrize(
    "other",
    [
        {"data": {"eval_transform": [], "modalities": ["derm"]}, "model": {"image_mean": (0.1, 0.1, 0.1)}},
        {"data": {}, "model": {"pooling": "mean_tokens"}},
        {"data": {}, "model": {"model_args": {**ARGS, "num_heads": 4}}},
        {"data": {}, "model": {"model_args": {**ARGS, "global_pool": "avg", "fc_norm": False}}},
    ],
    ids=["normalised otherwise", "pooled otherwise", "as many weights, other heads", "a mean of the same modules"],
)
def test_another_encoder_encodes_anew(tmp_path, root, encoded, other):
    module = data(root)
    fit(tmp_path / "runs/a", module, probe(module))
    changed = data(root, **other["data"])
    task = probe(changed)
    model_args = {**BACKBONE, "adapter": None, **other["model"]}
    torch.manual_seed(0)
    task = probe(changed, model=partial(UnimodalClassifier, **model_args))
    fit(tmp_path / "runs/b", changed, task)
    assert len(encoded) == 72


def test_changed_tables_encode_anew_and_other_splits_labels_and_seeds_do_not(tmp_path, root, encoded):
    first = data(root)
    fit(tmp_path / "runs/a", first, probe(first))
    folds = data(root, num_folds=4, fold=0, seed=3)
    fit(tmp_path / "runs/b", folds, probe(folds))
    assert len(encoded) == len(set(encoded)) <= 48
    known = len(encoded)
    meta = root / "meta" / "meta.csv"
    meta.write_text(meta.read_text().replace('"a, b"', '"b, a"'))
    changed = data(root)
    fit(tmp_path / "runs/c", changed, probe(changed))
    assert len(encoded) == known + 36


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path, root, encoded, monkeypatch):
    monkeypatch.setattr("medlit.probe.cache.SHARD_ROWS", 4)
    module = data(root)

    class Stopped(ProbeTask):
        def training_step(self, batch, batch_idx):
            super().training_step(batch, batch_idx)
            if batch_idx == 2:
                raise RuntimeError("stopped")

    model = partial(UnimodalClassifier, **BACKBONE, adapter=None)
    names = {"modalities": ["derm"], "num_classes": module.num_classes, "img_size": IMG_SIZE}
    with pytest.raises(RuntimeError, match="stopped"):
        fit(tmp_path / "runs/a", module, Stopped(**names, model=model))
    assert len(encoded) == 12
    fit(tmp_path / "runs/a", module, probe(module))
    assert len(encoded) == len(set(encoded)) == 36


def test_a_unimodal_task_tests_the_checkpoint_with_the_same_figures(tmp_path, root):
    module = data(root)
    task = probe(module)
    fit(tmp_path / "runs/a", module, task)
    best = str(tmp_path / "runs/a/checkpoints/best.ckpt")
    again = trainer(tmp_path / "runs/a", callbacks=[BestCheckpoint()])
    again.test(task, module, ckpt_path=best, weights_only=True)
    names = {"num_classes": module.num_classes, "class_names": module.class_names}
    plain = unimodal(**names, model=partial(UnimodalClassifier, **BACKBONE, adapter=None))
    again.test(plain, module, ckpt_path=best, weights_only=True)
    found = plain.case_results.logits["derm"]
    torch.testing.assert_close(found, task.case_results.logits["linear"], atol=1e-4, rtol=0)


def test_settings_that_show_other_images_in_training_are_refused_with_what_to_set(tmp_path, root):
    module = data(root, balanced_sampling=True, train_transform=None)
    with pytest.raises(ConfigurationError, match=r"balanced_sampling: false, data.init_args.train_transform: \[\]"):
        fit(tmp_path / "runs/a", module, probe(module))
    assert not (tmp_path / "runs/features").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": partial(UnimodalClassifier, **BACKBONE)}, "adapter: null and train_backbone: false"),
        (
            {"model": partial(UnimodalClassifier, **BACKBONE, adapter=None, train_backbone=True)},
            "train_backbone: false",
        ),
        ({"multi_label": True}, "one label a case"),
        ({"knn": 0}, "knn is 0"),
    ],
)
def test_what_is_no_probe_is_refused(root, settings, message):
    with pytest.raises(ConfigurationError, match=message):
        probe(data(root), **settings)


def test_a_datamodule_that_says_nothing_of_its_images_is_refused(tmp_path):
    module = TinyDataModule()
    module.num_classes = len(module.class_names)
    with pytest.raises(ConfigurationError, match="TinyDataModule says nothing"):
        fit(tmp_path / "runs/a", module, probe(module))


def test_a_case_of_several_images_is_refused(tmp_path, root):
    module = data(root)
    task = probe(module)
    runner = trainer(tmp_path / "runs/a")
    runner.validate(task, module, verbose=False)
    batch = module.dataset("val").collate([module.dataset("val")[0]])
    batch["case_id"] = ["new"]
    batch["images"]["derm"] = batch["images"]["derm"].repeat(1, 2, 1, 1, 1)
    batch["image_mask"]["derm"] = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match="case new has 2 images of derm"):
        task.rows(batch)


def test_a_class_without_a_training_case_is_told(tmp_path, root, caplog):
    module = data(root)
    task = probe(module)
    module.setup("fit")
    gone = module.class_names[0]
    keep = [case for case in module.splits["train"] if case.label != 0]
    module._read_stage = lambda needed, labelled: ({**module.splits, "train": keep}, dict.fromkeys(needed, ""))
    with caplog.at_level(logging.INFO):
        fit(tmp_path / "runs/a", module, task)
    assert f"no training case of {gone}: never predicted" in caplog.text
    assert 0 not in task.case_results.answer.argmax(dim=1).tolist()


def test_class_weights_are_those_of_the_data(tmp_path, root):
    module = data(root)
    task, plain = (probe(module, l2=[0.1], use_class_weights=given) for given in (True, False))
    fit(tmp_path / "runs/a", module, task)
    fit(tmp_path / "runs/b", module, plain)
    train = features_of(task, module, "train")
    [expected] = solve_path(*train, num_classes=module.num_classes, l2=[0.1], class_weights=module.class_weights)
    torch.testing.assert_close(task.model.head.weight.double(), expected.weight, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(task.model.head.weight, plain.model.head.weight, atol=1e-3)


def test_a_trial_run_writes_no_feature(tmp_path, root):
    module = data(root, batch_size=24)
    task = probe(module)
    trainer(tmp_path / "runs/a", fast_dev_run=True).fit(task, module)
    assert not (tmp_path / "runs/features").exists()
