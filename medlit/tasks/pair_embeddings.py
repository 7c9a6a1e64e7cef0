"""From a batch of pairs to what the losses of pretraining read, computed as far as they act."""

from collections.abc import Collection
from typing import cast

import torch
from torch import Tensor

from data_modules.batch import ImageTextBatch
from medlit.collectives import counts_of_processes
from medlit.losses import MaMAEmbeddings, gather_rows
from medlit.models.mama.model import MaMAModel
from medlit.tasks.pair_figures import caption_ids


def embed_pairs(
    model: MaMAModel, batch: ImageTextBatch, terms: Collection[str], *, micro_batch_size: int | None = None
) -> MaMAEmbeddings:
    """Embeddings of a batch; each tower runs once, both images of a pair in one call.

    The second image is encoded where a term reads it, and heads run where theirs acts.

    Args:
        model: The towers and heads.
        batch: B pairs.
        terms: Late losses that act: ``second_image_text``, ``view``, ``local``.
        micro_batch_size: Images or captions in a tower at a time, see ``MaMAModel.encode_images``.

    Returns:
        Of this process's pairs; None in place of what no term reads.
    """
    images, pairs = batch["image"], len(batch["image"])
    if "second_image_text" in terms or "view" in terms:
        images = torch.cat([images, batch["second_image"]])
    features = model.encode_images(images, patches="local" in terms, micro_batch_size=micro_batch_size)
    hidden = model.encode_texts(batch["input_ids"], batch["attention_mask"], micro_batch_size=micro_batch_size)
    pooled, second = features.pooled[:pairs], features.pooled[pairs:]
    parts: dict[str, Tensor] = {}
    if "second_image_text" in terms:
        parts["second_image"] = model.image_embedding(second)
    if "view" in terms:  # one after the other: BatchNorm sees the views apart, as in the paper
        parts |= {"view": model.view_embedding(pooled), "second_view": model.view_embedding(second)}
    if "local" in terms:
        sentences, owner = model.sentence_features(hidden, batch["sentence_positions"])
        parts["patches"] = model.local_patches(cast(Tensor, features.patches)[:pairs])
        parts |= {"sentences": model.local_sentences(sentences), "sentence_owner": owner}
    return MaMAEmbeddings(
        image=model.image_embedding(pooled),
        text=model.text_embedding(model.pool_text(hidden, batch["attention_mask"])),
        same_breast=batch["same_breast"],
        caption_id=caption_ids(batch["input_ids"], batch["attention_mask"]),
        **parts,
    )


def global_rows(embeddings: MaMAEmbeddings) -> dict[str, Tensor]:
    """``image`` and ``text`` (N, E) and ``caption_id`` (N,) of all processes, without gradient."""
    [counts] = counts_of_processes([len(embeddings.image)], embeddings.image.device)
    own = {"image": embeddings.image, "text": embeddings.text, "caption_id": embeddings.caption_id}
    return {name: gather_rows(rows.detach(), counts) for name, rows in own.items()}
