"""Pretraining on mammograms with captions: MaMA, and CLIP and SLIP as MaMA with losses switched off."""

from collections.abc import Callable, Collection
from typing import Any, Literal, cast

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.utilities.types import OptimizerConfig, OptimizerLRSchedulerConfig
from torch import Tensor
from torch.optim import Optimizer

from data_modules.batch import PLAIN, ImageTextBatch
from medlit.checkpoint import TASK_PREFIX, read_checkpoint, unpack
from medlit.errors import ConfigurationError
from medlit.losses import MaMAEmbeddings, MaMALoss
from medlit.losses.local_alignment import captions_without_sentence
from medlit.mama_checkpoint import mama_info, restore_mama
from medlit.models.mama.model import MaMAModel
from medlit.models.mama.sharding import average_whole_gradients, is_sharded, whole
from medlit.models.mama.zero_shot import CaptionEncoder
from medlit.models.timm_vit import zero_of
from medlit.tasks.checks import (
    check_monitors,
    cut_of,
    folds_of,
    refuse_non_finite_loss,
    refuse_seen,
    restrictions_of_run,
)
from medlit.tasks.pair_checks import CaptionWatch, check_pairs, refuse_unjudged, suspects, tokenizer_of
from medlit.tasks.pair_embeddings import embed_pairs, global_rows
from medlit.tasks.pair_figures import (
    PairBatch,
    duplicate_share,
    gather_pairs,
    retrieval_accuracy,
    zero_shot_figures,
)
from medlit.tasks.random_state import reseed
from medlit.tasks.schedules import optimizers, released_optimizer, step_plateaus_with_validation
from medlit.tasks.sharding import deal_out, number_by_place

ModelFactory = Callable[[int, int], MaMAModel]
"""Called as ``model(img_size=..., num_tokens=...)``."""

Stage = Literal["val", "test"]


