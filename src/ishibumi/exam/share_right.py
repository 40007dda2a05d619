"""What a confidence is worth: replies of the exam → pools of like confidence, and the share right in each.

The share may only rise with confidence: pools that would break this are joined. This is isotonic regression by pooling
adjacent violators (Zadrozny and Elkan 2002, “Transforming Classifier Scores into Accurate Multiclass Probability
Estimates”).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_POOL = 10  # replies: of fewer, a share says little


@dataclass(frozen=True)
class Pool:
    """Replies of like confidence: from `lowest` up to where the next pool begins, and the share of them right."""

    lowest: float
    share_right: float
    num_replies: int


def pooled(confidences: Sequence[float], right: Sequence[bool], smallest: int = SMALLEST_POOL) -> list[Pool]:
    """The pools, least sure first; each share is higher than the one before it.

    Every pool has `smallest` replies or more, unless there are fewer in all.

        confidence   .1 .2 .3 | .4 .5 .6 .7 .8 | .9
        right         0  0  0 |  1  0  1  0  1 |  1      (smallest 1)
        share               0              3/5    1
    """
    pools: list[Pool] = []
    for pool in _alike(confidences, right, smallest):
        pools.append(pool)
        while len(pools) > 1 and pools[-2].share_right >= pools[-1].share_right:
            pools[-2:] = [_joined(*pools[-2:])]
    return pools


def share_right_at(pools: Sequence[Pool], confidence: float) -> float | None:
    """The share right of the pool in which `confidence` falls, the first one below all of them; None without pools."""
    below = itertools.takewhile(lambda pool: pool.lowest <= confidence, pools[1:])
    return [*pools[:1], *below][-1].share_right if pools else None


def _alike(confidences: Sequence[float], right: Sequence[bool], smallest: int) -> list[Pool]:
    """Replies in the order of their confidence, `smallest` and more to a pool; those that are as sure stay together."""
    values, is_right = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.float64)
    found: list[Pool] = []
    # As sure as each other: one entry with their number and how many of them are right.
    levels, level_of, counts = np.unique(values, return_inverse=True, return_counts=True)
    sums = np.bincount(level_of, weights=is_right, minlength=len(levels))
    for level, num_right, count in zip(levels.tolist(), sums.tolist(), counts.tolist(), strict=True):
        pool = Pool(level, num_right / count, count)
        if found and found[-1].num_replies < smallest:
            found[-1] = _joined(found[-1], pool)
        else:
            found.append(pool)
    if len(found) > 1 and found[-1].num_replies < smallest:
        found[-2:] = [_joined(*found[-2:])]
    return found


def _joined(low: Pool, high: Pool) -> Pool:
    num = low.num_replies + high.num_replies
    num_right = round(low.share_right * low.num_replies) + round(high.share_right * high.num_replies)
    return Pool(low.lowest, num_right / num, num)
