"""Confidence against right and wrong, on cases that can be worked out by hand."""

import pytest

from ishibumi.exam.calibration import calibration_error, separation, withheld
from ishibumi.exam.share_right import Pool, pooled, share_right_at


def test_separation_is_the_share_of_pairs_in_the_right_order() -> None:
    assert separation([0.9, 0.8, 0.2, 0.1], [True, True, False, False]) == 1.0
    assert separation([0.1, 0.2, 0.8, 0.9], [True, True, False, False]) == 0.0
    # Right 0.9 beats both wrong ones, right 0.4 beats one of them: 3 pairs of 4.
    assert separation([0.9, 0.4, 0.6, 0.2], [True, True, False, False]) == 0.75
    assert separation([0.5, 0.5, 0.5], [True, False, False]) == 0.5
    # One tie (half) and one win of two pairs.
    assert separation([0.5, 0.5, 0.1], [True, False, False]) == 0.75


def test_separation_needs_right_and_wrong_replies() -> None:
    assert separation([0.9, 0.1], [True, True]) is None
    assert separation([0.9, 0.1], [False, False]) is None
    assert separation([], []) is None


def test_a_model_that_is_right_as_often_as_it_is_sure_is_calibrated() -> None:
    assert calibration_error([0.75] * 4, [True, True, True, False]) == pytest.approx(0.0)
    assert calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert calibration_error([], []) is None


def test_the_error_is_the_gap_of_each_bin_weighted_by_its_replies() -> None:
    # 0.95 twice, both wrong: a gap of 0.95 for half of the replies; 0.05 twice, one right: 0.45 for the other half.
    assert calibration_error([0.95, 0.95, 0.05, 0.05], [False, False, True, False]) == pytest.approx(0.7)
    # Over- and underconfidence cancel out within a bin, and not between two.
    assert calibration_error([0.55, 0.55], [False, True]) == pytest.approx(0.05)
    assert calibration_error([0.9, 0.1], [False, True]) == pytest.approx(0.9)


def test_the_least_sure_are_withheld_up_to_a_share_of_the_right_ones() -> None:
    # Twenty right replies, 0.30 to 0.49: 3 % of them is none, 10 % are two, 20 % are four.
    right = [0.3 + n / 100 for n in range(20)]
    wrong, unanswerable = [0.1, 0.29, 0.315, 0.335, 0.6], [0.2, 0.9]
    rows = withheld(right, wrong, unanswerable)
    assert [row["below"] for row in rows] == pytest.approx([0.30, 0.32, 0.34])
    assert [(row["right"], row["wrong"], row["unanswerable"]) for row in rows] == [
        (0.0, 0.4, 0.5), (0.1, 0.6, 0.5), (0.2, 0.8, 0.5),
    ]  # fmt: skip


def test_right_replies_that_are_equally_sure_stay_together_and_empty_groups_have_no_share() -> None:
    (row, *_) = withheld([0.5] * 4, [0.5, 0.4], [])
    assert row == {"below": 0.5, "right": 0.0, "wrong": 0.5, "unanswerable": None}
    assert withheld([], [0.5], [0.5]) == []
    assert withheld([0.5], [], [])[2] == {"below": 0.5, "right": 0.0, "wrong": None, "unanswerable": None}


def test_adjacent_violators_are_pooled() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    right = [False, False, False, True, False, True, False, True, True]
    # 1 0 at 0.4 and 0.5 and 1 0 at 0.6 and 0.7 are halves, which join.
    expected = [Pool(0.1, 0.0, 3), Pool(0.4, 0.5, 4), Pool(0.8, 1.0, 2)]
    assert pooled(values, right, 1) == expected
    assert pooled(values[::-1], right[::-1], 1) == expected
    # A fall that is only seen when later ones have joined: 1 at 0.1, then 0 0 0.
    assert pooled([0.1, 0.2, 0.3, 0.4, 0.5], [True, False, False, False, True], 1) == [
        Pool(0.1, 0.25, 4),
        Pool(0.5, 1.0, 1),
    ]
    assert pooled([0.9, 0.1], [False, True], 1) == [Pool(0.1, 0.5, 2)]


def test_the_shares_are_those_of_the_best_rising_fit() -> None:
    # max over starts of min over ends of the mean between: the closed form of isotonic regression.
    right = [n * n % 7 < 3 for n in range(40)]
    values = [n / 40 for n in range(40)]
    best = [
        max(min(sum(right[a : b + 1]) / (b + 1 - a) for b in range(n, 40)) for a in range(n + 1)) for n in range(40)
    ]
    pools = pooled(values, right, 1)
    assert [share_right_at(pools, value) for value in values] == pytest.approx(best)
    assert sum(pool.num_replies for pool in pools) == 40


def test_a_pool_has_ten_replies_and_those_that_are_equally_sure_stay_together() -> None:
    values = [0.1] * 4 + [0.2] * 8 + [0.3] * 10 + [0.4] * 3
    right = [False] * 12 + [True] * 5 + [False] * 5 + [True] * 3
    assert pooled(values, right) == [Pool(0.1, 0.0, 12), Pool(0.3, 8 / 13, 13)]
    assert pooled([0.5], [True]) == [Pool(0.5, 1.0, 1)] and pooled([], []) == []


def test_a_new_confidence_has_the_share_of_the_pool_that_it_reaches() -> None:
    pools = [Pool(0.2, 0.1, 10), Pool(0.5, 0.6, 10), Pool(0.8, 0.9, 10)]
    shares = [share_right_at(pools, confidence) for confidence in (0.0, 0.2, 0.499, 0.5, 0.79, 0.8, 1.0)]
    assert shares == [0.1, 0.1, 0.1, 0.6, 0.6, 0.9, 0.9]
    assert share_right_at([], 0.5) is None
