"""How is a circuit written as JSON, and what must hold of JSON before it becomes a circuit?

`policy.json` is the typed intermediate representation, field for field. The decoder trusts nothing: every
field must be there, no other may be, every number is checked against its range and every reference against
what precedes it, so that a decoded circuit can be folded without a further look.

Infinite weight bounds are written as null, since JSON has no infinity.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast, get_args

from rbrlang.lang.checks import Against, names_function
from rbrlang.lang.program import OF_A_COLUMN, Feature, Judged, PointsOver
from rbrlang.lang.variables import MAX_VALUES, Domain, Share
from rbrlang.logic.circuit import (
    AtomInfo,
    Circuit,
    Diagram,
    ProductForm,
    ProductTerm,
    ResponseCircuit,
    RubricInfo,
    Variable,
)
from rbrlang.reward.measure import KINDS, PatternError, compile_pattern

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
    """Strict JSON: no repeated keys, no NaN or infinity. Raises `DecodeError`."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            raise DecodeError("", "repeats a key of an object")
        return found

    def constant(name: str) -> Any:
        raise DecodeError("", f"has the number {name}, which no float can hold")

    def number(text: str) -> float:
        value = float(text)
        return value if math.isfinite(value) else constant(text)

    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=pairs, parse_constant=constant, parse_float=number)
    except DecodeError:
        raise
    except (ValueError, RecursionError) as error:
        raise DecodeError("", "is not JSON") from error


def first_difference(one: Json, other: Json, place: str = "") -> str:
    """The place of the first difference between two JSON values that are not the same."""
    if isinstance(one, Mapping) and isinstance(other, Mapping) and list(one) == list(other):
        return next(
            first_difference(one[key], other[key], f"{place}.{key}".lstrip("."))
            for key in one
            if one[key] != other[key]
        )
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(
            first_difference(a, b, f"{place}[{at}]") for at, (a, b) in enumerate(zip(one, other, strict=True)) if a != b
        )
    return place


# --- writing ----------------------------------------------------------------------------------


def circuit_to_json(circuit: Circuit) -> Json:
    """The circuit as JSON values; inverse of `circuit_from_json`."""
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


def circuit_from_json(document: Json) -> Circuit:
    """The circuit that JSON values describe. Raises `DecodeError`."""
    fingerprint, mode, atoms_field, axioms, responses_field, categories_field, variables_field, rubrics_field = Field(
        document
    ).fields("fingerprint", "class_probability", "atoms", "axioms", "responses", "categories", variables=[], rubrics=[])
    variables = tuple(_variable(f) for f in variables_field.items())
    _distinct(variables_field, [v.domain.name for v in variables])
    atoms = tuple(_atom(f, variables) for f in atoms_field.items())
    _distinct(atoms_field, [a.name for a in atoms])
    rubrics = tuple(_rubric(f) for f in rubrics_field.items())
    _distinct(rubrics_field, [r.name for r in rubrics])
    _in_order(atoms_field, atoms, variables)
    _rubrics_atoms(atoms_field, atoms, rubrics)
    truths = sum(a.rubric is None for a in atoms)
    responses = tuple(_response(f, len(atoms), truths) for f in responses_field.items())
    _distinct(responses_field, [r.name for r in responses])
    categories = tuple(_category(f, len(responses)) for f in categories_field.items())
    _distinct(categories_field, [name for name, _ in categories])
    class_probability = cast(Literal["exact", "product"], mode.choice(("exact", "product")))
    return Circuit(
        fingerprint.text(),
        atoms,
        responses,
        categories,
        _diagram(axioms, truths, 0, 2),
        class_probability,
        rubrics,
        variables,
    )


def _rubric(field: Field) -> RubricInfo:
    name, column, points, clip, tags, over, columns = field.fields(
        "name", "column", "points", "clip", "tags", "over", "columns"
    )
    ends = None if clip.value is None else tuple(end.number() for end in clip.items(2))
    if ends is not None and not ends[0] < ends[1]:
        raise clip.error("has its lower end above its upper end")
    found = tuple(tag.text(empty=True) for tag in tags.items())
    _distinct(tags, list(found))
    return RubricInfo(
        name.text(), column.text(), cast(PointsOver, points.choice(get_args(PointsOver))),
        None if ends is None else (ends[0], ends[1]), found, cast(Judged, over.choice(get_args(Judged))),
        tuple(one.text() for one in columns.items()),
    )  # fmt: skip


