"""From the checkpoint of a MaMA run to other models, by the argument ``weights``."""

import pytest
import torch
from timm.layers import resample_abs_pos_embed

from medlit.checkpoint import checkpoint_info, initialise_from_unimodal, trainable_state
from medlit.errors import CheckpointMismatchError, ConfigurationError
from medlit.mama_checkpoint import mama_info
from medlit.models import EarlyInterventionClassifier, MeanOfLogitsFusion, UnimodalClassifier, VisionEncoder
from medlit.models.lineage import restrictions_of
from medlit.models.mama.transfer import read_mama_run
from tests.medlit.models.small import TINY_ARGS, VIT14, mama, pictures, randomise_adapters, unimodal

TERMS = {"EMBED": "its data use agreement forbids to share models trained on it"}
BACKBONE = {**VIT14, "img_size": 28}


@pytest.fixture
def run(tmp_path):
    """Writes the checkpoint of a MaMA run, changed where a test says so; gives the model and the file."""

    def write(*, image=None, state=None, info=None):
        model = randomise_adapters(mama(image=image))
        tensors = {f"model.{name}": tensor for name, tensor in model.trained_state().items()} | (state or {})
        said = {**mama_info(model, restrictions=TERMS), **(info or {})}
        path = tmp_path / "best.ckpt"
        torch.save(
            {
                "state_dict": {name: tensor for name, tensor in tensors.items() if tensor is not None},
                "medlit": {name: value for name, value in said.items() if value is not None},
                "optimizer_states": [{"state": {}}],
            },
            path,
        )
        return model, path

    return write


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def classifier(weights, **options):
    settings = {**BACKBONE, "adapter": None, **options}
    return UnimodalClassifier(modalities=["view"], num_classes=2, weights=str(weights), **settings)


def test_a_unimodal_classifier_takes_the_image_tower_to_the_bit(run):
    model, path = run()
    taken = classifier(path, train_backbone=True, pooling="mean_tokens")
    assert equal(taken.backbone.encoder.vit, model.image_encoder.vit)
    images = torch.rand(3, 3, 28, 28)
    expected = model.eval().encode_images(images).pooled
    torch.testing.assert_close(taken.eval().features({"view": images[:, None]}), expected)


@pytest.mark.parametrize("kind", [EarlyInterventionClassifier, MeanOfLogitsFusion])
def test_two_views_share_the_image_tower(run, kind):
    model, path = run()
    taken = kind(modalities=["CC", "MLO"], num_classes=2, weights=str(path), pooling="mean_tokens", **BACKBONE)
    assert equal(taken.backbone.encoder.vit, model.image_encoder.vit)
    assert taken.backbone.encoder.pooling == "mean_tokens"
    assert restrictions_of(taken) == TERMS
    taken(pictures(modalities=["CC", "MLO"], size=28))


def test_images_are_normalised_as_in_pretraining_unless_told_otherwise(run):
    _, path = run(image={"image_mean": (0.25, 0.5, 0.75), "image_std": (0.2, 0.3, 0.4)})
    encoder = VisionEncoder(weights=str(path), **BACKBONE)
    assert encoder.mean.flatten().tolist() == pytest.approx([0.25, 0.5, 0.75])
    assert encoder.std.flatten().tolist() == pytest.approx([0.2, 0.3, 0.4])
    assert (
        VisionEncoder(weights=str(path), **BACKBONE, image_std=[0.1] * 3).std.flatten().tolist()
        == [pytest.approx(0.1)] * 3
    )


def test_a_normalisation_of_a_run_that_is_none_is_named(run):
    _, path = run()
    content = torch.load(path, weights_only=True)
    content["medlit"]["image"]["image_std"] = [0.5, 0.0, 0.5]
    torch.save(content, path)
    with pytest.raises(ConfigurationError, match=r"image_std: three numbers are needed, .* got \(0\.5, 0\.0, 0\.5\)"):
        classifier(path)


def test_positions_are_resampled_to_another_size_and_all_else_stays(run):
    model, path = run()
    vit = VisionEncoder(weights=str(path), **{**BACKBONE, "img_size": 56}).vit
    positions = dict(model.image_encoder.vit.named_parameters())["pos_embed"]
    expected = resample_abs_pos_embed(positions, new_size=[4, 4], num_prefix_tokens=0)
    torch.testing.assert_close(vit.pos_embed, expected)
    theirs = dict(model.image_encoder.vit.named_parameters())
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in vit.named_parameters() if name != "pos_embed")


def test_a_run_may_start_from_the_tower_of_another(run):
    model, path = run()
    second = mama(image={"weights": str(path)})
    assert equal(second.image_encoder.vit, model.image_encoder.vit)
    assert restrictions_of(second) == TERMS


def test_the_terms_of_the_data_go_on_into_the_classifiers_checkpoint(run):
    _, path = run()
    assert checkpoint_info(classifier(path), class_names=None)["restrictions"] == TERMS
    assert VisionEncoder(**BACKBONE).restrictions == {}


