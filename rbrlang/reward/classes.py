"""What is a weighted sum of class probabilities, does it depend on an unknown, and between what does it lie?

For values v of the classes of one response type this computes `Σ_c v_c · P(c)`. With v one-hot it is a
class probability, with the weights it is the class part of the reward.

Two meanings of P(c), see `Circuit.class_probability`:

- `exact`: `P(c) = WMC(c ∧ axioms) / WMC(axioms)` from the response type's diagram (Chavira & Darwiche,
  On probabilistic inference by weighted model counting, 2008). Without excluded assignments the
  denominator is 1 and is not computed.
- `product`: the paper's product of a class's literals, normalised over the classes (Mu et al. 2024, arXiv 2411.01111).

The sum is undefined where the denominator is 0: every class's product is 0, or the mass that the axioms allow
rounds to 0. Answers that contradict the axioms are told before, and by logic: see `evaluate.consistent`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, Literal, NamedTuple, assert_never

from rbrlang.logic.circuit import Diagram, ProductForm, ResponseCircuit
from rbrlang.reward.algebra import (
    Atom,
    Column,
    Dependence,
    Engine,
    Excess,
    Interval,
    dependence_node,
    excess_node,
    interval_node,
    least_mass_node,
    value_node,
)

ClassProbability = Literal["exact", "product"]

TOLERANCE = 1e-5
"""Change of a ratio, relative to the largest class value, that counts as none: float32 rounds at 6e-8."""

BISECTIONS = 26
"""Halvings of the bracket of a ratio's bound: its width over 2^26, less than float32 resolves."""


class Expectation(NamedTuple):
    """`value` [batch] with unknowns at `FILL`, and whether it is `defined`; where it is not, `value` is finite."""

    value: Column
    defined: Column


def class_value(
    engine: Engine,
    kind: ClassProbability,
    response: ResponseCircuit,
    atoms: Mapping[int, Atom],
    values: Sequence[Column],
    zero: Column,
) -> Expectation:
    """`Σ_c values[c] · P(c)` for one response type; `zero` is a column of zeros [batch]."""
    match kind:
        case "exact":
            return _exact_value(engine, response.diagram, atoms, values, zero)
        case "product":
            return _product_value(engine, response.product, atoms, values, zero)
        case _:
            assert_never(kind)


def class_depends(
    engine: Engine,
    kind: ClassProbability,
    response: ResponseCircuit,
    atoms: Mapping[int, Atom],
    values: Sequence[Column],
    zero: Column,
) -> Column:
    """Whether an unknown can change `class_value`, Boolean [batch]. It errs towards yes, see `algebra`."""
    match kind:
        case "exact":
            return _exact_depends(engine, response.diagram, atoms, values, zero)
        case "product":
            return _product_depends(engine, response.product, atoms, values, zero)
        case _:
            assert_never(kind)


def class_interval(
    engine: Engine,
    kind: ClassProbability,
    response: ResponseCircuit,
    atoms: Mapping[int, Atom],
    values: Sequence[Column],
    zero: Column,
    *,
    search: bool,
) -> Interval:
    """Sound bounds of `class_value` over every way to fill the unknowns, where it is defined at all.

    Those of a quotient have to be searched for; without, they are the least and the largest of the values.
    """
    match kind:
        case "exact":
            if -1 in response.diagram.terminals and not search:
                xp = engine.xp
                return Interval(
                    zero - _largest(xp, [-v + zero for v in values]), zero + _largest(xp, [v + zero for v in values])
                )
            return _exact_interval(engine, response.diagram, atoms, values, zero)
        case "product":
            return _product_interval(engine, response.product, atoms, values, zero)
        case _:
            assert_never(kind)


# --- exact ------------------------------------------------------------------------------------


