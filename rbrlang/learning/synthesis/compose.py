"""Which completions of known class does a language model write, and how often does it fail to?

    prompt × class ─specify→ instructions ─write→ text ─grade→ class probabilities ─enough?→ row, or again

For every prompt and every class of its response type a specification is drawn (`learning.specify`), told to
a writer, and what it writes is graded by its prompt alone, instructions unseen. A text counts when the
probability of the intended class reaches the threshold; otherwise another specification is drawn, up to a
number of attempts. Attempts go in rounds over all that is still missing, so that writer and grader are both
kept busy. Draws are keyed by seed, response type, prompt, class, copy and attempt: more prompts, or a run
that was killed, change none of them, and with the writer's cache the same texts come back.

Two kinds of failure are kept apart. A text that was *rejected* (graded as something else, or the model
wrote nothing) costs an attempt. A text or grade that did not arrive (network, a stopped run) leaves its
place *open*: no number is made of it, and the same command continues there. So does a prompt whose row lacks a column
that the questions name: no text for it could be graded, and none is written.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rbrlang.grading.endpoint.writing import Order, Written
from rbrlang.grading.judge import Judge
from rbrlang.grading.questions.layout import wanted
from rbrlang.grading.results import Answer, Distribution, GradeItem, Invalid, InvalidKind, probability
from rbrlang.grading.unfilled import lacking
from rbrlang.lang.program import Proposition, Variable
from rbrlang.learning.synthesis.specify import Specification, allowed, instructions, ordered, specify
from rbrlang.learning.synthesis.synth import Impossible, prompt_columns, prompts_of
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.measure import measure_atoms
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import put
from rbrlang.rows.cells import cells
from rbrlang.rows.conversation import spoken
from rbrlang.rows.read import Row, row_from

Write = Callable[[Sequence[Order]], Sequence[Written | Invalid]]

_ARRIVES_LATER: frozenset[InvalidKind] = frozenset({"transport", "stopped", "no-logprobs", "grader"})
"""Failures of the way, not of the text: the place stays open. The model's own failures are rejections."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What stands in each row about its making, beside the specification."""

    model: str
    grader: str
    seed: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What became of the places of one class, and of the attempts at them."""

    response: str
    klass: str
    places: int
    accepted: int
    open: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Kept:
    """How often an instruction was given and followed, by the grader's P(yes) against 1/2.

    Of scales and choices it is that one of the values has it, such as `help >= 4` by P of these.
    """

    proposition: str
    answer: bool
    told: int
    followed: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Composed:
    """Accepted and rejected rows, by prompt and class; counts; and classes that no assignment has.

    `empty` counts attempts at which the model wrote nothing, `failures` texts and grades that did not arrive,
    by reason.
    """

    rows: tuple[Row, ...]
    rejected: tuple[Row, ...]
    tallies: tuple[Tally, ...]
    literals: tuple[Kept, ...]
    impossible: tuple[Impossible, ...]
    empty: int
    failures: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Place:
    """One completion that is wanted."""

    row: Row
    response: int
    klass: int
    copy: int


@dataclass(frozen=True, slots=True)
class _Try:
    place: _Place
    attempt: int
    specification: Specification
    order: Order


@dataclass(frozen=True, slots=True)
class _Judged:
    """A text with its grades: `chances` are the class probabilities, empty where grades leave them open."""

    made: _Try
    text: Written
    answers: Mapping[int, Answer]
    chances: tuple[float, ...]
    open_reason: str


def synth_from_model(
    circuit: Circuit,
    questions: Sequence[Proposition | Variable],
    prompts: Sequence[Row],
    per_class: int,
    write: Write,
    judge: Judge,
    provenance: Provenance,
    *,
    attempts: int = 4,
    threshold: float = 0.5,
) -> Composed:
    """`per_class` completions of every class for each prompt of rows, as far as the writer succeeds.

    `questions` are the program's, in the circuit's order. Rows carry `class` (the intended one, verified),
    `probs` and `grader` as `rbrc grade` writes them, and their origin in `synthetic`. They carry no `labels`:
    nobody knows the truth. Raises ValueError when a count is not positive or the threshold not in (0, 1].
    """
    if per_class < 1 or attempts < 1 or not 0.0 < threshold <= 1.0:
        raise ValueError("completions per class and attempts have to be 1 or more, the threshold above 0 and at most 1")
    run = _Run(circuit, questions, provenance, threshold)
    places = [
        _Place(row, number, klass, copy)
        for number, rows in enumerate(prompts_of(circuit, prompts))
        for row in rows
        for klass in range(len(circuit.responses[number].classes))
        for copy in range(per_class)
    ]
    pending = [place for place in places if run.fits(place)]
    for attempt in range(attempts):
        tries = [one for place in pending if (one := run.draw(place, attempt)) is not None]
        if not tries:
            break
        texts = write([one.order for one in tries])
        pending = run.settle(tries, texts, judge)
    return run.composed(places)


def planned_orders(
    circuit: Circuit, questions: Sequence[Proposition | Variable], prompts: Sequence[Row], per_class: int, seed: int
) -> tuple[Order, ...]:
    """The orders of the first round, for an estimate of what a run would cost."""
    run = _Run(circuit, questions, Provenance("", "", seed), 1.0)
    places = (
        _Place(row, number, klass, copy)
        for number, rows in enumerate(prompts_of(circuit, prompts))
        for row in rows
        for klass in range(len(circuit.responses[number].classes))
        for copy in range(per_class)
    )
    drawn = (run.draw(place, 0) for place in places if run.fits(place))
    return tuple(one.order for one in drawn if one is not None)


class _Run:
    def __init__(
        self, circuit: Circuit, questions: Sequence[Proposition | Variable], provenance: Provenance, threshold: float
    ) -> None:
        self.circuit, self.questions = circuit, questions
        self.provenance, self.threshold = provenance, threshold
        self.reward = NumpyReward(circuit)
        self.accepted: dict[_Key, dict[str, Any]] = {}
        self.rejected: list[tuple[_Key, int, dict[str, Any]]] = []
        self.empty = 0
        self.failures: Counter[str] = Counter()
        self.open_places: set[_Key] = set()
        self.tried: Counter[tuple[int, int]] = Counter()
        self.told: Counter[_Literal] = Counter()
        self.followed: Counter[_Literal] = Counter()
        self.unknown: Counter[_Literal] = Counter()
        self.impossible: set[tuple[int, int]] = set()

    def fits(self, place: _Place) -> bool:
        """Whether a text for this place could be graded: its row has the columns that the questions name."""
        item = _item(self.circuit, place)
        (asked,) = wanted(self.circuit, (item,))
        lacked = lacking(self.circuit, item, asked)
        for answer in list(lacked.values())[:1]:
            self._leave_open(place, f"the prompt's row: {answer.reason}")
        return not lacked

    def draw(self, place: _Place, attempt: int) -> _Try | None:
        """The specification of an attempt and the order for it; None where the class is impossible."""
        response = self.circuit.responses[place.response]
        name = f"{response.name}\n{place.row.prompt_key}\n{response.classes[place.klass]}\n{place.copy}\n{attempt}"
        digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        rng = np.random.default_rng([self.provenance.seed, digest])
        specification = specify(self.circuit, response, place.klass, rng)
        if specification is None:
            self.impossible.add((place.response, place.klass))
            return None
        told = instructions(self.circuit, self.questions, specification, _item(self.circuit, place))
        order = Order(ordered(place.row.prompt, told), int(rng.integers(2**31)))
        return _Try(place, attempt, specification, order)

    def settle(self, tries: Sequence[_Try], texts: Sequence[Written | Invalid], judge: Judge) -> list[_Place]:
        """Grade what was written, keep what passes; the places that need another attempt."""
        again: list[_Place] = []
        written: list[tuple[_Try, Written]] = []
        for one, text in zip(tries, texts, strict=True):
            if isinstance(text, Invalid) and text.kind in _ARRIVES_LATER:
                self._leave_open(one.place, text.reason)
                continue
            self.tried[one.place.response, one.place.klass] += 1
            if isinstance(text, Invalid):
                self.failures[text.reason] += 1
                again.append(one.place)
            elif not text.text:
                self.empty += 1
                again.append(one.place)
            else:
                written.append((one, text))
        for judged in self._judged(written, judge):
            place = judged.made.place
            if judged.open_reason:
                self.tried[place.response, place.klass] -= 1
                self._leave_open(place, judged.open_reason)
                continue
            self._count(judged)
            if judged.chances and judged.chances[place.klass] >= self.threshold:
                self.accepted[_key(place)] = self._row(judged)
            else:
                self.rejected.append((_key(place), judged.made.attempt, self._row(judged)))
                again.append(place)
        order = {_key(one.place): number for number, one in enumerate(tries)}
        return sorted(again, key=lambda place: order[_key(place)])

    def _leave_open(self, place: _Place, reason: str) -> None:
        self.failures[reason] += 1
        self.open_places.add(_key(place))

    def _judged(self, written: Sequence[tuple[_Try, Written]], judge: Judge) -> list[_Judged]:
        if not written:
            return []
        items = [
            replace(
                _item(self.circuit, one.place),
                id=f"{_id(self.circuit, one.place)}-{one.attempt}",
                conversation=spoken(one.place.row.prompt, text.text),
            )
            for one, text in written
        ]
        given = judge(items, wanted(self.circuit, items))
        table = np.full((len(items), len(self.circuit.atoms)), np.nan, np.float32)
        for at, answers in enumerate(given):
            for p, answer in answers.items():
                if isinstance(answer, Distribution):
                    put(self.circuit, table[at], p - self.circuit.first_variable, answer.p)
                elif (value := probability(answer)) is not None:
                    table[at, p] = value
            measures = self.circuit.measures
            table[at, measures] = measure_atoms(self.circuit.atoms[measures], items[at].conversation, items[at].cell)
        ids = np.array([item.response for item in items], np.int32)
        chances = self.reward.class_probs(table, ids)
        judged: list[_Judged] = []
        for at, (one, text) in enumerate(written):
            mine = tuple(chances[at, : len(self.circuit.responses[one.place.response].classes)].tolist())
            known = all(math.isfinite(p) for p in mine)
            late = [a.reason for a in given[at].values() if isinstance(a, Invalid) and a.kind in _ARRIVES_LATER]
            judged.append(_Judged(one, text, given[at], mine if known else (), late[0] if late and not known else ""))
        return judged

    def _count(self, judged: _Judged) -> None:
        specification, measures = judged.made.specification, self.circuit.measures
        for atom, answer in specification.literals:
            info = self.circuit.atoms[atom]
            if info.share is not None:
                continue
            if info.measure is not None:
                told, row = spoken((), judged.text.text), judged.made.place.row
                truths = measure_atoms(self.circuit.atoms[measures], told, row.cell)
                p: float | None = float(truths[atom - measures.start])
            else:
                given = judged.answers.get(atom)
                p = None if given is None else probability(given)
            self._kept((atom, info.name, answer), p)
        for number, values in allowed(self.circuit, specification).items():
            first, domain = self.circuit.domains[number]
            given = judged.answers.get(self.circuit.first_variable + number)
            p = math.fsum(given.p[domain.values[v]] for v in values) if isinstance(given, Distribution) else None
            self._kept((first, " & ".join(domain.said(values)), True), p)

    def _kept(self, literal: _Literal, p: float | None) -> None:
        self.told[literal] += 1
        self.followed[literal] += p is not None and (p > 0.5) == literal[2]
        self.unknown[literal] += p is None

    def _row(self, judged: _Judged) -> dict[str, Any]:
        made, place = judged.made, judged.made.place
        response = self.circuit.responses[place.response]
        names = self.circuit.questions
        failed = {names[p]: a.reason for p, a in judged.answers.items() if isinstance(a, Invalid)}
        data: dict[str, Any] = {
            "id": _id(self.circuit, place),
            **prompt_columns(place.row, self.circuit.columns),
            "completion": judged.text.text,
            "response_type": response.name,
            "class": response.classes[place.klass],
            "probs": {
                names[p]: dict(answer.p) if isinstance(answer, Distribution) else probability(answer)
                for p, answer in judged.answers.items()
            },
            "grader": self.provenance.grader,
            "synthetic": {
                "from": "llm",
                "model": self.provenance.model,
                "seed": self.provenance.seed,
                "policy": self.circuit.fingerprint,
                "specification": dict(self.circuit.said(dict(made.specification.literals))),
                "attempt": made.attempt + 1,
                "request_seed": made.order.seed,
                "finish": judged.text.finish,
                "class_probs": dict(zip(response.classes, judged.chances, strict=False)),
            },
        }
        if failed:
            data["invalid"] = failed
        return data

    def composed(self, places: Sequence[_Place]) -> Composed:
        """What there is, in the order of the places."""
        order = {_key(place): number for number, place in enumerate(places)}
        rows = [self.accepted[key] for key in sorted(self.accepted, key=order.__getitem__)]
        rejected: list[dict[str, Any]] = []
        for _, attempt, data in sorted(self.rejected, key=lambda entry: (order[entry[0]], entry[1])):
            rejected.append({**data, "id": f"{data['id']}-rejected-{attempt + 1}"})
        tallies: list[Tally] = []
        for number, response in enumerate(self.circuit.responses):
            for klass, name in enumerate(response.classes):
                mine = [place for place in places if (place.response, place.klass) == (number, klass)]
                if mine and (number, klass) not in self.impossible:
                    keys = [_key(place) for place in mine]
                    tallies.append(Tally(
                        response.name, name, len(mine), sum(key in self.accepted for key in keys),
                        sum(key in self.open_places for key in keys), self.tried[number, klass],
                    ))  # fmt: skip
        literals = tuple(
            Kept(one[1], one[2], self.told[one], self.followed[one], self.unknown[one])
            for one in sorted(self.told, key=lambda literal: (literal[0], not literal[2], literal[1]))
        )
        impossible = tuple(
            Impossible(self.circuit.responses[n].name, self.circuit.responses[n].classes[k])
            for n, k in sorted(self.impossible)
        )
        return Composed(
            tuple(map(row_from, rows)), tuple(map(row_from, rejected)), tuple(tallies), literals, impossible,
            self.empty, dict(self.failures.most_common()),
        )  # fmt: skip


_Key = tuple[int, str, int, int]
_Literal = tuple[int, str, bool]
"""The atom, the first one of a scale or a choice; what is said, and whether it is to hold."""


def _key(place: _Place) -> _Key:
    return place.response, place.row.prompt_key, place.klass, place.copy


def _item(circuit: Circuit, place: _Place) -> GradeItem:
    """The row of a place as a grader sees it, before anything is written."""
    row = place.row
    return GradeItem(row.id, row.conversation, place.response, cells=cells(row.raw, circuit.columns))


def _id(circuit: Circuit, place: _Place) -> str:
    response = circuit.responses[place.response]
    return f"{response.name}-{place.row.prompt_key}-{response.classes[place.klass]}-{place.copy + 1}"
