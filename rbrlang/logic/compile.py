"""Which function of the atoms is every class of a program?

Formulas become edges of one shared diagram. Variables are ordered by first use, depth first; when the
diagram outgrows its budget, by FORCE, and from then on it is sifted when it grows. What is too large
even so is reported, in bounded time, per response type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import assert_never

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang.program import (
    And,
    AtLeast,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    ResponseType,
    Var,
    walk,
)  # fmt: skip
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.order import first_use, force_order, groups
from rbrlang.logic.sift import sift
from rbrlang.values import NamedTuple

BUDGET = 60_000
_PART = 1  # steps for each part of a formula
_SIFTS = 2


class CompiledRule(NamedTuple):
    """One class rule as written: the class's number and its condition (otherwise: what is left)."""

    class_index: int
    condition: int
    otherwise: bool


class CompiledResponse(NamedTuple):
    """The functions of one response type, before any axiom.

    `classes[c]` is class `c`; `rules` are the conditions as written. `context` is the conjunction of the
    axioms that share atoms, directly or through each other, with the classes: all others cancel.
    """

    response: ResponseType
    classes: tuple[int, ...]
    rules: tuple[CompiledRule, ...]
    context: int


class Compiled(NamedTuple):
    """A program's functions in one manager. `responses[r]` is None where the budget was exceeded.

    `budget` is the room in nodes that each of them had, and each proof about it has again.
    `axioms` is the conjunction of all axioms, `axiom_edges` each alone, in the program's order.
    `definitions` holds those derived propositions that something uses.
    """

    bdd: Bdd
    budget: int
    axioms: int
    axiom_edges: tuple[int, ...]
    responses: tuple[CompiledResponse | None, ...]
    definitions: dict[int, int]


