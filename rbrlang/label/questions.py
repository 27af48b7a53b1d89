"""What is a person asked about rows, and which text would make it another question?

A *unit* is one question about one row: a proposition, a scale, a choice, one criterion of a rubric, or which of two completions of a
prompt is better. A unit's key follows from all that its answer rests on: the question's text and values, the text that is judged, the
conversation, and what the question shows of the row. So an answer is never taken for one to another question. Few-shots are help,
and not part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from rbrlang.grading.criteria import criteria
from rbrlang.grading.questions.layout import every_question, wanted
from rbrlang.grading.results import GradeItem
from rbrlang.lang.braces import parts
from rbrlang.lang.program import Judged, Message, Proposition, Variable
from rbrlang.logic.circuit import CRITERION
from rbrlang.policy import Policy
from rbrlang.reward.rows import response_ids
from rbrlang.rows.cells import Unfilled, cells
from rbrlang.rows.columns import is_missing
from rbrlang.rows.conversation import Conversation, Turn, key_of
from rbrlang.rows.read import Row

Kind = Literal["yes_no", "scale", "choice", "criterion", "better"]
CANNOT_TELL = "?"
BETTER = "which is better"
_KEYS = "1234567890ABCDEFGHIJKLMNOP"


@dataclass(frozen=True, slots=True)
class Example:
    """A few-shot: what was said, the value that it deserves, and why."""

    answer: str
    messages: tuple[Message, ...]
    because: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question of the policy; `values` are its answers, each with the `keys` to press. `number` is that in `Circuit.questions`."""

    name: str
    kind: Kind
    values: tuple[str, ...]
    keys: tuple[str, ...]
    about: tuple[str, ...]
    statement: str
    asked: str
    over: Judged
    examples: tuple[Example, ...] = ()
    columns: tuple[str, ...] = ()
    number: int = -1

    @property
    def digest(self) -> str:
        """What is another when the question is."""
        return _digest(self.name, self.kind, self.values, self.about, self.statement, self.asked, self.over)


@dataclass(frozen=True, slots=True)
class Unit:
    """One question about one row. `place` is that of a criterion, or the position of the other row of a pair."""

    key: str
    question: int
    row: int
    place: int = -1


@dataclass(frozen=True)
class Desk:
    """All that can be asked. `unasked`: how many rows lack a column that a question names."""

    policy: Policy
    rows: Sequence[Row]
    ids: Sequence[int]
    questions: tuple[Question, ...]
    units: tuple[Unit, ...]
    unasked: Counter[str]

    @cached_property
    def by_key(self) -> dict[str, int]:
        """The position of each unit."""
        return {unit.key: at for at, unit in enumerate(self.units)}

    @cached_property
    def of_question(self) -> dict[int, list[Unit]]:
        """The units of each question that has any."""
        found: dict[int, list[Unit]] = {}
        for unit in self.units:
            found.setdefault(unit.question, []).append(unit)
        return found

    def filled(self, unit: Unit, text: str) -> str:
        """A question's text about a row, with what it shows of the row's columns."""
        question, row = self.questions[unit.question], self.rows[unit.row]
        said = dict(cells(row.raw, question.columns))
        if question.kind == "criterion":
            said[CRITERION] = self.criterion(unit)
        return "".join(p if isinstance(p, str) else f"“{said[p.column]}”" for p in parts(text, question.columns))

    def criterion(self, unit: Unit) -> str:
        """The criterion that a unit of a rubric is about."""
        circuit = self.policy.circuit
        rubric = circuit.rubrics[self.questions[unit.question].number - len(circuit.propositions)]
        return self.rows[unit.row].criteria(rubric.column)[unit.place].text


