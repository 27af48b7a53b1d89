"""What is a weighted sum of class probabilities, does it depend on an unknown, and between what does it lie?

For values v of the classes of a response type this computes `Σ_c v_c · P(c)`. With v one-hot it is a
class probability, with the weights it is the class part of the reward.

Two meanings of P(c), see `Circuit.class_probability`:

- `exact`: `P(c) = WMC(c ∧ axioms) / WMC(axioms)` from the response type's diagram (Chavira & Darwiche,
  On probabilistic inference by weighted model counting, 2008). Without excluded assignments the
  denominator is 1 and is not computed.
- `product`: the paper's product of a class's literals, normalised over the classes (Mu et al. 2024, arXiv 2411.01111).

The sum is undefined where the denominator is 0, or too small to be told from it: every class's product is, or the
mass that the axioms allow. Answers that contradict the axioms are told before, and by logic: see `evaluate.consistent`.
"""

# A column is an array of either library, and has no type that both know.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, assert_never

from rbrlang.reward.algebra import (
    Best,
    Column,
    Interval,
    Stack,
    best_node,
    end_node,
    interval_node,
    together,
    told,
    value_node,
)
from rbrlang.reward.parts import Mass, Part

TOLERANCE = 1e-5
"""Change of a ratio, relative to the largest class value, that counts as none: float32 rounds at 6e-8."""

STEP = 2.0**-22
"""The least step of a quotient's bound towards one that holds, relative to the largest class value."""


class Expectation(NamedTuple):
    """`value` [batch] with unknowns at `FILL`, and whether it is `defined`; where it is not, `value` is finite."""

    value: Column
    defined: Column


class Survey(NamedTuple):
    """What unknowns leave of a sum: its value with all of them at `FILL`, at 0 and at 1, its bounds where it is
    defined at all, and whether they can change it. Bounds and the last err towards more.
    """

    middle: Expectation
    first: Column
    last: Column
    bounds: Interval
    depends: Column


def class_value(part: Part, values: Stack) -> Expectation:
    """`Σ_c values[c] · P(c)`."""
    xp, engine, zero = part.engine.xp, part.engine, part.zero
    match part.kind:
        case "exact":
            node = value_node(xp)
            if not part.excludes:
                return Expectation(part.fold(values, 0.0, node) + zero, zero == 0.0)
            return _weighed(part, values)[0]
        case "product":
            masses = part.masses()
            total = engine.add(zero, engine.per(lambda v, m: v * m.value, values, masses))
            return _quotient(xp, total, engine.add(zero, engine.per(lambda m: m.value, masses)))
        case _:
            assert_never(part.kind)


def class_slope(part: Part, values: Stack) -> Column:
    """A column with the derivatives of `class_value` where that is defined, finite elsewhere, and linear in the values.

    Those of a quotient r = N/M are those of (N − r·M)/M with r and M held, so one fold of `values − r` serves for both.
    """
    xp, engine = part.engine.xp, part.engine
    if part.kind == "product":
        masses = part.masses()
        mass = engine.add(part.zero, engine.per(lambda m: m.value, masses))
        found = _quotient(xp, engine.add(part.zero, engine.per(lambda v, m: v * m.value, values, masses)), mass)
        held = engine.stop(found.value)
        total = engine.add(part.zero, engine.per(lambda v, m: (v - held) * m.value, values, masses))
    elif part.excludes:
        found, mass = _weighed(part, values)
        held = engine.stop(found.value)
        total = part.fold(engine.per(lambda v: v - held, values), 0.0, value_node(xp)) + part.zero
    else:
        return class_value(part, values).value
    return total / engine.stop(xp.where(found.defined, mass, 1.0))


def class_survey(part: Part, values: Stack, *, search: bool) -> Survey:
    """`class_value` and what unknowns make of it.

    The bounds of a quotient have to be searched for; without, they are the least and the largest of the values.
    """
    match part.kind:
        case "exact":
            return _excluding(part, values, search=search) if part.excludes else _linear(part, values)
        case "product":
            return _product(part, values)
        case _:
            assert_never(part.kind)


def class_depends(part: Part, values: Stack) -> Column:
    """Whether an unknown can change `class_value`, Boolean [batch]. It errs towards yes."""
    return class_survey(part, values, search=False).depends


# --- exact ------------------------------------------------------------------------------------


