"""Cross-entropy over learned tokens only, without ever holding all logits.

A vocabulary of 262,144 makes 512 tokens' logits half a gigabyte in fp32, and moving that through memory costs more than
the products. On a CPU tiles of a few thousand words stay in cache: one sweep makes the normaliser and Σ p · head
together, rescaled whenever a greater logit turns up, as flash attention does; only a head that trains needs a second
sweep. A GPU has the memory for all logits of some thousand tokens, and one compiled kernel turns them into gradients.
Axes: N learned tokens, D hidden size, V vocabulary, v a tile of it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ishibumi.training.compiler import has_compiler

CPU_TILE = 2048
MAX_TOKENS_AT_ONCE = 1024  # N × v × 4 bytes = 8 MiB a tile
MEASURED_AT_ONCE = 128  # tokens whose loss is wanted alone: N × V × 4 bytes, 128 MiB of a vocabulary of 262,144
# Sums over rows and over columns in one kernel can leave parts unwritten since torch 2.10 (pytorch issue 193061).
COMPILER_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {"triton.mix_order_reduction": False}
GPU_LOGITS = 2**29  # at once: 1 GiB in bf16; 2,048 tokens of a vocabulary of 262,144


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
    return graded_cross_entropy(hidden_ND, head_VD, targets_N, weights_N, log_counts_V)[0]


def graded_cross_entropy(
    hidden_ND: torch.Tensor,
    head_VD: torch.Tensor,
    targets_N: torch.Tensor,
    weights_N: torch.Tensor,
    log_counts_V: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """`cross_entropy_sum`, and whether each token's target is the likeliest word, (N,) bool."""
    if not torch.is_grad_enabled():
        return _measured(_Part(hidden_ND, targets_N, weights_N), head_VD, log_counts_V)
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
    ) -> tuple[torch.Tensor, torch.Tensor]:
        work = _on_gpu if head_VD.is_cuda else _on_cpu
        texts = _Part(hidden_ND.detach(), targets_N, weights_N)
        nll_N, is_right_N, *ctx.grads = work(texts, head_VD.detach(), log_counts_V, ctx.needs_input_grad[1])
        ctx.head_dtype = head_VD.dtype
        ctx.mark_non_differentiable(is_right_N)
        return (nll_N * weights_N).sum(), is_right_N

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_head = ctx.grads
        ctx.grads = None  # the loss lives on, and with it this object, while the layers' gradients are made
        grad_hidden.mul_(grads[0].to(grad_hidden.dtype))
        if grad_head is not None:
            grad_head = grad_head.mul_(grads[0]).to(ctx.head_dtype)
        return grad_hidden, grad_head, None, None, None


@dataclass(frozen=True)
class _Part:
    """Some learned tokens."""

    hidden_ND: torch.Tensor
    targets_N: torch.Tensor
    weights_N: torch.Tensor

    def split(self, size: int) -> "list[tuple[slice, _Part]]":
        """Parts of at most `size` tokens, and where they stand."""
        places = [slice(start, start + size) for start in range(0, len(self.targets_N), size)]
        return [(p, _Part(self.hidden_ND[p], self.targets_N[p], self.weights_N[p])) for p in places]


def _measured(
    texts: _Part, head_VD: torch.Tensor, log_counts_V: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Without gradients: plain operations, for few tokens at once. Training's kernel is compiled, this is not."""
    _, nll_N, is_right_N = _empty(texts)
    for place, part in texts.split(MEASURED_AT_ONCE):
        logits_NV = F.linear(part.hidden_ND, head_VD).float()
        target_N = logits_NV.gather(1, part.targets_N[:, None]).squeeze(1)
        is_right_N[place] = target_N >= logits_NV.amax(-1)
        counted_NV = logits_NV if log_counts_V is None else logits_NV.add_(log_counts_V)
        nll_N[place] = counted_NV.logsumexp(-1) - target_N
    return (nll_N * texts.weights_N).sum(), is_right_N


# nll (N,), whether the target is the likeliest (N,); of Σ weight · nll: d/d hidden, d/d head
Made = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None]


def _on_gpu(texts: _Part, head_VD: torch.Tensor, log_counts_V: torch.Tensor | None, head_trains: bool) -> Made:
    grad_hidden, nll_N, is_right_N = _empty(texts)
    grad_head: torch.Tensor | None = None
    parts = texts.split(part_tokens(len(head_VD)))
    for place, part in parts:
        texts_and_words = part.targets_N, part.weights_N, log_counts_V
        made = _logit_gradients()(F.linear(part.hidden_ND, head_VD), *texts_and_words)  # no name: the logits go
        nll_N[place], is_right_N[place], grad_NV = made
        torch.matmul(grad_NV, head_VD, out=grad_hidden[place])
        if head_trains:
            more = grad_NV.T @ part.hidden_ND
            if grad_head is not None:
                grad_head += more
            else:
                grad_head = more.float() if len(parts) > 1 else more
        del made, grad_NV  # or the next part's logits and gradient would come on top of this one's gradient
    return nll_N, is_right_N, grad_hidden, grad_head


