"""Number formats of frozen matrices: a linear layer → one that keeps its weights in 8 or 4 bits.

fp8   e4m3, a scale for each output; products of fp8 with fp8, forward and for the input's gradient (Hopper, Ada)
int8  whole numbers, the same way (CPUs with VNNI or AMX: three to four times the speed of fp32)
nf4   4 bits, the 16 values of QLoRA, a scale for each 64 weights; unpacked to bf16 before each product

Axes: N tokens, I inputs, O outputs.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

Precision = Literal["bf16", "fp8", "int8", "nf4"]
LARGEST = {torch.float8_e4m3fn: 448.0, torch.int8: 127.0}
NF4_BLOCK = 64
# Quantiles of the normal distribution, scaled to -1..1, with an exact zero (QLoRA, appendix E).
NF4_VALUES = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip


def precision_on(precision: Precision, device: torch.device, *, is_split: bool) -> Precision:
    """The format where the device has instructions for it and matrices are whole, else bf16: as they were loaded."""
    if precision == "fp8":
        can = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)
    else:
        can = precision != "int8" or (device.type == "cpu" and torch.cpu._is_vnni_supported())
    return precision if can and not is_split else "bf16"


@contextlib.contextmanager
def frozen_in(
    network: nn.Module, precision: Precision, largest: Mapping[nn.Module, torch.Tensor] | None = None
) -> Iterator[None]:
    """The frozen linear layers of the decoder in this format for as long as the block lasts.

    What they were waits in the CPU's memory, or stays there where it waited before: trained pairs are merged into it,
    not into what was rounded. `largest` is what `largest_inputs` found; int8 balances weights and inputs by it.
    """
    replaced: list[tuple[nn.Module, str, nn.Linear, torch.device]] = []
    for parent, name, child in held_in(network, precision):
        if not child.weight.requires_grad:
            setattr(parent, name, quantised(child, precision, (largest or {}).get(child), device_of(network)))
            replaced.append((parent, name, child, child.weight.device))
            child.weight.data = child.weight.data.cpu()
    try:
        yield
    finally:
        for parent, name, child, device in replaced:
            child.weight.data = child.weight.data.to(device)
            setattr(parent, name, child)


@torch.no_grad()
def move_rounded(network: nn.Module, precision: Precision, device: torch.device) -> None:
    """Put the decoder's matrices onto the device one by one, each in this format at once; then all else goes there.

    What they were is let go of: the network can reply, and its changes could not be merged.
    """
    for parent, name, child in held_in(network, precision):
        setattr(parent, name, quantised(child, precision, device=device))
    network.to(device)


def held_in(network: nn.Module, precision: Precision) -> list[tuple[nn.Module, str, nn.Linear]]:
    """The decoder's linear layers whose sizes this format can hold, each with its parent and its name there."""
    body: nn.Module = network.base_model  # type: ignore[assignment]
    children = [(parent, name, child) for parent in body.modules() for name, child in parent.named_children()]
    return [(p, n, child) for p, n, child in children if isinstance(child, nn.Linear) and can_hold(precision, child)]


def can_hold(precision: Precision, linear: nn.Linear) -> bool:
    """Whether the layer's sizes are those that products in this format take; bf16 stands for weights as they are."""
    if precision == "fp8":
        return linear.in_features % 16 == 0 and linear.out_features % 16 == 0
    return precision == "int8" or (precision == "nf4" and linear.in_features % NF4_BLOCK == 0)


def device_of(network: nn.Module) -> torch.device:
    """Where the network computes: where its embeddings are, which never wait elsewhere."""
    return next(network.parameters()).device


