"""What did the grader say of one question about one completion?

Three states, and no fourth: a value (a probability that was read, `Value`; of a scale or a choice one for each of its values,
`Distribution`), an `Abstained` (the grader does not judge this), an `Invalid` (it should have answered and did not). Neither
of the last two is ever turned into a number; they reach the reward as an unknown.

    >>> Value(p=0.93, mass=0.99, low=0.93, high=0.94, method="top-k").p
    0.93
    >>> probability(Invalid("transport", "no answer within 60 s")) is None
    True
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never, cast, get_args

from rbrlang.lang.program import Judged
from rbrlang.rows.cells import Cell, Cells, missing
from rbrlang.rows.conversation import Conversation, Turn, spoken

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

Method = Literal[
    "top-k",  # the k most probable first tokens
    "token-ids",  # log-probabilities of every surface form, asked for by token id
    "samples",  # posterior mean over sampled answers, under a uniform prior
    "decision-model",  # a model that returns P(yes) itself
    "label",  # a person
    "table",  # a file of probabilities
    "function",  # the user's own code
    "evidence",  # the embedded grader
    "jury",  # several graders
]

InvalidKind = Literal[
    "low-mass",  # the model wanted to say something other than yes or no
    "wide-bounds",  # too few log-probabilities came back to tell yes from no
    "misaligned",  # of several questions in one request, the reply does not say which of its words answers this one
    "thinking",  # the first token opens a train of thought
    "no-logprobs",  # the server returned no log-probabilities
    "malformed",  # the answer was not what the protocol promises
    "refused",  # the server rejected the request
    "no-column",  # the row lacks a column that the question names
    "transport",  # no answer, after all retries
    "stopped",  # the run ended before this was asked
    "grader",  # a local grader failed or returned something that is no probability
]


@dataclass(frozen=True, slots=True)
class GradeItem:
    """One completion to grade: what was said before, what was answered, and under which response type.

    `response` is the number of the response type in `Circuit.responses`, −1 where none is known: such an
    item needs no propositions. `over` is the text of the completion that is looked at. `cells` are what its row says in
    the columns that questions may name.
    """

    id: str
    conversation: Conversation
    response: int
    over: Judged = "final"
    cells: Cells = ()

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """The turns before the text that is judged."""
        return self.conversation.before(self.over)

    @property
    def completion(self) -> str:
        """The text that is judged."""
        return self.conversation.text(self.over)

    def seen(self, over: Judged) -> GradeItem:
        """The same completion, another text of it."""
        return self if over == self.over else replace(self, over=over)

    def saying(self, text: str) -> GradeItem:
        """An item with this text in the place of what is judged, behind the same turns."""
        return GradeItem(self.id, spoken(self.prompt, text), self.response, cells=self.cells)

    def cell(self, column: str) -> Cell:
        """What its row says in a column."""
        return dict(self.cells).get(column, missing(column))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request or of many: in, out, and how many of those in came from the server's cache."""

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached)


@dataclass(frozen=True, slots=True)
class Value:
    """A probability that the statement is true.

    `mass` is the probability that the grader gave to any form of yes or no, before `p` was normalised by
    it. `low <= p <= high` bounds what forms that the server did not report could change (or, for samples,
    is the central 95 % interval of the posterior). `note` is for people, e.g. how weak the evidence is, and so is what the
    grader said of its `thought` before it answered.
    """

    p: float
    mass: float
    low: float
    high: float
    method: Method
    note: str = ""
    thought: str = ""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How likely each value of a scale or a choice is, by its name; in sum 1.

    `low` and `high` bound each of them, and `mass` is what the grader gave to any of the answers, as with a `Value`.
    """

    p: Mapping[str, float]
    mass: float
    low: Mapping[str, float]
    high: Mapping[str, float]
    method: Method
    thought: str = ""

    @property
    def best(self) -> str:
        """The likeliest value, of equal ones the first."""
        return max(self.p, key=lambda value: self.p[value])


@dataclass(frozen=True, slots=True)
class Abstained:
    """The grader does not judge this: no label, no evidence, or it was not asked to."""

    reason: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """The grader should have answered and gave nothing that can be used."""

    kind: InvalidKind
    reason: str
    thought: str = ""


Answer = Value | Distribution | Abstained | Invalid


def spread(p: Mapping[str, float], method: Method) -> Distribution:
    """A distribution without any uncertainty about how it was read: all mass, bounds equal to `p`."""
    return Distribution(p, 1.0, p, p, method)


def certain(p: float, method: Method, note: str = "") -> Value:
    """A value without any uncertainty about how it was read: all mass, bounds equal to `p`."""
    return Value(p, 1.0, p, p, method, note)


def is_probability(value: object) -> bool:
    """Whether a value from outside is a number in [0, 1]. Booleans are not numbers here."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0.0 <= value <= 1.0