def _weighed(part: Part, values: Stack) -> tuple[Expectation, Column]:
    """The quotient under axioms, and its denominator."""
    xp, zero, node = part.engine.xp, part.zero, value_node(part.engine.xp)
    total, mass = part.fold(part.engine.per(lambda v: (v, 1.0), values), (0.0, 0.0), together(node, node))
    return _quotient(xp, total + zero, mass + zero), mass + zero


def _linear(part: Part, values: Stack) -> Survey:
    """Without axioms: an unknown matters where the bounds differ."""
    xp, zero = part.engine.xp, part.zero
    nodes = value_node(xp), end_node(xp, 0), end_node(xp, 1), interval_node(xp)
    start = part.engine.per(lambda v: (v, v, v, Interval(v, v)), values)
    middle, first, last, bounds = part.fold(start, (0.0, 0.0, 0.0, Interval(0.0, 0.0)), together(*nodes))
    bounds = Interval(bounds.lower + zero, bounds.upper + zero)
    return Survey(
        Expectation(middle + zero, zero == 0.0), first + zero, last + zero, bounds, bounds.lower != bounds.upper
    )


def _excluding(part: Part, values: Stack, *, search: bool) -> Survey:
    """Under axioms: with one unknown the bounds are those at its ends, which are tight.

    A quotient of two linear functions is monotone. Where an end contradicts the axioms, numerator and
    denominator both vanish there, so the quotient is constant and is taken from the middle.

    Whether an unknown matters is a matter of signs. N/M lies above t for some fill exactly where N − t·M does, whose
    sign no rounding hides: what has the other sign adds nothing to an extreme that can do without it, however little
    mass the rest has.
    """
    xp, zero, per, top = part.engine.xp, part.zero, part.engine.per, part.engine.top
    middle = class_value(part, values)
    slack = TOLERANCE * (zero + top(per(xp.abs, values)))
    above, below = middle.value + slack, middle.value - slack
    at_ends = [end_node(xp, 0), end_node(xp, 0), end_node(xp, 1), end_node(xp, 1)]
    start = per(lambda v: (v, 1.0, v, 1.0, Interval(v - below, v - above)), values)
    nothing = (0.0, 0.0, 0.0, 0.0, Interval(0.0, 0.0))
    n0, m0, n1, m1, excess = part.fold(start, nothing, together(*at_ends, interval_node(xp)))
    hull = _hull(part, values)
    first, last = (_quotient(xp, n + zero, m + zero) for n, m in ((n0, m0), (n1, m1)))
    lost = ((m0 > 0.0) & xp.logical_not(first.defined)) | ((m1 > 0.0) & xp.logical_not(last.defined))
    first, last = (xp.where(end.defined, end.value, middle.value) for end in (first, last))
    ends = where(xp, lost, hull, Interval(xp.minimum(first, last), xp.maximum(first, last)))
    unknowns = part.class_unknowns
    bounds = _best(part, values, middle, unknowns > 1.0) if search else hull
    bounds = where(xp, unknowns == 1.0, ends, bounds)
    depends = (excess.lower < 0.0) | (excess.upper > 0.0)
    free = part.free
    if free is not False:
        plain = part.fold(per(lambda v: Interval(v, v), values), Interval(0.0, 0.0), interval_node(xp))
        plain = Interval(plain.lower + zero, plain.upper + zero)
        bounds = where(xp, free, plain, bounds)
        depends = xp.where(free, plain.lower != plain.upper, depends)
    return Survey(middle, first, last, bounds, depends)


def _hull(part: Part, values: Stack) -> Interval:
    return Interval(
        part.zero - part.engine.top(part.engine.per(lambda v: -v, values)), part.zero + part.engine.top(values)
    )