def _exact_value(
    engine: Engine, diagram: Diagram, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Expectation:
    node = value_node(engine.xp)
    worth = [values[c] if c >= 0 else 0.0 for c in diagram.terminals]
    total = engine.fold(diagram, atoms, worth, node) + zero
    if -1 not in diagram.terminals:
        return Expectation(total, zero == 0.0)
    mass = engine.fold(diagram, atoms, [1.0 if c >= 0 else 0.0 for c in diagram.terminals], node) + zero
    return _quotient(engine.xp, total, mass)


def _exact_depends(
    engine: Engine, diagram: Diagram, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Column:
    xp, never = engine.xp, zero != 0.0
    if -1 not in diagram.terminals:
        plain = [Dependence(values[c], False) for c in diagram.terminals]
        return engine.fold(diagram, atoms, plain, dependence_node(xp)).matters | never
    ratio = _exact_value(engine, diagram, atoms, values, zero).value
    slack = TOLERANCE * _largest(xp, [xp.abs(v) + zero for v in values])
    least = engine.fold(diagram, atoms, [1.0 if c >= 0 else 0.0 for c in diagram.terminals], least_mass_node(xp))
    floor = slack * least
    terminals = [
        Excess(values[c] - ratio, slack, floor, never) if c >= 0 else Excess(zero, zero, floor, never)
        for c in diagram.terminals
    ]
    return engine.fold(diagram, atoms, terminals, excess_node(xp)).matters | never


def _exact_interval(
    engine: Engine, diagram: Diagram, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Interval:
    def extent(worth: Sequence[Column]) -> Interval:
        terminals = [Interval(v, v) for v in worth]
        return engine.fold(diagram, atoms, terminals, interval_node(engine.xp))

    if -1 not in diagram.terminals:
        interval = extent([values[c] for c in diagram.terminals])
        return Interval(interval.lower + zero, interval.upper + zero)

    def above(candidate: Column, pick: Callable[[Interval], Column]) -> Column:
        return pick(extent([values[c] - candidate if c >= 0 else zero for c in diagram.terminals]))

    return _ratio_interval(engine, values, zero, above)


def _ratio_interval(
    engine: Engine,
    values: Sequence[Column],
    zero: Column,
    above: Callable[[Column, Callable[[Interval], Column]], Column],
) -> Interval:
    """Bounds of N/M: the least t with N − t·M ≤ 0 for every fill, and the greatest with ≥ 0, by bisection.

    Sound at every step, because the outer end of the bracket is what is returned (the parametric form
    of Dinkelbach, On nonlinear fractional programming, 1967).
    """
    xp = engine.xp
    least = zero - _largest(xp, [-v + zero for v in values])
    greatest = zero + _largest(xp, [v + zero for v in values])

    def halve(state: tuple[Column, Column, Column, Column]) -> tuple[Column, Column, Column, Column]:
        low_out, low_in, high_in, high_out = state
        low_mid, high_mid = (low_out + low_in) / 2.0, (high_in + high_out) / 2.0
        low_holds = above(low_mid, lambda i: i.lower) >= 0.0
        high_holds = above(high_mid, lambda i: i.upper) <= 0.0
        return (
            xp.where(low_holds, low_mid, low_out),
            xp.where(low_holds, low_in, low_mid),
            xp.where(high_holds, high_in, high_mid),
            xp.where(high_holds, high_mid, high_out),
        )

    lower, _, _, upper = engine.repeat(BISECTIONS, halve, (least, greatest, least, greatest))
    return Interval(lower, upper)


def _quotient(xp: Any, total: Column, mass: Column) -> Expectation:
    """total / mass, whose derivative stays finite where the mass is 0."""
    defined = mass > 0.0
    return Expectation(total / xp.where(defined, mass, 1.0), defined)


# --- product ----------------------------------------------------------------------------------


class _Step(NamedTuple):
    value: Column
    lower: Column
    upper: Column
    matters: Column


def _product_steps(engine: Engine, form: ProductForm, atoms: Mapping[int, Atom], zero: Column) -> list[_Step]:
    """Every step's value with unknowns at `FILL`, its interval, and whether an unknown can change it.

    A product depends on an unknown factor unless it is 0: `FILL` is inside (0, 1), so an unknown factor
    is never 0 by itself.
    """
    xp = engine.xp
    steps: list[_Step] = []
    for term in form.steps:
        match term.op:
            case "atom":
                a = atoms[term.args[0]]
                steps.append(_Step(a.p, xp.where(a.unknown, 0.0, a.p), xp.where(a.unknown, 1.0, a.p), a.unknown))
            case "not":
                s = steps[term.args[0]]
                steps.append(_Step(1.0 - s.value, 1.0 - s.upper, 1.0 - s.lower, s.matters))
            case "product":
                one = _Step(zero + 1.0, zero + 1.0, zero + 1.0, zero != 0.0)
                steps.append(reduce(_times, (steps[i] for i in term.args), one))
            case _:
                assert_never(term.op)
    return steps


def _times(left: _Step, right: _Step) -> _Step:
    value = left.value * right.value
    matters = (left.matters | right.matters) & (value != 0.0)
    return _Step(value, left.lower * right.lower, left.upper * right.upper, matters)


def _product_value(
    engine: Engine, form: ProductForm, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Expectation:
    steps = _product_steps(engine, form, atoms, zero)
    masses = [steps[i].value for i in form.outputs]
    total = sum((v * m for v, m in zip(values, masses, strict=True)), zero)
    return _quotient(engine.xp, total, sum(masses, zero))


def _product_depends(
    engine: Engine, form: ProductForm, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Column:
    """A class's mass counts where another class of another value may have some: all others move the mean nowhere."""
    steps = _product_steps(engine, form, atoms, zero)
    masses = [steps[i] for i in form.outputs]
    matters = zero != 0.0
    for value, mass in zip(values, masses, strict=True):
        for other, beside in zip(values, masses, strict=True):
            matters = matters | (mass.matters & (beside.upper > 0.0) & (value != other))
    return matters


def _product_interval(
    engine: Engine, form: ProductForm, atoms: Mapping[int, Atom], values: Sequence[Column], zero: Column
) -> Interval:
    """Range of a weighted mean whose weights lie in a box.

    The extremes are at corners where every class above some value takes one end of its interval and
    every class below it the other, so it is enough to try each class's value as that threshold.
    """
    xp = engine.xp
    steps = _product_steps(engine, form, atoms, zero)
    box = [steps[i] for i in form.outputs]

    def mean(take_upper: Sequence[Column], otherwise: float) -> Column:
        masses = [xp.where(t, b.upper, b.lower) for t, b in zip(take_upper, box, strict=True)]
        mass = sum(masses, zero)
        total = sum((v * m for v, m in zip(values, masses, strict=True)), zero)
        return xp.where(mass > 0.0, total / xp.where(mass > 0.0, mass, 1.0), otherwise)

    always = zero == 0.0
    highest = [mean([(v >= k) & always for v in values], -xp.inf) for k in values]
    lowest = [mean([(v <= k) & always for v in values], xp.inf) for k in values]
    return Interval(-_largest(xp, [-v for v in lowest]), _largest(xp, highest))


def _largest(xp: Any, columns: Sequence[Column]) -> Column:
    return reduce(xp.maximum, columns)
