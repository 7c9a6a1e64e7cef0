"""A probe on kept features: what a frozen encoder sees, judged by a linear classifier and by nearest neighbours."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from data_modules.batch import ClassificationBatch
from medlit.errors import ConfigurationError
from medlit.models import UnimodalClassifier
from medlit.probe import L2_GRID, FeatureCache, LinearSolution, Neighbours
from medlit.tasks.classification import ModelFactory
from medlit.tasks.fidelity import Fidelity
from medlit.tasks.one_pass import OnePassTask
from medlit.tasks.probe_features import KeepEncoded, check_model, encode, open_cache
from medlit.tasks.probe_solution import choose, gathered
from medlit.tasks.results import CaseResults, gather_objects, join, rows_of
from medlit.tasks.unimodal import UnimodalTask

LINEAR, KNN = "linear", "knn"
"""Heads; the linear one is the answer."""

NEIGHBOURS = "neighbours"
"""Entry of a checkpoint."""


class ProbeTask(OnePassTask, UnimodalTask):  # type: ignore[misc]  # one has no optimizer, where the other has one
    """Encodes each image once, then solves for a linear classifier; nothing is learned by steps, nothing augmented.

    This is not the paper's probe, which trains the linear layer by SGD under augmentation (`UnimodalTask` with
    ``adapter: null``): there every look at an image is another feature.

    ``medlit fit`` goes through the training split once, then solves `medlit.probe.solve_path` for a grid of penalties,
    takes the one that is best on the validation split, and puts it into the model's head: the checkpoint is that of a
    `UnimodalClassifier`, which `UnimodalTask` tests and ``medlit export`` exports. The nearest neighbours' bank goes
    into the checkpoint too, as float16 (2 bytes a number; 15 MB for 10,000 features of 768).

    Features are kept in a folder per encoder, way of reading and tables (`medlit.probe.FeatureCache`): a second probe,
    on other labels or a part of them, reads no image that the first has encoded.

    Args:
        modalities: The name of the one modality; from the data.
        num_classes: C, number of classes; from the data.
        img_size: Side of the images, pixels; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels, which is refused; from the data.
        variables: Names of the clinical variables, which are refused; from the data.
        model: Makes the model, a `medlit.models.UnimodalClassifier` with ``adapter: null``.
        cache_dir: Folder of kept features; null: ``features`` beside the run's folder (``runs/features``), which all
            runs of ``runs`` share. It may be removed at any time.
        knn: Nearest neighbours that vote; null: none are looked for.
        l2: Penalties that are tried, see `medlit.probe.solve_path`.
        select_by: Figure of the validation split that says which penalty is best; of equal ones the strongest is taken.
        use_class_weights: Weigh the classes by the data's class weights, so that each counts the same.
        fidelity: Test as the paper's method would, or as its released code does (docs/fidelity.md).

    Raises:
        ConfigurationError: If settings contradict, or the model trains more than its head.
    """

    model: UnimodalClassifier

    def __init__(
        self,
        *,
        modalities: list[str],
        num_classes: int,
        img_size: int,
        class_names: list[str] | None = None,
        multi_label: bool = False,
        variables: Sequence[str] = (),
        model: ModelFactory,
        cache_dir: str | None = None,
        knn: int | None = 20,
        l2: Sequence[float] = L2_GRID,
        select_by: Literal["auroc", "map", "balanced_accuracy"] = "auroc",
        use_class_weights: bool = False,
        fidelity: Fidelity = "paper",
    ) -> None:
        super().__init__(
            modalities=modalities,
            num_classes=num_classes,
            img_size=img_size,
            class_names=class_names,
            multi_label=multi_label,
            variables=variables,
            model=model,
            use_class_weights=use_class_weights,
            fidelity=fidelity,
        )
        check_model(self.model, multi_label=multi_label, knn=knn)
        self.cache_dir, self.knn, self.l2, self.select_by = cache_dir, knn, list(l2), select_by
        self.neighbours: Neighbours | None = None
        self.l2_chosen: float | None = None
        self._cache: FeatureCache | None = None
        self._train_labels: dict[str, int] = {}
        self._kept: list[Tensor] = []  # features of the batches of `_batches`

    # What is kept

    def setup(self, stage: str) -> None:
        """Look up what is kept of these images, and have no image read that is."""
        super().setup(stage)
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        made = open_cache(self.model, self.trainer, datamodule, cache_dir=self.cache_dir)
        if stage == "fit" and (draws := datamodule.training_draws()):
            settings = ", ".join(f"data.init_args.{name}: {value}" for name, value in draws.items())
            raise ConfigurationError(f"ProbeTask takes each training image once and as it is: set {settings}")
        if self._cache is None or (self._cache.key, self._cache.folder) != (made.key, made.folder):
            self._cache = made
        self._cache.read()
        for fault in self._cache.faults:
            rank_zero_info("ProbeTask: %s", fault)
        self._cache.faults.clear()
        rank_zero_info("ProbeTask: %d features known, %s", len(self._cache), self._cache.folder or "kept nowhere")
        datamodule.plain_training, datamodule.skip_images = True, self._cache.case_ids

    def configure_callbacks(self) -> list[Callback]:
        """What keeps the features of a pass that a signal stops."""
        return [KeepEncoded()]

    def teardown(self, stage: str) -> None:
        """The DataModule gives all images again, to whoever asks next."""
        datamodule: Any = getattr(self.trainer, "datamodule", None)
        datamodule.plain_training, datamodule.skip_images = False, frozenset()

    @property
    def cache(self) -> FeatureCache:
        """The kept features; there once a stage was set up.

        Raises:
            ConfigurationError: Before.
        """
        if self._cache is None:
            raise ConfigurationError("ProbeTask has no features yet: run it by a Trainer with a DataModule")
        return self._cache

    def _features(self, batch: ClassificationBatch) -> Tensor:
        """(B, D) float32 on the CPU; images of cases that are not known are encoded, and kept."""
        ids = batch["case_id"]
        if new := [row for row, case in enumerate(ids) if case not in self.cache]:
            self.cache.add([ids[row] for row in new], encode(self.model, batch, new))
        return self.cache.of(ids)

    # The pass

    def training_step(self, batch: ClassificationBatch, batch_idx: int) -> None:  # type: ignore[override]  # no loss
        """Know the features of a batch, and keep its labels."""
        if "label" not in batch:
            raise ConfigurationError(f"cases {', '.join(batch['case_id'][:8])} have no label to train with")
        self._features(batch)
        self._train_labels |= dict(zip(batch["case_id"], batch["label"].tolist(), strict=True))

    def on_train_epoch_start(self) -> None:
        """Forget the labels of a training before."""
        super().on_train_epoch_start()
        self._train_labels = {}

    def on_validation_epoch_start(self) -> None:
        """Forget the rows of the epoch before."""
        super().on_validation_epoch_start()
        self._kept = []

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def rows(self, batch: ClassificationBatch) -> CaseResults:
        """The rows of a batch by the linear head as it is; the epoch's end puts in all heads, as solved."""
        features = self._features(batch)
        self._kept.append(features)
        return rows_of(batch, {LINEAR: self._linear(features)}, gate=None, present=None)

    def on_validation_epoch_end(self) -> None:
        """Solve for the head, if this is the validation after the training pass; then the figures."""
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            self._solve()
        self._judge()
        super().on_validation_epoch_end()
        if self.l2_chosen is not None:
            self._log("val/", {"l2": self.l2_chosen})

    def on_test_epoch_end(self) -> None:
        """Loss and metrics of the test set."""
        self._judge()
        super().on_test_epoch_end()

    def on_predict_epoch_end(self) -> None:
        """Rows of every case that was predicted."""
        self._judge()
        super().on_predict_epoch_end()

    def _judge(self) -> None:
        """Put the logits of all heads into the rows of the epoch; what is not on disk yet goes there."""
        self.cache.flush()
        if not self._batches:
            return
        features, sizes = torch.cat(self._kept), [len(kept) for kept in self._kept]
        heads = {LINEAR: self._linear(features)}
        if self.neighbours is not None:
            heads[KNN] = self.neighbours.logits(features.to(self.device)).cpu()
        parts = zip(*(logits.split(sizes) for logits in heads.values()), strict=True)
        self._batches = [
            replace(rows, logits=dict(zip(heads, part, strict=True)))
            for rows, part in zip(self._batches, parts, strict=True)
        ]

    def _linear(self, features: Tensor) -> Tensor:
        """Logits (N, C) float32 on the CPU, of the model's head, whatever autocast says."""
        head = self.model.head
        return torch.nn.functional.linear(
            features, head.weight.detach().cpu().float(), head.bias.detach().cpu().float()
        )

    # The solution

    def _solve(self) -> None:
        """Solve for the head and fill the bank; every process takes the first one's head."""
        known = join(self._batches).labelled() if self._batches else None
        labels = [] if known is None or known.label is None else known.label.tolist()
        train = gathered(self.cache, self._train_labels)
        val = gathered(self.cache, dict(zip(known.case_id if known else [], labels, strict=True)))
        mine = self._chosen(train, val) if self.trainer.is_global_zero else None
        chosen = gather_objects(mine)[0]
        if isinstance(chosen, ConfigurationError):
            raise chosen
        if chosen is not None:  # the first process's never is
            with torch.no_grad():
                self.model.head.weight.copy_(chosen.weight)
                self.model.head.bias.copy_(chosen.bias)
            self.l2_chosen = chosen.l2
        if self.knn is not None:
            self.neighbours = Neighbours.of(*train, k=self.knn, num_classes=self.model.num_classes)

    def _chosen(self, train: tuple[Tensor, Tensor], val: tuple[Tensor, Tensor]) -> LinearSolution | ConfigurationError:
        """The solution to take, or what stands against one, which all processes have to be told."""
        weights = getattr(getattr(self.trainer, "datamodule", None), "class_weights", None)
        try:
            return choose(
                *(train, val),
                class_names=self.class_names,
                l2=self.l2,
                select_by=self.select_by,
                class_weights=weights if self.use_class_weights else None,
            )
        except ConfigurationError as error:
            return error

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """The head, as `UnimodalTask` would keep it, and the neighbours."""
        super().on_save_checkpoint(checkpoint)
        if self.neighbours is not None:
            checkpoint[NEIGHBOURS] = self.neighbours.state()
        checkpoint["medlit"]["probe"] = {"l2": self.l2_chosen, "select_by": self.select_by}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the head, and the neighbours if they vote."""
        super().on_load_checkpoint(checkpoint)
        said = checkpoint["medlit"].get("probe")
        self.l2_chosen = said.get("l2") if isinstance(said, dict) else None
        kept, self.neighbours = checkpoint.get(NEIGHBOURS), None
        if self.knn is None:
            return
        if not isinstance(kept, dict):
            rank_zero_info("ProbeTask: the checkpoint has no neighbours; only the linear head is judged")
            return
        shape = {"num_classes": self.model.num_classes, "width": self.model.backbone.encoder.width}
        self.neighbours = Neighbours.from_state(kept, k=self.knn, **shape)
