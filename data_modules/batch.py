"""The contract between DataModules and tasks: what one sample and one batch hold."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

if TYPE_CHECKING:  # the audits and look-alikes, which need no torch, read the names below
    from torch import Tensor

VARIABLES = "variables"
"""The modality of clinical variables: numbers about a case instead of images."""


class ClassText(TypedDict):
    """What each class of a target would be called in a caption, as tokens, for zero-shot classification.

    Letters: R = 1 (the same text for every case) or B (each case's own); W wordings, K captions, T tokens as the
    longest has.
    """

    input_ids: "Tensor"
    """(R, W, K, T) int64, padded on the right."""
    attention_mask: "Tensor"
    """(R, W, K, T) int64, 1 for a token, 0 for padding."""
    label: "Tensor"
    """(K,) int64: the class that each caption stands for; a class may have several."""


PLAIN = "plain"
"""Class text that knows nothing of the case, R = 1."""
WITH_METADATA = "metadata"
"""Class text with what the tables say of each case beside its labels, R = B."""


class ClassificationSample(TypedDict):
    """One case: all its images, by modality.

    Letters: I images (slices) of the case in that modality, H x W pixels, C labels, V clinical variables.
    """

    images: dict[str, "Tensor"]
    """By modality, (I, 3, H, W) float32, RGB in [0, 1]; I differs between modalities. An absent one has no key.
    ``VARIABLES``: (1, V) float32, numbers standardised, categories one-hot, NaN where a value is unknown; no key where
    all are."""
    label: NotRequired["Tensor"]
    """Scalar int64 (single label) or (C,) float32 of zeros and ones (multi-label); missing where it is unknown."""
    case_id: str
    group_id: str
    units: NotRequired[dict[str, str]]
    """What the case is a part of (breast, exam), id by kind, the smaller kind first; missing where the set has none."""
    strata: NotRequired[dict[str, str]]
    """Groups that are also judged by themselves, by what tells them apart: ``{"site": "1"}``; missing where the set
    has none."""
    class_captions: NotRequired[Sequence[Sequence[Sequence[str]]]]
    """What each class would be called of this very case: wordings of captions of sentences; where asked for."""


class ClassificationBatch(TypedDict):
    """B cases, images padded to the largest I of the batch in each modality."""

    images: dict[str, "Tensor"]
    """By modality, (B, I, 3, H, W) float32, RGB in [0, 1]; padding is zero. A modality that no case has is missing.
    ``VARIABLES``: (B, 1, V) float32, NaN where a value of a case is unknown, zeros where all are."""
    image_mask: dict[str, "Tensor"]
    """By modality, (B, I) bool: True where there is an image. A case has a modality where any is True.
    ``VARIABLES``: (B, 1) bool."""
    label: NotRequired["Tensor"]
    """(B,) int64 or (B, C) float32; missing where no case of the batch has one. A case without one among cases with one
    holds -1 or NaN."""
    case_id: list[str]
    group_id: list[str]
    units: NotRequired[dict[str, list[str]]]
    """B ids by kind (breast, exam), the smaller kind first; missing where the set has none."""
    strata: NotRequired[dict[str, list[str]]]
    """B values by what tells groups apart that are also judged by themselves; missing where the set has none."""
    class_text: NotRequired[dict[str, ClassText]]
    """``PLAIN``, and ``WITH_METADATA`` where asked for; missing where the data were not asked for text."""
    cut_captions: NotRequired[int]
    """Cases whose ``WITH_METADATA`` captions were too long and lost sentences about the case; with those alone."""


class ImageTextSample(TypedDict):
    """An image, a second view of it or of its study, and its caption."""

    image: "Tensor"
    """(3, H, W) float32, RGB in [0, 1]."""
    second_image: "Tensor"
    """As ``image``: another image of the same study or breast, or the same image augmented anew."""
    sentences: list[str]
    """The caption, one sentence or more."""
    same_breast: bool
    """Whether the second image shows the breast of the first."""
    label: int
    """Class, -1 where it is unknown."""
    case_id: str
    group_id: str
    units: dict[str, str]
    """Breast and exam of ``image``."""


class ImageTextBatch(TypedDict):
    """B samples; T tokens and S sentences as the longest caption of the batch has."""

    image: "Tensor"
    """(B, 3, H, W) float32, RGB in [0, 1]."""
    second_image: "Tensor"
    """As ``image``; row i belongs to row i."""
    input_ids: "Tensor"
    """(B, T) int64, padded on the right."""
    attention_mask: "Tensor"
    """(B, T) int64, 1 for a token, 0 for padding."""
    sentence_positions: "Tensor"
    """(B, S) int64: where in ``input_ids`` each sentence's separator is; padded with -1."""
    same_breast: "Tensor"
    """(B,) bool."""
    label: "Tensor"
    """(B,) int64, -1 where it is unknown."""
    caption: list[str]
    """The text, for figures and for counting those that are alike."""
    cut_captions: int
    """Captions that were too long and lost sentences."""
    case_id: list[str]
    group_id: list[str]
    units: dict[str, list[str]]
    """B ids by kind: breast, exam."""
    class_text: NotRequired[dict[str, ClassText]]
    """``PLAIN`` alone, of the classes of ``label``; in evaluation."""
