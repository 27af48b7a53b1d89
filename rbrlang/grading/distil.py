"""Which rows should a teacher be asked about, so that heads learn most from few of its answers?

Rows are picked in rounds: the first at random, response types in proportion, the others by promise under the heads learned so
far. A head learns nothing from fewer than five answers of either kind, so what is lacking is the rarer answer of each
proposition. A row promises, summed over propositions and both answers,

    P(answer) / (1 + answers of that kind that are known or expected already) · influence

where *influence* is how far the proposition moves the rules' reward, on average over the rows that are left. What a picked row probably answers is
expected from then on, so that a round does not pick the same thing many times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.heads import Heads
from rbrlang.grading.embedded.train import one_text, train_heads
from rbrlang.grading.lazy import spread
from rbrlang.grading.results import GradeItem
from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy
from rbrlang.reward.numpy import NumpyReward

ROUNDS = 4
Floats = NDArray[np.floating]
Ask = Callable[[Sequence[int]], Floats]
"""The teacher: positions of rows to its P(yes) [rows, propositions], NaN where it said nothing valid."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What a round is picked by: of the rows that are `left` P(yes) `p` by the heads so far, and `influence` [rows,
    propositions]; what the teacher said until then, `known` [rows, propositions]."""

    left: NDArray[np.int64]
    p: Floats
    influence: Callable[[], Floats]
    known: Floats


Choose = Callable[[Sight, int], list[int]]
"""So many positions in `left`."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What was learned after each round, `heads` from so many of the first `picked` rows, which are in the order of asking; and P(yes)
    by the teacher [picked, propositions]."""

    rounds: tuple[tuple[int, Heads], ...]
    picked: tuple[int, ...]
    answers: Floats

    @property
    def heads(self) -> Heads:
        """Those from all picked rows."""
        return self.rounds[-1][1]


def teach(
    policy: Policy,
    items: Sequence[GradeItem],
    given: Floats,
    pool: Sequence[int],
    budget: int,
    seed: int,
    ask: Ask,
    source: Callable[[], str],
    choose: Choose | None = None,
) -> Lesson:
    """Pick at most `budget` of the `pool`'s rows, have the teacher asked, learn heads.

    `given` [rows, atoms] is what is known of the circuit's atoms behind the propositions; `source` says whose answers
    heads were learned from. Heads that ship take no part in picking. Raises `TrainingError`.
    """
    circuit, propositions = policy.circuit, policy.program.propositions
    one_text(propositions)  # before anything is paid for
    reward, responses = NumpyReward(circuit), np.array([item.response for item in items], np.int32)
    picked: list[int] = []
    known = np.empty((0, len(propositions)))
    rounds: list[tuple[int, Heads]] = []
    for until in np.linspace(0, min(budget, len(pool)), ROUNDS + 1).astype(int)[1:].tolist():
        number = until - len(picked)
        if not number:
            continue
        left = np.array(sorted(set(pool) - set(picked)), np.int64)
        if not rounds:
            chosen = _stratified(responses[left], number, seed)
        else:
            grader = EmbeddedGrader(propositions, rounds[-1][1], shipped_heads=False)
            p = np.nan_to_num(grader.probabilities([items[i] for i in left.tolist()]), nan=0.5)
            atoms = np.hstack([p, given[left]]).astype(np.float32)
            sight = Sight(left, p, lambda of=atoms, at=left: influence(circuit, reward, of, responses[at]), known)
            chosen = (choose or promising)(sight, number)
        rows = left[chosen].tolist()
        known = np.vstack([known, ask(rows)])
        picked += rows
        learned = train_heads(propositions, [items[i] for i in picked], known, seed, source(), fewest=1)
        rounds.append((len(picked), learned))
    if not rounds:
        raise ValueError("a lesson needs a budget and a pool")
    return Lesson(tuple(rounds), tuple(picked), known)


def promising(sight: Sight, number: int) -> list[int]:
    """Those that promise most of the answers that are lacking, one after another."""
    weight = sight.influence().mean(0)
    weight = weight / weight.mean() if weight.any() else np.ones_like(weight)
    yes = np.nansum(sight.known, axis=0)
    expected = np.stack([np.isfinite(sight.known).sum(0) - yes, yes])
    chances = np.stack([1 - sight.p, sight.p], 1)  # [rows, answers, propositions]
    free = np.ones(len(chances), bool)
    chosen: list[int] = []
    for _ in range(number):
        promise = (chances * (weight / (1 + expected))).sum((1, 2))
        at = int(np.where(free, promise, -np.inf).argmax())
        free[at] = False
        expected += chances[at]
        chosen.append(at)
    return chosen


def influence(circuit: Circuit, reward: NumpyReward, atoms: Floats, responses: NDArray[np.int32]) -> Floats:
    """How far the two answers to each proposition put the rules' reward apart [rows, propositions], 0 where that is unknown."""
    return np.stack([spread(reward, atoms, responses, q) for q in range(len(circuit.propositions))], 1)


def _stratified(responses: NDArray[np.int32], number: int, seed: int) -> list[int]:
    """Rows at random, response types in proportion."""
    drawn = np.random.default_rng(seed).permutation(len(responses))
    place = np.empty(len(responses))
    for response in np.unique(responses):
        mine = drawn[responses[drawn] == response]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return drawn[np.argsort(place[drawn], kind="stable")][:number].tolist()
