"""Weights from files and from the hub: nothing is left out, nothing is run, and an error says what to do."""

import argparse
import os

import pytest
import torch
from safetensors.torch import save_file

from medlit.errors import CheckpointMismatchError, ConfigurationError, WeightsNotFoundError
from medlit.models import VisionEncoder
from medlit.models.weights import read_file, read_tensors, write_tensors

VIT = {"depth": 2, "embed_dim": 32, "num_heads": 2}


def encoder(name="vit_base_patch16_clip_224", *, img_size=32, model_args=VIT, **options):
    return VisionEncoder(name, img_size=img_size, pretrained=False, model_args=model_args, **options).eval()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("as_folder", [False, True])
def test_weights_come_from_a_local_file_or_folder(tmp_path, suffix, as_folder):
    donor = encoder()
    torch.nn.init.normal_(donor.vit.pos_embed)
    file = tmp_path / f"model{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": donor.vit.state_dict()}, file)
    else:
        save_file(donor.vit.state_dict(), file)
    loaded = encoder(weights=str(tmp_path if as_folder else file))
    assert all(torch.equal(a, b) for a, b in zip(donor.vit.parameters(), loaded.vit.parameters(), strict=True))


def test_weights_of_another_size_have_their_positions_resampled(tmp_path):
    save_file(encoder(img_size=64).vit.state_dict(), tmp_path / "model.safetensors")
    assert encoder(img_size=32, weights=str(tmp_path)).vit.pos_embed.shape == (1, 5, 32)


def test_weights_with_a_missing_tensor_are_refused_by_name(tmp_path):
    state = encoder().vit.state_dict()
    del state["blocks.1.mlp.fc1.bias"]
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatchError, match=r"lacks 1 .*blocks\.1\.mlp\.fc1\.bias"):
        encoder(weights=str(tmp_path))


