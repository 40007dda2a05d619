"""Forecast: what a training stage will need. config.json + settings → bytes and floating-point operations.

The stage's own code runs once over tensors that have a shape and no content (PyTorch's fake tensors), and what would be
alive is counted: weights in their format, trained matrices with masters, gradients and moments, what every layer keeps
for the way back, the logits. No weight is read and no GPU is touched.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

from ishibumi.settings import SftSettings, TrainSettings
from ishibumi.training.adapters import attach
from ishibumi.training.batches import Batch
from ishibumi.training.compiled import _forwards, _layers, recomputed_layers
from ishibumi.training.flops import flops_in_8_bits, flops_per_token
from ishibumi.training.live_memory import LiveBytes
from ishibumi.training.loss import GPU_LOGITS, MAX_TOKENS_AT_ONCE, part_tokens
from ishibumi.training.optimizer import Optimizer
from ishibumi.training.precision import EightBitLinear, frozen_in
from ishibumi.training.small_adamw import SmallAdamW, buffer_bytes
from ishibumi.training.steps import batch_nll_sum

# What a compiler keeps for the way back; all between these it makes again.
KEPT_BY_COMPILER = [
    torch.ops.aten.addmm.default,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default,
]

WORDS_OF_TEXTS = 4_000  # that a stage's texts have beside a vocabulary_sample, by guess
REPLIES = 0.5  # of the tokens of conversations, by guess: what is learned, and costs a head
MARGIN = 0.05  # of usable memory, which states that could wait elsewhere leave free: a forecast may be wrong
SMALL = (2, 4)  # layers of the networks that stand for deeper ones


@dataclass(frozen=True)
class Forecast:
    """Of one process: bytes of the weights, of what the optimizer adds (masters, gradients, moments), of the peak.

    `flops` are those of a step, over all processes, of which `flops_in_8_bits` by products of 8-bit matrices. `turned`
    are those matrices a second time, turned, which a GPU keeps beside the peak where there is room; `waiting` are an
    offloaded optimizer's states in the CPU's memory, of which a GPU keeps as many as it has room for.
    """

    weights: int
    optimizer: int
    peak: int
    flops: float
    flops_in_8_bits: float = 0.0
    turned: int = 0
    waiting: int = 0

    def with_turned(self, usable: int) -> "Forecast":
        """The same with what is kept turned, if it is less than what is left of `usable` bytes."""
        return replace(self, peak=self.peak + self.turned) if self.peak + self.turned < usable else self

    def resident_bytes(self, usable: int) -> int:
        """Of what would wait in the CPU's memory, the bytes that the GPU can keep of `usable` ones, less a margin."""
        return max(0, min(self.waiting, int((1 - MARGIN) * usable) - self.peak))

    def with_resident(self, usable: int) -> "Forecast":
        """The same with those of the optimizer's states that stay on the GPU."""
        more = self.resident_bytes(usable)
        return replace(self, optimizer=self.optimizer + more, peak=self.peak + more)

    def split(self, num_ranks: int, num_layers: int) -> "Forecast":
        """The same where the processes share one copy; two layers at a time are whole: one in use, one coming."""
        weights, optimizer = self.weights // num_ranks, self.optimizer // num_ranks
        rest = self.peak - self.weights - self.optimizer + 2 * self.weights // num_layers
        return replace(self, weights=weights, optimizer=optimizer, peak=weights + optimizer + rest)


def forecast(
    make_network: Callable[[int], nn.Module],
    num_layers: int,
    settings: TrainSettings,
    *,
    is_gpu: bool,
    is_compiled: bool = False,
    num_ranks: int = 1,
) -> Forecast:
    """What a stage with full rows, all of them learned, needs in each of `num_ranks` processes that have whole weights.

    `make_network` makes a network of so many layers on the CPU. All grows evenly with the layers, which are alike: two
    small networks stand for a deep one. `recompute` "auto" counts as "none".
    """
    few, more = SMALL
    if num_layers <= more:
        sizes = _simulate(partial(make_network, num_layers), settings, is_gpu, is_compiled, num_ranks)
    else:
        less, sizes = (_simulate(partial(make_network, n), settings, is_gpu, is_compiled, num_ranks) for n in SMALL)
        sizes = [b + (b - a) * (num_layers - more) / (more - few) for a, b in zip(less, sizes, strict=True)]
    weights, optimizer, in_loss, going_back, flops, in_8_bits, turned, waiting = sizes
    peak = int(max(in_loss, going_back))
    return Forecast(int(weights), int(optimizer), peak, flops, in_8_bits, int(turned), int(waiting))