@torch.no_grad()
def largest_inputs(network: nn.Module, go_forward: Callable[[], object]) -> dict[nn.Module, torch.Tensor]:
    """The largest size that each input of every linear layer of the decoder takes while the network goes forward."""
    found: dict[nn.Module, torch.Tensor] = {}

    def look(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        found[module] = inputs[0].flatten(0, -2).abs().amax(0).float()

    linear = [m for m in network.base_model.modules() if isinstance(m, nn.Linear)]  # type: ignore[union-attr, operator]
    hooks = [module.register_forward_pre_hook(look) for module in linear]
    go_forward()
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def quantised(
    linear: nn.Linear,
    precision: Precision,
    largest_I: torch.Tensor | None = None,
    device: torch.device | None = None,
) -> nn.Module:
    """A layer with the same weights in this format, rounded on the device, or where they are; its bias is shared.

    Sizes that the format's products cannot take stay as they are.
    """
    if not can_hold(precision, linear):
        return linear
    weight_OI = linear.weight.detach().to(device or linear.weight.device)
    if precision == "nf4":
        return Nf4Linear(weight_OI, linear.bias)
    dtype = torch.int8 if precision == "int8" else torch.float8_e4m3fn
    return EightBitLinear(weight_OI, linear.bias, dtype, largest_I)


class EightBitLinear(nn.Module):
    """Frozen weights in fp8 or int8, the same numbers in both directions: outputs' scales move into the gradient.

    A few inputs of a language model are ten times as large as the others and would leave those few of int8's 255
    steps. Where `largest_I` tells how large each gets, it is divided by a factor that its weights are multiplied with,
    so that both are spread alike (SmoothQuant, arXiv 2211.10438): a third of the error.

    fp8 products want the summed axis innermost. Turning the matrix each time it is gone through backwards costs time;
    where there is memory enough `keep_turned` keeps it so.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: nn.Parameter | None,
        dtype: torch.dtype,
        largest_I: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.shrink_I: torch.Tensor | None
        self.register_buffer("shrink_I", None)
        if largest_I is not None:
            shrink_I = (weight.abs().amax(0).clamp(min=1e-5) / largest_I.clamp(min=1e-5)).sqrt()
            self.shrink_I = shrink_I.to(weight.dtype)  # else inputs in bf16 would go on in fp32
            weight = weight / self.shrink_I
        weight_OI, scale_O1 = rounded_rows(weight, dtype)
        self.weight_OI, self.scale_O = nn.Buffer(weight_OI), nn.Buffer(scale_O1.squeeze(1))
        self.weight_IO: torch.Tensor | None
        self.register_buffer("weight_IO", None)
        self.bias = bias

    def keep_turned(self) -> None:
        """Keep the weights a second time, for the way back."""
        self.weight_IO = self.weight_OI.T.contiguous()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out)."""
        flat = x.flatten(0, -2) if self.shrink_I is None else x.flatten(0, -2) * self.shrink_I
        out: torch.Tensor = _EightBitProduct.apply(flat, self.weight_OI, self.scale_O, self.weight_IO)  # type: ignore[assignment]
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


class _EightBitProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NI: torch.Tensor, weight_OI: torch.Tensor, scale_O: torch.Tensor, weight_IO: torch.Tensor | None
    ) -> torch.Tensor:
        ctx.is_turned = weight_IO is not None
        ctx.save_for_backward(weight_OI if weight_IO is None else weight_IO, scale_O)
        x8_NI, scale_N1 = rounded_rows(x_NI, weight_OI.dtype)
        return _product(x8_NI, weight_OI.T, scale_N1, scale_O[None], x_NI.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        weight, scale_O = ctx.saved_tensors
        grad8_NO, scale_N1 = rounded_rows(grads[0].float() * scale_O, weight.dtype)
        weight_IO = weight if ctx.is_turned else weight.T
        if weight.dtype != torch.int8:
            weight_IO = weight_IO.contiguous()
        ones_1I = torch.ones_like(weight_IO[:, 0], dtype=torch.float32)[None]
        return _product(grad8_NO, weight_IO.T, scale_N1, ones_1I, grads[0].dtype), None, None, None


def rounded_rows(x_NI: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in e4m3 or int8 and what each is to be multiplied with, (N, 1)."""
    scale_N1 = x_NI.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / LARGEST[dtype]
    scaled = x_NI.float() / scale_N1
    return (scaled.round() if dtype == torch.int8 else scaled).to(dtype), scale_N1


def _product(
    a_NK: torch.Tensor, b_KM: torch.Tensor, scale_N1: torch.Tensor, scale_1M: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    if a_NK.dtype == torch.int8:
        return (torch._int_mm(a_NK, b_KM) * scale_N1 * scale_1M).to(dtype)  # type: ignore[attr-defined]
    scales: dict[str, Any] = {"scale_a": scale_N1, "scale_b": scale_1M}
    return torch._scaled_mm(a_NK, b_KM, **scales, out_dtype=dtype, use_fast_accum=True)  # type: ignore[attr-defined]


class Nf4Linear(nn.Module):
    """Frozen weights in 4 bits and their scales in bf16: 4.25 bits a weight."""

    def __init__(self, weight_OI: torch.Tensor, bias: nn.Parameter | None) -> None:
        super().__init__()
        packed, scales = packed_to_nf4(weight_OI)
        self.packed, self.scales = nn.Buffer(packed), nn.Buffer(scales)
        self.values = nn.Buffer(torch.tensor(NF4_VALUES, device=packed.device))
        self.bias = bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out)."""
        flat = x.flatten(0, -2)
        out: torch.Tensor = _Nf4Product.apply(flat, self.packed, self.scales, self.values)  # type: ignore[assignment]
        out = out.view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias


class _Nf4Product(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x_NI: torch.Tensor, packed: torch.Tensor, scales: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(packed, scales, values)
        return F.linear(x_NI, unpacked_from_nf4(packed, scales, values, x_NI.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        packed, scales, values = ctx.saved_tensors
        return grads[0] @ unpacked_from_nf4(packed, scales, values, grads[0].dtype), None, None, None


def packed_to_nf4(weight_OI: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two weights a byte, (O, I / 2), and the largest size of each block, (O, I / 64)."""
    blocks = weight_OI.float().unflatten(1, (-1, NF4_BLOCK))
    scales = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-12).to(torch.bfloat16)
    values = torch.tensor(NF4_VALUES, device=weight_OI.device)
    middles = (values[1:] + values[:-1]) / 2
    codes = torch.bucketize(blocks / scales.float(), middles, out_int32=True).to(torch.uint8).flatten(1)
    return codes[:, ::2] << 4 | codes[:, 1::2], scales.squeeze(-1)


def unpacked_from_nf4(
    packed: torch.Tensor, scales: torch.Tensor, values: torch.Tensor, dtype: torch.dtype
) -> torch.Tensor:
    """The weights, (O, I)."""
    pairs = torch.stack([values[(packed >> 4).int()], values[(packed & 15).int()]], -1)
    return (pairs.flatten(1).unflatten(1, (-1, NF4_BLOCK)) * scales[..., None].float()).flatten(1).to(dtype)