def _best(part: Part, values: Stack, middle: Expectation, wanted: Column) -> Interval:
    """Bounds of N/M over every way to fill the unknowns, in the rows that are `wanted`; elsewhere the middle.

    The parametric form of Dinkelbach (On nonlinear fractional programming, 1967): for a candidate t, the fill of the
    largest N − t·M says by its sign whether a quotient lies above t, and by its own N/M how far. Three to five passes
    do; that of the last is what is differentiated. Sound up to rounding, because t is only left where the sign says
    that nothing lies beyond: where rounding keeps t from moving although the sign says otherwise, it takes a step,
    twice as long each time, and beyond the outermost value there is nothing.
    """
    xp, zero, engine = part.engine.xp, part.zero, part.engine
    hull = Interval(*map(engine.stop, _hull(part, values)))
    least = STEP * xp.maximum(xp.abs(hull.lower), xp.abs(hull.upper))
    start_at = engine.stop(middle.value)
    wanted = wanted & middle.defined

    still, still_values = part.still(), engine.per(engine.stop, values)

    def extremes(rows: Part, worth: Stack, low: Column, high: Column) -> tuple[Best, Best]:
        start = engine.per(lambda v: (Best(v - low, v, 1.0), Best(v - high, v, 1.0)), worth)
        nothing = Best(0.0, 0.0, 0.0)
        nodes = best_node(xp, largest=False), best_node(xp, largest=True)
        found = rows.fold(start, (nothing, nothing), together(*nodes))
        return Best(*(zero + x for x in found[0])), Best(*(zero + x for x in found[1]))

    def step(state: Any) -> Any:
        low, high, stride, _ = state
        lower, upper = extremes(still, still_values, low, high)
        under, over = wanted & (lower.excess < 0.0), wanted & (upper.excess > 0.0)
        low_next, high_next = xp.minimum(_ratio(xp, lower), low - stride), xp.maximum(_ratio(xp, upper), high + stride)
        stuck = (under & (low_next == low - stride)) | (over & (high_next == high + stride))
        return (
            xp.where(under, xp.maximum(low_next, hull.lower), low),
            xp.where(over, xp.minimum(high_next, hull.upper), high),
            xp.where(stuck, 2.0 * stride, stride),
            xp.any((under & (low > hull.lower)) | (over & (high < hull.upper))),
        )

    some = xp.any(zero == 0.0)
    low, high, _, _ = engine.until(lambda state: xp.logical_not(state[3]), step, (start_at, start_at, least, some))
    lower, upper = extremes(part, values, low, high)
    return Interval(engine.as_if(low, _ratio(xp, lower)), engine.as_if(high, _ratio(xp, upper)))


def _ratio(xp: Any, best: Best) -> Column:
    return best.numerator / xp.where(best.denominator > 0.0, best.denominator, 1.0)


def _quotient(xp: Any, total: Column, mass: Column) -> Expectation:
    """total / mass, whose derivative stays finite where the mass is 0."""
    defined = told(xp, mass)
    return Expectation(total / xp.where(defined, mass, 1.0), defined)


# --- product ----------------------------------------------------------------------------------


def _product(part: Part, values: Stack) -> Survey:
    """Range of a weighted mean whose weights lie in a box, and whether it has one.

    The extremes are at corners where every class above some value takes one end of its interval and
    every class below it the other, so it is enough to try each class's value as that threshold. A class's mass
    counts where another class of another value may have some: all others move the mean nowhere.
    """
    xp, zero, engine = part.engine.xp, part.zero, part.engine
    masses = part.masses()
    total = engine.add(zero, engine.per(lambda v, m: v * m.value, values, masses))
    middle = _quotient(xp, total, engine.add(zero, engine.per(lambda m: m.value, masses)))

    def mean(takes_upper: Callable[[Column], Column], otherwise: float) -> Column:
        def taken(value: Column, mass: Mass) -> Column:
            return xp.where(takes_upper(value), mass.upper, mass.lower)

        whole = engine.add(zero, engine.per(taken, values, masses))
        parts = engine.add(zero, engine.per(lambda v, m: v * taken(v, m), values, masses))
        return xp.where(whole > 0.0, parts / xp.where(whole > 0.0, whole, 1.0), otherwise)

    always = zero == 0.0
    highest = engine.top(engine.turn(lambda k: mean(lambda v: (v >= k) & always, -xp.inf), values))
    lowest = -engine.top(engine.turn(lambda k: -mean(lambda v: (v <= k) & always, xp.inf), values))
    largest = engine.top(engine.per(lambda v, m: xp.where(m.upper > 0.0, v, -xp.inf), values, masses))
    smallest = -engine.top(engine.per(lambda v, m: xp.where(m.upper > 0.0, -v, -xp.inf), values, masses))

    def counts(value: Column, mass: Mass) -> Column:
        beside = (largest != value) | (smallest != value)
        return xp.where(mass.matters & beside & (largest >= smallest), 1.0, 0.0)

    depends = engine.top(engine.per(counts, values, masses)) > 0.0
    return Survey(middle, middle.value, middle.value, Interval(lowest, highest), depends)


def where(xp: Any, condition: Column, yes: Interval, no: Interval) -> Interval:
    """The one or the other interval, by row."""
    return Interval(xp.where(condition, yes.lower, no.lower), xp.where(condition, yes.upper, no.upper))
