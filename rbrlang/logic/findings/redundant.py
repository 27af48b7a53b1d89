"""Which parts of the rules make no difference?

A part of a formula matters only where the rest leaves it something to say: the operand `b` of `a & b` only where `a`
holds, that of `a | b` only where `a` does not. Carrying that care set from the root down, an operand can be dropped
exactly when it is constant on it (Savoj & Brayton, The Use of Observability and External Don't Cares for the
Simplification of Multi-Level Networks, 1990). One pass, with as many conjunctions as there are operands.

    a & (b | a):  `(b | a)` matters only where `a` holds, and is true there

What a rule says matters only where the axioms hold. A definition may be part of an axiom, which then is another without
the operand; so of a definition only those axioms are assumed that do not mention it, directly or through others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang.program import (
    And,
    AtLeast,
    Formula,
    Iff,
    Implies,
    Not,
    Or,
    Otherwise,
    Program,
    Ref,
    Var,
    walk,
)  # fmt: skip
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.compile import Compiled, edge_of
from rbrlang.source import Span
from rbrlang.values import NamedTuple


class _Operand(NamedTuple):
    """An operand that can be dropped, by its place among those that it is joined with."""

    joined: And | Or
    at: int

    @property
    def formula(self) -> Formula:
        """The operand itself."""
        return self.joined.operands[self.at]

    @property
    def span(self) -> Span:
        """Where it stands."""
        return self.formula.span


class _Mentions:
    """The atoms that formulas mention, through derived propositions too, each of which is looked through once."""

    def __init__(self, program: Program, work: Budget) -> None:
        self._definitions = program.definitions
        self._known: dict[int, frozenset[int]] = {}
        self._work = work

    def of(self, formula: Formula) -> frozenset[int]:
        """The atoms of a formula."""
        pending = [part.definition for part in walk(formula) if isinstance(part, Ref)]
        while pending:
            current = pending[-1]
            if current in self._known:
                pending.pop()
                continue
            body = self._definitions[current].formula
            needs = [part.definition for part in walk(body) if isinstance(part, Ref)]
            needs = [number for number in needs if number not in self._known]
            pending += needs
            if not needs:
                self._known[current] = self._here(body)
        return self._here(formula)

    def _here(self, formula: Formula) -> frozenset[int]:
        found: set[int] = set()
        steps = 1
        for part in walk(formula):
            steps += 1
            if isinstance(part, Var):
                found.add(part.atom)
            elif isinstance(part, Ref):
                found |= self._known[part.definition]
                steps += len(self._known[part.definition]) // 5
        self._work.spend(steps + len(found) // 5)
        return frozenset(found)


class _Written(NamedTuple):
    """A formula of the author's: a definition's, or a rule's of some response types."""

    formula: Formula
    silent: frozenset[int]  # atoms that are reported on their own
    axioms: tuple[int, ...]  # edges of what holds whatever the formula says


