"""Which Boolean function is this, exactly?

Reduced ordered binary decision diagrams with complement edges (Bryant 1986; Brace, Rudell & Bryant,
Efficient Implementation of a BDD Package, 1990). An **edge** is an integer: twice the number of a
node, plus one when the function is negated. Node 0 is the constant true, so `TRUE = 0`, `FALSE = 1`
and negation is `edge ^ 1`. Two edges are equal exactly when the functions are.

A node is (level, low, high): the variable at `level` of the current order, and the functions for its
being false and true. `high` is never complemented; that makes the form canonical. All nodes come
from one factory, `node`.

    x & y, x first:  node 1 = (1, FALSE, TRUE), node 2 = (0, FALSE, 2·1);  the edge is 4

Do not use it for functions without structure over many variables: every exact method blows up there.
`NodeBudget` says so in bounded time.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

from rbrlang.budget import Budget

TRUE, FALSE = 0, 1


class NodeBudget(Exception):
    """The diagram has more nodes than its budget allows."""


_SHALLOW = 200  # recursion this deep fits the interpreter's limit beside any caller's
_ENTRIES_PER_NODE = 10  # the cache of one operation holds at most this many entries per node of the budget
_STEPS = 3  # of work for an entry of that cache, and for the node that it may make


@contextmanager
def deep_recursion(depth: int) -> Generator[None]:
    """Room for recursion as deep as the order is long (such frames take no C stack)."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, depth))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


