"""How is a circuit written as JSON, and how is JSON of an artefact read that anybody may have written?

`policy.json` is the typed intermediate representation, field for field. It is never read back: the sources say what the
circuit is, and what the file holds has to be the very same JSON (`first_difference`). What no sources say, such as the
manifest, is read by `Field`: every field must be there, no other may be, and every value is of its type and range.

Infinite weight bounds are written as null, since JSON has no infinity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbrlang.jsontext import JsonError, parse
from rbrlang.logic.circuit import Circuit, Diagram, ResponseCircuit, RubricInfo, Variable

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]

_MAX_INT = 1 << 31


class DecodeError(ValueError):
    """JSON that is no circuit; the message names the place in it and the reason."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place or 'the document'} {reason}")


def dump_json(value: Json) -> bytes:
    """Canonical JSON: ASCII, no spaces, keys in the order given, one line feed at the end."""
    return (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode()


def load_json(data: bytes) -> Json:
    """Strict JSON: no repeated keys, no NaN or infinity, no nesting beyond `jsontext.MAX_DEPTH`. Raises `DecodeError`."""
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DecodeError("", f"is not UTF-8 (byte {error.start})") from error
    except JsonError as error:
        raise DecodeError("", f"cannot be read: {error}") from error


def first_difference(one: Json, other: Json, place: str = "") -> str | None:
    """The place of the first difference between two JSON values, of type too; None where they are the same."""
    inside: list[tuple[str, Json, Json]] = []
    if isinstance(one, Mapping) and isinstance(other, Mapping) and list(one) == list(other):
        inside = [(f"{place}.{key}".lstrip("."), one[key], other[key]) for key in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        inside = [(f"{place}[{at}]", a, b) for at, (a, b) in enumerate(zip(one, other, strict=True))]
    elif type(one) is not type(other) or one != other:
        return place
    return next((found for at, a, b in inside if (found := first_difference(a, b, at)) is not None), None)


# --- writing ----------------------------------------------------------------------------------


def circuit_to_json(circuit: Circuit) -> Json:
    """The circuit as JSON values, all that a reward computes with: of two circuits that differ, they differ."""
    return {
        "fingerprint": circuit.fingerprint,
        "class_probability": circuit.class_probability,
        "atoms": [
            {
                "name": a.name,
                "prior": a.prior,
                "fp": a.fp,
                "fn": a.fn,
                "cost": a.cost,
                "measure": None if a.measure is None else list(a.measure),
                **({} if a.over == "final" else {"over": a.over}),
                **({"columns": list(a.columns)} if a.columns else {}),
                **({} if a.rubric is None else {"rubric": list(a.rubric)}),
                **({} if a.share is None else {"share": [a.share.variable, list(a.share.worth)]}),
                **({} if a.top is None else {"top": a.top}),
            }
            for a in circuit.atoms
        ],
        **({"variables": [_variable_to_json(v) for v in circuit.variables]} if circuit.variables else {}),
        **({"rubrics": [_rubric_to_json(r) for r in circuit.rubrics]} if circuit.rubrics else {}),
        "axioms": _diagram_to_json(circuit.axioms),
        "responses": [_response_to_json(r) for r in circuit.responses],
        "categories": [[name, number] for name, number in circuit.categories],
    }


def _rubric_to_json(rubric: RubricInfo) -> Json:
    return {
        "name": rubric.name,
        "column": rubric.column,
        "points": rubric.points,
        "clip": None if rubric.clip is None else list(rubric.clip),
        "tags": list(rubric.tags),
        "over": rubric.over,
        "columns": list(rubric.columns),
    }


def _variable_to_json(variable: Variable) -> Json:
    return {
        "name": variable.domain.name,
        "kind": variable.domain.kind,
        "values": list(variable.domain.values),
        "prior": list(variable.prior),
        "cost": variable.cost,
        "over": variable.over,
        "columns": list(variable.columns),
    }


def _response_to_json(response: ResponseCircuit) -> Json:
    return {
        "name": response.name,
        "ranks": [list(tier) for tier in response.ranks],
        "diagram": _diagram_to_json(response.diagram),
        "product": {
            "steps": [[s.op, *s.args] for s in response.product.steps],
            "outputs": list(response.product.outputs),
        },
        "features": [[f.name, f.kind, f.index] for f in response.features],
        "bounds": [[b if math.isfinite(b) else None for b in pair] for pair in response.bounds],
        "margins": list(response.margins),
        "atoms": list(response.atoms),
    }


def _diagram_to_json(diagram: Diagram) -> Json:
    return {
        "terminals": list(diagram.terminals),
        "nodes": [list(node) for node in diagram.nodes],
        "root": diagram.root,
    }


# --- reading ----------------------------------------------------------------------------------


class Field:
    """A JSON value and its place in the document, with the checks that turn it into a typed value."""

    __slots__ = ("place", "value")

    def __init__(self, value: Any, place: str = "") -> None:
        self.value = value
        self.place = place

    def error(self, reason: str) -> DecodeError:
        """A `DecodeError` at this place."""
        return DecodeError(f"`{self.place}`" if self.place else "", reason)

    def fields(self, *names: str, **otherwise: Any) -> tuple[Field, ...]:
        """The fields of an object that has exactly these names; those of `otherwise` may be missing, and have that value."""
        if not isinstance(self.value, dict):
            raise self.error("is not an object")
        mapping = cast(dict[str, Any], self.value)
        for name in names:
            if name not in mapping:
                raise self.error(f"lacks the field `{name}`")
        extra = sorted(set(mapping) - set(names) - set(otherwise))
        if extra:
            raise self.error(f"has the field `{extra[0][:40]}`, which this version does not know")
        prefix = f"{self.place}." if self.place else ""
        return tuple(Field({**otherwise, **mapping}[name], prefix + name) for name in (*names, *otherwise))

    def items(self, length: int | None = None) -> list[Field]:
        """The items of an array, of exactly `length` when given."""
        if not isinstance(self.value, list):
            raise self.error("is not an array")
        values = cast(list[Any], self.value)
        if length is not None and len(values) != length:
            raise self.error(f"has {len(values)} items, expected {length}")
        return [Field(v, f"{self.place}[{i}]") for i, v in enumerate(values)]

    def text(self, *, empty: bool = False) -> str:
        """A string; not empty unless allowed."""
        if not isinstance(self.value, str) or not (self.value or empty):
            raise self.error("is not a string with something in it" if not empty else "is not a string")
        return self.value

    def choice(self, options: Sequence[str]) -> str:
        """One of a few strings."""
        if self.value not in options or not isinstance(self.value, str):
            raise self.error("is none of " + ", ".join(f"`{o}`" for o in options))
        return self.value

    def integer(self, low: int, high: int) -> int:
        """An integer with low <= value < high."""
        if type(self.value) is not int or not low <= self.value < high:
            raise self.error(f"is not an integer from {low} to {high - 1}")
        return self.value

    def number(self, low: float = -math.inf, high: float = math.inf) -> float:
        """A finite number with low <= value <= high."""
        value = self.value
        if type(value) is int and abs(value) < _MAX_INT:
            value = float(value)
        if type(value) is not float or not math.isfinite(value) or not low <= value <= high:
            raise self.error(f"is not a finite number from {low} to {high}")
        return value
