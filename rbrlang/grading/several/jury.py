"""What do several graders say together, and what is known where one of them says nothing?

A jury's log-odds are a weighted sum of its members', `sum w_i logit(p_i) + b`; the mean is `w_i = 1/m, b = 0`. Of a scale or a
choice it is the weighted geometric mean of the members' distributions. No member's P leaves [`EDGE`, 1 - `EDGE`], so that none
counts for more than 999 to 1.

A member without an answer is never averaged away: its weight stays, at even odds in `p`, and over all of [`EDGE`, 1 - `EDGE`] in
`low` and `high`. Where it could turn the answer, or where half of the weight is missing, there is no value.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import Grader, unshaped
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Value

EDGE = 1e-3
MISSING = 0.5
"""The share of the weight whose lack makes an answer invalid."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Joined:
    """P, its bounds, the share of weight that answered, and whether that makes a value, each of one shape."""

    p: Floats
    low: Floats
    high: Floats
    share: Floats
    known: NDArray[np.bool_]


def joined(low: Floats, p: Floats, high: Floats, weights: Floats, bias: Floats) -> Joined:
    """What members say together: [members, n], NaN for no answer; weights [members, n] are 0 or more, bias [n]."""
    from scipy.special import expit  # takes a sixth of a second to load; most graders are no jury

    missing = np.isnan(p)
    middle = (weights * np.where(missing, 0.0, log_odds(p))).sum(0) + bias
    least = (weights * log_odds(np.where(missing, EDGE, low))).sum(0) + bias
    most = (weights * log_odds(np.where(missing, 1 - EDGE, high))).sum(0) + bias
    whole = weights.sum(0)
    share = np.divide((weights * ~missing).sum(0), whole, out=np.zeros_like(whole), where=whole > 0)
    turned = (least < 0) & (most >= 0) & (share < 1)
    return Joined(
        expit(middle), expit(np.minimum(least, middle)), expit(np.maximum(most, middle)), share,
        (share > 1 - MISSING) & ~turned,
    )  # fmt: skip


def log_odds(p: Floats) -> Floats:
    """Log-odds, no P nearer to 0 or 1 than `EDGE`; NaN stays."""
    from scipy.special import logit

    return logit(np.clip(p, EDGE, 1 - EDGE))


@dataclass(frozen=True, slots=True)
class Weights:
    """How a jury joins its members on each question: weights [members, questions] of 0 or more, and bias [questions].

    A member of weight 0 is not asked that question.
    """

    of: Floats
    bias: Floats

    @staticmethod
    def mean(seats: NDArray[np.bool_]) -> Weights:
        """The same for all that are asked: `seats` [members, questions]."""
        number = np.maximum(seats.sum(0), 1)
        return Weights(seats / number, np.zeros(seats.shape[1]))


