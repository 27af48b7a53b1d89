"""Which columns of the rows do a policy's texts name, and are all of them declared?

A column belongs to the rows, not to a file: two files that declare one name speak of one column. It is known in the file
that declares it and in all that import that file.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import assert_never

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix, respelled, twice
from rbrlang.lang import syntax as tree
from rbrlang.lang.braces import Brace, braces
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.meaning.scope import Scope
from rbrlang.lang.program import Column, Measure, Proposition, Unused, Variable
from rbrlang.source import Span

RESERVED = frozenset({
    "id", "prompt", "completion", "messages", "chosen", "rejected", "response_type", "category", "class", "labels", "probs",
    "base_reward", "pair", "preferred", "rank", "score", "margin", "conversations", "conversation", "propositions",
    "completion_type", "rm_score", "features",
    "prompt_completion", "grader", "calibration", "asked", "invalid", "answers", "reward_bounds", "corrected_reward", "corrected_variance",
    "rubric_probs", "reward", "rule_reward", "class_probs", "valid", "reason", "intended_class", "run", "step", "fingerprint", "likely_class",
})  # fmt: skip
"""Columns that mean something of their own: what is judged, what is known of it, what graders, scores and stores write."""

Known = Mapping[str, tree.Column]


def known_columns(modules: Sequence[LoadedModule], diagnostics: list[Diagnostic]) -> dict[str, dict[str, tree.Column]]:
    """By file, imported ones first, the columns that its texts may name; its own declaration goes before another's."""
    known: dict[str, dict[str, tree.Column]] = {}
    for module in modules:
        found = {name: column for _, key in module.imports for name, column in known[key].items()}
        own: dict[str, tree.Column] = {}
        for statement in module.module.statements:
            if not isinstance(statement, tree.Column):
                continue
            name = statement.name.text
            first = own.setdefault(name, statement)
            if first is not statement:
                again = f"the column `{name}` is declared twice"
                diagnostics.append(twice(again, statement.name.span, first.name.span, at="first declared here"))
            elif name in RESERVED:
                diagnostics.append(Diagnostic(
                    codes.BAD_COLUMN, f"the column `{name}` has a meaning of its own, and no question may name it",
                    statement.name.span, help="give what the question is to show a column of its own",
                ))  # fmt: skip
        known[module.key] = {**found, **own}
    return known


Naming = Proposition | Variable | Measure
"""What may name columns."""


def unused(root: LoadedModule, propositions: Sequence[Naming]) -> Iterator[Unused]:
    """The columns that the root file declares and that nothing names."""
    used = {name for proposition in propositions for name in proposition.columns}
    for statement in root.module.statements:
        if isinstance(statement, tree.Column) and statement.name.text not in used:
            yield Unused("column", statement.name.text, statement.name.span, None)


def named(known: Known, propositions: Sequence[Naming]) -> tuple[Column, ...]:
    """Those of the known columns that something names, in the order of their declarations."""
    wanted = {name for proposition in propositions for name in proposition.columns}
    return tuple(
        Column(name, column.about.value, column.doc, column.name.span)
        for name, column in known.items()
        if name in wanted
    )


def texts(prop: tree.Prop | tree.Variable) -> Iterator[tuple[tree.Text, bool]]:
    """The texts of a proposition, a scale or a choice that name columns, each with whether it quotes a conversation."""
    yield prop.statement, False
    for item in prop.items:
        match item:
            case tree.Ask():
                yield item.question, False
            case tree.InstructItem():
                yield item.instruction, False
            case tree.ValueItem():
                yield item.about, False
            case tree.Example() | tree.Instance():
                yield from ((turn.text, True) for turn in item.turns)
                if item.because is not None:
                    yield item.because, True
            case tree.CueItem() | tree.OverItem():
                pass
            case _:
                assert_never(item)


def mentions(prop: tree.Prop | tree.Variable, known: Collection[str]) -> Iterator[tuple[str, Span]]:
    """The columns that a proposition's texts name, and where, but for those that an escape hides in the source."""
    for text, _ in texts(prop):
        for brace in braces(text.value):
            if brace.kind == "name" and not brace.escaped and brace.text in known:
                span = place(text, brace.start + 1, brace.end - 1)
                if span.text == brace.text:
                    yield brace.text, span


def place(text: tree.Text, start: int, end: int) -> Span:
    """Where a part of a string's value stands in the source; the whole string where escapes hide it."""
    source, raw = text.span.source, text.span.text
    before = text.value.count("{", 0, start)
    found = [match.start() for match in re.finditer(r"\{", raw)]
    if len(found) == text.value.count("{") and before:
        # The brace before it is the same one in value and source, and what follows has neither escapes nor line ends.
        inside = start - text.value.rindex("{", 0, start)
        at = found[before - 1] + inside
        if raw[at : at + end - start] == text.value[start:end]:
            return Span(source, text.span.start + at, text.span.start + at + end - start)
    return text.span


