"""What do scales and choices say, and what does it mean to compare one?

    helpfulness >= 4   →   step 2 & step 3 & step 4        (levels 1..5)
    tone == hostile    →   !casual & !formal               (the last option, by name)

What is wrong goes to `diagnostics`, as in `blocks`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import assert_never

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, respelled, suggest, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning import columns
from rbrlang.lang.meaning.asked import asked, shown
from rbrlang.lang.meaning.scope import Scope
from rbrlang.lang.program import And, Const, Formula, Judged, Not, Sample, Var, Variable
from rbrlang.lang.variables import MAX_VALUES, Domain
from rbrlang.source import Span

_SUM = 1e-6  # that declared priors may be away from 1
_Report = list[Diagnostic]


def domain(declared: tree.Variable, name: str, diagnostics: _Report) -> Domain | None:
    """The levels or options that a declaration gives; None where they are none, which is reported."""
    span = declared.name.span
    if declared.levels is not None:
        low, high = declared.levels
        wrong = next((n for n in (low, high) if n.value != int(n.value) or not 0 <= n.value < 1_000_000), None)
        if wrong is not None:
            diagnostics.append(Diagnostic(
                codes.BAD_VARIABLE, f"`{wrong.span.text}` is no level", wrong.span,
                help="levels are whole numbers from 0: `scale name 1..5 \"…\"`",
            ))  # fmt: skip
            return None
        count = int(high.value) - int(low.value) + 1
        if count < 2:
            diagnostics.append(Diagnostic(
                codes.BAD_VARIABLE, f"`{declared.name.text}` has {'one level' if count == 1 else 'no levels'}",
                Span(span.source, low.span.start, high.span.end), help="a scale goes from its lowest level to a higher one",
            ))  # fmt: skip
            return None
        values = (
            tuple(str(level) for level in range(int(low.value), int(high.value) + 1)) if count <= MAX_VALUES else ()
        )
        place = Span(span.source, low.span.start, high.span.end)
    else:
        options: dict[str, tree.Ident] = {}
        for item in declared.items:
            if isinstance(item, tree.ValueItem) and isinstance(item.value, tree.Ident):
                first = options.setdefault(item.value.text, item.value)
                if first is not item.value:
                    again = f"`{declared.name.text}` has the option `{first.text}` twice"
                    help = "rename one of them, or remove it"
                    diagnostics.append(twice(again, item.value.span, first.span, help, at="first here"))
        values, place = tuple(options), span
        count = len(values)
        if count < 2:
            diagnostics.append(Diagnostic(
                codes.BAD_VARIABLE, f"`{declared.name.text}` has {'one option' if count else 'no options'}", span,
                help='a choice has at least two, each with what it means: `choice name "…" { formal "…" casual "…" }`',
            ))  # fmt: skip
            return None
    if count > MAX_VALUES:
        diagnostics.append(Diagnostic(
            codes.BAD_VARIABLE, f"`{declared.name.text}` has {count} {_kinds(declared)}, more than the {MAX_VALUES} there may be",
            place, help="no grader tells so many apart; use fewer",
        ))  # fmt: skip
        return None
    return Domain(name, declared.kind, values)


def _kinds(declared: tree.Variable) -> str:
    return "levels" if declared.kind == "scale" else "options"


def variable(
    declared: tree.Variable, values: Domain, over: Judged, known: columns.Known, scope: Scope, diagnostics: _Report
) -> Variable:
    """A scale or a choice with its question, what its values mean, and its declared numbers. Raises `SpentError`."""
    question, over = asked(declared, over, diagnostics)
    about: dict[int, tree.ValueItem] = {}
    samples: list[Sample] = []
    name = declared.name.text
    for item in declared.items:
        match item:
            case tree.Ask() | tree.OverItem():
                pass  # as `asked` has them
            case tree.ValueItem():
                at = _value(item.value, values, diagnostics)
                if at is not None and about.setdefault(at, item) is not item and values.kind == "scale":
                    diagnostics.append(
                        twice(f"level {values.values[at]} is described twice", item.span, about[at].span)
                    )
                elif at is not None and not item.about.value.strip():
                    diagnostics.append(Diagnostic(
                        codes.BAD_VARIABLE, f"`{values.values[at]}` of `{name}` says nothing", item.about.span,
                        help="say when it is the answer",
                    ))  # fmt: skip
            case tree.Instance():
                at = _value(item.value, values, diagnostics)
                if at is not None:
                    samples.append(Sample(at, *shown(item)))
            case _:
                assert_never(item)
    if not declared.statement.value.strip():
        diagnostics.append(Diagnostic(
            codes.SYNTAX, f"`{name}` asks nothing", declared.statement.span, help="ask what is to be judged, in a sentence",
        ))  # fmt: skip
    prior, cost = _annotations(declared, values, diagnostics)
    return Variable(
        domain=values, statement=declared.statement.value, question=question,
        about=tuple(about[at].about.value if at in about else "" for at in range(len(values.values))),
        samples=tuple(samples), prior=prior, cost=cost, doc=declared.doc, span=declared.name.span, over=over,
        columns=columns.check(declared, known, scope, diagnostics),
    )  # fmt: skip


def _value(written: tree.Number | tree.Ident, values: Domain, diagnostics: _Report) -> int | None:
    """The number of a value as the block of a variable writes it."""
    text = written.text if isinstance(written, tree.Ident) else f"{written.value:.15g}"
    if text in values.values:
        return values.values.index(text)
    diagnostics.append(_no_value(values, text, written.span))
    return None


def _no_value(values: Domain, text: str, span: Span) -> Diagnostic:
    if values.kind == "scale":
        return Diagnostic(
            codes.BAD_VALUE, f"`{values.name}` has no level `{text}`", span,
            help=f"its levels are {values.values[0]} to {values.values[-1]}",
        )  # fmt: skip
    near = suggest(text, values.values)
    return Diagnostic(
        codes.BAD_VALUE, f"`{values.name}` has no option `{text}`", span,
        help=f"did you mean `{near}`?" if near else "its options are " + ", ".join(f"`{v}`" for v in values.values),
        fixes=respelled(span, near),
    )  # fmt: skip


def _annotations(declared: tree.Variable, values: Domain, diagnostics: _Report) -> tuple[tuple[float, ...], float]:
    """The declared chances of the values and the cost of asking; equal chances, and 1, where nothing is said."""
    count = len(values.values)
    prior, cost = (1.0 / count,) * count, 1.0
    seen: set[str] = set()

    def report(message: str, span: Span, help: str) -> None:
        diagnostics.append(Diagnostic(codes.BAD_ANNOTATION, message, span, help=help))

    for annotation in declared.annotations:
        name = annotation.name.text
        if name in seen:
            diagnostics.append(twice(f"`@{name}` is given twice", annotation.span, None))
        seen.add(name)
        numbers = [number.value for _, number in annotation.arguments]
        if name == "cost":
            if len(numbers) == 1 and 0.0 < numbers[0] < math.inf:
                cost = numbers[0]
            else:
                report("`@cost` takes one number greater than 0", annotation.span, "write `@cost(2)`")
        elif name == "prior":
            words = [None if ident is None else ident.text for ident, _ in annotation.arguments]
            if values.kind == "scale":
                form = "write the chance of each level, the lowest first: `@prior(0.1, 0.2, …)`"
                right = words == [None] * count
            else:
                form = f"write the chance of each option: `@prior({', '.join(f'{v}: …' for v in values.values)})`"
                right = sorted(word or "" for word in words) == sorted(values.values)
            if not right:
                report(
                    f"`@prior` does not say how likely each {_kinds(declared)[:-1]} of `{values.name}` is",
                    annotation.span,
                    form,
                )
            elif min(numbers) <= 0.0 or abs(sum(numbers) - 1.0) > _SUM:
                report(f"the chances of `{values.name}` are not numbers above 0 that sum to 1", annotation.span, form)
            else:
                given = dict(zip(words, numbers, strict=True)) if values.kind == "choice" else None
                ordered = numbers if given is None else [given[value] for value in values.values]
                prior = tuple(number / sum(ordered) for number in ordered)
        else:
            near = suggest(name, ["prior", "cost"])
            report(
                f"`@{name}` says nothing of a {values.kind}", annotation.name.span,
                f"did you mean `@{near}`?" if near else "there are `@prior(…)` and `@cost(units)`",
            )  # fmt: skip
    return prior, cost


def comparison(
    formula: tree.Compared, values: Domain, first: int, bound: float | str, diagnostics: _Report
) -> Formula | None:
    """A comparison in steps, of which `first` is the atom of the first; None when it makes no sense, which is reported."""
    span, relation = formula.span, formula.relation
    if values.kind == "scale":
        if isinstance(bound, str):
            diagnostics.append(_no_value(values, bound, formula.bound.span))
            return None
        levels = [int(value) for value in values.values]
        if not levels[0] <= bound <= levels[-1] or bound != int(bound):
            diagnostics.append(_no_value(values, f"{bound:.15g}", formula.bound.span))
            return None
        at = levels.index(int(bound))
    else:
        if relation not in ("==", "!="):
            diagnostics.append(Diagnostic(
                codes.BAD_VALUE, f"the options of `{values.name}` have no order", span,
                help="compare a choice with `==` or `!=`; what has an order is a `scale`",
            ))  # fmt: skip
            return None
        if not isinstance(bound, str) or bound not in values.values:
            diagnostics.append(_no_value(values, bound if isinstance(bound, str) else f"{bound:g}", formula.bound.span))
            return None
        at = values.values.index(bound)

    def least(value: int) -> Formula:  # at least the level of this number
        steps = tuple(Var(first + step, span) for step in range(value))
        return Const(True, span) if not steps else steps[0] if len(steps) == 1 else And(steps, span)

    def exactly(value: int) -> Formula:
        steps = (
            Var(first + step, span) if holds else Not(Var(first + step, span), span)
            for step, holds in values.literals(value)
        )
        literals = tuple[Formula, ...](steps)
        return literals[0] if len(literals) == 1 else And(literals, span)

    def not_(inner: Formula) -> Formula:
        return Const(not inner.value, span) if isinstance(inner, Const) else Not(inner, span)

    count = len(values.values)
    match relation:
        case ">=" | "<":
            found = least(at)
        case ">" | "<=":
            found = least(at + 1) if at + 1 < count else Const(False, span)
        case "==" | "!=":
            found = exactly(at)
        case _:
            assert_never(relation)
    if relation in ("<", "<=", "!="):
        found = not_(found)
    if isinstance(found, Const):
        always = "always" if found.value else "never"
        diagnostics.append(Diagnostic(
            codes.TRIVIAL_COMPARISON, f"`{' '.join(span.text.split())}` {always} holds", span,
            help=f"the levels of `{values.name}` are {values.values[0]} to {values.values[-1]}",
        ))  # fmt: skip
    return found


def values_of(formula: Formula, first: int, values: Domain) -> Sequence[bool] | None:
    """Which values a formula holds of, if it speaks of nothing but this variable's steps as comparisons do.

    `first` is the atom of the first step.
    """

    def holds(part: Formula, steps: dict[int, bool]) -> bool | None:
        match part:
            case Const():
                return part.value
            case Var() if 0 <= part.atom - first < len(values.values) - 1:
                return steps.get(part.atom - first, False)
            case Not():
                inner = holds(part.operand, steps)
                return None if inner is None else not inner
            case And():
                inside = [holds(operand, steps) for operand in part.operands]
                return None if None in inside else all(inside)
            case _:
                return None

    found = [holds(formula, dict(values.literals(value))) for value in range(len(values.values))]
    return None if None in found else [bool(one) for one in found]
