"""What is each row's reward, feature, addend and bound, for rows of mixed response types?

What no row has an answer for is decided here, and for all array libraries: answers that contradict the axioms
(`consistent`), unknowns that could change the reward, class probabilities that are undefined, and rewards that no
float32 can hold are all NaN. `reasons` says which it was.

Written once for numpy, JAX unrolled and JAX from tables, see `parts`. A row of an unknown response type stays NaN, and
arrays whose batch is sharded over devices need no communication.
"""

# A column is an array of either library, and has no type that both know.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rbrlang.reward.algebra import Column, Engine, Interval, Node, Stack, possible_node
from rbrlang.reward.classes import Expectation, class_depends, class_slope, class_survey, class_value, where
from rbrlang.reward.parts import Part

LARGEST = 3.4028234663852886e38
"""The largest float32: a reward beyond it is none."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to evaluate, and the most classes of a response type.

    `axioms` folds the diagram of all axioms from what its terminals are worth, excluded and allowed; None without
    axioms. `again` is the same batch, taken from its arrays once more.
    """

    part: Part
    classes: int
    axioms: Callable[[Sequence[bool], Node[Column]], Column] | None
    again: Callable[[], Batch]

    @property
    def engine(self) -> Engine:
        return self.part.engine

    @property
    def zero(self) -> Column:
        return self.part.zero


def consistent(batch: Batch) -> Column:
    """Whether the answers leave an assignment that the axioms allow, Boolean [batch].

    A fact about a row's answers, whatever its response type reads: answers of 0 and 1 are certain, all others and
    those that were not given leave their atom open.
    """
    never = batch.zero != 0.0
    return batch.zero == 0.0 if batch.axioms is None else batch.axioms((False, True), possible_node) | never


def rewards(batch: Batch, base_reward: Column) -> Column:
    """Reward [batch]: base plus rules; NaN where an unknown can change it, it is undefined or beyond `LARGEST`.

    An unknown cannot change it where the bounds are equal, in the float32 that rewards are; the bounds of a quotient
    are not searched for here, where a sign says whether they differ.
    """
    xp = batch.engine.xp

    def unsettled(rows: Batch) -> Column:
        found = _survey(rows.part, search=False)
        bounds = _held(rows, found.bounds, base_reward)
        changes = xp.asarray(bounds.lower, xp.float32) != xp.asarray(bounds.upper, xp.float32)
        return rows.part.mine & found.depends & changes

    missing = _if_unknown(batch, unsettled) | xp.logical_not(consistent(batch))
    total = xp.where(missing, xp.nan, _found(batch, _rules(batch.part))) + base_reward
    return xp.where(xp.abs(total) <= LARGEST, total, xp.nan)


def slope(batch: Batch) -> Column:
    """A column [batch] with the derivatives of the rules' part where a row has one, finite elsewhere; its value is of no use."""
    part = batch.part
    values = part.values
    classes = part.zero if values is None else batch.engine.xp.where(part.classed, class_slope(part, values), 0.0)
    return batch.engine.xp.where(part.mine, _with_terms(part, classes), 0.0)


def class_probabilities(batch: Batch) -> Stack:
    """P(class), one column [batch] for each class position; 0 where the row's type has fewer classes."""
    xp = batch.engine.xp
    excluded = xp.logical_not(consistent(batch))

    def one(unit: Stack) -> Column:
        value = _found(batch, class_value(batch.part, batch.part.unit(unit)))

        def unsettled(rows: Batch) -> Column:
            return rows.part.mine & class_depends(rows.part, rows.part.unit(unit))

        return xp.where(_if_unknown(batch, unsettled) | excluded, xp.nan, value)

    return batch.engine.each(batch.classes, one)


def feature_values(batch: Batch) -> Stack:
    """φ, one column [batch] for each feature position; 0 where the row's type has fewer features.

    NaN throughout where the answers contradict the axioms: what such a grader says of a proposition is no feature.
    """
    xp, allowed = batch.engine.xp, consistent(batch)
    columns = batch.part.features(class_probabilities(batch), filled=False)
    return batch.engine.per(lambda column: xp.where(allowed & batch.part.mine, column, xp.nan), columns)


def contributions(batch: Batch, base_reward: Column) -> tuple[Column, Stack]:
    """The base reward [batch], and every `weight · φ`, columns [batch]: together they sum to the reward.

    A row without a reward is NaN throughout. In a row that has one, unknowns that cannot change it count
    as `FILL`: single addends may then depend on them although their sum does not.
    """
    xp, per = batch.engine.xp, batch.engine.per
    known = xp.logical_not(xp.isnan(rewards(batch, base_reward)))

    def addends() -> Stack:
        rows = batch.again()
        classes = rows.engine.each(
            rows.classes, lambda unit: _found(rows, class_value(rows.part, rows.part.unit(unit)))
        )
        features = rows.part.features(classes, filled=True)
        return per(lambda weight, phi: xp.where(known, weight * phi, xp.nan), rows.part.weights(), features)

    # What is known goes into the conditional as a column, or XLA would compute it again for every addend.
    nothing = per(lambda _: xp.where(known, xp.nan, xp.nan), batch.part.weights())
    return xp.where(known, base_reward + batch.zero, xp.nan), batch.engine.when(xp.any(known), addends, nothing)