def probability(answer: Answer) -> float | None:
    """P(yes), or None where there is none: what a row's `probs` hold of a proposition."""
    match answer:
        case Value():
            return answer.p
        case Distribution() | Abstained() | Invalid():
            return None
        case _:
            assert_never(answer)


def to_json(answer: Answer) -> dict[str, Json]:
    """A plain form of an answer for files and the cache; `from_json` is its inverse."""
    thought: dict[str, Json] = (
        {} if isinstance(answer, Abstained) or not answer.thought else {"thought": answer.thought}
    )
    match answer:
        case Value():
            plain: dict[str, Json] = {
                "p": answer.p,
                "mass": answer.mass,
                "low": answer.low,
                "high": answer.high,
                "method": answer.method,
            }
            return plain | ({"note": answer.note} if answer.note else {}) | thought
        case Distribution():
            return {
                "p": dict(answer.p), "mass": answer.mass, "low": dict(answer.low), "high": dict(answer.high),
                "method": answer.method, **thought,
            }  # fmt: skip
        case Abstained():
            return {"abstained": answer.reason}
        case Invalid():
            return {"invalid": answer.kind, "reason": answer.reason, **thought}
        case _:
            assert_never(answer)


def from_json(plain: Json) -> Answer:
    """The answer of a plain form. Raises `ValueError` where it is none (a damaged or foreign file)."""
    if isinstance(plain, Mapping):
        if isinstance(reason := plain.get("abstained"), str):
            return Abstained(reason)
        kind, reason, thought = plain.get("invalid"), plain.get("reason"), plain.get("thought", "")
        if not isinstance(thought, str):
            raise ValueError("not an answer")
        if kind in get_args(InvalidKind) and isinstance(reason, str):
            return Invalid(cast(InvalidKind, kind), reason, thought)
        numbers = [plain.get(name) for name in ("p", "mass", "low", "high")]
        method, note = plain.get("method"), plain.get("note", "")
        if all(is_probability(n) for n in numbers) and method in get_args(Method) and isinstance(note, str):
            p, mass, low, high = (float(cast(float, n)) for n in numbers)
            if low <= p <= high:
                return Value(p, mass, low, high, cast(Method, method), note, thought)
        if isinstance(plain.get("p"), Mapping) and method in get_args(Method) and is_probability(plain.get("mass")):
            p, low, high = (_by_value(plain.get(name)) for name in ("p", "low", "high"))
            if (
                p and p.keys() == low.keys() == high.keys() and abs(math.fsum(p.values()) - 1.0) < 1e-6
                and all(low[value] <= p[value] <= high[value] for value in p)
            ):  # fmt: skip
                return Distribution(p, float(cast(float, plain["mass"])), low, high, cast(Method, method), thought)
    raise ValueError("not an answer")


def _by_value(plain: Json) -> dict[str, float]:
    """Probabilities by value; empty where they are not."""
    if not isinstance(plain, Mapping) or not all(is_probability(p) for p in plain.values()):
        return {}
    return {value: float(cast(float, p)) for value, p in plain.items()}


def finite(value: object) -> float | None:
    """A number from outside as a float, or None where it is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON integers have no limit
        return None
    return number if math.isfinite(number) else None
