"""Muon: a matrix's momentum with all its singular values made one, so that rare facts move as far as frequent ones.

Jordan et al. 2024, scaled as by Liu et al. 2025 (arXiv 2502.16982) so that AdamW's learning rates fit: an update's
numbers are 0.2 in quadratic mean. Matrices of one shape go through Newton and Schulz's iteration together.
"""

from collections.abc import Sequence
from typing import Any

import torch

MOMENTUM = 0.95
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # steepest at zero: five rounds bring singular values to 0.7 … 1.2
NUM_ROUNDS = 5
SIZE = 0.2  # quadratic mean of AdamW's updates in practice


class Muon:
    """Moves matrices (fp32); `param_groups` and states as torch's optimizers have them."""

    def __init__(self, groups: Sequence[dict[str, Any]], weight_decay: float, failed: torch.Tensor) -> None:
        """`groups`: {"params", "lr": a tensor, …}. Nothing moves while `failed` is 1."""
        self.param_groups = list(groups)
        self.weight_decay, self.failed = weight_decay, failed
        self.alike: dict[tuple[int, torch.Size], list[torch.Tensor]] = {}
        for number, group in enumerate(self.param_groups):
            for p in group["params"]:
                self.alike.setdefault((number, p.shape), []).append(p)
        self.momenta = {key: torch.zeros(len(ps), *key[1], device=ps[0].device) for key, ps in self.alike.items()}

    @torch.no_grad()
    def step(self) -> None:
        """One update from the gradients in `.grad`."""
        moves = 1 - self.failed
        for key, parameters in self.alike.items():
            rate = self.param_groups[key[0]]["lr"]
            momentum = self.momenta[key]
            grad = torch.stack([torch.zeros_like(p) if p.grad is None else p.grad for p in parameters])
            grad = torch.where(self.failed > 0, 0, grad)
            momentum.lerp_(grad, (1 - MOMENTUM) * moves)
            update = orthogonal(grad.lerp(momentum, MOMENTUM)) * (SIZE * max(key[1]) ** 0.5)
            for p, change in zip(parameters, update.unbind(), strict=True):
                p.sub_((change + self.weight_decay * p) * (rate * moves))

    def state_dict(self) -> dict[str, Any]:
        """Everything but the parameters."""
        return {"momenta": list(self.momenta.values())}

    @torch.no_grad()
    def load_state_dict(self, stored: dict[str, Any]) -> None:
        """Take up a stored state."""
        for tensor, new in zip(self.momenta.values(), stored["momenta"], strict=True):
            tensor.copy_(new)


def orthogonal(matrices_NAB: torch.Tensor) -> torch.Tensor:
    """About U·Vᵀ of each matrix U·S·Vᵀ, both fp32.

    Newton and Schulz's polynomials only need X·Xᵀ, which is small for LoRA's factors: X comes in once at the end.
    """
    is_tall = matrices_NAB.shape[1] > matrices_NAB.shape[2]
    x = matrices_NAB.mT if is_tall else matrices_NAB
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-20)
    a, b, c = COEFFICIENTS
    square = x @ x.mT
    one = torch.eye(square.shape[1], device=x.device).expand_as(square)
    turn = one
    for _ in range(NUM_ROUNDS):
        polynomial = torch.baddbmm(b * square + a * one, square, square, alpha=c)
        turn = polynomial @ turn
        square = polynomial @ square @ polynomial
    x = turn @ x
    return x.mT if is_tall else x
