"""How is a decision diagram turned into numbers, whatever the numbers are?

One fold over the diagram serves several algebras: the expected value of the terminals, whether an
unknown atom can change it, and the interval it lies in. The same functions run on numpy and on JAX
arrays (an `Engine` names the array functions) and on plain Python floats, which is why the two
evaluators of this package agree. The idea of one evaluator over many algebras is ProbLog's and Scallop's
(https://arxiv.org/abs/2304.04812).

Worked example: for `ideal := a & b` with terminals worth (1, 0) for (ideal, otherwise), a known to be
0.5 and b unknown, the value with b at 1/2 is 0.25, b matters, and the interval is [0, 0.5].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from rbrlang.logic.circuit import Diagram

Column = Any
"""A numpy or JAX array [batch], or a scalar that stands for a constant column."""

FILL = 0.5
"""What an unknown atom counts as while values are computed; any number strictly between 0 and 1 works."""

T = TypeVar("T")


class Atom(NamedTuple):
    """What is known of one atom: arrays [batch].

    `upper` is p > 1/2 and `step` the signed distance from p to the nearer end, in the form that `lerp`
    needs; `unknown`, `possible` (p > 0) and `avoidable` (p < 1) are Boolean.
    """

    p: Column
    upper: Column
    step: Column
    unknown: Column
    possible: Column
    avoidable: Column


class Fold(Protocol):
    """Evaluates a diagram bottom up: `node(atom, low, high)` at every node; the value at the root."""

    def __call__(
        self,
        diagram: Diagram,
        atoms: Mapping[int, Atom],
        terminals: Sequence[T],
        node: Callable[[Atom, T, T], T],
    ) -> T: ...


class Each(Protocol):
    """The columns `term(unit)` for the unit vectors of the given size."""

    def __call__(self, size: int, term: Callable[[Sequence[Column]], Column]) -> list[Column]: ...


class When(Protocol):
    """`column()` if the scalar condition holds, else the other column, evaluating only one of them."""

    def __call__(self, condition: Column, column: Callable[[], Column], otherwise: Column) -> Column: ...


class Repeat(Protocol):
    """Applies `step` to `state` a fixed number of times."""

    def __call__(self, times: int, step: Callable[[T], T], state: T) -> T: ...


@dataclass(frozen=True, slots=True)
class Engine:
    """The array library: `xp` is `numpy` or `jax.numpy`; the rest is done as the library likes it.

    `columns` are those of a matrix [batch, atoms] that the circuit at hand reads.
    """

    xp: Any
    columns: Callable[[Column], Mapping[int, Column]]
    fold: Fold
    each: Each
    when: When
    repeat: Repeat


def fold_nodes(
    diagram: Diagram,
    atoms: Mapping[int, Atom],
    terminals: Sequence[T],
    node: Callable[[Atom, T, T], T],
) -> T:
    """The plain fold: one application of `node` for every node, children first."""
    values = list(terminals)
    for atom, low, high in diagram.nodes:
        values.append(node(atoms[atom], values[low], values[high]))
    return values[diagram.root]


def each_unit(size: int, term: Callable[[Sequence[Column]], Column]) -> list[Column]:
    """The plain loop over unit vectors."""
    return [term([1.0 if i == j else 0.0 for j in range(size)]) for i in range(size)]


def when_true(condition: Column, column: Callable[[], Column], otherwise: Column) -> Column:
    """The plain conditional."""
    return column() if condition else otherwise


def repeat_steps(times: int, step: Callable[[T], T], state: T) -> T:
    """The plain loop."""
    for _ in range(times):
        state = step(state)
    return state


def make_atom(xp: Any, probability: Column, fill: float = FILL) -> Atom:
    """The columns of one atom from its probabilities [batch], NaN = unknown."""
    unknown = xp.isnan(probability)
    p = xp.where(unknown, fill, probability)
    upper = p > 0.5
    return Atom(p, upper, xp.where(upper, p - 1.0, p), unknown, p > 0.0, p < 1.0)


def lerp(xp: Any, atom: Atom, low: Column, high: Column) -> Column:
    """(1 − p)·low + p·high, measured from the nearer end.

    Unlike `low + p·(high − low)` this is exactly `high` at p = 1 and keeps its relative precision when
    both ends have one sign; and it is exactly `low` when the ends are equal, which `(1 − p)·low + p·high`
    is not. So whether an atom matters can be read off by comparing values. The derivative with respect
    to p is `high − low` everywhere, the ends included.
    """
    return xp.where(atom.upper, high, low) + atom.step * (high - low)


def possible_node(atom: Atom, low: Column, high: Column) -> Column:
    """The algebra of what the answers leave possible, Boolean: certain ones (0 and 1) exclude a branch, no others do.

    Logic and not arithmetic: however small the mass that is left, it is not mistaken for none.
    """
    return (atom.avoidable & low) | (atom.possible & high)


class Dependence(NamedTuple):
    """A value [batch] and whether an unknown atom can change it."""

    value: Column
    matters: Column


def value_node(xp: Any) -> Callable[[Atom, Column, Column], Column]:
    """The algebra of expected values."""
    return lambda atom, low, high: lerp(xp, atom, low, high)


def dependence_node(xp: Any) -> Callable[[Atom, Dependence, Dependence], Dependence]:
    """The algebra of values together with whether an unknown can change them.

    An unknown atom matters at a node when its two branches differ; a known one passes on what matters
    in the branches that it leaves possible. Two branches that differ and cancel exactly for the given
    probabilities of other atoms are not recognised: the answer errs towards "matters".
    """

    def node(atom: Atom, low: Dependence, high: Dependence) -> Dependence:
        either = (low.value != high.value) | low.matters | high.matters
        passed = (atom.avoidable & low.matters) | (atom.possible & high.matters)
        return Dependence(lerp(xp, atom, low.value, high.value), xp.where(atom.unknown, either, passed))

    return node


def least_mass_node(xp: Any) -> Callable[[Atom, Column, Column], Column]:
    """The algebra of the least mass above 0 that any fill leaves, from below; 0 where none leaves any."""

    def node(atom: Atom, low: Column, high: Column) -> Column:
        low = low * xp.where(atom.unknown, 1.0, 1.0 - atom.p)
        high = high * xp.where(atom.unknown, 1.0, atom.p)
        return xp.where((low > 0.0) & (high > 0.0), xp.minimum(low, high), xp.maximum(low, high))

    return node


class Excess(NamedTuple):
    """The numerator of (expected value − candidate), the rounding it may carry, whether an unknown matters.

    `floor` is the rounding allowed beside a branch without mass, the same throughout a diagram.
    """

    value: Column
    slack: Column
    floor: Column
    matters: Column


def excess_node(xp: Any) -> Callable[[Atom, Excess, Excess], Excess]:
    """`dependence_node` for a ratio of two diagrams, up to rounding.

    The ratio N/M equals r for every way to fill the unknowns exactly when N − r·M is zero for all of
    them. The candidate r is itself rounded, so branches count as different only beyond a slack, which is a
    tolerance times the mass that a branch carries: so the slack is a diagram's value too. It is the lesser of the two
    that counts, since beyond an answer that is nearly certain lies a branch of hardly any mass, which is all there
    is once the unknown leads there. Beside a branch without any mass it is the tolerance times the least mass that
    the whole diagram can have.

    Above a known atom that decides between classes, branches may differ and cancel only further up. That
    is not seen, and errs towards "matters". Axioms on atoms apart from the classes would do it, which is
    why the compiler leaves those out of a response type's diagram.
    """

    def node(atom: Atom, low: Excess, high: Excess) -> Excess:
        least = xp.minimum(low.slack, high.slack)
        differs = xp.abs(high.value - low.value) > xp.where(least > 0.0, 2.0 * least, low.floor)
        either = differs | low.matters | high.matters
        passed = (atom.avoidable & low.matters) | (atom.possible & high.matters)
        return Excess(
            lerp(xp, atom, low.value, high.value),
            lerp(xp, atom, low.slack, high.slack),
            low.floor,
            xp.where(atom.unknown, either, passed),
        )

    return node


class Interval(NamedTuple):
    """Lower and upper bound [batch] of a value over all ways to fill the unknowns."""

    lower: Column
    upper: Column


def interval_node(xp: Any) -> Callable[[Atom, Interval, Interval], Interval]:
    """The algebra of intervals: sound, and tight where no unknown atom is met on two branches."""

    def node(atom: Atom, low: Interval, high: Interval) -> Interval:
        return Interval(
            xp.where(atom.unknown, xp.minimum(low.lower, high.lower), lerp(xp, atom, low.lower, high.lower)),
            xp.where(atom.unknown, xp.maximum(low.upper, high.upper), lerp(xp, atom, low.upper, high.upper)),
        )

    return node
