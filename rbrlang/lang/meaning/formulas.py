"""What does a written formula mean, in atoms?

Turns the formulas of a tree into those of a `Program`. Every comparison of a measure becomes a
combination of atoms `quantity > k` with whole `k`, so that `words >= 61` and `words > 60` are the same
atom and the compiler can know that `words > 100` implies it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import assert_never, get_args

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic, Fix, respelled, suggest
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning import checks, variables
from rbrlang.lang.meaning.columns import Known
from rbrlang.lang.meaning.judged import judged
from rbrlang.lang.meaning.scope import Entity, Scope, lookup, resolve
from rbrlang.lang.program import (
    CHECKS,
    OF_THE_TRAJECTORY,
    And,
    AtLeast,
    Axiom,
    ClassRef,
    Const,
    Formula,
    Iff,
    Implies,
    Judged,
    Measure,
    MeasureKind,
    Not,
    Or,
    Reading,
    Ref,
    Var,
    measure_name,
)  # fmt: skip
from rbrlang.lang.variables import Domain, Share
from rbrlang.source import Span

MAX_COUNT = 10**9
_Key = tuple[str, str, str, int, int | None]
_PART = 3  # steps for each part of a formula
_FORMULAS = frozenset(get_args(tree.Formula))


def pattern_steps(pattern: tree.Text) -> int:
    """What reading a pattern may cost; a repetition makes RE2 write it out."""
    return 200 + len(pattern.value) + (2000 if "{" in pattern.value else 0)


def check_pattern(pattern: tree.Text) -> Diagnostic | None:
    """A diagnostic when the text is not an RE2 pattern (syntax: https://github.com/google/re2/wiki/Syntax)."""
    if "\b" in pattern.value:
        doubled = re.sub(r"(?<!\\)\\b", r"\\\\b", pattern.span.text)
        return Diagnostic(
            codes.BAD_PATTERN, "`\\b` in a string is a backspace, not the edge of a word", pattern.span,
            help="double the backslash: strings use the escapes of JSON",
            fixes=(Fix("double the backslash", pattern.span, doubled, "maybe-incorrect"),),
        )  # fmt: skip
    reason = _unreadable(pattern.value)
    if reason:
        return Diagnostic(
            codes.BAD_PATTERN, f"not an RE2 pattern: {reason}", pattern.span,
            help="RE2 has no back-references and no look-around; a backslash in a plain string is doubled",
        )  # fmt: skip
    return None


@lru_cache(4096)
def _unreadable(pattern: str) -> str:
    """Why RE2 cannot read a pattern; nothing where it can."""
    try:
        import re2  # only policies with patterns pay for loading it
    except ImportError:  # in a browser, which has none; `rbrc check` reads the pattern
        return ""
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        return error.args[0].decode() if isinstance(error.args[0], bytes) else str(error.args[0])
    return ""


@dataclass
class Formulas:
    """Elaborates formulas; collects diagnostics, and the measures in order of first use.

    `columns` gives the atoms of the propositions in use, `definition` a derived proposition's number or
    None when that definition is itself broken (which has been reported where it stands). `judged` is the text that the
    measures of each file are of, `judged_by_policy` that of the policy, which their names leave out. `domains` gives the
    number, the first step and the values of scales and choices, None for broken ones; `readings` are features of them.
    `tables` has the columns of the rows that each file knows.
    """

    scopes: dict[str, Scope]
    columns: Mapping[Entity, int]
    definition: Callable[[Entity], int | None]
    params: dict[tuple[str, str], float]
    diagnostics: list[Diagnostic]
    first_measure: int
    judged: Mapping[str, Judged]
    judged_by_policy: Judged
    budget: Budget
    domains: Mapping[Entity, tuple[int, int, Domain] | None] = field(
        default_factory=dict[Entity, tuple[int, int, Domain] | None]
    )
    tables: Mapping[str, Known] = field(default_factory=dict[str, Known])
    readings: list[Reading] = field(default_factory=list[Reading])
    measures: dict[_Key, Measure] = field(default_factory=dict[_Key, Measure])
    used: set[Entity] = field(default_factory=set[Entity])  # groups and parameters
    _columns: dict[_Key, int] = field(default_factory=dict[_Key, int])

    def elaborate(
        self, formula: tree.Formula, scope: Scope, classes: tuple[str, ...] = (), replaced: Formula | None = None
    ) -> Formula | None:
        """The formula in atoms; None when part of it is broken, which is then reported.

        `classes` are names that stand for a response type's classes (in properties), `replaced` is what `super`
        stands for (in overrides).
        """
        self.budget.spend(_PART)
        match formula:
            case tree.Name():
                return self._name(formula, scope, classes)
            case tree.Constant():
                return Const(formula.value, formula.span)
            case tree.Unreadable():
                return None
            case tree.Super():
                if replaced is None:
                    self.diagnostics.append(Diagnostic(
                        codes.BAD_OVERRIDE, "`super` has nothing to stand for here", formula.span,
                        help="it is the replaced formula in `override response_type.class := …`",
                    ))  # fmt: skip
                    return None
                return replaced._replace(span=formula.span)
            case tree.Negation():
                operand = self.elaborate(formula.operand, scope, classes, replaced)
                return None if operand is None else Not(operand, formula.span)
            case tree.Parenthesis():
                inner = self.elaborate(formula.inner, scope, classes, replaced)
                return None if inner is None else inner._replace(span=formula.span)
            case tree.Operation():
                parts = [self.elaborate(operand, scope, classes, replaced) for operand in formula.operands]
                operands = tuple(part for part in parts if part is not None)
                if len(operands) < len(parts):
                    return None
                match formula.operator:
                    case "&":
                        return And(operands, formula.span)
                    case "|":
                        return Or(operands, formula.span)
                    case "=>":
                        return Implies(operands[0], operands[1], formula.span)
                    case "<=>":
                        return Iff(operands[0], operands[1], formula.span)
                    case _:
                        assert_never(formula.operator)
            case tree.Comparison():
                return self._comparison(formula, scope)
            case tree.Compared():
                return self._compared(formula, scope)
            case tree.TextMeasure():
                return self._text(formula, scope)
            case tree.ColumnCheck():
                return self._column(formula, scope)
            case tree.Ramp():
                self.diagnostics.append(Diagnostic(
                    codes.WRONG_KIND, f"`{formula.span.text}` is a number, and no rule", formula.span,
                    help="give it a name of its own, and name it under `features`; a rule asks whether a count is above a number",
                ))  # fmt: skip
                return None
            case tree.Quantified():
                return self._quantified(formula, scope)
            case _:
                assert_never(formula)

    def _name(self, formula: tree.Name, scope: Scope, classes: tuple[str, ...]) -> Formula | None:
        path = formula.path
        if len(path.parts) == 1 and path.text in classes:
            return ClassRef(path.text, formula.span)
        if path.text == "json" and lookup(scope, path) is None:
            return self._text(tree.TextMeasure("json", None, None, formula.span), scope)
        return self._member(path, scope, formula.span)

    def _member(self, path: tree.Path, scope: Scope, span: Span) -> Formula | None:
        entity = resolve(scope, path, "proposition", (tree.Prop, tree.Assign))
        if isinstance(entity, Diagnostic):
            self.diagnostics.append(entity)
            return None
        if isinstance(entity.declaration, tree.Prop):
            return Var(self.columns[entity], span)
        assert isinstance(entity.declaration, tree.Assign)
        if isinstance(entity.declaration.body, tree.Ramp):
            self.diagnostics.append(Diagnostic(
                codes.WRONG_KIND, f"`{path.text}` is a number, and no formula can speak of it", span,
                related=(("it is defined here", entity.span),),
                help="name it under `features`; a rule asks whether a count is above a number: `words > 200`",
            ))  # fmt: skip
            return None
        number = self.definition(entity)
        return None if number is None else Ref(number, span)

    def _compared(self, formula: tree.Compared, scope: Scope) -> Formula | None:
        entity = lookup(scope, formula.path)
        if entity is None or not isinstance(entity.declaration, tree.Variable):
            self.diagnostics.append(self._incomparable(formula, scope, entity))
            return None
        values = self.domains[entity]
        if values is None:
            return None
        bound: float | str | None = (
            formula.bound.value if isinstance(formula.bound, tree.Number) else formula.bound.text
        )
        if isinstance(formula.bound, tree.Path) and values[2].kind == "scale":
            bound = self._bound(formula.bound, scope)
        return None if bound is None else variables.comparison(formula, values[2], values[1], bound, self.diagnostics)

    def _incomparable(self, formula: tree.Compared, scope: Scope, entity: Entity | None) -> Diagnostic:
        name = formula.path.text
        if entity is not None:
            return Diagnostic(
                codes.WRONG_KIND, f"`{name}` is a {entity.kind}, and cannot be compared", formula.path.span,
                related=((f"the {entity.kind} is declared here", entity.span),),
                help=f"write `{name}` or `!{name}`" if isinstance(entity.declaration, (tree.Prop, tree.Assign))
                else "what is compared are counts of a text, scales and choices",
            )  # fmt: skip
        found = resolve(scope, formula.path, "scale or choice", (tree.Variable,))
        near = found.help.startswith("did you mean") if isinstance(found, Diagnostic) else False
        if isinstance(found, Diagnostic) and (near or len(formula.path.parts) > 1):
            return found
        return Diagnostic(
            codes.SYNTAX, f"`{name}` is no count, scale or choice, and cannot be compared", formula.path.span,
            help='there are `words`, `characters`, `sentences`, `lines`, `count("RE2")`, `steps`, `calls("RE2")`, '
            f'`tool_errors`, and what is declared: `scale {name} 1..5 "…"`',
        )  # fmt: skip

    def reading(self, entity: Entity, holds: Sequence[bool] | None) -> tuple[str, int]:
        """The name of the feature that is a scale's mean, or the chance of the values that hold; and its number."""
        known = self.domains[entity]
        assert known is not None
        number, _, domain = known
        if holds is None:
            made = Reading(domain.name, domain.mean(number))
        else:
            allowed = [at for at, one in enumerate(holds) if one]
            made = Reading(" & ".join(domain.said(allowed)), Share(number, tuple(map(float, holds))))
        if made not in self.readings:
            self.readings.append(made)
        return made.name, self.readings.index(made)

    # --- measures -----------------------------------------------------------------------------

    def measured(self, atom: int) -> Measure:
        """The measure of an atom that is one."""
        return [*self.measures.values()][atom - self.first_measure]

    def _measure(
        self, kind: MeasureKind, pattern: tree.Text | str | None, over: Judged, threshold: int, span: Span,
        top: int | None = None,
    ) -> Formula | None:  # fmt: skip
        if kind == "python" and isinstance(pattern, tree.Text):
            pattern = checks.function(pattern, self.diagnostics)
            if pattern is None:
                return None
        if isinstance(pattern, tree.Text) and kind != "contains":
            self.budget.spend(pattern_steps(pattern))
            problem = check_pattern(pattern)
            if problem is not None:
                self.diagnostics.append(problem)
                return None
        text = pattern.value if isinstance(pattern, tree.Text) else pattern or ""
        key = (kind, text, over, threshold, top)
        if key not in self.measures:
            name = measure_name(kind, text, threshold, over, self.judged_by_policy, top)
            if any(entity.name == name for entity in self.columns):
                name = f"{name} over {over}"
            self._columns[key] = self.first_measure + len(self.measures)
            self.measures[key] = Measure(name, kind, text, threshold, span, over, top)
        return Var(self._columns[key], span)

    def _over(self, kind: MeasureKind, over: tree.Ident | None, scope: Scope) -> Judged | None:
        """The text that a measure is of: what it says itself, else what its file is judged by."""
        if kind in OF_THE_TRAJECTORY:
            if over is not None:
                self.diagnostics.append(Diagnostic(
                    codes.SYNTAX, f"`{kind}` is always of the whole trajectory", over.span,
                    help=f"leave out `over {over.text}`",
                ))  # fmt: skip
                return None
            return "trajectory"
        return self.judged[scope.key] if over is None else judged(over, self.diagnostics)

    def _text(self, formula: tree.TextMeasure, scope: Scope) -> Formula | None:
        if formula.pattern is not None and not formula.pattern.value:
            self.diagnostics.append(Diagnostic(
                codes.BAD_PATTERN, f"`{formula.kind}` of nothing is always true", formula.pattern.span,
                help="say which text to look for",
            ))  # fmt: skip
            return None
        over = self._over(formula.kind, formula.over, scope)
        pattern: tree.Text | str | None = formula.pattern
        if formula.kind == "json_schema" and formula.pattern is not None:
            pattern = checks.schema(formula.pattern, scope, self.diagnostics)
            if pattern is None:
                return None
        return None if over is None else self._measure(formula.kind, pattern, over, 0, formula.span)

    def _column(self, formula: tree.ColumnCheck, scope: Scope) -> Formula | None:
        kind = checks.KINDS[formula.kind.text]
        over = self._over(kind, formula.over, scope)
        pattern = checks.against(formula, self.tables.get(scope.key, {}), scope, self.diagnostics)
        return None if over is None or pattern is None else self._measure(kind, pattern, over, 0, formula.span)

    def _bound(self, bound: tree.Number | tree.Path, scope: Scope) -> float | None:
        """The number that something is compared with; None where there is none, which is reported."""
        if isinstance(bound, tree.Number):
            value = bound.value
        else:
            entity = resolve(scope, bound, "parameter", (tree.Param,))
            if isinstance(entity, Diagnostic):
                self.diagnostics.append(entity)
                return None
            self.used.add(entity)
            value = self.params[entity.module, entity.name]
        if not abs(value) <= MAX_COUNT:  # nor is `-D name=nan`
            self.diagnostics.append(Diagnostic(
                codes.BAD_NUMBER, f"`{bound.span.text}` is out of range", bound.span,
                help=f"counts are compared with numbers up to {MAX_COUNT}",
            ))  # fmt: skip
            return None
        return value

    def ramp(self, formula: tree.Ramp, scope: Scope) -> Formula | None:
        """The atom of a number that is a feature; None for a broken one, which is reported."""
        low, high = self._bound(formula.low, scope), self._bound(formula.high, scope)
        over = self._over(formula.quantity, formula.over, scope)
        if low is None or high is None or over is None:
            return None
        if not (0 <= low < high and low == int(low) and high == int(high)):
            self.diagnostics.append(Diagnostic(
                codes.BAD_NUMBER, f"`{formula.span.text}` does not rise from one whole number to a larger one", formula.span,
                help="a ramp is 0 up to the first count and 1 from the second: `words from 200 to 400`; its weight may be negative",
            ))  # fmt: skip
            return None
        return self._measure(formula.quantity, formula.pattern, over, int(low), formula.span, int(high))

    def _comparison(self, formula: tree.Comparison, scope: Scope) -> Formula | None:
        bound = self._bound(formula.bound, scope)
        if bound is None:
            return None
        over = self._over(formula.quantity, formula.over, scope)
        if over is None:
            return None
        span = formula.span

        def above(k: int) -> Formula | None:  # quantity > k
            if k < 0:
                return Const(True, span)
            return self._measure(formula.quantity, formula.pattern, over, k, span)

        def negated(inner: Formula | None) -> Formula | None:
            return None if inner is None else Not(inner, span)

        match formula.relation:
            case ">":
                return above(math.floor(bound))
            case ">=":
                return above(math.ceil(bound) - 1)
            case "<":
                return negated(above(math.ceil(bound) - 1))
            case "<=":
                return negated(above(math.floor(bound)))
            case "==" | "!=":
                if bound != math.floor(bound):
                    return Const(formula.relation == "!=", span)
                low, high = above(int(bound) - 1), above(int(bound))
                if low is None or high is None:
                    return None
                equal = And((low, Not(high, span)), span)
                return equal if formula.relation == "==" else Not(equal, span)
            case _:
                assert_never(formula.relation)

    def implied_axioms(self) -> tuple[Axiom, ...]:
        """That a count above a larger number is above every smaller one too, and a closer check passes where a wider one does."""
        by_quantity: dict[tuple[str, str, Judged], list[tuple[int, int, Span]]] = {}
        for key, measure in self.measures.items():
            if measure.kind not in CHECKS and measure.top is None:
                entry = (measure.threshold, self._columns[key], measure.span)
                by_quantity.setdefault(measure.quantity, []).append(entry)
        axioms: list[Axiom] = []
        for thresholds in by_quantity.values():
            thresholds.sort(key=lambda entry: entry[0])
            for (_, low, _), (_, high, span) in itertools.pairwise(thresholds):
                axioms.append(Axiom(Implies(Var(high, span), Var(low, span), span), span, implied=True))
        found = [*self.measures.values()]
        for at, wide in checks.closer(found):
            first, span = self.first_measure, found[at].span
            axioms.append(Axiom(Implies(Var(first + at, span), Var(first + wide, span), span), span, implied=True))
        return tuple(axioms)

    # --- quantifiers --------------------------------------------------------------------------

    def _members(self, members: tree.Members, scope: Scope) -> list[Formula] | None:
        paths, home = members.listed, scope
        if members.group is not None:
            entity = resolve(scope, members.group, "group", (tree.Group,))
            if isinstance(entity, Diagnostic):
                self.diagnostics.append(entity)
                return None
            assert isinstance(entity.declaration, tree.Group)
            self.used.add(entity)
            paths, home = entity.declaration.members, self.scopes[entity.module]
        self.budget.spend(_PART * len(paths))
        operands = [self._member(path, home, path.span) for path in paths]
        found = [operand for operand in operands if operand is not None]
        return found if len(found) == len(operands) else None

    def _quantified(self, formula: tree.Quantified, scope: Scope) -> Formula | None:
        operands = self._members(formula.members, scope)
        if operands is None:
            return None
        span, every = formula.span, tuple(operands)
        if formula.quantifier in ("any", "all", "none") or formula.k is None:
            if not every:
                self.diagnostics.append(Diagnostic(
                    codes.BAD_COUNT, f"`{formula.quantifier}` of no propositions", formula.members.span,
                    help="name at least one",
                ))  # fmt: skip
                return None
            if formula.quantifier == "all":
                return And(every, span)
            return Or(every, span) if formula.quantifier == "any" else Not(Or(every, span), span)
        k, size = formula.k.value, len(every)
        lowest = 1 if formula.quantifier == "at_least" else 0
        highest = size - 1 if formula.quantifier == "at_most" else size
        if k != int(k) or not lowest <= k <= highest:
            self.diagnostics.append(Diagnostic(
                codes.BAD_COUNT, f"`{formula.quantifier}({formula.k.span.text}, …)` of {size} is out of range",
                formula.k.span, help=f"use a whole number from {lowest} to {highest}" if lowest < highest else f"use {lowest}",
            ))  # fmt: skip
            return None
        k = int(k)
        match formula.quantifier:
            case "at_least":
                return AtLeast(k, every, span)
            case "at_most":
                return Not(AtLeast(k + 1, every, span), span)
            case "exactly":
                least: Formula = AtLeast(k, every, span) if k else Const(True, span)
                return And((least, Not(AtLeast(k + 1, every, span), span)), span) if k < size else least
            case _:
                assert_never(formula.quantifier)


def mentioned(formula: tree.Formula, scope: Scope, scopes: dict[str, Scope]) -> Iterator[Entity]:
    """Every proposition, scale and choice that a formula mentions, derived propositions too, group members included.

    Names that mean nothing are passed over; `Formulas.elaborate` reports them.
    """
    for part in tree.walk(formula):
        scope.budget.spend(type(part) in _FORMULAS)
        match part:
            case tree.Name():
                yield from _entities((part.path,), scope)
            case tree.Compared():
                entity = lookup(scope, part.path)
                if entity is not None and isinstance(entity.declaration, tree.Variable):
                    yield entity
            case tree.Members():
                yield from _entities(part.listed, scope)
                if part.group is not None:
                    group = resolve(scope, part.group, "group", (tree.Group,))
                    if isinstance(group, Entity) and isinstance(group.declaration, tree.Group):
                        yield from _entities(group.declaration.members, scopes[group.module])
            case _:
                pass


def names_super(formula: tree.Formula | tree.OtherwiseBody) -> bool:
    """Whether a rule's body mentions `super`."""
    return any(isinstance(part, tree.Super) for part in tree.walk(formula))


def _entities(paths: tuple[tree.Path, ...], scope: Scope) -> Iterator[Entity]:
    scope.budget.spend(len(paths))
    for path in paths:
        entity = lookup(scope, path)
        if entity is not None and isinstance(entity.declaration, (tree.Prop, tree.Assign)):
            yield entity


def known_classes(name: tree.Ident, classes: Collection[str], response: str) -> Diagnostic | None:
    """A diagnostic when the response type has no such class."""
    if name.text in classes:
        return None
    near = suggest(name.text, list(classes))
    return Diagnostic(
        codes.UNKNOWN_CLASS, f"`{response}` has no class `{name.text}`", name.span,
        help=f"did you mean `{near}`?" if near else "its classes are " + ", ".join(f"`{c}`" for c in classes),
        fixes=respelled(name.span, near),
    )  # fmt: skip
