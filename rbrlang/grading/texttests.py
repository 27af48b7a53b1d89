"""Does a policy's grader give the texts of the policy's own tests the class that they were written for?

A test on text is graded like any completion: every proposition that its response type reaches, then the
most probable class. An unknown answer that could change the class leaves it undecided, and an undecided
class is no pass. The answers that *decided* are those whose opposite alone would have given another class; of a scale or a choice
the opposite is any other value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.judge import Bench, Judge
from rbrlang.grading.results import Abstained, Answer, Distribution, GradeItem, Invalid, Value
from rbrlang.lang.program import TextTest
from rbrlang.reward.measure import measure_atoms, silences
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import distribution, put
from rbrlang.rows.conversation import spoken


@dataclass(frozen=True, slots=True)
class Decisive:
    """An answer whose opposite would have given class `otherwise`: a proposition with P(yes), or `tone == formal` with its P."""

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
        GradeItem(f"test {number}", spoken(test.prompt, test.completion), test.response, cells=test.cells)
        for number, test in enumerate(tests, 1)
    )


def run_text_tests(reward: NumpyReward, judge: Judge, tests: Sequence[TextTest]) -> tuple[Graded, ...]:
    """The outcome of each test. Raises `JudgeError` for a judge that answers about other items than asked."""
    items = items_of(tests)
    answers = Bench(reward, judge).ask(items)
    return tuple(_graded(reward, item, given) for item, given in zip(items, answers, strict=True))


def _graded(reward: NumpyReward, item: GradeItem, answers: dict[int, Answer]) -> Graded:
    circuit = reward.circuit
    known = {p: answer.p for p, answer in answers.items() if isinstance(answer, Value)}
    answered = np.full(len(circuit.atoms), np.nan, np.float32)
    answered[circuit.measures] = measure_atoms(circuit.atoms[circuit.measures], item.conversation, item.cell)
    answered[list(known)] = list(known.values())
    for question, answer in answers.items():
        if isinstance(answer, Distribution):
            put(circuit, answered, question - circuit.first_variable, answer.p)
    found = decided(reward, answered, item.response)
    if found is None:
        reason = reward.reasons(answered[None], np.array([item.response]))[0]
        of_functions = silences(circuit, item.response, item.conversation)
        return Undecided("; ".join([_why(reward, answers, reason), *of_functions]))
    return found


def decided(reward: NumpyReward, answered: NDArray[np.float32], number: int) -> Decided | None:
    """The class of one completion from the answers about it, float [atoms], under response type `number`; None if open."""
    circuit, response = reward.circuit, reward.circuit.responses[number]
    known = {p: value for p in range(len(circuit.propositions)) if (value := float(answered[p])) == value}
    others = [(circuit.atoms[p].name, value) for p, value in known.items()]
    # One row as answered, then one for each answer turned into its opposite.
    turned = [answered.copy() for _ in range(1 + len(known))]
    for row, (p, value) in zip(turned[1:], known.items(), strict=True):
        row[p] = 0.0 if value >= 0.5 else 1.0
    for variable, (_, domain) in enumerate(circuit.domains):
        chance = distribution(circuit, variable, answered[None])[0]
        if np.isnan(chance).any():
            continue
        best = int(chance.argmax())
        for other in range(len(chance)):
            if other != best:
                others.append((f"{domain.name} == {domain.values[best]}", float(chance[best])))
                turned.append(answered.copy())
                put(
                    circuit,
                    turned[-1],
                    variable,
                    dict(zip(domain.values, np.eye(len(chance))[other].tolist(), strict=True)),
                )
    probs = np.stack(turned)
    chances = reward.class_probs(probs, np.full(len(probs), number, np.int32))[:, : len(response.classes)]
    if np.isnan(chances[0]).any():
        return None
    best = [-1 if np.isnan(row).any() else int(row.argmax()) for row in chances]
    decisive: dict[str, Decisive] = {}
    for (name, value), other in zip(others, best[1:], strict=True):
        if other not in (-1, best[0]):
            decisive.setdefault(name, Decisive(name, value, response.classes[other]))
    return Decided(
        response.classes[best[0]],
        tuple(zip(response.classes, chances[0].tolist(), strict=True)),
        tuple(sorted(decisive.values(), key=lambda d: abs(d.p - 0.5))),
    )


def _why(reward: NumpyReward, answers: dict[int, Answer], reason: str | None) -> str:
    """The reward's reason, and what the grader said instead of an answer."""
    missing = [
        f"`{reward.circuit.questions[p]}`: {answer.reason}"
        for p, answer in answers.items()
        if isinstance(answer, Abstained | Invalid)
    ]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return "; ".join([reason or "an answer is missing that can change the class", *missing[:3]]) + more