def test_the_tag_of_the_first_weights_and_what_acts_in_training_alone_are_no_other_architecture(run):
    _, path = run(image={"backbone": "vit_base_patch14_reg4_dinov2.lvd142m"})
    VisionEncoder(weights=str(path), **{**BACKBONE, "model_args": {**TINY_ARGS, "drop_path_rate": 0.1}})


@pytest.mark.parametrize(
    ("options", "here"),
    [
        ({"backbone": "vit_base_patch16_clip_224", "img_size": 32}, "vit_base_patch16_clip_224 with"),
        ({"model_args": {**TINY_ARGS, "depth": 3}}, r"vit_base_patch14_reg4_dinov2 with \{'depth': 3"),
        ({"model_args": {**TINY_ARGS, "num_heads": 4}}, r"vit_base_patch14_reg4_dinov2 with .*'num_heads': 4"),
    ],
)
def test_another_architecture_is_refused_naming_both(run, options, here):
    """Also one whose tensors would fit: the number of heads is in no shape."""
    _, path = run()
    message = rf"best\.ckpt: its image tower is vit_base_patch14_reg4_dinov2 with .*'depth': 2.*, here it is {here}.*"
    with pytest.raises(CheckpointMismatchError, match=message) as refused:
        VisionEncoder(weights=str(path), **{**BACKBONE, **options})
    assert "\n" not in str(refused.value)


def test_missing_and_unknown_tensors_are_listed(run):
    tower = "model.image_encoder.vit."
    _, path = run(
        state={
            f"{tower}blocks.1.mlp.fc1.bias": None,
            f"{tower}norm.weight": None,
            f"{tower}blocks.2.mlp.fc1.bias": torch.ones(2),
        }
    )
    message = (
        r"best\.ckpt: lacks 2 tensors of the backbone: blocks\.1\.mlp\.fc1\.bias, norm\.weight; "
        r"has unknown 1 tensors of the backbone: blocks\.2\.mlp\.fc1\.bias$"
    )
    with pytest.raises(CheckpointMismatchError, match=message):
        classifier(path)


def test_a_tensor_of_another_shape_is_refused(run):
    _, path = run(state={"model.image_encoder.vit.norm.weight": torch.ones(3)})
    with pytest.raises(CheckpointMismatchError, match=r"best\.ckpt: does not fit .*norm\.weight"):
        classifier(path)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"format_version": 2}, "format version 2, this medlit reads version 1"),
        ({"image": None}, "'medlit' entry is incomplete; the file is damaged"),
        ({"image": {"name": "vit", "model_args": {}}}, "'medlit' entry is incomplete"),
        ({"restrictions": {"EMBED": 3}}, "its 'restrictions' are no terms by data set; the file is damaged"),
        ({"cuts": [3]}, "its 'cuts' do not say how data were divided; the file is damaged"),
        ({"model": "FusionClassifier"}, "a checkpoint of FusionClassifier, no foundation model; weights takes"),
    ],
)
def test_a_checkpoint_that_does_not_say_what_it_is_is_refused(run, info, message):
    _, path = run(info=info)
    with pytest.raises(CheckpointMismatchError, match=rf"best\.ckpt: .*{message}"):
        classifier(path)


def test_files_of_weights_are_no_runs(tmp_path):
    encoder = VisionEncoder(**BACKBONE)
    torch.save({"state_dict": encoder.vit.state_dict()}, tmp_path / "model.pth")
    assert read_mama_run(tmp_path / "model.pth") is None
    (tmp_path / "model.safetensors").write_bytes(b"whatever")
    assert read_mama_run(tmp_path / "model.safetensors") is None


def test_a_checkpoint_of_a_classifier_is_no_weights_and_one_of_a_run_no_classifier(run, tmp_path):
    _, path = run()
    steered = EarlyInterventionClassifier(modalities=["CC", "MLO"], num_classes=2, **BACKBONE)
    with pytest.raises(CheckpointMismatchError, match=r"best\.ckpt: a checkpoint of MaMAModel, no classifier"):
        initialise_from_unimodal(steered, {"CC": str(path)})
    trained, other = unimodal(), tmp_path / "unimodal.ckpt"
    state = {f"model.{name}": tensor for name, tensor in trainable_state(trained).items()}
    torch.save({"state_dict": state, "medlit": checkpoint_info(trained, class_names=None)}, other)
    with pytest.raises(CheckpointMismatchError, match=r"\.ckpt: a checkpoint of UnimodalClassifier, no foundation"):
        classifier(other)


class Payload:
    """A pickled object that would run code when loaded."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_pickled_objects_in_a_checkpoint_are_never_loaded(run, capsys):
    _, path = run(info={"settings": Payload()})
    with pytest.raises(CheckpointMismatchError, match=r"best\.ckpt: not a file of tensors"):
        classifier(path)
    assert "unpickled" not in capsys.readouterr().out
