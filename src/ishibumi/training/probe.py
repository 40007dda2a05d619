"""What training forgets, while it goes on: a few texts of replay that it never trains on. Texts → perplexity ratio.

How much harder such texts become to predict is how far the model has gone from the base.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from ishibumi.training.attention import masked_attention
from ishibumi.training.batches import Plan, pack_rows
from ishibumi.training.steps import batch_nll_sum
from ishibumi.training.tokens import TokenStore

NUM_TEXTS = 16
AMONG = 160  # the first of replay's texts: general ones come before those that the base wrote, which stay easy for it


def kept_apart(store: TokenStore, seed: int) -> np.ndarray:
    """A tenth of the first texts of replay, drawn at random, which no plan has: a mask over the examples, (E,)."""
    first = store.of_source("replay")[:AMONG]
    chosen = np.random.default_rng([seed, len(first)]).permutation(first)[: len(first) * NUM_TEXTS // AMONG]
    mask = np.zeros(len(store), np.bool_)
    mask[chosen] = True
    return mask


class Probe:
    """The perplexity of texts kept apart, relative to what it was when training began."""

    def __init__(self, network: nn.Module, plan: Plan, tokens_per_pass: int) -> None:
        self.network, self.plan, self.tokens_per_pass = network, plan, tokens_per_pass
        apart = [] if plan.left_out is None else [int(i) for i in np.flatnonzero(plan.left_out)]
        self.rows = pack_rows(apart, plan.store.lengths, plan.row_tokens)
        self.nats_before: float | None = None  # a token
        self.forgotten: float | None = None

    @torch.no_grad()
    @torch.compiler.set_stance("force_eager")
    def look(self) -> None:
        """Measure; the first time for comparison."""
        if not self.rows:
            return
        device = next(self.network.parameters()).device
        with masked_attention(self.network):
            batches = self.plan.passes(self.rows, self.tokens_per_pass)
            nats = sum(float(batch_nll_sum(self.network, batch.to(device))) for batch in batches)
        nats /= self.plan.weight_sum(self.rows)
        if self.nats_before is None:
            self.nats_before = nats
        else:
            self.forgotten = math.exp(nats - self.nats_before)

    def state(self) -> dict[str, Any]:
        """Everything that a resumed run needs."""
        return {"nats_before": self.nats_before, "forgotten": self.forgotten}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up a stored state."""
        self.nats_before, self.forgotten = state["nats_before"], state["forgotten"]
