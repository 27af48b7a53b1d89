"""Which graders need no server: a person's labels, probabilities at hand, the user's own function.

Each answers `items` and, for each item, the propositions wanted, with one mapping an item, in order: the
shape that every grader shares. What a label, a file or a function does not say is an abstention; what it
says wrongly is invalid; neither is ever a number.
"""

from __future__ import annotations

import csv
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import assert_never, cast

import numpy as np

from rbrlang.grading.boundary import attempt, consulted, described, displayed
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.heads import HeadsError, read_heads
from rbrlang.grading.endpoint.remote import mapping
from rbrlang.grading.judge import Grader
from rbrlang.grading.questions.specs import EmbeddedSpec, GraderError, PythonSpec
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, certain, finite, is_probability
from rbrlang.jsontext import JsonError, NotJsonError, parse_with_constants
from rbrlang.lang.program import Proposition

Batched = Callable[[Sequence[GradeItem], Sequence[str]], Sequence[Mapping[str, float | None]]]
"""The user's own grader: items and the names of the propositions that any of them needs, to one mapping
from name to P(yes) an item, in order. A name left out, or None, is an abstention."""


def reading_grader(
    spec: EmbeddedSpec | PythonSpec, propositions: Sequence[Proposition], heads: Path | None = None
) -> Grader:
    """The grader in this process that reads text; `heads` are the user's own. Raises `GraderError`, OSError."""
    match spec:
        case EmbeddedSpec():
            try:
                return EmbeddedGrader(propositions, None if heads is None else read_heads(heads))
            except HeadsError as error:
                raise GraderError(str(error)) from error
        case PythonSpec(target):
            return function_grader(target, [p.name for p in propositions])
        case _:
            assert_never(spec)


# --- labels -----------------------------------------------------------------------------------


class LabelGrader:
    """Human labels as probabilities 0 and 1. `labels[i]` belongs to the item with the i-th id."""

    identity = "labels"

    def __init__(self, names: Sequence[str], ids: Sequence[str], labels: Sequence[Mapping[str, bool | None]]) -> None:
        self._names = tuple(names)
        self._labels = dict(zip(ids, labels, strict=True))

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """A value where there is a label, an abstention where there is none."""
        return tuple(
            {p: self._answer(self._labels.get(item.id, {}).get(self._names[p])) for p in asked}
            for item, asked in zip(items, wanted, strict=True)
        )

    @staticmethod
    def _answer(label: bool | None) -> Answer:
        return Abstained("no label") if label is None else certain(float(label), "label")


# --- probabilities at hand ---------------------------------------------------------------------


class TableGrader:
    """Probabilities by the id of an item, then by name; a missing one, or None, is an abstention.

    A value that is no probability is invalid and costs nothing else.
    """

    def __init__(self, identity: str, rows: Mapping[str, Mapping[str, object]], names: Sequence[str]) -> None:
        self.identity = identity
        self._rows, self._names = rows, tuple(names)

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """A value where there is a probability for the item's id, else an abstention."""
        return tuple(
            {p: self._answer(item.id, self._names[p]) for p in asked} for item, asked in zip(items, wanted, strict=True)
        )

    def _answer(self, item: str, name: str) -> Answer:
        row = self._rows.get(item)
        if row is None:
            return Abstained(f"`{self.identity}` has no row `{item}`")
        value = row.get(name)
        if value is None:
            return Abstained(f"`{self.identity}` has no `{name}` for row `{item}`")
        p = finite(value)
        if p is None or not is_probability(p):
            return Invalid("grader", f"`{self.identity}` has {value!r} for `{name}` of row `{item}`: no probability")
        return certain(p, "table")


