"""Which measures of a policy hold of this completion?

A measure is an atom that needs no grader: it is computed from the completion and is exactly true or
false. Regular expressions are RE2 (https://github.com/google/re2/wiki/Syntax), so every measure takes
time linear in the text.

Worked example: in `Dr. No has 3.5 cats.` there are 5 words, 1 line and 2 sentences: a sentence starts
at a letter or digit and ends at `.`, `!`, `?` or `…` before white space or the end, or at `。`, `！`, `？`.
That is a rule of thumb, as the two sentences show; the other measures are exact.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from decimal import Context, Decimal, localcontext
from functools import lru_cache
from typing import Literal, Protocol, assert_never, cast, get_args

import re2

from rbrlang import functions, schema
from rbrlang.jsontext import JsonError, parse
from rbrlang.lang.checks import Against
from rbrlang.lang.program import CHECKS, Judged, MeasureKind
from rbrlang.logic.circuit import AtomInfo, Circuit
from rbrlang.rows.cells import Cell, Unfilled, missing
from rbrlang.rows.conversation import Conversation

KINDS: tuple[MeasureKind, ...] = get_args(MeasureKind)
TextKind = Literal["words", "characters", "lines", "sentences", "count", "matches", "contains", "json", "json_schema"]
TEXT_KINDS: tuple[TextKind, ...] = get_args(TextKind)
_SENTENCE = r"[\pL\pN][^.!?…。！？]*(?:[.!?…]+[^\s.!?…。！？][^.!?…。！？]*)*"
_NUMBER = r"[+-]?(?:\d{1,3}(?:,\d{3})+\b|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,6})?|[+-]?\.\d+(?:[eE][+-]?\d{1,6})?"
_DIGITS = Context(prec=50, traps=[])  # beyond them numbers are rounded, and nothing is an error
_MAX_MEMORY = 8 << 20  # bytes that one compiled pattern may use


class PatternError(ValueError):
    """A regular expression that RE2 refuses; the message names the pattern and RE2's reason."""


class _Pattern(Protocol):
    def search(self, text: str) -> object | None: ...
    def findall(self, text: str) -> Sequence[object]: ...
    def finditer(self, text: str) -> Iterator[re.Match[str]]: ...


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> _Pattern:
    """The compiled RE2 pattern. Raises `PatternError` when RE2 refuses it."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return cast(_Pattern, re2.compile(pattern, options))
    except UnicodeError as refusal:
        raise PatternError(f"{pattern!a} holds half a surrogate pair, which RE2 cannot read") from refusal
    except re2.error as refusal:
        reason = refusal.args[0].decode() if isinstance(refusal.args[0], bytes) else str(refusal)
        raise PatternError(f"`{pattern}` is not a regular expression that RE2 accepts: {reason}") from refusal


def measure(
    kind: MeasureKind, pattern: str, over: Judged, told: Conversation, cell: Callable[[str], Cell] = missing
) -> float:
    """The count behind a measure of the text `over`; for those that hold or do not (`CHECKS`), 1 or 0.

    NaN where it cannot be told: what the row says in a column (`cell`) is no text, or no number, or a value is too large
    for its schema, or a function of the user's own says nothing.

    `words` are runs of non-space, `characters` are code points, `lines` are as `str.splitlines` has
    them, `count` is of matches that do not overlap; `steps` are the assistant's turns, `calls` are of tools whose
    name the pattern is found in, `tool_errors` results that are errors. `json`: the whole text is one JSON value as I-JSON
    has it (RFC 7493: no key twice, no number beyond a float), nested at most `jsontext.MAX_DEPTH` deep. `equals` and
    `contains_column` compare texts as they are, or folded; `number_equals` the last number of each; `python` is what a function says. Raises `PatternError`, `FunctionError`.
    """
    match kind:
        case "steps":
            return told.steps()
        case "calls":
            wanted = compile_pattern(pattern)
            return sum(wanted.search(_encodable(call.name)) is not None for call in told.calls())
        case "tool_errors":
            return told.tool_errors()
        case "python":
            said = functions.ask(pattern, told.text(over))
            return math.nan if isinstance(said, str) else said
        case "equals" | "contains_column" | "number_equals":
            check = Against.read(pattern)
            said = cell(check.column)
            return math.nan if isinstance(said, Unfilled) else _alike(kind, told.text(over), said, check)
        case _:
            return measure_text(kind, pattern, told.text(over))


def measure_text(kind: TextKind, pattern: str, text: str) -> float:
    """`measure` for what is counted in a text. Raises `PatternError`."""
    match kind:
        case "words":
            return len(text.split())
        case "characters":
            return len(text)
        case "lines":
            return len(text.splitlines())
        case "sentences":
            return len(compile_pattern(_SENTENCE).findall(_encodable(text)))
        case "count":
            return len(compile_pattern(pattern).findall(_encodable(text)))
        case "matches":
            return int(compile_pattern(pattern).search(_encodable(text)) is not None)
        case "contains":
            return int(pattern in text)
        case "json":
            return int(_json(text) is not None)
        case "json_schema":
            read = _json(text)
            held = read is not None and schema.holds(pattern, read[0])
            return math.nan if held is None else held
        case _:
            assert_never(kind)


def measure_atoms(atoms: Sequence[AtomInfo], told: Conversation, cell: Callable[[str], Cell] = missing) -> list[float]:
    """Truth of every measure among `atoms`, in their order, what a ramp is from 0 to 1, and NaN for the features of rubrics and what cannot be told.

    `cell` is what the row says in a column. Raises `PatternError`.
    """
    counts: dict[tuple[str, str, Judged], float] = {}
    truths: list[float] = []
    for atom in atoms:
        if atom.rubric is not None:
            truths.append(math.nan)
        if atom.measure is None:
            continue
        kind, pattern, threshold = atom.measure
        key = kind, pattern, atom.over
        if key not in counts:
            counts[key] = measure(cast(MeasureKind, kind), pattern, atom.over, told, cell)
        limit = 0 if kind in CHECKS else threshold
        if math.isnan(counts[key]) or (kind == "python" and atom.top is None and counts[key] not in (0.0, 1.0)):
            truths.append(math.nan)
        elif atom.top is not None:
            truths.append(min(max((counts[key] - threshold) / (atom.top - threshold), 0.0), 1.0))
        else:
            truths.append(counts[key] > limit)
    return truths


def functions_of(circuit: Circuit) -> tuple[str, ...]:
    """The functions of the user's own that a policy asks, by name."""
    named = (atom.measure[1] for atom in circuit.atoms if atom.measure is not None and atom.measure[0] == "python")
    return tuple(sorted(set(named)))


