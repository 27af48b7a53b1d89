"""How well does a grader agree with people on scales and choices?

Arrays in, plain data out. `truth` are numbers of values [n], `p` the probabilities of all values [n, values] in their order,
`prompts` the number of each row's prompt [n]. What the grader says is its likeliest value, of equal ones the first.

- **Kappa** is agreement beyond chance. Of a choice it is Cohen's (1960, Educ. Psychol. Meas. 20, 37); of a scale it is weighted by
  the squared distance of levels (Cohen 1968, Psychol. Bull. 70, 213), so that a miss by one costs little.
- **Rank correlation** (Spearman) is between the labelled level and the mean of the grader's distribution.
- **RPS**, the ranked probability score of a scale, is the mean squared difference of the cumulative distributions over the
  levels but the last; the **Brier** score of a choice is half the squared difference of the distributions. Both lie in [0, 1].
- **ECE** is the calibration error of the likeliest value's probability.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.agreement import FEWEST_OF_EACH, ece, wilson
from rbrlang.grading.trust.bootstrap import Interval, Resampling, spread
from rbrlang.lang.variables import Domain
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.rows import encode
from rbrlang.reward.shares import columns
from rbrlang.rows.kept import in_blocks
from rbrlang.rows.read import Row

Numbers = NDArray[np.floating]
Whole = NDArray[np.int64]

METRICS = ("kappa", "accuracy", "rank_correlation", "score", "ece")
"""What is said of a variable; `score` is the RPS of a scale and the Brier score of a choice."""
ORDER_METRICS = ("order_changed", "order_moved")
"""What is said of a choice that was asked in two orders."""


@dataclass(frozen=True, slots=True)
class OrderEffect:
    """A choice asked twice, in two orders: how far the answer depends on the place of an option.

    Of `rows`, the share `changed` has another likeliest option; `moved` is the mean probability that changes hands. `lift[k]` is how
    much more likely an option is in place `k` than on average over both places that it had.
    """

    rows: int
    changed: Interval
    moved: float
    lift: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Values:
    """What is known of a grader's answers to one variable: `counts[i][j]` rows of true value `i` were given `j`."""

    counts: tuple[tuple[int, ...], ...]
    kappa: Interval
    accuracy: Interval
    rank_correlation: float | None
    score: float
    ece: float


@dataclass(frozen=True, slots=True)
class ValuesJudged:
    """One variable, or why nothing is said of it. `support` counts rows with a label and an answer, `unanswered` those with a label alone."""

    domain: Domain
    support: int
    unanswered: int
    result: Values | str
    order: OrderEffect | None = None

    def to_json(self) -> dict[str, Any]:
        """Its part of `rbrc agree --format json`."""
        plain: dict[str, Any] = {"kind": self.domain.kind, "support": self.support, "unanswered": self.unanswered}
        found = self.result
        if isinstance(found, str):
            plain |= {**dict.fromkeys(METRICS), "refused": found}
        else:
            names = self.domain.values
            plain |= {
                "kappa": found.kappa.value, "accuracy": found.accuracy.value, "rank_correlation": found.rank_correlation,
                "score": found.score, "ece": found.ece, "refused": None,
                "intervals": {"kappa": _ends(found.kappa), "accuracy": _ends(found.accuracy)},
                "always_most_frequent": max(map(sum, found.counts)) / self.support,
                "confusion": {
                    name: dict(zip(names, row, strict=True)) for name, row in zip(names, found.counts, strict=True)
                },
            }  # fmt: skip
        if self.order is not None:
            plain["order"] = {
                "rows": self.order.rows, "changed": self.order.changed.value, "moved": self.order.moved,
                "lift_by_place": list(self.order.lift),
            }  # fmt: skip
        return plain


def _ends(interval: Interval) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in (interval.low, interval.high)]


def judge_values(domain: Domain, labels: Whole, p: Numbers, prompts: Whole, seed: int, resamples: int) -> ValuesJudged:
    """A variable's answers `p` [rows, values], NaN = none, by `labels` [rows], −1 = none."""
    labelled = labels >= 0
    known = labelled & ~np.isnan(p).any(1)
    support, unanswered = int(known.sum()), int(labelled.sum() - known.sum())
    truth, given = labels[known], p[known].astype(np.float64)
    several = int((np.bincount(truth, minlength=1) >= FEWEST_OF_EACH).sum())
    if several < 2:
        if not labelled.any():
            why = "no row labels it"
        elif not support:
            why = f"the grader gave no value for any of its {unanswered} labelled rows"
        else:
            why = f"{support} labels that the grader answered; at least two values with {FEWEST_OF_EACH} of them each are needed"
        return ValuesJudged(domain, support, unanswered, why)
    k = len(domain.values)
    best = given.argmax(1)
    ordered = domain.kind == "scale"
    distinct, groups = np.unique(prompts[known], return_inverse=True)
    of_prompts = np.bincount(groups * k * k + truth * k + best, minlength=len(distinct) * k * k).reshape(-1, k * k)
    draws = [
        kappa((counts @ of_prompts).reshape(-1, k, k), quadratic=ordered)
        for counts in Resampling(len(distinct), resamples, seed).blocks(len(truth))
    ]
    table = of_prompts.sum(0).reshape(k, k)
    right = truth == best
    found = Values(
        counts=tuple(map(tuple, table.tolist())),
        kappa=spread(
            float(kappa(table[None].astype(np.float64), quadratic=ordered)[0]),
            np.concatenate(draws) if draws else np.zeros(0),
        ),
        accuracy=wilson(int(right.sum()), support),
        rank_correlation=spearman(truth.astype(np.float64), given @ np.arange(k)) if ordered else None,
        score=float((rps if ordered else half_brier)(truth, given).mean()),
        ece=ece(right, given.max(1)),
    )
    return ValuesJudged(domain, support, unanswered, found)