class MaMATask(LightningModule):
    """Trains two towers so that an image lies beside its caption.

    From ``late_start`` optimizer steps on the losses of the second image, of the two views, and of patches and
    sentences join that of image and text. Which losses act is a function of the step alone: a run resumed before or
    after it goes on as if unbroken. Before it the second image is not encoded. What only losses read that do not act
    gets gradients of zero, so that several processes never wait for each other's, and these are taken away before the
    optimizer's step: AdamW neither decays those parameters nor lets their averages age.

    The batch of the losses is that of all processes together. Training logs its means over an epoch: ``train/loss``,
    each term, both scales, the share of images whose nearest caption is theirs and of captions whose nearest image is
    (``train/image_to_text_accuracy``, ``train/text_to_image_accuracy``; chance is 1 / pairs), the share of captions
    that another of the batch equals (``train/duplicate_captions``); and, summed over the epoch, ``train/cut_captions``
    and ``train/captions_without_sentence``.

    ``val/loss`` is one fixed sum, all terms from the first step on, each batch by itself: it depends on the data's
    ``batch_size``, not on the number of processes. A pair alone in the last batch is left out and counted
    (``val/pairs_left_out``), and so are captions that lost sentences (``val/cut_captions``). Where the data say what
    classes would be called (``class_text``), the whole set is classified by its nearest class:
    ``val/zero_shot_auroc`` and ``val/zero_shot_balanced_accuracy``. A test does alike.

    Reference: Du, Onofrey, Dvornek, IPMI 2025, arXiv 2409.18119.

    Args:
        img_size: Side of the images, pixels; from the data.
        num_tokens: Tokens that the data's tokenizer knows; from the data.
        class_names: Of the labels that go with the pairs; from the data, kept with the weights.
        model: Makes the model, a `medlit.models.MaMAModel`, given img_size and num_tokens.
        loss: The losses and their weights; null: all of MaMA's, as in the paper.
        late_start: Optimizer steps before the late losses join; the best checkpoint is chosen from there on.
        micro_batch_size: Images or captions that are in a tower at a time; the gradient stays that of the whole batch,
            in a fraction of the memory and about a third more time. null: all at once.
        optimizer: Makes the optimizer of the trainable parameters; null: AdamW with learning rate 4e-5 and weight decay
            0.1.
        scheduler: Makes the learning-rate schedule of the optimizer; null: constant.
        scheduler_interval: Whether the schedule counts steps or epochs.

    Raises:
        ConfigurationError: If settings contradict.
    """

    def __init__(
        self,
        *,
        img_size: int,
        num_tokens: int | None,
        class_names: list[str] | None = None,
        model: ModelFactory,
        loss: MaMALoss | None = None,
        late_start: int = 8000,
        micro_batch_size: int | None = None,
        optimizer: OptimizerCallable | None = None,
        scheduler: LRSchedulerCallable | None = None,
        scheduler_interval: Literal["step", "epoch"] = "step",
    ) -> None:
        super().__init__()
        if num_tokens is None:
            raise ConfigurationError(
                "MaMATask needs data with captions; set data.init_args.pretraining: {} where the DataModule has "
                "captions (EMBEDDataModule)"
            )
        if late_start < 0:
            raise ConfigurationError(f"late_start is {late_start}; it counts optimizer steps, from 0")
        if micro_batch_size is not None and micro_batch_size < 1:
            raise ConfigurationError(f"micro_batch_size is {micro_batch_size}; it is at least 1, or null")
        # mypy sees a callable of positional arguments; jsonargparse's and the model's take them by name.
        self.model: MaMAModel = cast(Any, model)(img_size=img_size, num_tokens=num_tokens)
        self.loss = MaMALoss() if loss is None else loss
        self.class_names = class_names
        self.late_start, self.micro_batch_size = late_start, micro_batch_size
        self._make_optimizer, self._make_scheduler = optimizer or released_optimizer, scheduler
        self._scheduler_interval = scheduler_interval
        self.strict_loading = False  # a checkpoint has the trained part alone; on_load_checkpoint checks it strictly
        self.figures: dict[str, float] = {}
        self._watch = CaptionWatch()
        self._batches: list[PairBatch] = []
        self._captions = CaptionEncoder(self.model)
        self._classes: tuple[Tensor, Tensor] | None = None

    @property
    def is_late(self) -> bool:
        """Whether the late losses act at this step."""
        return self.loss.has_late_terms and self.global_step >= self.late_start

    @property
    def select_from_step(self) -> int:
        """The step from which the best checkpoint may be chosen: before it, the model learns something else."""
        return self.late_start if self.loss.has_late_terms else 0

    def forward(self, batch: ImageTextBatch, terms: Collection[str]) -> MaMAEmbeddings:
        """What the losses read of a batch, see `embed_pairs`; ``terms`` are the late losses that act."""
        # A sharded tower is gathered for each chunk, and in evaluation the last batches of processes differ in size.
        chunk = None if is_sharded(self.model) and not self.training else self.micro_batch_size
        return embed_pairs(self.model, batch, terms, micro_batch_size=chunk)

    # Training

    def configure_model(self) -> None:
        """Deal the weights out to processes, where the strategy asks for it."""
        deal_out(self, self.model)

    def setup(self, stage: str) -> None:
        """Refuse data that cannot be learned from, before anything is computed."""
        refuse_seen(self)
        check_pairs(self.trainer, positions=self.model.text_encoder.max_positions, training=stage == "fit")

    def on_fit_start(self) -> None:
        """Train in training mode, whatever was done with the task before."""
        self.train()
        self._watch = CaptionWatch()

    def on_train_start(self) -> None:
        """Let the schedule be part of the epoch's checkpoints."""
        step_plateaus_with_validation(self.trainer)

    def configure_optimizers(self) -> OptimizerConfig | OptimizerLRSchedulerConfig:
        """The optimizer of the trainable parameters, and its schedule."""
        return optimizers(self, self._make_optimizer, self._make_scheduler, interval=self._scheduler_interval)

    def training_step(self, batch: ImageTextBatch, batch_idx: int) -> Tensor:
        """The weighted loss of the global batch, a scalar; the same on every process."""
        reseed(self, batch_idx)
        late = self.is_late
        embeddings = self(batch, self.loss.late_terms if late else ())
        rows = global_rows(embeddings)
        self._watch.see(rows["caption_id"])
        terms = self.loss(
            embeddings, scale=self.model.scale, local_scale=self.model.local_scale, late=late, gather=True
        )
        if not bool(terms["total"].isfinite()):  # the loss is the same everywhere: so is the answer
            refuse_non_finite_loss(terms, suspects(batch["case_id"], embeddings), when=self._when)
        self._log_training(batch, terms, rows)
        total = cast(Tensor, terms["total"])  # FSDP2 waits for no gradient that no process has
        return total if is_sharded(self.model) else total + zero_of(self.model.late_parameters())

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Take the gradients of zero away from what no loss reads at this step."""
        acting = self.loss.late_terms if self.is_late else ()
        for parameter in self.model.late_parameters({"view", "local"} - set(acting)):
            parameter.grad = None
        average_whole_gradients(self.model)

    def _log_training(self, batch: ImageTextBatch, terms: dict[str, Tensor], rows: dict[str, Tensor]) -> None:
        figures = {"loss" if name == "total" else name: term.detach() for name, term in terms.items()}
        figures |= {"scale": self.model.scale.detach(), "local_scale": self.model.local_scale.detach()}
        figures |= retrieval_accuracy(rows["image"], rows["text"], rows["caption_id"])
        figures["duplicate_captions"] = duplicate_share(rows["caption_id"])
        means, size = {f"train/{name}": value for name, value in figures.items()}, len(batch["case_id"])
        self.log_dict(means, on_step=False, on_epoch=True, sync_dist=True, batch_size=size)
        owner = (batch["sentence_positions"] >= 0).nonzero()[:, 0]
        sums = {"train/cut_captions": float(batch["cut_captions"])}
        sums["train/captions_without_sentence"] = float(captions_without_sentence(owner, size))
        self.log_dict(sums, on_step=False, on_epoch=True, sync_dist=True, batch_size=size, reduce_fx="sum")
        self.log("loss", terms["total"].detach(), prog_bar=True, logger=False, batch_size=size)

    # Evaluation

    def on_validation_epoch_start(self) -> None:
        """Forget the set before, and what classes were called by other weights."""
        self._batches, self._classes = [], None
        self._captions.forget()

    on_test_epoch_start = on_validation_epoch_start

    def validation_step(self, batch: ImageTextBatch, batch_idx: int) -> None:
        """Keep what a batch is judged by; its losses are those of this process's batch alone."""
        embeddings = self(batch, self.loss.late_terms)
        terms: dict[str, Tensor] = {}
        if len(batch["case_id"]) > 1:
            scales = {"scale": self.model.scale, "local_scale": self.model.local_scale}
            terms = self.loss(embeddings, **scales, late=True, gather=False)
            terms |= retrieval_accuracy(embeddings.image, embeddings.text, embeddings.caption_id)
        self._batches.append(
            PairBatch(
                case_id=tuple(batch["case_id"]),
                terms={"loss" if name == "total" else name: float(term) for name, term in terms.items()},
                image=embeddings.image.float().cpu(),
                label=batch["label"].cpu(),
                cut=batch["cut_captions"],
            )
        )
        text = batch.get("class_text", {}).get(PLAIN)
        if text is not None and self._classes is None:
            self._classes = self._captions(text["input_ids"], text["attention_mask"]).cpu(), text["label"].cpu()

    test_step = validation_step

    def predict_step(self, batch: ImageTextBatch, batch_idx: int) -> None:
        """Nothing can be predicted of pairs.

        Raises:
            ConfigurationError: Saying what predicts.
        """
        raise ConfigurationError("a MaMATask predicts no classes; use medlit.tasks.ZeroShotTask with its checkpoint")

    def on_validation_epoch_end(self) -> None:
        """Figures of the validation set."""
        self._evaluate("val")
        check_monitors(self.trainer)

    def on_test_epoch_end(self) -> None:
        """Figures of the test set."""
        self._evaluate("test")

    def on_test_end(self) -> None:
        """Print the figures."""
        if self.trainer.is_global_zero:
            print("test: " + ", ".join(f"{name} {value:.4g}" for name, value in self.figures.items()))

    def _evaluate(self, stage: Stage) -> None:
        """Log the figures of the whole set; every process logs the same."""
        pairs, self._batches = gather_pairs(self._batches), []
        judged = refuse_unjudged(pairs, stage=stage, when=self._when)
        counts = {"pairs_left_out": judged.left_out, "cut_captions": judged.cut}
        self.figures = judged.terms | {name: float(count) for name, count in counts.items() if count}
        if self._classes is not None:
            self.figures |= zero_shot_figures(judged, *self._classes, scale=float(self.model.scale))
        # All processes hold the same value; sync_dist spares Lightning's warning that they may differ.
        for name, value in self.figures.items():
            self.log(f"{stage}/{name}", value, prog_bar=name == "loss", sync_dist=True, batch_size=1)

    @property
    def _when(self) -> str:
        return f"epoch {self.current_epoch}, step {self.global_step}"

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what is trained, and say what it belongs to."""
        state = whole(self.model.trained_state())
        checkpoint["state_dict"] = {f"{TASK_PREFIX}{name}": tensor for name, tensor in state.items()}
        number_by_place(self, checkpoint)
        data = getattr(self._trainer, "datamodule", None)
        checkpoint["medlit"] = mama_info(
            self.model,
            target=getattr(data, "target", None),
            class_names=self.class_names,
            tokenizer=tokenizer_of(data),
            folds=folds_of(self),
            cut=cut_of(self),
            restrictions=restrictions_of_run(self),
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load what was trained, or refuse it."""
        source = str((self._trainer and self._trainer.ckpt_path) or "checkpoint")
        # What goes into a sharded model Lightning has taken out, and loaded without a look: it is read again.
        state, info = read_checkpoint(source) if is_sharded(self.model) else unpack(checkpoint, source=source)
        tokenizer = tokenizer_of(getattr(self._trainer, "datamodule", None))
        restore_mama(self.model, state, info, source=source, tokenizer=tokenizer, folds=folds_of(self))
        refuse_seen(self, source=source)
