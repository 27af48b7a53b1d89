"""Which class does every assignment have, in one diagram for all classes?

Here, and not with the circuit, which a policy that is only checked does not need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget, deep_recursion

_TERMINAL = 1 << 40  # terminals are numbered only when all are known


@dataclass(frozen=True, slots=True)
class Diagram:
    """A multi-terminal decision diagram; see `rbrlang.logic.circuit` for the encoding."""

    terminals: tuple[int, ...]
    nodes: tuple[tuple[int, int, int], ...]
    root: int


def diagram(bdd: Bdd, classes: Sequence[int], context: int, *, yes_no: bool = False) -> Diagram:
    """One diagram for functions that partition `context`; terminal −1 outside of it.

    With `yes_no` the terminals are 0 (excluded) and 1 (allowed), for the axioms alone.
    """
    terminals: dict[int, int] = {}
    nodes: list[tuple[int, int, int]] = []
    unique: dict[tuple[int, int, int], int] = {}
    memo: dict[tuple[int, ...], int] = {}

    def visit(edges: tuple[int, ...]) -> int:
        found = memo.get(edges)
        if found is not None:
            return found
        bdd.work.spend(len(edges))
        if edges[-1] == FALSE:
            result = _TERMINAL + terminals.setdefault(-1, len(terminals))
        elif TRUE in edges[:-1] and edges[-1] == TRUE:
            result = _TERMINAL + terminals.setdefault(edges.index(TRUE), len(terminals))
        else:
            level = min(bdd.levels[e >> 1] for e in edges)
            pairs = [bdd.cofactors(e, level) for e in edges]
            low = visit(tuple(low for low, _ in pairs))
            high = visit(tuple(high for _, high in pairs))
            if low == high:
                result = low
            else:
                key = (bdd.order[level], low, high)
                result = unique.get(key, -1)
                if result < 0:
                    result = len(nodes)
                    if result >= bdd.budget:
                        raise NodeBudget
                    nodes.append(key)
                    unique[key] = result
        memo[edges] = result
        return result

    inside = [bdd.conjoin(edge, context) for edge in classes]
    with deep_recursion(2 * len(bdd.order) + 1000):
        root = visit((*inside, context))
    order = sorted(terminals)  # −1 first, then classes by rank
    renumber = {_TERMINAL + terminals[value]: at for at, value in enumerate(order)}

    def final(reference: int) -> int:
        return renumber[reference] if reference >= _TERMINAL else len(order) + reference

    values = tuple(0 if value < 0 else 1 for value in order) if yes_no else tuple(order)
    return Diagram(values, tuple((atom, final(low), final(high)) for atom, low, high in nodes), final(root))
