"""Captions as tokens: whatever the tokenizer's own marks, positions point at separators and every sentence is whole."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from data_modules.errors import DataSettingsError
from data_modules.mammography.captions import Captioner
from data_modules.mammography.tokens import CaptionTokenizer, load_tokenizer, tokenise
from tests.data_modules.mammography.captions.rows import FULL

STYLES = ("structured", "natural", "simple")
CAPTION = Captioner(one_sided=False).sentences(FULL)
LETTERS = [*"abcdefghijklmnopqrstuvwxyz0123456789 .,:-"]


def trained(tokenizer, trainer):
    tokenizer.train_from_iterator([" ".join(Captioner(style=style).sentences(FULL)) for style in STYLES], trainer)
    return tokenizer


def gpt2_like():
    """Byte-level BPE, nothing before or behind a text, no padding, no separator."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"], show_progress=False
    )
    return PreTrainedTokenizerFast(tokenizer_object=trained(inner, trainer), eos_token="<|endoftext|>")


def bert_like():
    """WordPiece, [CLS] before and [SEP] behind a text."""
    inner = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer = normalizers.BertNormalizer()
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=300, initial_alphabet=LETTERS, special_tokens=special, show_progress=False
    )
    trained(inner, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, inner.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def llama_like():
    """BPE over words that keep their space, <s> before a text."""
    inner = Tokenizer(models.BPE(unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    inner.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=300, initial_alphabet=LETTERS, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    trained(inner, trainer)
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", inner.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


MAKE = {"gpt2": gpt2_like, "bert": bert_like, "llama": llama_like, "words": lambda: load_tokenizer("words").pretrained}
TOKENIZERS = {name: CaptionTokenizer(make()) for name, make in MAKE.items()}


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]


def pieces(tokenizer, tokens, row=0):
    """Texts between the separators that the positions point at."""
    ids = tokens.input_ids[row].tolist()
    ends = [position for position in tokens.sentence_positions[row].tolist() if position >= 0]
    starts = [len(tokenizer.prefix), *(end + 1 for end in ends[:-1])]
    return [tokenizer.pretrained.decode(ids[start:end]).strip() for start, end in zip(starts, ends, strict=True)]


def letters(text):
    """What every tokenizer keeps of a sentence."""
    return "".join(text.lower().split())


def test_every_sentence_lies_whole_between_separators(tokenizer):
    tokens = tokenise(tokenizer, [CAPTION])
    assert list(map(letters, pieces(tokenizer, tokens))) == list(map(letters, CAPTION))
    assert tokens.cut == 0


def test_positions_are_those_of_all_separators(tokenizer):
    tokens = tokenise(tokenizer, [CAPTION, CAPTION[:1], CAPTION[4:]])
    assert tokens.input_ids.dtype == tokens.attention_mask.dtype == tokens.sentence_positions.dtype == torch.int64
    for ids, positions in zip(tokens.input_ids, tokens.sentence_positions, strict=True):
        found = torch.nonzero(ids == tokenizer.separator_id).flatten().tolist()
        assert found == positions[positions >= 0].tolist()


def test_shorter_captions_are_padded_on_the_right(tokenizer):
    tokens = tokenise(tokenizer, [CAPTION, CAPTION[:2]])
    alone = tokenise(tokenizer, [CAPTION[:2]])
    length = alone.input_ids.shape[1]
    assert tokens.input_ids.shape == tokens.attention_mask.shape == (2, int(tokens.attention_mask[0].sum()))
    assert tokens.input_ids[1, :length].tolist() == alone.input_ids[0].tolist()
    assert set(tokens.input_ids[1, length:].tolist()) == {tokenizer.pad_id}
    assert tokens.attention_mask[1].tolist() == [1] * length + [0] * (tokens.input_ids.shape[1] - length)
    assert tokens.sentence_positions[1, 2:].tolist() == [-1] * (len(CAPTION) - 2)


@pytest.mark.parametrize(
    ("name", "text"), [("gpt2", "{0}[SEP]{1}[SEP]"), ("bert", "{0} [SEP] {1}"), ("llama", "{0}[SEP]{1}[SEP]")]
)
def test_ids_are_those_of_the_tokenizer_for_the_joined_text(name, text):
    tokenizer = TOKENIZERS[name]
    joined = tokenizer.pretrained(text.format(*CAPTION))["input_ids"]
    assert tokenise(tokenizer, [CAPTION[:2]]).input_ids[0].tolist() == joined


@pytest.mark.parametrize(("name", "added"), [("gpt2", ["[SEP]", "[PAD]"]), ("bert", []), ("llama", ["[SEP]", "[PAD]"])])
def test_missing_tokens_are_added_at_the_end_in_a_fixed_order(name, added):
    before = len(MAKE[name]())
    tokenizer = TOKENIZERS[name]
    assert len(tokenizer) == before + len(added)
    assert tokenizer.pretrained.convert_ids_to_tokens(list(range(before, len(tokenizer)))) == added
    assert tokenise(tokenizer, [CAPTION]).input_ids.max() < len(tokenizer)


def test_another_separator(tokenizer):
    other = CaptionTokenizer(pickle.loads(pickle.dumps(tokenizer.pretrained)), separator="<sentence>")
    tokens = tokenise(other, [CAPTION])
    assert len(other) == len(tokenizer) + 1
    assert (tokens.input_ids == len(tokenizer)).sum() == len(CAPTION)


def test_special_tokens_in_a_table_are_no_separators(tokenizer):
    specials = " ".join(tokenizer.pretrained.all_special_tokens)
    dirty = tokenise(tokenizer, [[f"Procedure: [SEP]{specials} MG.", "Reason: diagnostic."]])
    assert (dirty.input_ids == tokenizer.separator_id).sum() == 2
    clean = tokenise(tokenizer, [["Procedure: MG.", "Reason: diagnostic."]])
    assert list(map(letters, pieces(tokenizer, dirty))) == list(map(letters, pieces(tokenizer, clean)))


@settings(deadline=None)
@given(most=st.integers(30, 160))
def test_long_captions_are_cut_at_a_sentence_and_counted(most):
    for tokenizer in TOKENIZERS.values():
        tokens = tokenise(tokenizer, [CAPTION, CAPTION[:1]], max_tokens=most)
        whole = tokenise(tokenizer, [CAPTION], max_tokens=1000)
        assert tokens.input_ids.shape[1] <= most
        assert tokens.cut == (tokens.sentence_positions.shape[1] < len(CAPTION))
        kept = pieces(tokenizer, tokens)
        assert kept == pieces(tokenizer, whole)[: len(kept)]
        if tokens.cut:
            following = len(tokenizer.sentence(CAPTION[len(kept)]))
            assert int(tokens.attention_mask[0].sum()) + following > most


def test_a_first_sentence_that_is_too_long_is_cut_and_keeps_its_separator(tokenizer):
    tokens = tokenise(tokenizer, [CAPTION, ["Ok."]], max_tokens=6)
    assert tokens.input_ids.shape[1] == 6
    assert tokens.cut >= 1
    last = int(tokens.sentence_positions[0, 0])
    assert tokens.input_ids[0, last] == tokenizer.separator_id
    kept = letters(pieces(tokenizer, tokens)[0])
    assert kept
    assert letters(CAPTION[0]).startswith(kept)


def test_ids_do_not_depend_on_what_was_tokenised_before(tokenizer):
    first = tokenise(tokenizer, [CAPTION]).input_ids
    again = pickle.loads(pickle.dumps(tokenizer))
    assert len(pickle.dumps(again)) == len(pickle.dumps(pickle.loads(pickle.dumps(again))))
    assert torch.equal(tokenise(again, [CAPTION]).input_ids, first)
    assert torch.equal(tokenise(tokenizer, [CAPTION]).input_ids, first)


def test_no_captions_are_an_empty_batch(tokenizer):
    tokens = tokenise(tokenizer, [])
    assert tokens.input_ids.shape == tokens.attention_mask.shape == tokens.sentence_positions.shape == (0, 0)


def test_a_caption_without_a_sentence_is_refused(tokenizer):
    with pytest.raises(DataSettingsError, match="number 1 has no sentence"):
        tokenise(tokenizer, [CAPTION, []])


def test_a_context_too_small_or_too_large_is_refused(tokenizer):
    with pytest.raises(DataSettingsError, match="max_tokens: 1;"):
        tokenise(tokenizer, [CAPTION], max_tokens=1)
    short = pickle.loads(pickle.dumps(tokenizer))
    short.pretrained.model_max_length = 100
    with pytest.raises(DataSettingsError, match="takes up to 100"):
        tokenise(short, [CAPTION], max_tokens=144)


@pytest.mark.parametrize("style", STYLES)
def test_the_tokenizer_of_words_knows_the_words_of_captions(style):
    tokenizer = load_tokenizer("words")
    captioner = Captioner(style=style)
    captions = [one.sentences for target in ("birads", "density") for one in captioner.class_captions(target, FULL)]
    tokens = tokenise(
        tokenizer, [*captions, captioner.sentences(FULL), captioner.sentences({**FULL, "mass_shape": None})]
    )
    assert not (tokens.input_ids == tokenizer.unknown_id).any()
    assert len({tuple(row) for row in tokens.input_ids.tolist()}) == 7 + 4 + 2  # every class reads unlike the others
    assert (tokenise(tokenizer, [["Qwertz"]]).input_ids == tokenizer.unknown_id).sum() == 1


def test_the_tokenizer_of_words_is_always_the_same():
    one, other = load_tokenizer("words"), load_tokenizer("words")
    assert one.pretrained.get_vocab() == other.pretrained.get_vocab()
    assert list(map(one.pretrained.convert_tokens_to_ids, ["[PAD]", "[UNK]"])) == [0, 1]
    assert one.separator_id == len(one) - 1


@pytest.mark.parametrize("name", ["gpt2", "bert", "llama"])
def test_a_local_folder_gives_the_same_ids(name, tmp_path):
    made = MAKE[name]()
    made.save_pretrained(tmp_path)
    loaded, expected = load_tokenizer(str(tmp_path)), CaptionTokenizer(made)
    assert torch.equal(tokenise(loaded, [CAPTION]).input_ids, tokenise(expected, [CAPTION]).input_ids)
    assert len(loaded) == len(expected)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataSettingsError, match=r"holds no tokenizer; expected one of tokenizer\.json"):
        load_tokenizer(str(tmp_path))


def test_a_broken_tokenizer_is_refused_in_one_line(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(DataSettingsError, match="cannot be read") as error:
        load_tokenizer(str(tmp_path))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("source", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_missing_folder_is_named(source):
    with pytest.raises(DataSettingsError, match=r"there is no folder .*; give one, a name on the hub, or words"):
        load_tokenizer(source)


def test_without_network_the_error_says_what_to_download():
    with pytest.raises(DataSettingsError, match=r"no network and no cached tokenizer stanford-crfm/BioMedLM: download"):
        load_tokenizer("stanford-crfm/BioMedLM")


def test_an_empty_separator_is_refused():
    with pytest.raises(DataSettingsError, match="separator"):
        load_tokenizer("words", separator=" ")