def _rubrics_atoms(field: Field, atoms: tuple[AtomInfo, ...], rubrics: tuple[RubricInfo, ...]) -> None:
    """Raises `DecodeError` where the atoms of rubrics are not those of their tags, in order."""
    expected = [(r, tag) for r, one in enumerate(rubrics) for tag in (range(len(one.tags)) if one.tags else (-1,))]
    if [a.rubric for a in atoms if a.rubric is not None] != expected:
        raise field.error("has other features of rubrics than its rubrics have")


def _variable(field: Field) -> Variable:
    name, kind, values, prior, cost, over, columns = field.fields(
        "name", "kind", "values", "prior", "cost", "over", "columns"
    )
    spoken = [value.text() for value in values.items()]
    if not 2 <= len(spoken) <= MAX_VALUES:
        raise values.error(f"has {len(spoken)} items, expected 2 to {MAX_VALUES}")
    _distinct(values, spoken)
    return Variable(
        Domain(name.text(), cast(Literal["scale", "choice"], kind.choice(("scale", "choice"))), tuple(spoken)),
        tuple(p.number(0.0, 1.0) for p in prior.items(len(spoken))),
        cost.number(0.0),
        cast(Judged, over.choice(get_args(Judged))),
        tuple(column.text() for column in columns.items()),
    )


def _in_order(field: Field, atoms: Sequence[AtomInfo], variables: Sequence[Variable]) -> None:
    """Propositions, the steps of every variable, measures, readings: what the columns of rows rely on."""
    steps = [share for number, variable in enumerate(variables) for share in variable.domain.steps(number)]
    first = next((at for at, atom in enumerate(atoms) if not atom.asked), len(atoms))
    measures = [at for at, atom in enumerate(atoms) if atom.measure is not None]
    start = first + len(steps)
    if [atom.share for atom in atoms[first:start]] != steps or measures != list(range(start, start + len(measures))):
        raise field.error("is not in the order of propositions, steps of variables, measures and readings")
    behind = [atom.rubric is not None for atom in atoms[start + len(measures) :]]
    readings = [atom.share for atom in atoms[start + len(measures) :] if atom.rubric is None]
    if behind != sorted(behind) or None in readings:
        raise field.error("has a measure before a proposition")
    if any(None in share.worth for share in readings if share is not None):
        raise field.error("has a reading that leaves out values")


def _atom(field: Field, variables: Sequence[Variable]) -> AtomInfo:
    name, prior, fp, fn, cost, measure, over, columns, rubric, share, top = field.fields(
        "name", "prior", "fp", "fn", "cost", "measure", over="final", columns=[], rubric=None, share=None, top=None
    )
    place = None if rubric.value is None else rubric.items(2)
    measured = None if measure.value is None else _measure(measure)
    if sum(one.value is not None for one in (measure, rubric, share)) > 1:
        raise field.error("is of several kinds at once")
    if top.value is not None and measured is None:
        raise top.error("belongs to a measure")
    return AtomInfo(
        name.text(),
        prior.number(0.0, 1.0),
        fp.number(0.0, 1.0),
        fn.number(0.0, 1.0),
        cost.number(0.0),
        measured,
        cast(Judged, over.choice(get_args(Judged))),
        tuple(column.text() for column in columns.items()),
        None if place is None else (place[0].integer(0, _MAX_INT), place[1].integer(-1, _MAX_INT)),
        None if share.value is None else _share(share, variables),
        None if measured is None or top.value is None else top.integer(measured[2] + 1, _MAX_INT),
    )


def _share(field: Field, variables: Sequence[Variable]) -> Share:
    number, worth = field.items(2)
    variable = number.integer(0, len(variables))
    items = worth.items(len(variables[variable].domain.values))
    return Share(variable, tuple(None if item.value is None else item.number(0.0, 1.0) for item in items))


