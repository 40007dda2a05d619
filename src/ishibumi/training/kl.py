"""How far the model has gone from its base on replay text: KL(base ‖ model), added to the loss. hidden states → nats.

The base is the same network with its adapters off, so it needs no memory of its own but a second forward pass.
Axes: R rows, T tokens, N replay tokens, D hidden size, V vocabulary.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ishibumi.training.adapters import LoraLinear, Trainable
from ishibumi.training.attention import hidden_states
from ishibumi.training.batches import Batch
from ishibumi.training.vocabulary import Words

TOKENS_AT_ONCE = 64  # 64 × 262,144 words × 4 bytes = 64 MiB for each of the two distributions


def replay_kl_sum(
    network: nn.Module, trainables: Sequence[Trainable], batch: Batch, hidden_RTD: torch.Tensor, words: Words | None
) -> torch.Tensor:
    """Σ KL(base ‖ model) over the learned replay tokens of a batch, over `words` or all; nats, an fp32 scalar."""
    is_replay_RT = batch.is_replay_RT[:, 1:] & (batch.weights_RT[:, 1:] > 0)
    if not is_replay_RT.any():
        return hidden_RTD.new_zeros((), dtype=torch.float32)
    with torch.no_grad(), adapters_off(trainables):
        base_RTD = hidden_states(network, batch)
    head = network.get_output_embeddings().weight if words is None else words.head_CD  # type: ignore[operator]
    log_counts = None if words is None else words.log_counts_C
    of_model, of_base = (hidden[:, :-1][is_replay_RT] for hidden in (hidden_RTD, base_RTD))
    return _KlSum.apply(of_model, of_base, head.detach(), log_counts)  # type: ignore[no-any-return]


@contextlib.contextmanager
def adapters_off(trainables: Sequence[Trainable]) -> Iterator[None]:
    """The base's own network for as long as the block lasts."""
    pairs = [(t.module, t.module.scale) for t in trainables if isinstance(t.module, LoraLinear)]
    for module, _ in pairs:
        module.scale = 0.0
    try:
        yield
    finally:
        for module, scale in pairs:
            module.scale = scale


class _KlSum(torch.autograd.Function):
    """Differentiable in the model's hidden states; d KL / d logits = softmax(model) − softmax(base)."""

    @staticmethod
    def forward(
        ctx: Any, hidden_ND: torch.Tensor, base_ND: torch.Tensor, head_VD: torch.Tensor, log_counts_V: Any
    ) -> torch.Tensor:
        grad_ND = torch.empty_like(hidden_ND)
        kl_sum = hidden_ND.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden_ND), TOKENS_AT_ONCE):
            part = slice(start, start + TOKENS_AT_ONCE)
            log_q, log_p = (
                (F.linear(h[part], head_VD).float() + (0 if log_counts_V is None else log_counts_V)).log_softmax(-1)
                for h in (hidden_ND, base_ND)
            )
            p = log_p.exp()
            kl_sum += (p * (log_p - log_q)).sum()
            grad_ND[part] = (log_q.exp() - p).to(head_VD.dtype) @ head_VD
        ctx.grad_ND = grad_ND
        return kl_sum

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return ctx.grad_ND * grads[0].to(ctx.grad_ND.dtype), None, None, None
