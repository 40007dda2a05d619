"""Intervals by bootstrap over documents: what another sample of documents could have shown. scores → Interval.

Questions about one document stand or fall together, so documents are drawn anew, each with all its questions. A
question about several documents counts as often as they were drawn together: the product of their counts (Owen 2007,
“The pigeonhole bootstrap”).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NUM_RESAMPLES = 2000
SEED = 20260719
# Resamples × documents held at once: 4 M numbers of 8 bytes are 32 MB.
MAX_DRAWS = 4_000_000

Documents = str | tuple[str, ...]  # of one question


@dataclass(frozen=True)
class Interval:
    """A mean with the ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def interval(scores: Sequence[float], documents: Sequence[Documents]) -> Interval:
    """The mean of right (1) and wrong (0) `scores` with its 95 % interval; `documents` names the documents of each.

    Exactly the same for the same input. Where all scores are 0, or all are 1, resampling would find no width; the exact
    binomial bound (Clopper–Pearson) for that many documents (or questions, if there are fewer) is used: 32 documents
    all wrong give 0 to 11 %.
    """
    found = _bootstrap(scores, documents)
    if len(set(scores)) > 1 or found.mean not in (0.0, 1.0):
        return found
    reach = _reach(documents)
    return Interval(0.0, 0.0, 1 - reach) if found.mean == 0 else Interval(1.0, reach, 1.0)


def paired_difference(first: Sequence[float], second: Sequence[float], documents: Sequence[Documents]) -> Interval:
    """The mean of first − second, right (1) or wrong (0) on the same questions, with its 95 % interval over documents.

    Where all differences are the same, what `interval` would say of as many questions widens it: two questions gained
    of two are 1.0 (−0.7 to 1.0), not proof.
    """
    differences = [a - b for a, b in zip(first, second, strict=True)]
    found = _bootstrap(differences, documents)
    if len(set(differences)) > 1:
        return found
    unseen = 1 - _reach(documents)  # up to this share could be anything from −1 to 1
    return Interval(found.mean, found.mean - unseen * (found.mean + 1), found.mean + unseen * (1 - found.mean))


def _reach(documents: Sequence[Documents]) -> float:
    """The least share of cases like these that is still likely where all of them were so (Clopper–Pearson)."""
    num_documents = len({name for names in documents for name in _names(names)})
    return 0.025 ** (1 / min(num_documents, len(documents)))


def _names(documents: Documents) -> tuple[str, ...]:
    return (documents,) if isinstance(documents, str) else documents


def _bootstrap(scores: Sequence[float], documents: Sequence[Documents]) -> Interval:
    assert len(scores) == len(documents) and scores
    clusters = [_names(names) for names in documents]
    groups = {names: index for index, names in enumerate(dict.fromkeys(clusters))}
    of_score = np.array([groups[names] for names in clusters])
    sums = np.bincount(of_score, weights=np.asarray(scores, dtype=np.float64)).astype(np.float64)
    counts = np.bincount(of_score).astype(np.float64)
    index_of = {name: index for index, name in enumerate(dict.fromkeys(name for names in groups for name in names))}
    members = [[index_of[name] for name in names] for names in groups]
    low, high = np.percentile(_resampled_means(sums, counts, members), [2.5, 97.5])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high))


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.float64], members: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """The mean of every resample in which some question counts; `members` numbers the documents of each group."""
    generator = np.random.default_rng(SEED)
    num_documents = max(max(of_group) for of_group in members) + 1
    num_at_once = max(1, MAX_DRAWS // max(num_documents, len(members)))
    means: list[NDArray[np.float64]] = []
    for start in range(0, NUM_RESAMPLES, num_at_once):
        size = min(num_at_once, NUM_RESAMPLES - start)
        drawn = generator.multinomial(num_documents, np.full(num_documents, 1 / num_documents), size=size)
        weights = np.stack([drawn[:, of_group].prod(axis=1) for of_group in members], axis=1)
        totals = weights @ counts
        means.append((weights @ sums)[totals > 0] / totals[totals > 0])
    return np.concatenate(means)
