"""Floating-point operations of training, as model FLOPs utilisation counts them: what the mathematics asks for.

A frozen matrix costs 4 operations for each weight and token (forward, and the gradient of its input), one that trains
6. What is computed twice to save memory, or for padding, counts once or not at all.
"""

import functools
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ishibumi.models.load import head_size
from ishibumi.training.adapters import EMBEDDINGS, Trainable, leaf
from ishibumi.training.precision import EightBitLinear, Nf4Linear

# Dense bf16 products, operations a second, from the makers' data sheets; the first name that a GPU's name contains.
GPU_PEAKS = {
    "H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "B200": 2250e12, "A100": 312e12,
    "A6000": 155e12, "A10": 125e12, "L40S": 362e12, "L40": 181e12, "L4": 121e12, "T4": 65e12,
    "RTX 5090": 210e12, "RTX 4090": 165e12, "RTX 4080": 97e12, "RTX 4070": 58e12, "RTX 3090": 71e12,
}  # fmt: skip
CPU_TEST_SECONDS = 0.3


def flops_per_token(
    network: nn.Module,
    trainables: Sequence[Trainable],
    row_tokens: int,
    num_words: int | None = None,
    learned_share: float = 1.0,
) -> float:
    """Operations for each token of a row, both ways; learned ones go through `num_words` rows of the head, or all."""
    trained = {id(p) for t in trainables for p in t.parameters}
    head = network.get_output_embeddings().weight  # type: ignore[operator]
    matrices = [
        p for n, p in network.named_parameters() if p.dim() == 2 and leaf(n.rpartition(".")[0]) not in EMBEDDINGS
    ]
    rounded = [2 * m.packed.numel() for m in network.modules() if isinstance(m, Nf4Linear)]
    products = 4 * sum(rounded) + flops_in_8_bits(network)
    products += sum((6 if id(p) in trained else 4) * p.numel() for p in matrices)
    products += learned_share * (6 if id(head) in trained else 4) * (num_words or head.shape[0]) * head.shape[1]
    config: Any = network.config
    # QKᵀ and PV, 2 operations each and thrice (forward, two gradients), over the half of the row that is seen.
    seen = row_tokens / 2
    return products + 12 * seen * config.num_hidden_layers * config.num_attention_heads * head_size(config)


def flops_in_8_bits(network: nn.Module) -> int:
    """Those for each token that products of 8-bit matrices do."""
    return 4 * sum(m.weight_OI.numel() for m in network.modules() if isinstance(m, EightBitLinear))


@functools.cache
def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Operations a second that the device could do at best; None for a GPU that is not in the list.

    A CPU is asked: a product of two matrices of 1,024 × 1,024, for a third of a second. fp8 is twice as fast as bf16.
    """
    if device.type == "cuda":
        name, faster = torch.cuda.get_device_name(device), 2 if dtype.itemsize == 1 else 1
        return next((faster * peak for part, peak in GPU_PEAKS.items() if part in name), None)
    a, b = (torch.ones(1024, 1024, dtype=dtype) for _ in range(2))
    multiply = torch._int_mm if dtype == torch.int8 else torch.mm  # type: ignore[attr-defined]
    multiply(a, b)
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < CPU_TEST_SECONDS:
        multiply(a, b)
        done += 1
    return done * 2 * 1024**3 / (time.perf_counter() - started)


def seconds_at_best(flops: float, in_8_bits: float, device: torch.device, dtype: torch.dtype) -> float | None:
    """What so many operations take at the device's best speeds, `in_8_bits` of them as int8 or fp8; None if unknown."""
    speed, speed_in_8_bits = peak_flops(device, dtype), peak_flops(device, torch.int8) if in_8_bits else 1.0
    if speed is None or speed_in_8_bits is None:
        return None
    return (flops - in_8_bits) / speed + in_8_bits / speed_in_8_bits