def reward_bounds(batch: Batch, base_reward: Column) -> Interval:
    """Bounds [batch] of the reward over every way to fill the unknowns that the axioms allow.

    NaN where there is no such way, and where one of them has no reward that a float32 can hold.
    Sound up to rounding, and equal to the reward where nothing relevant is unknown. With one unknown
    tight under `exact` class probabilities without axioms, and under axioms in the class part. Otherwise
    the class part and each proposition feature are bounded apart, and may not reach their bounds together.
    """

    def between() -> Interval:
        rows = batch.again()
        return _held(rows, _survey(rows.part, search=True).bounds, base_reward)

    # Nothing is searched for where every row has all that its type reads: its bounds are the reward.
    point = _found(batch, _rules(batch.part))
    known = _held(batch, Interval(point, point), base_reward)
    return batch.engine.when(_lacking(batch), between, known)


def _held(batch: Batch, found: Interval, base_reward: Column) -> Interval:
    xp = batch.engine.xp
    lower, upper = found.lower + base_reward, found.upper + base_reward
    held = batch.part.mine & consistent(batch) & (xp.abs(lower) <= LARGEST) & (xp.abs(upper) <= LARGEST)
    return where(xp, held, Interval(lower, upper), Interval(xp.nan, xp.nan))


def _found(batch: Batch, expected: Expectation) -> Column:
    """What is expected [batch], NaN where it is undefined and where the response type is unknown."""
    xp = batch.engine.xp
    return xp.where(batch.part.mine & expected.defined, expected.value, xp.nan)


def _if_unknown(batch: Batch, column: Callable[[Batch], Column]) -> Column:
    """A Boolean column that is false throughout, and not computed, where every row has all that its type reads.

    The conditional is given the arrays as they came and takes them apart itself: as its operands,
    columns would have to be copied.
    """
    return batch.engine.when(_lacking(batch), lambda: column(batch.again()), batch.zero != 0.0)


def _lacking(batch: Batch) -> Column:
    """Whether any row has an unknown that its type reads, a scalar."""
    return batch.engine.xp.any(batch.part.mine & batch.part.lacks)


# --- the rules' part --------------------------------------------------------------------------


class _Surveyed(NamedTuple):
    bounds: Interval
    depends: Column


def _rules(part: Part) -> Expectation:
    """The rule part of the reward with unknowns at `FILL`."""
    xp, zero = part.engine.xp, part.zero
    value, defined, values = zero, zero == 0.0, part.values
    if values is not None:
        found = class_value(part, values)
        value, defined = (
            xp.where(part.classed, found.value, 0.0),
            found.defined | xp.logical_not(part.classed & defined),
        )
    return Expectation(_with_terms(part, value), defined)


def _with_terms(part: Part, classes: Column) -> Column:
    """The class part, and every proposition that is a feature times its weight."""
    weights, atoms = part.terms
    return part.engine.add(classes, part.engine.per(lambda w, a: w * a.p, weights, atoms))


def _survey(part: Part, *, search: bool) -> _Surveyed:
    """Bounds of the rule part, and whether an unknown can change it.

    Both take class part and features apart: what cancels between them is seen with one unknown only, in which the
    reward is linear without axioms, so that its extremes lie at the ends, all terms together.
    """
    xp, zero, per, values = part.engine.xp, part.zero, part.engine.per, part.values
    always = zero == 0.0
    middle, first, last, lower, upper = zero, zero, zero, zero, zero
    defined, depends, linear = always, zero != 0.0, always
    if values is not None:
        classed = part.classed & always
        found = class_survey(part, values, search=search)
        sums = found.middle.value, found.first, found.last, *found.bounds
        middle, first, last, lower, upper = (xp.where(classed, x, 0.0) for x in sums)
        classless = xp.logical_not(classed)
        defined, depends = found.middle.defined | classless, found.depends & classed
        linear = classless | (part.free & always) if part.kind == "exact" else classless
    weights, atoms = part.terms
    middle = part.engine.add(middle, per(lambda w, a: w * a.p, weights, atoms))
    first = part.engine.add(first, per(lambda w, a: xp.where(a.unknown, 0.0, w * a.p), weights, atoms))
    last = part.engine.add(last, per(lambda w, a: xp.where(a.unknown, w, w * a.p), weights, atoms))
    lower = part.engine.add(lower, per(lambda w, a: xp.where(a.unknown, xp.minimum(w, 0.0), w * a.p), weights, atoms))
    upper = part.engine.add(upper, per(lambda w, a: xp.where(a.unknown, xp.maximum(w, 0.0), w * a.p), weights, atoms))
    moved = per(lambda w, a: xp.where((w != 0.0) & a.unknown, 1.0, 0.0), weights, atoms)
    depends = depends | (part.engine.add(zero, moved) > 0.0)
    bounds, unknowns = Interval(lower, upper), part.unknowns
    ends = Interval(xp.minimum(first, last), xp.maximum(first, last))
    bounds = where(xp, (unknowns == 1.0) & linear, ends, bounds)
    bounds = where(xp, unknowns == 0.0, Interval(middle, middle), bounds)
    return _Surveyed(where(xp, defined, bounds, Interval(xp.nan, xp.nan)), depends)