def table_grader(path: Path, names: Sequence[str]) -> TableGrader:
    """The probabilities of a file.

    JSONL: one object a line with `id` and `probs`, an object from name to probability or null, such as
    `rbrc grade` writes. CSV, by the ending `.csv`: a column `id` and one a proposition, empty for none.
    Raises `GraderError` for a file that cannot be read so.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise GraderError(f"cannot read `{path}`: {(reason or str(error)).lower()}") from error
    rows = _from_csv(path, text) if path.suffix == ".csv" else _from_jsonl(path, text)
    if rows and not any(set(names) & row.keys() for row in rows.values()):
        raise GraderError(
            f"`{path}` has no probability for any proposition of this policy; it should name "
            + ", ".join(f"`{name}`" for name in names[:3])
            + (", …" if len(names) > 3 else "")
        )
    return TableGrader(f"table:{path}", rows, names)


def _from_jsonl(path: Path, text: str) -> dict[str, Mapping[str, object]]:
    rows: dict[str, Mapping[str, object]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = mapping(parse_with_constants(line))
        except NotJsonError:
            row = None
        except JsonError as error:
            raise GraderError(f"`{path}`, line {number}: {error}") from error
        name = row.get("id") if row is not None else None
        probs = mapping(row.get("probs")) if row is not None else None
        if isinstance(name, int) and not isinstance(name, bool):
            name = str(name)
        if not isinstance(name, str) or probs is None:
            raise GraderError(f"`{path}`, line {number}: not an object with an `id` and an object `probs`")
        if name in rows:
            raise GraderError(f"`{path}`, line {number}: the id `{name}` occurs twice")
        rows[name] = probs
    return rows


def _from_csv(path: Path, text: str) -> dict[str, Mapping[str, object]]:
    table = csv.DictReader(text.splitlines())
    if "id" not in (table.fieldnames or ()):
        raise GraderError(f"`{path}` has no column `id`")
    rows: dict[str, Mapping[str, object]] = {}
    for row in table:
        if row["id"] in rows:
            raise GraderError(f"`{path}`, line {table.line_num}: the id `{row['id']}` occurs twice")
        rows[row["id"]] = {name: _number(cell) for name, cell in row.items() if name != "id"}
    return rows


def _number(cell: str | None) -> object:
    if cell is None or not cell.strip():
        return None
    try:
        return float(cell)
    except ValueError:
        return cell


# --- a function -------------------------------------------------------------------------------


class FunctionGrader:
    """The user's own grader, see `Batched`; called with `batch` items at a time.

    An exception, or a result of the wrong length, makes that batch invalid; a value that is no
    probability makes that answer invalid.
    """

    def __init__(self, identity: str, function: Batched, names: Sequence[str], batch: int = 256) -> None:
        self.identity = identity
        self._who = f"`{identity}`"
        self._function = function
        self._names = tuple(names)
        self._batch = batch

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """What the function says, checked."""
        out: list[Mapping[int, Answer]] = []
        for start in range(0, len(items), self._batch):
            some, asked = items[start : start + self._batch], wanted[start : start + self._batch]
            names = [self._names[p] for p in sorted({p for each in asked for p in each})]
            given = consulted(self._who, partial(self._function, some, names), len(some))
            out += [
                {p: self._answer(found, self._names[p]) for p in each} for found, each in zip(given, asked, strict=True)
            ]
        return tuple(out)

    def _answer(self, found: object, name: str) -> Answer:
        if isinstance(found, Invalid):
            return found
        if not isinstance(found, Mapping):
            return Invalid("grader", f"{self._who} returned a {type(found).__name__} for one item, no mapping")
        value = attempt(self._who, lambda: cast("Mapping[str, object]", found).get(name))
        if isinstance(value, Invalid):
            return value
        if value is None:
            return Abstained(f"{self._who} did not judge this")
        p = attempt(self._who, lambda: _as_float(value))
        if isinstance(p, Invalid):
            return p
        if not is_probability(p):
            return Invalid("grader", f"{self._who} returned {displayed(value)} for `{name}`: no probability")
        return certain(p, "function")


def _as_float(value: object) -> float:
    """A number of Python, numpy or a like library; NaN for what is none. May raise whatever the value does."""
    if isinstance(value, bool | np.bool_ | str | bytes | bytearray):
        return math.nan  # text is no number, though `float` would read some
    try:
        return float(cast(float, value))  # numpy's numbers are welcome, and so is their NaN: it is invalid
    except (TypeError, ValueError, OverflowError):
        return math.nan


def function_grader(target: str, names: Sequence[str]) -> FunctionGrader:
    """The grader `module.function`, imported. Raises `GraderError` where there is none."""
    module, _, function = target.rpartition(".")
    if not module:
        raise GraderError(f"`python:{target}` names no function; write `python:module.function`")
    try:
        found = getattr(importlib.import_module(module), function, None)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may end the process as it is imported
        raise GraderError(f"cannot import `{module}`: {described(error)}") from error
    if not callable(found):
        raise GraderError(f"the module `{module}` has no function `{function}`")
    return FunctionGrader(f"python:{target}", cast(Batched, found), names)
