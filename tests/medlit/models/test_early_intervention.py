"""Early Intervention against the method, written out slowly, and what must hold for any input."""

import pytest
import torch
from peft import IA3Config, LoraConfig
from torch.nn.functional import gelu, layer_norm

from medlit.errors import ConfigurationError
from medlit.losses import EarlyInterventionLoss
from medlit.models import EarlyInterventionClassifier
from medlit.peft import MoRConfig
from tests.medlit.models.small import TINY, early_intervention, pictures, randomise_adapters

ADAPTERS = {
    "mor": MoRConfig(ranks=[2, 4], alphas=[4, 8], target_modules=["mlp.fc1", "mlp.fc2"]),
    "lora": LoraConfig(r=4, target_modules=["mlp.fc1", "attn.qkv"]),
    "dora": LoraConfig(r=4, target_modules=["mlp.fc1"], use_dora=True),
    "ia3": IA3Config(target_modules=["attn.qkv", "mlp.fc2"], feedforward_modules=["mlp.fc2"]),
}


def slow_early_intervention(model, images, masks):
    """Section 3 of the method, case by case and image by image, over the modalities that a case has."""
    places = {name: place for place, name in enumerate(model.modalities)}

    def embed(view, image, tokens):
        values = model.backbone.variable_encoder(image[None]) if image.ndim == 1 else image[None]
        output = view(values, torch.stack(tokens)[None] if tokens else None, insert_at=model.intervene_at)
        return view.summary(output, num_patches=1 if image.ndim == 1 else None)[0]

    rows = []
    for case in range(len(next(iter(images.values())))):
        mine = {name: images[name][case][masks[name][case]] for name in model.modalities if masks[name][case].any()}
        names = list(mine)
        auxiliary, reference, main, steered = {}, {}, {}, {}
        for name in names:
            embeddings = [embed(model.backbone.passes[f"auxiliary_{name}"], image, []) for image in mine[name]]
            auxiliary[name] = torch.stack([model.auxiliary_heads[name](e) for e in embeddings]).amax(0)
            reference[name] = torch.stack(embeddings).amax(0)
        for target in names:
            tokens = []
            for other in names:
                if other != target:
                    norm, first, _, second = model.projectors[target][other]
                    x = layer_norm(reference[other], norm.normalized_shape, norm.weight, norm.bias, 1e-6)
                    tokens.append(second(gelu(first(x))))
            view = model.backbone.passes[f"main_{target}"]
            steered[target] = torch.stack([embed(view, image, tokens) for image in mine[target]]).mean(0)
            main[target] = model.main_heads[target](steered[target])
        weight = model.gate.weight.view(len(places), len(places), -1)  # by weighed modality, and by modality seen
        scores = [
            model.gate.bias[places[a]] + sum(weight[places[a], places[b]] @ steered[b].detach() for b in names)
            for a in names
        ]
        gate = dict(zip(names, torch.stack(scores).softmax(0), strict=True))
        fused = sum(gate[name] * main[name].detach() for name in names)
        rows.append((fused, auxiliary, main, gate))
    return rows


def assert_equal_to_the_slow_form(output, rows, modalities, **tolerance):
    for case, (fused, auxiliary, main, gate) in enumerate(rows):
        torch.testing.assert_close(output.fused[case], fused, **tolerance)
        for place, name in enumerate(modalities):
            assert bool(output.present[case, place]) == (name in main)
            found = (output.auxiliary[name][case], output.main[name][case], output.gate[case, place])
            nothing = tuple(torch.zeros_like(value) for value in found)
            expected = (auxiliary[name], main[name], gate[name]) if name in main else nothing
            torch.testing.assert_close(found, expected, **tolerance)


