"""The text side of a set of mammograms: captions of its classes, and the tokenizer that a model has to know."""

from typing import TYPE_CHECKING

from lightning.pytorch import LightningDataModule

from data_modules.asked import AskedByTasks
from data_modules.errors import DataSettingsError
from data_modules.mammography.captioned import CaptionedCases
from data_modules.mammography.captions import MetadataTable
from data_modules.mammography.cases import CaseTable
from data_modules.mammography.class_text import ClassTextSettings, ClassWriter, make_writer
from data_modules.mammography.prepare.settings import PreparationSettings
from data_modules.mammography.selection import Level
from data_modules.mammography.split import Label
from data_modules.mammography.tokens import tokenizer_of
from data_modules.mammography.transforms import mirrors

if TYPE_CHECKING:
    import polars as pl


class TextOfSet(LightningDataModule, AskedByTasks):
    """The part of a DataModule that writes captions of classes into its batches, where ``class_text`` asks for it."""

    name: str
    target: Label
    level: Level
    preparation: PreparationSettings
    class_text: ClassTextSettings | None = None
    """How classes are put into words; None: batches carry no text."""

    def setup(self, stage: str | None = None) -> None:
        """Try the captions of classes before anything is read.

        Args:
            stage: fit, validate, test or predict.

        Raises:
            DataSettingsError: If they cannot be written, or the tokenizer cannot be loaded.
        """
        if self.class_writer is not None:
            self.class_writer.check(whole=self.class_text is not None)
        super().setup(stage)  # type: ignore[arg-type]  # None where it is called by hand

    @property
    def text_settings(self) -> ClassTextSettings | None:
        """How classes are put into words, whatever setting says so; None: they are not."""
        return self.class_text

    @property
    def num_tokens(self) -> int | None:
        """Tokens that the tokenizer of the batches' text knows, added ones included; None where there is no text."""
        settings = self.text_settings
        return None if settings is None else len(tokenizer_of(settings.tokenizer, settings.separator))

    @property
    def tokenizer_settings(self) -> dict[str, str | int] | None:
        """``source``, ``separator`` and ``max_tokens`` of the batches' text; None where there is none."""
        text = self.text_settings
        if text is None:
            return None
        return {"source": text.tokenizer, "separator": text.separator, "max_tokens": text.max_tokens}

    @property
    def one_sided(self) -> bool:
        """Whether images no longer tell the left breast from the right: they were turned, or training mirrors them."""
        return self.preparation.orient != "none" or mirrors(self._train_transform.pipeline.transforms)

    @property
    def class_writer(self) -> ClassWriter | None:
        """Writes the captions of the target's classes; None where there is no text.

        Raises:
            DataSettingsError: If the target has no such captions, or the templates are not as they should be.
        """
        text = self.text_settings
        if text is None:
            return None
        return make_writer(text, name=self.name, target=self.target, one_sided=self.one_sided)

    def with_metadata(self, cases: CaseTable, frame: "pl.DataFrame") -> CaseTable:
        """Cases that know their metadata, where captions of classes are to hold them.

        Args:
            cases: Of the rows of ``frame``.
            frame: Rows of a sample table.
        """
        if self.class_text is None or not self.class_text.metadata:
            return cases
        return CaptionedCases(cases, MetadataTable.from_frame(frame))

    def _check_text(self) -> None:
        """Refuse captions of classes where a case is no image.

        Raises:
            DataSettingsError: Saying how breasts are judged.
        """
        if self.class_text is not None and self.level != "image":
            raise DataSettingsError(
                f"{self.name}: class_text: captions are of images; set level: image (a test judges breasts and exams "
                "too, from the answers about their images), or class_text: null"
            )
