"""Matrices that wait in the CPU's memory while fewer bits stand for them on a GPU, from loading to merging.

A base of 13.7 billion weights is 27 GB in bf16 and 8 with its matrices in 4 bits: a card of 16 GB sees them one at a
time, to be rounded, to be merged, and for the products that prove the merged model.
"""

import contextlib
import functools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from ishibumi.settings import TrainSettings
from ishibumi.training.precision import Precision, device_of, held_in, precision_on

ON_GPU: tuple[Precision, ...] = ("fp8", "nf4")  # formats that save a GPU's memory


def waits(settings: TrainSettings, device: torch.device) -> bool:
    """Whether a stage on this device, with whole weights, has its matrices wait: all are frozen and rounded."""
    precision = precision_on(settings.precision, device, is_split=False)
    return device.type == "cuda" and settings.method == "lora" and precision in ON_GPU


def move_unrounded(network: nn.Module, precision: Precision, device: torch.device) -> None:
    """Move the network to the device, but for the matrices that this format will hold: these wait, frozen."""
    waiting = [(child, child.weight.requires_grad_(False)) for _, _, child in held_in(network, precision)]
    for child, _ in waiting:
        child.register_parameter("weight", None)
    network.to(device)
    for child, weight in waiting:
        child.weight = weight


@contextlib.contextmanager
def fetched(network: nn.Module) -> Iterator[None]:
    """For as long as the block lasts each matrix that waits comes to the network's device for every product."""
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    waiting = [m for m in linear if m.weight.device != device_of(network)]
    for module in waiting:
        module.forward = functools.partial(_multiply, module)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for module in waiting:
            del module.forward


def _multiply(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
    """(…, in) → (…, out)."""
    return F.linear(x, linear.weight.to(x.device), linear.bias)
