"""One optimizer step: batches → gradients → moved weights. Where launches cost most, a GPU replays what it recorded.

A small model's step is thousands of kernels of a few microseconds; the CPU launches one in about ten. A CUDA graph
launches all of them at once. It wants fixed shapes and fixed memory: rows are of one length, batches are copied into
the first one's memory, and losses are read a step late.

Axes: R rows, T tokens, D hidden size, N learned tokens.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Batch
from ishibumi.training.distributed import full, num_ranks
from ishibumi.training.loss import graded_cross_entropy
from ishibumi.training.optimizer import Optimizer
from ishibumi.training.vocabulary import Words

NUM_WARM_UPS = 3  # compilers and libraries choose their kernels in the first runs
GRAPH_WORK = 2**35  # hidden size² · tokens: from here on (about 100 µs a product) kernels take longer than launches


class Moment:
    """When a device gets to here: at once on a CPU, on a GPU when the work before is done."""

    def __init__(self, device: torch.device) -> None:
        self.event = torch.cuda.Event(enable_timing=True) if device.type == "cuda" else None
        self.time = time.perf_counter()
        if self.event:
            self.event.record()

    def seconds_since(self, earlier: "Moment") -> float:
        """Seconds between two moments of one device; waits for this one."""
        if self.event is None or earlier.event is None:
            return self.time - earlier.time
        self.event.synchronize()
        return earlier.event.elapsed_time(self.event) / 1000


@dataclass(frozen=True)
class Figures:
    """A step's loss and gradient norm, on their way from the device, and when they are there."""

    values: torch.Tensor
    arrived: Moment

    def read(self) -> tuple[float, float]:
        """Loss and norm, when they are there."""
        if self.arrived.event:
            self.arrived.event.synchronize()
        loss, norm = self.values.tolist()
        return loss, norm


class Steps:
    """Gradients of a step's batches and the update, one after the other or recorded and replayed."""

    def __init__(self, network: nn.Module, optimizer: Optimizer, num_learned: int, words: Words | None = None) -> None:
        """`num_learned`: learned tokens that no batch exceeds. `words` are filled anew before each step."""
        device = next(network.parameters()).device
        self.network, self.optimizer, self.num_learned, self.words = network, optimizer, num_learned, words
        self.loss, self.weight_sum = torch.zeros((), device=device), torch.ones((), device=device)
        self.figures = torch.zeros(2, device=device)
        self.batch: Batch | None = None
        self.right_RT: torch.Tensor | None = None
        # What several processes do together stays outside of graphs.
        self.is_gpu = device.type == "cuda" and num_ranks() == 1
        self.is_fixed = False  # every batch's shape, for a graph
        self.backward: Callable[[], None] = self._backward
        self.update: Callable[[], None] = self._update

    def gradients(self, batches: Iterable[Batch], weight_sum: float) -> list[torch.Tensor]:
        """Add up the gradients of Σ nll / weight_sum over the batches, all of one shape.

        Returns which tokens of each were the likeliest, (R, T) on the CPU: there when the work before `move` is done.
        """
        self.weight_sum.fill_(weight_sum)
        found: list[torch.Tensor] = []
        for batch in batches:
            if self.batch is None:
                self.batch = batch.to(self.weight_sum.device)
                self.right_RT = torch.zeros_like(self.batch.weights_RT, dtype=torch.bool)
                if self.is_gpu:
                    self._record()
            else:
                self.batch.copy_(batch)
            self.backward()
            assert self.right_RT is not None
            kept_RT = torch.empty_like(self.right_RT, device="cpu", pin_memory=self.right_RT.is_cuda)
            found.append(kept_RT.copy_(self.right_RT, non_blocking=True))
        return found

    def _record(self) -> None:
        """Record what is to be replayed, and leave everything as it was."""
        assert self.batch is not None
        hidden_size: int = self.network.config.hidden_size  # type: ignore[union-attr, assignment]
        is_short = hidden_size**2 * self.batch.ids_RT.numel() < GRAPH_WORK
        self.is_fixed = is_short and not self.optimizer.is_offloaded  # whose gradients have no memory that stays
        self._backward()  # gradients get the memory in which they stay
        if self.is_fixed:
            self.backward = recorded(self._backward)
        self.optimizer.zero_gradients()
        if self.optimizer.is_offloaded:  # as long as the states' way, which no launch could shorten
            self.loss.zero_()
            return
        self.optimizer.failed.fill_(1)  # warming up moves nothing
        self.update = recorded(self._update)
        self.optimizer.failed.zero_()

    def move(self, share_of_peak: float) -> Figures:
        """Move the weights along the gradients, unless loss or gradient is not finite; the figures say so later."""
        self.optimizer.set_rates(share_of_peak)
        self.update()
        values = torch.empty(2, pin_memory=self.figures.is_cuda)
        values.copy_(self.figures, non_blocking=True)
        return Figures(values, Moment(self.figures.device))

    def _backward(self) -> None:
        assert self.batch is not None
        num_learned = self.num_learned if self.is_fixed else None
        nll_sum = batch_nll_sum(self.network, self.batch, self.words, num_learned, self.right_RT)
        loss = nll_sum / self.weight_sum
        loss.backward()
        self.optimizer.collect_gradients()
        self.loss += loss.detach()

    def _update(self) -> None:
        self.figures.copy_(self.optimizer.step(self.loss))
        self.loss.zero_()


def recorded(work: Callable[[], None]) -> Callable[[], None]:
    """`work` as one CUDA graph, after some runs to warm up. It must allocate what it needs itself and never wait."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(NUM_WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        work()
    return graph.replay


def batch_nll_sum(
    network: nn.Module,
    batch: Batch,
    words: Words | None = None,
    num_learned: int | None = None,
    right_RT: torch.Tensor | None = None,
) -> torch.Tensor:
    """Summed negative log-likelihood of a batch's learned tokens, each predicted from the token before it.

    It is normalised over `words`, or over the whole vocabulary. With `num_learned` so many tokens are taken, the
    learned ones and others of weight 0: a shape that no batch changes. Whether a learned token was the likeliest goes
    into `right_RT`; what stands there for others means nothing.
    """
    hidden_RTD = hidden_states(network, batch)
    weights = batch.weights_RT[:, 1:].flatten()
    if num_learned is None:
        places_N = (weights > 0).nonzero().squeeze(1)
    else:
        places_N = torch.argsort((weights > 0).int(), descending=True, stable=True)[:num_learned]
    head_VD = full(network.get_output_embeddings().weight)  # type: ignore[operator]
    hidden_ND = hidden_RTD[:, :-1].flatten(0, 1).index_select(0, places_N)
    targets_N, weights_N = batch.ids_RT[:, 1:].flatten()[places_N], weights[places_N]
    if words is None:
        nll_sum, right_N = graded_cross_entropy(hidden_ND, head_VD, targets_N, weights_N)
    else:
        of_words = words.head_CD, words.places_of(targets_N), weights_N, words.log_counts_C
        nll_sum, right_N = graded_cross_entropy(hidden_ND, *of_words)
    if right_RT is not None:
        num_targets = batch.ids_RT.shape[1] - 1  # in a row, whose first token is none
        places_N = places_N + places_N.div(num_targets, rounding_mode="floor") + 1
        right_RT.view(-1).index_copy_(0, places_N, right_N)
    return nll_sum
