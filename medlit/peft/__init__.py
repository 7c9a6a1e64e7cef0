"""Adapters of our own beside huggingface/peft's; importing this package makes them known to peft.

``register_peft_method`` accepts only names of peft's enum, so the string ``MOR`` is written into the mappings that
``get_peft_model``, ``save_pretrained`` and ``from_pretrained`` read.
"""

from peft import mapping

from medlit.peft.mor import MoRConfig, MoRLinear, MoRModel
from medlit.peft.mor.config import MOR

mapping.PEFT_TYPE_TO_CONFIG_MAPPING[MOR] = MoRConfig
mapping.PEFT_TYPE_TO_TUNER_MAPPING[MOR] = MoRModel
mapping.PEFT_TYPE_TO_PREFIX_MAPPING[MOR] = MoRModel.prefix

__all__ = ["MoRConfig", "MoRLinear", "MoRModel"]
