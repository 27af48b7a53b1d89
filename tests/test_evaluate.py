"""Ranking errors and their intervals."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from learning_rows import FEATURES, circuit, noisy_rows, prompted, row

from rbrlang.learning.judging.evaluate import ResponseEvaluation, RulesAlone, evaluate, picked
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row


def only(rows: list[Row], **options: int) -> ResponseEvaluation:
    """The evaluation of the policy's only response type under its default weights."""
    (response,) = evaluate(NumpyReward(circuit()), rows, **options).responses
    return response


def test_errors_are_those_of_the_reward_itself() -> None:
    rows, reward = noisy_rows(12, 6, seed=0), NumpyReward(circuit())
    base = np.array([r.base_reward for r in rows])
    scores = {"base": base, "rules": reward(reward.encode(rows), reward.response_ids(rows))}
    scores["both"] = reward(reward.encode(rows), reward.response_ids(rows), base)
    rank = {"ideal": 0, "curt": 1, "preachy": 1, "complying": 2}
    found = only(rows)
    assert found.error is not None
    for name, estimate in (("base", found.error.base), ("rules", found.error.rules), ("both", found.error.both)):
        wrong = []
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                if a.prompt_key == b.prompt_key and rank[str(a.klass)] < rank[str(b.klass)]:
                    wrong.append(
                        0.5 if scores[name][i] == scores[name][j] else float(scores[name][i] < scores[name][j])
                    )
        assert estimate is not None
        assert estimate.value == pytest.approx(np.mean(wrong))
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
    assert found.pairs == len(wrong)


def test_intervals_know_that_pairs_of_one_prompt_go_together() -> None:
    # One completion decides all pairs of its prompt: 20 independent facts, however many pairs there are.
    def rows(copies: int) -> list[Row]:
        found: list[Row] = []
        for prompt in range(20):
            right = 0.9 if prompt % 2 else 0.1
            good = {"refuses": right, "polite": right, "lectures": 0.1, "emoji": 0.5}
            bad = {"refuses": 0.5, "polite": 0.5, "lectures": 0.5, "emoji": 0.5}
            found.append(row(prompt, "ideal", dict(good)))
            found += [row(prompt, "complying", dict(bad), id=f"{prompt}-{n}") for n in range(copies)]
        return found

    def interval(copies: int) -> tuple[float, float]:
        error = only(rows(copies)).error
        assert error is not None
        assert error.rules.low is not None
        assert error.rules.high is not None
        return error.rules.low, error.rules.high

    assert interval(1) == interval(30)
    assert interval(30)[1] - interval(30)[0] > 0.3


def test_too_few_prompts_have_no_interval_and_say_so() -> None:
    found = only(noisy_rows(5, 6, seed=0))
    assert found.error is not None
    assert found.error.both.low is None
    assert found.error.both.refused == "5 prompts are too few to resample; 10 are needed"


def test_rows_without_pairs_or_base_are_no_error_of_zero() -> None:
    lonely = [prompted(r, str(n)) for n, r in enumerate(noisy_rows(3, 4, seed=0))]
    found = only(lonely)
    assert found.error is None
    assert found.reason == "no prompt has completions of different rank"
    without = only([replace(r, base_reward=None) for r in noisy_rows(12, 6, seed=0)])
    assert without.error is not None
    assert without.error.base is None


def test_confusion_counts_every_row_once_and_unknown_apart() -> None:
    rows = noisy_rows(12, 6, seed=0)
    found = only(rows)
    reward = NumpyReward(circuit())
    most = np.argmax(reward.class_probs(reward.encode(rows), reward.response_ids(rows)), axis=1)
    for known, counts in zip(found.classes, found.confusion, strict=True):
        mine = [int(m) for m, r in zip(most, rows, strict=True) if r.klass == known]
        assert counts == (*(mine.count(c) for c in range(4)), 0)


def test_the_json_has_the_documented_shape_and_is_the_same_twice() -> None:
    rows = noisy_rows(12, 6, seed=0)
    first, second = (evaluate(NumpyReward(circuit()), rows, seed=5).to_json() for _ in range(2))
    assert json.dumps(first, allow_nan=False) == json.dumps(second)
    entry = first["response_types"]["refusal"]
    assert entry["prompts"] == 12
    assert set(entry["error"]) == {"base", "rules", "both"}
    assert set(entry["error"]["both"]) >= {"value", "low", "high"}
    assert entry["classes"]["ideal"].keys() == {"ideal", "curt", "preachy", "complying", "unknown"}