def silences(circuit: Circuit, number: int, told: Conversation) -> Iterator[str]:
    """Why functions that response type `number` reads say nothing of a completion."""
    if not 0 <= number < len(circuit.responses):
        return
    response = circuit.responses[number]
    read = {*response.atoms, *(feature.index for feature in response.features if feature.kind == "proposition")}
    for atom in (circuit.atoms[at] for at in sorted(read)):
        if atom.measure is not None and atom.measure[0] == "python":
            said = functions.ask(atom.measure[1], told.text(atom.over))
            if isinstance(said, str):
                yield said
            elif atom.top is None and said not in (0.0, 1.0):
                yield f"`{atom.measure[1]}` returned {said:g}, neither true nor false; a number is a feature: `{atom.name} from 0 to 10`"


def _json(text: str) -> tuple[object] | None:
    """The value of a text, None where it is no JSON."""
    try:
        return (parse(text),)
    except JsonError:
        return None


def _alike(kind: Literal["equals", "contains_column", "number_equals"], text: str, other: str, check: Against) -> float:
    if kind != "number_equals":
        said, wanted = _folded(text, check.folds), _folded(other, check.folds)
        return said == wanted if kind == "equals" else wanted in said
    right, found = _last_number(other), _last_number(text)
    if right is None:
        return math.nan
    with localcontext(_DIGITS):
        return found is not None and abs(found - right) <= Decimal(check.within or 0)


def _folded(text: str, folds: Sequence[str]) -> str:
    if "case" in folds:
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return " ".join(text.split()) if "space" in folds else text


def _last_number(text: str) -> Decimal | None:
    """The last number of a text: `1,234.5` has commas between thousands, and in `3-4` there is no sign."""
    text = _encodable(text).replace("\u2212", "-")  # the sign that mathematics is typeset with
    found = deque(compile_pattern(_NUMBER).finditer(text), maxlen=1)
    if not found:
        return None
    last = found[0]
    number = last[0].replace(",", "")
    if number[0] in "+-" and last.start() and text[last.start() - 1].isalnum():
        number = number[1:]
    with localcontext(_DIGITS):
        return Decimal(number)


def _encodable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can carry them, UTF-8 and so RE2 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
