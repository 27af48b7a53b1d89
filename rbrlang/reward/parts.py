"""What do the numbers of one response type need of its circuit and of the rows?

`evaluate` and `classes` are written for a `Part`: rows with what their response type says. `OneType` is one response
type for all rows, of which only the rows of that type are then used: what numpy does, and JAX where a circuit is
unrolled. `tables.OwnType` is every row's own response type, read from tables. Nothing else tells them apart, so that
unknowns, axioms, products, bounds and features have one meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, assert_never

from rbrlang.logic.circuit import Circuit, Diagram, ResponseCircuit
from rbrlang.reward.algebra import Atom, Column, Engine, Node, Stack, make_atom

T = TypeVar("T")

ClassProbability = Literal["exact", "product"]


class Mass(NamedTuple):
    """A class's product with unknowns at `FILL`, its interval, and whether an unknown can change it."""

    value: Column
    lower: Column
    upper: Column
    matters: Column


class Part(Protocol):
    """Rows and what their response type says; columns are [batch]. `zero` is a column of zeros.

    `mine` tells the rows that belong to it. `excludes` is whether axioms leave assignments out, and `free`, a Boolean or
    a column of them, where they do not after all. `values` holds the weight of every class, 0 for those that are no
    feature, and None when no class is one; `classed`, a Boolean or a column, is where one is.
    """

    @property
    def engine(self) -> Engine: ...
    @property
    def zero(self) -> Column: ...
    @property
    def kind(self) -> ClassProbability: ...
    @property
    def excludes(self) -> bool: ...
    @property
    def mine(self) -> Column: ...
    @property
    def free(self) -> Column: ...
    @property
    def classed(self) -> Column: ...
    @property
    def values(self) -> Stack | None: ...
    @property
    def terms(self) -> tuple[Stack, Stack]:
        """The weights of the propositions that are features, and their `Atom`s."""
        ...

    @property
    def lacks(self) -> Column:
        """Whether an atom is unknown that class probabilities or features read."""
        ...

    @property
    def unknowns(self) -> Column:
        """How many atoms are unknown that class features, or propositions with a weight, read."""
        ...

    @property
    def class_unknowns(self) -> Column:
        """How many atoms are unknown that class probabilities read."""
        ...

    def fold(self, classes: Stack, excluded: T, node: Node[T]) -> T:
        """A diagram's value at its root, from the values of the classes and of what the axioms exclude."""
        ...

    def still(self) -> Part:
        """The same, without derivatives."""
        ...

    def masses(self) -> Stack:
        """The classes' `Mass` as the paper multiplies them."""
        ...

    def unit(self, unit: Stack) -> Stack:
        """As many of the unit vector's entries as there are classes."""
        ...

    def features(self, classes: Stack, *, filled: bool) -> Stack:
        """φ by position, 0 beyond the type's own; unknown propositions are NaN, or `FILL` when `filled`."""
        ...

    def weights(self) -> Stack:
        """The weight by position, 0 beyond the type's own."""
        ...


def product_step(xp: Any, left: Mass, right: Mass) -> Mass:
    """The product of two.

    It depends on an unknown factor unless it is 0: `FILL` is inside (0, 1), so an unknown factor is never 0 by itself.
    """
    value = left.value * right.value
    matters = (left.matters | right.matters) & (value != 0.0)
    return Mass(value, left.lower * right.lower, left.upper * right.upper, matters)


def product_atom(xp: Any, atom: Atom) -> Mass:
    """An atom as a factor."""
    return Mass(atom.p, xp.where(atom.unknown, 0.0, atom.p), xp.where(atom.unknown, 1.0, atom.p), atom.unknown)


def product_not(mass: Mass) -> Mass:
    """1 minus it."""
    return Mass(1.0 - mass.value, 1.0 - mass.upper, 1.0 - mass.lower, mass.matters)


def atoms_of(engine: Engine, columns: Mapping[int, Column]) -> Callable[[int], Atom]:
    """What is known of each atom."""
    return lambda number: make_atom(engine.xp, columns[number])


def fold_nodes(diagram: Diagram, atom: Callable[[int], Atom], terminals: Sequence[T], node: Node[T]) -> T:
    """One application of `node` for every node, children first; the value at the root."""
    values = list(terminals)
    for number, low, high in diagram.nodes:
        values.append(node(atom(number), values[low], values[high]))
    return values[diagram.root]


