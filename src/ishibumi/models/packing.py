"""Linear layers in the order in which a CPU's library multiplies, for as long as replies are made.

oneDNN puts a matrix in order before each product. With thousands of tokens at once that is nothing; with the 8 to 32 of
replies in the making it is most of the work: ordered beforehand, Gemma 3 270M's products take a third of the time.
"""

import contextlib
import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

TOKENS = 32  # at once, which the order is made for
STEP = 8  # the library keeps 2 MB for each number of tokens that it has met, so they are few
WORTH = range(4, 129)  # tokens at once; with others, one reply or a prompt that is read, the usual product is as fast


def can_pack(network: nn.Module) -> bool:
    """Whether the weights are on a CPU whose library takes them ordered, in their number format."""
    weight = next(network.parameters())
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and has_bf16)


@contextlib.contextmanager
def packed(network: nn.Module) -> Iterator[None]:
    """The network with its linear layers packed for as long as the block lasts."""
    layers = pack(network)
    try:
        yield
    finally:
        for linear in layers:
            del linear.forward


@torch.no_grad()
def pack(*networks: nn.Module) -> dict[nn.Linear, torch.Tensor]:
    """Put a packed copy beside each linear layer's matrix: some tokens go through it, one or many through the matrix.

    Networks that share a matrix share the copy. Returns each layer's; none where the CPU has no use for it.
    """
    layers: dict[nn.Linear, torch.Tensor] = {}
    made: dict[int, torch.Tensor] = {}
    for network in filter(can_pack, networks):
        for linear in (m for m in network.modules() if type(m) is nn.Linear):
            key = linear.weight.data_ptr()
            if key not in made:
                made[key] = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), TOKENS)
            layers[linear] = made[key]
            linear.forward = functools.partial(_multiply, linear, made[key])  # type: ignore[method-assign]
    return layers


def _multiply(linear: nn.Linear, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """(…, in) → (…, out)."""
    flat = x.flatten(0, -2)
    if len(flat) not in WORTH:
        return F.linear(x, linear.weight, linear.bias)
    filled = F.pad(flat, (0, 0, 0, -len(flat) % STEP))
    out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(filled, weight, linear.bias, "none", [], "")
    return out[: len(flat)].view(*x.shape[:-1], -1)
