"""Compiled layers: when they pay, and how. A layer's small operations become a few kernels; products stay."""

import contextlib
import gc
import shutil
from collections.abc import Iterator

import torch
from torch import nn

from ishibumi.models.load import LoadedModel
from ishibumi.training.batches import Plan

MIN_TOKENS = 100_000  # compiling takes about 40 s on two cores and saves about 0.6 ms a token (Gemma 3 270M)


def compiles(model: LoadedModel, plan: Plan) -> bool:
    """Whether compiling saves time: a compiler is there and there are tokens enough.

    Not on a GPU: torch 2.11 compiled this attention to wrong gradients there (norms of 1e9 where plain layers give 6).
    """
    has_compiler = model.device.type == "cpu" and shutil.which("g++") is not None
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
