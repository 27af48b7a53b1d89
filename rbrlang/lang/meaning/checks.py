"""What does a check by code compare with, and can it?"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, respelled, suggest
from rbrlang.jsontext import JsonError, parse
from rbrlang.lang import syntax as tree
from rbrlang.lang.checks import FOLDS, Against, names_function
from rbrlang.lang.meaning.columns import Known, unknown
from rbrlang.lang.meaning.scope import Scope
from rbrlang.lang.program import OF_A_COLUMN, Measure, MeasureKind
from rbrlang.schema import NEEDED, problem

_OPTIONS = {"equals": "fold", "contains": "fold", "number_equals": "within"}
KINDS: dict[str, MeasureKind] = {"equals": "equals", "contains": "contains_column", "number_equals": "number_equals"}


def against(check: tree.ColumnCheck, known: Known, scope: Scope, diagnostics: list[Diagnostic]) -> str | None:
    """The column and how closely it is compared, in one form; None where that is wrong, which is reported."""
    found = len(diagnostics)
    if check.column.text not in known:
        diagnostics.append(unknown(check.column, known, scope))
    word = _OPTIONS[check.kind.text]
    folds: list[str] = []
    within = ""
    for option in check.options:
        if option.name.text != word:
            how = "`fold: case`, `fold: space`" if word == "fold" else "`within: 0.01`"
            diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{check.kind.text}` has no `{option.name.text}`", option.name.span, help=f"it has {how}",
            ))  # fmt: skip
        elif word == "within" and isinstance(option.value, tree.Number) and option.value.value >= 0.0 and not within:
            from decimal import Decimal  # as in `rbrlang.lang.checks`

            number = Decimal(option.value.span.text)
            within = f"{number.normalize()}" if number else ""
        elif word == "fold" and isinstance(option.value, tree.Ident) and option.value.text in FOLDS:
            folds.append(option.value.text)
        else:
            near = suggest(option.value.text, FOLDS) if isinstance(option.value, tree.Ident) else None
            diagnostics.append(Diagnostic(
                codes.SYNTAX, f"`{option.name.text}: {option.value.span.text}` does not say how closely to compare", option.value.span,
                help="say `fold: case`, `fold: space`, or both" if word == "fold"
                else "say a number from 0 once, as in `within: 0.01`",
                fixes=respelled(option.value.span, near),
            ))  # fmt: skip
    return Against(check.column.text, tuple(dict.fromkeys(folds)), within).text if len(diagnostics) == found else None


def schema(text: tree.Text, scope: Scope, diagnostics: list[Diagnostic]) -> str | None:
    """A schema as compact JSON; None where it is none, which is reported."""
    scope.budget.spend(1000 + len(text.value))
    read: Any = None
    try:
        read = parse(text.value)
        reason = problem(read)
    except JsonError as error:
        reason = str(error)
    if reason is not None:
        missing = reason == NEEDED
        diagnostics.append(Diagnostic(
            codes.BAD_PATTERN, "this schema cannot be read here" if missing else f"not a JSON Schema: {reason}", text.span,
            help=reason if missing else 'a schema is JSON, as in `json_schema("""{"type": "object", "required": ["answer"]}""")`',
        ))  # fmt: skip
        return None
    return json.dumps(read, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def function(text: tree.Text, diagnostics: list[Diagnostic]) -> str | None:
    """The name of a function, which nobody looks for yet; None where it is none, which is reported."""
    if names_function(text.value):
        return text.value
    diagnostics.append(Diagnostic(
        codes.BAD_PATTERN, f"`{text.value}` names no function", text.span,
        help='a function of yours is named as Python imports it: `python("my_checks.has_citation")`',
    ))  # fmt: skip
    return None


def closer(measures: Sequence[Measure]) -> Iterator[tuple[int, int]]:
    """Pairs of checks of one text of which the first cannot hold without the second, by their places."""
    of_text: dict[tuple[str, ...], list[tuple[int, Against | None]]] = {}
    for at, measure in enumerate(measures):
        if measure.kind in OF_A_COLUMN:
            check = Against.read(measure.pattern)
            of_text.setdefault((measure.over, check.column), []).append((at, check))
        elif measure.kind in ("json", "json_schema"):
            of_text.setdefault(("json", measure.over), []).append((at, None))
    for group in of_text.values():
        for (at, one), (other, wider) in itertools.permutations(group, 2):
            if one is None or wider is None:
                holds = measures[at].kind == "json_schema" and measures[other].kind == "json"
            else:
                kinds = measures[at].kind, measures[other].kind
                holds = kinds[0] == kinds[1] or kinds == ("equals", "contains_column")
                from decimal import Decimal

                holds &= set(one.folds) <= set(wider.folds) and Decimal(one.within or 0) <= Decimal(wider.within or 0)
            if holds:
                yield at, other
