"""In which order should the variables of a diagram come?

Before there is a diagram: by first use, which keeps what is written together together; and by FORCE, which
moves every variable towards the centre of gravity of the operations that mention it (Aloul, Markov &
Sakallah, FORCE: A Fast and Easy-to-Implement Variable-Ordering Heuristic, 2003).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from rbrlang.budget import Budget
from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Judged,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    Var,
    walk,
)


def _formulas(program: Program) -> Iterator[Formula]:
    for response in program.responses:
        for rule in response.rules:
            if not isinstance(rule.formula, Otherwise):
                yield rule.formula
    for axiom in program.axioms:
        yield axiom.formula


def first_use(program: Program) -> list[int]:
    """All atoms in the order in which the rules first mention them, depth first."""
    seen: set[int] = set()
    order: dict[int, None] = {}
    for formula in _formulas(program):
        parts = walk(formula, program.definitions, seen)
        order.update(dict.fromkeys(part.atom for part in parts if isinstance(part, Var)))
    order.update(dict.fromkeys(range(len(program.atoms))))
    return _sorted_thresholds(program, list(order))


def _sorted_thresholds(program: Program, order: list[int]) -> list[int]:
    """The order with the thresholds of each quantity among their places by size, the one first that is used first; and with
    the steps of each variable as its chain has them.

    That one above a larger number is above every smaller one too takes one node a threshold then, and the square of
    that in an order without order. A cascade over thresholds, upwards or downwards, keeps the order that suits it.
    """
    first = program.first_measure
    places: dict[tuple[str, str, Judged], list[int]] = {}
    for place, atom in enumerate(order):
        if first <= atom < first + len(program.measures):
            places.setdefault(program.measures[atom - first].quantity, []).append(place)
    found = list(order)
    for start, domain in program.domains:
        steps = range(start, start + len(domain.values) - 1)
        mine = [place for place, atom in enumerate(order) if atom in steps]
        for place, atom in zip(mine, steps, strict=True):
            found[place] = atom
    for own in places.values():
        by_size = sorted((order[place] for place in own), key=lambda atom: program.measures[atom - first].threshold)
        if order.index(by_size[-1], own[0]) < order.index(by_size[0], own[0]):
            by_size.reverse()
        for place, atom in zip(own, by_size, strict=True):
            found[place] = atom
    return found


_WIDE = 40  # atoms; wider formulas say little about which belong together


def groups(program: Program, work: Budget) -> list[list[int]]:
    """Atoms that stand together in an operation, for FORCE."""
    found: list[list[int]] = []
    known: list[frozenset[int]] = []  # of definitions: those in use come behind what they use

    def visit(formula: Formula) -> frozenset[int]:
        work.spend(1)
        match formula:
            case Var():
                return frozenset((formula.atom,))
            case Ref():
                return known[formula.definition]
            case Not():
                return visit(formula.operand)
            case And() | Or() | AtLeast():
                parts = [visit(operand) for operand in formula.operands]
            case Implies() | Iff():
                parts = [visit(formula.left), visit(formula.right)]
            case Const() | ClassRef():
                return frozenset()
            case _:
                assert_never(formula)
        together = frozenset[int]().union(*parts)
        work.spend(sum(map(len, parts)) // 5)
        if len(together) > _WIDE:
            return frozenset()
        if len(together) > 1:
            found.append(sorted(together))
        return together

    for definition in program.definitions:
        known.append(visit(definition.formula))
    for formula in _formulas(program):
        visit(formula)
    return found


def force_order(
    order: Sequence[int], groups: Sequence[Sequence[int]], *, rounds: int = 20, work: Budget | None = None
) -> list[int]:
    """An order in which the variables of each group lie close together; the better of old and new."""
    work = work or Budget(None)

    def span(places: dict[int, int]) -> int:
        return sum(max(places[v] for v in g) - min(places[v] for v in g) for g in groups if g)

    best = list(order)
    best_span = span({variable: at for at, variable in enumerate(best)})
    current = best
    for _ in range(rounds):
        work.spend(len(current) + sum(map(len, groups)) // 4)
        places = {variable: at for at, variable in enumerate(current)}
        pulls: dict[int, list[float]] = {variable: [] for variable in current}
        for group in groups:
            centre = sum(places[v] for v in group) / max(len(group), 1)
            for variable in group:
                pulls[variable].append(centre)
        current = sorted(current, key=lambda v: (sum(pulls[v]) / len(pulls[v]) if pulls[v] else places[v], places[v]))
        length = span({variable: at for at, variable in enumerate(current)})
        if length >= best_span:
            break
        best, best_span = current, length
    return best
