"""Cross-entropy over learned tokens only, without ever holding all logits.

A vocabulary of 262,144 makes 512 tokens' logits half a gigabyte in fp32, and moving that through memory costs more than
the products. Tiles of a few thousand words stay in cache: one sweep finds the normaliser, a second one makes the
gradient. Axes: N learned tokens, D hidden size, V vocabulary, v a tile of it.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

CPU_TILE = 2048
GPU_TILE = 32_768
MAX_TOKENS_AT_ONCE = 1024  # N × v × 4 bytes = 8 MiB a tile on a CPU


def cross_entropy_sum(
    hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor
) -> torch.Tensor:
    """Σ weight · −log p(target), p = softmax(hidden · headᵀ); nats, an fp32 scalar.

    Differentiable in `hidden_ND` and, where it requires a gradient, in `head_VD`. `weights_N` is fp32.
    """
    return _CrossEntropySum.apply(hidden_ND, head_VD, targets_N, weights_N)  # type: ignore[no-any-return]


class _CrossEntropySum(torch.autograd.Function):
    """Gradients are made in the forward pass, while the tiles are there, and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor
    ) -> torch.Tensor:
        head = head_VD.detach()
        grad_hidden = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        nll_sum = hidden_ND.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets_N), MAX_TOKENS_AT_ONCE):
            part = slice(start, start + MAX_TOKENS_AT_ONCE)
            texts = _Part(hidden_ND.detach()[part], targets_N[part], weights_N[part])
            lse_N = _normaliser(texts, head)
            nll_sum += _nll_sum(texts, head, lse_N)
            if grad_hidden is not None:
                grad_hidden[part] = _gradient(texts, head, lse_N, grad_head)
        ctx.grads = (grad_hidden, grad_head)
        ctx.head_dtype = head_VD.dtype
        return nll_sum

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_head = ctx.grads
        if grad_hidden is not None:
            grad_hidden = grad_hidden * grads[0].to(grad_hidden.dtype)
        if grad_head is not None:
            grad_head = (grad_head * grads[0]).to(ctx.head_dtype)
        return grad_hidden, grad_head, None, None


@dataclass(frozen=True)
class _Part:
    """Some learned tokens."""

    hidden_ND: torch.Tensor
    targets_N: torch.Tensor
    weights_N: torch.Tensor


def _tiles(head_VD: torch.Tensor) -> list[slice]:
    size = GPU_TILE if head_VD.is_cuda else CPU_TILE
    return [slice(start, start + size) for start in range(0, len(head_VD), size)]


def _normaliser(part: _Part, head_VD: torch.Tensor) -> torch.Tensor:
    """log Σ exp(logits) of each token."""
    lse_N = torch.full((len(part.targets_N),), -torch.inf, device=head_VD.device)
    for tile in _tiles(head_VD):
        lse_N = torch.logaddexp(lse_N, F.linear(part.hidden_ND, head_VD[tile]).float().logsumexp(-1))
    return lse_N


def _nll_sum(part: _Part, head_VD: torch.Tensor, lse_N: torch.Tensor) -> torch.Tensor:
    target_logits_N = (part.hidden_ND.float() * head_VD[part.targets_N].float()).sum(-1)
    return (part.weights_N * (lse_N - target_logits_N)).sum()


def _gradient(
    part: _Part, head_VD: torch.Tensor, lse_N: torch.Tensor, grad_head_VD: torch.Tensor | None
) -> torch.Tensor:
    """d loss / d hidden = weight · (softmax − one-hot) · head; adds d loss / d head to `grad_head_VD` in place."""
    hidden_ND, weights_N1 = part.hidden_ND, part.weights_N[:, None]
    grad_ND = -weights_N1 * head_VD[part.targets_N].float()
    for tile in _tiles(head_VD):
        p_Nv = (F.linear(hidden_ND, head_VD[tile]).float() - lse_N[:, None]).exp_()
        p_Nv = p_Nv.mul_(weights_N1).to(hidden_ND.dtype)
        grad_ND += p_Nv @ head_VD[tile]
        if grad_head_VD is not None:
            grad_head_VD[tile] += p_Nv.T @ hidden_ND
    if grad_head_VD is not None:
        grad_head_VD.index_add_(0, part.targets_N, -weights_N1 * hidden_ND.float())
    return grad_ND.to(hidden_ND.dtype)
