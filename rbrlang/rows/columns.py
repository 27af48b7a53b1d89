"""What are the columns of a row called, here and elsewhere?

A column with one of our names is always that column. Where there is none, a common public name for it is understood,
and where two of them could be meant the row cannot be used: nobody guesses. A mapping (`--column prompt=instruction`)
goes before both. Objects may be spread over columns, as tables have them: `labels.polite`, `probs.polite`.

Rows otherwise stay as they were read; a `Names` only finds what they say.
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from rbrlang.diagnostics import did_you_mean
from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.rows.formats import RowsError
from rbrlang.rows.thought import THOUGHT_MARKS, Marks
from rbrlang.rows.values import json_value

OWN = (
    "id", "prompt", "completion", "messages", "chosen", "rejected", "response_type", "category", "class", "labels",
    "probs", "base_reward", "pair", "preferred", "rank", "score", "margin",
)  # fmt: skip
PUBLIC: Mapping[str, tuple[str, ...]] = {
    "prompt": ("instruction", "question", "query", "problem", "input"),
    "completion": ("response", "answer", "output", "generation", "generated_text", "model_response"),
    "messages": ("conversations", "conversation"),
    "labels": ("propositions",),
    "class": ("completion_type",),
    "base_reward": ("rm_score",),
}
"""Names that the same thing has in public data: Alpaca, Dolly, ShareGPT, question answering, OpenAI's release."""
SPREAD = ("labels", "probs")
_OF_PAIRS = ("pair", "preferred", "rank", "score", "margin")  # looked for by who compares, who says what is wrong
_READ = frozenset({*OWN, "prompt_completion", "features"}) - set(_OF_PAIRS)
_OWN_OF = {name: own for own, public in PUBLIC.items() for name in public}

_OF_PYTHON = re.compile(r"\[?\{['\"]")
_OF_TURNS = re.compile(r"\s*\[\{['\"](role|from|content|value)['\"]:")
_LONGEST = 2**20
OfValues = tuple[tuple[str, tuple[str, ...]], ...]
"""Scales and choices, each with the names of what `probs` says of its values."""
_Plan = tuple[tuple[tuple[str, tuple[str, ...]], ...], tuple[tuple[str, str, str], ...]]


class UnusableError(ValueError):
    """A row that cannot be used; the message is the reason."""


def is_missing(value: Any) -> bool:
    """Whether a cell says nothing: null, NaN or an empty text."""
    return value is None or (type(value) is str and not value) or (type(value) is float and math.isnan(value))


