"""Weights in pieces (FSDP2): network + processes → every matrix split over them, and back in one piece."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import Shard, distribute_tensor

from ishibumi.errors import UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import Trainable
from ishibumi.training.batches import Plan
from ishibumi.training.distributed import full, is_split, num_ranks, rank, split_as


def enough_rows(plan: Plan) -> None:
    """Refuse a step with fewer rows than processes."""
    if plan.rows_per_step < num_ranks():
        raise UsageError(
            f"A step has {plan.rows_per_step} rows of {plan.row_tokens} tokens, too few for {num_ranks()} processes.",
            hint=f"Set tokens_per_step to {num_ranks() * plan.row_tokens} or more, or start fewer processes.",
            hint_ja=f"tokens_per_step を {num_ranks() * plan.row_tokens} 以上にするか、プロセスを減らしてください。",
        )


@torch.no_grad()
def split(network: nn.Module, trainables: Sequence[Trainable], device: torch.device) -> list[Trainable]:
    """Split all matrices over the processes, and return the trainables with their starts, which all keep.

    The first process has the weights on the CPU; the others' network may be empty, on the device «meta».
    """
    weights = {name: p.detach() for name, p in network.named_parameters()} if rank() == 0 else {}
    buffers = {name: b.detach() for name, b in network.named_buffers(remove_duplicate=False)} if rank() == 0 else {}
    split_shapes(network, device)
    for name, parameter in network.named_parameters():
        parameter.copy_(split_as(_from_first(weights.get(name), parameter, device), parameter))
    for name, buffer in network.named_buffers(remove_duplicate=False):
        buffer.copy_(_from_first(buffers.get(name), buffer, device))
    return [t if t.start is None else replace(t, start=full(t.weight).cpu()) for t in trainables]


def split_shapes(network: nn.Module, device: torch.device) -> None:
    """Give every process memory for its share of each matrix on the device, with nothing in it yet."""
    mesh = init_device_mesh(device.type, (num_ranks(),))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    body, head = network.base_model, network.get_output_embeddings()  # type: ignore[operator]
    embeddings = network.get_input_embeddings()  # type: ignore[operator]
    is_tied = head.weight is embeddings.weight
    modules: list[Any] = [*body.layers, body]  # type: ignore[union-attr, misc]
    for module in modules:
        fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=policy)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)  # the loss is divided already: a sum, not a mean
        module.set_force_sum_reduction_for_comms(True)
    if is_tied:
        head.weight = embeddings.weight
    else:  # the loss takes this matrix itself, and its module is never called
        pieces = distribute_tensor(torch.empty_like(head.weight, device=device), mesh, [Shard(0)], src_data_rank=None)
        head.weight = nn.Parameter(pieces, requires_grad=head.weight.requires_grad)
    network.to_empty(device=device)


def _from_first(tensor: torch.Tensor | None, like: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The first process's tensor, in every process."""
    sent = torch.empty(like.shape, dtype=like.dtype, device=device) if tensor is None else tensor.to(device)
    dist.broadcast(sent, 0)
    return sent


@torch.no_grad()
def whole(model: LoadedModel) -> LoadedModel:
    """The model in one piece on the first process's CPU, empty elsewhere; the same model if it is not split."""
    network: Any = model.network
    if not is_split(network):
        return model
    with torch.device("meta"):
        empty = type(network)(network.config)
    state: dict[str, torch.Tensor] = {}
    for name, parameter in network.named_parameters():  # a tied matrix once
        gathered = full(parameter)
        if rank() == 0:
            state[name] = gathered.cpu()
    empty.load_state_dict(state, strict=False, assign=True)
    empty.tie_weights()
    return replace(model, network=empty.eval())
