"""What is kept of a model, and what is refused when it comes back."""

import json

import pytest
import torch
from peft import LoraConfig

from medlit.checkpoint import (
    checkpoint_info,
    foundation_fingerprint,
    initialise_from_unimodal,
    load_weights,
    restore,
    save_weights,
    trainable_state,
)
from medlit.errors import CheckpointMismatchError, WeightsNotFoundError
from medlit.models.variables import VARIABLES
from medlit.peft import MoRConfig
from tests.medlit.models.small import early_intervention, pictures, randomise_adapters, unimodal

CLASSES = ["BCC", "NEV", "MEL", "SK", "MISC"]


def kept(model):
    return trainable_state(model), checkpoint_info(model, class_names=CLASSES)


def write_checkpoint(model, path):
    state, info = kept(model)
    torch.save({"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "medlit": info}, path)
    return str(path)


def test_holds_all_that_is_trained_and_nothing_frozen():
    model = early_intervention()
    names = set(trainable_state(model))
    assert names == {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_a_fully_trained_backbone_is_kept_whole():
    assert set(trainable_state(unimodal(adapter=None, train_backbone=True))) == set(
        dict(unimodal(adapter=None).named_parameters())
    )


def test_buffers_that_training_changes_are_kept():
    model = unimodal()
    model.head = torch.nn.Sequential(torch.nn.BatchNorm1d(32), model.head)
    assert "head.0.running_mean" in trainable_state(model)


def test_makes_the_round_trip():
    trained, fresh = randomise_adapters(early_intervention()), early_intervention(seed=5)
    restore(fresh, *kept(trained), source="a.ckpt", class_names=CLASSES)
    assert torch.equal(trained(pictures()).fused, fresh(pictures()).fused)


def test_the_export_makes_the_round_trip(tmp_path):
    trained, fresh = randomise_adapters(early_intervention()), early_intervention(seed=5)
    save_weights(*kept(trained), tmp_path / "weights.safetensors")
    load_weights(fresh, tmp_path / "weights.safetensors", class_names=CLASSES)
    assert torch.equal(trained(pictures()).fused, fresh(pictures()).fused)


def test_the_fingerprint_is_of_the_foundation_alone():
    assert foundation_fingerprint(early_intervention()) == foundation_fingerprint(randomise_adapters(unimodal(seed=4)))
    assert foundation_fingerprint(early_intervention()) != foundation_fingerprint(early_intervention(img_size=48))


def test_other_foundation_weights_are_refused():
    state, info = kept(early_intervention())
    other = early_intervention()
    with torch.no_grad():
        other.backbone.encoder.vit.blocks[1].mlp.fc1.weight[0, 0] += 1e-3
    with pytest.raises(CheckpointMismatchError, match=r"a\.ckpt: trained on other foundation weights"):
        restore(other, state, info, source="a.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 99}, "format version 99"),
        ({"modalities": ["clinic"]}, r"modalities \['clinic'\]"),
        ({"num_classes": 7}, "num_classes 7"),
        ({"class_names": ["a"] * 5}, "class_names"),
    ],
)
def test_what_contradicts_the_model_is_refused(change, message):
    state, info = kept(early_intervention())
    with pytest.raises(CheckpointMismatchError, match=message):
        restore(early_intervention(), state, {**info, **change}, source="a.ckpt", class_names=CLASSES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adapter": MoRConfig(alphas=[1, 1, 1])}, r"adapter\.alphas \[4, 8, 16\], here it is \[1, 1, 1\]"),
        ({"adapter": LoraConfig(target_modules=["mlp.fc1"])}, "adapter MoRConfig, here it is LoraConfig"),
        ({"adapter": None}, "adapter MoRConfig, here it is None"),
        ({"intervene_at": 1}, "intervene_at 0, here it is 1"),
        ({"image_mean": [0.5, 0.5, 0.5]}, "image_mean"),
    ],
)
def test_other_settings_are_refused_even_where_all_shapes_agree(options, message):
    with pytest.raises(CheckpointMismatchError, match=rf"a\.ckpt: trained with {message}"):
        restore(early_intervention(**options), *kept(early_intervention()), source="a.ckpt")


def test_another_fold_is_refused_for_it_tests_what_was_trained_on(tmp_path):
    first, second = ({"num_folds": 5, "fold": fold, "split_seed": 0} for fold in (1, 2))
    state = trainable_state(early_intervention())
    info = checkpoint_info(early_intervention(), class_names=CLASSES, folds=first)
    restore(early_intervention(), state, info, source="a.ckpt", folds=first)
    restore(early_intervention(), state, info, source="a.ckpt", folds=None)  # another set, that is not cut
    with pytest.raises(CheckpointMismatchError, match=r"num_folds 5, fold 1, .*num_folds 5, fold 2, .*trained on"):
        restore(early_intervention(), state, info, source="a.ckpt", folds=second)


def test_a_unimodal_run_on_another_fold_is_refused(tmp_path):
    model = unimodal()
    info = checkpoint_info(model, class_names=CLASSES, folds={"num_folds": 5, "fold": 1, "split_seed": 0})
    torch.save({"state_dict": trainable_state(model), "medlit": info}, tmp_path / "clinic.ckpt")
    path = str(tmp_path / "clinic.ckpt")
    initialise_from_unimodal(early_intervention(), {"clinic": path}, folds=info["folds"])
    with pytest.raises(CheckpointMismatchError, match="fold 1"):
        initialise_from_unimodal(early_intervention(), {"clinic": path}, folds={**info["folds"], "fold": 2})


def test_a_state_with_other_tensors_is_refused_by_their_names():
    state, info = kept(early_intervention())
    del state["gate.bias"]
    with pytest.raises(CheckpointMismatchError, match=r"lacks 1 trained tensors, as gate\.bias"):
        restore(early_intervention(), state, info, source="a.ckpt")


def test_a_damaged_entry_is_refused():
    state, _ = kept(early_intervention())
    with pytest.raises(CheckpointMismatchError, match="incomplete"):
        restore(early_intervention(), state, {"format_version": 1}, source="a.ckpt")


def test_what_a_checkpoint_says_is_plain():
    info = checkpoint_info(early_intervention(adapter=LoraConfig(target_modules=["mlp.fc1"])), class_names=CLASSES)
    assert json.loads(json.dumps(info)) == info


def test_early_intervention_starts_from_a_unimodal_run_of_each_modality(tmp_path):
    runs = {name: randomise_adapters(unimodal(modality=name), seed=i) for i, name in enumerate(("clinic", "derm"))}
    paths = {name: write_checkpoint(model, tmp_path / f"{name}.ckpt") for name, model in runs.items()}
    model = early_intervention()
    main_heads = model.main_heads["clinic"].weight.clone()
    initialise_from_unimodal(model, paths)
    images = pictures()
    for name, run in runs.items():
        torch.testing.assert_close(model(images).auxiliary[name], run(images).logits)
        for tensor, other in zip(
            model.backbone.passes[f"main_{name}"].parameters(),
            run.backbone.passes["unimodal"].parameters(),
            strict=True,
        ):
            assert torch.equal(tensor, other)
    assert torch.equal(model.main_heads["clinic"].weight, main_heads)


def with_variables(names, seed=0):
    return early_intervention(modalities=("clinic", VARIABLES), variables=names, seed=seed)


def test_variables_make_the_round_trip_and_others_are_refused():
    trained, fresh = randomise_adapters(with_variables(["age", "sex=female"])), with_variables(["age", "sex=female"], 5)
    restore(fresh, *kept(trained), source="a.ckpt")
    images = {**pictures(modalities=["clinic"]), VARIABLES: torch.tensor([[[0.5, torch.nan]]] * 3)}
    assert torch.equal(trained(images).fused, fresh(images).fused)
    with pytest.raises(
        CheckpointMismatchError, match=r"variables \['age', 'sex=female'\], here it is \['age', 'site'\]"
    ):
        restore(with_variables(["age", "site"]), *kept(trained), source="a.ckpt")


def test_the_encoder_of_variables_comes_from_their_own_run(tmp_path):
    clinic, variables = (
        randomise_adapters(unimodal(modality="clinic")),
        randomise_adapters(unimodal(modality=VARIABLES, variables=["age"], seed=3)),
    )
    paths = {
        "clinic": write_checkpoint(clinic, tmp_path / "clinic.ckpt"),
        VARIABLES: write_checkpoint(variables, tmp_path / "variables.ckpt"),
    }
    model, other = with_variables(["age"]), with_variables(["site"])
    initialise_from_unimodal(model, paths)
    images = {**pictures(modalities=["clinic"]), VARIABLES: torch.tensor([[[0.5]]] * 3)}
    torch.testing.assert_close(model(images).auxiliary[VARIABLES], variables(images).logits)
    torch.testing.assert_close(model(images).auxiliary["clinic"], clinic(images).logits)
    initialise_from_unimodal(other, {"clinic": paths["clinic"]})
    with pytest.raises(CheckpointMismatchError, match=r"trained with variables \['age'\], here it is \['site'\]"):
        initialise_from_unimodal(other, paths)


def test_a_unimodal_run_of_another_modality_is_refused(tmp_path):
    path = write_checkpoint(unimodal(modality="derm"), tmp_path / "derm.ckpt")
    with pytest.raises(CheckpointMismatchError, match=r"derm\.ckpt: trained with modalities \['derm'\]"):
        initialise_from_unimodal(early_intervention(), {"clinic": path})


def test_a_unimodal_run_on_other_classes_is_refused(tmp_path):
    path = write_checkpoint(unimodal(), tmp_path / "clinic.ckpt")
    with pytest.raises(CheckpointMismatchError, match="class_names"):
        initialise_from_unimodal(early_intervention(), {"clinic": path}, class_names=["a", "b", "c", "d", "e"])


def test_a_file_of_another_kind_is_refused(tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    for name, message in (("other", "no 'medlit' entry"), ("text", "not a file of tensors")):
        with pytest.raises(CheckpointMismatchError, match=message):
            initialise_from_unimodal(early_intervention(), {"clinic": str(tmp_path / f"{name}.ckpt")})
    with pytest.raises(WeightsNotFoundError, match="does not exist"):
        initialise_from_unimodal(early_intervention(), {"clinic": str(tmp_path / "none.ckpt")})
