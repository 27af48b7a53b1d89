"""How is a decision diagram turned into numbers, whatever the numbers are?

One fold over the diagram serves several algebras: the expected value of the terminals, the interval that
unknown atoms leave it, and the fill that is best for a quotient. The same functions run on numpy and on JAX
arrays (an `Engine` names the array functions), unrolled or from tables, which is why the
evaluators of this package agree. The idea of one evaluator over many algebras is ProbLog's and Scallop's
(https://arxiv.org/abs/2304.04812).

Worked example: for `ideal := a & b` with terminals worth (1, 0) for (ideal, otherwise), a known to be
0.5 and b unknown, the value with b at 1/2 is 0.25 and the interval is [0, 0.5]: b matters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, NamedTuple, Protocol, TypeVar

Column = Any
"""A numpy or JAX array [batch], or a scalar that stands for a constant column."""

Stack = Any
"""A list of columns or scalars, or with tables an array [size, batch] or [size]; or tuples of those."""

FILL = 0.5
"""What an unknown atom counts as while values are computed; any number strictly between 0 and 1 works."""

MARGIN = 2.0**17
"""How far above the smallest normal number a mass has to lie to be divided by: a part of it that arithmetic rounds to 0
is then less than 10⁻⁵ of it."""

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


Node = Callable[[Atom, T, T], T]
"""An algebra: the value at a node from the node's atom and the values of its low and high branch."""


class Engine(Protocol):
    """The array library, and what it does in a way of its own. A stack holds one value for each of several things."""

    @property
    def xp(self) -> Any: ...

    def each(self, size: int, term: Callable[[Stack], Column]) -> Stack:
        """The columns `term(unit)` for the unit vectors of the given size."""
        ...

    def per(self, f: Callable[..., Any], *stacks: Stack) -> Stack:
        """`f` of everything in the stacks, all at once."""
        ...

    def turn(self, f: Callable[[Column], Column], stack: Stack) -> Stack:
        """`f` of everything in the stack, one after another."""
        ...

    def add(self, start: Column, stack: Stack) -> Column:
        """The column and all of the stack, added in its order."""
        ...

    def top(self, stack: Stack) -> Column:
        """The largest of a stack."""
        ...

    def when(self, condition: Column, column: Callable[[], T], otherwise: T) -> T:
        """`column()` if the scalar condition holds, else the other, a column or several; evaluates only what is asked for."""
        ...

    def until(self, done: Callable[[T], Column], step: Callable[[T], T], state: T) -> T:
        """Applies `step` until the scalar condition holds; nothing is differentiated through it."""
        ...

    def stop(self, column: Column) -> Column:
        """The column without derivatives."""
        ...

    def as_if(self, column: Column, other: Column) -> Column:
        """The column with the derivatives of the other."""
        ...


class Plain(ABC):
    """Stacks as lists: what numpy does, and JAX where a circuit is unrolled."""

    def per(self, f: Callable[..., Any], *stacks: Stack) -> Stack:
        return [f(*row) for row in zip(*stacks, strict=True)]

    def turn(self, f: Callable[[Column], Column], stack: Stack) -> Stack:
        return [f(column) for column in stack]

    def add(self, start: Column, stack: Stack) -> Column:
        return reduce(add, stack, start)

    @abstractmethod
    def top(self, stack: Stack) -> Column: ...


class Host(Plain):
    """`Engine` where values are at hand: a condition is looked at, and nothing is differentiated."""

    def each(self, size: int, term: Callable[[Stack], Column]) -> Stack:
        return [term([1.0 if i == j else 0.0 for j in range(size)]) for i in range(size)]

    def when(self, condition: Column, column: Callable[[], T], otherwise: T) -> T:
        return column() if condition else otherwise

    def until(self, done: Callable[[T], Column], step: Callable[[T], T], state: T) -> T:
        while not done(state):
            state = step(state)
        return state

    def stop(self, column: Column) -> Column:
        return column

    def as_if(self, column: Column, other: Column) -> Column:
        return column


def told(xp: Any, mass: Column) -> Column:
    """Whether a mass can be told from 0, Boolean [batch]: below 2·10⁻³³ in 32 bits, parts of it may have been lost."""
    return mass > float(xp.finfo(xp.result_type(mass)).tiny) * MARGIN


def make_atom(xp: Any, probability: Column) -> Atom:
    """The columns of one atom from its probabilities [batch], NaN = unknown."""
    unknown = xp.isnan(probability)
    p = xp.where(unknown, FILL, probability)
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


def value_node(xp: Any) -> Node[Column]:
    """The algebra of expected values."""
    return lambda atom, low, high: lerp(xp, atom, low, high)


def end_node(xp: Any, end: int) -> Node[Column]:
    """The algebra of expected values where every unknown is 0 or every unknown is 1."""
    return lambda atom, low, high: xp.where(atom.unknown, high if end else low, lerp(xp, atom, low, high))


def together(*nodes: Node[Any]) -> Node[Any]:
    """Several algebras in one pass, on tuples."""
    return lambda atom, low, high: tuple(n(atom, x, y) for n, x, y in zip(nodes, low, high, strict=True))


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


class Best(NamedTuple):
    """Numerator and denominator of a quotient for the fill whose `excess`, numerator − t · denominator, is extreme."""

    excess: Column
    numerator: Column
    denominator: Column


def best_node(xp: Any, *, largest: bool) -> Node[Best]:
    """The algebra that chooses, at every unknown, the branch of larger (or smaller) excess."""

    def node(atom: Atom, low: Best, high: Best) -> Best:
        take = high.excess > low.excess if largest else high.excess < low.excess
        return Best(
            *(
                xp.where(atom.unknown, xp.where(take, y, x), lerp(xp, atom, x, y))
                for x, y in zip(low, high, strict=True)
            )
        )

    return node
