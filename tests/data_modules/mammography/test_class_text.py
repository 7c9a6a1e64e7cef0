"""Text of classes: the same captions as the captioner's, for every case, and none that gives a label away."""

import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.errors import DataSettingsError
from data_modules.mammography import CBISDDSMDataModule, EMBEDDataModule, RSNAMammoDataModule, VinDrMammoDataModule
from data_modules.mammography.captions import Captioner
from data_modules.mammography.class_text import ClassTextSettings, make_writer
from data_modules.mammography.image_text import PairSettings
from data_modules.mammography.tokens import tokenise, tokenizer_of
from tests.data_modules.mammography.captions.rows import FULL, rows
from tests.data_modules.mammography.prepared_trees import pristine

SIZE = 12
SETS = {
    "embed": EMBEDDataModule,
    "rsna_mammo": RSNAMammoDataModule,
    "vindr_mammo": VinDrMammoDataModule,
    "cbis_ddsm": CBISDDSMDataModule,
}
LABELS = (
    *("birads", "density", "cancer", "mass_shape", "mass_density"),
    *("calc_finding", "calc_distribution", "spot", "implant", "inferred", "split"),
)
"""Columns that say something of what was found, or what a case is used for."""
STYLES = ("structured", "natural", "simple")
WORDS = tokenizer_of("words", "[SEP]")


def make(name, *, text=None, **changes):
    """A set whose batches carry text of classes."""
    shared = {"root": pristine(name), "img_size": SIZE, "batch_size": 4, "class_text": text or ClassTextSettings()}
    return SETS[name](**{**shared, **changes})


def batch_of(data, split="test"):
    data.setup("fit")
    return next(
        iter({"val": data.val_dataloader, "test": data.test_dataloader, "train": data.train_dataloader}[split]())
    )


def texts(ids, mask):
    """Captions of (..., T) tokens as text."""
    rows = zip(ids.flatten(0, -2), mask.flatten(0, -2), strict=True)
    return [WORDS.pretrained.decode(row[kept == 1]) for row, kept in rows]


def written(captions):
    """Captions of sentences as the same text."""
    tokens = tokenise(WORDS, [caption.sentences for caption in captions])
    return texts(tokens.input_ids, tokens.attention_mask)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("embed", "birads"),
        ("embed", "density"),
        ("rsna_mammo", "cancer"),
        ("vindr_mammo", "birads"),
        ("cbis_ddsm", "density"),
    ],
)
def test_batches_hold_the_captioners_captions_plain_and_of_each_case(name, target):
    data = make(name, target=target)
    batch = batch_of(data)
    plain, own = batch["class_text"]["plain"], batch["class_text"]["metadata"]
    captions = Captioner().class_captions(target)
    assert plain["input_ids"].shape[:3] == (1, 1, len(captions))
    assert own["input_ids"].shape[:3] == (len(batch["case_id"]), 1, len(captions))
    for text in (plain, own):
        assert text["input_ids"].shape == text["attention_mask"].shape
        assert {value.dtype for value in text.values()} == {torch.int64}
        assert text["label"].tolist() == [caption.label for caption in captions]
    assert texts(plain["input_ids"], plain["attention_mask"]) == written(captions)
    metadata = data.dataset("test").cases.metadata
    for case in range(len(batch["case_id"])):
        expected = Captioner().class_captions(target, metadata.row(case))
        assert texts(own["input_ids"][case], own["attention_mask"][case]) == written(expected)
    assert set(plain["label"].tolist()) == set(range(data.num_classes))
    assert batch["cut_captions"] == 0


@settings(deadline=None, max_examples=40)
@given(row=rows, other=rows, target=st.sampled_from(["birads", "density", "cancer"]))
def test_no_label_of_a_case_enters_the_captions_of_its_classes(row, other, target):
    changed = {**row, **{name: other.get(name) for name in LABELS}}
    writer = make_writer(ClassTextSettings(styles=STYLES), name="set", target=target, one_sided=True)
    assert writer.captions(row) == writer.captions(changed)


def test_a_case_says_its_own_metadata():
    writer = make_writer(ClassTextSettings(), name="set", target="density", one_sided=True)
    assert all("age 61" in " ".join(caption) for caption in writer.captions(FULL)[0])
    assert not any("61" in " ".join(caption) for caption in writer.captions()[0])


def test_wordings_come_in_the_order_asked_for():
    batch = batch_of(make("embed", target="density", text=ClassTextSettings(styles=("simple", "natural"))))
    plain = batch["class_text"]["plain"]
    for wording, style in enumerate(("simple", "natural")):
        expected = written(Captioner(style=style).class_captions("density"))
        assert texts(plain["input_ids"][0, wording], plain["attention_mask"][0, wording]) == expected


def test_without_metadata_batches_hold_the_plain_text_alone():
    batch = batch_of(make("rsna_mammo", text=ClassTextSettings(metadata=False)))
    assert list(batch["class_text"]) == ["plain"]
    assert "cut_captions" not in batch


def test_training_batches_and_data_that_were_not_asked_hold_no_text():
    assert "class_text" not in batch_of(make("rsna_mammo"), "train")
    data = RSNAMammoDataModule(root=pristine("rsna_mammo"), img_size=SIZE, batch_size=4)
    assert "class_text" not in batch_of(data)
    assert (data.num_tokens, data.tokenizer_settings) == (None, None)


