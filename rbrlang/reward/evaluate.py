"""What is each row's reward, feature, addend and bound, for rows of mixed response types?

What no row has an answer for is decided here, and for both array libraries: answers that contradict the axioms
(`consistent`), unknowns that could change the reward, class probabilities that are undefined, and rewards that no
float32 can hold are all NaN. `reasons` says which it was.

Every function computes its answer for all rows under every response type and then selects by response
id with `where`. Nothing is gathered: an unknown id selects nothing and stays NaN, and arrays whose
batch is sharded over devices need no communication. Written once for numpy and JAX, see `algebra`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.reward.algebra import Atom, Column, Engine, Interval, make_atom, possible_node
from rbrlang.reward.classes import Expectation, class_depends, class_interval, class_value

LARGEST = 3.4028234663852886e38
"""The largest float32: a reward beyond it is none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to evaluate: probabilities [batch, atoms], response ids [batch], weights.

    `columns` are those of `probs` that are `reached`. `weights[r][j]` is a scalar of the array library (or a
    float). `zero` is a column of zeros.
    """

    engine: Engine
    circuit: Circuit
    probs: Column
    columns: Mapping[int, Column]
    ids: Column
    weights: Sequence[Sequence[Column]]
    zero: Column


def reached(circuit: Circuit) -> tuple[int, ...]:
    """Atoms that the axioms, or any response type's class probabilities or features, read, ascending."""
    read = {a for r in circuit.responses for a in reached_by(circuit, r)}
    return tuple(sorted(read | {a for a, _, _ in circuit.axioms.nodes}))


def reached_by(circuit: Circuit, response: ResponseCircuit) -> set[int]:
    """Atoms that one response type's class probabilities or features read."""
    features = {f.index for f in response.features if f.kind == "proposition"}
    return _class_atoms(circuit, response) | features


def consistent(batch: Batch) -> Column:
    """Whether the answers leave an assignment that the axioms allow, Boolean [batch].

    A fact about a row's answers, whatever its response type reads: answers of 0 and 1 are certain, all others and
    those that were not given leave their atom open.
    """
    never = batch.zero != 0.0
    diagram = batch.circuit.axioms
    if not diagram.nodes:
        return ~never
    atoms = {a: make_atom(batch.engine.xp, batch.columns[a]) for a in sorted({a for a, _, _ in diagram.nodes})}
    return batch.engine.fold(diagram, atoms, [t == 1 for t in diagram.terminals], possible_node) | never


def rewards(batch: Batch, base_reward: Column) -> Column:
    """Reward [batch]: base plus rules; NaN where an unknown can change it, it is undefined or beyond `LARGEST`.

    An unknown cannot change it where the bounds are equal, in the float32 that rewards are; bounds that would have to
    be searched for are not, since they are hardly ever equal and cost fifty times as much.
    """
    xp = batch.engine.xp
    values = [_rules(batch, r, w, _atoms(batch, r)) for r, w in _responses(batch)]
    value = _select(batch, [xp.where(v.defined, v.value, xp.nan) for v in values])

    def unsettled(rows: Batch) -> Column:
        depends = _select(rows, [_rules_depend(rows, r, w, _atoms(rows, r)) for r, w in _responses(rows)], False)
        bounds = _bounds(rows, base_reward, search=False)
        return depends & (bounds.lower.astype(xp.float32) != bounds.upper.astype(xp.float32))

    missing = _if_unknown(batch, unsettled) | ~consistent(batch)
    total = xp.where(missing, xp.nan, value) + base_reward
    return xp.where(xp.abs(total) <= LARGEST, total, xp.nan)


