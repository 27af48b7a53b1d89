"""Which assignment of a class is worth most?

For one response type and a number for each atom that holds, the greatest sum over the assignments of
every class that satisfy all axioms: a longest path through the response type's diagram and the axioms'
diagram, walked together. An atom that a path does not test is free and takes its better value. The least
sum is the greatest of the negated numbers. Sums are of integers, so the answer is exact.

Worked example, `ideal := a & !b`, `bad := otherwise`, a worth 3 and b worth 2: ideal at most 3 (a), bad
at most 5 (a, b).

Cost: pairs of nodes reached together, times classes; the response type's diagram already holds the
axioms that bear on its classes, so the second diagram seldom adds any.

Reference: Bryant, Graph-Based Algorithms for Boolean Function Manipulation, 1986 (the product walk);
Knuth, The Art of Computer Programming 4A, 7.1.4, algorithm B (the heaviest satisfying assignment).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from itertools import combinations, pairwise

from rbrlang.logic.bdd import FALSE, TRUE, Bdd, deep_recursion
from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.logic.diagram import Diagram, diagram


class OrderError(ValueError):
    """The diagrams of a circuit test their atoms in different orders; none that this package compiled does."""


@dataclass(frozen=True, slots=True)
class Extreme:
    """The greatest sum and an assignment that has it, true or false for every atom that matters."""

    value: int
    assignment: Mapping[int, bool]


def greatest(circuit: Circuit, response: ResponseCircuit, worth: Mapping[int, int]) -> tuple[Extreme | None, ...]:
    """For each class the greatest sum of `worth` over the atoms that hold; None for an impossible class.

    `worth` need not name every atom; the others are worth 0. Raises `OrderError`.
    """
    order = atom_order((response.diagram, circuit.axioms), (*response.atoms, *worth))
    walk = _Walk(response, circuit.axioms, order, [worth.get(atom, 0) for atom in order])
    start = (response.diagram.root, circuit.axioms.root)
    with deep_recursion(3 * len(order) + 1000):
        best = walk.best(*start)
    free = walk.free[walk.level(*start)] - walk.free[0]
    found: list[Extreme | None] = []
    for klass in range(len(response.classes)):
        choice = best.get(klass)
        found.append(None if choice is None else Extreme(choice[0] + free, walk.path(klass)))
    return tuple(found)


def one_way(circuit: Circuit, response: ResponseCircuit, variables: Sequence[int]) -> Circuit:
    """The circuit with each value of those variables written in one way: of a scale no step without those before it,
    of a choice no two steps. What is excluded is only other ways to write the same. Raises `OrderError`.
    """
    chosen = [circuit.domains[v] for v in variables]
    steps = [first + step for first, domain in chosen for step in range(len(domain.values) - 1)]
    bdd = Bdd(atom_order((response.diagram, circuit.axioms), steps))
    allowed = TRUE
    values = [TRUE if terminal else FALSE for terminal in circuit.axioms.terminals]
    for atom, low, high in circuit.axioms.nodes:
        values.append(bdd.choose(bdd.variable(atom), values[high], values[low]))
    edge = values[circuit.axioms.root]
    for first, domain in chosen:
        mine = [bdd.variable(first + step) for step in range(len(domain.values) - 1)]
        if domain.kind == "scale":
            pairs = [bdd.disjoin(low, high ^ 1) for low, high in pairwise(mine)]
        else:
            pairs = [bdd.conjoin(one, other) ^ 1 for one, other in combinations(mine, 2)]
        allowed = bdd.conjoin(allowed, bdd.conjoin_all(pairs))
    both = bdd.conjoin(edge, allowed)
    return replace(circuit, axioms=diagram(bdd, [both], both, yes_no=True))


def atom_order(diagrams: Sequence[Diagram], atoms: Sequence[int] = ()) -> list[int]:
    """An order of the atoms, and of those of the diagrams, in which every path tests them. Raises `OrderError`."""
    sorter: TopologicalSorter[int] = TopologicalSorter(dict.fromkeys(sorted(set(atoms)), ()))
    for each in diagrams:
        terminals = len(each.terminals)
        for atom, low, high in each.nodes:
            sorter.add(atom)
            for child in (low, high):
                if child >= terminals:
                    sorter.add(each.nodes[child - terminals][0], atom)
    try:
        return list(sorter.static_order())
    except CycleError:
        raise OrderError(
            "the diagrams of this policy test their propositions in different orders; compile the policy again"
        ) from None


_Best = dict[int, tuple[int, bool]]
"""Class → the greatest sum from a pair of nodes down, and the value of its atom that leads there."""


class _Walk:
    """The two diagrams walked together; `free[i]` is what the first i atoms of the order add when left free."""

    def __init__(self, response: ResponseCircuit, axioms: Diagram, order: list[int], worth: list[int]) -> None:
        self.classes, self.axioms = response.diagram, axioms
        self.order, self.worth = order, worth
        self.free = [0]
        for value in worth:
            self.free.append(self.free[-1] + max(value, 0))
        place = {atom: at for at, atom in enumerate(order)}
        self._levels = tuple(
            [len(order)] * len(d.terminals) + [place[atom] for atom, _, _ in d.nodes]
            for d in (response.diagram, axioms)
        )
        self._memo: dict[tuple[int, int], _Best] = {}

    def level(self, r: int, a: int) -> int:
        """Place in the order of the next atom that either diagram tests."""
        return min(self._levels[0][r], self._levels[1][a])

    def children(self, r: int, a: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """The pairs of nodes for the next atom false and true."""
        at = self.level(r, a)
        r0 = r1 = r
        a0 = a1 = a
        if self._levels[0][r] == at:
            _, r0, r1 = self.classes.nodes[r - len(self.classes.terminals)]
        if self._levels[1][a] == at:
            _, a0, a1 = self.axioms.nodes[a - len(self.axioms.terminals)]
        return (r0, a0), (r1, a1)

    def best(self, r: int, a: int) -> _Best:
        """The greatest sums over the atoms from this pair's level on."""
        found = self._memo.get((r, a))
        if found is not None:
            return found
        found = {}
        at = self.level(r, a)
        excluded = (r < len(self.classes.terminals) and self.classes.terminals[r] < 0) or (
            a < len(self.axioms.terminals) and self.axioms.terminals[a] == 0
        )
        if excluded:
            pass
        elif at == len(self.order):
            found[self.classes.terminals[r]] = (0, False)
        else:
            for holds, child in enumerate(self.children(r, a)):
                skipped = self.free[self.level(*child)] - self.free[at + 1]
                for klass, (value, _) in self.best(*child).items():
                    total = value + skipped + holds * self.worth[at]
                    if klass not in found or total > found[klass][0]:
                        found[klass] = (total, bool(holds))
        self._memo[r, a] = found
        return found

    def path(self, klass: int) -> dict[int, bool]:
        """The assignment that has the class's greatest sum."""
        r, a = self.classes.root, self.axioms.root
        found = {atom: worth > 0 for atom, worth in zip(self.order, self.worth, strict=True)}
        while (at := self.level(r, a)) < len(self.order):
            holds = self._memo[r, a][klass][1]
            found[self.order[at]] = holds
            r, a = self.children(r, a)[holds]
        return found
