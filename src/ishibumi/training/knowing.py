"""What the model knows of its own training questions, and what it forgets, seen while it trains. Batches → shares.

Greedy decoding gives an answer exactly where each of its tokens is the likeliest after those before it, and the loss
compares them anyway. So every question is asked for nothing each time its turn comes, before the step that learns from
it. Texts of replay tell in the same way what is forgotten, the first time they come up: later they are learned ones.

Of several processes each knows the rows that were its own, and the first one's view counts.

Axes: E examples of the store, R rows, T tokens of a row.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ishibumi.training.tokens import SOURCES, TokenStore

MEMORY = 0.98  # of replay's loss, from step to step: the last fifty count


@dataclass(frozen=True)
class Seen:
    """Each token of a batch before the step that learned from it: nats, and whether it was the likeliest; (R, T).

    Only learned tokens have figures; what stands elsewhere means nothing.
    """

    nll_RT: torch.Tensor
    right_RT: torch.Tensor

    def copy(self) -> "Seen":
        """The same on the CPU, in memory of its own; from a GPU it arrives when the work before is done."""
        nll_RT, right_RT = (
            torch.empty_like(t, device="cpu", pin_memory=t.is_cuda) for t in (self.nll_RT, self.right_RT)
        )
        return Seen(nll_RT.copy_(self.nll_RT, non_blocking=True), right_RT.copy_(self.right_RT, non_blocking=True))


class Knowing:
    """How the questions of each example were answered at its last turn, and replay's loss at first turns."""

    def __init__(self, store: TokenStore, num_early: int) -> None:
        """Replay's loss in the first `num_early` steps, while rates are low, stands for what the base had."""
        self.store, self.num_early = store, num_early
        self.lengths_E = store.lengths
        self.asked_E, self.right_E = np.zeros(len(store), np.int32), np.zeros(len(store), np.int32)
        self.was_seen_E = np.zeros(len(store), np.bool_)
        self.early, self.late = np.zeros(2), np.zeros(2)  # nats and tokens of replay

    def see(self, step: int, rows: Sequence[Sequence[int]], seen: Sequence[Seen]) -> None:
        """Take note of the rows of step `step` (from 0); `seen` are its batches, one after another."""
        nll_RT = np.concatenate([batch.nll_RT.numpy() for batch in seen])
        right_RT = np.concatenate([batch.right_RT.numpy() for batch in seen])
        self.late *= MEMORY
        for r, row in enumerate(rows):
            start = 0
            for index in row:
                place = slice(start, start := start + int(self.lengths_E[index]))
                learned, source = self.store.example(index)[1], SOURCES[self.store.sources[index]]
                if source == "question":  # those that begin alike are branches of one example
                    answers = self.store.branches_of(index)[learned]
                    wrong = answers[~right_RT[r, place][learned]]
                    self.asked_E[index] = len(np.unique(answers))
                    self.right_E[index] = self.asked_E[index] - len(np.unique(wrong))
                elif source == "replay" and not self.was_seen_E[index]:
                    figures = float(nll_RT[r, place][learned].sum()), int(learned.sum())
                    kept = self.early if step < self.num_early else self.late
                    kept += figures
                self.was_seen_E[index] = True

    @property
    def known_E(self) -> np.ndarray:
        """Whether all questions of an example were answered at its last turn."""
        return (self.asked_E > 0) & (self.right_E == self.asked_E)

    @property
    def known(self) -> float | None:
        """Share of the questions that were answered at their last turn, of those that had one; None before the first.

        In the first epoch none had been seen before, so this is what other wordings had taught.
        """
        asked = int(self.asked_E.sum())
        return int(self.right_E.sum()) / asked if asked else None

    @property
    def forgotten(self) -> float | None:
        """Perplexity of replay's new texts in the last steps, relative to the first ones; None without such texts."""
        (nats, tokens), (late_nats, late_tokens) = self.early, self.late
        return math.exp(late_nats / late_tokens - nats / tokens) if tokens and late_tokens else None

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors."""
        return {name: torch.from_numpy(getattr(self, name).copy()) for name in _KEPT}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        for name in _KEPT:
            setattr(self, name, state[name].cpu().numpy().copy())


_KEPT = ("asked_E", "right_E", "was_seen_E", "early", "late")
