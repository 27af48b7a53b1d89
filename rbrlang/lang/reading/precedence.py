"""How do operands and operators, read flat, group into a formula?

`!` binds tightest, then `&`, `|`, `=>`, `<=>`. The grammar leaves formulas flat because readers disagree about
`a & b | c`: where it stands without parentheses it is reported, with a fix that adds them.
"""

from __future__ import annotations

import itertools

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang import syntax as tree
from rbrlang.source import Span
from rbrlang.values import NamedTuple


class Infix(NamedTuple):
    """An operator between two operands; `foreign` when it was written as in another language."""

    operator: tree.Operator
    span: Span
    foreign: bool


def grouped(operands: list[tree.Formula], operators: list[Infix], diagnostics: list[Diagnostic]) -> tree.Formula:
    """The formula that n operands and n − 1 operators make; n is at least 1."""
    for operator in operators:
        if operator.foreign:
            diagnostics.append(Diagnostic(
                codes.FOREIGN_OPERATOR, f"`{operator.span.text}` is written `{operator.operator}`", operator.span,
                fixes=(Fix(f"write `{operator.operator}`", operator.span, operator.operator, "machine-applicable"),),
            ))  # fmt: skip
    return _split(operands, operators, ("<=>", "=>"), diagnostics)


def _split(
    operands: list[tree.Formula], operators: list[Infix], loosest: tuple[tree.Operator, ...],
    diagnostics: list[Diagnostic],
) -> tree.Formula:  # fmt: skip
    """Split at the loosest operator; `=>` and `<=>` take two sides and must not be chained."""
    if not loosest:
        return _conjoin(operands, operators, diagnostics)
    operator, rest = loosest[0], loosest[1:]
    cuts = [at for at, o in enumerate(operators) if o.operator == operator]
    edges = [-1, *cuts, len(operators)]
    parts = [
        _split(operands[low + 1 : high + 1], operators[low + 1 : high], rest, diagnostics)
        for low, high in itertools.pairwise(edges)
    ]
    if len(parts) == 1:
        return parts[0]
    if len(parts) > 2:
        diagnostics.append(Diagnostic(
            codes.MIXED_OPERATORS, f"`{operator}` is chained", operators[cuts[1]].span,
            related=(("the first", operators[cuts[0]].span),),
            help=f"`a {operator} b {operator} c` means different things to different readers; add parentheses",
        ))  # fmt: skip
    return tree.Operation(operator, (parts[0], parts[1]), parts[0].span.to(parts[1].span))


def _conjoin(operands: list[tree.Formula], operators: list[Infix], diagnostics: list[Diagnostic]) -> tree.Formula:
    """Operands joined by `&` and `|`: one of them only, or a diagnostic whose fix adds parentheses."""
    if not operators:
        return operands[0]
    span = operands[0].span.to(operands[-1].span)
    runs: list[list[tree.Formula]] = [[operands[0]]]
    for operator, operand in zip(operators, operands[1:], strict=True):
        if operator.operator == "&":
            runs[-1].append(operand)
        else:
            runs.append([operand])
    if len(runs) == 1:
        return tree.Operation("&", tuple(operands), span)
    if len(runs) == len(operands):
        return tree.Operation("|", tuple(operands), span)
    text = span.source.text
    spans = [run[0].span.to(run[-1].span) for run in runs]
    pieces = [f"({s.text})" if len(run) > 1 else s.text for s, run in zip(spans, runs, strict=True)]
    gaps = [text[a.end : b.start] for a, b in itertools.pairwise(spans)]
    fixed = pieces[0] + "".join(gap + piece for gap, piece in zip(gaps, pieces[1:], strict=True))
    odd = next(o for o in operators if o.operator != operators[0].operator)
    diagnostics.append(Diagnostic(
        codes.MIXED_OPERATORS, "`&` and `|` are mixed without parentheses", odd.span,
        related=((f"`{operators[0].operator}` is used here", operators[0].span),),
        help="say which belongs together; `&` binds tighter in the fix",
        fixes=(Fix("add parentheses", span, fixed, "machine-applicable"),),
    ))  # fmt: skip
    whole = tuple(
        run[0] if len(run) == 1 else tree.Operation("&", tuple(run), s) for run, s in zip(runs, spans, strict=True)
    )
    return tree.Operation("|", whole, span)
