"""Losses: one file each, each with its reference."""

from medlit.losses.classification import classification_loss
from medlit.losses.clip import CLIPLoss, clip_loss
from medlit.losses.early_intervention import EarlyInterventionLoss
from medlit.losses.gather import gather_rows, rank_offset
from medlit.losses.local_alignment import (
    LocalAlignmentLoss,
    captions_without_sentence,
    local_alignment_loss,
    local_alignment_scores,
)
from medlit.losses.mama import MaMAEmbeddings, MaMALoss
from medlit.losses.nt_xent import NTXentLoss, nt_xent_loss

__all__ = [
    "CLIPLoss",
    "EarlyInterventionLoss",
    "LocalAlignmentLoss",
    "MaMAEmbeddings",
    "MaMALoss",
    "NTXentLoss",
    "captions_without_sentence",
    "classification_loss",
    "clip_loss",
    "gather_rows",
    "local_alignment_loss",
    "local_alignment_scores",
    "nt_xent_loss",
    "rank_offset",
]
