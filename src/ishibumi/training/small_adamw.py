"""AdamW that keeps 6 bytes beside each weight and its gradient, instead of 16: for embeddings of billions of numbers.

A weight in fp32 is the model's own bf16 number and 16 bits more, so the master costs two bytes, and small updates are
not lost. Both moments are in bf16. One compiled kernel a matrix reads and writes all of it.

    fp32 bits   0x3f8c5432     weight 0x3f8c (rounded to the nearest)     rest 0x5432

Offloaded, these 6 bytes wait in the CPU's memory and pass through two buffers on the GPU, piece by piece: one piece
comes while the one before is computed and goes back.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from ishibumi.training.compiler import has_compiler

EPSILON = 1e-8
PIECE = 2**25  # numbers of a matrix that are on the GPU at once: 0.2 GB of states


class SmallAdamW:
    """Moves bf16 parameters; `param_groups` and states as torch's optimizers have them."""

    def __init__(
        self,
        groups: Sequence[dict[str, Any]],
        betas: tuple[float, float],
        weight_decay: float,
        failed: torch.Tensor,
        *,
        offloaded: bool = False,
    ) -> None:
        """`groups`: {"params", "lr": a tensor, …}. Nothing moves while `failed` is 1. On a CPU nothing is offloaded."""
        self.param_groups = list(groups)
        self.betas, self.weight_decay, self.failed = betas, weight_decay, failed
        self.num_steps = torch.zeros_like(failed)
        self.move: Callable[..., None] = _move_on_gpu() if failed.is_cuda else move
        self.passage = Passage(failed.device) if offloaded and failed.is_cuda else None
        parameters = [p for group in self.param_groups for p in group["params"]]
        self.states = [self._zeros(p) for p in parameters]

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients in `.grad`."""
        self.num_steps += 1 - self.failed
        parameters = [(p, group["lr"]) for group in self.param_groups for p in group["params"]]
        told = (self.num_steps, self.failed, self.betas, self.weight_decay)
        if self.passage:
            self.passage.incoming.wait_stream(self.passage.outgoing)  # the last step's states are back
        for (p, rate), state in zip(parameters, self.states, strict=True):
            if p.grad is None:
                continue
            flat = [tensor.view(-1) for tensor in (p, p.grad, *state)]
            if self.passage is None:
                self.move(*flat, rate, *told)
                continue
            for weight, grad, *waiting in zip(*(tensor.split(PIECE) for tensor in flat), strict=True):
                with self.passage.through(waiting) as here:
                    self.move(weight, grad, *here, rate, *told)

    def _zeros(self, p: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """A parameter's rest and its two moments."""
        if self.passage is None:
            return torch.zeros_like(p, dtype=torch.int16), torch.zeros_like(p), torch.zeros_like(p)
        rest, first, second = (torch.zeros(p.shape, dtype=kind, pin_memory=True) for kind in Passage.KINDS)
        return rest, first, second

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters."""
        if self.passage:
            self.passage.outgoing.synchronize()
        return {"num_steps": self.num_steps, "states": [list(state) for state in self.states]}

    @torch.no_grad()
    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Take up a stored state."""
        if self.passage:
            self.passage.outgoing.synchronize()
        self.num_steps.copy_(stored["num_steps"])
        for state, other in zip(self.states, stored["states"], strict=True):
            for tensor, new in zip(state, other, strict=True):
                tensor.copy_(new)


class Passage:
    """Two buffers on a GPU through which states pass, on streams of their own: in, the step, out."""

    KINDS = (torch.int16, torch.bfloat16, torch.bfloat16)

    def __init__(self, device: torch.device) -> None:
        self.incoming, self.outgoing = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self.buffers = [[torch.empty(PIECE, dtype=kind, device=device) for kind in self.KINDS] for _ in range(2)]
        self.is_free = [torch.cuda.Event() for _ in self.buffers]
        self.turn = 0

    @contextlib.contextmanager
    def through(self, waiting: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
        """The states on the GPU, (n,) each as they wait in pinned memory; what becomes of them goes back there."""
        here = [buffer[: len(tensor)] for buffer, tensor in zip(self.buffers[self.turn], waiting, strict=True)]
        now, is_free = torch.cuda.current_stream(), self.is_free[self.turn]
        with torch.cuda.stream(self.incoming):
            self.incoming.wait_event(is_free)
            _copy(waiting, here)
        now.wait_stream(self.incoming)
        yield here
        self.outgoing.wait_stream(now)
        with torch.cuda.stream(self.outgoing):
            _copy(here, waiting)
            is_free.record(self.outgoing)
        self.turn = 1 - self.turn


def _copy(tensors: Sequence[torch.Tensor], into: Sequence[torch.Tensor]) -> None:
    for tensor, to in zip(tensors, into, strict=True):
        to.copy_(tensor, non_blocking=True)


@functools.cache
def _move_on_gpu() -> Callable[..., None]:
    return torch.compile(move, dynamic=True) if has_compiler(is_gpu=True) else move


def move(
    p: torch.Tensor,
    grad: torch.Tensor,
    rest: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    num_steps: torch.Tensor,
    failed: torch.Tensor,
    betas: tuple[float, float],
    weight_decay: float,
) -> None:
    """One step of AdamW on flat tensors, in place."""
    g = grad.float()
    new_first = first.float().lerp(g, 1 - betas[0])
    new_second = second.float().lerp(g * g, 1 - betas[1])
    master = joined(p, rest)
    divisor = (new_second / (1 - betas[1] ** num_steps)).sqrt() + EPSILON
    update = new_first / (1 - betas[0] ** num_steps) / divisor + weight_decay * master
    new_p, new_rest = parted(master - rate * update)
    stays = failed > 0
    p.copy_(torch.where(stays, p, new_p))
    rest.copy_(torch.where(stays, rest, new_rest))
    first.copy_(torch.where(stays, first, new_first.to(first.dtype)))
    second.copy_(torch.where(stays, second, new_second.to(second.dtype)))


def joined(p: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """The fp32 number of a bf16 one and its rest."""
    return ((p.view(torch.int16).int() << 16) + rest.int()).view(torch.float32)


def parted(master: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest bf16 number, and what is left of the 32 bits."""
    bits = master.view(torch.int32)
    upper = (bits + 0x8000) >> 16
    return upper.to(torch.int16).view(torch.bfloat16), (bits - (upper << 16)).to(torch.int16)
