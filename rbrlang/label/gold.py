"""How are labels written as rows that every command reads?

A row is what it was, with `labels`, `met` of its criteria, or `pair` and `preferred`. Beside them stand `annotations`, what each annotator
answered, and `sample`: whether the row is of the `random` share, which stands for all rows, or was `picked`. What a row said itself of questions
that nobody was asked stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from rbrlang.jsontext import parse_with_constants
from rbrlang.label.pick import Order
from rbrlang.label.questions import Question
from rbrlang.label.settled import Settled


def gold(order: Order, found: Settled) -> Iterator[dict[str, Any]]:
    """The rows that anybody was asked about, with settled labels in the columns of rows, and all answers in `annotations`."""
    desk = order.desk
    of_row: dict[int, list[int]] = {}
    for at, unit in enumerate(desk.units):
        if unit.key in found.said or unit.key in found.labels:
            for row in {unit.row, unit.place} if desk.questions[unit.question].kind == "better" else {unit.row}:
                of_row.setdefault(row, []).append(at)
    for row in sorted(of_row):
        yield _row(order, row, of_row[row], found)


def _row(order: Order, number: int, units: Sequence[int], found: Settled) -> dict[str, Any]:
    desk = order.desk
    row = desk.rows[number]
    labels: dict[str, Any] = {**row.labels, **{name: _level(value) for name, value in row.value_labels.items()}}
    out: dict[str, Any] = {"id": row.id, **row.raw}
    answers: dict[str, dict[str, str]] = {}
    for unit in (desk.units[at] for at in units):
        question, value = desk.questions[unit.question], found.labels.get(unit.key)
        name = question.name + (f"#{unit.place + 1}" if question.kind == "criterion" else "")
        answers[name] = dict(found.said.get(unit.key, {}))
        match question.kind:
            case "yes_no":
                labels[name] = None if value is None else value == "yes"
            case "scale" | "choice":
                labels[name] = value if value is None or question.kind == "choice" else _level(value)
            case "criterion":
                _met(order, out, question, unit.place, value)
            case "better":
                out.pop("preferred", None)
                if value is not None:
                    out |= {"pair": unit.key, "preferred": (value == "first") == (number == unit.row)}
    if labels:
        out["labels"] = labels
    return out | {"annotations": answers, "sample": "random" if order.honest[number] else "picked"}


def _met(order: Order, out: dict[str, Any], question: Question, place: int, value: str | None) -> None:
    """Say in a row's criteria whether one is met."""
    circuit = order.desk.policy.circuit
    column = circuit.rubrics[question.number - len(circuit.propositions)].column
    given = out[column]
    criteria = list(cast("list[dict[str, Any]]", parse_with_constants(given) if isinstance(given, str) else given))
    kept = {name: said for name, said in criteria[place].items() if name != "criteria_met"}
    criteria[place] = kept | {"met": None if value is None else value == "yes"}
    out[column] = criteria


def _level(value: str) -> int | str:
    """A label of a scale or choice as rows have it: levels are numbers."""
    return int(value) if value.lstrip("-").isdigit() else value
