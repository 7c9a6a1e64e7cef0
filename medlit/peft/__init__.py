"""Adapters of our own beside huggingface/peft's; importing this package makes them known to peft.

``register_peft_method`` accepts only names of peft's enum, so the strings ``MOR`` and ``VISUAL_PROMPT`` are written
into the mappings that ``get_peft_model``, ``save_pretrained`` and ``from_pretrained`` read.
"""

from peft import mapping

from medlit.peft.mor import MoRConfig, MoRLinear, MoRModel
from medlit.peft.mor.config import MOR
from medlit.peft.visual_prompt import VisualPromptBlock, VisualPromptConfig, VisualPromptModel
from medlit.peft.visual_prompt.config import VISUAL_PROMPT

for _key, _config, _tuner in (
    (MOR, MoRConfig, MoRModel),
    (VISUAL_PROMPT, VisualPromptConfig, VisualPromptModel),
):
    mapping.PEFT_TYPE_TO_CONFIG_MAPPING[_key] = _config
    mapping.PEFT_TYPE_TO_TUNER_MAPPING[_key] = _tuner
    mapping.PEFT_TYPE_TO_PREFIX_MAPPING[_key] = _tuner.prefix

__all__ = ["MoRConfig", "MoRLinear", "MoRModel", "VisualPromptBlock", "VisualPromptConfig", "VisualPromptModel"]
