"""Intervals of rates over resampled prompts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rbrlang.learning.judging.resample import Prompts, sums


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        size = rng.integers(1, 6, 60).astype(float)
        wrong = rng.binomial(size.astype(int), 0.3).astype(float)
        (found,) = Prompts(60, trial, 400).rates(wrong[:, None], size[:, None])
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.3 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


@pytest.mark.parametrize(("value", "low", "high"), [(0.0, 0.0, 0.1684), (1.0, 0.8316, 1.0)])
def test_a_rate_without_variation_is_not_certain(value: float, low: float, high: float) -> None:
    # Clopper & Pearson for 0 (or all) of 20, from their table.
    (found,) = Prompts(20, 0, 100).rates(np.full((20, 1), value), np.ones((20, 1)))
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-4)


def test_nothing_to_count_few_prompts_and_no_wish_are_said() -> None:
    nothing, few = Prompts(12, 0, 100).rates(np.zeros((12, 2)), np.eye(12)[:, :2] * [0, 1])
    assert nothing is None
    assert few is not None
    assert few.refused == "1 prompt is too few to resample; 10 are needed"
    (unwanted,) = Prompts(12, 0, 0).rates(np.ones((12, 1)), np.full((12, 1), 2.0))
    assert unwanted is not None
    assert (unwanted.value, unwanted.low, unwanted.refused) == (0.5, None, "not asked for")


@settings(deadline=None, max_examples=30)
@given(arrays(float, (15, 3), elements=st.integers(0, 4)), st.integers(0, 5))
def test_rates_are_ratios_inside_their_intervals_and_repeatable(counts: np.ndarray, seed: int) -> None:
    of = np.maximum(counts, 1.0) + 1.0
    first, second = (Prompts(15, seed, 200).rates(counts, of) for _ in range(2))
    assert first == second
    for at, found in enumerate(first):
        assert found is not None
        assert found.value == pytest.approx(counts[:, at].sum() / of[:, at].sum())
        assert found.low is not None
        assert found.high is not None
        assert 0.0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1.0


def test_resamples_in_batches_are_those_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts, of = np.arange(20.0)[:, None], np.full((20, 1), 20.0)
    whole = Prompts(20, 3, 50).draws(counts, of)
    monkeypatch.setattr("rbrlang.learning.judging.resample._CELLS", 60)
    assert np.array_equal(Prompts(20, 3, 50).draws(counts, of), whole)
    assert len(whole) == 50


def test_sums_by_prompt() -> None:
    assert sums(np.array([0, 2, 0]), np.array([1.0, 5.0, 0.5]), 4).tolist() == [1.5, 0.0, 5.0, 0.0]
