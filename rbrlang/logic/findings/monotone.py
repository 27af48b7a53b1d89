"""Can making one proposition true, all else equal, move a completion to a better rank, or to a worse one?

For each cut between two ranks let B be "some class above the cut". With the proposition `a` false B is a function
B₀ of the other atoms, with `a` true it is B₁. The class can get better by `a` where B₁ ∧ ¬B₀, worse where B₀ ∧ ¬B₁;
only assignments count that the axioms allow both ways. Nothing is enumerated.

    good := a & b, bad := otherwise:   B₁ ∧ ¬B₀ = b, B₀ ∧ ¬B₁ = false; so `a up` holds, and `a down` fails where b
"""

from __future__ import annotations

from itertools import combinations

from rbrlang.lang.variables import Domain
from rbrlang.logic.bdd import FALSE, Bdd
from rbrlang.logic.compile import CompiledResponse
from rbrlang.logic.witness import Assignment, smallest_witness
from rbrlang.values import NamedTuple


class Trend(NamedTuple):
    """Where, over the other atoms, a proposition's being true makes the class better, and where worse (edges)."""

    better: int
    worse: int


class Move(NamedTuple):
    """One way of moving: the class without and with the proposition, and the smallest reason over the other atoms."""

    before: int
    after: int
    others: Assignment


class Trends:
    """Answers for one response type in one manager; the cuts between its ranks are made once."""

    def __init__(self, bdd: Bdd, item: CompiledResponse) -> None:
        self._bdd = bdd
        self._item = item
        ranks = item.response.rank_of
        self._cuts = [
            bdd.disjoin_all(edge for edge, rank in zip(item.classes, ranks, strict=True) if rank <= cut)
            for cut in range(max(ranks, default=0))
        ]
        self._atoms = set(bdd.support([*item.classes, item.context]))

    def both(self, atom: int) -> int:
        """Where the axioms allow the atom to be false and to be true, over the other atoms."""
        low, high = self._bdd.halves(self._item.context, atom)
        return self._bdd.conjoin(low, high)

    def of(self, atom: int) -> Trend:
        """Where an atom's being true moves the class up and down."""
        if atom not in self._atoms:
            return Trend(FALSE, FALSE)
        bdd, both = self._bdd, self.both(atom)
        better = worse = FALSE
        for cut in self._cuts:
            low, high = bdd.halves(cut, atom)
            if low != high:
                better = bdd.disjoin(better, bdd.conjoin(high, low ^ 1))
                worse = bdd.disjoin(worse, bdd.conjoin(low, high ^ 1))
        return Trend(bdd.conjoin(better, both), bdd.conjoin(worse, both))

    def move(self, atom: int, *, up: bool) -> Move | None:
        """The simplest way in which the atom makes the class better (`up`) or worse; None when it never does."""
        bdd, both = self._bdd, self.both(atom)
        ranks = self._item.response.rank_of
        halves = [bdd.halves(edge, atom) for edge in self._item.classes]
        found: Move | None = None
        for before, (low, _) in enumerate(halves):
            for after, (_, high) in enumerate(halves):
                if ranks[before] == ranks[after] or (ranks[after] < ranks[before]) != up:
                    continue
                others = smallest_witness(bdd, bdd.conjoin(low, high), both)
                if others is not None and (found is None or len(others) < len(found.others)):
                    found = Move(before, after, others)
        return found


class Climb(NamedTuple):
    """A way in which a higher level moves the class: the levels by number, the classes, the smallest reason, and where.

    `wrong` are the other facts with which it does so, of `both`, with which the axioms allow the two levels.
    """

    levels: tuple[int, int]
    before: int
    after: int
    others: Assignment
    wrong: int
    both: int


def at_value(bdd: Bdd, edge: int, first: int, domain: Domain, value: int) -> int:
    """A function with a variable's value fixed, over everything else; `first` is the atom of its first step."""
    for step, holds in domain.literals(value):
        edge = bdd.halves(edge, first + step)[holds]
    return edge


def climb(bdd: Bdd, item: CompiledResponse, first: int, domain: Domain, *, up: bool) -> Climb | None:
    """The simplest way in which a higher level of a scale makes the class better (`up`) or worse; None if it never does.

    Levels next to each other come first; others are looked at too, for the axioms may exclude those between.
    """
    ranks = item.response.rank_of
    count = len(domain.values)
    contexts = [at_value(bdd, item.context, first, domain, value) for value in range(count)]
    classes = [[at_value(bdd, edge, first, domain, value) for edge in item.classes] for value in range(count)]
    found: Climb | None = None
    for low, high in sorted(combinations(range(count), 2), key=lambda pair: pair[1] - pair[0]):
        if found is not None and high - low > found.levels[1] - found.levels[0]:
            break
        both = bdd.conjoin(contexts[low], contexts[high])
        for before, one in enumerate(classes[low]):
            for after, other in enumerate(classes[high]):
                if ranks[before] == ranks[after] or (ranks[after] < ranks[before]) != up:
                    continue
                wrong = bdd.conjoin(one, other)
                others = smallest_witness(bdd, wrong, both)
                if others is not None and (found is None or len(others) < len(found.others)):
                    found = Climb((low, high), before, after, others, bdd.conjoin(wrong, both), both)
    return found


def is_strictly(trend: Trend, *, up: bool) -> bool:
    """Whether an atom moves the class somewhere in this direction and nowhere in the other."""
    towards, against = (trend.better, trend.worse) if up else (trend.worse, trend.better)
    return against == FALSE and towards != FALSE
