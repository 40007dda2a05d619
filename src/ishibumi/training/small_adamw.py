"""AdamW that keeps 6 or 3 bytes beside each weight and its gradient, not 16: for embeddings of billions of numbers.

A weight in fp32 is the model's own bf16 number and 16 bits more, so the master costs two bytes, and small updates are
not lost. Both moments are in bf16. One compiled kernel a matrix reads and writes all of it.

    fp32 bits   0x3f8c5432     weight 0x3f8c (rounded to the nearest)     rest 0x5432

Offloaded, the rest has 8 bits, up or down by chance so that small updates are not lost either, and the moments 8 each
(eight_bits.py). As many pieces of these 3 bytes as there is room for stay on the GPU. The others wait in the CPU's
memory and pass through two buffers: one piece comes while the one before is computed and goes back.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ishibumi.training.compiler import has_compiler
from ishibumi.training.eight_bits import BLOCK, STATES, chance, coded, decoded, state_bytes, state_sizes

EPSILON = 1e-8
PIECE = 2**25  # numbers of a matrix that are on the GPU at once: 0.1 GB of states


def buffer_bytes() -> int:
    """Of the GPU's memory, for pieces that pass."""
    return 2 * state_bytes(PIECE)


@dataclass(frozen=True)
class Piece:
    """Some numbers of a flat parameter, `rate` their learning rate, with their states, which may wait elsewhere."""

    parameter: torch.Tensor
    rate: torch.Tensor
    span: slice
    states: list[torch.Tensor]
    passes: bool


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
        resident_bytes: int = 0,
    ) -> None:
        """`groups`: {"params", "lr": a tensor, …}. Nothing moves while `failed` is 1.

        Offloaded, `resident_bytes` of the states stay on a GPU all the same; on a CPU all of them are where they are.
        """
        self.param_groups = list(groups)
        self.betas, self.weight_decay, self.failed = betas, weight_decay, failed
        self.num_steps = torch.zeros_like(failed)
        self.is_offloaded = offloaded and failed.is_cuda
        self.move: Callable[..., None] = move_in_8_bits if offloaded else _on_gpu(move) if failed.is_cuda else move
        self.pieces = self._pieces(offloaded, resident_bytes)
        self.states = [piece.states for piece in self.pieces]
        self.passage = Passage(failed.device) if any(piece.passes for piece in self.pieces) else None

    def _pieces(self, offloaded: bool, resident_bytes: int) -> list[Piece]:
        """Whole matrices, or what passes at once; their states are zero."""
        found = [
            (p, group["lr"], span)
            for group in self.param_groups
            for p in group["params"]
            for span in (spans(p.numel()) if offloaded else [slice(0, p.numel())])
        ]
        if not offloaded:
            zeros = (torch.int16, torch.bfloat16, torch.bfloat16)
            return [
                Piece(p, rate, span, [torch.zeros_like(p, dtype=z) for z in zeros], False) for p, rate, span in found
            ]
        stay = resident([span.stop - span.start for _, _, span in found], resident_bytes)
        pieces: list[Piece] = []
        for i, (p, rate, span) in enumerate(found):
            passes = self.is_offloaded and i not in stay
            where: dict[str, Any] = {"pin_memory": True} if passes else {"device": p.device}
            sizes = zip(state_sizes(span.stop - span.start), STATES, strict=True)
            pieces.append(Piece(p, rate, span, [torch.zeros(n, dtype=kind, **where) for n, kind in sizes], passes))
        return pieces

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients in `.grad`."""
        self.num_steps += 1 - self.failed
        told = (self.num_steps, self.failed, self.betas, self.weight_decay)
        if self.passage:
            self.passage.incoming.wait_stream(self.passage.outgoing)  # the last step's states are back
        # What passes comes first: the many small kernels of what stays are launched while a GPU waits for the bus.
        for piece in sorted(self.pieces, key=lambda piece: not piece.passes):
            if piece.parameter.grad is None:
                continue
            moved = [tensor.view(-1)[piece.span] for tensor in (piece.parameter, piece.parameter.grad)]
            with self._here(piece) as states:
                self.move(*moved, *states, piece.rate, *told)

    def _here(self, piece: Piece) -> contextlib.AbstractContextManager[list[torch.Tensor]]:
        """A piece's states, flat, where its numbers are; what becomes of them stays or goes back."""
        states = [state.view(-1) for state in piece.states]
        return self.passage.through(states) if self.passage and piece.passes else contextlib.nullcontext(states)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters; the same wherever the states lie."""
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


def spans(num_numbers: int) -> list[slice]:
    """Pieces of whole blocks, PIECE numbers at most, and what is left of the last block."""
    whole = num_numbers // BLOCK * BLOCK
    ends = [*range(PIECE, whole, PIECE), whole, num_numbers]
    return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False) if a < b]


def resident(sizes: Sequence[int], num_bytes: int) -> set[int]:
    """Which pieces of so many numbers stay within `num_bytes`: the smallest, for each that passes costs launches."""
    found: set[int] = set()
    for i in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        num_bytes -= state_bytes(sizes[i])
        if num_bytes < 0:
            break
        found.add(i)
    return found


class Passage:
    """Two buffers on a GPU through which states pass, on streams of their own: in, the step, out."""

    def __init__(self, device: torch.device) -> None:
        self.incoming, self.outgoing = torch.cuda.Stream(device), torch.cuda.Stream(device)
        self.buffers = [
            [torch.empty(n, dtype=kind, device=device) for n, kind in zip(state_sizes(PIECE), STATES, strict=True)]
            for _ in range(2)
        ]
        self.is_free = [torch.cuda.Event() for _ in self.buffers]
        self.turn = 0

    @contextlib.contextmanager
    def through(self, waiting: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
        """The states on the GPU, flat as they wait in pinned memory; what becomes of them goes back there."""
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
def _on_gpu(work: Callable[..., None]) -> Callable[..., None]:
    return torch.compile(work, dynamic=True) if has_compiler(is_gpu=True) else work


@functools.cache
def _blocks_on_gpu() -> Callable[..., None]:
    """Compiled twice: for the first number of blocks, and for all others."""
    return torch.compile(move_blocks) if has_compiler(is_gpu=True) else move_blocks


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
    moments = first.float(), second.float()
    master, new_first, new_second = adamw(joined(p, rest), grad, *moments, rate, num_steps, betas, weight_decay)
    new_p, new_rest = parted(master)
    stays = failed > 0
    p.copy_(torch.where(stays, p, new_p))
    rest.copy_(torch.where(stays, rest, new_rest))
    first.copy_(torch.where(stays, first, new_first.to(first.dtype)))
    second.copy_(torch.where(stays, second, new_second.to(second.dtype)))


def move_in_8_bits(
    p: torch.Tensor,
    grad: torch.Tensor,
    rest: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    shared: torch.Tensor,
    *told: Any,
) -> None:
    """`move_blocks` on flat tensors of whole blocks, or of less than one; `shared` has one for each."""
    width = min(BLOCK, len(p))
    # The compiler gets blocks, of which only the number differs: it cannot split a symbolic length into them.
    work: Callable[..., None] = _blocks_on_gpu() if p.is_cuda and width == BLOCK else move_blocks
    work(*(tensor.view(-1, width) for tensor in (p, grad, rest, first, second)), shared.view(-1, 1), *told)


def move_blocks(
    p: torch.Tensor,
    grad: torch.Tensor,
    rest: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    shared: torch.Tensor,
    rate: torch.Tensor,
    num_steps: torch.Tensor,
    failed: torch.Tensor,
    betas: tuple[float, float],
    weight_decay: float,
) -> None:
    """One step of AdamW on (b, w) tensors, in place; `shared` (b, 1)."""
    moments = decoded(first, second, shared)
    master, exact_first, exact_second = adamw(joined(p, rest), grad, *moments, rate, num_steps, betas, weight_decay)
    random = chance(exact_first, exact_second, num_steps)
    new_p, new_rest = parted(shortened(master, random), torch.int8)
    new_first, new_second, new_shared = coded(exact_first, exact_second, random)
    stays = failed > 0
    p.copy_(torch.where(stays, p, new_p))
    rest.copy_(torch.where(stays, rest, new_rest))
    first.copy_(torch.where(stays, first, new_first))
    second.copy_(torch.where(stays, second, new_second))
    shared.copy_(torch.where(stays, shared, new_shared))


def adamw(
    master: torch.Tensor,
    grad: torch.Tensor,
    first: torch.Tensor,
    second: torch.Tensor,
    rate: torch.Tensor,
    num_steps: torch.Tensor,
    betas: tuple[float, float],
    weight_decay: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Master, first and second moment after a step, in fp32 as they were."""
    g = grad.float()
    new_first = first.lerp(g, 1 - betas[0])
    new_second = second.lerp(g * g, 1 - betas[1])
    divisor = (new_second / (1 - betas[1] ** num_steps)).sqrt() + EPSILON
    update = new_first / (1 - betas[0] ** num_steps) / divisor + weight_decay * master
    return master - rate * update, new_first, new_second


def joined(p: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    """The fp32 number of a bf16 one and its rest, of 16 bits or the upper 8 of them."""
    return ((p.view(torch.int16).int() << 16) + (rest.int() << _lacking(rest.dtype))).view(torch.float32)


def parted(master: torch.Tensor, kind: torch.dtype = torch.int16) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest bf16 number, and what is left of the 32 bits; of 24 where `kind` is int8."""
    bits = master.view(torch.int32)
    upper = (bits + 0x8000) >> 16
    return upper.to(torch.int16).view(torch.bfloat16), ((bits - (upper << 16)) >> _lacking(kind)).to(kind)


def shortened(master: torch.Tensor, random: torch.Tensor) -> torch.Tensor:
    """fp32 numbers of 24 bits, greater or smaller by chance: the mean is right. int32 `random`: its upper 8 bits."""
    return ((master.view(torch.int32) + ((random >> 24) & 0xFF)) & ~0xFF).view(torch.float32)


def _lacking(kind: torch.dtype) -> int:
    return 8 if kind == torch.int8 else 0
