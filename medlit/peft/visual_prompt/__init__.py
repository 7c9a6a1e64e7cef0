"""Visual prompt tuning: learned tokens beside the input of every block, as a tuner of huggingface/peft."""

from medlit.peft.visual_prompt.config import VisualPromptConfig
from medlit.peft.visual_prompt.layer import VisualPromptBlock
from medlit.peft.visual_prompt.model import VisualPromptModel

__all__ = ["VisualPromptBlock", "VisualPromptConfig", "VisualPromptModel"]
