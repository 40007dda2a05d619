"""What the model knows of its own training questions, seen while it trains. Rows and likeliest tokens → shares.

Greedy decoding gives an answer exactly where each of its tokens is the likeliest after those before it, and the loss
compares them anyway. So every question is asked for nothing each time its turn comes, before the step that learns from
it. Of several processes each knows the rows that were its own, and the first one's view counts.

Axes: E examples of the store, R rows, T tokens of a row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ishibumi.training.tokens import SOURCES, TokenStore


class Knowing:
    """How many questions of each example had a turn, and how many were right at the last one."""

    def __init__(self, store: TokenStore) -> None:
        self.store, self.lengths_E = store, store.lengths
        self.asked_E, self.right_E = np.zeros(len(store), np.int32), np.zeros(len(store), np.int32)

    def see(self, rows: Sequence[Sequence[int]], right: Sequence[torch.Tensor]) -> None:
        """Take note of a step's rows; `right` (R, T) of its batches, one after another, says what was the likeliest."""
        right_RT = np.concatenate([batch_RT.numpy() for batch_RT in right])
        for row, right_T in zip(rows, right_RT, strict=False):  # empty rows fill the last batch
            start = 0
            for index in row:
                end = start + int(self.lengths_E[index])
                if self.store.sources[index] == SOURCES.index("question"):
                    learned = self.store.example(index)[1]
                    answers = self.store.branches_of(index)[learned]  # questions that begin alike are one example
                    wrong = answers[~right_T[start:end][learned]]
                    self.asked_E[index] = len(np.unique(answers))
                    self.right_E[index] = self.asked_E[index] - len(np.unique(wrong))
                start = end

    @property
    def known(self) -> float | None:
        """Share of the questions that were answered at their last turn, of those that had one; None before the first.

        In the first epoch none had been seen before, so this is what other wordings had taught.
        """
        asked = int(self.asked_E.sum())
        return int(self.right_E.sum()) / asked if asked else None

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs, as tensors."""
        return {"asked": torch.from_numpy(self.asked_E), "right": torch.from_numpy(self.right_E)}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.asked_E, self.right_E = state["asked"].cpu().numpy().copy(), state["right"].cpu().numpy().copy()
