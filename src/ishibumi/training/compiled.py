"""Compiled layers: when they pay, how, and whether they are right. Small operations become few kernels; products stay.

A compiler can be wrong: torch 2.11 compiled this attention to gradients of 1e9 on a GPU, where plain layers give 6. So
the first batch goes through both, and training goes on with plain layers where they differ.
"""

import contextlib
import gc
import math
import shutil
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from ishibumi.models.load import LoadedModel
from ishibumi.training.adapters import Trainable
from ishibumi.training.batches import Batch, Plan
from ishibumi.training.steps import batch_nll_sum

TOLERANCE = 0.05  # of the gradient's size: bf16 keeps 8 bits, and the two add in another order (0.01 to 0.02)
MIN_TOKENS = 100_000  # compiling takes about 40 s on two cores and saves about 0.6 ms a token (Gemma 3 270M)


def compiles(model: LoadedModel, plan: Plan) -> bool:
    """Whether compiling saves time: a compiler is there and there are tokens enough."""
    has_compiler = model.device.type == "cuda" or shutil.which("g++") is not None
    return has_compiler and len(plan.rows) * plan.row_tokens >= MIN_TOKENS


@contextlib.contextmanager
def compiled_layers(network: nn.Module) -> Iterator[None]:
    """Every decoder layer compiled for as long as the block lasts; the layers are alike, so the first serves all.

    Merging swaps modules, which a compiled layer would not notice: leave the block first.
    """
    torch._dynamo.config.cache_size_limit = 64
    layers = list(network.base_model.layers)  # type: ignore[union-attr, arg-type]
    for layer in layers:
        layer.forward = torch.compile(layer.forward, dynamic=False)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
        torch._dynamo.reset()  # what it keeps would hold this network's weights beside the next stage's
        gc.collect()


def gradient_difference(network: nn.Module, trainables: Sequence[Trainable], batch: Batch) -> float:
    """‖compiled − plain‖ / ‖plain‖ over the gradients of the trainables, for one batch; leaves no gradient behind."""
    parameters = [p for trainable in trainables for p in trainable.parameters]
    started = [p.detach().clone() for p in parameters]
    _stir(parameters)  # LoRA's B starts at zero, and then A gets no gradient that could be wrong

    def gradients() -> list[torch.Tensor]:
        batch_nll_sum(network, batch).backward()
        found = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for p in parameters:
            p.grad = None
        return found

    compiled = gradients()
    with torch.compiler.set_stance("force_eager"):
        plain = gradients()
    with torch.no_grad():
        for p, start in zip(parameters, started, strict=True):
            p.copy_(start)
    pairs = [(a.float(), b.float()) for a, b in zip(compiled, plain, strict=True)]
    different = sum(float((a - b).square().sum()) for a, b in pairs)
    return math.sqrt(different / sum(float(b.square().sum()) for _, b in pairs))


@torch.no_grad()
def _stir(parameters: Sequence[nn.Parameter]) -> None:
    for p in parameters:
        if not p.any():
            p.fill_(1e-3)
