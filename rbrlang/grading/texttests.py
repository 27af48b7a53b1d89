"""Does a policy's grader give the texts of the policy's own tests the class that they were written for?

A test on text is graded like any completion: every proposition that its response type reaches, then the
most probable class. An unknown answer that could change the class leaves it undecided, and an undecided
class is no pass. The answers that *decided* are those whose opposite alone would have given another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rbrlang.grading.judge import Bench, Judge
from rbrlang.grading.results import Answer, GradeItem, Value
from rbrlang.lang.program import TextTest
from rbrlang.reward.measure import measure_atoms
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.conversation import spoken


@dataclass(frozen=True, slots=True)
class Decisive:
    """A proposition whose opposite answer would have given class `otherwise`; `p` is its P(yes)."""

    name: str
    p: float
    otherwise: str


@dataclass(frozen=True, slots=True)
class Decided:
    """The most probable class of a test's text, P of every class, and what decided, the closest call first."""

    klass: str
    chances: tuple[tuple[str, float], ...]
    decisive: tuple[Decisive, ...]


@dataclass(frozen=True, slots=True)
class Undecided:
    """The class is open, for this reason."""

    reason: str


Graded = Decided | Undecided


def passed(test: TextTest, graded: Graded) -> bool:
    """Whether the class is known and one of those expected."""
    return isinstance(graded, Decided) and graded.klass in test.expect


def items_of(tests: Sequence[TextTest]) -> tuple[GradeItem, ...]:
    """What a grader sees of tests."""
    return tuple(
        GradeItem(f"test {number}", spoken(test.prompt, test.completion), test.response)
        for number, test in enumerate(tests, 1)
    )


def run_text_tests(reward: NumpyReward, judge: Judge, tests: Sequence[TextTest]) -> tuple[Graded, ...]:
    """The outcome of each test. Raises `JudgeError` for a judge that answers about other items than asked."""
    items = items_of(tests)
    answers = Bench(reward, judge).ask(items)
    return tuple(_graded(reward, item, given) for item, given in zip(items, answers, strict=True))


def _graded(reward: NumpyReward, item: GradeItem, answers: dict[int, Answer]) -> Graded:
    circuit = reward.circuit
    response = circuit.responses[item.response]
    known = {p: answer.p for p, answer in answers.items() if isinstance(answer, Value)}
    answered = np.full(len(circuit.atoms), np.nan, np.float32)
    answered[len(circuit.propositions) :] = measure_atoms(circuit.atoms, item.conversation)
    answered[list(known)] = list(known.values())
    # One row as answered, then one for each answer turned into its opposite.
    probs = np.tile(answered, (1 + len(known), 1))
    for number, (p, value) in enumerate(known.items(), 1):
        probs[number, p] = 0.0 if value >= 0.5 else 1.0
    ids = np.full(len(probs), item.response, np.int32)
    chances = reward.class_probs(probs, ids)[:, : len(response.classes)]
    if np.isnan(chances[0]).any():
        return Undecided(_why(reward, answers, reward.reasons(probs[:1], ids[:1])[0]))
    best = [-1 if np.isnan(row).any() else int(row.argmax()) for row in chances]
    decisive = [
        Decisive(circuit.atoms[p].name, value, response.classes[other])
        for (p, value), other in zip(known.items(), best[1:], strict=True)
        if other not in (-1, best[0])
    ]
    return Decided(
        response.classes[best[0]],
        tuple(zip(response.classes, chances[0].tolist(), strict=True)),
        tuple(sorted(decisive, key=lambda d: abs(d.p - 0.5))),
    )


def _why(reward: NumpyReward, answers: dict[int, Answer], reason: str | None) -> str:
    """The reward's reason, and what the grader said instead of an answer."""
    missing = [
        f"`{reward.circuit.atoms[p].name}`: {answer.reason}"
        for p, answer in answers.items()
        if not isinstance(answer, Value)
    ]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return "; ".join([reason or "an answer is missing that can change the class", *missing[:3]]) + more
