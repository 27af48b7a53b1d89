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
from typing import NamedTuple

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang.program import And, AtLeast, Formula, Iff, Implies, Not, Or, Otherwise, Program, Var, walk
from rbrlang.lang.rewards import atoms_of
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.compile import Compiled, edge_of
from rbrlang.source import Span


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


class _Written(NamedTuple):
    """A formula of the author's: a definition's, or a rule's of some response types."""

    formula: Formula
    silent: frozenset[int]  # atoms that are reported on their own
    axioms: tuple[int, ...]  # edges of what holds whatever the formula says


def redundant(program: Program, compiled: Compiled) -> Iterator[Diagnostic]:
    """Atoms of the rules that never change a class, then at most one needless operand for every formula."""
    root = program.sources[-1].name
    silent: dict[int, frozenset[int]] = {}
    for number, item in enumerate(compiled.responses):
        if item is None:
            continue
        mentions = [
            (rule, atoms_of(rule.formula, program.definitions))
            for rule in item.response.rules
            if not isinstance(rule.formula, Otherwise)
        ]
        every = frozenset[int]().union(*(atoms for _, atoms in mentions))
        silent[number] = every - set(compiled.bdd.support(item.classes))
        for atom in sorted(silent[number]):
            rule = next(rule for rule, atoms in mentions if atom in atoms)
            if rule.span.source.name == root:
                name = program.atoms[atom]
                yield Diagnostic(
                    codes.INERT_PROPOSITION, f"`{name}` never changes the class of `{item.response.name}`", rule.span,
                    help=f"`{name}` stands in the rules, but whether it holds makes no difference; remove it from them",
                )  # fmt: skip
    written: dict[Span, list[_Written]] = {}
    for number, response in enumerate(program.responses):
        for rule in response.rules:
            if not isinstance(rule.formula, Otherwise) and number in silent:
                entry = _Written(rule.formula, silent[number], compiled.axiom_edges)
                written.setdefault(rule.formula.span, []).append(entry)
    mentioned = [_definitions_of(axiom.formula, program) for axiom in program.axioms]
    for number, definition in enumerate(program.definitions):
        if number in compiled.definitions:
            others = (e for e, names in zip(compiled.axiom_edges, mentioned, strict=True) if number not in names)
            entry = _Written(definition.formula, frozenset(), tuple(others))
            written.setdefault(definition.formula.span, []).append(entry)
    edges = edge_of(compiled, program)  # every definition below is compiled already
    for span, formulas in written.items():
        if span.source.name == root:
            try:
                with compiled.bdd.scratch():
                    found = _first(program, compiled, edges, formulas)
            except NodeBudget:
                continue  # too large to say: saying nothing is right
            if found is not None:
                yield found


def _definitions_of(formula: Formula, program: Program) -> set[int]:
    """The derived propositions that a formula mentions, directly or through others."""
    entered: set[int] = set()
    for _ in walk(formula, program.definitions, entered):
        pass
    return entered


def _first(
    program: Program, compiled: Compiled, edges: Callable[[Formula], int], formulas: Sequence[_Written]
) -> Diagnostic | None:
    """The last operand that is needless in every response type in which the formula stands."""
    compiled.bdd.budget = len(compiled.bdd) + compiled.budget
    counted = tuple(e for e, a in zip(compiled.axiom_edges, program.axioms, strict=True) if a.implied)
    for assumed in ("nothing", "counts", "axioms"):  # that a count above 9 is above 5 is no axiom of the author's
        if (assumed == "nothing" and _reads_once(formulas[0].formula)) or (assumed == "counts" and not counted):
            continue
        found: dict[Span, _Operand] | None = None
        for formula, silent, axioms in formulas:
            care = compiled.bdd.conjoin_all({"nothing": (), "counts": counted, "axioms": axioms}[assumed])
            here = {
                operand.span: operand
                for operand in _needless(compiled.bdd, edges, formula, care)
                if operand.span.source is formula.span.source  # not what `super` brings from another file
                and not atoms_of(operand.formula, program.definitions) & silent
            }  # fmt: skip
            found = here if found is None else {span: found[span] for span in found.keys() & here.keys()}
        if found:
            last = found[max(found, key=lambda span: span.start)]
            reason = " under the axioms" if assumed == "axioms" else ""
            return _finding(program, formulas[0].formula, last, reason, certain=assumed == "nothing")
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


def _finding(program: Program, whole: Formula, operand: _Operand, reason: str, *, certain: bool) -> Diagnostic:
    joined, at, span = operand.joined, operand.at, operand.span
    others = tuple(part for number, part in enumerate(joined.operands) if number != at)
    if at:
        cut = Span(span.source, joined.operands[at - 1].span.end, span.end)
    else:
        cut = Span(span.source, span.start, joined.operands[1].span.start)
    atoms = atoms_of(operand.formula, program.definitions)
    # Elsewhere in the formula the same propositions must remain, or they would leave the default features.
    kept = atoms <= atoms_of(_replaced(whole, joined, others), program.definitions)
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
