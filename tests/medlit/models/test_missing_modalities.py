"""A case without a modality is answered as by a model that never had it; clinical variables are one more modality."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from data_modules import batch
from medlit.errors import ConfigurationError
from medlit.losses import EarlyInterventionLoss
from medlit.models.variables import VARIABLES, VariableEncoder
from tests.medlit.models.small import early_intervention, pictures, randomise_adapters, unimodal
from tests.medlit.models.test_early_intervention import assert_equal_to_the_slow_form, slow_early_intervention

NAMES = ("axial", "coronal", "sagittal")
SUBSETS = torch.tensor([[case >> place & 1 for place in range(3)] for case in range(1, 8)], dtype=torch.bool)
"""Seven cases: every subset of three modalities that holds any."""
BACKBONES = ("vit_base_patch16_clip_224", "vit_base_patch16_dinov3", "vit_base_patch16_siglip_224")
AGE = ["age", "sex=female", "sex=male"]


def mixed_batch(per_case=2):
    """Images of seven cases that have each subset of the modalities once, the second image of some being padding."""
    images = pictures(modalities=NAMES, cases=7, per_case=per_case)
    masks = {name: SUBSETS[:, [place]].repeat(1, per_case) for place, name in enumerate(NAMES)}
    masks["axial"][0, 1] = masks["coronal"][5, 1] = False
    return images, masks


def slow_loss(rows, label):
    """Mean over cases of the sum over the modalities a case has."""
    total = 0.0
    for (fused, auxiliary, main, gate), y in zip(rows, label, strict=True):
        losses = {name: cross_entropy(logits, y) for name, logits in main.items()}
        best = min(losses, key=losses.__getitem__)
        side = sum(cross_entropy(logits, y) for logits in auxiliary.values())
        total += cross_entropy(fused, y) + 0.3 * side + sum(losses.values()) - 0.1 * gate[best].log()
    return total / len(label)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("vit_base_patch16_clip_224", {}),
        ("vit_base_patch16_dinov3", {"intervene_at": 1, "gradient_checkpointing": True}),
        ("vit_base_patch16_siglip_224", {"intervene_at": 1}),
    ],
)
def test_absent_equals_removed_in_outputs_and_gradients(backbone, options, training):
    model = randomise_adapters(early_intervention(modalities=NAMES, backbone=backbone, **options).train(training))
    images, masks = mixed_batch()
    label = torch.arange(7) % 5
    rows, output = slow_early_intervention(model, images, masks), model(images, masks)
    assert_equal_to_the_slow_form(output, rows, NAMES, rtol=0, atol=1e-6)
    loss = EarlyInterventionLoss(prior=[1, 1, 1])(output, label)["total"]
    slow = slow_loss(rows, label)
    assert loss.item() == pytest.approx(slow.item(), rel=1e-5)
    expected, found = gradients(model, slow), gradients(model, loss)
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-6, msg=name)


def test_what_lies_in_the_place_of_an_absent_image_is_not_read():
    model = randomise_adapters(early_intervention(modalities=NAMES))
    images, masks = mixed_batch()
    garbage = {
        name: value.masked_fill(~masks[name][..., None, None, None], torch.nan) for name, value in images.items()
    }
    assert torch.equal(model(garbage, masks).fused, model(images, masks).fused)


def test_only_real_images_are_run_through_the_backbone():
    model, seen = early_intervention(modalities=NAMES), []
    for view in model.backbone.passes.values():
        view.vit.norm.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    images, masks = mixed_batch()
    model(images, masks)
    assert sum(seen) == 2 * sum(int(mask.sum()) for mask in masks.values())


def test_a_modality_that_no_case_has_may_be_left_out_of_the_batch():
    model = randomise_adapters(early_intervention(modalities=NAMES))
    images = pictures(modalities=NAMES)
    masks = {name: torch.full((3, 1), name != "coronal") for name in NAMES}
    whole = model(images, masks)
    del images["coronal"]
    without = model(images)
    assert torch.equal(whole.fused, without.fused)
    assert without.present.tolist() == [[True, False, True]] * 3
    assert without.gate[:, 1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("recompute", [False, True])
def test_every_parameter_gets_a_gradient_without_any_image_of_a_modality(recompute):
    """What no image reaches gets zeros: processes of one training never wait for each other."""
    model = early_intervention(modalities=NAMES, gradient_checkpointing=recompute).train()
    output = model(pictures(modalities=["axial"]))
    found = gradients(model, EarlyInterventionLoss(prior=[1, 1, 1])(output, torch.tensor([0, 1, 2]))["total"])
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert all(not found[name].any() for name in found if "coronal" in name or "sagittal" in name)
    assert found["main_heads.axial.weight"].any()


def test_a_unimodal_model_needs_its_modality():
    with pytest.raises(ValueError, match="case 1 of the batch has no image of clinic"):
        unimodal()(pictures(), {"clinic": torch.tensor([[True], [False], [True]])})


def test_low_precision_answers_cases_that_lack_a_modality():
    model = early_intervention(modalities=NAMES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(*mixed_batch())
    assert output.fused.isfinite().all()
    assert output.gate.sum(dim=1).tolist() == pytest.approx([1] * 7)


# Clinical variables


def with_variables(**options):
    return randomise_adapters(early_intervention(modalities=("clinic", VARIABLES), variables=AGE, **options))


def case_with_variables(cases=4):
    images = pictures(modalities=["clinic"], cases=cases)
    images[VARIABLES] = torch.randn(cases, 1, 3, generator=torch.Generator().manual_seed(0))
    images[VARIABLES][1, 0, 1:] = torch.nan
    masks = {
        "clinic": torch.tensor([[True], [True], [False], [True]]),
        VARIABLES: torch.tensor([[True]] * 3 + [[False]]),
    }
    return images, masks


def test_the_name_of_the_modality_is_that_of_the_data():
    assert VARIABLES == batch.VARIABLES


def test_the_encoder_tells_unknown_from_the_mean():
    torch.manual_seed(0)
    encoder = VariableEncoder(2, 8)
    first, _, second = encoder.layers
    values = torch.tensor([[0.5, torch.nan], [0.5, 0.0]])
    known = torch.tensor([[0.5, 0.0, 0.0, 1.0], [0.5, 0.0, 0.0, 0.0]])
    expected = second(torch.nn.functional.gelu(first(known)))
    torch.testing.assert_close(encoder(values), expected[:, None])
    assert not torch.allclose(encoder(values)[0], encoder(values)[1])


def test_variables_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 4\), not \(B, 3\)"):
        VariableEncoder(3, 8)(torch.zeros(1, 4))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_variables_refer_and_are_referred_to_like_images(backbone):
    model = with_variables(backbone=backbone).train()
    images, masks = case_with_variables()
    rows, output = slow_early_intervention(model, images, masks), model(images, masks)
    assert_equal_to_the_slow_form(output, rows, model.modalities, rtol=1e-5, atol=1e-6)
    label = torch.arange(4)
    loss = EarlyInterventionLoss(prior=[1, 1])(output, label)["total"]
    expected, found = gradients(model, slow_loss(rows, label)), gradients(model, loss)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_another_age_changes_how_the_image_is_read():
    model = with_variables()
    images, _ = case_with_variables()
    older = {**images, VARIABLES: images[VARIABLES] + torch.tensor([2.0, 0.0, 0.0])}
    before, after = model(images), model(older)
    assert torch.equal(before.auxiliary["clinic"], after.auxiliary["clinic"])
    assert (before.main["clinic"] - after.main["clinic"]).abs().max() > 1e-5


@pytest.mark.parametrize("backbone", ["vit_base_patch14_reg4_dinov2", *BACKBONES])
@pytest.mark.parametrize("dynamic", [False, True])
def test_prefix_tokens_are_those_of_an_image(backbone, dynamic):
    size = 28 if "patch14" in backbone else 32
    arguments = {"depth": 2, "embed_dim": 32, "num_heads": 2, "dynamic_img_size": dynamic}
    encoder = unimodal(backbone=backbone, img_size=size, model_args=arguments).backbone.encoder
    prefix = encoder.vit.num_prefix_tokens
    tokens, _ = encoder._embed_tokens(torch.ones(2, 1, 32))
    expected, _ = encoder._embed(torch.rand(2, 3, size, size))
    assert tokens.shape == (2, prefix + 1, 32)
    torch.testing.assert_close(tokens[:, :prefix], expected[:, :prefix])
    assert torch.equal(tokens[:, prefix:], torch.ones(2, 1, 32))


def test_one_modality_of_variables_alone_is_classified():
    model = randomise_adapters(unimodal(modality=VARIABLES, variables=AGE).train())
    logits = model({VARIABLES: torch.randn(3, 1, 3)}).logits
    assert logits.shape == (3, 5)
    trained = gradients(model, cross_entropy(logits, torch.tensor([0, 1, 2])))
    assert trained["backbone.variable_encoder.layers.0.weight"].any()
    assert trained.keys() == {name for name, p in model.named_parameters() if p.requires_grad}


def test_full_fine_tuning_on_variables_leaves_no_parameter_without_gradient():
    model = unimodal(modality=VARIABLES, variables=AGE, adapter=None, train_backbone=True).train()
    found = gradients(model, model({VARIABLES: torch.randn(3, 1, 3)}).logits.square().sum())
    assert found.keys() == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ("clinic", VARIABLES)}, "the data names none"),
        ({"variables": AGE}, "age, sex=female, sex=male need 'variables' among the modalities"),
    ],
)
def test_variables_and_their_names_belong_together(options, message):
    with pytest.raises(ConfigurationError, match=message):
        early_intervention(**options)


def test_settings_name_the_variables():
    assert with_variables().settings()["variables"] == AGE
    assert "variables" not in early_intervention().settings()
