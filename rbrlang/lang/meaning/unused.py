"""What does the root file declare or import, and never mention?

Only a mention counts here, not whether it leads anywhere: propositions and derived propositions, for which that is
asked, are judged with the logic (`rbrlang.logic.findings.lint`). An import also brings what needs no mention: a response type
named by it is part of the policy, and so are the axioms and overrides of the file and of those that it imports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.meaning.scope import Entity, Scope, lookup, module_name
from rbrlang.lang.program import Unused
from rbrlang.source import Span


def unused(
    root: LoadedModule, modules: Mapping[str, LoadedModule], scope: Scope, used: Collection[Entity]
) -> Iterator[Unused]:
    """Groups and parameters of the root file that no formula (`used`) and no claim mentions; imports that nothing does."""
    claimed = {
        lookup(scope, trend.name)
        for statement in root.module.statements
        if isinstance(statement, tree.MonotoneDecl)
        for trend in statement.trends
    }
    for entity in scope.own.values():
        if entity not in used and entity not in claimed:
            if isinstance(entity.declaration, tree.Group):
                yield Unused("group", entity.name, entity.span, None)
            elif isinstance(entity.declaration, tree.Param):
                yield Unused("parameter", entity.name, entity.span, None)
    heads = set(_heads(tuple(s for s in root.module.statements if not isinstance(s, tree.Use))))
    for use, key in root.imports:
        yield from _unused_import(use, scope, heads, silent=_works_unmentioned(key, modules))


def _heads(node: tuple[Any, ...]) -> Iterator[str]:
    """The first part of every path in some statements, and the response types that `reward` names."""
    pending = [node]
    while pending:
        current = pending.pop()
        if isinstance(current, tree.Path):
            yield current.parts[0].text
            continue
        if isinstance(current, tree.Reward):
            yield from (ident.text for ident in current.responses)
        pending += [part for part in current if isinstance(part, tuple) and not isinstance(part, Span)]


def _works_unmentioned(key: str, modules: Mapping[str, LoadedModule]) -> bool:
    """Whether a file, or one that it imports, has axioms or overrides."""
    pending, seen = [key], {key}
    while pending:
        module = modules[pending.pop()]
        if any(isinstance(statement, (tree.AxiomDecl, tree.Override)) for statement in module.module.statements):
            return True
        following = {imported for _, imported in module.imports} - seen
        seen |= following
        pending += following
    return False


def _unused_import(use: tree.Use, scope: Scope, heads: Collection[str], *, silent: bool) -> Iterator[Unused]:
    if use.names is None:
        name, _ = module_name(use)
        if name not in heads and not silent:
            yield Unused("import", name, use.span, _line(use.span))
        return
    needless = [
        at for at, ident in enumerate(use.names)
        if ident.text not in heads
        and (entity := scope.names.get(ident.text)) is not None
        and not isinstance(entity.declaration, tree.Response)
    ]  # fmt: skip
    if len(needless) == len(use.names):
        if not silent:
            names = ", ".join(ident.text for ident in use.names)
            yield Unused("import", names, use.span, _line(use.span))
        return
    for at in needless:
        ident = use.names[at]
        if at:
            cut = Span(ident.span.source, use.names[at - 1].span.end, ident.span.end)
        else:
            cut = Span(ident.span.source, ident.span.start, use.names[1].span.start)
        yield Unused("import", ident.text, ident.span, None if "#" in cut.text else cut)


def _line(span: Span) -> Span | None:
    """A statement with the end of its line; nothing when a comment stands in it or behind it."""
    text = span.source.text
    end = text.find("\n", span.end)
    whole = Span(span.source, span.start, len(text) if end < 0 else end + 1)
    return None if "#" in whole.text else whole
