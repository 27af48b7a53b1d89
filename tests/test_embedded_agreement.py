"""Agreement statistics against pencil and paper, scipy, and their own definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, mannwhitneyu, norm

from rbrlang.grading.trust import agreement, bootstrap
from rbrlang.grading.trust.agreement import Agreement, TooLittle
from rbrlang.grading.trust.bootstrap import FEWEST_PROMPTS, Resampling, replicates

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 20)), min_size=2, max_size=60)


def arrays(pairs):
    return np.array([t for t, _ in pairs]), np.array([k / 20 for _, k in pairs])


@given(rows)
def test_auc_is_the_mann_whitney_statistic(pairs):
    truth, p = arrays(pairs)
    if truth.all() or not truth.any():
        assert math.isnan(agreement.auc(truth, p))
        return
    oracle = mannwhitneyu(p[truth], p[~truth]).statistic / (truth.sum() * (~truth).sum())
    assert agreement.auc(truth, p) == pytest.approx(oracle)


@given(st.integers(0, 40), st.integers(1, 40))
def test_wilson_is_scipys(successes, more):
    trials = successes + more
    oracle = binomtest(successes, trials).proportion_ci(method="wilson")
    found = agreement.wilson(successes, trials)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert found.value == successes / trials


@given(rows, st.integers(1, 15))
def test_the_brier_decomposition_adds_up(pairs, bins):
    truth, p = arrays(pairs)
    b = agreement.brier(truth, p, bins)
    assert b.score == pytest.approx(np.mean((p - truth) ** 2))
    assert b.reliability - b.resolution + b.uncertainty + b.within == pytest.approx(b.score, abs=1e-12)


def test_calibration_error_by_hand():
    truth = np.array([True, False, True, True])
    p = np.array([0.12, 0.18, 0.9, 1.0])
    # bin 1: two rows, mean 0.15, observed 0.5; bin 9: two rows, mean 0.95, observed 1
    assert agreement.ece(truth, p) == pytest.approx(0.5 * 0.35 + 0.5 * 0.05)
    assert [(b.rows, b.observed) for b in agreement.reliability(truth, p)] == [(2, 0.5), (2, 1.0)]


def test_kappa_by_hand():
    truth = np.array([True] * 25 + [False] * 25)
    said = np.array([True] * 20 + [False] * 5 + [True] * 10 + [False] * 15)
    assert agreement.kappa(truth, said) == pytest.approx(0.4)  # 0.7 observed, 0.5 by chance


@given(rows)
def test_no_threshold_beats_the_best_one(pairs):
    truth, p = arrays(pairs)
    for which in ("accuracy", "balanced_accuracy", "f1", "kappa"):
        threshold, score = agreement.best_threshold(which, truth, p)
        assert agreement.metric(which, truth, p >= threshold) == score
        tried = [agreement.metric(which, truth, p >= t) for t in np.linspace(0, 1.05, 22)]
        assert score >= max(tried) - 1e-12


def test_the_threshold_nearest_one_half_wins_ties():
    truth, p = np.array([False, True]), np.array([0.1, 0.9])
    assert agreement.best_threshold("accuracy", truth, p) == (0.5, 1.0)


def test_little_support_is_refused_not_printed():
    truth = np.array([True] * 4 + [False] * 50)
    found = agreement.assess(truth, np.linspace(0, 1, 54), np.arange(54), 0)
    assert found == TooLittle(54, 4, "4 positives and 50 negatives; at least 5 of each are needed")
    assert isinstance(agreement.macro([found]), TooLittle)


def test_assess_and_macro():
    random = np.random.default_rng(0)
    truth = random.random(200) < 0.4
    p = np.clip(truth * 0.5 + random.random(200) * 0.5, 0, 1)
    found = agreement.assess(truth, p, np.arange(200) // 2, 0)
    assert isinstance(found, Agreement)
    assert found.sensitivity.value == ((p >= 0.5) & truth).sum() / truth.sum()
    assert found.auc.low <= found.auc.value <= found.auc.high
    assert found.ece.low <= found.ece.high
    assert found == agreement.assess(truth, p, np.arange(200) // 2, 0)
    whole = agreement.macro([found, TooLittle(3, 0, "few"), found])
    assert not isinstance(whole, TooLittle)
    assert (whole.propositions, whole.auc.value) == (2, pytest.approx(found.auc.value))


def test_resampling_keeps_prompts_together():
    """Copies of a row under one prompt add no information: the interval must not narrow."""
    random = np.random.default_rng(1)
    truth = random.random(60) < 0.5
    p = np.clip(0.3 * truth + 0.7 * random.random(60), 0, 1)
    once = agreement.assess(truth, p, np.arange(60), 0)
    copied = agreement.assess(np.repeat(truth, 8), np.repeat(p, 8), np.repeat(np.arange(60), 8), 0)
    assert isinstance(once, Agreement)
    assert isinstance(copied, Agreement)
    for a, b in ((once.ece, copied.ece), (once.auc, copied.auc)):
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=1e-9)


@given(rows, st.integers(0, 3))
def test_a_draw_is_the_statistic_of_the_rows_it_drew(pairs, seed):
    truth, p = arrays(pairs)
    groups = np.arange(len(truth)) // 2
    prompts = int(groups.max()) + 1
    resampling = Resampling(prompts, 7, seed)
    found = replicates((agreement.drawn_auc, agreement.drawn_ece), truth, p, groups, resampling)
    if prompts < FEWEST_PROMPTS:
        assert found.shape == (2, 0)
        return
    (counts,) = resampling.blocks(len(truth))
    assert found.shape == (2, 7)
    for draw in range(7):
        assert counts[draw].sum() == prompts
        taken = np.repeat(np.arange(len(truth)), counts[draw][groups].astype(int))
        expected = [agreement.auc(truth[taken], p[taken]), agreement.ece(truth[taken], p[taken])]
        np.testing.assert_allclose(found[:, draw], expected, atol=1e-12)


def test_blocks_of_draws_do_not_depend_on_how_they_are_cut(monkeypatch):
    whole = np.concatenate(list(Resampling(12, 9, 3).blocks(12)))
    monkeypatch.setattr(bootstrap, "_BLOCK", 24)
    cut = list(Resampling(12, 9, 3).blocks(12))
    assert len(cut) == 5
    np.testing.assert_array_equal(np.concatenate(cut), whole)


def test_the_interval_covers_what_it_should():
    """Of 200 samples of a population whose area is known, about 95 in 100 intervals hold it."""
    random = np.random.default_rng(0)
    known = norm.cdf(1 / np.sqrt(2))  # yes rows lie one standard deviation above no rows
    held = 0
    for sample in range(200):
        truth = np.arange(80) % 2 == 0
        found = agreement.auc_interval(truth, random.normal(size=80) + truth, np.arange(80), sample, 200)
        held += found.low <= known <= found.high
    assert 180 <= held <= 199


def test_few_prompts_have_no_interval():
    truth = np.arange(20) < 10
    found = agreement.assess(truth, np.linspace(0, 1, 20), np.arange(20) // 4, 0)
    assert isinstance(found, Agreement)
    assert math.isnan(found.auc.low)
    assert math.isnan(found.ece.high)


def test_assess_all_agrees_with_one_at_a_time_and_leaves_gaps_out():
    random = np.random.default_rng(2)
    labels = (random.random((60, 3)) < 0.5).astype(float)
    p = np.clip(0.4 * labels + 0.6 * random.random((60, 3)), 0, 1)
    labels[::7, 0], p[::5, 0], labels[:, 2] = np.nan, np.nan, 0.0
    found, whole = agreement.assess_all(labels, p, np.arange(60), 0)
    known = np.isfinite(labels[:, 0]) & np.isfinite(p[:, 0])
    one = agreement.assess(labels[known, 0] == 1, p[known, 0], np.arange(60)[known], 0)
    assert isinstance(found[0], Agreement)
    assert isinstance(one, Agreement)
    assert (found[0].support, found[0].brier, found[0].kappa) == (one.support, one.brier, one.kappa)
    assert found[2] == TooLittle(60, 0, "0 positives and 60 negatives; at least 5 of each are needed")
    assert isinstance(whole, agreement.Macro)
    assert whole.propositions == 2
    assert isinstance(found[1], Agreement)
    assert whole.auc.value == pytest.approx((found[0].auc.value + found[1].auc.value) / 2)
    widest = max(r.auc.high - r.auc.low for r in found[:2])
    assert 0 < whole.auc.high - whole.auc.low < widest


def test_topic_alone_is_worth_nothing_within_response_types():
    truth = np.array([True, True, False, True, False, False])
    topic = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    responses = ["soft"] * 3 + ["hard"] * 3
    assert agreement.auc(truth, topic) > 0.6
    assert agreement.within_response_auc(truth, topic, responses) == 0.5
    assert set(agreement.by_response(truth, topic, np.arange(6), responses, 0)) == {"soft", "hard"}


@given(st.lists(st.integers(0, 12), min_size=5, max_size=60), st.integers(0, 5))
def test_folds_never_split_a_prompt(prompts, seed):
    numbers = np.array(prompts)
    fold = agreement.folds(numbers, seed, 5)
    assert all(len(set(fold[numbers == p].tolist())) == 1 for p in set(prompts))
    assert set(fold.tolist()) <= set(range(5))
