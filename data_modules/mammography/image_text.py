"""Samples of image-text pretraining: an image, a second view, a caption; functions of the sampler's request alone."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from data_modules.batch import PLAIN, ImageTextBatch, ImageTextSample
from data_modules.dataset import SampleDataset
from data_modules.errors import DataSettingsError, nearest
from data_modules.images import Pixels
from data_modules.mammography.captioned import CaptionedCases
from data_modules.mammography.captions import Captioner
from data_modules.mammography.captions.captioner import CaptionStyle, SideText
from data_modules.mammography.class_text import ClassTextSettings, ClassWriter
from data_modules.mammography.image_files import FOLDER, ImageFiles
from data_modules.mammography.pairs import PairIndex, rows_of_other_patients
from data_modules.mammography.pixels import Aspect, as_picture, read_prepared_file
from data_modules.mammography.tokenizer_files import WORDS
from data_modules.mammography.tokens import tokenise, tokenizer_of
from data_modules.sampling import Request
from data_modules.transforms import SeededTransform

Pair = Literal["study", "breast", "self"]
PAIRS: tuple[Pair, ...] = ("study", "breast", "self")


@dataclass(frozen=True, slots=True)
class PairSettings:
    """How pairs of images with a caption are made for pretraining.

    Args:
        pair: The second image: another one of the same ``study``, of the same ``breast``, or the image it``self``
            augmented anew.
        pair_probability: With which training takes another image, where there is one; else the image itself.
        style: Of the captions.
        mask_probability: With which each metadata field of a caption becomes unknown in training.
        side_text: ``consistent``: captions do not name the side where orientation or mirroring make it untrue;
            ``paper`` names it all the same.
        templates: A YAML file with caption templates of one's own; null takes medlit's.
        tokenizer: ``words`` (made of the captions' vocabulary, no download), a name on the hub, or a local folder.
        separator: The token that ends every sentence.
        max_tokens: Longest caption; longer ones are cut at a sentence, and counted.
        shuffle_captions: Null: every image has its own caption. A seed, as a negative control: in training every
            image has that of an image of another patient, drawn once; a model trained so can have learned nothing.

    Raises:
        DataSettingsError: If a setting cannot work.
    """

    pair: Pair = "study"
    pair_probability: float = 0.5
    style: CaptionStyle = "structured"
    mask_probability: float = 0.8
    side_text: SideText = "consistent"
    templates: str | None = None
    tokenizer: str = WORDS
    separator: str = "[SEP]"
    max_tokens: int = 144
    shuffle_captions: int | None = None

    def __post_init__(self) -> None:
        if self.pair not in PAIRS:
            raise DataSettingsError(f"pretraining: unknown pair {self.pair!r}; {nearest(str(self.pair), PAIRS)}")
        if not 0 <= self.pair_probability <= 1:
            raise DataSettingsError(f"pretraining: pair_probability is {self.pair_probability}; it is from 0 to 1")
        if self.shuffle_captions is not None and self.shuffle_captions < 0:
            raise DataSettingsError(f"pretraining: shuffle_captions is {self.shuffle_captions}; a seed is at least 0")

    def class_text(self) -> ClassTextSettings:
        """Classes in the words of the captions, without metadata."""
        return ClassTextSettings(
            styles=(self.style,),
            metadata=False,
            tokenizer=self.tokenizer,
            separator=self.separator,
            max_tokens=self.max_tokens,
            templates=self.templates,
            side_text=self.side_text,
        )


class ImageTextDataset(SampleDataset):
    """Images with a second view and a caption.

    Training: with ``pair_probability`` the second view is another image of the same unit, drawn evenly, else the image
    itself; both are augmented, each by itself, and metadata are masked. Evaluation draws nothing: the second view is
    the unit's next image, and where there is none the image itself, augmented by a seed that belongs to it (an image
    paired with its exact copy would say nothing about a loss of views); captions are whole.

    Args:
        cases: The images.
        captioner: Writes the captions.
        transform: Of an image.
        augmentation: Of the second view where evaluation shows the same image twice.
        settings: How pairs are made.
        training: Whether to draw.
        aspect: Whether images are padded to a square before the transform, or distorted by it.
        writer: Of the captions of classes, that batches of evaluation carry; None: they carry none.
        files: Where the bytes of images come from.
    """

    cases: CaptionedCases

    def __init__(
        self,
        cases: CaptionedCases,
        *,
        captioner: Captioner,
        transform: SeededTransform,
        augmentation: SeededTransform,
        settings: PairSettings,
        training: bool = False,
        aspect: Aspect = "keep",
        writer: ClassWriter | None = None,
        files: ImageFiles = FOLDER,
    ) -> None:
        self.cases = cases
        self.captioner = captioner
        self.transform = transform
        self.augmentation = augmentation
        self.settings = settings
        self.training = training
        self.aspect: Aspect = aspect
        self.writer = None if training else writer
        self.files = files
        self.breasts = cases.units["breast"].codes
        self.pairs = PairIndex({"study": cases.units["exam"].codes, "breast": self.breasts})
        shuffled = settings.shuffle_captions if training else None
        self._captioned = None if shuffled is None else rows_of_other_patients(cases.groups.codes, seed=shuffled)

    def __getitem__(self, request: int | Request) -> ImageTextSample:
        """One sample, a function of the request alone.

        Args:
            request: Index of the image and seed of what is drawn; an index alone means seed 0.

        Raises:
            UnreadableImageError: If a file is not what ``prepare`` wrote.
            TableError: If a code of the image's row has no meaning.
        """
        index, seed = (request, 0) if isinstance(request, int) else request
        case = self.cases[index]
        if not self.training:
            seed = zlib.crc32(case.case_id.encode())
        first, second, take, which = _draws(seed, b"pair")
        other = self._partner(index, take=take / 2**32, which=which)
        picture = self._picture(index)
        if other is None:
            again = self.transform if self.training else self.augmentation
            view = again(picture, seed=second)
        else:
            view = self.transform(self._picture(other), seed=second)
        return ImageTextSample(
            image=_tensor(self.transform(picture, seed=first)),
            second_image=_tensor(view),
            sentences=self.sentences(index, seed),
            same_breast=other is None or bool(self.breasts[other] == self.breasts[index]),
            label=int(self.cases.label_codes[index]),
            case_id=case.case_id,
            group_id=case.group_id,
            units=dict(case.units or {}),
        )

    @property
    def collate(self) -> Callable[[Sequence[ImageTextSample]], ImageTextBatch]:
        """Stacks and tokenises."""
        return ImageTextCollate(self.settings.tokenizer, self.settings.separator, self.settings.max_tokens, self.writer)

    def sentences(self, index: int, seed: int) -> list[str]:
        """The caption of an image; in evaluation nothing is masked, and the seed has no part in it."""
        generator = np.random.default_rng([seed, zlib.crc32(b"caption")]) if self.training else None
        row = index if self._captioned is None else int(self._captioned[index])
        return self.captioner.sentences(self.cases.metadata.row(row), generator)

    def partner(self, index: int, seed: int) -> int | None:
        """The row of the second image, None where it is the image itself."""
        _, _, take, which = _draws(seed, b"pair")
        return self._partner(index, take=take / 2**32, which=which)

    def _partner(self, index: int, *, take: float, which: int) -> int | None:
        kind = self.settings.pair
        if kind == "self" or (self.training and take >= self.settings.pair_probability):
            return None
        partners = self.pairs.partners(index, kind)
        if not len(partners):
            return None
        return int(partners[which % len(partners) if self.training else 0])

    def _picture(self, index: int) -> Pixels:
        [file] = next(iter(self.cases[index].images.values()))
        return as_picture(read_prepared_file(file, files=self.files), aspect=self.aspect)


@dataclass(frozen=True, slots=True)
class ImageTextCollate:
    """Makes a batch of samples; a worker is sent the tokenizer's name, and loads it once.

    Args:
        tokenizer: As in ``PairSettings``.
        separator: The token that ends every sentence.
        max_tokens: Longest caption.
        writer: Of the captions of classes; None: the batch has none.
    """

    tokenizer: str
    separator: str
    max_tokens: int
    writer: ClassWriter | None = None

    def __call__(self, samples: Sequence[ImageTextSample]) -> ImageTextBatch:
        """Stack B samples and tokenise their captions."""
        captions = [sample["sentences"] for sample in samples]
        tokens = tokenise(tokenizer_of(self.tokenizer, self.separator), captions, max_tokens=self.max_tokens)
        batch = ImageTextBatch(
            image=torch.stack([sample["image"] for sample in samples]),
            second_image=torch.stack([sample["second_image"] for sample in samples]),
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            sentence_positions=tokens.sentence_positions,
            same_breast=torch.tensor([sample["same_breast"] for sample in samples], dtype=torch.bool),
            label=torch.tensor([sample["label"] for sample in samples], dtype=torch.int64),
            caption=[" ".join(sentences) for sentences in captions],
            cut_captions=tokens.cut,
            case_id=[sample["case_id"] for sample in samples],
            group_id=[sample["group_id"] for sample in samples],
            units={kind: [sample["units"][kind] for sample in samples] for kind in samples[0]["units"]},
        )
        if self.writer is not None:
            batch["class_text"] = {PLAIN: self.writer.plain()}
        return batch


def _draws(seed: int, name: bytes) -> list[int]:
    """Four numbers from 0 to 2**32 - 1, a function of seed and name."""
    state: Any = np.random.SeedSequence([seed, zlib.crc32(name)]).generate_state(4)
    return [int(number) for number in state]


def _tensor(picture: Pixels) -> Tensor:
    """(3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)).astype(np.float32) / 255)