def class_probabilities(batch: Batch) -> list[Column]:
    """P(class), one column [batch] for each class position; 0 where the row's type has fewer classes."""
    xp = batch.engine.xp
    excluded = ~consistent(batch)

    def one(unit: Sequence[Column]) -> Column:
        value = _class_part(batch, unit)

        def unsettled(rows: Batch) -> Column:
            return _select(rows, [_depends(rows, r, unit) for r in rows.circuit.responses], False)

        return xp.where(_if_unknown(batch, unsettled) | excluded, xp.nan, value)

    return batch.engine.each(_max_classes(batch.circuit), one)


def feature_values(batch: Batch) -> list[Column]:
    """φ, one column [batch] for each feature position; 0 where the row's type has fewer features.

    NaN throughout where the answers contradict the axioms: what such a grader says of a proposition is no feature.
    """
    xp, allowed = batch.engine.xp, consistent(batch)
    columns = _by_feature(batch, class_probabilities(batch), batch.columns)
    return [xp.where(allowed, column, xp.nan) for column in columns]


def contributions(batch: Batch, base_reward: Column) -> list[Column]:
    """The base reward and every `weight · φ`, columns [batch] that sum to the reward.

    A row without a reward is NaN throughout. In a row that has one, unknowns that cannot change it count
    as `FILL`: single addends may then depend on them although their sum does not.
    """
    xp = batch.engine.xp

    classes = batch.engine.each(_max_classes(batch.circuit), lambda unit: _class_part(batch, unit))
    filled = {a: make_atom(xp, column).p for a, column in batch.columns.items()}
    features = _by_feature(batch, classes, filled)
    known = ~xp.isnan(rewards(batch, base_reward))
    addends = [base_reward + batch.zero]
    for j, phi in enumerate(features):
        weights = [w[j] + batch.zero if j < len(r.features) else batch.zero for r, w in _responses(batch)]
        addends.append(_select(batch, weights) * phi)
    return [xp.where(known, addend, xp.nan) for addend in addends]


def reward_bounds(batch: Batch, base_reward: Column) -> Interval:
    """Bounds [batch] of the reward over every way to fill the unknowns that the axioms allow.

    NaN where there is no such way, and where one of them has no reward that a float32 can hold.
    Sound up to rounding, and equal to the reward where nothing relevant is unknown. With one unknown
    tight under `exact` class probabilities without axioms, and under axioms in the class part. Otherwise
    the class part and each proposition feature are bounded apart, and may not reach their bounds together.
    """
    return _bounds(batch, base_reward, search=True)


def _bounds(batch: Batch, base_reward: Column, *, search: bool) -> Interval:
    xp = batch.engine.xp
    intervals = [_interval(batch, r, w, search=search) for r, w in _responses(batch)]
    lower = _select(batch, [i.lower for i in intervals]) + base_reward
    upper = _select(batch, [i.upper for i in intervals]) + base_reward
    held = consistent(batch) & (xp.abs(lower) <= LARGEST) & (xp.abs(upper) <= LARGEST)
    return _where(xp, held, Interval(lower, upper), Interval(xp.nan, xp.nan))


# --- all response types at once -------------------------------------------------------------


def _class_part(batch: Batch, unit: Sequence[Column]) -> Column:
    """`Σ_c unit[c] · P(c)` [batch], NaN where undefined; classes that a response type lacks count nothing."""
    values = [_value(batch, r, _atoms(batch, r), unit[: len(r.classes)]) for r in batch.circuit.responses]
    return _select(batch, [batch.engine.xp.where(v.defined, v.value, batch.engine.xp.nan) for v in values])


def _if_unknown(batch: Batch, column: Callable[[Batch], Column]) -> Column:
    """A Boolean column that is false throughout, and not computed, where every row has all that its type reads.

    The conditional is given the probabilities as they came and takes them apart itself: as its operands,
    columns would have to be copied.
    """
    engine = batch.engine
    unread = batch.zero != 0.0
    for number, response in enumerate(batch.circuit.responses):
        lacks = unread
        for atom in sorted(reached_by(batch.circuit, response)):
            lacks = lacks | engine.xp.isnan(batch.columns[atom])
        unread = engine.xp.where(batch.ids == number, lacks, unread)
    some = unread.any()
    return engine.when(some, lambda: column(replace(batch, columns=engine.columns(batch.probs))), batch.zero != 0.0)


