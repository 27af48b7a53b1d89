"""Would the tests notice if a condition stopped mattering?

A **condition** of a class is an atom with a value. A test covers it when the atom has that value in the test, and
the other value alone, all else equal and allowed by the axioms, would put the completion into a class that the test
does not expect: the modified condition/decision coverage of avionics (Chilenski & Miller, 1994), asked of the class
functions instead of the text. So it depends on nothing but what the rules mean: formatting, names, the order of
rules and the way a formula is written cannot change it.

Conditions that no assignment can show (an atom that axioms tie to another) are not counted.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations, pairwise

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, PolicyError
from rbrlang.lang.program import Program, TruthTest
from rbrlang.lang.variables import Domain
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.compile import Compiled, CompiledResponse
from rbrlang.logic.explain import nearest
from rbrlang.logic.findings.audit import assignment
from rbrlang.values import NamedTuple


class Condition(NamedTuple):
    """Class, atom and the atom's value, by number."""

    klass: int
    atom: int
    value: bool


class Case(NamedTuple):
    """An assignment that would cover something: the atoms that hold, and its class."""

    true: frozenset[int]
    klass: int


@dataclass(frozen=True, slots=True)
class ResponseCoverage:
    """Coverage of one response type: all conditions that can be shown, those that no test shows, untested classes."""

    name: str
    conditions: int
    missing: tuple[Condition, ...]
    untested: tuple[int, ...]

    @property
    def covered(self) -> int:
        """How many conditions some test shows."""
        return self.conditions - len(self.missing)


def coverage(program: Program, compiled: Compiled, tests: Iterable[TruthTest]) -> tuple[ResponseCoverage, ...]:
    """Condition coverage per response type by tests that passed. Raises `PolicyError` where it is too large to decide."""
    runs: dict[int, list[tuple[frozenset[int], frozenset[str]]]] = {}
    for test in tests:
        runs.setdefault(test.response, []).append((assignment(program, test), frozenset(test.expect)))
    found: list[ResponseCoverage] = []
    for number, item in enumerate(compiled.responses):
        if item is not None:
            with _within(compiled, item):
                found.append(_Cover(compiled, item, program.domains).of(runs.get(number, ())))
    return tuple(found)


def suggest_cases(
    program: Program, compiled: Compiled, item: CompiledResponse, missing: Sequence[Condition]
) -> tuple[Case, ...]:
    """Few assignments, each with few atoms that hold, that show all those conditions."""
    with _within(compiled, item):
        return _Cover(compiled, item, program.domains).suggest(missing)


@contextmanager
def _within(compiled: Compiled, item: CompiledResponse) -> Generator[None]:
    compiled.bdd.work.at(item.response.span)
    try:
        with compiled.bdd.scratch():
            yield
    except NodeBudget:
        raise PolicyError([Diagnostic(
            codes.TOO_LARGE, f"what tests cover of `{item.response.name}` is too large to decide", item.response.span,
            help="split the response type, or measure the tests of a part of it",
        )]) from None  # fmt: skip


class _Cover:
    def __init__(self, compiled: Compiled, item: CompiledResponse, domains: Sequence[tuple[int, Domain]]) -> None:
        self.bdd: Bdd = compiled.bdd
        self.bdd.budget = len(self.bdd) + 4 * compiled.budget
        self.item = item
        self.axioms = compiled.axioms
        self.atoms = self.bdd.support(item.classes)
        self.one = self._one(domains)
        self.shown = dict(self._shown())

    def _one(self, domains: Sequence[tuple[int, Domain]]) -> int:
        """Where each value of a variable is written as tests write it: what no step of it says is false."""
        bdd, found = self.bdd, TRUE
        for first, domain in domains:
            steps = [bdd.variable(first + step) for step in range(len(domain.values) - 1)]
            if domain.kind == "scale":
                pairs = (bdd.disjoin(low, high ^ 1) for low, high in pairwise(steps))
            else:
                pairs = (bdd.conjoin(one, other) ^ 1 for one, other in combinations(steps, 2))
            found = bdd.conjoin(found, bdd.conjoin_all(pairs))
        return found

    def _shown(self) -> Iterator[tuple[Condition, int]]:
        """Where each condition can be shown: assignments allowed with either value, of which one is in the class."""
        bdd = self.bdd
        for atom in self.atoms:
            both = bdd.conjoin(*bdd.halves(self.axioms, atom))
            variable = bdd.variable(atom)
            for klass, edge in enumerate(self.item.classes):
                low, high = bdd.halves(edge, atom)
                where = bdd.conjoin(both, bdd.equal(low, high) ^ 1)
                if where != FALSE:
                    for value in (False, True):
                        shown = bdd.conjoin(bdd.conjoin(where, variable ^ (not value)), self.one)
                        if shown != FALSE:
                            yield Condition(klass, atom, value), shown

    def klass(self, true: frozenset[int]) -> int | None:
        """The class of an assignment; None where the axioms exclude it."""
        if not self.bdd.holds(self.axioms, true):
            return None
        return next(at for at, edge in enumerate(self.item.classes) if self.bdd.holds(edge, true))

    def shows(self, true: frozenset[int], expect: frozenset[str]) -> set[Condition]:
        """The conditions that a test of this assignment covers."""
        names, here = self.item.response.classes, self.klass(true)
        found: set[Condition] = set()
        if here is None or names[here] not in expect:
            return found
        for atom in self.atoms:
            there = self.klass(true ^ {atom})
            if there is not None and names[there] not in expect:
                found |= {Condition(here, atom, atom in true), Condition(there, atom, atom in true)}
        return found

    def of(self, runs: Sequence[tuple[frozenset[int], frozenset[str]]]) -> ResponseCoverage:
        covered: set[Condition] = set()
        expected: set[str] = set()
        for true, expect in runs:
            covered |= self.shows(true, expect)
            here = self.klass(true)
            if here is not None:
                expected.add(self.item.response.classes[here])
        untested = tuple(at for at, name in enumerate(self.item.response.classes) if name not in expected)
        missing = tuple(condition for condition in self.shown if condition not in covered)
        return ResponseCoverage(self.item.response.name, len(self.shown), missing, untested)

    def suggest(self, missing: Sequence[Condition]) -> tuple[Case, ...]:
        left = list(missing)
        made: list[tuple[Case, set[Condition]]] = []
        while left:
            self.bdd.work.spend(len(left))
            flips = nearest(self.bdd, self.shown[left[0]], frozenset())  # the fewest atoms that hold
            assert flips is not None  # a condition that cannot be shown is not counted
            true = frozenset(atom for atom, _ in flips)
            here = self.klass(true)
            assert here is not None
            shown = self.shows(true, frozenset({self.item.response.classes[here]}))
            made.append((Case(true, here), shown))
            left = [condition for condition in left[1:] if condition not in shown]
        kept: list[tuple[Case, set[Condition]]] = []
        for at, (case, shown) in enumerate(made):  # what the others show together needs no case of its own
            self.bdd.work.spend(len(made) + len(missing) + len(shown) * (len(kept) + len(made) - at))
            others = [s for _, s in (*kept, *made[at + 1 :])]
            if any(c in shown and not any(c in other for other in others) for c in missing):
                kept.append((case, shown))
        return tuple(
            sorted((case for case, _ in kept), key=lambda case: (case.klass, len(case.true), sorted(case.true)))
        )
