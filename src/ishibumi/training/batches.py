"""Plan: which examples stand in which row of which step, a pure function of the seed. TokenStore → Plan → Batch.

Rows hold several examples that do not see one another (block-diagonal attention):

    ids       <bos> a b <eos> <bos> c d e <eos> 0 0
    segments    0   0 0   0     1   1 1 1   1   2 2     the last is padding
    positions   0   1 2   3     0   1 2 3   4   0 1

Axes: R rows of a pass, T tokens of a row.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ishibumi.errors import UsageError
from ishibumi.training.tokens import SOURCES, Source, TokenStore

NUM_OPEN_ROWS = 64


@dataclass(frozen=True)
class Batch:
    """Some rows for one pass through the model; all tensors (R, T). A weight of 0: this token is not learned."""

    ids_RT: torch.Tensor
    segments_RT: torch.Tensor
    branches_RT: torch.Tensor
    positions_RT: torch.Tensor
    weights_RT: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All of them."""
        return self.ids_RT, self.segments_RT, self.branches_RT, self.positions_RT, self.weights_RT

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(tensor.to(device) for tensor in self.tensors))

    def copy_(self, other: "Batch") -> None:
        """Take over another batch of the same shape, in the same memory; a GPU does it when its turn comes."""
        for tensor, new in zip(self.tensors, other.tensors, strict=True):
            send(new, tensor)


def send(new: torch.Tensor, to: torch.Tensor) -> None:
    """Copy a tensor of the CPU into one of any device without waiting for a GPU."""
    to.copy_(new.pin_memory() if to.is_cuda else new, non_blocking=True)


