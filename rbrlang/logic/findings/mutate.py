"""If one literal of a rule were wrong, would anybody notice?

Every literal of the root file's rules and definitions is negated once, and dropped once where others are joined with
it. A literal is a piece of the text: where it means something in several formulas (a rule for every response type, the
member of a group) it changes in all of them, and in the axioms and properties that it belongs to. A mutant that means
the same is no mutant. The others are caught by the proofs (rules that no longer partition), or by tests, properties
and monotonicity claims; one that survives shows what the checks do not pin down
(DeMillo, Lipton & Sayward, Hints on Test Data Selection, 1978).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, assert_never

from rbrlang import codes
from rbrlang.budget import Budget
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
    Var,
    walk,
)  # fmt: skip
from rbrlang.logic.compile import compile_program
from rbrlang.logic.findings.audit import audit
from rbrlang.logic.fingerprint import fingerprint
from rbrlang.source import Span
from rbrlang.values import NamedTuple

_FINDING, _CHANGING = 5, 9  # steps for a part of a formula
_CHECKS = (codes.TEST_FAILED, codes.PROPERTY_VIOLATED, codes.NOT_MONOTONE)

Change = Literal["negated", "dropped"]
Fate = Literal["checks", "proofs", "survived"]


class Mutant(NamedTuple):
    """One changed literal: of which definitions and classes, where it stands, what was done to it, what caught it."""

    owner: str
    span: Span
    change: Change
    fate: Fate


def mutants(program: Program, root: str, work: Budget | None = None) -> Iterator[Mutant]:
    """Every mutant of the rules and definitions of the file `root`, judged; the program has no errors.

    All steps are taken from `work`, by default without limit. Raises `SpentError`.
    """
    work = work or Budget(None)
    original = fingerprint(program, compile_program(program, work=work))
    size = sum(1 for formula in _formulas(program) for _ in walk(formula))
    work.spend(_FINDING * size)
    for span, literal in _literals(program, root).items():
        work.at(span)
        changes: list[Change] = ["negated", "dropped"] if literal.droppable else ["negated"]
        for change in changes:
            work.spend(_CHANGING * size)
            mutated = _changed(program, span, change)
            compiled = compile_program(mutated, work=work)
            if None in compiled.responses or fingerprint(mutated, compiled) == original:
                continue
            errors = [d.code for d in audit(mutated, compiled, whole=False).diagnostics if d.severity == "error"]
            fate: Fate = "checks" if any(code in _CHECKS for code in errors) else "proofs" if errors else "survived"
            yield Mutant(", ".join(literal.owners), span, change, fate)


def _formulas(program: Program) -> Iterator[Formula]:
    yield from (item.formula for item in (*program.definitions, *program.axioms, *program.properties))
    rules = (rule.formula for response in program.responses for rule in response.rules)
    yield from (formula for formula in rules if not isinstance(formula, Otherwise))


@dataclass(slots=True)
class _Places:
    """Where a literal is used: the names of definitions and classes, and whether others are joined with it everywhere."""

    owners: dict[str, None]
    droppable: bool


def _literals(program: Program, root: str) -> dict[Span, _Places]:
    """The literals of a file's rules and definitions, in the order of the program."""
    found: dict[Span, _Places] = {}
    owned = [(d.name, d.formula) for d in program.definitions]
    for response in program.responses:
        rules = ((f"{response.name}.{rule.name}", rule.formula) for rule in response.rules)
        owned += [(name, formula) for name, formula in rules if not isinstance(formula, Otherwise)]
    for owner, formula in owned:
        for literal, joined in _inside(formula, False):
            if literal.span.source.name == root:
                found.setdefault(literal.span, _Places({}, True)).owners[owner] = None
                found[literal.span].droppable &= joined
    others = [axiom.formula for axiom in program.axioms if not axiom.implied]
    others += [item.formula for item in program.properties]
    for literal, joined in (each for formula in others for each in _inside(formula, False)):
        if literal.span in found:
            found[literal.span].droppable &= joined
    return found


def _is_literal(formula: Formula) -> bool:
    """A name, a comparison (whose thresholds stand in one place of the text), or the negation of either."""
    ends = [part for part in walk(formula) if isinstance(part, Var | Ref | Const | ClassRef)]
    named = any(isinstance(part, Var | Ref) for part in ends)
    return named and len({part.span for part in ends}) == 1


def _inside(formula: Formula, joined: bool) -> Iterator[tuple[Formula, bool]]:
    """The literals of a formula, each with whether others are joined with it by `&` or `|`."""
    if _is_literal(formula):
        yield formula, joined
        return
    match formula:
        case And() | Or() | AtLeast():
            several = len(formula.operands) > 1 and not isinstance(formula, AtLeast)
            for operand in formula.operands:
                yield from _inside(operand, several)
        case Not():
            yield from _inside(formula.operand, False)
        case Implies() | Iff():
            yield from _inside(formula.left, False)
            yield from _inside(formula.right, False)
        case Var() | Ref() | Const() | ClassRef():
            pass
        case _:
            assert_never(formula)


def _changed(program: Program, span: Span, change: Change) -> Program:
    """The program with the literal at one place of the text changed wherever it means something."""

    def of(formula: Formula) -> Formula:
        return _replaced(formula, span, change)

    return replace(
        program,
        definitions=tuple(d._replace(formula=of(d.formula)) for d in program.definitions),
        axioms=tuple(a if a.implied else a._replace(formula=of(a.formula)) for a in program.axioms),
        properties=tuple(item._replace(formula=of(item.formula)) for item in program.properties),
        responses=tuple(
            replace(response, rules=tuple(
                rule if isinstance(rule.formula, Otherwise) else rule._replace(formula=of(rule.formula))
                for rule in response.rules
            ))
            for response in program.responses
        ),
    )  # fmt: skip


def _replaced(formula: Formula, span: Span, change: Change) -> Formula:
    """A formula with the literal at this place negated, or taken out of what joins it with others."""
    if _is_literal(formula):
        if formula.span != span:
            return formula
        return formula.operand if isinstance(formula, Not) else Not(formula, span)
    match formula:
        case And() | Or() | AtLeast():
            dropped = change == "dropped" and not isinstance(formula, AtLeast)
            kept = (o for o in formula.operands if not (dropped and o.span == span and _is_literal(o)))
            return formula._replace(operands=tuple(_replaced(operand, span, change) for operand in kept))
        case Not():
            return formula._replace(operand=_replaced(formula.operand, span, change))
        case Implies() | Iff():
            return formula._replace(
                left=_replaced(formula.left, span, change), right=_replaced(formula.right, span, change)
            )
        case Var() | Ref() | Const() | ClassRef():
            return formula
        case _:
            assert_never(formula)