class Bdd:
    """A manager: the shared nodes, the variable order, and the operations.

    `order[level]` is the variable at a level, `level_of[variable]` the inverse. At most `budget` nodes
    are kept, and one operation takes at most a multiple of that many steps; beyond either `NodeBudget` is
    raised, and the manager stays usable. What operations and questions take is charged to `work`, by default without
    limit: `SpentError` ends them when that is spent.
    """

    def __init__(self, order: Sequence[int], *, budget: int = 200_000, work: Budget | None = None) -> None:
        self.order = list(order)
        self.level_of = {variable: level for level, variable in enumerate(self.order)}
        self.budget = budget
        self.work = work or Budget(None)
        self.levels = [len(self.order)]  # the constant lies below all variables
        self.lows = [TRUE]
        self.highs = [TRUE]
        self._unique: dict[tuple[int, int, int], int] = {}
        self._and: dict[tuple[int, int], int] = {}
        self._xor: dict[tuple[int, int], int] = {}
        self._ceiling = 0  # entries that the running operation's table may have

    def __len__(self) -> int:
        return len(self._unique)

    def adopt(self, tables: Sequence[dict[tuple[int, int], int]]) -> None:
        """Keep only the nodes of `tables` (by level), as reordering leaves them."""
        self._unique = {
            (level, low, high): at for level, table in enumerate(tables) for (low, high), at in table.items()
        }
        self._and.clear()
        self._xor.clear()

    def collect(self, roots: Iterable[int]) -> None:
        """Keep only the nodes below `roots`; every other edge loses its meaning."""
        live = set(self.reachable(roots))
        self._unique = {key: at for key, at in self._unique.items() if at in live}
        self._and.clear()
        self._xor.clear()

    @contextmanager
    def scratch(self) -> Generator[None]:
        """Forget at the end the nodes made inside: for questions whose answer is not an edge."""
        kept = len(self.levels)
        try:
            yield
        finally:
            made = len(self.levels) - kept
            for _ in range(made):  # dictionaries keep the order of insertion: the newest nodes are last
                self._unique.popitem()
            if made:
                del self.levels[kept:], self.lows[kept:], self.highs[kept:]
                self._and.clear()
                self._xor.clear()

    def node(self, level: int, low: int, high: int) -> int:
        """The edge of the function that is `high` when the variable at `level` holds, else `low`."""
        if low == high:
            return low
        flip = high & 1
        key = (level, low ^ flip, high ^ flip)
        found = self._unique.get(key)
        if found is None:
            if len(self._unique) >= self.budget:
                raise NodeBudget
            found = len(self.levels)
            self._unique[key] = found
            self.levels.append(level)
            self.lows.append(low ^ flip)
            self.highs.append(high ^ flip)
        return found * 2 + flip

    def variable(self, variable: int) -> int:
        """The edge of a variable."""
        return self.node(self.level_of[variable], FALSE, TRUE)

    def cofactors(self, edge: int, level: int) -> tuple[int, int]:
        """The edges of the function with the variable at `level` false and true."""
        at = edge >> 1
        if self.levels[at] != level:
            return edge, edge
        flip = edge & 1
        return self.lows[at] ^ flip, self.highs[at] ^ flip

    def halves(self, edge: int, variable: int) -> tuple[int, int]:
        """The edges of the function with a variable, wherever it stands in the order, false and true."""
        level = self.level_of[variable]
        memo: dict[int, tuple[int, int]] = {}

        def visit(at: int) -> tuple[int, int]:
            found = memo.get(at)
            if found is None:
                if self.levels[at] > level:
                    found = (at * 2, at * 2)
                elif self.levels[at] == level:
                    found = (self.lows[at], self.highs[at])
                else:
                    low, high = self.lows[at], self.highs[at]
                    low0, low1 = visit(low >> 1)
                    high0, high1 = visit(high >> 1)
                    above, flip, turn = self.levels[at], low & 1, high & 1
                    found = (self.node(above, low0 ^ flip, high0 ^ turn), self.node(above, low1 ^ flip, high1 ^ turn))
                memo[at] = found
                self.work.spend(_STEPS)
            return found

        with deep_recursion(2 * len(self.order) + 1000):
            false, true = visit(edge >> 1)
        return false ^ (edge & 1), true ^ (edge & 1)

    # --- operations ---------------------------------------------------------------------------

    def conjoin(self, f: int, g: int) -> int:
        """f ∧ g."""
        if f == g or g == TRUE:
            return f
        if f == TRUE:
            return g
        if f == FALSE or g == FALSE or f == g ^ 1:
            self.work.spend(1)
            return FALSE
        if len(self._and) > self.budget:
            self._and.clear()
        known = len(self._and)
        self._ceiling = self._most(known)
        try:
            if len(self.order) <= _SHALLOW:
                return self._conjoin(f, g)
            with deep_recursion(3 * len(self.order) + 1000):
                return self._conjoin(f, g)
        finally:
            self.work.spend(2 + _STEPS * (len(self._and) - known))

    def _most(self, known: int) -> int:
        """How many entries the table of an operation may have that has so many: for its own budget, and for all work."""
        most = _ENTRIES_PER_NODE * self.budget
        left = self.work.left
        return most if left > _STEPS * most else min(most, known + int(left) // _STEPS)

    def _conjoin(self, f: int, g: int) -> int:
        if f == g or g == TRUE:
            return f
        if f == TRUE:
            return g
        if f == FALSE or g == FALSE or f == g ^ 1:
            return FALSE
        key = (f, g) if f < g else (g, f)
        found = self._and.get(key)
        if found is not None:
            return found
        levels = self.levels
        i, j = f >> 1, g >> 1
        a, b = levels[i], levels[j]
        if a <= b:
            level, flip = a, f & 1
            f0, f1 = self.lows[i] ^ flip, self.highs[i] ^ flip
        else:
            level, f0, f1 = b, f, f
        if b <= a:
            flip = g & 1
            g0, g1 = self.lows[j] ^ flip, self.highs[j] ^ flip
        else:
            g0 = g1 = g
        result = self.node(level, self._conjoin(f0, g0), self._conjoin(f1, g1))
        if len(self._and) > self._ceiling:
            raise NodeBudget
        self._and[key] = result
        return result

    def disjoin(self, f: int, g: int) -> int:
        """f ∨ g."""
        return self.conjoin(f ^ 1, g ^ 1) ^ 1

    def equal(self, f: int, g: int) -> int:
        """f ⇔ g."""
        if len(self._xor) > self.budget:
            self._xor.clear()
        known = len(self._xor)
        self._ceiling = self._most(known)
        try:
            with deep_recursion(3 * len(self.order) + 1000):
                return self._differ(f, g) ^ 1
        finally:
            self.work.spend(2 + _STEPS * (len(self._xor) - known))

    def _differ(self, f: int, g: int) -> int:
        flip = (f ^ g) & 1
        f, g = f & ~1, g & ~1
        if f == g:
            return FALSE ^ flip
        if f == TRUE or g == TRUE:
            return (f | g) ^ 1 ^ flip
        key = (f, g) if f < g else (g, f)
        found = self._xor.get(key)
        if found is None:
            level = min(self.levels[f >> 1], self.levels[g >> 1])
            f0, f1 = self.cofactors(f, level)
            g0, g1 = self.cofactors(g, level)
            found = self.node(level, self._differ(f0, g0), self._differ(f1, g1))
            if len(self._xor) > self._ceiling:
                raise NodeBudget
            self._xor[key] = found
        return found ^ flip

    def choose(self, test: int, then: int, otherwise: int) -> int:
        """(test ∧ then) ∨ (¬test ∧ otherwise)."""
        return self.disjoin(self.conjoin(test, then), self.conjoin(test ^ 1, otherwise))

    def conjoin_all(self, edges: Iterable[int]) -> int:
        """The conjunction of any number of functions, those of deepest variables first."""
        result = TRUE
        for edge in sorted(edges, key=lambda e: -self.levels[e >> 1]):
            result = self.conjoin(result, edge)
        return result

    def disjoin_all(self, edges: Iterable[int]) -> int:
        """The disjunction of any number of functions."""
        return self.conjoin_all(edge ^ 1 for edge in edges) ^ 1

    def at_least(self, k: int, edges: Sequence[int]) -> int:
        """At least `k` of the functions hold: a table over (how many seen, how many needed)."""
        needed = [FALSE] * (k + 1)
        needed[0] = TRUE
        for edge in sorted(edges, key=lambda e: -self.levels[e >> 1]):
            needed = [TRUE] + [self.choose(edge, needed[count - 1], needed[count]) for count in range(1, k + 1)]
        return needed[k]

    # --- questions ----------------------------------------------------------------------------

    def reachable(self, edges: Iterable[int]) -> list[int]:
        """Numbers of the nodes below some edges, the constant excepted, children first."""
        found: set[int] = set()
        pending = [edge >> 1 for edge in edges]
        while pending:
            at = pending.pop()
            if at and at not in found:
                found.add(at)
                pending += (self.lows[at] >> 1, self.highs[at] >> 1)
        self.work.spend(len(found))
        return sorted(found, key=lambda at: (-self.levels[at], at))

    def support(self, edges: Iterable[int]) -> list[int]:
        """The variables that some functions depend on, in the current order."""
        return [self.order[level] for level in sorted({self.levels[at] for at in self.reachable(edges)})]

    def holds(self, edge: int, true: frozenset[int] | set[int]) -> bool:
        """The function's value when exactly the variables in `true` hold."""
        steps = 1
        while edge > 1:
            at = edge >> 1
            steps += 1
            following = self.highs[at] if self.order[self.levels[at]] in true else self.lows[at]
            edge = following ^ (edge & 1)
        self.work.spend(1 + steps // 5)
        return edge == TRUE

    def probability(self, edges: Sequence[int], priors: Sequence[float]) -> list[float]:
        """The weighted model count of each function: its probability for independent variables."""
        return [math.ldexp(*counted) for counted in self._counts(edges, priors)]

    def shares(self, edges: Sequence[int], context: int, priors: Sequence[float]) -> list[float] | None:
        """P(edge | context) of each function for independent variables; None where the context has no mass.

        The mass of the context itself may be far below the smallest float: a thousand thresholds of one measure
        allow a thousand of 2¹⁰⁰⁰ assignments.
        """
        joint = [self.conjoin(edge, context) for edge in edges]
        (whole, scale), *parts = self._counts([context, *joint], priors)
        return [math.ldexp(part / whole, power - scale) for part, power in parts] if whole else None

    def _counts(self, edges: Sequence[int], priors: Sequence[float]) -> list[_Scaled]:
        """The weighted model count of each function. Those of its negation are kept beside it, as nothing else tells
        1 - 2⁻⁶⁰ from 1."""
        value = {0: (_scaled(1.0), _NOTHING)}  # a node's number → the counts of its function and of its negation
        for at in self.reachable(edges):
            p = priors[self.order[self.levels[at]]]
            low, high = self.lows[at], value[self.highs[at] >> 1]
            below = value[low >> 1][::-1] if low & 1 else value[low >> 1]
            value[at] = (_mixed(p, high[0], below[0]), _mixed(p, high[1], below[1]))
        self.work.spend(len(value))
        return [value[edge >> 1][edge & 1] for edge in edges]


_Scaled = tuple[float, int]  # a number that is not negative, as mantissa and power of two
_NOTHING: _Scaled = (0.0, -(10**9))  # below every other power, so that no sum is scaled by it


def _scaled(number: float, power: int = 0) -> _Scaled:
    if number == 0:
        return _NOTHING
    mantissa, more = math.frexp(number)
    return mantissa, power + more


def _mixed(p: float, one: _Scaled, other: _Scaled) -> _Scaled:
    """`p · one + (1 - p) · other`; scaling by powers of two rounds nothing."""
    power = max(one[1], other[1])
    return _scaled(p * math.ldexp(one[0], one[1] - power) + (1 - p) * math.ldexp(other[0], other[1] - power), power)
