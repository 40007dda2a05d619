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

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor, Partial, distribute_tensor

from ishibumi.errors import UsageError

PATIENCE = dt.timedelta(days=7)  # the others wait while the first reads documents or a model writes questions
BUCKET = 2**26  # numbers that go through the network at once


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


def greatest(value: int) -> int:
    """The greatest of every process's value."""
    if num_ranks() == 1:
        return value
    found = torch.tensor(value)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


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


@torch.no_grad()
def sum_gradients(masters: Sequence[torch.Tensor], loss: torch.Tensor) -> None:
    """Add up the loss and every master's gradient over all processes; those of split matrices are summed already."""
    if num_ranks() > 1:
        dist.all_reduce(loss)
        for bucket in _buckets([m.grad for m in masters if m.grad is not None and not isinstance(m, DTensor)]):
            if len(bucket) == 1:
                dist.all_reduce(bucket[0])
                continue
            joined = torch.cat([t.flatten() for t in bucket])
            dist.all_reduce(joined)
            parts = joined.split([t.numel() for t in bucket])
            torch._foreach_copy_(bucket, [part.view_as(t) for part, t in zip(parts, bucket, strict=True)])  # type: ignore[arg-type]


def _buckets(tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Tensors of one format, together of at most BUCKET numbers: a thousand small messages would take longer."""
    buckets: list[list[torch.Tensor]] = []
    size = 0
    for tensor in tensors:
        if not buckets or size + tensor.numel() > BUCKET or buckets[-1][0].dtype != tensor.dtype:
            buckets.append([])
            size = 0
        buckets[-1].append(tensor)
        size += tensor.numel()
    return buckets


def is_split(network: nn.Module) -> bool:
    """Whether the processes share one copy of the weights."""
    return any(isinstance(p, DTensor) for p in network.parameters())


def full(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a split matrix, or any other tensor itself. Its gradient is summed over the processes."""
    return tensor.full_tensor(grad_placements=[Partial()]) if isinstance(tensor, DTensor) else tensor


def local(tensor: torch.Tensor) -> torch.Tensor:
    """This process's share of a split matrix, in the same memory, or any other tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def split_as(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """This process's share of a tensor that all have whole, split as `like` is; or the tensor itself."""
    if not isinstance(like, DTensor):
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