@dataclass(frozen=True, slots=True)
class Names:
    """Which column says what. `mapped` are pairs of our name, or `labels.NAME`, and the column that has it.

    An assistant thinks between `marks`. Of a policy, `criteria` are the columns that its rubrics are read from, `values`
    its scales and choices, each with the names of what `probs` says of its values, and `declared` those that it names itself,
    which say nothing else.
    """

    mapped: tuple[tuple[str, str], ...] = ()
    marks: Marks = THOUGHT_MARKS
    criteria: tuple[str, ...] = ()
    values: OfValues = ()
    declared: tuple[str, ...] = ()

    def column(self, own: str) -> str:
        """The column that says this where nothing but its name tells."""
        return dict(self.mapped).get(own, own)

    def reads(self, column: str, row: Mapping[str, Any]) -> bool:
        """Whether what a row is follows from this column of it; any other is passed on."""
        own, _, part = column.partition(".")
        if column in _READ or (part and own in SPREAD) or any(theirs == column for _, theirs in self.mapped):
            return True
        return column in _OWN_OF and column not in self.declared and row.get(_OWN_OF[column]) is None

    def renamed(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the policy's columns under the policy's names; itself where they are not called otherwise."""
        found = {own: row[column] for own, column in self.mapped if own in self.declared and column in row}
        return {**row, **found} if found else row

    def fields(self, row: dict[str, Any]) -> dict[str, Any]:
        """What a row says, by our names; the row itself where it uses them. Raises `UnusableError`."""
        aliases, spread = _plan(self, tuple(row))
        if not aliases and not spread and not self.mapped:
            return row
        fields = dict(row)
        for own, column in self.mapped:
            if "." not in own:
                fields[own] = row.get(column)
        for own, columns in aliases:
            if fields.get(own) is None and not (own == "completion" and _says_completion(fields)):
                fields[own] = _one(own, columns, row)
        for own, name, column in spread:
            inner = fields.get(own)
            if isinstance(inner, dict) or is_missing(inner):
                fields[own] = {**(cast("dict[str, Any]", inner) if inner else {}), name: row.get(column)}
        return fields


def gathered(row: dict[str, Any]) -> dict[str, Any]:
    """The row with `labels` and `probs` as objects where they are spread over columns; itself where they are not."""
    spread = _spread(tuple(row))
    if not spread:
        return row
    parts = {column for _, _, column in spread}
    whole: dict[str, Any] = {}
    for column, value in row.items():
        if column not in parts:
            whole[column] = value
            continue
        own, _, name = column.partition(".")
        whole.setdefault(own, {})[name] = value
    return whole


def names_of(pairs: Mapping[str, str], marks: Marks = THOUGHT_MARKS, declared: tuple[str, ...] = ()) -> Names:
    """Names from a mapping of ours, or of those that a policy declares, to the columns of a file. Raises `RowsError`."""
    for own in pairs:
        if own not in (*OWN, *declared) and own.partition(".")[0] not in SPREAD:
            there = did_you_mean(own, (*OWN, *declared))
            raise RowsError(f"no column of a row is called `{own}`; {there}")
    return Names(tuple(sorted(pairs.items())), marks, declared=declared)


@lru_cache(maxsize=64)
def _plan(names: Names, columns: tuple[str, ...]) -> _Plan:
    """The public names among a row's columns, and the columns that are parts of an object."""
    mapped = dict(names.mapped)
    taken = set(mapped.values())
    aliases = tuple(
        (own, found)
        for own, public in PUBLIC.items()
        if own not in mapped
        and (found := tuple(n for n in public if n in columns and n not in taken and n not in names.declared))
    )
    spread = [(*own.split(".", 1), column) for own, column in names.mapped if "." in own]
    return aliases, cast("tuple[tuple[str, str, str], ...]", tuple(spread))


@lru_cache(maxsize=64)
def _spread(columns: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    """The columns that are parts of an object which has none of its own, with its name and theirs."""
    found = ((*column.partition("."), column) for column in columns)
    return tuple((own, name, column) for own, _, name, column in found if own in SPREAD and name and own not in columns)


def _says_completion(fields: Mapping[str, Any]) -> bool:
    forms = ("messages", *PUBLIC["messages"], "prompt_completion", "chosen")
    return any(fields.get(name) is not None for name in forms)


def _one(own: str, columns: tuple[str, ...], row: Mapping[str, Any]) -> Any:
    said = [(column, row[column]) for column in columns if not is_missing(row[column])]
    if own == "prompt" and [column for column, _ in said] == ["instruction", "input"]:
        instruction, given = said[0][1], said[1][1]
        if isinstance(instruction, str) and isinstance(given, str):
            return f"{instruction}\n\n{given}"  # Alpaca: a task, and what it is to be done with
    if any(value != said[0][1] for _, value in said[1:]):
        both = " and ".join(f"`{column}`" for column, _ in said)
        raise UnusableError(
            f"{both} could each be the `{own}`; call one of them that, or say which it is, as in "
            f"`--column {own}={said[0][0]}`"
        )
    return said[0][1] if said else row[columns[0]]


# --- cells of tables ----------------------------------------------------------------------------


def typed(names: Names, cells: dict[str, str]) -> dict[str, Any]:
    """A row of a table, whose cells are text, with numbers and JSON where ours are: in no other column.

    Raises `UnusableError` where messages were written in a way that nothing reads back.
    """
    row: dict[str, Any] = dict(cells)
    for column, kind in _cells(names, tuple(cells)):
        row[column] = _number(cells[column]) if kind == "number" else _json(cells[column], turns=kind == "turns")
        if kind == "turns" and isinstance(row[column], str) and _OF_TURNS.match(row[column]):
            raise UnusableError(
                f"`{column}` looks like a list of messages, but is neither JSON nor a literal of Python"
            )
    return row


@lru_cache(maxsize=64)
def _cells(names: Names, columns: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    kinds = {"base_reward": "number", "features": "json", "prompt_completion": "json"}
    kinds |= dict.fromkeys(("labels", "probs", "messages"), "json")
    kinds |= dict.fromkeys(("prompt", "completion", "chosen", "rejected"), "turns")
    kinds |= {alias: kinds[own] for own, aliases in PUBLIC.items() if own in kinds for alias in aliases}
    for own, column in names.mapped:
        kinds[column] = "number" if own.startswith("probs.") else kinds.get(own, "text")
    found = ((c, "number" if c.startswith("probs.") else kinds.get(c, "text")) for c in columns)
    return tuple((column, kind) for column, kind in found if kind != "text")


def _number(cell: str) -> Any:
    text = cell.strip()
    try:
        return float(text) if text.isascii() and "_" not in text else cell
    except ValueError:
        return text


def _json(cell: str, *, turns: bool) -> Any:
    """The value of a cell that holds JSON; the text itself where it holds none, or where it may as well be a text."""
    text = cell.strip()
    if not text.startswith("[" if turns else ("[", "{")):
        return cell
    try:
        found = parse_with_constants(text)
    except JsonError:
        found = _written_by_python(text)
    return cell if found is None or (turns and not _are_turns(found)) else found


def _written_by_python(text: str) -> Any:
    """What pandas writes of a list or an object, `[{'role': …}]`; None where it is nothing of the kind."""
    if not _OF_PYTHON.match(text) or len(text) > _LONGEST:
        return None
    try:
        return json_value(ast.literal_eval(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return None


def _are_turns(value: Any) -> bool:
    return bool(value) and all(isinstance(turn, dict) and ("role" in turn or "from" in turn) for turn in value)
