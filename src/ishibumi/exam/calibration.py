"""Does the model know what it knows? Confidence and right or wrong → how far they go together.

Confidence is exp(mean log-probability of the reply's tokens): the geometric mean of their probabilities, 0 to 1.
"""

from collections.abc import Sequence

import numpy as np

NUM_BINS = 10
RIGHT_PERCENTS = (3, 10, 20)  # of the right replies, that one may be ready to withhold


def separation(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """How often a right reply is surer than a wrong one, ties half (the area under the ROC curve): 0.5 is chance.

    None where all replies are right, or all wrong.
    """
    values, is_right = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=bool)
    of_right, of_wrong = values[is_right], np.sort(values[~is_right])
    if not len(of_right) or not len(of_wrong):
        return None
    # Wrong replies that are less sure than each right one, and half of those that are as sure.
    below = np.searchsorted(of_wrong, of_right, side="left") + np.searchsorted(of_wrong, of_right, side="right")
    return float(below.sum() / (2 * len(of_right) * len(of_wrong)))


def calibration_error(confidences: Sequence[float], right: Sequence[bool]) -> float | None:
    """The expected calibration error: mean gap between confidence and share right, in ten equal parts of 0 to 1.

    0 is a model that is right as often as it is sure; None without replies. Guo et al. 2017, “On Calibration of Modern
    Neural Networks”.
    """
    if not confidences:
        return None
    values = np.asarray(confidences, dtype=np.float64)
    bins = np.minimum((values * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    gaps = np.bincount(bins, weights=values - np.asarray(right, dtype=np.float64), minlength=NUM_BINS)
    return float(np.abs(gaps).sum() / len(values))


def withheld(
    right: Sequence[float], wrong: Sequence[float], unanswerable: Sequence[float]
) -> list[dict[str, float | None]]:
    """What would be withheld with 3, 10 and 20 % of the right replies, if the least sure replies were.

    The arguments are confidences: of right and wrong replies, and of answers to questions that have none. A row says
    below which confidence a reply is withheld and what share of each group that is, None for an empty group. Of the
    right replies it is never more than was asked for: with 12 of them, 10 % is one.

        [{"below": 0.41, "right": 0.1, "wrong": 0.8, "unanswerable": 0.5}, …]
    """
    surest_last = np.sort(np.asarray(right, dtype=np.float64))
    bounds = [float(surest_last[len(right) * percent // 100]) for percent in RIGHT_PERCENTS if len(right)]
    groups = {"right": right, "wrong": wrong, "unanswerable": unanswerable}
    return [
        {"below": bound, **{name: _share_below(values, bound) for name, values in groups.items()}} for bound in bounds
    ]


def _share_below(values: Sequence[float], bound: float) -> float | None:
    return sum(value < bound for value in values) / len(values) if values else None
