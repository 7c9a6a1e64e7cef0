"""Zero-shot classification: what a pretrained MaMA makes of images whose classes it was never taught."""

from typing import Any, cast

from torch import Tensor

from data_modules.batch import PLAIN, VARIABLES, WITH_METADATA, ClassificationBatch
from medlit import __version__
from medlit.checkpoint import FORMAT_VERSION, read_checkpoint, unpack
from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.mama_checkpoint import check_mama_info, restore_mama
from medlit.models.fingerprint import fingerprint
from medlit.models.mama.zero_shot import CaptionEncoder, class_scores
from medlit.tasks.checks import blame, refuse_seen, restrictions_of_run
from medlit.tasks.evaluation import EvaluationTask, Stage
from medlit.tasks.mama import ModelFactory
from medlit.tasks.one_pass import OnePassTask
from medlit.tasks.results import CaseResults, gather_objects, rows_of

HEADS = {PLAIN: "class_captions", WITH_METADATA: "class_captions_with_metadata"}
"""Heads by kind of text, the answer first."""

MODEL = "ZeroShot"
"""What a checkpoint of this task calls itself."""


class ZeroShotTask(OnePassTask, EvaluationTask):
    """Judges a MaMA checkpoint by the captions of classes; nothing is trained.

    An image's logit of a class is the logsumexp over the captions that stand for it of exp(tau) times the cosine of
    image and caption; several wordings of a caption are averaged. Captions without metadata are the answer
    (``test/auroc``), those with the image's own are the head ``class_captions_with_metadata``
    (``test/class_captions_with_metadata/auroc``), where the data write them.

    ``medlit fit`` makes the pass: thresholds are chosen on the validation set and kept in ``best.ckpt`` with what they
    belong to, not with the weights; the test goes by them. Set ``trainer.max_epochs`` and
    ``trainer.limit_train_batches`` to 1.

    Args:
        modalities: The name of the one modality; from the data.
        num_classes: C, number of classes; from the data.
        img_size: Side of the images, pixels, as in pretraining; from the data.
        num_tokens: Tokens that the data's tokenizer knows; from the data.
        class_names: C names; from the data. null: those of the checkpoint, else numbers.
        multi_label: Whether a case may have several labels, which captions of classes cannot tell; from the data.
        model: Makes the model, a `medlit.models.MaMAModel`, as it was pretrained.
        checkpoint: Of a MaMATask, such as ``runs/mama_embed/checkpoints/best.ckpt``.

    Raises:
        ConfigurationError: If settings contradict.
        CheckpointMismatchError: If the checkpoint is of another model.
        WeightsNotFoundError: If there is no such checkpoint.
    """

    def __init__(
        self,
        *,
        modalities: list[str],
        num_classes: int,
        img_size: int,
        num_tokens: int | None,
        class_names: list[str] | None = None,
        multi_label: bool = False,
        model: ModelFactory,
        checkpoint: str,
    ) -> None:
        super().__init__(
            modalities=modalities, num_classes=num_classes, class_names=class_names, multi_label=multi_label
        )
        if num_tokens is None:
            raise ConfigurationError(
                "ZeroShotTask needs data with captions of classes; set data.init_args.class_text: {} of mammograms"
            )
        if multi_label or len(modalities) != 1 or VARIABLES in modalities:
            raise ConfigurationError(
                f"ZeroShotTask tells one class of each image; the data have the modalities {', '.join(modalities)}"
                f"{' and several labels a case' if multi_label else ''}"
            )
        self.checkpoint = checkpoint
        state, self._info = read_checkpoint(checkpoint)
        # mypy sees a callable of positional arguments; jsonargparse's and the model's take them by name.
        self.model = cast(Any, model)(img_size=img_size, num_tokens=num_tokens)
        restore_mama(self.model, state, self._info, source=checkpoint)
        self._fingerprint = fingerprint(state)
        self.strict_loading = False  # a checkpoint of this task has no weights; on_load_checkpoint checks whose it is
        self._encoder = CaptionEncoder(self.model)
        self._cut: dict[str, int] = {}

    def setup(self, stage: str) -> None:
        """Take from the data what figures need; refuse text that the model was not pretrained with, and seen cases."""
        super().setup(stage)
        tokenizer = getattr(getattr(self.trainer, "datamodule", None), "tokenizer_settings", None)
        check_mama_info(self.model, self._info, source=self.checkpoint, tokenizer=tokenizer)
        refuse_seen(self, source=self.checkpoint)
        self._encoder.forget()  # another Trainer may have another device or precision
        longest, most = (tokenizer or {}).get("max_tokens", 0), self.model.text_encoder.max_positions
        if longest > most:
            raise ConfigurationError(
                f"captions of up to {longest} tokens, but the text model reads {most}; set "
                f"data.init_args.class_text.max_tokens to {most} or fewer"
            )

    def rows(self, batch: ClassificationBatch) -> CaseResults:
        """The rows of a batch on the CPU; of several images of a case their logits are averaged.

        Raises:
            ConfigurationError: If the batch has no text.
        """
        text = batch.get("class_text")
        if text is None or PLAIN not in text:
            raise ConfigurationError("batches have no captions of classes; set data.init_args.class_text: {}")
        mask = batch["image_mask"][self.modalities[0]]
        owner = mask.nonzero()[:, 0]  # (N,), the case of each image
        features = self.model.encode_images(batch["images"][self.modalities[0]][mask], patches=False)
        images = self.model.image_embedding(features.pooled)
        heads: dict[str, Tensor] = {}
        for kind, head in HEADS.items():
            if kind in text:
                captions = self._encoder(text[kind]["input_ids"], text[kind]["attention_mask"])
                own = captions if len(captions) == 1 else captions[owner]
                with blame("class_text"):
                    logits = class_scores(
                        images, own, text[kind]["label"], num_classes=len(self.class_names), scale=self.model.scale
                    )
                total = logits.new_zeros(len(mask), logits.shape[1]).index_add(0, owner, logits)
                heads[head] = total / mask.sum(dim=1, keepdim=True)
        self._cut.setdefault(batch["case_id"][0], batch.get("cut_captions", 0))
        return rows_of(batch, heads, gate=None, present=None)

    def on_validation_epoch_start(self) -> None:
        """Forget the rows and counts of the epoch before."""
        super().on_validation_epoch_start()
        self._cut = {}

    on_test_epoch_start = on_predict_epoch_start = on_validation_epoch_start

    def _evaluate(self, stage: Stage) -> None:
        """Log the figures of the whole set, and of how many cases captions were too long."""
        super()._evaluate(stage)
        counts: dict[str, int] = {}
        for share in gather_objects(self._cut):  # a batch that repeats another begins with the same case
            counts = share | counts
        if cut := sum(counts.values()):
            self._log(f"{stage}/", {"cut_captions": float(cut)})

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what was found, and say with which weights; those stay in their own checkpoint."""
        checkpoint["state_dict"] = {}
        checkpoint["medlit"] = {
            "format_version": FORMAT_VERSION,
            "medlit_version": __version__,
            "model": MODEL,
            "modalities": self.modalities,
            "num_classes": len(self.class_names),
            "class_names": self._given_class_names,
            "checkpoint": {"name": self.checkpoint, "fingerprint": self._fingerprint},
            "restrictions": restrictions_of_run(self),
        }
        super().on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the thresholds of a run with the same weights.

        Raises:
            CheckpointMismatchError: If it is of other weights, or no checkpoint of this task.
        """
        source = str((self._trainer and self._trainer.ckpt_path) or "checkpoint")
        _, info = unpack(checkpoint, source=source)
        if info.get("model") != MODEL:
            raise CheckpointMismatchError(
                f"{source}: a checkpoint of {info.get('model')}, not of a zero-shot run; weights are given as "
                "model.init_args.checkpoint"
            )
        used = info.get("checkpoint")
        if not isinstance(used, dict) or used.get("fingerprint") != self._fingerprint:
            name = used.get("name") if isinstance(used, dict) else None
            raise CheckpointMismatchError(
                f"{source}: its thresholds belong to the weights of {name}, those of {self.checkpoint} are others"
            )
        super().on_load_checkpoint(checkpoint)