def _measure(field: Field) -> tuple[str, str, int]:
    kind, pattern, threshold = field.items(3)
    measure = kind.choice(KINDS), pattern.text(empty=True), threshold.integer(-_MAX_INT, _MAX_INT)
    if measure[0] in ("count", "matches"):
        try:
            compile_pattern(measure[1])
        except PatternError as error:
            raise pattern.error(str(error)) from error
    if measure[0] == "python" and not names_function(measure[1]):
        raise pattern.error("names no function")
    if measure[0] in OF_A_COLUMN:
        try:
            Against.read(measure[1])
        except ValueError as error:
            raise pattern.error(str(error)) from error
    return measure


def _category(field: Field, responses: int) -> tuple[str, int]:
    name, number = field.items(2)
    return name.text(empty=True), number.integer(0, responses)


def _response(field: Field, atoms: int, truths: int) -> ResponseCircuit:
    """Formulas speak of the first `truths` atoms alone: the others are features of rubrics."""
    name, ranks_field, diagram, product, features_field, bounds, margins, atoms_field = field.fields(
        "name", "ranks", "diagram", "product", "features", "bounds", "margins", "atoms"
    )
    ranks = tuple(tuple(c.text() for c in tier.items()) for tier in ranks_field.items())
    if not ranks or not all(ranks):
        raise ranks_field.error("has no rank, or a rank without a class")
    classes = [c for tier in ranks for c in tier]
    _distinct(ranks_field, classes)
    features = tuple(_feature(f, len(classes), atoms, truths) for f in features_field.items())
    numbers = [f.integer(0, atoms) for f in atoms_field.items()]
    if numbers != sorted(set(numbers)):
        raise atoms_field.error("is not in ascending order")
    return ResponseCircuit(
        name.text(),
        ranks,
        _diagram(diagram, truths, -1, len(classes)),
        _product(product, truths, len(classes)),
        features,
        tuple(_bounds(f) for f in bounds.items(len(features))),
        tuple(f.number() for f in margins.items(len(classes))),
        tuple(numbers),
    )


def _feature(field: Field, classes: int, atoms: int, truths: int) -> Feature:
    name, kind_field, index = field.items(3)
    kind = cast(Literal["class", "proposition"], kind_field.choice(("class", "proposition")))
    number = index.integer(0, classes if kind == "class" else atoms)
    return Feature(name.text(), kind, number, kind != "class" and number >= truths)


def _bounds(field: Field) -> tuple[float, float]:
    low, high = field.items(2)
    pair = (
        -math.inf if low.value is None else low.number(),
        math.inf if high.value is None else high.number(),
    )
    if pair[0] > pair[1]:
        raise field.error("has its lower bound above its upper bound")
    return pair


def _diagram(field: Field, atoms: int, low_terminal: int, high_terminal: int) -> Diagram:
    terminals_field, nodes_field, root = field.fields("terminals", "nodes", "root")
    terminals = tuple(f.integer(low_terminal, high_terminal) for f in terminals_field.items())
    nodes = _triples(nodes_field, atoms, len(terminals))
    return Diagram(terminals, nodes, root.integer(0, len(terminals) + len(nodes)))


def _triples(field: Field, atoms: int, terminals: int) -> tuple[tuple[int, int, int], ...]:
    nodes: list[tuple[int, int, int]] = []
    for number, item in enumerate(field.items(), terminals):
        atom, low, high = item.items(3)
        nodes.append((atom.integer(0, atoms), low.integer(0, number), high.integer(0, number)))
    return tuple(nodes)


def _product(field: Field, atoms: int, classes: int) -> ProductForm:
    steps_field, outputs = field.fields("steps", "outputs")
    steps: list[ProductTerm] = []
    for number, item in enumerate(steps_field.items()):
        op_field, *args = item.items() or [item]
        op = cast(Literal["atom", "not", "product"], op_field.choice(("atom", "not", "product")))
        if op != "product" and len(args) != 1:
            raise item.error(f"gives `{op}` {len(args)} arguments, expected 1")
        limit = atoms if op == "atom" else number
        steps.append(ProductTerm(op, tuple(a.integer(0, limit) for a in args)))
    return ProductForm(tuple(steps), tuple(f.integer(0, len(steps)) for f in outputs.items(classes)))


def _distinct(field: Field, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise field.error("repeats a name")