def test_groups_of_cases_are_kept_beside_the_text():
    batch = batch_of(make("rsna_mammo"))
    assert set(batch["strata"]["site"]) <= {"1", "2"}


def test_every_image_is_predicted_with_its_text():
    data = make("rsna_mammo", predict_split="all")
    data.setup("predict")
    batch = next(iter(data.predict_dataloader()))
    assert len(batch["class_text"]["metadata"]["input_ids"]) == len(batch["case_id"])


def test_the_task_learns_the_size_and_name_of_the_tokenizer():
    data = make("rsna_mammo", text=ClassTextSettings(separator="<end>", max_tokens=100))
    assert data.num_tokens == len(tokenizer_of("words", "<end>"))
    assert data.tokenizer_settings == {"source": "words", "separator": "<end>", "max_tokens": 100}
    pretraining = EMBEDDataModule(root=pristine("embed"), pretraining=PairSettings(max_tokens=90), img_size=SIZE)
    assert pretraining.num_tokens == len(WORDS)
    assert pretraining.tokenizer_settings == {"source": "words", "separator": "[SEP]", "max_tokens": 90}


def test_evaluation_of_pretraining_holds_plain_text_in_the_words_of_its_captions():
    pretraining = PairSettings(style="natural")
    data = EMBEDDataModule(
        root=pristine("embed"), pretraining=pretraining, target="density", img_size=SIZE, batch_size=4
    )
    batch = batch_of(data, "val")
    assert list(batch["class_text"]) == ["plain"]
    plain = batch["class_text"]["plain"]
    expected = written(Captioner(style="natural").class_captions("density"))
    assert texts(plain["input_ids"], plain["attention_mask"]) == expected
    assert "class_text" not in batch_of(data, "train")


def test_of_captions_that_are_too_long_sentences_about_the_image_go_and_the_classes_stay_apart():
    writer = make_writer(ClassTextSettings(max_tokens=144), name="set", target="birads", one_sided=True)
    long = {**FULL, "procedure": "digital screening " * 60}
    text, cut = writer.tokens([writer.captions(long), writer.captions(FULL)])
    assert cut == 1
    assert text["attention_mask"].sum(-1).max() <= 144
    kept = [WORDS.pretrained.decode(ids) for ids in text["input_ids"][0, 0]]
    for number, caption in enumerate(kept):
        assert f"category {number}" in caption
        assert "digital screening" not in caption
    assert texts(text["input_ids"][1], text["attention_mask"][1]) == written(Captioner().class_captions("birads", FULL))


def test_a_writer_travels_to_a_worker():
    writer = make_writer(ClassTextSettings(), name="set", target="cancer", one_sided=True)
    sent = pickle.loads(pickle.dumps(writer))
    assert torch.equal(sent.plain()["input_ids"], writer.plain()["input_ids"])


@pytest.mark.slow
def test_workers_write_the_same_text():
    one, two = (batch_of(make("rsna_mammo", num_workers=number)) for number in (0, 2))
    for kind in ("plain", "metadata"):
        for name, value in one["class_text"][kind].items():
            assert torch.equal(two["class_text"][kind][name], value)


def test_side_words_follow_the_orientation_of_the_images():
    row = {**FULL, "laterality": "L"}
    for one_sided, side in ((True, "side unknown"), (False, "side left")):
        writer = make_writer(ClassTextSettings(), name="set", target="density", one_sided=one_sided)
        assert all(side in " ".join(caption) for caption in writer.captions(row)[0])
    paper = make_writer(ClassTextSettings(side_text="paper"), name="set", target="density", one_sided=True)
    assert "side left" in " ".join(paper.captions(row)[0][0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"styles": ()}, r"styles is \[\]; give one or more"),
        ({"styles": ("simple", "simple")}, "give one or more, each once"),
        ({"styles": ("plain",)}, "unknown style 'plain'"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(DataSettingsError, match=message):
        ClassTextSettings(**settings)


def test_breasts_are_no_images():
    with pytest.raises(DataSettingsError, match="RSNA-Mammo: class_text: captions are of images; set level: image"):
        make("rsna_mammo", level="breast")


def test_pretraining_has_text_of_its_own():
    with pytest.raises(
        DataSettingsError, match=r"class_text is for classification, .* set class_text: null, or pretraining: null"
    ):
        make("embed", pretraining=PairSettings())


def test_a_target_without_captions_is_refused():
    with pytest.raises(DataSettingsError, match="set: class_text: no captions for target 'implant'"):
        make_writer(ClassTextSettings(), name="set", target="implant", one_sided=True)


def test_captions_of_classes_that_do_not_fit_are_refused_before_anything_is_read(tmp_path):
    data = make("rsna_mammo", text=ClassTextSettings(max_tokens=20), root=tmp_path / "nothing here")
    with pytest.raises(DataSettingsError, match="max_tokens is 20, but the captions of classes have up to 5"):
        data.setup("fit")


def test_classes_that_read_alike_to_the_tokenizer_are_refused(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"[UNK]": 0, "density": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]").save_pretrained(tmp_path)
    data = make("embed", target="density", text=ClassTextSettings(styles=("simple",), tokenizer=str(tmp_path)))
    with pytest.raises(DataSettingsError, match="captions of different classes of density are the same to tokenizer"):
        data.setup("fit")
