"""MaMA's loss: its terms against their definitions, which of them take part, and what is refused."""

from dataclasses import replace

import pytest
import torch

from medlit.errors import ConfigurationError
from medlit.losses import MaMAEmbeddings, MaMALoss
from tests.medlit.losses.slow_mama import differences, slow_clip, slow_local, slow_nt_xent, unit

SCALES = {
    "scale": torch.tensor(1 / 0.07, dtype=torch.float64),  # where both taus start
    "local_scale": torch.tensor(1 / 0.07, dtype=torch.float64),
}
FLOATS = ("image", "text", "second_image", "view", "second_view", "patches", "sentences")
LATE = ("second_image_text", "view", "local")


def embeddings(n=6, e=4, dtype=torch.float64):
    """Captions 1 and 4 say the same; caption 2 has no sentence; half of the second images, theirs too, show the same
    breast.
    """
    shapes = dict.fromkeys(FLOATS, (n, e)) | {"patches": (n, 3, e), "sentences": (9, e)}
    tensors = {name: unit(*shape, seed=seed, dtype=dtype) for seed, (name, shape) in enumerate(shapes.items())}
    return MaMAEmbeddings(
        **{name: tensor.requires_grad_() for name, tensor in tensors.items()},
        sentence_owner=torch.tensor([0, 0, 1, 3, 3, 4, 5, 5, 5]),
        same_breast=torch.tensor([False, True, True, False, True, False]),
        caption_id=torch.tensor([5, 7, 8, 9, 7, 6]),
    )


def compute(loss, given, *, late=True):
    return loss(given, **SCALES, late=late, gather=True)


def slow_terms(given, *, text_pair, symmetric, positives, temperature):
    groups = given.caption_id if positives else None
    rows = given.same_breast if text_pair == "same_breast" else torch.ones(len(given.image), dtype=torch.bool)
    return {
        "image_text": slow_clip(given.image, given.text, SCALES["scale"], groups),
        "second_image_text": slow_clip(
            given.second_image[rows], given.text[rows], SCALES["scale"], None if groups is None else groups[rows]
        ),
        "view": slow_nt_xent(given.view, given.second_view, temperature),
        "local": slow_local(
            given.patches, given.sentences, given.sentence_owner, SCALES["local_scale"], symmetric, groups
        ),
    }


@pytest.mark.parametrize("text_pair", ["all", "same_breast"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("captions", ["negatives", "positives"])
def test_equals_the_definition(text_pair, symmetric, captions):
    given = embeddings()
    inputs = tuple(getattr(given, name) for name in FLOATS)
    weights = {"second_image_weight": 0.5, "view_weight": 2.0, "local_weight": 0.25}
    settings = {"text_pair": text_pair, "symmetric": symmetric, "temperature": 0.3}
    found = compute(MaMALoss(**settings, identical_captions=captions, **weights), given)
    expected = slow_terms(given, **settings, positives=captions == "positives")
    expected["total"] = (
        expected["image_text"] + 0.5 * expected["second_image_text"] + 2 * expected["view"] + 0.25 * expected["local"]
    )
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert max(differences(found[name], value, inputs).values()) < 1e-12


def test_weights_are_one_and_all_pairs_enter_unless_told():
    found = compute(MaMALoss(), embeddings())
    expected = slow_terms(embeddings(), text_pair="all", symmetric=True, positives=False, temperature=0.5)
    assert found["total"].item() == pytest.approx(sum(expected.values()).item(), rel=1e-12)


def test_early_terms_need_no_late_inputs():
    given = embeddings()
    early = replace(
        given, **dict.fromkeys(("second_image", "view", "second_view", "patches", "sentences", "sentence_owner"))
    )
    found = compute(MaMALoss(), early, late=False)
    assert found.keys() == {"image_text", "total"}
    assert found["total"] == found["image_text"] == compute(MaMALoss(), given)["image_text"]


@pytest.mark.parametrize(
    ("settings", "terms"),
    [
        ({}, LATE),
        ({"second_image_weight": 0, "view_weight": 0, "local_weight": 0}, ()),  # CLIP
        ({"second_image_weight": 0, "local_weight": 0}, ("view",)),  # SLIP
        ({"text_pair": "none"}, ("view", "local")),
        ({"text_pair": "same_breast", "view_weight": 0}, ("second_image_text", "local")),
    ],
)
def test_a_term_of_weight_zero_is_absent_and_needs_no_inputs(settings, terms):
    loss, given = MaMALoss(**settings), embeddings()
    needed = {
        "second_image_text": ["second_image"],
        "view": ["view", "second_view"],
        "local": ["patches", "sentences", "sentence_owner"],
    }
    absent = [name for term, names in needed.items() if term not in terms for name in names]
    assert (loss.late_terms, loss.has_late_terms) == (terms, bool(terms))
    assert set(compute(loss, replace(given, **dict.fromkeys(absent)))) == {"image_text", *terms, "total"}


@pytest.mark.parametrize("shown", [0, 1])
def test_fewer_than_two_pairs_of_one_breast_make_a_term_of_zero_that_can_go_backward(shown):
    given = replace(embeddings(), same_breast=torch.arange(6) < shown)
    found = compute(MaMALoss(text_pair="same_breast"), given)["second_image_text"]
    gradients = torch.autograd.grad(found, (given.second_image, given.text))
    assert found.item() == 0
    assert [gradient.count_nonzero().item() for gradient in gradients] == [0, 0]


def test_terms_are_float32_under_autocast_and_for_bfloat16():
    given = embeddings(dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = compute(MaMALoss(), given)
    wide = {name: getattr(given, name).detach().float() for name in FLOATS}
    expected = MaMALoss()(
        replace(given, **wide), **{name: scale.float() for name, scale in SCALES.items()}, late=True, gather=False
    )
    for name, value in expected.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(found[name].float(), value)


@pytest.mark.parametrize(
    ("name", "term"), [("second_image", "second_image_text"), ("second_view", "view"), ("sentences", "local")]
)
def test_an_absent_input_of_a_term_is_named(name, term):
    with pytest.raises(ValueError, match=rf"{term} of MaMALoss needs embeddings.{name}"):
        compute(MaMALoss(), replace(embeddings(), **{name: None}))


def test_a_batch_of_one_is_refused_with_its_shape():
    given = embeddings()
    with pytest.raises(ValueError, match=r"N >= 2.*\(1, 4\)"):
        compute(MaMALoss(), replace(given, image=given.image[:1], text=given.text[:1]), late=False)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"text_pair": "study"}, "'all', 'same_breast' or 'none', got 'study'"),
        ({"identical_captions": "ignored"}, "'negatives' or 'positives', got 'ignored'"),
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"local_weight": -1.0}, "weights must be finite and >= 0"),
        ({"view_weight": float("nan")}, "weights must be finite and >= 0"),
    ],
)
def test_settings_that_cannot_work_are_refused(setting, message):
    with pytest.raises(ConfigurationError, match=message):
        MaMALoss(**setting)
