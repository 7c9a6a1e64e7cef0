"""Captions as tokens: sentences joined by a separator whose places are known, so that a sentence has a feature."""

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from data_modules.errors import DataSettingsError
from data_modules.mammography.tokenizer_files import WORDS, from_folder, from_hub

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAD = "[PAD]"
KEPT_SENTENCES = 1 << 16
"""Sentences whose tokens are kept; the whole EMBED has fewer in one style, but for free text in procedures."""


class CaptionTokenizer:
    """A tokenizer of transformers that knows the separator of sentences.

    Tokens that it lacks are added at the end of its vocabulary, the separator first and then one for padding, so that
    ids are the same in every run; a text encoder resizes its embeddings to ``len(tokenizer)``.

    Args:
        pretrained: Of a causal or a bidirectional model. Changed: tokens are added.
        separator: Token that ends every sentence.

    Raises:
        DataSettingsError: If it does not tell its special tokens from text.
    """

    def __init__(self, pretrained: "PreTrainedTokenizerBase", *, separator: str = "[SEP]") -> None:
        from tokenizers import AddedToken

        if not separator.strip():
            raise DataSettingsError("separator: should be a token such as [SEP], found only white space")
        self.pretrained = pretrained
        self.separator = separator
        if separator not in pretrained.get_vocab():
            pretrained.add_tokens([AddedToken(separator, special=True, normalized=False)], special_tokens=True)
        if pretrained.pad_token_id is None:
            pretrained.add_special_tokens({"pad_token": PAD})
        self.separator_id = _whole(pretrained.convert_tokens_to_ids(separator))
        self.pad_id = _whole(pretrained.pad_token_id)
        self.unknown_id: int | None = pretrained.unk_token_id
        self.prefix, self.suffix = _frame(pretrained)
        if self.suffix[:1] == (self.separator_id,):
            self.suffix = self.suffix[1:]  # BERT ends a text in [SEP]: the last sentence's own
        self._special = sorted({separator, *pretrained.all_special_tokens}, key=len, reverse=True)
        self._sentences: dict[str, tuple[int, ...]] = {}

    def __len__(self) -> int:
        """Tokens of the vocabulary, added ones included: rows of the text encoder's embedding."""
        return len(self.pretrained)

    def __getstate__(self) -> dict[str, Any]:
        """Without the kept sentences: a worker fills its own."""
        return {**self.__dict__, "_sentences": {}}

    def sentence(self, text: str) -> tuple[int, ...]:
        """Ids of one sentence, the separator at its end; no tokens of the model before or behind.

        Sentences come again and again (a handful of words are filled into a handful of templates), so ids are kept.
        Special tokens that stand in the text, for a table may hold anything, are left out: none but the separator at
        the end says where a sentence ends.

        Args:
            text: The sentence.
        """
        ids = self._sentences.get(text)
        if ids is None:
            if len(self._sentences) >= KEPT_SENTENCES:
                self._sentences.clear()
            plain = text
            for special in self._special:
                plain = plain.replace(special, " ")
            tokens = self.pretrained(plain, add_special_tokens=False, verbose=False)["input_ids"]
            ids = self._sentences[text] = (*tokens, self.separator_id)
        return ids


@dataclass(frozen=True, slots=True)
class Tokenised:
    """B captions as T tokens of S sentences, as many as the longest caption has."""

    input_ids: Tensor
    """(B, T) int64, padded on the right."""
    attention_mask: Tensor
    """(B, T) int64, 1 for a token, 0 for padding."""
    sentence_positions: Tensor
    """(B, S) int64, places of the sentences' separators in ``input_ids``, padded with -1."""
    cut: int
    """Captions that were too long and lost sentences."""