def redundant(program: Program, compiled: Compiled) -> Iterator[Diagnostic]:
    """Atoms of the rules that never change a class, then at most one needless operand for every formula."""
    root = program.sources[-1].name
    work = compiled.bdd.work
    mentioned = _Mentions(program, work)
    silent: dict[int, frozenset[int]] = {}
    for number, item in enumerate(compiled.responses):
        if item is None:
            continue
        work.at(item.response.span)
        mentions = [
            (rule, mentioned.of(rule.formula))
            for rule in item.response.rules
            if not isinstance(rule.formula, Otherwise)
        ]
        every = frozenset[int]().union(*(atoms for _, atoms in mentions))
        support = set(compiled.bdd.support(item.classes))
        for first, domain in program.domains:  # a step says nothing by itself: a variable is silent when all of it is
            steps = range(first, first + len(domain.values) - 1)
            if not support.isdisjoint(steps):
                support.update(steps)
        silent[number] = every - support
        said, called = set[str](), program.atoms
        for atom in sorted(silent[number]):
            work.spend(len(mentions) // 10)
            rule = next(rule for rule, atoms in mentions if atom in atoms)
            variable = program.variable_of(atom)
            name = called[atom] if variable is None else program.variables[variable].name
            if rule.span.source.name == root and name not in said:
                said.add(name)
                yield Diagnostic(
                    codes.INERT_PROPOSITION, f"`{name}` never changes the class of `{item.response.name}`", rule.span,
                    help=f"`{name}` stands in the rules, but whether it holds makes no difference; remove it from them",
                )  # fmt: skip
    written: dict[Span, list[_Written]] = {}
    for number, response in enumerate(program.responses):
        for rule in response.rules:
            if not isinstance(rule.formula, Otherwise) and number in silent:
                entry = _Written(rule.formula, silent[number], (compiled.axioms,))
                written.setdefault(rule.formula.span, []).append(entry)
    naming: dict[int, set[int]] = {}  # definition -> the axioms that name it
    for at, axiom in enumerate(program.axioms):
        for number in _definitions_of(axiom.formula, program, work):
            naming.setdefault(number, set()).add(at)
    for number, definition in enumerate(program.definitions):
        if number in compiled.definitions:
            others: tuple[int, ...] = (compiled.axioms,)
            if number in naming:
                work.spend(len(compiled.axiom_edges))
                others = tuple(e for at, e in enumerate(compiled.axiom_edges) if at not in naming[number])
            entry = _Written(definition.formula, frozenset(), others)
            written.setdefault(definition.formula.span, []).append(entry)
    edges = edge_of(compiled, program)  # every definition below is compiled already
    try:
        compiled.bdd.budget = len(compiled.bdd) + compiled.budget
        both = zip(compiled.axiom_edges, program.axioms, strict=True)
        counts = compiled.bdd.conjoin_all(edge for edge, axiom in both if axiom.implied)
    except NodeBudget:
        return  # too large to say: saying nothing is right
    for span, formulas in written.items():
        if span.source.name == root:
            work.at(span)
            try:
                with compiled.bdd.scratch():
                    found = _first(compiled, edges, formulas, mentioned, counts)
            except NodeBudget:
                continue  # too large to say: saying nothing is right
            if found is not None:
                yield found


def _definitions_of(formula: Formula, program: Program, work: Budget) -> set[int]:
    """The derived propositions that a formula mentions, directly or through others."""
    entered: set[int] = set()
    for _ in walk(formula, program.definitions, entered):
        work.spend(1)
    return entered


def _first(
    compiled: Compiled, edges: Callable[[Formula], int], formulas: Sequence[_Written], mentioned: _Mentions, counts: int
) -> Diagnostic | None:
    """The last operand that is needless in every response type in which the formula stands.

    `counts` is what holds of the numbers that are counted, such as that one above 9 is above 5: no axiom of the author's.
    """
    compiled.bdd.budget = len(compiled.bdd) + compiled.budget
    for assumed in ("nothing", "counts", "axioms"):
        if (
            (assumed == "nothing" and _reads_once(formulas[0].formula))
            or (assumed == "counts" and counts == TRUE)
            or (assumed == "axioms" and compiled.axioms == counts)  # which say no more than was assumed before
        ):
            continue
        found: dict[Span, _Operand] | None = None
        for formula, silent, axioms in formulas:
            care = compiled.bdd.conjoin_all({"nothing": (), "counts": (counts,), "axioms": axioms}[assumed])
            here = {
                operand.span: operand
                for operand in _needless(compiled.bdd, edges, formula, care)
                if operand.span.source is formula.span.source  # not what `super` brings from another file
                and not mentioned.of(operand.formula) & silent
            }  # fmt: skip
            found = here if found is None else {span: found[span] for span in found.keys() & here.keys()}
        if found:
            last = found[max(found, key=lambda span: span.start)]
            reason = " under the axioms" if assumed == "axioms" else ""
            return _finding(mentioned, formulas[0].formula, last, reason, certain=assumed == "nothing")
    return None


def _reads_once(formula: Formula) -> bool:
    """Whether no atom occurs twice: then every part matters somewhere, and nothing need be proved."""
    seen: set[int] = set()
    for part in walk(formula):
        match part:
            case Var() if part.atom not in seen:
                seen.add(part.atom)
            case Not() | And() | Or() | AtLeast() | Implies() | Iff():
                pass
            case _:
                return False
    return True


def _needless(bdd: Bdd, edges: Callable[[Formula], int], formula: Formula, care: int) -> Iterator[_Operand]:
    """Operands below a formula that can each be dropped, as long as the others stay."""
    while isinstance(formula, Not):
        formula = formula.operand
    match formula:
        case And() | Or():
            flip = int(isinstance(formula, Or))
            parts = [edges(operand) ^ flip for operand in formula.operands]
            after = [TRUE]
            for part in reversed(parts):
                after.append(bdd.conjoin(part, after[-1]))
            before = care
            for at, (operand, part) in enumerate(zip(formula.operands, parts, strict=True)):
                rest = bdd.conjoin(before, after[len(parts) - 1 - at])
                if bdd.conjoin(rest, part ^ 1) == FALSE:
                    if _joined(formula, at):
                        yield _Operand(formula, at)
                else:
                    yield from _needless(bdd, edges, operand, rest)
                before = bdd.conjoin(before, part)
        case Implies():
            yield from _needless(bdd, edges, formula.left, bdd.conjoin(care, edges(formula.right) ^ 1))
            yield from _needless(bdd, edges, formula.right, bdd.conjoin(care, edges(formula.left)))
        case Iff():
            yield from _needless(bdd, edges, formula.left, care)
            yield from _needless(bdd, edges, formula.right, care)
        case _:
            pass


def _gap(formula: And | Or, at: int) -> str:
    """What stands between two operands, comments and parentheses left out."""
    left, right = formula.operands[at].span, formula.operands[at + 1].span
    if left.source is not right.source or left.end > right.start:
        return ""
    lines = left.source.text[left.end : right.start].split("\n")
    return "".join(line.partition("#")[0] for line in lines).strip()


def _joined(formula: And | Or, at: int) -> bool:
    """Whether an operand was written with `&` or `|`, and not as the member of a group or part of a comparison."""
    sign = "&" if isinstance(formula, And) else "|"
    return len(formula.operands) > 1 and _gap(formula, at - 1 if at else 0) == sign


def _finding(mentioned: _Mentions, whole: Formula, operand: _Operand, reason: str, *, certain: bool) -> Diagnostic:
    joined, at, span = operand.joined, operand.at, operand.span
    others = tuple(part for number, part in enumerate(joined.operands) if number != at)
    if at:
        cut = Span(span.source, joined.operands[at - 1].span.end, span.end)
    else:
        cut = Span(span.source, span.start, joined.operands[1].span.start)
    atoms = mentioned.of(operand.formula)
    # Elsewhere in the formula the same propositions must remain, or they would leave the default features.
    kept = atoms <= mentioned.of(_replaced(whole, joined, others))
    safe = kept and certain and "#" not in cut.text
    return Diagnostic(
        codes.REDUNDANT, f"`{_short(span.text)}` changes nothing here{reason}", span,
        help="what it is joined with already decides; remove it, or check whether something else was meant",
        fixes=(Fix("remove it", cut, "", "machine-applicable" if safe else "maybe-incorrect"),),
    )  # fmt: skip


def _short(text: str) -> str:
    return " ".join(text.split()) if len(text) <= 60 else "…"


def _replaced(formula: Formula, joined: And | Or, others: tuple[Formula, ...]) -> Formula:
    """The formula with the operands of one of its parts replaced."""
    if formula is joined:
        return joined._replace(operands=others)
    match formula:
        case And() | Or():
            return formula._replace(operands=tuple(_replaced(part, joined, others) for part in formula.operands))
        case Not():
            return formula._replace(operand=_replaced(formula.operand, joined, others))
        case Implies() | Iff():
            return formula._replace(
                left=_replaced(formula.left, joined, others), right=_replaced(formula.right, joined, others)
            )
        case _:
            return formula
