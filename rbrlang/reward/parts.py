"""What do the numbers of one response type need of its circuit and of the rows?

`evaluate` and `classes` are written for a `Part`: rows with what their own response type says. In `Mixed` the types are
written out one after another, and each row takes its own's: what numpy does for one type at a time, and JAX where a
circuit is unrolled. In `own.OwnType` every row reads its type's instructions from tables. Nothing else tells them apart,
so that unknowns, axioms, products, bounds and features have one meaning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, assert_never, cast

from rbrlang.logic.circuit import Circuit, Diagram, ResponseCircuit
from rbrlang.reward.algebra import FILL, Atom, Column, Engine, Node, Stack, make_atom

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


_IDLE = Atom(FILL, False, FILL, False, True, True)
"""An atom that nothing reads."""


@dataclass(frozen=True, slots=True)
class Mixed:
    """Rows of several response types: what each of `responses` says of all rows, of which each row takes its own's.

    `of` tells the rows of each type, Boolean columns, and `tables` has their weights; with one type nothing is selected.
    `columns` are those of the probabilities that the circuit reads. Stacks are lists, of `classes` or `width` columns.
    """

    engine: Engine
    zero: Column
    circuit: Circuit
    responses: Sequence[ResponseCircuit]
    of: Sequence[Column]
    mine: Column
    columns: Mapping[int, Column]
    atom: Callable[[int], Atom]
    tables: Sequence[Sequence[Column]]
    classes: int
    width: int

    @property
    def kind(self) -> ClassProbability:
        return self.circuit.class_probability

    @property
    def excludes(self) -> bool:
        return any(-1 in response.diagram.terminals for response in self.responses)

    @property
    def free(self) -> Column:
        return self._own([-1 not in response.diagram.terminals for response in self.responses], True)

    @property
    def classed(self) -> Column:
        return self._own([_is_classed(response) for response in self.responses], False)

    @property
    def values(self) -> Stack | None:
        found = [class_values(response, table) for response, table in zip(self.responses, self.tables, strict=True)]
        if all(values is None for values in found):
            return None
        # Classes beyond the type's own are worth what its first is, so that they are never an extreme.
        return [
            self._own([values[c if c < len(values) else 0] if values else 0.0 for values in found], 0.0)
            for c in range(self.classes)
        ]

    @property
    def terms(self) -> tuple[Stack, Stack]:
        weights, atoms = self._weights(lambda response: set()), {}
        for number in weights:
            read = [number in proposition_features(response) for response in self.responses]
            atoms[number] = self._own([self.atom(number) if yes else _IDLE for yes in read], _IDLE)
        return list(weights.values()), list(atoms.values())

    @property
    def lacks(self) -> Column:
        return reduce(lambda x, y: x | y, self._unknown(partial(reached_by, self.circuit)), self.zero != 0.0)

    @property
    def unknowns(self) -> Column:
        def counted(response: ResponseCircuit) -> set[int]:
            return class_atoms(self.circuit, response) if _is_classed(response) else set()

        count = self._count(counted)
        for number, weight in self._weights(counted).items():
            relevant = self.engine.xp.isnan(self.columns[number]) & (weight != 0.0)
            count = count + self.engine.xp.where(relevant, 1.0, 0.0)
        return count

    @property
    def class_unknowns(self) -> Column:
        return self._count(partial(class_atoms, self.circuit))

    def fold(self, classes: Stack, excluded: T, node: Node[T]) -> T:
        def root(diagram: Diagram) -> T:
            terminals = [classes[c] if c >= 0 else excluded for c in diagram.terminals]
            return fold_nodes(diagram, self.atom, terminals, node)

        return self._own([root(response.diagram) for response in self.responses], excluded)

    def still(self) -> Part:
        columns = {a: self.engine.stop(column) for a, column in self.columns.items()}
        return replace(self, columns=columns, atom=atoms_of(self.engine, columns))

    def masses(self) -> Stack:
        nothing = Mass(self.zero, self.zero, self.zero, self.zero != 0.0)
        found = [self._masses(response) for response in self.responses]
        return [self._own([m[c] if c < len(m) else nothing for m in found], nothing) for c in range(self.classes)]

    def unit(self, unit: Stack) -> Stack:
        return unit

    def features(self, classes: Stack, *, filled: bool) -> Stack:
        def value(response: ResponseCircuit, place: int) -> Column:
            if place >= len(response.features):
                return self.zero
            feature = response.features[place]
            if feature.kind == "class":
                return classes[feature.index]
            return self.atom(feature.index).p if filled else self.columns[feature.index]

        return [self._own([value(r, place) for r in self.responses], self.zero) for place in range(self.width)]

    def weights(self) -> Stack:
        def weight(response: ResponseCircuit, table: Sequence[Column], place: int) -> Column:
            return table[place] if place < len(response.features) else self.zero

        both = list(zip(self.responses, self.tables, strict=True))
        return [self._own([weight(r, t, place) for r, t in both], self.zero) for place in range(self.width)]

    def _own(self, found: Sequence[T], otherwise: T) -> T:
        """Of one value for each type, the row's own."""
        if not found:
            return otherwise
        own = found[-1]
        for of, value in reversed(list(zip(self.of[:-1], found[:-1], strict=True))):
            own = choose(self.engine.xp, of, value, own)
        return own

    def _weights(self, without: Callable[[ResponseCircuit], set[int]]) -> dict[int, Column]:
        """The weight of every proposition that is a feature of some type and not among those `without`, 0 elsewhere."""
        places = [
            {a: j for a, j in proposition_features(response).items() if a not in without(response)}
            for response in self.responses
        ]

        def own(number: int) -> Column:
            table = [t[p[number]] if number in p else 0.0 for t, p in zip(self.tables, places, strict=True)]
            return self._own(table, 0.0)

        return {number: own(number) for number in dict.fromkeys(a for place in places for a in place)}

    def _unknown(self, read: Callable[[ResponseCircuit], set[int]]) -> list[Column]:
        """For every atom that some type reads, whether it is unknown where the row's own reads it."""
        atoms = [read(response) for response in self.responses]
        return [
            self.engine.xp.isnan(self.columns[a]) & self._own([a in own for own in atoms], False)
            for a in sorted(set().union(*atoms))
        ]

    def _count(self, read: Callable[[ResponseCircuit], set[int]]) -> Column:
        return sum((self.engine.xp.where(unknown, 1.0, 0.0) for unknown in self._unknown(read)), self.zero)

    def _masses(self, response: ResponseCircuit) -> list[Mass]:
        steps: list[Mass] = []
        one = Mass(self.zero + 1.0, self.zero + 1.0, self.zero + 1.0, self.zero != 0.0)
        for term in response.product.steps:
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
        return [steps[i] for i in response.product.outputs]


def choose(xp: Any, condition: Column, yes: T, no: T) -> T:
    """`xp.where` for columns, or tuples of them of one form; nothing is done for equal constants."""
    if isinstance(yes, tuple):
        pairs = [choose(xp, condition, y, n) for y, n in zip(yes, cast(tuple[Any, ...], no), strict=True)]
        return cast(T, type(yes)(*pairs) if hasattr(yes, "_fields") else tuple(pairs))
    if yes is no or (isinstance(yes, bool | float) and isinstance(no, bool | float) and yes == no):
        return no
    return xp.where(condition, yes, no)


def _is_classed(response: ResponseCircuit) -> bool:
    return any(feature.kind == "class" for feature in response.features)


def proposition_features(response: ResponseCircuit) -> dict[int, int]:
    """The place of every proposition, by the number of its atom, among the features."""
    return {feature.index: j for j, feature in enumerate(response.features) if feature.kind == "proposition"}


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