def tokenise(tokenizer: CaptionTokenizer, captions: Sequence[Sequence[str]], *, max_tokens: int = 144) -> Tokenised:
    """Captions as tokens, cut at a sentence where they are too long.

    A caption is what the model puts before a text, its sentences, each ended by the separator, and what the model puts
    behind a text. Of a caption that is too long the last sentences go. Where not even the first fits, its tokens are
    cut and the separator stays.

    Args:
        tokenizer: From ``load_tokenizer``.
        captions: B captions of one sentence or more.
        max_tokens: Most tokens of a caption; 144 in Du et al.

    Raises:
        DataSettingsError: If a caption has no sentence, or ``max_tokens`` is no number of tokens for this tokenizer.
    """
    room = room_of(tokenizer, max_tokens)
    if room < 2 or max_tokens > tokenizer.pretrained.model_max_length:
        least, most = max_tokens - room + 2, tokenizer.pretrained.model_max_length
        raise DataSettingsError(f"max_tokens: {max_tokens}; this tokenizer needs {least} and takes up to {most}")
    rows, places, cut = [], [], 0
    for number, sentences in enumerate(captions):
        if not sentences:
            raise DataSettingsError(f"captions: number {number} has no sentence; leave out images without a caption")
        body, ends, whole = _fit(tokenizer, sentences, room)
        rows.append((*tokenizer.prefix, *body, *tokenizer.suffix))
        places.append([len(tokenizer.prefix) + end - 1 for end in ends])
        cut += not whole
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    return Tokenised(
        input_ids=_padded(rows, tokenizer.pad_id),
        attention_mask=torch.from_numpy(mask.astype(np.int64)),
        sentence_positions=_padded(places, -1),
        cut=cut,
    )


def room_of(tokenizer: CaptionTokenizer, max_tokens: int) -> int:
    """Tokens of a caption of ``max_tokens`` that are left to its sentences."""
    return max_tokens - len(tokenizer.prefix) - len(tokenizer.suffix)


@functools.cache
def tokenizer_of(source: str, separator: str) -> CaptionTokenizer:
    """``load_tokenizer``, once per process.

    Raises:
        DataSettingsError: If it cannot be loaded; says what to do.
    """
    return load_tokenizer(source, separator=separator)


def load_tokenizer(source: str, *, separator: str = "[SEP]", network: bool = True) -> CaptionTokenizer:
    """A tokenizer by name, with the separator added.

    Args:
        source: ``words`` (made here of the words of captions: no files, no network), a local folder, or a name on the
            Hugging Face hub, taken from the local cache where it is there. Code that comes with a tokenizer is not run.
        separator: Token that ends every sentence.
        network: Whether to download what the cache lacks.

    Raises:
        DataSettingsError: If there is no such folder or it holds no tokenizer, or the hub cannot be reached; says what
            to do.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # threads of its own do not survive a DataLoader's fork
    if source == WORDS:
        return CaptionTokenizer(_word_tokenizer(), separator=separator)
    folder = Path(source).expanduser()
    if folder.is_dir():
        return CaptionTokenizer(from_folder(folder), separator=separator)
    if folder.is_absolute() or source.startswith((".", "~")) or source.count("/") > 1:
        raise DataSettingsError(f"tokenizer: there is no folder {folder}; give one, a name on the hub, or {WORDS}")
    return CaptionTokenizer(from_hub(source, network=network), separator=separator)


def _word_tokenizer() -> "PreTrainedTokenizerBase":
    """A token per word or mark, in lower case; other words become the unknown token."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from data_modules.mammography.captions.vocabulary import caption_words

    vocabulary = {word: i for i, word in enumerate([PAD, "[UNK]", *caption_words()])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # at white space, and around every mark
    return PreTrainedTokenizerFast(tokenizer_object=inner, pad_token=PAD, unk_token="[UNK]")


def _frame(pretrained: "PreTrainedTokenizerBase") -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids that the tokenizer puts before and behind every text."""
    text = "a"
    plain = tuple(pretrained(text, add_special_tokens=False)["input_ids"])
    full = tuple(pretrained(text)["input_ids"])
    for start in range(len(full) - len(plain) + 1):
        end = start + len(plain)
        if plain and full[start:end] == plain:
            return full[:start], full[end:]
    raise DataSettingsError(f"tokenizer: {type(pretrained).__name__} has no tokens for {text!r}; it is none for text")


def _fit(tokenizer: CaptionTokenizer, sentences: Sequence[str], room: int) -> tuple[list[int], list[int], bool]:
    """Ids of the sentences that fit, the end of each, and whether all did."""
    body: list[int] = []
    ends: list[int] = []
    for sentence in sentences:
        ids = tokenizer.sentence(sentence)
        if len(body) + len(ids) > room:
            break
        body += ids
        ends.append(len(body))
    whole = len(ends) == len(sentences)
    if not ends:
        body, ends = [*tokenizer.sentence(sentences[0])[: room - 1], tokenizer.separator_id], [room]
    return body, ends, whole


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    padded = np.full((len(rows), max(map(len, rows), default=0)), fill, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return torch.from_numpy(padded)


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise DataSettingsError(f"tokenizer: gives {value!r} where one token was asked for")
    return value
