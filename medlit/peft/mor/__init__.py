"""MoR: Mixture of low-varied-Ranks adaptation, as a tuner of huggingface/peft."""

from medlit.peft.mor.config import MoRConfig
from medlit.peft.mor.layer import MoRLinear
from medlit.peft.mor.model import MoRModel

__all__ = ["MoRConfig", "MoRLinear", "MoRModel"]