def compile_program(program: Program, *, budget: int = BUDGET, work: Budget | None = None) -> Compiled:
    """Compile every class of a program; see `Compiled` for what exceeds the budget, which is one of nodes.

    All steps are taken from `work`, by default without limit. Raises `SpentError`.
    """
    work = work or Budget(None)
    order = first_use(program)
    compiled = _Compiler(program, order, budget // 4, sifts=0, work=work).run()
    if None not in compiled.responses:
        return compiled
    close = force_order(order, groups(program, work), work=work)
    return _Compiler(program, close, budget, sifts=_SIFTS, work=work).run()


def nothing(program: Program) -> Compiled:
    """What is known of a program's functions before any was compiled."""
    return Compiled(Bdd(()), 0, TRUE, (), (None,) * len(program.responses), {})


def compile_formula(compiled: Compiled, program: Program, formula: Formula, classes: CompiledResponse) -> int:
    """The edge of one more formula (a property, which may name classes). Raises NodeBudget."""
    compiler = _Compiler.resume(program, compiled)
    return compiler.edge(formula, dict(zip(classes.response.classes, classes.classes, strict=True)))


def edge_of(compiled: Compiled, program: Program) -> Callable[[Formula], int]:
    """What gives the edge of any formula without class names. It raises NodeBudget."""
    compiler = _Compiler.resume(program, compiled)
    return lambda formula: compiler.edge(formula, {})


def too_large(response: ResponseType) -> Diagnostic:
    """The finding that a response type exceeds the budget."""
    return Diagnostic(
        codes.TOO_LARGE, f"the rules of `{response.name}` are too large to decide", response.span,
        help="split the response type, or ask for fewer independent combinations: the exact answer needs more "
        "cases than any reader could follow",
    )  # fmt: skip


class _Links:
    """Which axioms bear on a set of atoms, directly or through each other."""

    def __init__(self, bdd: Bdd, axioms: list[int]) -> None:
        self.axioms = axioms
        self._atoms = [bdd.support([axiom]) for axiom in axioms]
        self._axioms_of: dict[int, list[int]] = {}
        for at, atoms in enumerate(self._atoms):
            for atom in atoms:
                self._axioms_of.setdefault(atom, []).append(at)

    def reaching(self, atoms: Sequence[int]) -> list[int]:
        """The numbers of those axioms, ascending; an impossible axiom bears on everything."""
        found = {at for at, axiom in enumerate(self.axioms) if axiom == FALSE}
        pending, seen = list(atoms), set(atoms)
        while pending:
            for at in self._axioms_of.get(pending.pop(), ()):
                if at not in found:
                    found.add(at)
                    fresh = [atom for atom in self._atoms[at] if atom not in seen]
                    seen.update(fresh)
                    pending += fresh
        return sorted(found)


class _Compiler:
    def __init__(self, program: Program, order: Sequence[int], budget: int, *, sifts: int, work: Budget) -> None:
        self.program = program
        self.budget = budget
        self.work = work
        self.bdd = Bdd(order, budget=budget, work=work)
        self.base = 0  # nodes on the accounts of others
        self.definitions: dict[int, int] = {}
        self.held: list[int] = []  # edges in use while something is being built: making room must keep them
        self.sifts = sifts
        self.resumed = False

    @classmethod
    def resume(cls, program: Program, compiled: Compiled) -> _Compiler:
        """A compiler that adds to an existing manager."""
        compiler = cls(program, (), 0, sifts=0, work=compiled.bdd.work)
        compiler.bdd = compiled.bdd
        compiler.definitions = dict(compiled.definitions)
        compiler.resumed = True
        return compiler

    def run(self) -> Compiled:
        """Compile axioms, then response types, each on its own account of the budget."""
        axioms: list[int] = []
        everything = TRUE
        try:
            for axiom in self.program.axioms:
                self.work.at(axiom.span)
                axioms.append(self._hold(self.edge(axiom.formula, {})))
            everything = self._hold(self._conjunction(axioms))
        except NodeBudget:
            empty = (None,) * len(self.program.responses)
            return Compiled(self.bdd, self.budget, TRUE, (), empty, {})
        links = _Links(self.bdd, axioms)
        responses = tuple(self._response(response, links) for response in self.program.responses)
        return Compiled(self.bdd, self.budget, everything, tuple(axioms), responses, self.definitions)

    def _response(self, response: ResponseType, links: _Links) -> CompiledResponse | None:
        held, known = len(self.held), len(self.definitions)
        self.base = len(self.bdd)
        self.bdd.budget = self.base + self.budget
        self.work.at(response.span)
        try:
            compiled = self._classes(response, links)
        except NodeBudget:
            del self.held[held:]
            while len(self.definitions) > known:
                self.definitions.popitem()
            self.bdd.collect([*self.held, *self.definitions.values()])
            return None
        del self.held[held:]
        self.held += [*compiled.classes, *(rule.condition for rule in compiled.rules), compiled.context]
        return compiled

    def _classes(self, response: ResponseType, links: _Links) -> CompiledResponse:
        number = {name: at for at, name in enumerate(response.classes)}
        rules: list[CompiledRule] = []
        for rule in response.rules:
            self.work.at(rule.span)
            otherwise = isinstance(rule.formula, Otherwise)
            condition = TRUE if isinstance(rule.formula, Otherwise) else self._hold(self.edge(rule.formula, {}))
            rules.append(CompiledRule(number[rule.name], condition, otherwise))
        if response.cascade:
            classes = [self._hold(self._cascade(rules, at)) for at in range(len(number))]
        else:
            written = [rule.condition ^ 1 for rule in rules if not rule.otherwise]
            rest = self._hold(self._conjunction(written))
            rules = [rule._replace(condition=rest) if rule.otherwise else rule for rule in rules]
            classes = [FALSE] * len(number)
            for rule in rules:
                classes[rule.class_index] = rule.condition
        context = self._conjunction([links.axioms[at] for at in links.reaching(self.bdd.support(classes))])
        return CompiledResponse(response, tuple(classes), tuple(rules), context)

    def _cascade(self, rules: Sequence[CompiledRule], class_index: int) -> int:
        """Where the first line that holds is one of this class: from the last line up, as diagrams grow best."""
        result = FALSE
        for rule in reversed(rules):
            if rule.class_index == class_index:
                result = self._or(rule.condition, result)
            else:
                result = self._and(rule.condition ^ 1, result)
        return result

    # --- formulas -----------------------------------------------------------------------------

    def _hold(self, edge: int) -> int:
        """The same edge, which keeps its meaning while the response type is being built."""
        self.held.append(edge)
        return edge

    def _with_room(self, operation: Callable[[], int], *used: int) -> int:
        """An operation on the edges `used`; when the manager is full, once more after making room."""
        try:
            return operation()
        except NodeBudget:
            if self.resumed:
                raise
            roots = [*self.held, *self.definitions.values(), *used]
            self.bdd.collect(roots)
            if 2 * (len(self.bdd) - self.base) > self.budget:
                if not self.sifts:
                    raise
                self.sifts -= 1
                sift(self.bdd, roots)
            return operation()

    def _and(self, f: int, g: int) -> int:
        return self._with_room(lambda: self.bdd.conjoin(f, g), f, g)

    def _or(self, f: int, g: int) -> int:
        return self._and(f ^ 1, g ^ 1) ^ 1

    def _conjunction(self, edges: Sequence[int]) -> int:
        """The conjunction of edges that are held, those of deepest variables first."""
        levels = self.bdd.levels
        result = TRUE
        for edge in sorted(edges, key=lambda e: -levels[e >> 1]):
            result = self._and(result, edge)
        return result

    def _all(self, operands: Sequence[Formula], classes: dict[str, int], flip: int) -> int:
        """The conjunction of the operands, each negated when `flip` is 1."""
        mark = len(self.held)
        for operand in operands:
            self.held.append(self.edge(operand, classes) ^ flip)
        result = self._conjunction(self.held[mark:])
        del self.held[mark:]
        return result

    def edge(self, formula: Formula, classes: dict[str, int]) -> int:
        """The edge of a formula; `classes` gives those of class names. Raises NodeBudget."""
        self.work.spend(_PART)
        match formula:
            case Const():
                return TRUE if formula.value else FALSE
            case Var():
                return self.bdd.variable(formula.atom)
            case Ref():
                return self._definition(formula.definition)
            case ClassRef():
                return classes[formula.name]
            case Not():
                return self.edge(formula.operand, classes) ^ 1
            case And():
                return self._all(formula.operands, classes, 0)
            case Or():
                return self._all(formula.operands, classes, 1) ^ 1
            case Implies():
                mark = len(self.held)
                self.held.append(self.edge(formula.left, classes))
                right = self.edge(formula.right, classes)
                result = self._or(self.held[mark] ^ 1, right)
                del self.held[mark:]
                return result
            case Iff():
                mark = len(self.held)
                self.held.append(self.edge(formula.left, classes))
                right = self.edge(formula.right, classes)
                left = self.held[mark]
                result = self._with_room(lambda: self.bdd.equal(left, right), right)
                del self.held[mark:]
                return result
            case AtLeast():
                mark = len(self.held)
                for operand in formula.operands:
                    self.held.append(self.edge(operand, classes))
                operands = self.held[mark:]
                result = self._with_room(lambda: self.bdd.at_least(formula.k, operands))
                del self.held[mark:]
                return result
            case _:
                assert_never(formula)

    def _definition(self, number: int) -> int:
        """The edge of a derived proposition, and first those of all that it needs, without recursion."""
        pending = [number]
        while pending:
            current = pending[-1]
            if current in self.definitions:
                pending.pop()
                continue
            formula = self.program.definitions[current].formula
            named = (part.definition for part in walk(formula) if isinstance(part, Ref))
            needs = [n for n in named if n not in self.definitions]
            if needs:
                pending += needs
            else:
                self.definitions[current] = self.edge(formula, {})
        return self.definitions[number]
