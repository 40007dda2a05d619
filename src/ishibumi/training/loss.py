"""Cross-entropy over learned tokens only, without ever holding all logits.

A vocabulary of 262,144 makes 512 tokens' logits half a gigabyte in fp32, and moving that through memory costs more than
the products. Tiles of a few thousand words stay in cache: one sweep finds the normaliser, a second one makes the
gradient. Axes: N learned tokens, D hidden size, V vocabulary, v a tile of it.
"""

from typing import Any

import torch
import torch.nn.functional as F

CPU_TILE = 2048
GPU_TILE = 32_768
MAX_TOKENS_AT_ONCE = 1024  # N × v × 4 bytes = 8 MiB a tile on a CPU


def cross_entropy_sum(hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    """The summed negative log-likelihood (nats, fp32 scalar) of targets under softmax(hidden · headᵀ).

    Differentiable in `hidden_ND` and, where it requires a gradient, in `head_VD`.
    """
    return _CrossEntropySum.apply(hidden_ND, head_VD, targets_N)  # type: ignore[no-any-return]


class _CrossEntropySum(torch.autograd.Function):
    """Gradients are made in the forward pass, while the tiles are there, and scaled in the backward pass."""

    @staticmethod
    def forward(ctx: Any, hidden_ND: torch.Tensor, head_VD: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
        head = head_VD.detach()
        grad_hidden = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        nll_sum = hidden_ND.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets_N), MAX_TOKENS_AT_ONCE):
            part = slice(start, start + MAX_TOKENS_AT_ONCE)
            nll, grad = _chunk(hidden_ND.detach()[part], head, targets_N[part], grad_hidden is not None, grad_head)
            nll_sum += nll
            if grad_hidden is not None:
                grad_hidden[part] = grad
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


def _chunk(
    hidden_ND: torch.Tensor,
    head_VD: torch.Tensor,
    targets_N: torch.Tensor,
    wants_grad: bool,
    grad_head_VD: torch.Tensor | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Summed loss and gradient of some tokens; adds to `grad_head_VD` in place."""
    size = GPU_TILE if hidden_ND.is_cuda else CPU_TILE
    tiles = [slice(start, start + size) for start in range(0, len(head_VD), size)]
    lse_N = torch.full((len(targets_N),), -torch.inf, device=hidden_ND.device)
    for tile in tiles:
        lse_N = torch.logaddexp(lse_N, _logits(hidden_ND, head_VD[tile]).logsumexp(-1))
    target_head_ND = head_VD[targets_N]
    nll_sum = (lse_N - (hidden_ND.float() * target_head_ND.float()).sum(-1)).sum()
    if not wants_grad:
        return nll_sum, None
    grad_ND = torch.zeros_like(hidden_ND, dtype=torch.float32)
    for tile in tiles:
        p_Nv = (_logits(hidden_ND, head_VD[tile]) - lse_N[:, None]).exp_().to(hidden_ND.dtype)
        grad_ND += p_Nv @ head_VD[tile]
        if grad_head_VD is not None:
            grad_head_VD[tile] += p_Nv.T @ hidden_ND
    grad_ND -= target_head_ND.float()
    if grad_head_VD is not None:
        grad_head_VD.index_add_(0, targets_N, -hidden_ND.float())
    return nll_sum, grad_ND.to(hidden_ND.dtype)


def _logits(hidden_ND: torch.Tensor, head_vD: torch.Tensor) -> torch.Tensor:
    return F.linear(hidden_ND, head_vD).float()
