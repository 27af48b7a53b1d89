"""Why did the reward put this completion first?

An `Inversion` names a comparison that base and rules order wrongly. A `Case` is the same with what a person needs to
judge it: both texts, what every term added to both rewards, and where the grader contradicts the human labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rbrlang.learning.judging.evaluate import Inversion, ResponseEvaluation, picked_once
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row

BASE = "base reward"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A P(yes) on the other side of one half than the label."""

    proposition: str
    label: bool
    p: float


@dataclass(frozen=True, slots=True)
class Side:
    """One completion of a case, its reward in units of reward, and the grader's mistakes about it."""

    row: Row
    klass: str
    reward: float
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True, slots=True)
class Term:
    """What one term of the reward added to either completion, in units of reward."""

    name: str
    better: float
    worse: float

    @property
    def lead(self) -> float:
        """By how much the term speaks for the worse completion."""
        return self.worse - self.better


@dataclass(frozen=True, slots=True)
class Case:
    """A comparison gone wrong; `terms` are those that are not 0 for both, the most to blame first."""

    lead: float
    better: Side
    worse: Side
    terms: tuple[Term, ...]

    def largest(self, most: int) -> tuple[Term, ...]:
        """The terms that matter most to the lead, in order; all others as one, their sum."""
        if len(self.terms) <= most:
            return self.terms
        order = sorted(range(len(self.terms)), key=lambda at: (-abs(self.terms[at].lead), at))
        kept = set(order[: most - 1])
        rest = [term for at, term in enumerate(self.terms) if at not in kept]
        others = Term(f"{len(rest)} others", sum(term.better for term in rest), sum(term.worse for term in rest))
        return (*(term for at, term in enumerate(self.terms) if at in kept), others)


def cases_of(
    reward: NumpyReward,
    rows: Sequence[Row],
    found: ResponseEvaluation,
    *,
    base_reward: str = "base_reward",
    most: int = 5,
) -> tuple[Case, ...]:
    """The worst inversions of a response type, explained; no completion twice while there are others.

    `rows` are those that were evaluated, `base_reward` the column that was used.
    """
    told = picked_once([(one.better, one.worse) for one in found.inversions], most)
    return tuple(_case(reward, rows, found.inversions[at], base_reward) for at in told)


def _case(reward: NumpyReward, rows: Sequence[Row], one: Inversion, base_reward: str) -> Case:
    pair = (rows[one.better], rows[one.worse])
    ids = reward.response_ids(pair)
    base = np.array([_base(row, base_reward) for row in pair])
    addends = reward.contributions(reward.encode(pair), ids, base).astype(np.float64)
    features = reward.circuit.responses[int(ids[0])].features
    terms = [
        Term(name, better, worse)
        for name, better, worse in zip(
            (BASE, *(f.name for f in features)), addends[0].tolist(), addends[1].tolist(), strict=False
        )
        if better != 0.0 or worse != 0.0
    ]
    terms.sort(key=lambda term: -term.lead)
    better, worse = (
        Side(row, klass, float(total), _mistakes(reward, row))
        for row, klass, total in zip(
            pair, (one.better_class, one.worse_class), addends.sum(axis=1).tolist(), strict=True
        )
    )
    return Case(one.lead, better, worse, tuple(terms))


def _base(row: Row, column: str) -> float:
    value: Any = row.base_reward if column == "base_reward" else row.raw.get(column)
    return 0.0 if value is None or value == "" else float(value)


def _mistakes(reward: NumpyReward, row: Row) -> tuple[Mistake, ...]:
    found: list[Mistake] = []
    for name in reward.circuit.propositions:
        label, p = row.labels.get(name), row.probs.get(name)
        if label is not None and p is not None and (p >= 0.5) != label:
            found.append(Mistake(name, label, p))
    return tuple(sorted(found, key=lambda mistake: -abs(mistake.p - mistake.label)))
