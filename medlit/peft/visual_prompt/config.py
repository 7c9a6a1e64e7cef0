"""Settings of visual prompt tuning."""

from dataclasses import dataclass
from typing import cast

from peft import PeftConfig
from peft.utils import PeftType

VISUAL_PROMPT = cast(PeftType, "VISUAL_PROMPT")
"""The key visual prompts are known by to peft, whose own enum cannot be extended from outside."""


@dataclass(kw_only=True)
class VisualPromptConfig(PeftConfig):
    """Deep visual prompt tuning: every block reads P learned tokens of its own beside its input.

    ``[x_l; _] = block_l([x_(l-1); p_l])``: what a block makes of its prompts is dropped, the next block brings its own.
    Prompts have no position, and their place in the sequence means nothing to attention.

    Reference: Jia et al., "Visual Prompt Tuning", ECCV 2022, eq. 6 and 7 (VPT-Deep, its better form).

    Args:
        num_tokens: P, prompt tokens of each block.
        target_modules: Blocks to prompt: a regular expression for whole names, or a list of names (or ends of names).
            Each maps tokens (B, N, D) to tokens of the same shape.
        exclude_modules: Names (or ends of names, or a regular expression) to leave alone.
        modules_to_save: Names of layers to train in full beside the prompts, such as a fresh head.

    Raises:
        ValueError: If there are no tokens, or no targets.
    """

    num_tokens: int = 10
    target_modules: list[str] | str = r"(.*\.)?blocks\.\d+"
    exclude_modules: list[str] | str | None = None
    modules_to_save: list[str] | None = None

    def __post_init__(self) -> None:
        """Check the numbers; peft calls this for every way a config is made."""
        super().__post_init__()
        self.peft_type = VISUAL_PROMPT
        if isinstance(self.num_tokens, bool) or not isinstance(self.num_tokens, int) or self.num_tokens < 1:
            raise ValueError(f"num_tokens must be a whole number of at least 1, got {self.num_tokens}")
        if not self.target_modules:
            raise ValueError(r"target_modules is empty: name the blocks to prompt, such as blocks\.\d+")