def check(
    prop: tree.Prop | tree.Variable, known: Known, scope: Scope, diagnostics: list[Diagnostic]
) -> tuple[str, ...]:
    """The columns that a proposition's texts name, in order; braces that nothing fills are reported. Raises `SpentError`."""
    used: dict[str, None] = {}
    for text, quoted in texts(prop):
        scope.budget.spend(len(text.value) // 100)
        for brace in braces(text.value):
            if brace.escaped:
                continue
            if brace.kind == "name" and brace.text in known:
                used[brace.text] = None
                continue
            scope.budget.spend(1)
            found = _finding(text, brace, known, scope, quoted=quoted)
            if found is not None:
                diagnostics.append(found)
    return tuple(used)


_AS_TEXT = "braces that are text are written `\\{`"


def _finding(text: tree.Text, brace: Brace, known: Known, scope: Scope, *, quoted: bool) -> Diagnostic | None:
    """What is wrong with braces that no column fills; nothing where they are most probably text."""
    said = text.value[brace.start : brace.end]
    shown = " ".join(said.split())
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
    meant = _meant(brace)
    if brace.kind == "nearly" and meant not in known:
        return None
    if brace.tex and meant not in known:
        return None
    whole = place(text, brace.start + 1, brace.end - 1)
    opening = Span(whole.source, whole.start - 1, whole.end + 1) if whole != text.span else whole
    escape = (
        Fix("keep the braces as text", Span(whole.source, opening.start, opening.start), "\\", "maybe-incorrect"),
    )
    escape = escape if whole != text.span else ()
    if quoted and brace.kind != "nearly":
        return Diagnostic(
            codes.LITERAL_BRACES, f"`{shown}` in an example looks like a place to fill, and is sent with its braces", opening,
            help=f'declare it, `column {meant or "name"} "…"`, if a column is meant; {_AS_TEXT}', fixes=escape,
        )  # fmt: skip
    if brace.kind == "name":
        near = scope.meant(brace.text, sorted(known))
        return Diagnostic(
            codes.BAD_COLUMN, f"`{shown}` names no column that is declared", whole,
            help=f"did you mean `{{{near}}}`?" if near
            else f'declare it, `column {brace.text} "what it holds"`; {_AS_TEXT}',
            fixes=respelled(whole, near) or escape,
        )  # fmt: skip
    rewrite = (Fix(f"write `{{{meant}}}`", opening, f"{{{meant}}}", "maybe-incorrect"),) if meant and escape else ()
    if brace.kind == "nearly":
        return Diagnostic(
            codes.BAD_COLUMN, f"`{shown}` is not how a column is named", opening,
            help=f"write `{{{meant}}}`; {_AS_TEXT}", fixes=rewrite,
        )  # fmt: skip
    name = meant or "name"
    if brace.text.startswith("{%"):
        way = "a question has no conditions: declare a proposition for each case"
    elif name in known:
        way = f"for the column of the rows write `{{{name}}}`"
    else:
        way = f'for a column of the rows declare `column {name} "…"` and write `{{{name}}}`'
    return Diagnostic(
        codes.FOREIGN_TEMPLATE, f"`{shown}` is a template of another tool, and nothing fills it", opening,
        help=f"{way}; {_AS_TEXT}", fixes=rewrite or escape,
    )  # fmt: skip


def _meant(brace: Brace) -> str:
    """The name of a column that somebody may have meant; nothing where there is none."""
    if brace.kind == "template" and brace.text.startswith("{%"):
        return ""
    path = re.search(r"[A-Za-z_][\w.]*", brace.text)
    name = "" if path is None else path[0].rstrip(".").rpartition(".")[2].lower()
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else ""


def unknown(name: tree.Ident, known: Known, scope: Scope) -> Diagnostic:
    """That no such column is declared."""
    near = scope.meant(name.text, sorted(known))
    return Diagnostic(
        codes.BAD_COLUMN, f"no column `{name.text}` is declared", name.span,
        help=f"did you mean `{near}`?" if near else f'declare it: `column {name.text} "what it holds"`',
        fixes=respelled(name.span, near),
    )  # fmt: skip


def test_cells(
    items: Sequence[tree.Cell], known: Known, scope: Scope, diagnostics: list[Diagnostic]
) -> tuple[tuple[str, str], ...]:
    """What a test's row has in its columns; a column that is not known or given twice is reported."""
    found: dict[str, tree.Cell] = {}
    for item in items:
        name = item.name.text
        if name not in known:
            diagnostics.append(unknown(item.name, known, scope))
        elif found.setdefault(name, item) is not item:
            again = f"the test gives the column `{name}` twice"
            diagnostics.append(twice(again, item.span, found[name].span, at="first given here"))
    return tuple((name, item.text.value) for name, item in found.items())