@dataclass(frozen=True, slots=True)
class OneType:
    """One response type for all rows. `columns` are those of the probabilities that the circuit reads."""

    engine: Engine
    zero: Column
    circuit: Circuit
    response: ResponseCircuit
    mine: Column
    columns: Mapping[int, Column]
    atom: Callable[[int], Atom]
    table: Sequence[Column]
    width: int

    @property
    def kind(self) -> ClassProbability:
        return self.circuit.class_probability

    @property
    def excludes(self) -> bool:
        return -1 in self.response.diagram.terminals

    @property
    def free(self) -> bool:
        return not self.excludes

    @property
    def classed(self) -> bool:
        return any(f.kind == "class" for f in self.response.features)

    @property
    def values(self) -> Stack | None:
        return class_values(self.response, self.table)

    @property
    def terms(self) -> tuple[Stack, Stack]:
        found = [(self.table[j], f.index) for j, f in enumerate(self.response.features) if f.kind == "proposition"]
        return [weight for weight, _ in found], [self.atom(number) for _, number in found]

    @property
    def lacks(self) -> Column:
        unknown = [self.engine.xp.isnan(self.columns[a]) for a in sorted(reached_by(self.circuit, self.response))]
        return reduce(lambda x, y: x | y, unknown, self.zero != 0.0)

    @property
    def unknowns(self) -> Column:
        counted = class_atoms(self.circuit, self.response) if self.classed else set[int]()
        count = self._count(counted)
        for weight, f in zip(self.table, self.response.features, strict=False):
            if f.kind == "proposition" and f.index not in counted:
                relevant = self.engine.xp.isnan(self.columns[f.index]) & (weight != 0.0)
                count = count + self.engine.xp.where(relevant, 1.0, 0.0)
        return count

    @property
    def class_unknowns(self) -> Column:
        return self._count(class_atoms(self.circuit, self.response))

    def _count(self, atoms: set[int]) -> Column:
        xp = self.engine.xp
        return sum((xp.where(xp.isnan(self.columns[a]), 1.0, 0.0) for a in sorted(atoms)), self.zero)

    def fold(self, classes: Stack, excluded: T, node: Node[T]) -> T:
        diagram = self.response.diagram
        terminals = [classes[c] if c >= 0 else excluded for c in diagram.terminals]
        return fold_nodes(diagram, self.atom, terminals, node)

    def still(self) -> Part:
        columns = {a: self.engine.stop(column) for a, column in self.columns.items()}
        return replace(self, columns=columns, atom=atoms_of(self.engine, columns))

    def masses(self) -> Stack:
        steps: list[Mass] = []
        one = Mass(self.zero + 1.0, self.zero + 1.0, self.zero + 1.0, self.zero != 0.0)
        for term in self.response.product.steps:
            match term.op:
                case "atom":
                    steps.append(product_atom(self.engine.xp, self.atom(term.args[0])))
                case "not":
                    steps.append(product_not(steps[term.args[0]]))
                case "product":
                    steps.append(
                        reduce(lambda x, y: product_step(self.engine.xp, x, y), (steps[i] for i in term.args), one)
                    )
                case _:
                    assert_never(term.op)
        return [steps[i] for i in self.response.product.outputs]

    def unit(self, unit: Stack) -> Stack:
        return unit[: len(self.response.classes)]

    def features(self, classes: Stack, *, filled: bool) -> Stack:
        def proposition(number: int) -> Column:
            return self.atom(number).p if filled else self.columns[number]

        own = [classes[f.index] if f.kind == "class" else proposition(f.index) for f in self.response.features]
        return own + [self.zero] * (self.width - len(own))

    def weights(self) -> Stack:
        own = list(self.table[: len(self.response.features)])
        return own + [self.zero] * (self.width - len(own))


def class_values(response: ResponseCircuit, weights: Sequence[Column]) -> list[Column] | None:
    """The weight of every class, 0 for those that are no feature; None when no class is a feature."""
    features = [(f.index, weights[j]) for j, f in enumerate(response.features) if f.kind == "class"]
    if not features:
        return None
    return [sum(w for c, w in features if c == number) for number in range(len(response.classes))]


def class_atoms(circuit: Circuit, response: ResponseCircuit) -> set[int]:
    """Atoms that one response type's class probabilities read."""
    if circuit.class_probability == "exact":
        return {atom for atom, _, _ in response.diagram.nodes}
    return {term.args[0] for term in response.product.steps if term.op == "atom"}


def reached_by(circuit: Circuit, response: ResponseCircuit) -> set[int]:
    """Atoms that one response type's class probabilities or features read."""
    return class_atoms(circuit, response) | {f.index for f in response.features if f.kind == "proposition"}


def reached(circuit: Circuit) -> tuple[int, ...]:
    """Atoms that the axioms, or any response type's class probabilities or features, read, ascending."""
    read = {a for r in circuit.responses for a in reached_by(circuit, r)}
    return tuple(sorted(read | {a for a, _, _ in circuit.axioms.nodes}))
