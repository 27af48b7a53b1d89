"""Rules fitted to stand alone, never judged on a prompt that they were fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from learning_rows import circuit, noisy_rows

from rbrlang.learning.fitting.fit import FitError, fit
from rbrlang.learning.fitting.refit import refit_across, refit_on
from rbrlang.learning.judging.evaluate import evaluate
from rbrlang.reward.numpy import NumpyReward


def test_weights_fitted_to_lean_on_a_base_reward_are_replaced() -> None:
    rows = noisy_rows(30, 4, seed=0)
    # The base reward says it all, so that a fit with it leaves the rules nothing to do.
    rank = {"ideal": 9.0, "curt": 6.0, "preachy": 6.0, "complying": 0.0}
    rows = [replace(r, base_reward=rank[str(r.klass)]) for r in rows]
    reward = NumpyReward(circuit(), fit(circuit(), rows, bootstrap=0).weights)
    alone = refit_across(reward, rows, seed=0)
    (leaning,) = evaluate(reward, rows, resamples=0).responses
    found = evaluate(reward, rows, rules_alone=alone, resamples=0)
    assert found.rules_source == "refitted without base reward in 5 folds by prompt"
    (standing,) = found.responses
    assert leaning.error is not None
    assert standing.error is not None
    assert standing.error.both == leaning.error.both
    assert standing.error.rules.value < 0.4


def test_no_prompt_is_judged_by_weights_that_saw_it() -> None:
    rows = noisy_rows(15, 4, seed=1)
    reward = NumpyReward(circuit())
    whole = refit_across(reward, rows, seed=3)
    assert len({weights.tobytes() for weights in whole.weights}) == 5
    by_prompt: dict[str, set[bytes]] = {}
    for r, weights in zip(rows, whole.weights, strict=True):
        by_prompt.setdefault(r.prompt_key, set()).add(weights.tobytes())
    assert all(len(seen) == 1 for seen in by_prompt.values())
    # What a prompt's rows say changes nothing about the weights that judge it.
    key = rows[0].prompt_key
    lied = [
        replace(r, klass="complying" if r.klass == "ideal" else "ideal") if r.prompt_key == key else r for r in rows
    ]
    again = refit_across(reward, lied, seed=3)
    mine = [at for at, r in enumerate(rows) if r.prompt_key == key]
    assert np.array_equal(again.weights[mine], whole.weights[mine])
    assert not np.array_equal(again.weights, whole.weights)


def test_other_rows_train_without_the_judged_prompts() -> None:
    rows, training = noisy_rows(10, 4, seed=2), noisy_rows(40, 4, seed=3)
    reward = NumpyReward(circuit())
    found = refit_on(reward, rows, training)
    assert found.source == "refitted without base reward on 120 other rows"
    judged = {r.prompt_key for r in rows}
    only_others = fit(
        circuit(), [r for r in training if r.prompt_key not in judged], base_reward=None, held_out=0.0, bootstrap=0
    )
    assert np.allclose(found.weights, only_others.weights[0])
    with pytest.raises(FitError, match="give rows of other prompts"):
        refit_on(reward, rows, rows)
    with pytest.raises(FitError, match="3 prompts cannot be divided into 5 folds"):
        refit_across(reward, noisy_rows(3, 4, seed=0))
