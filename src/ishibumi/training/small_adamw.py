"""AdamW that keeps 6 bytes beside each weight and its gradient, instead of 16: for embeddings of billions of numbers.

A weight in fp32 is the model's own bf16 number and 16 bits more, so the master costs two bytes, and small updates are
not lost. Both moments are in bf16. One compiled kernel a matrix reads and writes all of it.

    fp32 bits   0x3f8c5432     weight 0x3f8c (rounded to the nearest)     rest 0x5432
"""

import functools
import shutil
from collections.abc import Callable, Sequence
from typing import Any

import torch

EPSILON = 1e-8


class SmallAdamW:
    """Moves bf16 parameters; `param_groups` and states as torch's optimizers have them."""

    def __init__(
        self, groups: Sequence[dict[str, Any]], betas: tuple[float, float], weight_decay: float, failed: torch.Tensor
    ) -> None:
        """`groups`: {"params", "lr": a tensor, …}. Nothing moves while `failed` is 1."""
        self.param_groups = list(groups)
        self.betas, self.weight_decay, self.failed = betas, weight_decay, failed
        self.num_steps = torch.zeros_like(failed)
        self.states = [
            (torch.zeros_like(p, dtype=torch.int16), torch.zeros_like(p), torch.zeros_like(p))
            for group in self.param_groups
            for p in group["params"]
        ]

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients in `.grad`."""
        self.num_steps += 1 - self.failed
        parameters = [(p, group["lr"]) for group in self.param_groups for p in group["params"]]
        for (p, rate), state in zip(parameters, self.states, strict=True):
            if p.grad is None:
                continue
            tensors = [tensor.view(-1) for tensor in (p, p.grad, *state)]
            _compiled()(*tensors, rate, self.num_steps, self.failed, self.betas, self.weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters."""
        return {"num_steps": self.num_steps, "states": [list(state) for state in self.states]}

    @torch.no_grad()
    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.num_steps.copy_(stored["num_steps"])
        for state, other in zip(self.states, stored["states"], strict=True):
            for tensor, new in zip(state, other, strict=True):
                tensor.copy_(new)


@functools.cache
def _compiled() -> Callable[..., None]:
    return torch.compile(move, dynamic=True) if torch.cuda.is_available() and shutil.which("cc") else move


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