@pytest.mark.parametrize("names", [("clinic", "derm"), ("axial", "coronal", "sagittal")])
@pytest.mark.parametrize("backbone", ["vit_base_patch16_clip_224", "vit_base_patch16_dinov3"])
@pytest.mark.parametrize("intervene_at", [0, 1])
def test_equals_the_method_written_out(names, backbone, intervene_at):
    model = randomise_adapters(early_intervention(modalities=names, backbone=backbone, intervene_at=intervene_at))
    images = pictures(modalities=names, cases=2, per_case=3)
    masks = {name: torch.tensor([[True, True, False], [True, True, True]]) for name in names}
    rows = slow_early_intervention(model, images, masks)
    assert_equal_to_the_slow_form(model(images, masks), rows, names, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("intervene_at", range(4))
def test_tokens_may_join_before_any_block(intervene_at):
    options = {"model_args": {"depth": 4, "embed_dim": 32, "num_heads": 2}, "intervene_at": intervene_at}
    model = randomise_adapters(early_intervention(**options))
    images = pictures(cases=2)
    masks = {name: torch.ones(2, 1, dtype=torch.bool) for name in images}
    rows = slow_early_intervention(model, images, masks)
    assert_equal_to_the_slow_form(model(images), rows, model.modalities, rtol=1e-4, atol=1e-5)


def test_padding_changes_nothing():
    model = randomise_adapters(early_intervention())
    images = pictures(per_case=2)
    padded = {name: torch.cat([value, torch.full_like(value, 0.7)], dim=1) for name, value in images.items()}
    mask = {name: torch.tensor([[True, True, False, False]] * 3) for name in images}
    torch.testing.assert_close(model(padded, mask).fused, model(images).fused, rtol=1e-5, atol=1e-6)


def test_the_order_of_modalities_only_renames_the_gate():
    model = randomise_adapters(early_intervention())
    images = pictures()
    turned = EarlyInterventionClassifier(
        modalities=["derm", "clinic"], num_classes=5, model_args={"depth": 2, "embed_dim": 32, "num_heads": 2}, **TINY
    )
    state = model.state_dict()
    state["gate.weight"] = state["gate.weight"].view(2, 2, 32).flip(0, 1).reshape(2, 64)
    state["gate.bias"] = state["gate.bias"].flip(0)
    turned.load_state_dict(state)
    one, other = model(images), turned(images)
    torch.testing.assert_close(one.fused, other.fused)
    torch.testing.assert_close(one.gate, other.gate.flip(1))


def test_tokens_of_the_other_modality_change_a_modalitys_main_logits_not_its_auxiliary_ones():
    model = randomise_adapters(early_intervention())
    images = pictures()
    swapped = {"clinic": images["clinic"], "derm": images["derm"].roll(1, 0)}
    before, after = model(images), model(swapped)
    assert torch.equal(before.auxiliary["clinic"], after.auxiliary["clinic"])
    assert (before.main["clinic"] - after.main["clinic"]).abs().max() > 1e-5


def test_the_fused_loss_trains_the_gate_alone():
    model = early_intervention()
    model(pictures()).fused.sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert trained == {"gate.weight", "gate.bias"}


def test_the_main_losses_train_projectors_and_the_references_auxiliary_adapters():
    model = randomise_adapters(early_intervention())
    model(pictures()).main["clinic"].square().sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert any(name.startswith("projectors.clinic.derm.") for name in trained)
    assert any(name.startswith("backbone.passes.auxiliary_derm.") for name in trained)
    assert not any(name.startswith("backbone.passes.auxiliary_clinic.") for name in trained)


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)
def test_gradient_checkpointing_gives_the_same_gradients_to_every_adapter(adapter):
    gradients = []
    for recompute in (False, True):
        model = randomise_adapters(early_intervention(adapter=adapter, gradient_checkpointing=recompute).train())
        loss = EarlyInterventionLoss(prior=[1, 0.001])(model(pictures(cases=4)), torch.tensor([0, 1, 2, 3]))
        loss["total"].backward()
        named = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert [name for name, gradient in named.items() if gradient is None] == []
        assert any(name.startswith("backbone.passes.auxiliary_derm") for name in named)
        gradients.append(named)
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, rtol=0, atol=0, msg=name)


def test_adapters_start_as_the_identity():
    plain, adapted = early_intervention(adapter=None, seed=3), early_intervention(seed=3)
    heads = {name: tensor for name, tensor in plain.state_dict().items() if not name.startswith("backbone.")}
    adapted.load_state_dict({**adapted.state_dict(), **heads})
    assert torch.equal(plain(pictures()).fused, adapted(pictures()).fused)


def test_one_frozen_backbone_is_in_memory_and_in_the_state_dict():
    model = early_intervention()
    encoder = sum(parameter.numel() for parameter in model.backbone.encoder.parameters())
    frozen = sum(parameter.numel() for parameter in model.parameters() if not parameter.requires_grad)
    assert frozen == encoder
    assert sum("patch_embed.proj.weight" in name for name in model.state_dict()) == 1


def test_state_dict_makes_the_round_trip_strictly():
    first, second = randomise_adapters(early_intervention()), early_intervention(seed=9)
    assert not torch.allclose(first(pictures()).fused, second(pictures()).fused)
    second.load_state_dict(first.state_dict(), strict=True)
    assert torch.equal(first(pictures()).fused, second(pictures()).fused)


@pytest.mark.parametrize(
    ("modalities", "num_classes", "millions"),
    [(("cfp", "oct"), 4, 7.099), (("clinic", "derm"), 5, 7.102), (("axial", "coronal", "sagittal"), 3, 12.424)],
)
def test_trainable_parameters_are_those_of_the_paper(modalities, num_classes, millions):
    """Section 3 of the method sheet; counted without memory."""
    with torch.device("meta"):
        model = EarlyInterventionClassifier(
            modalities=modalities,
            num_classes=num_classes,
            img_size=518,
            backbone="vit_base_patch14_reg4_dinov2",
            pretrained=False,
        )
    trainable = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    assert round(trainable / 1e6, 3) == millions


def test_gate_and_fusion_are_float32_under_mixed_precision():
    model = early_intervention()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(pictures())
    assert output.gate.dtype == output.fused.dtype == torch.float32
    assert output.main["clinic"].dtype == torch.bfloat16


def test_runs_on_the_meta_device():
    """Shapes and counts of the largest models cost nothing."""
    with torch.device("meta"):
        model = early_intervention()
        images = {name: torch.empty(2, 1, 3, 32, 32) for name in ("clinic", "derm")}
    assert model(images).fused.shape == (2, 5)


def test_a_case_without_any_modality_is_refused():
    mask = {name: torch.tensor([[True], [False], [True]]) for name in ("clinic", "derm")}
    with pytest.raises(ValueError, match="case 1 of the batch has no image of clinic or derm"):
        early_intervention()(pictures(), mask)
    with pytest.raises(ValueError, match=r"no images of clinic or derm, only of \['oct'\]"):
        early_intervention()(pictures(modalities=["oct"]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modalities": ["clinic"]}, "two or more"),
        ({"modalities": ["clinic", "clinic"]}, "different"),
        ({"intervene_at": 2}, "from 0 to 1, got 2"),
        ({"adapter": LoraConfig(target_modules=["no_such_layer"])}, "LoraConfig does not fit.*no_such_layer"),
        ({"adapter": LoraConfig(target_modules=["mlp.fc1"], bias="all")}, "trains weights of the frozen backbone"),
        ({"adapter": LoraConfig(target_modules=["mlp.fc1"], init_lora_weights="pissa")}, "changes or trains weights"),
    ],
)
def test_impossible_settings_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        early_intervention(**options)
