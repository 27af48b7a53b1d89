"""What are completions worth to a grader and a reward together?

A `Judge` is any grader as a function: embedded, behind an endpoint, the user's own, or a test's; a `Grader`
also says who it is. `Bench` puts a reward behind a judge and keeps count of what it said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rbrlang.errors import UserError
from rbrlang.grading.boundary import distributed
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.results import (
    Abstained,
    Answer,
    Distribution,
    GradeItem,
    Invalid,
    InvalidKind,
    Value,
    is_probability,
)
from rbrlang.lang.variables import Domain
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.measure import measure_atoms
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rubrics import size
from rbrlang.reward.shares import put
from rbrlang.rows.conversation import Conversation

Judge = Callable[[Sequence[GradeItem], Sequence[Sequence[int]]], Sequence[Mapping[int, Answer]]]
"""A grader: items and the propositions wanted of each, to the answers for each item, in order."""


class Grader(Protocol):
    """A judge with a name. `identity` changes with whatever could change an answer."""

    @property
    def identity(self) -> str: ...

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> Sequence[Mapping[int, Answer]]:
        """For each item the answer to each proposition (a number) that is wanted of it, in order."""
        ...


_SHAPE = " request "


def shaped(identity: str, shape: str) -> str:
    """An identity with the shape of requests that a run found, where that is not as usual."""
    return f"{identity}{_SHAPE}{shape}" if shape else identity


def same(one: str, other: str) -> bool:
    """Whether two identities are of one grader, whatever shape its requests have had: that bounds answers, and moves none."""
    return one.partition(_SHAPE)[0] == other.partition(_SHAPE)[0]


def unshaped(identity: str) -> str:
    """An identity without the shape of its requests, its calibration and all."""
    grader, _, rest = identity.partition(_SHAPE)
    _, calibrated, calibration = rest.partition(" calibration ")
    return grader + calibrated + calibration


def encoded(
    circuit: Circuit, items: Sequence[GradeItem], answers: Sequence[Mapping[int, Answer]], told: Sequence[Conversation]
) -> NDArray[np.float32]:
    """Probabilities [items, atoms], NaN for what has no value; measures are taken of `told`, and rubrics count 0."""
    probs = np.full((len(items), len(circuit.atoms)), np.nan, np.float32)
    for row, item, given, one in zip(probs, items, answers, told, strict=True):
        for p, answer in given.items():
            if isinstance(answer, Value):
                row[p] = answer.p
            elif isinstance(answer, Distribution):
                put(circuit, row, p - circuit.first_variable, answer.p)
        row[circuit.measures] = measure_atoms(circuit.atoms[circuit.measures], one, item.cell)
    probs[:, len(circuit.atoms) - size(circuit) :] = 0.0
    return probs


class JudgeError(UserError, ValueError):
    """A judge that did not return one mapping for each item; the message gives both numbers."""


@dataclass(frozen=True, slots=True)
class Graded:
    """What a completion was given: P(yes) where there is one, the most probable class, the rule reward.

    `probs` are by the name of a proposition, and by `tone == formal` of the values of scales and choices.

    `klass` and `reward` are None where an unknown answer can change them; `reason` then says which.
    """

    probs: Mapping[str, float]
    klass: str | None
    reward: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class Answers:
    """All answers of the grader, by state."""

    values: int
    abstained: int
    invalid: Mapping[InvalidKind, int]


class Bench:
    """A judge and a reward side by side, and the count of what the judge said."""

    def __init__(self, reward: NumpyReward, judge: Judge) -> None:
        self.reward, self.judge, self.circuit = reward, judge, reward.circuit
        self._values = self._abstained = 0
        self._invalid: dict[InvalidKind, int] = {}

    @property
    def answers(self) -> Answers:
        """All answers so far."""
        return Answers(self._values, self._abstained, dict(sorted(self._invalid.items())))

    def ask(self, items: Sequence[GradeItem]) -> list[dict[int, Answer]]:
        """Every wanted answer of every item; what the judge left out or is no probability is invalid."""
        return self.answer(items, wanted(self.circuit, items))

    def answer(self, items: Sequence[GradeItem], asked: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        """`ask` for questions that the caller chose."""
        # A judge is never shown what nobody asks about: a row that could not be read, an unknown response type.
        shown = [at for at, of in enumerate(asked) if of]
        said = self.judge([items[at] for at in shown], [asked[at] for at in shown]) if shown else ()
        if len(said) != len(shown):
            raise JudgeError(f"the grader returned answers for {len(said)} of {len(shown)} completions")
        given: list[Mapping[int, Answer]] = [{}] * len(items)
        for at, answers in zip(shown, said, strict=True):
            given[at] = answers
        domains = self.circuit.asked_domains
        return [
            {p: self._counted(answers.get(p), domains.get(p)) for p in of}
            for answers, of in zip(given, asked, strict=True)
        ]

    def _counted(self, answer: Answer | None, domain: Domain | None) -> Answer:
        if answer is None:
            answer = Invalid("grader", "the grader returned no answer")
        elif isinstance(answer, Value) and domain is not None:
            answer = Invalid(
                "grader", f"the grader returned one probability for `{domain.name}`, not one for each value"
            )
        elif isinstance(answer, Value) and not is_probability(answer.p):
            answer = Invalid("grader", f"the grader returned {answer.p}, which is no probability")
        elif isinstance(answer, Distribution):
            answer = self._whole(answer, domain)
        if isinstance(answer, Value | Distribution):
            self._values += 1
        elif isinstance(answer, Abstained):
            self._abstained += 1
        else:
            self._invalid[answer.kind] = self._invalid.get(answer.kind, 0) + 1
        return answer

    def _by_name(self, answers: Mapping[int, Answer]) -> dict[str, float]:
        found: dict[str, float] = {}
        for question, answer in answers.items():
            name = self.circuit.questions[question]
            if isinstance(answer, Value):
                found[name] = answer.p
            elif isinstance(answer, Distribution):
                found |= {f"{name} == {value}": p for value, p in answer.p.items()}
        return found

    @staticmethod
    def _whole(answer: Distribution, domain: Domain | None) -> Distribution | Invalid:
        if domain is None:
            return Invalid("grader", "the grader returned probabilities of values for a question of yes or no")
        found = distributed(answer.p, domain, "the grader", answer.method)
        return found if isinstance(found, Invalid) else replace(answer, p=found.p)

    def grade(self, items: Sequence[GradeItem]) -> list[Graded]:
        """What each item is worth."""
        return self.read(items, self.ask(items), [item.conversation for item in items])

    def read(
        self, items: Sequence[GradeItem], answers: Sequence[Mapping[int, Answer]], told: Sequence[Conversation]
    ) -> list[Graded]:
        """What each item is worth by these answers, measures being taken of `told`; response types are known.

        Rubrics, which only rows have, count 0.
        """
        if not items:
            return []
        probs = encoded(self.circuit, items, answers, told)
        ids = np.array([item.response for item in items], np.int32)
        rewards, classes = self.reward(probs, ids), self.reward.class_probs(probs, ids)
        reasons = self.reward.reasons(probs, ids)
        return [
            Graded(
                self._by_name(given),
                None if np.isnan(row).any() else self.circuit.responses[item.response].classes[int(row.argmax())],
                float(value) if math.isfinite(value) else None,
                reason or "",
            )
            for item, given, row, value, reason in zip(items, answers, classes, rewards, reasons, strict=True)
        ]
