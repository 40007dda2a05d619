"""Train until it knows: after each part of the tokens the model is asked, and the next part is made from its answers.

    plain plan │ pass 1 = its first rows │ pass 2: failing documents more │ pass 3 …
                          ask ─▶ recall by document ─┘      ask ─▶ …─┘

Passes together have as many rows and steps as the plain plan, whose learning rates they follow. Each is a pure function
of the seed and of what was measured before it, which is kept in passes.jsonl: a resumed run makes the same rows.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ishibumi.artifacts import read_jsonl, write_jsonl
from ishibumi.training.batches import Plan, draw, pack_rows
from ishibumi.training.tokens import Source, TokenStore

NAME = "passes.jsonl"
KNOWN_SHARE = 0.25  # a document that is known has this to one that is not at all: some review keeps it


@dataclass(frozen=True)
class Measured:
    """What the model knows: the share of the asked questions that it answers, by document and of all.

    `perplexity` is that of held-out replay text, None where none is held out.
    """

    recalls: Mapping[str, float]
    recall: float
    perplexity: float | None


@dataclass(frozen=True)
class Passes:
    """Into how many parts training is cut, how the model is asked after part n (0: before training), when to end."""

    count: int
    measure: Callable[[int], Measured]
    target_recall: float | None
    max_perplexity_ratio: float | None

    def reason_to_end(self, measured: Sequence[Measured]) -> str:
        """Why no further pass is needed, or empty; `measured[0]` is from before training."""
        first, last = measured[0], measured[-1]
        ratio = last.perplexity / first.perplexity if last.perplexity and first.perplexity else 0.0
        if self.max_perplexity_ratio and ratio > self.max_perplexity_ratio:
            return f"perplexity ratio {ratio:.3f} is over cpt.max_perplexity_ratio = {self.max_perplexity_ratio:g}"
        if self.target_recall and last.recall >= self.target_recall:
            return f"recall {last.recall:.0%} has reached cpt.target_recall = {self.target_recall:.0%}"
        return "all passes are done" if len(measured) > self.count else ""


def train_in_passes(
    plain: Plan,
    own: Sequence[Source],
    shares: Mapping[Source, float],
    passes: Passes,
    directory: Path,
    train_on: Callable[[Plan], object],
) -> tuple[Plan, list[Measured], str]:
    """Train pass by pass; returns the rows that were trained, what was measured and why it ended.

    `train_on` trains to the end of a plan, from the checkpoint in `directory`, and leaves one there. What passes.jsonl
    has is not measured again.
    """
    path = directory / NAME
    measured = [Measured(**row) for row in read_jsonl(path)] if path.exists() else []
    while not (ended := passes.reason_to_end(measured) if len(measured) > 1 else ""):
        if measured:
            train_on(plan_of_passes(plain, own, shares, passes.count, measured))
        with torch.compiler.set_stance("force_eager"):  # every length of a reply would be compiled anew
            measured.append(passes.measure(len(measured)))
        write_jsonl(path, map(asdict, measured))
    return plan_of_passes(plain, own, shares, passes.count, measured[:-1]), measured, ended


def plan_of_passes(
    plain: Plan, own: Sequence[Source], shares: Mapping[Source, float], count: int, measured: Sequence[Measured]
) -> Plan:
    """The rows of the first `len(measured)` passes: those of the plain plan, then some by what each pass had shown."""
    ends = [round(plain.num_steps * n / count) * plain.rows_per_step for n in range(1, count)] + [len(plain.rows)]
    rows = plain.rows[: ends[0]]
    for number in range(1, len(measured)):
        size = ends[number] - ends[number - 1]
        random = np.random.default_rng([plain.seed, number, len(plain.rows)])
        used = Counter(index for row in rows for index in row)
        num_tokens, added = size * plain.row_tokens * 11 // 10, list[list[int]]()
        while len(added) < size:  # the last rows of a packing are half empty
            recalls = measured[number].recalls
            order = pass_examples(plain.store, own, shares, recalls, used, num_tokens, random)
            added = pack_rows(order, plain.store.lengths, plain.row_tokens)
            num_tokens = num_tokens * 11 // 10
        rows = rows + added[:size]
    return replace(plain, rows=rows, epoch_rows=ends[: len(measured)], total_steps=plain.num_steps)


def pass_examples(
    store: TokenStore,
    own: Sequence[Source],
    shares: Mapping[Source, float],
    recalls: Mapping[str, float],
    used: Mapping[int, int],
    num_tokens: int,
    random: np.random.Generator,
) -> list[int]:
    """Examples of about `num_tokens` in random order: a document's part follows from its size and its recall.

    Within a document those come first that were used least: who fails gets wordings that were not seen yet. A document
    that was not asked counts as the mean.
    """
    others: dict[Source, float] = {s: share for s, share in shares.items() if share > 0 and len(store.of_source(s))}
    chosen = [draw(store, source, share * num_tokens, random) for source, share in others.items()]
    by_document: dict[str, list[int]] = {}
    for index in np.concatenate([store.of_source(source) for source in own]):
        by_document.setdefault(store.document_ids[index], []).append(int(index))
    lengths, mean = store.lengths, sum(recalls.values()) / max(1, len(recalls))
    needs = {
        name: int(lengths[indices].sum()) * (KNOWN_SHARE + (1 - KNOWN_SHARE) * (1 - recalls.get(name, mean)))
        for name, indices in by_document.items()
    }
    scale = num_tokens * (1 - sum(others.values())) / sum(needs.values())
    wanted, taken = 0.0, 0
    for name in random.permutation(list(by_document)):
        wanted += needs[name] * scale
        order = sorted(random.permutation(by_document[name]), key=lambda index: used.get(int(index), 0))
        picked: list[int] = []
        while taken + lengths[order[len(picked) % len(order)]] / 2 <= wanted:
            picked.append(int(order[len(picked) % len(order)]))
            taken += int(lengths[picked[-1]])
        chosen.append(np.array(picked, dtype=np.int64))
    return [int(index) for index in random.permutation(np.concatenate(chosen))]
