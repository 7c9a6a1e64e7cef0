"""What each class would be called in a caption, as tokens: the text side of zero-shot classification."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast, get_args

import torch

from data_modules.batch import PLAIN, WITH_METADATA, ClassificationBatch, ClassificationSample, ClassText
from data_modules.errors import DataSettingsError, nearest
from data_modules.mammography.captions import Captioner
from data_modules.mammography.captions.captioner import CaptionStyle, ClassTarget, Row, SideText
from data_modules.mammography.tokenizer_files import WORDS
from data_modules.mammography.tokens import room_of, tokenise, tokenizer_of

Wordings = Sequence[Sequence[Sequence[str]]]
"""W wordings of K captions, each a list of sentences."""


@dataclass(frozen=True, slots=True)
class ClassTextSettings:
    """What batches of images say of the classes, for zero-shot classification.

    A model tells an image's class by the caption that is nearest to it. Give the tokenizer, separator and length that
    it was pretrained with.

    Args:
        styles: Wordings of each caption, of ``structured``, ``natural`` and ``simple``; a model takes their mean.
        metadata: Whether captions are also written with the image's own metadata, beside those without.
        tokenizer: ``words`` (made of the captions' vocabulary, no download), a name on the hub, or a local folder.
        separator: The token that ends every sentence.
        max_tokens: Longest caption; longer ones lose sentences about the image, and are counted.
        templates: A YAML file with caption templates of one's own; null takes medlit's.
        side_text: ``consistent``: captions do not name the side where orientation or mirroring make it untrue;
            ``paper`` names it all the same.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    styles: Sequence[CaptionStyle] = ("structured",)
    metadata: bool = True
    tokenizer: str = WORDS
    separator: str = "[SEP]"
    max_tokens: int = 144
    templates: str | None = None
    side_text: SideText = "consistent"

    def __post_init__(self) -> None:
        known = get_args(CaptionStyle)
        for style in self.styles:
            if style not in known:
                raise DataSettingsError(f"class_text: unknown style {style!r}; {nearest(str(style), known)}")
        if not self.styles or len(set(self.styles)) < len(self.styles):
            raise DataSettingsError(f"class_text: styles is {list(self.styles)}; give one or more, each once")


@dataclass(frozen=True, slots=True)
class ClassWriter:
    """Writes the captions of a target's classes and makes tokens of them.

    Args:
        captioners: W, of a wording each.
        target: What the classes are of.
        tokenizer: Its name; a worker loads it once.
        separator: The token that ends every sentence.
        max_tokens: Longest caption.
    """

    captioners: tuple[Captioner, ...]
    target: ClassTarget
    tokenizer: str
    separator: str
    max_tokens: int

    def captions(self, row: Row | None = None) -> Wordings:
        """W wordings of K captions; with the metadata of a row, or none. No label of the row enters."""
        return [
            [caption.sentences for caption in captioner.class_captions(self.target, row)]
            for captioner in self.captioners
        ]

    def tokens(self, cases: Sequence[Wordings]) -> tuple[ClassText, int]:
        """Captions of R cases as tokens, and of how many cases some were too long.

        Of captions that are too long the sentences about the image go, the last one first and from all classes alike;
        those that tell the classes apart stay.

        Args:
            cases: R of ``captions``.

        Raises:
            DataSettingsError: If the tokenizer cannot be loaded, or ``max_tokens`` is none for it.
        """
        fitted = [[self._fitted(captions) for captions in case] for case in cases]
        cut = sum(any(was_cut for _, was_cut in case) for case in fitted)
        flat = [caption for case in fitted for captions, _ in case for caption in captions]
        shape = (len(cases), len(self.captioners), -1)
        tokens = tokenise(tokenizer_of(self.tokenizer, self.separator), flat, max_tokens=self.max_tokens)
        text = ClassText(
            input_ids=tokens.input_ids.view(*shape, tokens.input_ids.shape[1]),
            attention_mask=tokens.attention_mask.view(*shape, tokens.attention_mask.shape[1]),
            label=torch.tensor(self.labels, dtype=torch.int64),
        )
        return text, cut

    @property
    def labels(self) -> list[int]:
        """K, the class that each caption stands for."""
        return [caption.label for caption in self.captioners[0].class_captions(self.target)]

    def plain(self) -> ClassText:
        """Text that knows nothing of any image, R = 1."""
        return self.tokens([self.captions()])[0]

    def check(self, *, whole: bool = True) -> None:
        """Write captions without metadata once, before anything is read.

        Args:
            whole: Whether they have to fit as they are.

        Raises:
            DataSettingsError: If they do not, or classes read alike to the tokenizer.
        """
        text, cut = self.tokens([self.captions()])
        if whole and cut:
            longest = max(self._length(caption) for wording in self.captions() for caption in wording)
            tokenizer = tokenizer_of(self.tokenizer, self.separator)
            longest += len(tokenizer.prefix) + len(tokenizer.suffix)
            raise DataSettingsError(
                f"class_text: max_tokens is {self.max_tokens}, but the captions of classes have up to {longest}; give "
                "as many as the model was pretrained with"
            )
        for captions in text["input_ids"][0].tolist():
            seen: dict[tuple[int, ...], int] = {}
            if any(
                seen.setdefault(tuple(row), label) != label for row, label in zip(captions, self.labels, strict=True)
            ):
                raise DataSettingsError(
                    f"captions of different classes of {self.target} are the same to tokenizer {self.tokenizer} in "
                    f"{self.max_tokens} tokens; allow more, or take another tokenizer or other templates"
                )

    def _fitted(self, captions: Sequence[Sequence[str]]) -> tuple[list[Sequence[str]], bool]:
        """Captions of K classes without the sentences for which there is no room, and whether any went."""
        room = room_of(tokenizer_of(self.tokenizer, self.separator), self.max_tokens)
        fitted, about = list(captions), _shared(captions)
        while about and max(map(self._length, fitted)) > room:
            about -= 1
            fitted = [[*caption[:about], *caption[about + 1 :]] for caption in fitted]
        return fitted, len(fitted[0]) < len(captions[0])

    def _length(self, caption: Sequence[str]) -> int:
        """Tokens of the sentences of a caption."""
        tokenizer = tokenizer_of(self.tokenizer, self.separator)
        return sum(len(tokenizer.sentence(sentence)) for sentence in caption)


@dataclass(frozen=True, slots=True)
class ClassTextCollate:
    """Makes a batch of images and adds the text of the classes.

    Args:
        collate: Makes a batch of samples.
        writer: Writes and tokenises.
    """

    collate: Callable[[Sequence[ClassificationSample]], ClassificationBatch]
    writer: ClassWriter

    def __call__(self, samples: Sequence[ClassificationSample]) -> ClassificationBatch:
        """A batch of B samples with ``class_text``."""
        batch = self.collate(samples)
        batch["class_text"] = {PLAIN: self.writer.plain()}
        own = [sample["class_captions"] for sample in samples if "class_captions" in sample]
        if own:
            batch["class_text"][WITH_METADATA], batch["cut_captions"] = self.writer.tokens(own)
        return batch


def make_writer(settings: ClassTextSettings, *, name: str, target: str, one_sided: bool) -> ClassWriter:
    """The writer of a DataModule's settings.

    Args:
        settings: Wordings and tokenizer.
        name: The set's, in messages.
        target: What is to be told.
        one_sided: Whether images no longer tell left from right, see ``Captioner``.

    Raises:
        DataSettingsError: If the target has no class captions, or the templates are not as they should be.
    """
    targets = get_args(ClassTarget)
    if target not in targets:
        raise DataSettingsError(f"{name}: class_text: no captions for target {target!r}; {nearest(target, targets)}")
    captioners = (
        Captioner(templates=settings.templates, style=style, side_text=settings.side_text, one_sided=one_sided)
        for style in settings.styles
    )
    return ClassWriter(
        captioners=tuple(captioners),
        target=cast(ClassTarget, target),
        tokenizer=settings.tokenizer,
        separator=settings.separator,
        max_tokens=settings.max_tokens,
    )


def _shared(captions: Sequence[Sequence[str]]) -> int:
    """Sentences that all captions begin with: those about the image; the others tell the classes apart."""
    count = 0
    for sentences in zip(*captions, strict=False):
        if len(set(sentences)) > 1:
            break
        count += 1
    return count
