"""What is the smallest reason that shows it?

A witness of a function `f` within a context `c` is a partial assignment that leaves `c` possible and
forces `f` wherever `c` holds. The smallest fixes the fewest variables. Found by dynamic programming
over the diagram: at each variable, leave it open (both cofactors must be forced), or fix it; branches
that cannot beat the best found are cut. On very large diagrams the search is bounded; then a path of the
diagram, stripped of every literal it does not need, is returned: still a witness, perhaps not the
smallest.

For `f = x & y | z`: `{z: true}`, although every path through x has two literals.
"""

from __future__ import annotations

from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget, deep_recursion

MAX_STATES = 20_000

Assignment = dict[int, bool]


def smallest_witness(bdd: Bdd, f: int, context: int = TRUE) -> Assignment | None:
    """The smallest partial assignment (variable → value) that forces `f` within `context`; None if there is none."""
    possible = bdd.conjoin(f, context)
    if possible == FALSE:
        return None
    forced = bdd.disjoin(f, context ^ 1)
    try:
        with bdd.scratch(), deep_recursion(3 * len(bdd.order) + 1000):
            found = _Search(bdd).best(forced, possible, len(bdd.order) + 1)
            if found is not None:
                return {bdd.order[level]: value for level, value in sorted(found)}
    except (TooLarge, NodeBudget):
        pass
    return _stripped_path(bdd, forced, possible)


class TooLarge(Exception):
    """A search among more states than it may have."""


class _Search:
    """Memoised search; a state is what must be forced and what must stay possible."""

    def __init__(self, bdd: Bdd) -> None:
        self.bdd = bdd
        self.memo: dict[tuple[int, int], tuple[int, frozenset[tuple[int, bool]] | None]] = {}

    def best(self, forced: int, possible: int, limit: int) -> frozenset[tuple[int, bool]] | None:
        """The smallest witness with fewer than `limit` literals."""
        self.bdd.work.spend(2)
        if possible == FALSE or forced == FALSE or limit <= 0:
            return None
        if forced == TRUE:
            return frozenset()
        if limit <= 1:
            return None
        known = self.memo.get((forced, possible))
        if known is not None and (known[1] is not None or known[0] >= limit):
            return known[1] if known[1] is not None and len(known[1]) < limit else None
        if len(self.memo) > MAX_STATES:
            raise TooLarge
        bdd = self.bdd
        level = bdd.levels[forced >> 1]
        f0, f1 = bdd.cofactors(forced, level)
        p0, p1, open_possible = *self._split(possible, level), possible
        found: frozenset[tuple[int, bool]] | None = None
        bound = limit
        for value, f, p in ((False, f0, p0), (True, f1, p1)):
            inner = self.best(f, p, bound - 1)
            if inner is not None:
                self.bdd.work.spend(len(inner) // 5)
                found = inner | {(level, value)}
                bound = len(found)
        inner = self.best(bdd.conjoin(f0, f1), self._without(open_possible, level), bound)
        if inner is not None:
            found = inner
        self.memo[forced, possible] = (limit, found)
        return found

    def _split(self, possible: int, level: int) -> tuple[int, int]:
        """`possible` with the variable at `level` fixed either way; variables above it are open."""
        possible = self._above(possible, level)
        return self.bdd.cofactors(possible, level)

    def _without(self, possible: int, level: int) -> int:
        low, high = self._split(possible, level)
        return self.bdd.disjoin(low, high)

    def _above(self, possible: int, level: int) -> int:
        """Forget the variables above `level`: an assignment that leaves them open only has to be possible."""
        while possible > 1 and self.bdd.levels[possible >> 1] < level:
            low, high = self.bdd.cofactors(possible, self.bdd.levels[possible >> 1])
            possible = self.bdd.disjoin(low, high)
        return possible


def _stripped_path(bdd: Bdd, forced: int, possible: int) -> Assignment:
    literals: Assignment = {}
    edge = possible
    while edge > 1:
        level = bdd.levels[edge >> 1]
        low, high = bdd.cofactors(edge, level)
        value = low == FALSE
        literals[bdd.order[level]] = value
        edge = high if value else low
    return stripped(bdd, forced, literals)


def stripped(bdd: Bdd, forced: int, literals: Assignment) -> Assignment:
    """Literals that force a function, without those that it does not need for that."""
    for variable in list(literals):
        bdd.work.spend(len(literals) // 5)
        rest = {v: value for v, value in literals.items() if v != variable}
        if not _can_fail(bdd, forced, rest):
            literals = rest
    return literals


def _can_fail(bdd: Bdd, edge: int, literals: Assignment) -> bool:
    """Whether the function can be false once some variables are fixed."""
    seen: set[int] = set()
    pending = [edge]
    while pending:
        current = pending.pop()
        bdd.work.spend(1)
        if current == FALSE:
            return True
        if current == TRUE or current in seen:
            continue
        seen.add(current)
        level = bdd.levels[current >> 1]
        low, high = bdd.cofactors(current, level)
        value = literals.get(bdd.order[level])
        if value is not True:
            pending.append(low)
        if value is not False:
            pending.append(high)
    return False
