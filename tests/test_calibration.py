"""Confidence against right and wrong, on cases that can be worked out by hand."""

import pytest

from ishibumi.exam.calibration import calibration_error, separation


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
