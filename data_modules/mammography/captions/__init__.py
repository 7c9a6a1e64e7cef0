"""Captions of mammograms from templates: the reader of templates, the captioner, the columns it reads."""

from data_modules.mammography.captions.captioner import MASKED, Captioner, ClassCaption
from data_modules.mammography.captions.metadata import MetadataTable, has_caption, missing_for_caption

__all__ = ["MASKED", "Captioner", "ClassCaption", "MetadataTable", "has_caption", "missing_for_caption"]
