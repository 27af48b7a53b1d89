"""Which graders need no server: a person's labels, probabilities at hand, the user's own function.

Each answers `items` and, for each item, the propositions wanted, with one mapping an item, in order: the
shape that every grader shares. What a label, a file or a function does not say is an abstention; what it
says wrongly is invalid; neither is ever a number.
"""

from __future__ import annotations

import csv
import hashlib
import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import assert_never, cast

import numpy as np

from rbrlang.grading.boundary import attempt, consulted, described, displayed, distributed
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.embedded.heads import HeadsError, read_heads
from rbrlang.grading.judge import Grader
from rbrlang.grading.questions.specs import EmbeddedSpec, GraderError, PythonSpec
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, certain, finite, is_probability, spread
from rbrlang.jsontext import JsonError, NotJsonError, mapping, parse_with_constants
from rbrlang.lang.program import Proposition, Variable
from rbrlang.lang.variables import Domain

OfValues = Mapping[str, float] | str | int
Batched = Callable[[Sequence[GradeItem], Sequence[str]], Sequence[Mapping[str, float | OfValues | None]]]
"""The user's own grader: items and the names of the propositions and variables that any of them needs, to one mapping
from name to P(yes) an item, in order. Of a scale or a choice it has a mapping from value to probability, or the level or option
itself. A name left out, or None, is an abstention."""
_NO_DOMAINS: Mapping[int, Domain] = MappingProxyType({})


def reading_grader(
    spec: EmbeddedSpec | PythonSpec, questions: Sequence[Proposition | Variable], heads: Path | None = None
) -> Grader:
    """The grader in this process that reads text; `heads` are the user's own. Raises `GraderError`, OSError."""
    match spec:
        case EmbeddedSpec():
            try:
                yes_no = [p for p in questions if isinstance(p, Proposition)]  # variables come last
                return EmbeddedGrader(yes_no, None if heads is None else read_heads(heads))
            except HeadsError as error:
                raise GraderError(str(error)) from error
        case PythonSpec(target):
            domains = {at: asked.domain for at, asked in enumerate(questions) if isinstance(asked, Variable)}
            return function_grader(target, [p.name for p in questions], domains)
        case _:
            assert_never(spec)


# --- labels -----------------------------------------------------------------------------------


class LabelGrader:
    """Human labels as probabilities 0 and 1; of a scale or a choice the value. `labels[i]` belongs to the item with the i-th id."""

    identity = "labels"

    def __init__(
        self,
        names: Sequence[str],
        ids: Sequence[str],
        labels: Sequence[Mapping[str, bool | str | None]],
        domains: Mapping[int, Domain] = _NO_DOMAINS,
    ) -> None:
        self._names, self._domains = tuple(names), domains
        self._labels = dict(zip(ids, labels, strict=True))

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """A value where there is a label, an abstention where there is none."""
        return tuple(
            {p: self._answer(self._labels.get(item.id, {}).get(self._names[p]), p) for p in asked}
            for item, asked in zip(items, wanted, strict=True)
        )

    def _answer(self, label: bool | str | None, question: int) -> Answer:
        if label is None:
            return Abstained("no label")
        if isinstance(label, str):
            return spread({value: float(value == label) for value in self._domains[question].values}, "label")
        return certain(float(label), "label")


# --- probabilities at hand ---------------------------------------------------------------------


