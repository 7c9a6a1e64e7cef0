"""What fuzzing has found in checkpoints: refused in one line now."""

from functools import partial

import pytest
import torch
from timm import create_model

from medlit.checkpoint import read_checkpoint, restore
from medlit.checkpoint_io import SealedCheckpointIO
from medlit.errors import CheckpointMismatchError
from medlit.interop import describe
from medlit.mama_checkpoint import mama_info, restore_mama
from medlit.models.weights import load_tensors, read_file
from medlit.resume import is_trained
from medlit.run_folder import CONFIG, MANIFEST
from tests.fuzz.found import refusal
from tests.medlit.models.small import early_intervention, mama
from tests.medlit.test_checkpoint import CLASSES, kept


def saved(tmp_path, state, info, **more):
    path = tmp_path / "x.ckpt"
    torch.save(
        {"state_dict": {f"model.{name}": tensor for name, tensor in state.items()}, "medlit": info, **more}, path
    )
    return path


def restored(path, model):
    restore(model, *read_checkpoint(path), source=path.name, class_names=CLASSES, folds={"fold": 0})


NOT_WHOLE = {
    "sparse": lambda tensor: tensor.to_sparse(),
    "without data": lambda tensor: tensor.to("meta"),
    "repeated": lambda tensor: torch.zeros(1).expand(1 << 40),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch says that it checks no sparse tensors
@pytest.mark.parametrize("change", NOT_WHOLE.values(), ids=NOT_WHOLE)
def test_a_tensor_without_its_values_is_refused_before_anything_computes_with_it(tmp_path, change):
    model = early_intervention()
    state, info = kept(model)
    name = sorted(state)[0]
    path = saved(tmp_path, {**state, name: change(state[name])}, info)
    assert "a tensor without its values" in refusal(CheckpointMismatchError, restored, path, model)


def test_tensors_in_lists_that_hold_themselves_are_found(tmp_path):
    nested = [torch.zeros(2, device="meta")]
    nested.append(nested)
    path = tmp_path / "x.ckpt"
    torch.save({"a": nested}, path)
    assert "a tensor without its values" in refusal(CheckpointMismatchError, read_file, path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state, name: {**state, name: "text"}, "is no tensor"),
        (lambda state, name: {**state, name: state[name].to(torch.int64)}, "has in another type 1 trained tensors"),
    ],
)
def test_weights_that_are_no_floats_are_refused(tmp_path, change, said):
    model = early_intervention()
    state, info = kept(model)
    path = saved(tmp_path, change(state, sorted(state)[0]), info)
    assert said in refusal(CheckpointMismatchError, restored, path, model)


@pytest.mark.parametrize(
    ("name", "tensor", "shape"),
    [
        ("vit_tiny_patch16_224", "pos_embed", ()),
        ("vit_tiny_patch16_224", "pos_embed", (5,)),
        ("vit_tiny_patch16_224", "patch_embed.proj.weight", (24, 0, 3, 3)),
        ("beit_base_patch16_224", "patch_embed.proj.weight", (24,)),
        ("beit_base_patch16_224", "blocks.0.attn.relative_position_bias_table", (5, 2)),
    ],
)
def test_tensors_that_timm_does_not_expect_are_refused(name, tensor, shape):
    model = create_model(name, num_classes=0, img_size=32, depth=1, embed_dim=24, num_heads=2)
    state = {**model.state_dict(), tensor: torch.zeros(shape)}
    said = refusal(CheckpointMismatchError, partial(load_tensors, source="x.pth"), model, state)
    assert said.startswith("x.pth: does not fit ")


def test_a_number_for_a_name_of_a_tensor_is_refused(tmp_path):
    state, info = kept(early_intervention())
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {3: next(iter(state.values()))}, "medlit": info}, path)
    assert "'3' of its weights is no tensor" in refusal(CheckpointMismatchError, read_checkpoint, path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"foundation": {"name": 3, "fingerprint": 5}}, "trained on other foundation weights (3, 5)"),
        ({"folds": 3}, "its 'folds' say nothing"),
        ({"class_names": torch.zeros(3)}, "holds no plain values"),
    ],
)
def test_a_checkpoint_that_says_nonsense_of_itself_is_refused(tmp_path, changes, said):
    model = early_intervention()
    state, info = kept(model)
    assert said in refusal(CheckpointMismatchError, restored, saved(tmp_path, state, {**info, **changes}), model)


@pytest.mark.parametrize("changes", [{"tokenizer": "words"}, {"folds": 3}])
def test_a_pretraining_that_says_nonsense_of_itself_is_refused(tmp_path, changes):
    model = mama()
    path = saved(tmp_path, model.trained_state(), {**mama_info(model), **changes})
    state, info = read_checkpoint(path)
    said = refusal(
        CheckpointMismatchError,
        restore_mama,
        model,
        state,
        info,
        source="x.ckpt",
        tokenizer={"source": "a", "separator": "b"},
    )
    assert "'medlit' entry is incomplete" in said


def test_an_entry_that_medlit_does_not_write_stops_nothing(tmp_path):
    for name in (CONFIG, "checkpoints/best.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / MANIFEST).write_text("{}")
    for said in (3, {}, {"stopped": 3}, {"stopped": {}}):
        torch.save({"medlit_run": said}, tmp_path / "checkpoints" / "last.ckpt")
        assert not is_trained(tmp_path)


@pytest.mark.parametrize("content", [b"PK\x03\x04 nonsense", b"nonsense", bytes(300)])
def test_a_damaged_file_without_a_seal_is_refused_by_what_the_trainer_reads_it_with(tmp_path, content):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    assert "not a file of tensors" in refusal(CheckpointMismatchError, SealedCheckpointIO().load_checkpoint, path)


def test_a_released_state_of_nothing_is_refused():
    assert "no checkpoint of the released" in refusal(CheckpointMismatchError, describe, {})
