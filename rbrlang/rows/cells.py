"""What does a row say in a column that a question names?

A `Cell` is the text to be shown, or the reason why there is none. Text is taken as it is, a number as it is written, a
whole one without a decimal point whatever a table made of it. Nothing else is text: how a list, an object, or true and
false should be put into words is for the data to say.

    >>> cells({"reference": "Paris", "page": 12.0, "aliases": ["Paris"]}, ("reference", "page", "aliases", "year"))
    ... # doctest: +NORMALIZE_WHITESPACE
    (('reference', 'Paris'), ('page', '12'), ('aliases', Unfilled(reason='the column `aliases` is a list, not text')),
     ('year', Unfilled(reason='there is no column `year`')))
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from rbrlang.rows.formats import Broken


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A row that has no text in a column, and why."""

    reason: str


Cell: TypeAlias = "str | Unfilled"
Cells: TypeAlias = "tuple[tuple[str, Cell], ...]"
"""Columns by name, each once."""


def cells(row: Mapping[str, object], columns: Iterable[str]) -> Cells:
    """What a row says in each of the columns."""
    return tuple((name, cell(name, row[name]) if name in row else missing(name)) for name in columns)


def missing(column: str) -> Unfilled:
    """The cell of a row that lacks the column."""
    return Unfilled(f"there is no column `{column}`")


def cell(column: str, value: object) -> Cell:
    """The cell that a value makes."""
    if isinstance(value, Broken):
        return Unfilled(f"the column `{column}` cannot be told: {value.reason}")
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        what = "true or false" if isinstance(value, bool) else "a list" if isinstance(value, list) else "an object"
        return Unfilled(f"the column `{column}` is {what}, not text")
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return Unfilled(f"the column `{column}` is empty")
    if isinstance(value, str):
        return value if value.strip() else Unfilled(f"the column `{column}` is empty")
    try:
        return str(int(value)) if isinstance(value, int) or value.is_integer() else repr(value)
    except ValueError:  # more digits than Python writes
        return Unfilled(f"the column `{column}` is a whole number of too many digits")