@dataclass(frozen=True)
class Plan:
    """All rows of a stage in order, as lists of example indices; `epoch_rows` are the rows at which epochs end."""

    store: TokenStore
    row_tokens: int
    rows: list[list[int]]
    rows_per_step: int
    epoch_rows: list[int]
    answer_weight: float
    seed: int
    left_out: np.ndarray | None = None  # (N,) examples that are in no row

    @property
    def num_steps(self) -> int:
        """Optimizer steps; the last may have fewer rows."""
        return -(-len(self.rows) // self.rows_per_step)

    @property
    def epoch_steps(self) -> list[int]:
        """Steps during which an epoch ends."""
        return [-(-row // self.rows_per_step) for row in self.epoch_rows]

    def rows_of_step(self, step: int) -> list[list[int]]:
        """The rows of optimizer step `step` (from 0)."""
        return self.rows[step * self.rows_per_step : (step + 1) * self.rows_per_step]

    def weight_sum(self, rows: Sequence[Sequence[int]]) -> float:
        """What the summed loss of some rows is divided by: learned tokens, those of answers by their weight."""
        return float(sum(self._weights(i).sum(dtype=np.float64) for row in rows for i in row))

    def _weights(self, index: int) -> np.ndarray:
        weight = self.answer_weight if self.store.sources[index] == SOURCES.index("question") else 1.0
        return self.store.example(index)[1] * np.float32(weight)

    def rows_per_pass(self, tokens_per_pass: int, num_ranks: int = 1) -> int:
        """Rows of a batch of at most `tokens_per_pass` tokens, one at least; each process has a share of a step's."""
        return min(max(1, tokens_per_pass // self.row_tokens), -(-self.rows_per_step // num_ranks))

    def most_learned(self, tokens_per_pass: int) -> int:
        """Learned tokens that no batch exceeds, whichever rows it has: those of the fullest rows together."""
        learned = np.add.reduceat(self.store.learned, self.store.offsets[:-1], dtype=np.int64)
        by_row = sorted(int(learned[row].sum()) for row in self.rows)
        return sum(by_row[-self.rows_per_pass(tokens_per_pass) :])

    @property
    def learned_share(self) -> float:
        """Of the tokens, those that are learned."""
        return float(self.store.learned.mean())

    def num_tokens(self, rows: Sequence[Sequence[int]]) -> int:
        """Tokens in some rows, padding not counted."""
        lengths = self.store.lengths
        return int(sum(lengths[i] for row in rows for i in row))

    def document_ids(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The documents that some rows come from, without repeats."""
        return sorted({self.store.document_ids[i] for row in rows for i in row} - {""})

    def passes(self, rows: list[list[int]], tokens_per_pass: int, num_ranks: int = 1) -> Iterator[Batch]:
        """The rows as batches of at most `tokens_per_pass` tokens (at least one row), all of one shape.

        Empty rows fill the last batch, because a compiled layer would be compiled anew for another shape.
        """
        size = self.rows_per_pass(tokens_per_pass, num_ranks)
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            yield self._batch(batch + [[]] * (size - len(batch)))

    def _batch(self, rows: list[list[int]]) -> Batch:
        shape = (len(rows), self.row_tokens)
        ids = np.zeros(shape, dtype=np.int64)
        segments, branches, positions = np.zeros_like(ids), np.zeros_like(ids), np.zeros_like(ids)
        weights = np.zeros(shape, dtype=np.float32)
        for r, row in enumerate(rows):
            start = 0
            for segment, index in enumerate(row):
                example_ids, _ = self.store.example(index)
                end = start + len(example_ids)
                ids[r, start:end], weights[r, start:end] = example_ids, self._weights(index)
                segments[r, start:end], branches[r, start:end] = segment, self.store.branches_of(index)
                positions[r, start:end] = positions_of(self.store.branches_of(index))
                start = end
            segments[r, start:], positions[r, start:] = len(row), np.arange(self.row_tokens - start)
        return Batch(*map(torch.from_numpy, (ids, segments, branches, positions, weights)))


def positions_of(branches: np.ndarray) -> np.ndarray:
    """The place of each token in its own text: every branch goes on where the trunk ends.

    branches   0 0 1 1 1 2 2
    positions  0 1 2 3 4 2 3
    """
    starts = np.flatnonzero(np.diff(branches, prepend=-1))  # where trunk and branches begin
    run = np.repeat(starts, np.diff(starts, append=len(branches)))
    trunk = np.count_nonzero(branches == 0)
    return np.arange(len(branches)) - run + np.where(branches > 0, trunk, 0)


def make_plan(
    store: TokenStore,
    *,
    own: Sequence[Source],
    shares: Mapping[Source, float],
    epochs: float,
    row_tokens: int,
    tokens_per_step: int,
    seed: int,
    max_tokens: int | None = None,
    answer_weight: float = 1.0,
    left_out: np.ndarray | None = None,
) -> Plan:
    """The plan of a stage: every example of the `own` sources once an epoch, `shares` of the tokens drawn from others.

    A fractional last epoch takes the first part of its rows, one at least; `max_tokens` cuts the plan wherever it is.
    `left_out` examples (N,) are in no row.
    Raises UsageError where the shares leave nothing for the own texts.
    """
    rows: list[list[int]] = []
    epoch_rows: list[int] = []
    for epoch in range(int(np.ceil(epochs))):
        packed = pack_rows(epoch_examples(store, own, shares, seed, epoch, left_out), store.lengths, row_tokens)
        rows += packed[: max(1, round(len(packed) * min(1.0, epochs - epoch)))]
        epoch_rows.append(len(rows))
    if max_tokens is not None:
        rows = rows[: max(1, max_tokens // row_tokens)]
        epoch_rows = [r for r in epoch_rows if r < len(rows)] + [len(rows)]
    return Plan(
        store, row_tokens, rows, max(1, tokens_per_step // row_tokens), epoch_rows, answer_weight, seed, left_out
    )


def epoch_examples(
    store: TokenStore,
    own: Sequence[Source],
    shares: Mapping[Source, float],
    seed: int,
    epoch: int,
    left_out: np.ndarray | None = None,
) -> list[int]:
    """Indices of one epoch in random order: own examples once, others drawn until they fill their share of tokens.

    With n own tokens and shares a + b < 1 the epoch has n / (1 - a - b) tokens. `left_out` (N,) are not in it.
    """
    random = np.random.default_rng([seed, epoch])
    left_out = np.zeros(len(store), np.bool_) if left_out is None else left_out
    chosen = [_among(store, own, left_out)]
    drawn: dict[Source, float] = {s: f for s, f in shares.items() if f > 0 and len(_among(store, [s], left_out))}
    if sum(drawn.values()) >= 1:
        raise UsageError(
            f"The shares {drawn} leave no room for the stage's own texts.",
            hint="Lower replay.share and chat.share, or sft.review_share: their sum must be below 1.",
            hint_ja="replay.share と chat.share の和、または sft.review_share を 1 未満にしてください。",
        )
    num_total = store.lengths[chosen[0]].sum() / (1 - sum(drawn.values()))
    for source, share in drawn.items():
        chosen.append(_draw(_among(store, [source], left_out), store.lengths, share * num_total, random))
    return [int(i) for i in random.permutation(np.concatenate(chosen))]


def _among(store: TokenStore, sources: Sequence[Source], left_out: np.ndarray) -> np.ndarray:
    """Indices of the examples of some sources, without those left out."""
    indices = np.concatenate([store.of_source(source) for source in sources])
    return indices[~left_out[indices]]


def _draw(pool: np.ndarray, lengths: np.ndarray, num_tokens: float, random: np.random.Generator) -> np.ndarray:
    """Examples of a pool whose lengths come nearest to `num_tokens`; repeats only when all have been taken."""
    taken: list[int] = []
    left = num_tokens
    while left > 0:
        for index in random.permutation(pool):
            if left < lengths[index] / 2:
                return np.array(taken, dtype=np.int64)
            taken.append(int(index))
            left -= lengths[index]
    return np.array(taken, dtype=np.int64)


def pack_rows(order: Sequence[int], lengths: np.ndarray, row_tokens: int) -> list[list[int]]:
    """Rows of whole examples, best fit among the last open rows, in the order in which rows were begun."""
    rows: list[list[int]] = []
    open_rows: list[tuple[int, int]] = []  # (free tokens, row)
    for index in order:
        size = int(lengths[index])
        fitting = [(free, row) for free, row in open_rows if free >= size]
        if fitting:
            free, row = min(fitting)
            open_rows.remove((free, row))
        else:
            free, row = row_tokens, len(rows)
            rows.append([])
        rows[row].append(index)
        if free - size > 0:
            open_rows.append((free - size, row))
        if len(open_rows) > NUM_OPEN_ROWS:
            open_rows.remove(min(open_rows))
    return rows
