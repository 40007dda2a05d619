"""A plan that spends its tokens on what is not known yet. Plan + what is known after an epoch → the next one's rows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ishibumi.training.batches import Plan, epoch_examples, pack_rows
from ishibumi.training.tokens import Source


@dataclass(frozen=True)
class FocusedPlan(Plan):
    """A plan of as many rows as the one it was made from, of which later epochs leave questions out.

    An epoch without them is shorter, so there are more epochs, and what is still unknown comes up more often.
    """

    planned: int = 0
    skip_known: float = 0.0
    own: Sequence[Source] = ()
    shares: Mapping[Source, float] = field(default_factory=dict[Source, float])

    @property
    def num_rows(self) -> int:
        """Rows in all, made or not."""
        return self.planned

    def most_learned(self, tokens_per_pass: int) -> int:
        """Every token of a batch, as its rows are not known beforehand."""
        return self.rows_per_pass(tokens_per_pass) * self.row_tokens

    def grow(self, step: int, known_E: Callable[[], np.ndarray]) -> None:
        """Make epochs until the rows of `step` are there."""
        while len(self.rows) < min(self.planned, (step + 1) * self.rows_per_step):
            epoch = len(self.epoch_rows)
            is_drawn = np.random.default_rng([self.seed, epoch, 1]).random(len(self.store)) < self.skip_known
            apart = np.zeros(len(self.store), np.bool_) if self.left_out is None else self.left_out
            left_out = apart | (known_E() & is_drawn)
            if left_out[np.concatenate([self.store.of_source(source) for source in self.own])].all():
                left_out = apart  # all is known: once more from the start
            of_epoch = epoch_examples(self.store, self.own, self.shares, self.seed, epoch, left_out)
            self.rows.extend(pack_rows(of_epoch, self.store.lengths, self.row_tokens)[: self.planned - len(self.rows)])
            self.epoch_rows.append(len(self.rows))

    def state(self) -> dict[str, Any]:
        """The rows so far: what was known when they were made is not known any more."""
        return {"rows": self.rows, "epoch_rows": self.epoch_rows}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.rows[:], self.epoch_rows[:] = state["rows"], state["epoch_rows"]


def focused(plan: Plan, skip_known: float, own: Sequence[Source], shares: Mapping[Source, float]) -> FocusedPlan:
    """The first epoch of a plan as it is, and room for as many rows as it has."""
    first = plan.epoch_rows[0]
    start = replace(plan, rows=plan.rows[:first], epoch_rows=[first])
    return FocusedPlan(**vars(start), planned=len(plan.rows), skip_known=skip_known, own=own, shares=shares)