def _by_feature(batch: Batch, classes: Sequence[Column], atoms: Mapping[int, Column]) -> list[Column]:
    """The features of each row's response type, from its class probabilities and the atoms."""
    width = max((len(r.features) for r in batch.circuit.responses), default=0)
    tables = [
        [classes[f.index] if f.kind == "class" else atoms[f.index] for f in r.features]
        + [batch.zero] * (width - len(r.features))
        for r in batch.circuit.responses
    ]
    return [_select(batch, [table[j] for table in tables]) for j in range(width)]


def _max_classes(circuit: Circuit) -> int:
    return max((len(r.classes) for r in circuit.responses), default=0)


# --- one response type ------------------------------------------------------------------------


def _interval(batch: Batch, response: ResponseCircuit, weights: Sequence[Column], *, search: bool) -> Interval:
    xp = batch.engine.xp
    atoms = _atoms(batch, response)
    middle = _rules(batch, response, weights, atoms)
    bounds = Interval(batch.zero, batch.zero)
    values = class_values(response, weights)
    if values is not None:
        bounds = _class_interval(batch, response, atoms, values, search=search)
    for weight, atom in _propositions(response, weights, atoms):
        bounds = Interval(
            bounds.lower + xp.where(atom.unknown, xp.minimum(weight, 0.0), weight * atom.p),
            bounds.upper + xp.where(atom.unknown, xp.maximum(weight, 0.0), weight * atom.p),
        )
    unknowns = _count_unknown(batch, response, weights, atoms)
    if values is None or (batch.circuit.class_probability == "exact" and -1 not in response.diagram.terminals):
        # The reward is linear in each atom, so one unknown has its extremes at the ends, all terms together.
        first, last = (_rules(batch, response, weights, _atoms(batch, response, x)).value for x in (0.0, 1.0))
        bounds = _where(xp, unknowns == 1.0, Interval(xp.minimum(first, last), xp.maximum(first, last)), bounds)
    bounds = _where(xp, unknowns == 0.0, Interval(middle.value, middle.value), bounds)
    return _where(xp, middle.defined, bounds, Interval(xp.nan, xp.nan))


def _class_interval(
    batch: Batch, response: ResponseCircuit, atoms: Mapping[int, Atom], values: Sequence[Column], *, search: bool
) -> Interval:
    """Bounds of the class part; for one unknown under axioms those at its ends, which are tight.

    A quotient of two linear functions is monotone. Where an end contradicts the axioms, numerator and
    denominator both vanish there, so the quotient is constant and is taken from the middle.
    """
    xp, kind = batch.engine.xp, batch.circuit.class_probability
    bounds = class_interval(batch.engine, kind, response, atoms, values, batch.zero, search=search)
    if kind == "product" or -1 not in response.diagram.terminals:
        return bounds
    middle = _value(batch, response, atoms, values).value
    ends = [_value(batch, response, _atoms(batch, response, x), values) for x in (0.0, 1.0)]
    first, last = (xp.where(end.defined, end.value, middle) for end in ends)
    unknowns = batch.zero
    for number in sorted(_class_atoms(batch.circuit, response)):
        unknowns = unknowns + xp.where(atoms[number].unknown, 1.0, 0.0)
    return _where(xp, unknowns == 1.0, Interval(xp.minimum(first, last), xp.maximum(first, last)), bounds)


def _where(xp: Any, condition: Column, yes: Interval, no: Interval) -> Interval:
    return Interval(xp.where(condition, yes.lower, no.lower), xp.where(condition, yes.upper, no.upper))


