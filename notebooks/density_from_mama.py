# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # From a MaMA checkpoint to a density classifier
#
# MaMA learns from mammograms and captions made of their tables. Its checkpoint holds an image tower that has seen what
# captions speak of, breast density among it. This notebook takes that tower into a classifier in two ways: a linear
# probe on kept features, and full fine-tuning, each beside the same from random weights, with few labels.
#
# It pretrains a very small model on a look-alike of EMBED, in about a minute on a CPU. For a checkpoint of your own set
# `OWN` to it and `DATA` to a prepared folder, and `IMAGE` and `SIZE` as in its run's `config.yaml`.

# %%
# %matplotlib inline
import logging
import tempfile
import warnings
from pathlib import Path

# Before the imports, for tqdm advises while it is imported.
warnings.filterwarnings("ignore", module="lightning|tqdm")

import albumentations as A
import matplotlib.pyplot as plt
import polars as pl
import torch
from lightning.pytorch import Trainer, seed_everything

from data_modules.mammography import EMBEDDataModule
from data_modules.mammography.embed.tables import SET
from data_modules.mammography.image_text import PairSettings
from data_modules.mammography.prepare.run import prepare_set
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.synthetic import embed
from medlit.callbacks import BestCheckpoint, PredictionWriter
from medlit.losses import MaMALoss
from medlit.models import ImageTower, MaMAModel, TextTower, UnimodalClassifier
from medlit.report import markdown_table
from medlit.tasks import MaMATask, ProbeTask, UnimodalTask

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
OWN: Path | None = None
DATA: Path | None = None
WORK = Path(tempfile.mkdtemp())
IMAGE = {
    "backbone": "vit_base_patch16_224",
    "pretrained": False,
    "model_args": {"depth": 2, "embed_dim": 48, "num_heads": 4, "patch_size": 8, "weight_init": "moco"},
}
SIZE, SEED = 32, 0
seed_everything(SEED, verbose=False)


def trainer(name, *, epochs, monitor="val/auroc", mode="max", callbacks=()):
    """Lightning's own, without bars."""
    return Trainer(
        default_root_dir=WORK / name,
        max_epochs=epochs,
        accelerator="cpu" if OWN is None else "auto",
        callbacks=[BestCheckpoint(monitor, mode), *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=5,
    )


# %% [markdown]
# ## The data
#
# A look-alike of EMBED is drawn and prepared as the real one is. With `pretraining` a batch holds images, a second
# image of each, and captions; without, images and labels. Patients are the same side of the split in both.

# %%
PREPARATION = PreparationSettings(long_side=64) if OWN is None else PreparationSettings()
if DATA is None:
    embed.write(WORK / "raw", cases=90, seed=SEED, img_size=96)
    print(*prepare_set(SET, WORK / "raw", WORK / "embed", settings=PREPARATION, workers=1).lines()[:1])
    DATA = WORK / "embed"
# Flips and a little contrast: MaMA's own augmentation would hide density from so small a network.
MILD = [A.HorizontalFlip(), A.VerticalFlip(), A.RandomBrightnessContrast(0.1, 0.1)] if OWN is None else None


def data(train_transform=MILD, **settings):
    """EMBED's images as far as `settings` say."""
    return EMBEDDataModule(
        root=DATA,
        target="density",
        preparation=PREPARATION,
        img_size=SIZE,
        train_transform=train_transform,
        batch_size=32,
        **settings,
    )


pairs = data(pretraining=PairSettings(pair="breast", style="simple"))
pairs.setup("fit")
pairs.plot(pairs.dataset("train")[0])

# %% [markdown]
# ## Pretraining, where there is no checkpoint yet
#
# Labels take no part: density is a word of the captions. `val/zero_shot_auroc` asks which density's caption is nearest
# to an image.

# %%
CHECKPOINT = OWN
if CHECKPOINT is None:
    text = {"backbone": "bert", "pretrained": False, "train_backbone": True}
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    tower = TextTower(**text, model_args={**sizes, "max_position_embeddings": 144})
    mama = MaMATask(
        img_size=SIZE,
        num_tokens=pairs.num_tokens,
        class_names=pairs.class_names,
        model=lambda **sizes: MaMAModel(image=ImageTower(**IMAGE), text=tower, embed_dim=32, local_hidden=64, **sizes),
        loss=MaMALoss(view_weight=0, local_weight=0, text_pair="same_breast"),
        late_start=0,
        optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=2e-3),
    )
    run = trainer("mama", epochs=10, monitor="val/zero_shot_auroc")
    run.fit(mama, datamodule=pairs)
    CHECKPOINT = WORK / "mama" / "checkpoints" / "best.ckpt"
    print({name: round(float(value), 2) for name, value in run.callback_metrics.items() if "zero_shot" in name})

