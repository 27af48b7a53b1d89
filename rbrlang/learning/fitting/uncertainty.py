"""How far would the weights move, and how wrong are they, on other prompts?

Bootstrap: prompts are drawn with replacement, the weights refitted to what was drawn, many times side by
side. The middle 95 % of a weight over the refits is its interval; the middle 95 % of the
ranking error of each refit on the prompts that it did *not* draw is that of the error. Pairs of one prompt
share completions, so resampling pairs would make every interval far too narrow.

The method fails, and is refused, where refits cannot show what is unknown: with few prompts, and when
weights order all pairs by the wanted margin. Then a whole region of weights does as well, every
refit picks the one nearest to the defaults, and the intervals would look sharp because of that choice.

K-fold: every prompt is judged by weights fitted without it.

Reference: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapters 13 and 17; Breiman,
Out-of-bag estimation, 1996.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.learning.comparisons import FEWEST_PROMPTS
from rbrlang.learning.fitting.problem import Matrix, Pairs, Problem, Vector, losses, total
from rbrlang.learning.fitting.solve import Solution, resolve_all

Interval = tuple[float, float]

SEPARATED = 1e-4
"""In scaled units: a loss below this is none."""
FEW_SEPARATED = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One fitted problem: `prompt` int [N] of each pair; `base_gaps` [N]: base reward of better less worse."""

    problem: Problem
    solution: Solution
    prompt: NDArray[np.int64]
    base_gaps: Vector


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Central 95 % over refits: low and high of every weight [F], and of the out-of-bag ranking error."""

    low: Vector
    high: Vector
    error: Interval


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there are no intervals."""

    reason: str


def bootstrap(cases: Sequence[Case], resamples: int, seed: int) -> tuple[Spread | Refused, ...]:
    """Intervals of every case, all refitted together; see the module for when they are refused."""
    if resamples == 0:
        return tuple(Refused("not asked for") for _ in cases)
    reasons = [_refusal(case) for case in cases]
    kept = [(number, case) for number, case in enumerate(cases) if reasons[number] is None]
    found: dict[int, Spread | Refused] = {n: Refused(reason) for n, reason in enumerate(reasons) if reason is not None}
    if kept:
        groups: list[NDArray[np.int64]] = []
        draws: list[NDArray[np.int64]] = []
        seen = 0
        for number, case in kept:
            prompts, group = np.unique(case.prompt, return_inverse=True)
            count = len(prompts)
            groups.append(group + seen)
            seen += count
            rng = np.random.default_rng((seed, number))
            draws.append(rng.multinomial(count, np.full(count, 1.0 / count), resamples))
        drawn = np.concatenate(draws, axis=1)
        many = resolve_all([c.problem for _, c in kept], [c.solution for _, c in kept], groups, drawn)
        for (number, case), group, weights in zip(kept, groups, many, strict=True):
            found[number] = _spread(case, weights, drawn[:, group])
    return tuple(found[number] for number in range(len(cases)))


def _refusal(case: Case) -> str | None:
    prompts = len(np.unique(case.prompt))
    if prompts < FEWEST_PROMPTS:
        return f"{prompts} prompts are too few to resample; {FEWEST_PROMPTS} are needed"
    if case.problem.loss == "hinge" and case.solution.loss <= SEPARATED * case.solution.scale:
        return (
            "every training pair is ordered with its margin to spare, which many other weights would do as well; "
            "harder or more completions would tell them apart"
        )
    return None


def _spread(case: Case, weights: Matrix, drawn: NDArray[np.int64]) -> Spread | Refused:
    """`drawn` int [draws, N]: how often the prompt of each pair was drawn."""
    problem = case.problem
    errors: list[float] = []
    separated = 0
    for refit, counts in zip(weights, drawn, strict=True):
        gaps = problem.pairs.gaps(refit)
        drawn_shares = counts * problem.shares
        mean = total(drawn_shares / max(1e-30, float(drawn_shares.sum())), losses(problem.offsets - gaps, problem.loss))
        separated += problem.loss == "hinge" and mean <= SEPARATED * case.solution.scale
        left_out = counts == 0
        if left_out.any():
            errors.append(fold_error(problem, case.base_gaps, gaps, left_out))
    if separated > FEW_SEPARATED * len(weights):
        return Refused(
            f"{separated} of {len(weights)} refits ordered every pair that they drew, so that many weights fit as well; "
            f"{len(np.unique(case.prompt))} prompts are too few for {weights.shape[1]} weights"
        )
    low, high = np.percentile(weights, (2.5, 97.5), axis=0)
    error_low, error_high = np.percentile(errors, (2.5, 97.5)).tolist()
    return Spread(low, high, (error_low, error_high))


def without(problem: Problem, left_out: NDArray[np.bool_]) -> Problem:
    """The problem without some of its pairs, bool [N]."""
    stay = ~left_out
    pairs = Pairs(problem.pairs.features, problem.pairs.better[stay], problem.pairs.worse[stay])
    shares = problem.shares[stay]
    return Problem(
        pairs, problem.offsets[stay], shares / shares.sum(), problem.low, problem.high, problem.centre,
        problem.ridge, problem.loss,
    )  # fmt: skip


def fold_error(problem: Problem, base_gaps: Vector, gaps: Vector, fold: NDArray[np.bool_]) -> float:
    """Share of the fold's pairs, bool [N], that rules that lead by `gaps` [N] and base order wrongly, ties counting half."""
    lead = (gaps + base_gaps)[fold]
    return float(np.average(0.5 - 0.5 * np.sign(lead), weights=problem.shares[fold]))
