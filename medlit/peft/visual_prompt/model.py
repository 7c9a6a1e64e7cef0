"""Puts visual prompts into any transformer: the part of the tuner that finds and replaces blocks."""

from typing import cast

from peft import PeftConfig
from peft.tuners.tuners_utils import BaseTuner
from torch import nn

from medlit.peft.visual_prompt.config import VisualPromptConfig
from medlit.peft.visual_prompt.layer import CANNOT_MERGE, VisualPromptBlock


class VisualPromptModel(BaseTuner):
    """A model whose targeted blocks read learned tokens; made by ``get_peft_model(model, VisualPromptConfig(...))``.

    Args:
        model: The model to adapt in place.
        peft_config: Settings of the first adapter.
        adapter_name: Its name.
    """

    prefix = "visual_prompt_"
    tuner_layer_cls = VisualPromptBlock

    def _create_and_replace(
        self,
        peft_config: PeftConfig,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        config = cast(VisualPromptConfig, peft_config)
        if isinstance(target, VisualPromptBlock):
            target.update_layer(adapter_name, config)
            return
        block = VisualPromptBlock(target, adapter_name, config)
        if adapter_name not in self.active_adapters:
            block.requires_grad_(False)
        self._replace_module(parent, target_name, block, target)

    def _replace_module(self, parent: nn.Module, child_name: str, new_module: nn.Module, child: nn.Module) -> None:
        # peft's own moves a weight and a bias too, and a block has none of its own.
        setattr(parent, child_name, new_module)

    def _check_merge_allowed(self) -> None:
        """Refuse to merge before any block is touched.

        Raises:
            ValueError: Always.
        """
        raise ValueError(CANNOT_MERGE)
