import math

import numpy as np
import pytest

from moss_audio.metrics import bootstrap
from moss_audio.metrics.bootstrap import ratio_interval

PINNED = ((0.07333333333333333, 0.13), (0.31428571428571433, 0.8857142857142858))


def test_the_interval_of_a_mean_is_that_of_the_normal_law():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400).tolist()
    low, high = ratio_interval([(value, 1.0) for value in values])
    half = 1.96 * float(np.std(values)) / math.sqrt(len(values))
    assert low == pytest.approx(np.mean(values) - half, abs=0.15 * half)
    assert high == pytest.approx(np.mean(values) + half, abs=0.15 * half)


def test_items_weigh_what_they_hold_and_the_interval_is_reproducible(monkeypatch):
    shares = [(i % 5, 10 + i % 3) for i in range(30)]
    low, high = ratio_interval(shares)
    assert low < sum(part for part, _ in shares) / sum(whole for _, whole in shares) < high
    assert ratio_interval(shares) == (low, high)
    monkeypatch.setattr(bootstrap, "LEVEL", 0.5)
    narrow = ratio_interval(shares)
    assert low < narrow[0] < narrow[1] < high
    monkeypatch.setattr(bootstrap, "SEED", 4)
    assert ratio_interval(shares) != narrow


def test_the_intervals_of_earlier_reports_are_found_again():
    assert ratio_interval([(i % 3, 10) for i in range(30)]) == pytest.approx(PINNED[0], abs=1e-15)
    assert ratio_interval([(0.1 * i, 0.5) for i in range(7)]) == pytest.approx(PINNED[1], abs=1e-15)


def test_draws_without_a_figure_are_left_out():
    assert ratio_interval([(5, 1), (0, 0)]) == (5.0, 5.0)
    assert ratio_interval([(0, 0), (0, 0)]) is None


def test_too_few_items_have_no_interval():
    assert ratio_interval([]) is None
    assert ratio_interval([(4, 1)]) is None