def desk(policy: Policy, rows: Sequence[Row], *, every: bool, only: Collection[str], pairs: bool) -> Desk:
    """What to ask of rows: what their response types need, or every question; of those with the names in `only`, if any."""
    circuit = policy.circuit
    ids = response_ids(circuit, rows).tolist()
    items = [
        GradeItem(row.id, row.conversation, number, cells=cells(row.raw, circuit.columns))
        for row, number in zip(rows, ids, strict=True)
    ]
    questions = _questions(policy)
    position = {question.number: at for at, question in enumerate(questions)}
    digests = [question.digest for question in questions]
    of_rows = [_of_row(row) for row in rows]
    unasked = Counter[str]()
    units: list[Unit] = []

    def add(number: int, row: int, *more: Any, place: int = -1) -> None:
        question = questions[position[number]]
        if only and question.name not in only:
            return
        shown = cells(rows[row].raw, (c for c in question.columns if c != CRITERION))
        if any(isinstance(cell, Unfilled) for _, cell in shown):
            unasked[question.name] += 1
            return
        key = _digest(digests[position[number]], of_rows[row], shown, *more)
        units.append(Unit(key, position[number], row, place))

    all_questions = every_question(circuit)
    for row, (numbers, response) in enumerate(zip(wanted(circuit, items), ids, strict=True)):
        for number in all_questions if every or response < 0 else numbers:
            add(number, row)
    first = len(circuit.propositions)
    for place in criteria(circuit, rows, items).places:
        add(first + place.rubric, place.row, place.criterion.text, place.at, place=place.at)
    if pairs:
        for one, other in _pairs(rows):
            add(-1, one, of_rows[other], place=other)
    units.sort(key=lambda unit: (unit.question, unit.row, unit.place))
    return Desk(policy, rows, ids, questions, tuple(units), unasked)


def _questions(policy: Policy) -> tuple[Question, ...]:
    first = len(policy.circuit.propositions)
    rubrics = range(first, policy.circuit.first_variable)
    found = [_question(asked, number, number in rubrics) for number, asked in enumerate(policy.program.questions)]
    better = "Which of the two completions is better?"
    found.append(Question(BETTER, "better", ("first", "second"), ("1", "2"), ("", ""), "", better, "trajectory"))
    return tuple(found)


def _question(asked: Proposition | Variable, number: int, criterion: bool) -> Question:
    if isinstance(asked, Proposition):
        examples = tuple(Example("yes" if s.answer else "no", s.messages, s.because or "") for s in asked.shots)
        return Question(
            asked.name, "criterion" if criterion else "yes_no", ("yes", "no"), ("y", "n"), ("", ""), asked.statement,
            asked.question, asked.over, examples, asked.columns, number,
        )  # fmt: skip
    values = asked.domain.values
    single = asked.domain.kind == "scale" and all(len(value) == 1 for value in values)
    return Question(
        asked.name, asked.domain.kind, values, values if single else tuple(_KEYS[: len(values)]), asked.about, asked.statement,
        asked.question, asked.over, tuple(Example(values[s.value], s.messages, s.because or "") for s in asked.samples),
        asked.columns, number,
    )  # fmt: skip


def _pairs(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Two completions of a prompt: those that rows call a `pair`, else neighbours in a drawn order, each completion at most once."""
    groups: dict[tuple[str, str | None, str], dict[str, int]] = {}
    for at, row in enumerate(rows):
        pair = "" if is_missing(row.raw.get("pair")) else str(row.raw["pair"])
        texts = groups.setdefault((row.prompt_key, row.response_type, pair), {})
        texts.setdefault(key_of(row.completion, row.prompt_key), at)
    for texts in groups.values():
        drawn = sorted(texts.values(), key=lambda at: _digest("side", rows[at].id))
        yield from zip(drawn[::2], drawn[1::2], strict=False)


def _of_row(row: Row) -> str:
    return _digest(row.id, key_of(row.completion, row.prompt_key))


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:24]


# --- what of a conversation is shown, and what of that is judged ------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """Something said, thought or called in a turn, and whether the question is about it."""

    kind: Literal["text", "thought", "call"]
    text: str
    judged: bool


def pieces(conversation: Conversation, over: Judged) -> list[tuple[Turn, list[Piece]]]:
    """The turns of the completion with what they hold."""
    last = len(conversation.before("final")) - len(conversation.context)
    found: list[tuple[Turn, list[Piece]]] = []
    for at, turn in enumerate(conversation.completion):
        own = turn.role == "assistant"
        judged = {
            "text": over == "trajectory" or (own and (over == "assistant" or (over == "final" and at >= last))),
            "thought": own and over == "thought",
            "call": over == "trajectory",
        }
        found.append((turn, [Piece(one.kind, one.text, judged[one.kind]) for one in unjudged(turn)]))
    return found


def unjudged(turn: Turn) -> list[Piece]:
    """What a turn holds."""
    said: list[Piece] = [Piece("thought", turn.thought, False)] if turn.thought else []
    if turn.text or not (turn.thought or turn.calls):
        said.append(Piece("text", turn.text, False))
    return said + [Piece("call", str(call), False) for call in turn.calls]
