"""What do the answers of all annotators come to, unit by unit and question by question?

A unit is *settled* where all who could tell answered alike, where it was adjudicated, and, only if that is asked for, where more than half of
them agree. An adjudicated "cannot tell" settles it without a label. Whatever is not settled is exported as not labelled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from rbrlang.grading.trust.agreement import wilson
from rbrlang.label.agreement import alpha, cohen, needed, numbers
from rbrlang.label.pick import Grader, Order
from rbrlang.label.questions import CANNOT_TELL, Question
from rbrlang.label.store import Store


@dataclass(frozen=True, slots=True)
class Settled:
    """Labels by unit, and the units where annotators differ and nobody decided. `said` is what everybody answered."""

    labels: Mapping[str, str]
    open: frozenset[str]
    said: Mapping[str, Mapping[str, str]]


def settled(store: Store, *, majority: bool) -> Settled:
    """What the answers come to."""
    said, decided = store.everybody(), store.adjudicated()
    labels: dict[str, str] = {}
    differ: set[str] = set()
    for unit in {**said, **decided}:
        answers = Counter(value for value in said.get(unit, {}).values() if value != CANNOT_TELL)
        value, votes = answers.most_common(1)[0] if answers else (CANNOT_TELL, 0)
        if unit in decided:
            value = decided[unit]
        elif len(answers) > 1 and not (majority and 2 * votes > answers.total()):
            differ.add(unit)
            continue
        if value != CANNOT_TELL:
            labels[unit] = value
    return Settled(labels, frozenset(differ), said)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a question has come.

    `share` of `counted` labels of the honest rows, with its interval, is that of the grader's answer being the label
    (`of` is `agreement`), or that of one `answer` among all (`rate`). So many `more` of those labels make the interval narrow enough;
    None where there are not so many units.
    """

    done: int
    units: int
    of: str
    answer: str
    counted: int
    share: float
    low: float
    high: float
    more: int | None

    def to_json(self) -> dict[str, Any]:
        """By name; null for what is not known."""
        known = self.counted > 0
        return {
            "done": self.done, "units": self.units, "of": self.of, "answer": self.answer, "counted": self.counted,
            "share": self.share if known else None, "low": self.low, "high": self.high, "more": self.more,
        }  # fmt: skip


def progress(order: Order, grader: Grader | None, question: int, labels: Mapping[str, str], until: float) -> Progress:
    """How far labels, by unit, have come with a question."""
    desk = order.desk
    kind, values = desk.questions[question].kind, desk.questions[question].values
    mine = desk.of_question[question]
    honest = [unit for unit in mine if order.honest[unit.row]]
    told = [(unit, labels[unit.key]) for unit in honest if labels.get(unit.key, CANNOT_TELL) != CANNOT_TELL]
    found = Counter(label for _, label in told)
    answer = "yes" if kind in ("yes_no", "criterion") else max(values, key=lambda value: found[value])
    hits, counted, of = found[answer], len(told), "rate"
    if grader is not None:
        judged = [(label, grader.likeliest(unit)) for unit, label in told]
        judged = [(label, likeliest) for label, likeliest in judged if likeliest is not None]
        if judged:
            hits, counted, of = sum(label == likeliest for label, likeliest in judged), len(judged), "agreement"
    share = wilson(hits, counted)
    more = needed(share.value if counted else 0.5, until) - counted
    left = len(honest) - sum(unit.key in labels for unit in honest)
    done = sum(unit.key in labels for unit in mine)
    return Progress(
        done, len(mine), of, answer, counted, share.value, share.low, share.high, None if more > left else max(0, more)
    )


@dataclass(frozen=True, slots=True)
class Agreed:
    """How far annotators agree on a question: kappa of each two, alpha of all; None where that is not defined."""

    question: Question
    annotators: Mapping[str, int]
    several: int
    open: int
    kappas: tuple[tuple[str, str, float | None], ...]
    alpha: float | None
    progress: Progress

    def to_json(self) -> dict[str, Any]:
        """By name."""
        return {
            "question": self.question.name, "kind": self.question.kind, "annotators": dict(self.annotators),
            "labelled_by_several": self.several, "disagreements": self.open,
            "kappa": [{"annotators": [a, b], "kappa": k} for a, b, k in self.kappas], "alpha": self.alpha,
            "progress": self.progress.to_json(),
        }  # fmt: skip


def agreed(order: Order, grader: Grader | None, found: Settled, until: float) -> Iterator[Agreed]:
    """Every question that has units."""
    desk = order.desk
    for at, units in sorted(desk.of_question.items()):
        question, mine = desk.questions[at], [unit.key for unit in units]
        said = [found.said.get(key, {}) for key in mine]
        who = sorted({name for one in said for name in one})
        columns = {name: numbers(question.values, [one.get(name) for one in said]) for name in who}
        table = np.stack(list(columns.values()), 1) if who else np.empty((len(mine), 0), np.int64)
        ordinal = question.kind == "scale"
        kappas = tuple(
            (a, b, cohen(columns[a], columns[b], len(question.values), quadratic=ordinal))
            for a, b in combinations(who, 2)
        )
        yield Agreed(
            question, {name: sum(name in one for one in said) for name in who}, int(((table >= 0).sum(1) > 1).sum()),
            sum(key in found.open for key in mine), kappas, alpha(table, len(question.values), ordinal=ordinal),
            progress(order, grader, at, found.labels, until),
        )  # fmt: skip
