"""Pairs of completions, against enumeration in plain Python."""

from __future__ import annotations

import doctest
import itertools
import math
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.learning import comparisons as module
from rbrlang.learning.comparisons import TooManyComparisons, compare, ordering_error
from rbrlang.learning.fitting import losses as losses_module
from rbrlang.learning.fitting.losses import hinge, logistic, smooth_hinge

rows = st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3), st.sampled_from([0.0, 0.5, 1.0, 2.5])), max_size=25)


def arrays(rows: list[tuple[int, int, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, np.float64).reshape(-1, 3)
    return table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2]


@given(rows)
def test_pairs_are_those_of_enumeration(rows: list[tuple[int, int, float]]) -> None:
    found = compare(*arrays(rows))
    expected = set()
    for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2):
        if a[0] == b[0] and min(a[1], b[1]) >= 0 and a[1] != b[1]:
            better, worse = (i, j) if a[1] < b[1] else (j, i)
            expected.add((better, worse, rows[better][2], a[0]))
    listed = list(zip(*(a.tolist() for a in (found.better, found.worse, found.margin, found.prompt)), strict=True))
    assert len(listed) == len(expected)
    assert set(listed) == expected


@given(rows, st.data())
def test_the_error_counts_ties_half(rows: list[tuple[int, int, float]], data: st.DataObject) -> None:
    scores = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows))), np.float64)
    found = compare(*arrays(rows))
    wrong = [
        0.5 if scores[b] == scores[w] else float(scores[b] < scores[w])
        for b, w in zip(found.better, found.worse, strict=True)
    ]
    error = ordering_error(scores, found)
    assert math.isnan(error) if not wrong else error == pytest.approx(sum(wrong) / len(wrong))


@pytest.mark.parametrize("documented", [module, losses_module])
def test_the_examples_in_the_documentation_are_true(documented: ModuleType) -> None:
    results = doctest.testmod(documented)
    assert results.attempted > 0
    assert results.failed == 0


def test_a_fractional_margin_stays_one() -> None:
    found = compare([0, 0], [0, 1], [0.5, 0])
    assert found.margin.tolist() == [0.5]


def test_a_giant_prompt_is_refused_before_memory_is_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CANDIDATES", 1000)
    with pytest.raises(TooManyComparisons, match=r"1,225 candidate pairs.*largest prompt has 50"):
        compare([0] * 50, [0, 1] * 25, [1.0] * 50)


finite = st.floats(-1e3, 1e3, width=32)


@settings(deadline=None)  # the first call compiles
@given(finite, finite, st.floats(0, 10, width=32), st.floats(0.015625, 10, width=32))
def test_the_smooth_hinge_is_below_the_hinge_by_half_a_width_at_most(
    better: float, worse: float, margin: float, width: float
) -> None:
    exact = float(hinge(better, worse, margin))
    smooth = float(smooth_hinge(better, worse, margin, width))
    slack = 1e-5 * (1.0 + abs(better) + abs(worse))
    assert exact - width / 2 - slack <= smooth <= exact + slack


def test_losses_and_slopes_stay_finite_at_extremes() -> None:
    huge = jnp.array([-3e38, -1.0, 0.0, 1.0, 1e38])
    for loss in (hinge, logistic, smooth_hinge):
        value = loss(huge, 0.0)
        slope = jax.vmap(jax.grad(lambda r, loss=loss: loss(r, 0.0)))(huge)
        assert jnp.isfinite(value).all(), loss.__name__
        assert ((slope <= 0.0) & (slope >= -1.0)).all(), loss.__name__
        assert jnp.isnan(loss(jnp.nan, 0.0)), loss.__name__


@settings(deadline=None)
@given(finite, finite)
def test_the_logistic_loss_is_bradley_terry(better: float, worse: float) -> None:
    gap = float(np.float32(better) - np.float32(worse))
    expected = math.log1p(math.exp(-abs(gap))) + max(0.0, -gap)
    assert float(logistic(better, worse)) == pytest.approx(expected, rel=1e-5, abs=1e-6)
