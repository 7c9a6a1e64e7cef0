"""FSDP2: the weights of a MaMA dealt out to processes, of which each gathers a block while it computes it."""

from collections.abc import Iterator, Mapping

from torch import Tensor, distributed, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor

from medlit.models.mama.model import MaMAModel


def shard(model: MaMAModel, mesh: DeviceMesh) -> None:
    """Keep of every parameter the part of this process alone; a second call changes nothing.

    The text tower, which may be too large for one device, is gathered block by block; the image tower and the heads as
    wholes, each while it computes. The two temperatures stay whole: FSDP2 knows no scalars, see
    :func:`average_whole_gradients`. Processes must run the same parts in the same order, for each part is gathered by
    all of them.

    Reference: Zhao et al., "PyTorch FSDP", VLDB 2023; of FSDP2 the documentation of ``torch.distributed.fsdp``.

    Args:
        model: Whole, the same on each process.
        mesh: One-dimensional, the processes that share.
    """
    if is_sharded(model):
        return
    model.text_encoder.fingerprint()  # of whole weights, and kept
    # FSDP2 follows what a part returns into the backward pass, and warns of a view, which could be written into.
    model.text_encoder.register_forward_hook(lambda _module, _inputs, hidden: hidden.clone())
    for block in _text_blocks(model.text_encoder.model):
        fully_shard(block, mesh=mesh)
    heads = (model.image_projection, model.text_projection, model.view_projection, model.patch_head)
    for part in (model.text_encoder, model.image_encoder, *heads, model.sentence_head):
        fully_shard(part, mesh=mesh)
    for method in ("tokens", "patch_features"):  # the image tower is entered by these, not by forward
        register_fsdp_forward_method(model.image_encoder, method)


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has dealt out parts of a model."""
    return any(isinstance(module, FSDPModule) for module in model.modules())


def average_whole_gradients(model: nn.Module) -> None:
    """Give parameters that are not dealt out the mean of their gradients over processes, as FSDP2 gives the others.

    Args:
        model: Dealt out by :func:`shard`; of any other all gradients are left as they are.
    """
    for parameter in model.parameters() if is_sharded(model) else ():
        if parameter.grad is not None and not isinstance(parameter, DTensor):
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()


def whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by name, those that are dealt out gathered, on the CPU; all processes must call it alike.

    Args:
        state: Of any model.
    """
    return {
        name: tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor for name, tensor in state.items()
    }


def load_whole(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load whole tensors into a model, which may be dealt out; what they do not name stays as it is.

    Args:
        model: Has all that is named.
        state: The same on each process.
    """
    if not is_sharded(model):
        model.load_state_dict(state, strict=False)
        return
    set_model_state_dict(model, dict(state), options=StateDictOptions(full_state_dict=True, strict=False))


def _text_blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a model of transformers; none where it is built otherwise, which is then gathered as a whole."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return (module for module in model.modules() if isinstance(module, GradientCheckpointingLayer))
