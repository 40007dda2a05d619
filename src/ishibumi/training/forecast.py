"""Forecast: what a training stage will need. config.json + settings → bytes and floating-point operations.

The stage's own code runs once over tensors that have a shape and no content (PyTorch's fake tensors), and what would be
alive is counted: weights in their format, trained matrices with masters, gradients and moments, what every layer keeps
for the way back, the logits. No weight is read and no GPU is touched.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from ishibumi.settings import TrainSettings
from ishibumi.training.adapters import attach
from ishibumi.training.batches import Batch
from ishibumi.training.compiled import _forwards, recomputed_layers
from ishibumi.training.flops import flops_per_token
from ishibumi.training.live_memory import LiveBytes
from ishibumi.training.loss import GPU_LOGITS
from ishibumi.training.optimizer import Optimizer
from ishibumi.training.precision import frozen_in
from ishibumi.training.steps import batch_nll_sum

# What a compiler keeps for the way back; all between these it makes again.
KEPT_BY_COMPILER = [
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
]


@dataclass(frozen=True)
class Forecast:
    """Of one process: bytes of the weights, of what the optimizer adds (masters, gradients, moments), of the peak.

    `flops` are those of a step, over all processes.
    """

    weights: int
    optimizer: int
    peak: int
    flops: float


def forecast(
    make_network: Callable[[], nn.Module],
    settings: TrainSettings,
    *,
    is_gpu: bool,
    is_compiled: bool = False,
    num_ranks: int = 1,
) -> Forecast:
    """What a stage with full rows, all of them learned, needs in each of `num_ranks` processes that have whole weights.

    `make_network` makes the network on the CPU; `recompute` "auto" counts as "none".
    """
    rows_per_step = max(1, settings.tokens_per_step // settings.row_tokens)
    num_rows = min(max(1, settings.tokens_per_pass // settings.row_tokens), -(-rows_per_step // num_ranks))
    num_learned = num_rows * (settings.row_tokens - 1)
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        network = make_network()
        trainables = attach(network, settings, 1)
        starts = sum(t.start.nbytes for t in trainables if t.start is not None) if is_gpu else 0  # they stay on the CPU
        with frozen_in(network, settings.precision), _kept(network, settings, is_compiled):
            weights = live.peak = live.now
            optimizer = Optimizer(trainables, settings)
            nll_sum = batch_nll_sum(network, _full_rows(num_rows, settings.row_tokens), None, num_learned)
            # A GPU has a part's logits and their gradient at once, in bf16; a CPU tiles of them.
            logits = 4 * min(num_learned * len(_head(network)), GPU_LOGITS) if is_gpu else 0
            in_loss = live.peak + logits
            nll_sum.backward()
            optimizer.collect_gradients()
            optimizer.step(torch.zeros(()))
            tokens = rows_per_step * settings.row_tokens
            flops = flops_per_token(network, trainables, settings.row_tokens) * tokens
            return Forecast(weights - starts, live.now - weights, max(in_loss, live.peak) - starts, flops)


def _head(network: nn.Module) -> torch.Tensor:
    return network.get_output_embeddings().weight  # type: ignore[operator, no-any-return]


@contextlib.contextmanager
def _kept(network: nn.Module, settings: TrainSettings, is_compiled: bool) -> Iterator[None]:
    """The layers keeping what they will keep: everything, their input, or what a compiler keeps."""
    if settings.recompute == "full":
        with recomputed_layers(network):
            yield
    elif is_compiled:
        with _forwards(
            network, lambda forward: partial(checkpoint, forward, use_reentrant=False, context_fn=_compiler)
        ):
            yield
    else:
        yield


def _compiler() -> Any:
    return create_selective_checkpoint_contexts(KEPT_BY_COMPILER)


def _full_rows(num_rows: int, row_tokens: int) -> Batch:
    ids = torch.zeros(num_rows, row_tokens, dtype=torch.int64)
    return Batch(ids, *(torch.zeros_like(ids) for _ in range(3)), torch.ones_like(ids, dtype=torch.float32))