class TableGrader:
    """Probabilities by the id of an item, then by name; a missing one, or None, is an abstention.

    Those of a variable's values are an object under its name, or stand under `variable.value` each; `domains` are the variables
    by their number. A value that is no probability is invalid and costs nothing else. `name` is what messages call it.
    """

    def __init__(
        self,
        identity: str,
        rows: Mapping[str, Mapping[str, object]],
        names: Sequence[str],
        domains: Mapping[int, Domain] = _NO_DOMAINS,
        name: str | None = None,
    ) -> None:
        self.identity, self._said = identity, identity if name is None else name
        self._rows, self._names, self._domains = rows, tuple(names), domains

    def answers(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> tuple[Mapping[int, Answer], ...]:
        """A value where there is a probability for the item's id, else an abstention."""
        return tuple({p: self._answer(item.id, p) for p in asked} for item, asked in zip(items, wanted, strict=True))

    def _answer(self, item: str, question: int) -> Answer:
        row, name, domain = self._rows.get(item), self._names[question], self._domains.get(question)
        if row is None:
            return Abstained(f"`{self._said}` has no row `{item}`")
        value = row.get(name)
        if domain is not None:
            parts = {key.removeprefix(f"{name}."): p for key, p in row.items() if key.startswith(f"{name}.")}
            given = parts if value is None else mapping(value)
            if given is None:
                return Invalid(
                    "grader", f"`{self._said}` has {value!r} for `{name}` of row `{item}`: no object by value"
                )
            if any(p is not None for p in given.values()):
                return distributed(given, domain, f"`{self._said}`, row `{item}`,", "table")
            value = None
        if value is None:
            return Abstained(f"`{self._said}` has no `{name}` for row `{item}`")
        p = finite(value)
        if p is None or not is_probability(p):
            return Invalid("grader", f"`{self._said}` has {value!r} for `{name}` of row `{item}`: no probability")
        return certain(p, "table")


def table_grader(path: Path, names: Sequence[str], domains: Mapping[int, Domain] = _NO_DOMAINS) -> TableGrader:
    """The probabilities of a file.

    JSONL: one object a line with `id` and `probs`, an object from name to probability or null, such as
    `rbrc grade` writes. CSV, by the ending `.csv`: a column `id` and one a proposition or `variable.value`, empty for none.
    Raises `GraderError` for a file that cannot be read so.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise GraderError(f"cannot read `{path}`: {(error.strerror or str(error)).lower()}; check the path") from error
    except UnicodeDecodeError as error:
        raise GraderError(f"cannot read `{path}`: it is not UTF-8; save it so") from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    rows = _from_csv(path, text) if path.suffix == ".csv" else _from_jsonl(path, text)
    known = {*names, *(f"{domain.name}.{value}" for domain in domains.values() for value in domain.values)}
    if rows and not any(known & row.keys() for row in rows.values()):
        raise GraderError(
            f"`{path}` has no probability for any proposition of this policy; it should name "
            + ", ".join(f"`{name}`" for name in names[:3])
            + (", …" if len(names) > 3 else "")
        )
    digest = hashlib.sha256(data).hexdigest()[:16]  # wherever the file lies, and however its place was written
    return TableGrader(f"table:{digest}", rows, names, domains, f"table:{path}")


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

    def __init__(
        self,
        identity: str,
        function: Batched,
        names: Sequence[str],
        batch: int = 256,
        domains: Mapping[int, Domain] = _NO_DOMAINS,
    ) -> None:
        self.identity = identity
        self._domains = domains
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
                {p: self._answer(found, self._names[p], self._domains.get(p)) for p in each}
                for found, each in zip(given, asked, strict=True)
            ]
        return tuple(out)

    def _answer(self, found: object, name: str, domain: Domain | None) -> Answer:
        if isinstance(found, Invalid):
            return found
        if not isinstance(found, Mapping):
            return Invalid("grader", f"{self._who} returned a {type(found).__name__} for one item, no mapping")
        value = attempt(self._who, lambda: cast("Mapping[str, object]", found).get(name))
        if isinstance(value, Invalid):
            return value
        if value is None:
            return Abstained(f"{self._who} did not judge this")
        if domain is not None:
            return self._of_values(value, domain)
        p = attempt(self._who, lambda: _as_float(value))
        if isinstance(p, Invalid):
            return p
        if not is_probability(p):
            return Invalid("grader", f"{self._who} returned {displayed(value)} for `{name}`: no probability")
        return certain(p, "function")

    def _of_values(self, value: object, domain: Domain) -> Answer:
        """What a function says of a variable: probabilities by value, a level or an option."""
        if not isinstance(value, Mapping):
            return self._one(value, domain)
        given = attempt(
            self._who,
            lambda: {
                str(key): None if p is None else _as_float(p)
                for key, p in cast("Mapping[object, object]", value).items()
            },
        )
        if isinstance(given, Invalid):
            return given
        if all(p is None for p in given.values()):
            return Abstained(f"{self._who} did not judge this")
        return distributed(given, domain, self._who, "function")

    def _one(self, value: object, domain: Domain) -> Answer:
        level = value if isinstance(value, str) else attempt(self._who, lambda: f"{_as_float(value):g}")
        if isinstance(level, Invalid):
            return level
        if level not in domain.values:
            there = ", ".join(domain.values)
            return Invalid(
                "grader",
                f"{self._who} returned {displayed(value)} for `{domain.name}`, which has no such value; there are {there}",
            )
        return spread({one: float(one == level) for one in domain.values}, "function")


def _as_float(value: object) -> float:
    """A number of Python, numpy or a like library; NaN for what is none. May raise whatever the value does."""
    if isinstance(value, bool | np.bool_ | str | bytes | bytearray):
        return math.nan  # text is no number, though `float` would read some
    try:
        return float(cast(float, value))  # numpy's numbers are welcome, and so is their NaN: it is invalid
    except (TypeError, ValueError, OverflowError):
        return math.nan


def function_grader(target: str, names: Sequence[str], domains: Mapping[int, Domain] = _NO_DOMAINS) -> FunctionGrader:
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
        raise GraderError(f"the module `{module}` has no function `{function}`; check the name")
    return FunctionGrader(f"python:{target}", cast(Batched, found), names, domains=domains)