# %% [markdown]
# ## Two ways to a classifier
#
# `weights` takes the image tower out of the checkpoint, and `pooling: mean_tokens` reads it as MaMA does. The probe
# keeps the tower as it is; fine-tuning trains all of it. Both see a tenth of the patients' labels.


# %%
def classifier(weights, *, train_backbone):
    """Called with modalities, num_classes and img_size of the data."""
    tower = {**IMAGE, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "pooling": "mean_tokens", "adapter": None}
    if weights is not None:
        tower["weights"] = str(weights)
    return lambda **sizes: UnimodalClassifier(**tower, train_backbone=train_backbone, **sizes)


def evaluate(name, task, *, epochs=1, **settings):
    """Train on a tenth of the labels; figures of the best checkpoint on the test split."""
    labelled = data(label_fraction=0.1 if OWN is None else 0.01, **settings)
    known = {"num_classes": labelled.num_classes, "img_size": SIZE, "class_names": labelled.class_names}
    made = task(modalities=labelled.modalities, **known)
    run = trainer(name, epochs=epochs, callbacks=[PredictionWriter()])
    run.fit(made, datamodule=labelled)
    run.test(made, datamodule=labelled, ckpt_path="best", weights_only=True, verbose=False)
    return next(iter(made.figures.heads.values()))


def probe(weights):
    """A linear classifier of kept features, solved exactly."""
    return lambda **known: ProbeTask(model=classifier(weights, train_backbone=False), knn=None, **known)


def finetuning(weights):
    """All weights, by steps."""
    model = classifier(weights, train_backbone=True)
    return lambda **known: UnimodalTask(
        model=model, optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-3), **known
    )


rows, EPOCHS = {}, 30
for start, weights in {"MaMA": CHECKPOINT, "random": None}.items():
    rows[f"probe, {start}"] = evaluate(f"probe_{start}", probe(weights), train_transform=[], balanced_sampling=False)
    rows[f"fine-tuning, {start}"] = evaluate(f"finetuning_{start}", finetuning(weights), epochs=EPOCHS)
print(markdown_table(rows))

# %% [markdown]
# Chance is .25 in balanced accuracy and .50 in AUROC. A look-alike shows that the parts work together, and nothing
# about medicine. Tell a real gain from noise by other seeds and other draws of the labels (`fraction_seed`): a tenth of
# so few patients is a handful, and the test split is small as well. All of it, with several draws, is
# `experiments/recipes/mama_protocol.yaml`.

# %%
figure, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True, layout="constrained")
for axis, start in zip(axes, ("MaMA", "random"), strict=True):
    table = pl.read_parquet(WORK / f"probe_{start}" / "predictions_test.parquet")
    mean = table.group_by("label").agg(pl.col("^prob_.*$").mean()).sort("label")
    image = axis.imshow(mean.select("^prob_.*$").to_numpy(), vmin=0, vmax=1, cmap="viridis")
    names = [column.removeprefix("prob_") for column in mean.columns[1:]]
    axis.set(title=f"probe, {start}", xlabel="probability of", xticks=range(len(names)), xticklabels=names)
    axis.set(yticks=range(len(mean)), yticklabels=[names[label] for label in mean["label"]])
axes[0].set_ylabel("density by the table")
figure.colorbar(image, ax=axes)
plt.show()
