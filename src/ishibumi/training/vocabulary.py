"""The words that a step's loss is normalised over. TokenStore + step → Words.

A vocabulary of 262,144 costs as much as the rest of a small model, and nearly all of its words never occur in a stage's
texts. A sample of those stands for all of them: with `n` drawn of `u`, each counts u / n times, so that Σ exp(logits)
is right on average (importance sampling). The words that do occur are always there and count once.

Axes: C candidate words, D hidden size, V vocabulary, N learned tokens.
"""

from dataclasses import dataclass

import numpy as np
import torch

from ishibumi.training.batches import send
from ishibumi.training.tokens import TokenStore


@dataclass(frozen=True)
class Words:
    """`ids_C`, ascending, the logarithm of how often each counts, and the head's rows for them."""

    ids_C: torch.Tensor
    log_counts_C: torch.Tensor
    head_CD: torch.Tensor

    def places_of(self, targets_N: torch.Tensor) -> torch.Tensor:
        """Where the targets stand in `ids_C`; all of them must."""
        return torch.searchsorted(self.ids_C, targets_N)


class Vocabulary:
    """Words by step: all that occur in a store and `num_others` of the rest, a pure function of seed and step."""

    def __init__(self, store: TokenStore, head_VD: torch.Tensor, num_others: int, seed: int) -> None:
        self.seen = np.unique(store.ids)
        self.others = np.setdiff1d(np.arange(len(head_VD)), self.seen)
        self.num_others, self.seed, self.head_VD = min(num_others, len(self.others)), seed, head_VD.detach()
        num = len(self.seen) + self.num_others
        # One memory for all steps: a new one each time fragments the heap, and a recorded step looks where it was.
        self.of_step = Words(
            torch.zeros(num, dtype=torch.int64, device=head_VD.device),
            torch.zeros(num, device=head_VD.device),
            head_VD.new_empty(num, head_VD.shape[1], requires_grad=False),
        )

    def words(self, step: int) -> Words:
        """The words of optimizer step `step` (from 0); those of the step before are overwritten."""
        random = np.random.default_rng([self.seed, step])
        drawn = random.choice(self.others, self.num_others, replace=False, shuffle=False)
        ids = np.concatenate([self.seen, drawn]).astype(np.int64)
        log_counts = np.zeros(len(ids), dtype=np.float32)
        log_counts[len(self.seen) :] = np.log(len(self.others) / max(1, self.num_others))
        order = np.argsort(ids)
        send(torch.from_numpy(ids[order]), self.of_step.ids_C)
        send(torch.from_numpy(log_counts[order]), self.of_step.log_counts_C)
        torch.index_select(self.head_VD, 0, self.of_step.ids_C, out=self.of_step.head_CD)
        return self.of_step
