"""Which of several graders is worth its price on the same labelled rows?

Every row with a known true class counts for every grader: right where the grader's answers at one half lead to that class,
not right where they lead to another, leave it open or contradict an axiom, since such a row has no reward. So graders are
compared on the same rows, and differences are those of pairs: the intervals draw prompts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.classes import of_rows
from rbrlang.grading.results import Usage
from rbrlang.grading.trust.agreement import RESAMPLES, Macro, TooLittle, assess_all
from rbrlang.grading.trust.assessment import THRESHOLD, decided
from rbrlang.grading.trust.bootstrap import Interval, Resampling, spread
from rbrlang.logic.circuit import Circuit

Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Spent:
    """What the answers to some rows took. `usage` and `cost` hold those of a cache at what they cost when they were
    first given; `seconds` is None where some came from there."""

    rows: int
    answers: int
    requests: int
    invalid: int
    usage: Usage
    cost: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A grader among others. `right` is the share of rows given their class, `behind` how much less that is than the
    best one's; `none` counts rows that got no class. `beaten_by` costs no more and is right at least as often."""

    name: str
    identity: str
    right: Interval
    behind: Interval
    none: int
    means: Macro | TooLittle
    spent: Spent
    beaten_by: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What a grader said: P(yes) `given` [rows, atoms], NaN for nothing, and what that took. People's labels are the measure
    and no `offer`: they beat nobody."""

    name: str
    identity: str
    given: Numbers
    spent: Spent
    offer: bool


def compare(
    circuit: Circuit, truth: Numbers, prompts: NDArray[np.int64], responses: NDArray[np.integer],
    graders: Sequence[Answered], *, seed: int, resamples: int = RESAMPLES,
) -> tuple[Offer, ...]:  # fmt: skip
    """The graders in their order. `truth` [rows, atoms] is 1, 0 or NaN, `prompts` [rows] numbers the prompts and
    `responses` [rows] the response types. Raises `ValueError` where no row has a known class."""
    true = of_rows(circuit, responses, truth)
    known = true >= 0
    if not known.any():
        raise ValueError("no row has labels that decide its class")
    guessed = np.stack([of_rows(circuit, responses, decided(circuit, one.given)) for one in graders])[:, known]
    right = (guessed == true[known]).astype(np.float64)
    shares = right.mean(1)
    best = int(shares.argmax())
    draws = _draws(right, prompts[known], seed, resamples)
    count = len(circuit.propositions)
    found: list[Offer] = []
    for at, one in enumerate(graders):
        _, means = assess_all(truth[:, :count], one.given[:, :count], prompts, seed, THRESHOLD, 0)
        beaten = [
            other.name for other, share in zip(graders, shares, strict=True)
            if (share, -other.spent.cost) > (shares[at], -one.spent.cost)
            and other.offer and share >= shares[at] and other.spent.cost <= one.spent.cost
        ]  # fmt: skip
        found.append(
            Offer(
                one.name, one.identity, spread(float(shares[at]), draws[at]),
                spread(float(shares[best] - shares[at]), draws[best] - draws[at]),
                int((guessed[at] < 0).sum()), means, one.spent, beaten[0] if beaten else None,
            )
        )  # fmt: skip
    return tuple(found)


def _draws(right: NDArray[np.float64], prompts: NDArray[np.int64], seed: int, resamples: int) -> NDArray[np.float64]:
    """The share of right rows [graders, draws] had other prompts been drawn."""
    distinct, groups = np.unique(prompts, return_inverse=True)
    rows = np.bincount(groups, minlength=len(distinct)).astype(np.float64)
    sums = np.stack([np.bincount(groups, one, len(distinct)) for one in right])
    blocks = [
        sums @ counts.T / (rows @ counts.T)
        for counts in Resampling(len(distinct), resamples, seed).blocks(right.shape[1])
    ]
    return np.concatenate(blocks, axis=1) if blocks else np.full((len(right), 0), np.nan)