def _simulate(
    make_network: Callable[[], nn.Module], settings: TrainSettings, is_gpu: bool, is_compiled: bool, num_ranks: int
) -> list[float]:
    """Bytes of weights and optimizer, the most that is alive up to the loss and after it; a step's operations: all, and
    those in 8 bits; bytes of what may be kept turned, and of states that wait in the CPU's memory."""
    rows_per_step = max(1, settings.tokens_per_step // settings.row_tokens)
    num_rows = min(max(1, settings.tokens_per_pass // settings.row_tokens), -(-rows_per_step // num_ranks))
    num_learned, tokens = num_rows * (settings.row_tokens - 1), rows_per_step * settings.row_tokens
    with FakeTensorMode(allow_non_fake_inputs=True), LiveBytes() as live:
        network = make_network()
        trainables = attach(network, settings, 1)
        head_VD = network.get_output_embeddings().weight  # type: ignore[operator]
        samples = settings.vocabulary_sample > 0 and not head_VD.requires_grad
        num_words = min(len(head_VD), settings.vocabulary_sample + WORDS_OF_TEXTS) if samples else None
        learned_share = REPLIES if isinstance(settings, SftSettings) else 1.0
        flops = flops_per_token(network, trainables, settings.row_tokens, num_words, learned_share) * tokens
        plain = list(network.parameters())
        with frozen_in(network, settings.precision), _kept(network, settings, is_compiled):
            in_8_bits = flops_in_8_bits(network) * tokens
            rounded = [m for m in network.modules() if isinstance(m, EightBitLinear)]
            keeps_turned = is_gpu and settings.precision == "fp8" and settings.recompute != "full"
            turned = sum(m.weight_OI.nbytes for m in rounded) if keeps_turned else 0
            kept = {id(p) for p in network.parameters()}
            on_cpu = sum(p.nbytes for p in plain if id(p) not in kept)  # waiting while fewer bits stand for it
            on_cpu += sum(t.start.nbytes for t in trainables if t.start is not None)
            live.now -= on_cpu if is_gpu else 0
            weights = live.now
            optimizer, waiting = Optimizer(trainables, settings), 0
            if isinstance(optimizer.adamw, SmallAdamW) and settings.optimizer == "offloaded" and is_gpu:
                states = sum(tensor.nbytes for state in optimizer.adamw.states for tensor in state)
                waiting = max(0, states - buffer_bytes())  # the buffers stay
                live.now -= waiting
            else:
                for master in optimizer.masters:  # as they are from the second step on
                    master.grad = torch.zeros_like(master) if master.grad is None else master.grad
                    live.now += 0 if isinstance(optimizer.adamw, SmallAdamW) else 2 * master.nbytes
            in_optimizer, live.peak = live.now - weights, live.now
            few_learned = min(num_learned, MAX_TOKENS_AT_ONCE)  # the others have a hidden state and its gradient each
            others = 2 * (num_learned - few_learned) * head_VD[0].nbytes
            # A GPU has a part's logits and their gradient at once, in bf16; a CPU tiles of them.
            logits = 4 * min(num_learned * len(head_VD), GPU_LOGITS) if is_gpu else 0
            fp32 = _only_on_cpu(head_VD, num_learned) if is_gpu else 0
            nll_sum = batch_nll_sum(network, _full_rows(num_rows, settings.row_tokens), None, few_learned)
            in_loss, live.peak = live.peak + others + logits - fp32, live.now
            with _after(nll_sum, live) as at_head:
                nll_sum.backward()
            optimizer.collect_gradients()
            going_back = max(at_head[0] - 2 * fp32, live.peak)  # there it would be in both formats
            return [weights, in_optimizer, in_loss, going_back + others, flops, in_8_bits, turned, waiting]


def _only_on_cpu(head_VD: torch.Tensor, num_learned: int) -> int:
    """Bytes that a trained head's gradient has in fp32 beyond its own format, where a GPU makes it at once in that."""
    is_at_once = num_learned <= part_tokens(len(head_VD))
    return head_VD.numel() * (4 - head_VD.element_size()) if head_VD.requires_grad and is_at_once else 0


@contextlib.contextmanager
def _after(nll_sum: torch.Tensor, live: LiveBytes) -> Iterator[list[int]]:
    """Gets the peak up to the loss's own way back, which `live` then forgets."""
    found: list[int] = []

    def note(*_: Any) -> None:
        found.append(live.peak)
        live.peak = live.now

    assert nll_sum.grad_fn is not None
    handle = nll_sum.grad_fn.register_hook(note)
    yield found
    handle.remove()


@contextlib.contextmanager
def _kept(network: nn.Module, settings: TrainSettings, is_compiled: bool) -> Iterator[None]:
    """The layers keeping what they will keep: everything, their input, or what a compiler keeps."""
    if settings.recompute == "full":
        with recomputed_layers(network):
            yield
    elif is_compiled:
        with _forwards(
            _layers(network), lambda forward: partial(checkpoint, forward, use_reentrant=False, context_fn=_compiler)
        ):
            yield
    else:
        yield


def _compiler() -> Any:
    return create_selective_checkpoint_contexts(KEPT_BY_COMPILER)


def _full_rows(num_rows: int, row_tokens: int) -> Batch:
    ids = torch.zeros(num_rows, row_tokens, dtype=torch.int64)
    same = [torch.zeros_like(ids) for _ in range(3)]
    return Batch(ids, same[0], same[1], same[2], torch.ones_like(ids, dtype=torch.float32))
