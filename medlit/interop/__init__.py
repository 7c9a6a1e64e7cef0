"""Checkpoints of the papers' own code, as medlit's models."""

from medlit.interop.early_intervention import convert_ei_state_dict, convert_unimodal_state_dict
from medlit.interop.released import ReleasedModel, describe

__all__ = ["ReleasedModel", "convert_ei_state_dict", "convert_unimodal_state_dict", "describe"]