def labels_of(domain: Domain, rows: Sequence[Row]) -> NDArray[np.int64]:
    """The number of the value that people chose, −1 where nobody did, [rows]."""
    at = {value: number for number, value in enumerate(domain.values)}
    return np.array([at.get(row.value_labels.get(domain.name, ""), -1) for row in rows], np.int64)


def chances_of(domain: Domain, rows: Sequence[Row]) -> NDArray[np.float64]:
    """How likely each value is by the rows' `probs`, NaN where they say nothing, [rows, values]."""
    given = [[row.probs.get(column) for column in columns(domain)] for row in rows]
    found = np.array(given, np.float64).reshape(len(rows), len(domain.values))
    said = ~np.isnan(found).all(1, keepdims=True)
    return np.where(said, np.nan_to_num(found), np.nan)


def sure(circuit: Circuit, rows: Sequence[Row], *, by_labels: bool) -> tuple[Row, ...]:
    """The rows with all of the probability on the labelled values, or on the likeliest, and none where there is neither."""
    probs: list[dict[str, float]] = [{} for _ in rows]
    for domain in (variable.domain for variable in circuit.variables):
        if by_labels:
            chosen = labels_of(domain, rows)
        else:
            p = chances_of(domain, rows)
            chosen = np.where(np.isnan(p).any(1), -1, np.nan_to_num(p).argmax(1))
        for row, number in zip(probs, chosen.tolist(), strict=True):
            if number >= 0:
                row[columns(domain)[number]] = 1.0
    return tuple(replace(row, probs=of) for row, of in zip(rows, probs, strict=True))


def kappa(tables: Numbers, *, quadratic: bool) -> NDArray[np.float64]:
    """Kappa of confusion tables [tables, true, given]; 0 where chance alone would agree, NaN for an empty table."""
    k = tables.shape[-1]
    at = np.arange(k)
    cost = ((at[:, None] - at) ** 2 if quadratic else at[:, None] != at).astype(np.float64)
    total = tables.sum((1, 2))
    rows, columns = tables.sum(2), tables.sum(1)
    seen = (tables * cost).sum((1, 2)) * total
    chance = np.einsum("ti,ij,tj->t", rows, cost, columns)
    found = np.where(chance > 0, 1.0 - seen / np.where(chance > 0, chance, 1.0), 0.0)
    return np.where(total > 0, found, np.nan)


def spearman(x: Numbers, y: Numbers) -> float | None:
    """Spearman's rank correlation, ranks of ties their mean; None where one of the two is the same everywhere."""
    a, b = (_ranks(one) for one in (x, y))
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / size if size > 0.0 else None


def _ranks(values: Numbers) -> NDArray[np.float64]:
    # Sums of the same probabilities in another order are the same value.
    _, inverse, counts = np.unique(np.round(values, 12), return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def rps(truth: Whole, p: Numbers) -> NDArray[np.float64]:
    """The ranked probability score of each row, from 0, best, to 1."""
    k = p.shape[1]
    reached = np.arange(k - 1) >= truth[:, None]
    return ((np.cumsum(p, 1)[:, :-1] - reached) ** 2).mean(1)


def half_brier(truth: Whole, p: Numbers) -> NDArray[np.float64]:
    """Half the squared difference of each row's probabilities from the truth, from 0, best, to 1."""
    return ((p - np.eye(p.shape[1])[truth]) ** 2).sum(1) / 2


def order_effect(first: Numbers, second: Numbers, places: tuple[Sequence[int], Sequence[int]]) -> OrderEffect | None:
    """What another order changes: `first` and `second` [rows, options] are P, NaN = none, `places` those of the options in each.

    None where no row was answered in both.
    """
    known = ~(np.isnan(first) | np.isnan(second)).any(1)
    if not known.any():
        return None
    a, b = first[known].astype(np.float64), second[known].astype(np.float64)
    lifts = ((a - b).mean(0) / 2, (b - a).mean(0) / 2)
    at = np.zeros(a.shape[1])
    for lift, of in zip(lifts, places, strict=True):
        np.add.at(at, np.array(of), lift / 2)
    changed = int((a.argmax(1) != b.argmax(1)).sum())
    return OrderEffect(len(a), wilson(changed, len(a)), float(np.abs(a - b).sum(1).mean() / 2), tuple(at.tolist()))


def number(value: float | None) -> float:
    """A number, NaN for none."""
    return float("nan") if value is None else float(value)


def numbers(names: Sequence[str], said: Iterable[Mapping[str, float | None]], rows: int) -> NDArray[np.float64]:
    """What rows say of propositions [rows, propositions], NaN for nothing."""
    table = np.empty((rows, len(names)))
    for at, one in enumerate(said):
        table[at] = [number(one.get(name)) for name in names]
    return table


def value_atoms(circuit: Circuit, rows: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What labels and answers say of all atoms behind the propositions [rows, atoms], NaN for nothing."""
    first = len(circuit.propositions)
    of_labels, of_answers = (
        np.vstack([
            encode(circuit, sure(circuit, some, by_labels=by_labels))[:, first:].astype(np.float64)
            for _, some in in_blocks(rows)
        ])
        for by_labels in (True, False)
    )  # fmt: skip
    return of_labels, of_answers
