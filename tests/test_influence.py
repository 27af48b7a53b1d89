"""Influence of completions against fits without them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from learning_rows import FEATURES, circuit, noisy_rows, prompted

from rbrlang.learning.comparisons import Comparisons
from rbrlang.learning.fitting.fit import fit
from rbrlang.learning.fitting.fitted import ResponseFit
from rbrlang.learning.judging.influence import Softened, influences, most_influential, softened, solve
from rbrlang.learning.sample import Sample, sample_rows
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.weights import default_weights


def sample_of(prompts: int, seed: int, reward: str = "") -> Sample:
    return sample_rows(NumpyReward(circuit(reward)), noisy_rows(prompts, 4, seed)).samples[0]


def without(problem: Softened, pairs: Comparisons, row: int) -> Softened:
    keep = (pairs.better != row) & (pairs.worse != row)
    return replace(
        problem, differences=problem.differences[keep], offsets=problem.offsets[keep], shares=problem.shares[keep]
    )


def centre() -> np.ndarray:
    return default_weights(circuit())[0].astype(np.float64)


def test_one_newton_step_foretells_the_refit() -> None:
    sample = sample_of(25, seed=0)
    problem, pairs = softened(sample, centre()), sample.comparisons
    best = solve(problem)
    told = influences(problem, best, pairs.better, pairs.worse, len(sample.rows), len(sample.rows))
    met = np.zeros(len(sample.rows))
    for row in range(len(sample.rows)):
        moved = problem.differences @ (solve(without(problem, pairs, row)) - best)
        met[row] = np.sqrt(np.sum(problem.shares * moved**2))
    ranks = [np.argsort(np.argsort(moves)) for moves in (told, met)]
    assert np.corrcoef(*ranks)[0, 1] > 0.98
    assert np.corrcoef(told, met)[0, 1] > 0.9
    assert len(set(np.argsort(-told)[:5]) & set(np.argsort(-met)[:5])) >= 3


def test_refining_some_rows_finds_the_same_leaders_and_tells_no_row_higher_than_it_is() -> None:
    sample = sample_of(100, seed=3)
    problem, pairs = softened(sample, centre()), sample.comparisons
    best = solve(problem)
    whole, some, none = (
        influences(problem, best, pairs.better, pairs.worse, len(sample.rows), refine) for refine in (400, 40, 0)
    )
    assert np.array_equal(np.argsort(-some)[:5], np.argsort(-whole)[:5])
    assert np.corrcoef(none, whole)[0, 1] > 0.95
    assert np.mean(none <= whole + 1e-12) > 0.95


def test_the_solution_is_the_best_and_inside_the_bounds() -> None:
    reward = "weight polite <= 0\n  weight lectures = 0.25"
    sample = sample_of(20, seed=1, reward=reward)
    default = default_weights(circuit(reward))[0].astype(np.float64)
    problem = softened(sample, default)
    best = solve(problem)
    names = [feature.name for feature in sample.response.features]
    assert best[names.index("polite")] <= 0.0
    assert best[names.index("lectures")] == 0.25
    rng = np.random.default_rng(0)

    def objective(w: np.ndarray) -> float:
        z = (problem.offsets - problem.differences @ w) / problem.tau
        loss = problem.tau * np.sum(problem.shares * np.logaddexp(0, z))
        return float(loss + 0.5 * problem.ridge * np.sum((w - problem.centre) ** 2))

    for scale in (1e-4, 1e-2, 1.0):
        for _ in range(50):
            other = np.clip(best + rng.normal(size=len(best)) * scale, problem.low, problem.high)
            assert objective(other) >= objective(best) - 1e-12


def test_influential_completions_move_the_real_fit_more_than_others() -> None:
    rows = noisy_rows(30, 4, seed=2)
    sample = sample_rows(NumpyReward(circuit()), rows).samples[0]
    pairs = sample.comparisons
    ids = [row.id for row in rows]
    ordered = [one.row for one in most_influential(sample, centre(), ids, len(rows))]

    def weights(some: list[int]) -> np.ndarray:
        outcome = fit(circuit(), [rows[at] for at in some], held_out=0.0, bootstrap=0).responses[0]
        assert isinstance(outcome, ResponseFit)
        return np.array(outcome.weights)

    whole = weights(list(range(len(rows))))
    differences = sample.features[pairs.better] - sample.features[pairs.worse]

    def moved(row: int) -> float:
        rest = weights([at for at in range(len(rows)) if at != row])
        return float(np.sqrt(np.mean((differences @ (rest - whole)) ** 2)))

    assert np.mean([moved(row) for row in ordered[:3]]) > 2 * np.mean([moved(row) for row in ordered[-3:]])


def test_rows_without_comparisons_have_no_influence() -> None:
    lonely = [prompted(row, str(at)) for at, row in enumerate(noisy_rows(3, 4, seed=0))]
    sample = sample_rows(NumpyReward(circuit()), lonely).samples[0]
    assert most_influential(sample, centre(), [row.id for row in lonely], 5) == ()


def test_weights_that_cannot_move_have_no_influence() -> None:
    fixed = "\n  ".join(f"weight {name} = 0.5" for name in FEATURES)
    sample = sample_of(10, seed=0, reward=fixed)
    assert most_influential(sample, np.full(len(FEATURES), 0.5), [""] * 40, 5) == ()