def test_class_pairs_and_ideal_errors_divide_the_whole() -> None:
    found = only(noisy_rows(20, 6, seed=3))
    assert found.error is not None
    assert found.ideal_error is not None
    assert found.error.base is not None
    assert sum(pair.pairs for pair in found.class_pairs) == found.pairs
    assert {(p.better, p.worse) for p in found.class_pairs} == {
        ("ideal", "curt"), ("ideal", "preachy"), ("ideal", "complying"), ("curt", "complying"), ("preachy", "complying"),
    }  # fmt: skip
    for signal in ("base", "rules", "both"):
        total = sum(pair.pairs * getattr(pair.error, signal).value for pair in found.class_pairs)
        assert total / found.pairs == pytest.approx(getattr(found.error, signal).value)
        ideal = [pair for pair in found.class_pairs if pair.better == "ideal"]
        wrong = sum(pair.pairs * getattr(pair.error, signal).value for pair in ideal)
        assert wrong / found.ideal_pairs == pytest.approx(getattr(found.ideal_error, signal).value)


def test_picks_are_the_best_of_each_prompt_and_ties_share() -> None:
    rows = noisy_rows(15, 5, seed=4)
    found = only(rows)
    assert found.picks is not None
    best: dict[str, Row] = {}
    for r in rows:
        if r.prompt_key not in best or (r.base_reward or 0) > (best[r.prompt_key].base_reward or 0):
            best[r.prompt_key] = r
    shares = [share.base for share in found.picks.shares]
    for klass, share in zip(found.classes, shares, strict=True):
        assert share is not None
        assert share.value == pytest.approx(sum(r.klass == klass for r in best.values()) / 15)
    tied = picked(np.array([1.0, 1.0, 0.0, 2.0]), np.array([0, 0, 0, 1]), 2)
    assert tied.tolist() == [0.5, 0.5, 0.0, 1.0]


def test_histograms_are_centred_on_the_ideal_and_hold_every_row() -> None:
    rows = noisy_rows(30, 6, seed=5)
    found = only(rows)
    with_ideal = {r.prompt_key for r in rows if r.klass == "ideal"}
    for one in found.histograms:
        inside = sum(map(sum, one.counts))
        assert inside == sum(r.prompt_key in with_ideal for r in rows)
        assert one.left_out == len(rows) - inside
        assert one.means[0] == pytest.approx(0.0, abs=1e-9)
        assert one.edges[0] < 0.0 < one.edges[-1]
        assert np.allclose(np.diff(one.edges), one.edges[1] - one.edges[0])


def test_a_shift_of_a_whole_prompt_changes_nothing() -> None:
    rows = noisy_rows(15, 5, seed=6)
    moved = [replace(r, base_reward=(r.base_reward or 0.0) + int(r.prompt_key, 16) % 64) for r in rows]
    before, after = only(rows), only(moved)
    assert before.error is not None
    assert after.error is not None
    assert before.error.to_json() == after.error.to_json()
    assert before.picks == after.picks
    for one, other in zip(before.histograms, after.histograms, strict=True):
        assert np.allclose(one.edges, other.edges)


def test_inversions_are_the_worst_wrong_pairs() -> None:
    rows, reward = noisy_rows(12, 6, seed=7), NumpyReward(circuit())
    found = only(rows)
    both = reward(reward.encode(rows), reward.response_ids(rows), np.array([r.base_reward for r in rows]))
    rank = {"ideal": 0, "curt": 1, "preachy": 1, "complying": 2}
    leads = sorted(
        (
            float(both[j] - both[i])
            for i, a in enumerate(rows)
            for j, b in enumerate(rows)
            if a.prompt_key == b.prompt_key and rank[str(a.klass)] < rank[str(b.klass)] and both[j] > both[i]
        ),
        reverse=True,
    )
    assert [one.lead for one in found.inversions] == pytest.approx(leads[:20], abs=1e-5)
    for one in found.inversions:
        assert (rows[one.better].id, rows[one.better].klass) == (one.better_id, one.better_class)
        assert rank[one.better_class] < rank[one.worse_class]


def test_rules_alone_may_have_other_weights_than_both() -> None:
    rows = noisy_rows(12, 6, seed=8)
    reward = NumpyReward(circuit())
    weights = np.zeros((len(rows), reward.weights.shape[1]))
    (plain,) = evaluate(reward, rows).responses
    result = evaluate(reward, rows, rules_alone=RulesAlone("nothing", weights))
    (response,) = result.responses
    assert result.rules_source == "nothing"
    assert plain.error is not None
    assert response.error is not None
    assert response.error.rules.value == 0.5
    assert response.error.both == plain.error.both


def test_the_cost_of_large_data_is_bounded() -> None:
    rows = [row(prompt, FEATURES[k], {"refuses": 0.9, "polite": 0.5, "lectures": 0.1, "emoji": 0.5}, base_reward=k / 7)
            for prompt in range(3000) for k in range(4)]  # fmt: skip
    found = only(rows, resamples=200)
    assert found.pairs == 15_000
    assert len(json.dumps(found.to_json())) < 20_000
