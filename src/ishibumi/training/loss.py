"""Cross-entropy over learned tokens only, without ever holding all logits.

A vocabulary of 262,144 makes 512 tokens' logits half a gigabyte in fp32, and moving that through memory costs more than
the products. Tiles of a few thousand words stay in cache. One sweep makes the normaliser and Σ p · head together,
rescaled whenever a greater logit turns up, as flash attention does; only a head that trains needs a second sweep.
Axes: N learned tokens, D hidden size, V vocabulary, v a tile of it.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

CPU_TILE = 2048
GPU_TILE = 32_768
MAX_TOKENS_AT_ONCE = 1024  # N × v × 4 bytes = 8 MiB a tile on a CPU


def cross_entropy_sum(
    hidden_ND: torch.Tensor,
    head_VD: torch.Tensor,
    targets_N: torch.Tensor,
    weights_N: torch.Tensor,
    log_counts_V: torch.Tensor | None = None,
) -> torch.Tensor:
    """Σ weight · −log p(target), p = softmax(hidden · headᵀ); nats, an fp32 scalar.

    Differentiable in `hidden_ND` and, where it requires a gradient, in `head_VD`. `weights_N` is fp32. With
    `log_counts_V` word v counts exp(log_counts_V[v]) times in the normaliser (see vocabulary.py); targets count once.
    """
    return _CrossEntropySum.apply(hidden_ND, head_VD, targets_N, weights_N, log_counts_V)  # type: ignore[no-any-return]


class _CrossEntropySum(torch.autograd.Function):
    """Gradients are made in the forward pass, while the tiles are there, and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: torch.Tensor,
        head_VD: torch.Tensor,
        targets_N: torch.Tensor,
        weights_N: torch.Tensor,
        log_counts_V: torch.Tensor | None,
    ) -> torch.Tensor:
        head = head_VD.detach()
        grad_hidden = torch.empty_like(hidden_ND) if ctx.needs_input_grad[0] else None
        grad_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        nll_sum = hidden_ND.new_zeros((), dtype=torch.float32)
        for start in range(0, len(targets_N), MAX_TOKENS_AT_ONCE):
            part = slice(start, start + MAX_TOKENS_AT_ONCE)
            texts = _Part(hidden_ND.detach()[part], targets_N[part], weights_N[part])
            lse_N, expected_ND = _sweep(texts, head, log_counts_V)
            target_ND = head[texts.targets_N].float()
            nll_sum += (texts.weights_N * (lse_N - (texts.hidden_ND.float() * target_ND).sum(-1))).sum()
            if grad_hidden is not None:
                grad_hidden[part] = (texts.weights_N[:, None] * (expected_ND - target_ND)).to(head.dtype)
            if grad_head is not None:
                _add_head_gradient(texts, head, lse_N, log_counts_V, grad_head)
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
        return grad_hidden, grad_head, None, None, None


@dataclass(frozen=True)
class _Part:
    """Some learned tokens."""

    hidden_ND: torch.Tensor
    targets_N: torch.Tensor
    weights_N: torch.Tensor


def _tiles(head_VD: torch.Tensor) -> list[slice]:
    size = GPU_TILE if head_VD.is_cuda else CPU_TILE
    return [slice(start, start + size) for start in range(0, len(head_VD), size)]


def _logits(part: _Part, head_VD: torch.Tensor, tile: slice, log_counts_V: torch.Tensor | None) -> torch.Tensor:
    logits_Nv = F.linear(part.hidden_ND, head_VD[tile]).float()
    return logits_Nv if log_counts_V is None else logits_Nv.add_(log_counts_V[tile])


def _sweep(part: _Part, head_VD: torch.Tensor, log_counts_V: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """log Σ exp(logits) (N,) and the head's rows weighted by their probabilities (N, D), both fp32."""
    hidden_ND = part.hidden_ND
    greatest_N1 = torch.full((len(hidden_ND), 1), -torch.inf, device=head_VD.device)
    sum_N1 = torch.zeros_like(greatest_N1)
    expected_ND = torch.zeros_like(hidden_ND, dtype=torch.float32)
    for tile in _tiles(head_VD):
        logits_Nv = _logits(part, head_VD, tile, log_counts_V)
        new_N1 = torch.maximum(greatest_N1, logits_Nv.amax(-1, keepdim=True))
        shrink_N1 = (greatest_N1 - new_N1).exp_()
        p_Nv = logits_Nv.sub_(new_N1).exp_()
        sum_N1 = sum_N1 * shrink_N1 + p_Nv.sum(-1, keepdim=True)
        expected_ND.mul_(shrink_N1).add_(p_Nv.to(head_VD.dtype) @ head_VD[tile])
        greatest_N1 = new_N1
    return (greatest_N1 + sum_N1.log()).squeeze(1), expected_ND / sum_N1


def _add_head_gradient(
    part: _Part,
    head_VD: torch.Tensor,
    lse_N: torch.Tensor,
    log_counts_V: torch.Tensor | None,
    grad_head_VD: torch.Tensor,
) -> None:
    """Add d loss / d head = weight · (softmax − one-hot)ᵀ · hidden to `grad_head_VD` in place."""
    hidden_ND, weights_N1 = part.hidden_ND, part.weights_N[:, None]
    for tile in _tiles(head_VD):
        p_Nv = (_logits(part, head_VD, tile, log_counts_V) - lse_N[:, None]).exp_().mul_(weights_N1)
        grad_head_VD[tile] += p_Nv.to(hidden_ND.dtype).T @ hidden_ND
    grad_head_VD.index_add_(0, part.targets_N, -weights_N1 * hidden_ND.float())
