"""Why does a completion get its class, and what would have to be different for another?

A completion is an assignment: the set of atoms that hold. The **reason** is the fewest of its facts that force the
class whatever else is true (a prime implicant of the class, of smallest size: Shih, Choi & Darwiche, A Symbolic
Approach to Explaining Bayesian Network Classifiers, 2018, https://arxiv.org/abs/1805.03364). A **flip** is the fewest
facts whose change leads to another class without breaking an axiom: a shortest path in that class's diagram.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget, deep_recursion
from rbrlang.logic.compile import CompiledResponse
from rbrlang.logic.witness import MAX_STATES, TooLarge, stripped
from rbrlang.logic.worth import default_weights

Facts = tuple[tuple[int, bool], ...]
_STEPS = 2  # of work for a state of a search, or a node of a path


@dataclass(frozen=True, slots=True)
class Explanation:
    """The class of one assignment (its number), the reason, the nearest flip to every other class, the reward.

    `flips[c]` holds the facts as they would have to be: none for the class itself, None for a class that no
    assignment reaches. `addends` are the features that enter the reward with default weights: name, value, weight.
    """

    klass: int
    reason: Facts
    flips: tuple[Facts | None, ...]
    addends: tuple[tuple[str, float, float], ...]

    @property
    def reward(self) -> float:
        """The rule reward with default weights."""
        return sum(value * weight for _, value, weight in self.addends)


def explain(
    bdd: Bdd, item: CompiledResponse, context: int, true: frozenset[int],
    readings: Mapping[int, float] = MappingProxyType({}),
) -> Explanation | None:  # fmt: skip
    """Explain the assignment in which exactly the atoms `true` hold; None when the `context` excludes it.

    `readings` are the values of those atoms that are neither true nor false. A step of a variable counts as a fact of
    its own: moving a scale by one level is one change.
    """
    if not bdd.holds(context, true):
        return None
    klass = next(at for at, edge in enumerate(item.classes) if bdd.holds(edge, true))
    features: list[tuple[str, float, float]] = []
    for feature, weight in zip(item.response.features, default_weights(item.response), strict=True):
        holds = feature.index == klass if feature.kind == "class" else feature.index in true
        value = readings.get(feature.index, float(holds)) if feature.kind == "proposition" else float(holds)
        features.append((feature.name, value, weight))
    flips = tuple(
        () if at == klass else nearest(bdd, bdd.conjoin(edge, context), true) for at, edge in enumerate(item.classes)
    )
    return Explanation(klass, reason(bdd, item.classes[klass], context, true), flips, tuple(features))


def reason(bdd: Bdd, edge: int, context: int, true: frozenset[int]) -> Facts:
    """The fewest facts of an assignment that force a function which holds in it; subset-minimal in huge diagrams."""
    forced = bdd.disjoin(edge, context ^ 1)
    search = _Reason(bdd, true)
    try:
        with bdd.scratch(), deep_recursion(3 * len(bdd.order) + 1000):
            found = search.best(forced, len(bdd.order) + 1)
            if found is not None:
                return tuple((bdd.order[level], bdd.order[level] in true) for level in sorted(found))
    except (TooLarge, NodeBudget):
        pass
    return tuple(stripped(bdd, forced, {atom: atom in true for atom in bdd.support([forced])}).items())


class _Reason:
    """At each variable: keep the fact, or drop it, and then both values must do."""

    def __init__(self, bdd: Bdd, true: frozenset[int]) -> None:
        self.bdd, self.true = bdd, true
        self.memo: dict[int, tuple[int, frozenset[int] | None]] = {}

    def best(self, edge: int, limit: int) -> frozenset[int] | None:
        """The levels of the fewest facts, if they are fewer than `limit`."""
        if edge == TRUE:
            return frozenset() if limit > 0 else None
        if edge == FALSE or limit <= 1:
            return None
        known = self.memo.get(edge)
        if known is not None and (known[1] is not None or known[0] >= limit):
            return known[1] if known[1] is not None and len(known[1]) < limit else None
        if len(self.memo) > MAX_STATES:
            raise TooLarge
        bdd = self.bdd
        bdd.work.spend(_STEPS)
        level = bdd.levels[edge >> 1]
        low, high = bdd.cofactors(edge, level)
        found = self.best(bdd.conjoin(low, high), limit)
        inner = self.best(
            high if bdd.order[level] in self.true else low, (len(found) if found is not None else limit) - 1
        )
        if inner is not None:
            found = inner | {level}
        self.memo[edge] = (limit, found)
        return found


def nearest(bdd: Bdd, edge: int, true: frozenset[int]) -> Facts | None:
    """The fewest facts whose change makes a function hold, as they would have to be; None when nothing does."""
    if edge == FALSE:
        return None
    far = len(bdd.order) + 1
    cost: dict[int, tuple[int, bool]] = {}  # by edge: changes needed, and the value to take

    def of(target: int) -> int:
        return 0 if target == TRUE else far if target == FALSE else cost[target][0]

    reached = bdd.reachable([edge])  # children first
    bdd.work.spend(_STEPS * len(reached))
    for at in reached:
        holds = bdd.order[bdd.levels[at]] in true
        for flip in (0, 1):
            without = of(bdd.lows[at] ^ flip) + holds
            with_it = of(bdd.highs[at] ^ flip) + (not holds)
            value = with_it < without or (with_it == without and holds)
            cost[at * 2 + flip] = (min(with_it, without, far), value)
    changes: list[tuple[int, bool]] = []
    while edge > 1:
        at, value = edge >> 1, cost[edge][1]
        atom = bdd.order[bdd.levels[at]]
        if value != (atom in true):
            changes.append((atom, value))
        edge = (bdd.highs[at] if value else bdd.lows[at]) ^ (edge & 1)
    return tuple(changes)