class Jury:
    """Several graders as one. `weights` are by the number of the question, and `joining` says which they are."""

    def __init__(self, members: Sequence[Grader], weights: Weights, joining: str) -> None:
        self._members, self._weights = tuple(members), weights
        said = [joining, *(unshaped(one.identity) for one in members)]
        self.identity = f"jury {hashlib.sha256(json.dumps(said).encode()).hexdigest()[:12]}"

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        """What the members say together of what is wanted."""
        weights = self._weights.of
        given = [
            _asked(member, items, [[q for q in asked if weights[at, q] > 0] for asked in wanted])
            for at, member in enumerate(self._members)
        ]
        found: list[dict[int, Answer]] = [{} for _ in items]
        places = [(row, q) for row, asked in enumerate(wanted) for q in asked]
        numbers = [
            place for place in places if not any(isinstance(g[place[0]].get(place[1]), Distribution) for g in given)
        ]
        for (row, q), answer in zip(numbers, self._values(given, numbers), strict=True):
            found[row][q] = answer
        for row, q in set(places) - set(numbers):
            found[row][q] = self._distribution([g[row].get(q) for g in given], q)
        return [{q: answers[q] for q in asked} for answers, asked in zip(found, wanted, strict=True)]

    def _values(
        self, given: Sequence[Sequence[Mapping[int, Answer]]], places: Sequence[tuple[int, int]]
    ) -> list[Answer]:
        if not places:
            return []
        said = [[g[row].get(q) for row, q in places] for g in given]
        table = np.array([
            [(a.low, a.p, a.high, a.mass) if isinstance(a, Value) else (np.nan,) * 4 for a in one] for one in said
        ])  # fmt: skip
        questions = np.array([q for _, q in places])
        weights = self._weights.of[:, questions]
        found = joined(table[..., 0], table[..., 1], table[..., 2], weights, self._weights.bias[questions])
        whole = weights.sum(0)
        mass = (weights * np.nan_to_num(table[..., 3])).sum(0) / np.where(whole > 0, whole, 1.0)
        answers: list[Answer] = []
        for at in range(len(places)):
            each = [one[at] for one in said]
            if found.known[at]:
                p, low, high = (float(part[at]) for part in (found.p, found.low, found.high))
                answers.append(Value(p, float(mass[at]), low, high, "jury", _note(each, weights[:, at])))
            else:
                answers.append(
                    _nothing(each, weights[:, at], f"P(yes) between {found.low[at]:.3g} and {found.high[at]:.3g}")
                )
        return answers

    def _distribution(self, said: Sequence[Answer | None], question: int) -> Answer:
        """The weighted geometric mean of distributions, with bounds that hold whatever a missing one would have been."""
        weights = self._weights.of[:, question]
        known = [a for a in said if isinstance(a, Distribution)]
        values = tuple(known[0].p)
        low, p, high = (
            np.array([
                [getattr(a, part)[v] for v in values] if isinstance(a, Distribution) else [blank] * len(values) for a in said
            ])
            for part, blank in (("low", EDGE), ("p", 1.0), ("high", 1.0))
        )  # fmt: skip
        least, middle, most = (np.exp(weights @ np.log(np.clip(of, EDGE, 1.0))) for of in (low, p, high))
        share = float(weights[[isinstance(a, Distribution) for a in said]].sum() / weights.sum())
        mean, lows, highs = (
            middle / middle.sum(),
            least / (least + most.sum() - most),
            most / (most + least.sum() - least),
        )
        best = int(mean.argmax())
        if share < 1 and (share <= 1 - MISSING or np.delete(highs, best).max() > lows[best]):
            return _nothing(said, weights, f"`{values[best]}` at {lows[best]:.3g} to {highs[best]:.3g}")
        mass = sum(w * a.mass for w, a in zip(weights.tolist(), said, strict=True) if isinstance(a, Distribution))
        of = [
            dict(zip(values, part.tolist(), strict=True))
            for part in (mean, np.minimum(lows, mean), np.maximum(highs, mean))
        ]
        return Distribution(of[0], min(1.0, mass / float(weights.sum())), of[1], of[2], "jury")


def _asked(
    member: Grader, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]
) -> Sequence[Mapping[int, Answer]]:
    """A member's answers; it is not shown what it is asked nothing about."""
    shown = [at for at, asked in enumerate(wanted) if asked]
    found: list[Mapping[int, Answer]] = [{}] * len(items)
    if shown:
        said = member.answers([items[at] for at in shown], [wanted[at] for at in shown])
        for at, answers in zip(shown, said, strict=True):
            found[at] = answers
    return found


def _note(said: Sequence[Answer | None], weights: Floats) -> str:
    asked = [a for a, w in zip(said, weights, strict=True) if w > 0]
    known = sum(isinstance(a, Value) for a in asked)
    return "" if known == len(asked) else f"{known} of {len(asked)} jurors answered"


def _nothing(said: Sequence[Answer | None], weights: Floats, left: str) -> Answer:
    """Why jurors have no answer together."""
    asked = [a for a, w in zip(said, weights, strict=True) if w > 0]
    if not asked:
        return Abstained("no juror has a weight for this question")
    silent = [a for a in asked if not isinstance(a, Value | Distribution)]
    failed = [a for a in silent if isinstance(a, Invalid)]
    reason = failed[0].reason if failed else next((a.reason for a in silent if isinstance(a, Abstained)), "no answer")
    if len(silent) == len(asked) and not failed:
        return Abstained(f"no juror judges this: {reason}")
    return Invalid(
        failed[0].kind if failed else "wide-bounds",
        f"{len(silent)} of {len(asked)} jurors gave no answer, which leaves {left}: {reason}",
    )
