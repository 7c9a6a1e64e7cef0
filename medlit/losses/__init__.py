"""Losses: one file each, each with its reference."""

from medlit.losses.classification import classification_loss
from medlit.losses.early_intervention import EarlyInterventionLoss

__all__ = ["EarlyInterventionLoss", "classification_loss"]
