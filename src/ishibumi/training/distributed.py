"""Several processes as one: torchrun's processes share the rows of every step and add their gradients up.

What fits is kept whole by every process, and the fp32 gradients are summed once a step. What does not fit is split
(FSDP2): every process keeps a share of each matrix, and a layer is whole only while it is computed.

    torchrun --nproc-per-node 4 -m ishibumi run my-news/ishibumi.toml

One process needs none of this: every function here is then the identity.
"""

import contextlib
import datetime as dt
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor

from ishibumi.errors import UsageError
from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import Trainable
from ishibumi.training.batches import Plan

PATIENCE = dt.timedelta(days=7)  # the others wait while the first reads documents or a model writes questions


def num_ranks() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextlib.contextmanager
def joined(device: str) -> Iterator[int]:
    """Join the processes that torchrun started, if it did; yields this one's rank. `device` is model.device.

    Raises UsageError where there are more processes than GPUs. After an error nothing is tidied up: the others may be
    waiting for this process, and torchrun stops them when it ends.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0
        return
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        local, num_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= num_gpus:
            raise UsageError(
                f"There is no GPU for process {local}: this machine has {num_gpus}.",
                hint=f"torchrun --nproc-per-node {num_gpus} …",
                hint_ja=f"torchrun --nproc-per-node {num_gpus} … としてください。",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if on_gpu else "gloo", timeout=PATIENCE)
    yield rank()
    dist.destroy_process_group()


def wait() -> None:
    """Come back when every process is here."""
    total(0.0)


def total(value: float) -> float:
    """The sum of every process's value, the same bits everywhere."""
    if num_ranks() == 1:
        return value
    summed = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(summed)
    return float(summed)


def first_says(is_so: bool) -> bool:
    """What the first process says, in all of them: clocks and Ctrl-C differ."""
    return total(float(is_so and rank() == 0)) > 0


def share_of_rows(rows: Sequence[list[int]]) -> list[list[int]]:
    """The rows of a step that are this process's; empty ones where they do not come out even, as all take part.

    [a b c d e] over two processes: [a c e], [b d -]
    """
    each = -(-len(rows) // num_ranks())
    mine = list(rows[rank() :: num_ranks()])
    return mine + [[] for _ in range(each - len(mine))]


def enough_rows(plan: Plan) -> None:
    """Refuse a step with fewer rows than processes."""
    if plan.rows_per_step < num_ranks():
        raise UsageError(
            f"A step has {plan.rows_per_step} rows of {plan.row_tokens} tokens, too few for {num_ranks()} processes.",
            hint=f"Set tokens_per_step to {num_ranks() * plan.row_tokens} or more, or start fewer processes.",
            hint_ja=f"tokens_per_step を {num_ranks() * plan.row_tokens} 以上にするか、プロセスを減らしてください。",
        )


def sum_gradients(masters: Sequence[torch.Tensor]) -> None:
    """Every master's gradient over all processes; those of split matrices are summed already."""
    if num_ranks() > 1:
        whole = [m.grad for m in masters if m.grad is not None and not isinstance(m, DTensor)]
        for work in [dist.all_reduce(gradient, async_op=True) for gradient in whole]:
            assert work is not None
            work.wait()


def full(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a split matrix, or any other tensor itself. Its gradient is summed over the processes."""
    return tensor.full_tensor(grad_placements=[Partial()]) if isinstance(tensor, DTensor) else tensor


def split_as(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that all have whole, split as `like` is; or the tensor itself."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def split(network: nn.Module, trainables: Sequence[Trainable], device: torch.device) -> list[Trainable]:
    """Split all matrices over the processes, and return the trainables with their starts split too.

    The first process has the weights on the CPU; the others' network may be empty, on the device «meta».
    """
    whole = {name: p.detach() for name, p in network.named_parameters()} if rank() == 0 else {}
    buffers = {name: b.detach() for name, b in network.named_buffers(remove_duplicate=False)} if rank() == 0 else {}
    mesh = init_device_mesh(device.type, (num_ranks(),))
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    body, head = network.base_model, network.get_output_embeddings()  # type: ignore[operator]
    embeddings = network.get_input_embeddings()  # type: ignore[operator]
    is_tied = head.weight is embeddings.weight
    for module in [*body.layers, body]:  # type: ignore[union-attr, misc]
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
    for name, parameter in network.named_parameters():
        parameter.copy_(split_as(_from_first(whole.get(name), parameter, device), parameter))
    for name, buffer in network.named_buffers(remove_duplicate=False):
        buffer.copy_(_from_first(buffers.get(name), buffer, device))
    return [replace(t, start=None if t.start is None else t.weight.detach().clone()) for t in trainables]


def _from_first(tensor: torch.Tensor | None, like: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The first process's tensor, in every process."""
    sent = torch.empty(like.shape, dtype=like.dtype, device=device) if tensor is None else tensor.to(device)
    dist.broadcast(sent, 0)
    return sent


@torch.no_grad()
def whole(model: LoadedModel) -> LoadedModel:
    """The model in one piece on the first process's CPU, empty elsewhere; the same model if it is not split."""
    network: Any = model.network
    if not any(isinstance(p, DTensor) for p in network.parameters()):
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