def part_tokens(num_words: int) -> int:
    """Of how many tokens a GPU has all logits at once."""
    return max(128, GPU_LOGITS // num_words // 128 * 128)


def _empty(texts: _Part) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Room for the gradient of the hidden states, the nats and what is right."""
    nll_N = torch.empty_like(texts.weights_N)
    return torch.empty_like(texts.hidden_ND), nll_N, torch.empty_like(nll_N, dtype=torch.bool)


@functools.cache
def _logit_gradients() -> Callable[..., tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    if not has_compiler(is_gpu=True):
        return logit_gradients
    return torch.compile(logit_gradients, dynamic=False, options=COMPILER_OPTIONS)


def logit_gradients(
    logits_NV: torch.Tensor, targets_N: torch.Tensor, weights_N: torch.Tensor, log_counts_V: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """−log p(target), whether the target is likeliest, and the gradient of Σ weight · nll in the logits' format.

    The 1 is taken from p in fp32: in bf16 p = 0.999 and 1 are one number, and a text learned by heart had no gradient.
    """
    logits = logits_NV.float() if log_counts_V is None else logits_NV.float() + log_counts_V
    lse_N1 = logits.logsumexp(-1, keepdim=True)
    target_N = logits_NV.gather(1, targets_N[:, None]).squeeze(1)
    is_target = torch.arange(logits.shape[1], device=logits.device) == targets_N[:, None]
    grad = ((logits - lse_N1).exp() - is_target.float()) * weights_N[:, None]
    return lse_N1.squeeze(1) - target_N.float(), target_N >= logits_NV.amax(-1), grad.to(logits_NV.dtype)


def _on_cpu(texts: _Part, head_VD: torch.Tensor, log_counts_V: torch.Tensor | None, head_trains: bool) -> Made:
    grad_hidden, nll_N, is_right_N = _empty(texts)
    grad_head = torch.zeros_like(head_VD, dtype=torch.float32) if head_trains else None
    for place, part in texts.split(MAX_TOKENS_AT_ONCE):
        lse_N, is_right_N[place], expected_ND = _sweep(part, head_VD, log_counts_V)
        target_ND = head_VD[part.targets_N].float()
        nll_N[place] = lse_N - (part.hidden_ND.float() * target_ND).sum(-1)
        grad_hidden[place] = (part.weights_N[:, None] * (expected_ND - target_ND)).to(head_VD.dtype)
        if grad_head is not None:
            _add_head_gradient(part, head_VD, lse_N, log_counts_V, grad_head)
    return nll_N, is_right_N, grad_hidden, grad_head


def _tiles(head_VD: torch.Tensor) -> list[slice]:
    return [slice(start, start + CPU_TILE) for start in range(0, len(head_VD), CPU_TILE)]


def _logits(part: _Part, head_VD: torch.Tensor, tile: slice) -> torch.Tensor:
    return F.linear(part.hidden_ND, head_VD[tile]).float()


def _sweep(
    part: _Part, head_VD: torch.Tensor, log_counts_V: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """log Σ exp(logits) (N,), whether the target's is the greatest (N,), and Σ p · head (N, D) in fp32."""
    hidden_ND, targets_N1 = part.hidden_ND, part.targets_N[:, None]
    greatest_N1 = torch.full((len(hidden_ND), 1), -torch.inf, device=head_VD.device)
    sum_N1 = torch.zeros_like(greatest_N1)
    expected_ND = torch.zeros_like(hidden_ND, dtype=torch.float32)
    target_N1, likeliest_N1 = greatest_N1.clone(), greatest_N1.clone()  # before words count several times
    for tile in _tiles(head_VD):
        logits_Nv = _logits(part, head_VD, tile)
        likeliest_N1 = torch.maximum(likeliest_N1, logits_Nv.amax(-1, keepdim=True))
        place_N1 = targets_N1 - tile.start
        is_here_N1 = (place_N1 >= 0) & (place_N1 < logits_Nv.shape[1])
        found_N1 = logits_Nv.gather(1, place_N1.clamp(0, logits_Nv.shape[1] - 1))
        target_N1 = torch.where(is_here_N1, found_N1, target_N1)
        if log_counts_V is not None:
            logits_Nv.add_(log_counts_V[tile])
        new_N1 = torch.maximum(greatest_N1, logits_Nv.amax(-1, keepdim=True))
        shrink_N1 = (greatest_N1 - new_N1).exp_()
        p_Nv = logits_Nv.sub_(new_N1).exp_()
        sum_N1 = sum_N1 * shrink_N1 + p_Nv.sum(-1, keepdim=True)
        expected_ND.mul_(shrink_N1).add_(p_Nv.to(head_VD.dtype) @ head_VD[tile])
        greatest_N1 = new_N1
    lse_N = (greatest_N1 + sum_N1.log()).squeeze(1)
    return lse_N, (target_N1 >= likeliest_N1).squeeze(1), expected_ND / sum_N1


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
        logits_Nv = _logits(part, head_VD, tile)
        if log_counts_V is not None:
            logits_Nv.add_(log_counts_V[tile])
        p_Nv = logits_Nv.sub_(lse_N[:, None]).exp_().mul_(weights_N1)
        grad_head_VD[tile] += p_Nv.to(hidden_ND.dtype).T @ hidden_ND
    grad_head_VD.index_add_(0, part.targets_N, -weights_N1 * hidden_ND.float())
