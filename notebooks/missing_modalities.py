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
# # When a modality is missing
#
# In the clinic a photograph is blurred, a scan was never made. A model of Early Intervention answers such a case as if
# it had never heard of the modality: no token of it, no vote in the gate. This notebook trains with modalities left
# out at random, asks what the model makes of fewer modalities, predicts cases that lack one, and shows that absent
# equals removed.
#
# It runs on a look-alike set and a very small transformer with random weights, in less than a minute on a CPU. Its
# figures say nothing about medicine.

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

from data_modules.dataset import collate
from data_modules.skin import Derm7ptDataModule
from data_modules.synthetic import derm7pt
from medlit.callbacks import BestCheckpoint, PredictionWriter
from medlit.models import EarlyInterventionClassifier
from medlit.report import markdown_table
from medlit.tasks import EarlyInterventionTask

logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
SEED = 0
WORK = Path(tempfile.mkdtemp())

# %% [markdown]
# ## Training with modalities left out
#
# `modality_dropout` leaves each modality of a training case out with this probability; one always stays. Evaluation
# takes all there is. `allow_missing` says that empty cells of the table are no mistake.

# %%
seed_everything(SEED, verbose=False)
derm7pt.write(WORK / "derm7pt", cases=300, seed=SEED)
flips = [A.HorizontalFlip(), A.VerticalFlip()]  # colours are left alone: so small a network would not learn them else
SETTINGS = {"img_size": 32, "batch_size": 32, "train_transform": flips, "allow_missing": True, "seed": SEED}
data = Derm7ptDataModule(root=WORK / "derm7pt", modality_dropout=0.2, **SETTINGS)
data.setup("fit")
dropped = [data.dataset("train", training=True)[i, i]["images"].keys() for i in range(100)]
{name: sum(name not in names for names in dropped) for name in data.modalities}  # of 100 training cases


# %%
def make_model(**from_data):
    """Called with modalities, num_classes and img_size of the data."""
    tiny = {"depth": 2, "embed_dim": 32, "num_heads": 2, "weight_init": "moco"}
    return EarlyInterventionClassifier(backbone="vit_base_patch16_224", pretrained=False, model_args=tiny, **from_data)


task = EarlyInterventionTask(
    modalities=data.modalities,
    num_classes=data.num_classes,
    img_size=data.img_size,
    class_names=data.class_names,
    model=make_model,
    optimizer=lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
)
trainer = Trainer(
    default_root_dir=WORK / "run",
    max_epochs=20,
    accelerator="cpu",
    callbacks=[BestCheckpoint(), PredictionWriter()],
    enable_progress_bar=False,
    enable_model_summary=False,
    log_every_n_steps=5,
)
trainer.fit(task, datamodule=data)

# %% [markdown]
# ## What it makes of fewer modalities
#
# Every test asks the one checkpoint for every subset of its modalities, and keeps the second table beside the
# predictions as `subsets_test.md`. The look-alike hides its signal in both photographs together, so that one alone can
# tell little.

# %%
trainer.test(task, datamodule=data, ckpt_path="best", weights_only=True, verbose=False)
print(markdown_table(task.figures.heads))

# %%
print((WORK / "run" / "subsets_test.md").read_text())
figures = {name: row["map"] for name, row in task.figures.subsets.figures.items()}
figure, axes = plt.subplots(figsize=(4, 2))
axes.barh(list(figures), list(figures.values()))
axes.set(xlabel="mAP", xlim=(0, 1))
plt.show()

# %% [markdown]
# ## Cases that lack one
#
# Some cells of the column `derm` are emptied: these patients have no dermoscopic photograph. Their columns of `derm`
# are empty in the predictions, and the gate gives all its weight to the photograph there is.

# %%
meta = WORK / "derm7pt" / "meta" / "meta.csv"
table = pl.read_csv(meta, infer_schema=False)
without = pl.int_range(pl.len()) % 3 == 0
table.with_columns(derm=pl.when(without).then(pl.lit("")).otherwise("derm")).write_csv(meta)

incomplete = Derm7ptDataModule(root=WORK / "derm7pt", **SETTINGS)
trainer.predict(task, datamodule=incomplete, return_predictions=False, ckpt_path="best", weights_only=True)
rows = pl.read_parquet(WORK / "run" / "predict_test.parquet")
rows.select("case_id", "label", "prob_MEL", "clinic_prob_MEL", "derm_prob_MEL", "^gate_.*$").head()

# %% [markdown]
# ## Absent equals removed
#
# The second photograph of a case is left out of the batch in three ways: no key at all, a mask that says so, and
# garbage under that mask. The answer is the same; with the photograph it is another.

# %%
incomplete.setup("test")
samples = [sample for sample in map(incomplete.dataset("test").__getitem__, range(12)) if "derm" in sample["images"]]
batch = collate(samples)
images, masks = batch["images"], batch["image_mask"]
nobody = {**masks, "derm": torch.zeros_like(masks["derm"])}
garbage = {**images, "derm": torch.full_like(images["derm"], torch.nan)}

task.eval()
with torch.no_grad():
    removed = task({"clinic": images["clinic"]})
    for absent in (task(images, nobody), task(garbage, nobody)):
        torch.testing.assert_close(absent.fused, removed.fused, rtol=0, atol=1e-6)
    whole = task(images, masks)
{
    "largest difference with the photograph": round(float((whole.fused - removed.fused).abs().max()), 3),
    "weights of the gate without it": removed.gate[0].tolist(),
}
