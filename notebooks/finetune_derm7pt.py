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
# # Fine-tune Early Intervention on Derm7pt
#
# Each case has a clinical and a dermoscopic photograph. One frozen vision transformer reads both; small adapters are
# trained, and a token of each photograph steers how the other is read. This notebook opens the data, looks at cases,
# trains, and reads the results.
#
# It runs on a look-alike set and a very small transformer with random weights, in about a minute on a CPU. For your
# own copy of Derm7pt set `OWN` to its folder (the one that holds `meta/` and `images/`): the notebook then takes
# DINOv2 at 518 pixels and the paper's augmentation, and wants a GPU of 24 GB.

# %%
# %matplotlib inline
import logging
import tempfile
import warnings
from pathlib import Path

# Before the imports, for tqdm advises while it is imported.
warnings.filterwarnings("ignore", module="lightning|tqdm")

import albumentations as A
import polars as pl
import torch
from lightning.pytorch import Trainer, seed_everything

from data_modules.skin import Derm7ptDataModule
from data_modules.synthetic import derm7pt
from medlit.callbacks import BestCheckpoint, PredictionWriter
from medlit.models import EarlyInterventionClassifier
from medlit.peft import MoRConfig
from medlit.report import markdown_table
from medlit.tasks import EarlyInterventionTask

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
SEED = 0
OWN: Path | None = None
WORK = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The data

# %%
seed_everything(SEED, verbose=False)
if OWN is None:
    derm7pt.write(WORK / "derm7pt", cases=300, seed=SEED)
    # Flips alone: so small a network does not learn colours that the default, the paper's augmentation, changes.
    flips = [A.HorizontalFlip(), A.VerticalFlip()]
    data = Derm7ptDataModule(root=WORK / "derm7pt", img_size=32, batch_size=32, train_transform=flips, seed=SEED)
else:
    data = Derm7ptDataModule(root=OWN, img_size=518, batch_size=8, num_workers=4, seed=SEED)
data.setup("fit")
data.class_counts

# %% [markdown]
# A sample holds all images of a case by modality, its label and its id. `plot` shows one.

# %%
sample = data.dataset("train")[1]
{name: tuple(images.shape) for name, images in sample["images"].items()}, sample["case_id"], int(sample["label"])

# %%
data.plot(sample)

# %% [markdown]
# ## The model
#
# `MoRConfig` describes the adapters: several ranks, mixed token by token, with a bypass that may leave a token alone.
# Any configuration of PEFT goes in its place, `LoraConfig` for instance. The backbone stays frozen.

# %%
TINY = {"pretrained": False, "model_args": {"depth": 2, "embed_dim": 32, "num_heads": 2, "weight_init": "moco"}}
CLIP = {"image_mean": [0.4815, 0.4578, 0.4082], "image_std": [0.2686, 0.2613, 0.2758]}  # as the paper normalises


def make_model(**from_data):
    """Called with modalities, num_classes and img_size of the data."""
    if OWN is None:
        return EarlyInterventionClassifier(backbone="vit_base_patch16_224", adapter=MoRConfig(), **TINY, **from_data)
    name = "vit_base_patch14_reg4_dinov2.lvd142m"  # from the hub, or weights="a local file"
    return EarlyInterventionClassifier(backbone=name, adapter=MoRConfig(), **CLIP, **from_data)


LEARNING_RATE, EPOCHS = (1e-2, 20) if OWN is None else (1e-4, 40)
task = EarlyInterventionTask(
    modalities=data.modalities,
    num_classes=data.num_classes,
    img_size=data.img_size,
    class_names=data.class_names,
    model=make_model,
    optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=LEARNING_RATE),
)
trained = sum(p.numel() for p in task.parameters() if p.requires_grad)
f"{trained:,} of {sum(p.numel() for p in task.parameters()):,} parameters are trained"

# %% [markdown]
# ## Training
#
# Lightning's own `Trainer`. The best checkpoint by `val/map` holds the trained part alone.

# %%
trainer = Trainer(
    default_root_dir=WORK / "run",
    max_epochs=EPOCHS,
    accelerator="cpu" if OWN is None else "auto",
    callbacks=[BestCheckpoint(), PredictionWriter()],
    enable_progress_bar=False,
    enable_model_summary=False,
    log_every_n_steps=5,
)
trainer.fit(task, datamodule=data)
{name: round(float(value), 3) for name, value in trainer.callback_metrics.items() if name in ("val/map", "train/loss")}

# %% [markdown]
# ## Results
#
# The best checkpoint on the test split: the fused answer, and each modality steered by the other. Tell a real gain from
# noise by more seeds: a test split has few cases of the rare classes.

# %%
trainer.test(task, datamodule=data, ckpt_path="best", weights_only=True, verbose=False)
print(markdown_table(task.figures.heads))

# %% [markdown]
# Every case has a row: its label, logits and probabilities, and the weight that the gate gave each modality.

# %%
rows = pl.read_parquet(WORK / "run" / "predictions_test.parquet")
rows.select("case_id", "label", "^prob_.*$", "^gate_.*$").head()

# %%
rows.group_by("label").agg(pl.col("^gate_.*$").mean()).sort("label")