def _rules(
    batch: Batch, response: ResponseCircuit, weights: Sequence[Column], atoms: Mapping[int, Atom]
) -> Expectation:
    """The rule part of the reward with unknowns at `FILL`."""
    value, defined = batch.zero, batch.zero == 0.0
    values = class_values(response, weights)
    if values is not None:
        value, defined = _value(batch, response, atoms, values)
    for weight, atom in _propositions(response, weights, atoms):
        value = value + weight * atom.p
    return Expectation(value, defined)


def _rules_depend(
    batch: Batch, response: ResponseCircuit, weights: Sequence[Column], atoms: Mapping[int, Atom]
) -> Column:
    """Whether an unknown can change the rule part; class part and features that cancel are not recognised."""
    depends = batch.zero != 0.0
    values = class_values(response, weights)
    if values is not None:
        depends = _depends(batch, response, values)
    for weight, atom in _propositions(response, weights, atoms):
        depends = depends | ((weight != 0.0) & atom.unknown)
    return depends


def _value(batch: Batch, response: ResponseCircuit, atoms: Mapping[int, Atom], values: Sequence[Column]) -> Expectation:
    return class_value(batch.engine, batch.circuit.class_probability, response, atoms, values, batch.zero)


def _depends(batch: Batch, response: ResponseCircuit, unit: Sequence[Column]) -> Column:
    values, kind = unit[: len(response.classes)], batch.circuit.class_probability
    return class_depends(batch.engine, kind, response, _atoms(batch, response), values, batch.zero)


def class_values(response: ResponseCircuit, weights: Sequence[Column]) -> list[Column] | None:
    """The weight of every class, 0 for those that are no feature; None when no class is a feature."""
    features = [(f.index, weights[j]) for j, f in enumerate(response.features) if f.kind == "class"]
    if not features:
        return None
    return [sum(w for c, w in features if c == number) for number in range(len(response.classes))]


def _propositions(
    response: ResponseCircuit, weights: Sequence[Column], atoms: Mapping[int, Atom]
) -> list[tuple[Column, Atom]]:
    return [(weights[j], atoms[f.index]) for j, f in enumerate(response.features) if f.kind == "proposition"]


def _count_unknown(
    batch: Batch, response: ResponseCircuit, weights: Sequence[Column], atoms: Mapping[int, Atom]
) -> Column:
    xp = batch.engine.xp
    in_classes: set[int] = set()
    if any(f.kind == "class" for f in response.features):
        in_classes = _class_atoms(batch.circuit, response)
    count = batch.zero
    for number, atom in atoms.items():
        relevant = number in in_classes
        for j, feature in enumerate(response.features):
            if feature.kind == "proposition" and feature.index == number:
                relevant = relevant | (weights[j] != 0.0)
        count = count + xp.where(atom.unknown & relevant, 1.0, 0.0)
    return count


def _class_atoms(circuit: Circuit, response: ResponseCircuit) -> set[int]:
    if circuit.class_probability == "exact":
        return {atom for atom, _, _ in response.diagram.nodes}
    return {term.args[0] for term in response.product.steps if term.op == "atom"}


def _atoms(batch: Batch, response: ResponseCircuit, fill: float | None = None) -> dict[int, Atom]:
    xp = batch.engine.xp
    extra: dict[str, float] = {} if fill is None else {"fill": fill}
    return {a: make_atom(xp, batch.columns[a], **extra) for a in sorted(reached_by(batch.circuit, response))}


# --- selection by response type ---------------------------------------------------------------


def _responses(batch: Batch) -> list[tuple[ResponseCircuit, Sequence[Column]]]:
    return list(zip(batch.circuit.responses, batch.weights, strict=True))


def _select(batch: Batch, columns: Sequence[Column], unknown: float | bool = math.nan) -> Column:
    """From one column per response type, each row's own; `unknown` for an unknown id."""
    out = batch.engine.xp.where(batch.zero == 0.0, unknown, unknown)
    for number, column in enumerate(columns):
        out = batch.engine.xp.where(batch.ids == number, column, out)
    return out