def test_weights_of_another_width_are_refused_with_the_file(tmp_path):
    save_file({"cls_token": torch.zeros(1, 1, 8)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatchError, match=r"model\.safetensors: does not fit"):
        encoder(weights=str(tmp_path))


def test_of_a_folder_with_both_the_safetensors_are_read_and_the_pickle_is_not(tmp_path):
    donor = encoder()
    torch.nn.init.normal_(donor.vit.pos_embed)
    save_file(donor.vit.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle of whatever")
    assert torch.equal(encoder(weights=str(tmp_path)).vit.pos_embed, donor.vit.pos_embed)


class Payload:
    """A pickled object that would run code when loaded."""

    def __reduce__(self):
        return (print, ("unpickled",))


def test_pickled_objects_are_never_loaded(tmp_path, capsys):
    torch.save({"state_dict": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointMismatchError, match=r"evil\.pth"):
        encoder(weights=str(tmp_path / "evil.pth"))
    assert "unpickled" not in capsys.readouterr().out


def test_a_folder_without_weights_says_what_it_should_hold(tmp_path):
    with pytest.raises(WeightsNotFoundError, match=r"model\.safetensors.*found none"):
        encoder(weights=str(tmp_path))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """The hub's client as with HF_HUB_OFFLINE=1 and an empty cache, which it reads when it is imported."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("name", ["vit_base_patch16_clip_224.openai", "rad_dino", "retfound_cfp", "biomedclip"])
def test_no_network_and_no_weights_says_what_to_download_and_where_to_put_it(name, offline):
    message = rf"download https://\S+ to weights/{name}/\w+\.\w+ and set weights: weights/{name} "
    with pytest.raises(WeightsNotFoundError, match=message):
        VisionEncoder(name, img_size=224, model_args=VIT)


def test_gated_weights_name_the_terms(offline):
    with pytest.raises(
        WeightsNotFoundError, match=r"accept the terms on \S+/YukunZhou/RETFound_mae_natureOCT and log in"
    ):
        VisionEncoder("retfound_oct", img_size=224, model_args=VIT)


def test_weights_in_the_hubs_cache_are_taken(offline, tmp_path):
    snapshot = tmp_path / "models--microsoft--rad-dino" / "snapshots" / "1234"
    snapshot.mkdir(parents=True)
    (tmp_path / "models--microsoft--rad-dino" / "refs").mkdir()
    (tmp_path / "models--microsoft--rad-dino" / "refs" / "main").write_text("1234")
    donor = encoder("rad_dino", img_size=28)
    save_file(donor.vit.state_dict(), snapshot / "model.safetensors")
    loaded = VisionEncoder("rad_dino", img_size=28, model_args=VIT)
    assert all(torch.equal(a, b) for a, b in zip(donor.vit.parameters(), loaded.vit.parameters(), strict=True))


def test_weights_not_on_the_hub_name_file_page_and_place():
    message = (
        r"download panderm_bb_data6_checkpoint-499\.pth from \S+/SiyuanYan1/PanDerm "
        "to weights/panderm_base and set weights: weights/panderm_base "
    )
    with pytest.raises(WeightsNotFoundError, match=message):
        VisionEncoder("panderm_base", img_size=224, model_args=VIT)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher"])
def test_the_arguments_of_a_training_beside_the_weights_are_read_as_plain_attributes(tmp_path, wrapper):
    file = tmp_path / "checkpoint.pth"
    arguments = argparse.Namespace(lr=0.1, data_path="/data", betas=(0.9, 0.95))
    torch.save({wrapper: {"weight": torch.ones(2)}, "args": arguments, "epoch": 3}, file)
    assert read_file(file)["args"] == arguments
    assert torch.equal(read_tensors(file)["weight"], torch.ones(2))


def test_a_namespace_does_not_let_its_contents_run(tmp_path, capsys):
    file = tmp_path / "evil.pth"
    torch.save({"model": {}, "args": argparse.Namespace(lr=Payload())}, file)
    with pytest.raises(CheckpointMismatchError, match=r"evil\.pth"):
        encoder(weights=str(file))
    assert "unpickled" not in capsys.readouterr().out


def test_files_of_the_old_format_of_torch_are_read(tmp_path):
    donor = encoder()
    torch.save({"model": donor.vit.state_dict()}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    loaded = encoder(weights=str(tmp_path / "old.pth"))
    assert all(torch.equal(a, b) for a, b in zip(donor.vit.parameters(), loaded.vit.parameters(), strict=True))


def test_loaded_weights_do_not_depend_on_the_file_any_more(tmp_path):
    """Files are mapped, not copied, while they are read."""
    file = tmp_path / "model.pth"
    torch.save(encoder().vit.state_dict(), file)
    loaded = encoder(weights=str(file))
    before = [parameter.clone() for parameter in loaded.parameters()]
    file.write_bytes(bytes(file.stat().st_size))
    assert all(torch.equal(a, b) for a, b in zip(before, loaded.parameters(), strict=True))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_written_files_are_readable_for_whom_the_umask_lets(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_tensors({"weight": torch.eye(2).T[:, :1]}, tmp_path / "model.safetensors", metadata={"by": "test"})
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == mode
    assert torch.equal(read_file(tmp_path / "model.safetensors")["weight"], torch.eye(2)[:, :1])


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"hello", b"exit", b"<!doctype html>", b"version https://git-lfs", b"PK\5\6"])
def test_a_file_of_words_is_refused_with_its_name(tmp_path, content, suffix):
    """A page of the web or a pointer of Git LFS in the place of the weights."""
    file = tmp_path / f"model{suffix}"
    file.write_bytes(content)
    with pytest.raises(CheckpointMismatchError, match=rf"model{suffix}: not a file of tensors"):
        read_file(file)


def test_a_broken_file_is_refused_with_its_name(tmp_path):
    file = tmp_path / "model.pth"
    for zipped in (True, False):
        torch.save({"model": {"weight": torch.ones(3)}}, file, _use_new_zipfile_serialization=zipped)
        whole = file.read_bytes()
        for size in range(0, len(whole) - 1, 61):
            file.write_bytes(whole[:size])
            with pytest.raises(CheckpointMismatchError, match=r"model\.pth: not a file of tensors"):
                read_file(file)


def test_a_file_that_may_not_be_opened_says_why(tmp_path):
    """A folder stands for it: to root every file is open."""
    with pytest.raises(CheckpointMismatchError, match=r"model\.pth: cannot be read \(.*[Dd]irectory"):
        read_file(tmp_path / "model.pth")
    (tmp_path / "model.pth").mkdir()
    with pytest.raises(CheckpointMismatchError, match=r"model\.pth: cannot be read \(.*[Dd]irectory"):
        read_file(tmp_path / "model.pth")


def test_a_model_that_pools_first_takes_the_files_final_norm_for_that(tmp_path):
    donor = encoder()
    torch.nn.init.normal_(donor.vit.norm.weight)
    save_file(donor.vit.state_dict(), tmp_path / "model.safetensors")
    loaded = encoder(weights=str(tmp_path), model_args={**VIT, "global_pool": "avg"})
    assert torch.equal(loaded.vit.fc_norm.weight, donor.vit.norm.weight)


def test_weights_tuned_on_the_mean_of_patches_say_how_to_read_them(tmp_path):
    tuned = encoder(model_args={**VIT, "global_pool": "avg"})
    save_file(tuned.vit.state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointMismatchError, match=r"lacks 2 .*norm\.weight.*model_args: \{global_pool: avg\}"):
        encoder(weights=str(tmp_path))


@pytest.mark.parametrize("content", [{"model": 3}, {"epoch": 3, "model": {"weight": "a word"}}, {"model": {1: 2}}, {}])
def test_a_file_of_something_else_is_refused_with_its_name(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    for name in ("vit_base_patch16_clip_224", "rad_dino", "medsiglip", "panderm_base"):
        with pytest.raises(CheckpointMismatchError, match=r"other\.pth"):
            encoder(name, img_size=28 if name in ("rad_dino", "medsiglip") else 32, weights=str(tmp_path / "other.pth"))


def test_an_unknown_name_is_answered_with_near_ones_of_the_field_too():
    with pytest.raises(ConfigurationError, match="retfound_cfp"):
        encoder("retfound_cpf")
