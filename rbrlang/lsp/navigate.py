"""Where is a name declared and used, and what has to change when it gets another one?"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import assert_never

from lsprotocol import types

from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.columns import RESERVED
from rbrlang.lang.reading import grammar
from rbrlang.lsp.describe import response_of
from rbrlang.lsp.names import Mention, Target, mention_at
from rbrlang.lsp.positions import Positions
from rbrlang.lsp.workspace import Document, View, Workspace
from rbrlang.source import Span


class RefusedRename(Exception):
    """A rename that cannot be made whole; the message says why, in the user's words."""


def definitions(document: Document, offset: int) -> list[tuple[str, Span]]:
    """Where the name at an offset is declared: the file and the name in it; the start of the file for a module."""
    mention = mention_at(document.own, offset)
    if mention is None:
        return []
    found: list[tuple[str, Span]] = []
    for target in mention.targets:
        sources = {module.key: module.module.source for module in document.modules}
        if target.kind == "file":
            found.append((target.file, Span(sources[target.file], 0, 0)))
            continue
        declared = [
            (key, m.span)
            for key, listed in document.mentions.items()
            for m in listed
            if m.declares and target in m.targets
        ]
        found += declared or list(_imported(document, target))
    return list(dict.fromkeys(found))


def _imported(document: Document, target: Target) -> Iterator[tuple[str, Span]]:
    """The `use` that brings a module without giving it another name."""
    exported = document.scopes[target.file].modules.get(target.name) if target.kind == "module" else None
    for module in document.modules:
        if module.key == target.file:
            for use, key in module.imports:
                if document.scopes[key].names is exported:
                    yield module.key, use.module.span


def references(workspace: Workspace, document: Document, offset: int, *, declarations: bool) -> list[tuple[str, Span]]:
    """Every mention, in the whole workspace, of what the name at an offset stands for."""
    mention = mention_at(document.own, offset)
    if mention is None:
        return []
    wanted = set(mention.targets)
    return [
        (key, found.span)
        for key, (_, listed) in workspace.all_mentions().items()
        for found in listed
        if wanted & set(found.targets) and (declarations or not found.declares)
    ]


def highlights(document: Document, offset: int) -> list[Mention]:
    """The mentions in the document itself of what the name at an offset stands for."""
    mention = mention_at(document.own, offset)
    return [] if mention is None else [m for m in document.own if set(m.targets) & set(mention.targets)]


def renamable(workspace: Workspace, document: Document, offset: int) -> Mention:
    """The name at an offset, if it may get another one. Raises `RefusedRename`."""
    mention = mention_at(document.own, offset)
    if mention is None:
        raise RefusedRename("there is no name here that the policy declares")
    for target in mention.targets:
        if target.kind == "file":
            raise RefusedRename("a file is renamed in the file browser; then change the `use` that names it")
        if target.kind == "module" and not any(m.declares and target in m.targets for m in document.own):
            raise RefusedRename(
                f"`{target.name}` is the file's own name; write `use … as another_name` to give it one here"
            )
        if not workspace.may_edit(target.file):
            raise RefusedRename(f"`{mention.span.text}` is declared outside this workspace, in `{target.file}`")
    return mention


def rename(workspace: Workspace, document: Document, offset: int, name: str) -> dict[str, list[Span]]:
    """The places, by file, at which a new name has to be written. Raises `RefusedRename`.

    A rule `*.class` ties the classes of several response types together: all of them get the new name.
    """
    mention = renamable(workspace, document, offset)
    if re.fullmatch("[a-z_][a-z0-9_]*", name) is None:
        raise RefusedRename(f"`{name}` is not a name: names are made of the letters a to z, digits and `_`")
    if name in grammar.load().words:
        raise RefusedRename(f"`{name}` is a word of the language")
    views = list(workspace.views())
    everywhere: dict[str, tuple[Mention, ...]] = {}
    for view in views:
        for key, listed in view.mentions.items():
            everywhere.setdefault(key, listed)
    wanted = _tied(set(mention.targets), everywhere)
    places: dict[str, list[Span]] = {}
    for key, listed in everywhere.items():
        spans = [m.span for m in listed if wanted & set(m.targets)]
        if spans:
            places[key] = list({(s.start, s.end): s for s in spans}.values())
    for key in places:
        if not workspace.may_edit(key):
            raise RefusedRename(f"`{mention.span.text}` is used outside this workspace, in `{key}`")
    if name == mention.span.text:
        return {}
    for view in views:
        _refuse_unread(view, places)
        if any(target.kind == "column" for target in wanted):
            _refuse_column(view, places, name)
        else:
            _refuse_taken(view, wanted, places, name)
    return places


def _tied(wanted: set[Target], everywhere: Mapping[str, tuple[Mention, ...]]) -> set[Target]:
    """The targets that share a mention with those wanted, directly or through others."""
    while True:
        more = {t for listed in everywhere.values() for m in listed if wanted & set(m.targets) for t in m.targets}
        if more <= wanted:
            return wanted
        wanted = wanted | more


def _refuse_unread(view: View, places: Mapping[str, object]) -> None:
    for problem in view.problems:
        key = view.files.get(problem.span.source)
        if key in places and problem.severity == "error" and problem.code.id.startswith("RBR1"):
            raise RefusedRename(f"{problem.span!r} cannot be read and may hold the name: {problem.message}")


def _refuse_taken(view: View, wanted: set[Target], places: Mapping[str, object], name: str) -> None:
    for key, scope in view.scopes.items():
        if key not in places:
            continue
        taken = scope.names.get(name)
        if taken is not None:
            raise RefusedRename(f"`{name}` is a {taken.kind} already, at {taken.span!r}")
        if name in scope.modules:
            raise RefusedRename(f"`{name}` is an imported module already")
        if any(target.kind == "entity" for target in wanted):
            _refuse_class(view, key, name)
    for target in wanted:
        found = response_of(view, target) if target.kind == "class" else None
        if found is not None and isinstance(found[0].declaration, tree.Response):
            classes = [ident.text for tier in found[0].declaration.tiers for ident in tier]
            if name in classes:
                raise RefusedRename(f"`{found[0].name}` has a class `{name}` already")


def _refuse_column(view: View, places: Mapping[str, object], name: str) -> None:
    if name in RESERVED:
        raise RefusedRename(f"the column `{name}` has a meaning of its own")
    if any(name in known for key, known in view.columns.items() if key in places):
        raise RefusedRename(f"`{name}` is a column already")


def _refuse_class(view: View, key: str, name: str) -> None:
    """A proposition must not take the name of a class: in a property or a reward the class would be meant."""
    for entity in view.scopes[key].names.values():
        declaration = entity.declaration
        if isinstance(declaration, tree.Response) and any(c.text == name for tier in declaration.tiers for c in tier):
            raise RefusedRename(f"`{name}` is a class of `{entity.name}` already")


_SYMBOLS = {
    "proposition": types.SymbolKind.Variable,
    "derived proposition": types.SymbolKind.Function,
    "group": types.SymbolKind.Struct,
    "parameter": types.SymbolKind.Constant,
    "response type": types.SymbolKind.Enum,
    "rubric": types.SymbolKind.Number,
}


def outline(document: Document, positions: Positions) -> list[types.DocumentSymbol]:
    """The statements of a document, classes and rules below their response types."""
    found: list[types.DocumentSymbol] = []
    for statement in document.root.module.statements:
        symbol = _symbol(statement)
        if symbol is None:
            continue
        name, detail, kind, selection, children = symbol
        found.append(types.DocumentSymbol(
            name, kind, positions.range(statement.span.start, statement.span.end), positions.range(selection.start, selection.end), detail or None,
            children=[
                types.DocumentSymbol(c.text, types.SymbolKind.EnumMember, at, at)
                for c, at in ((c, positions.range(c.span.start, c.span.end)) for c in children)
            ] or None,
        ))  # fmt: skip
    return found


_Symbol = tuple[str, str, types.SymbolKind, Span, tuple[tree.Ident, ...]]


def _symbol(statement: tree.Statement) -> _Symbol | None:
    match statement:
        case tree.Prop():
            return statement.name.text, statement.statement.value, types.SymbolKind.Variable, statement.name.span, ()
        case tree.Variable():
            values = [item.value for item in statement.items if isinstance(item, tree.ValueItem)]
            options = tuple(value for value in values if isinstance(value, tree.Ident))
            return statement.name.text, statement.statement.value, types.SymbolKind.Enum, statement.name.span, options
        case tree.Param():
            return statement.name.text, statement.value.span.text, types.SymbolKind.Constant, statement.name.span, ()
        case tree.Rubric():
            return statement.name.text, "rubric", types.SymbolKind.Number, statement.name.span, ()
        case tree.Column():
            return statement.name.text, "column", types.SymbolKind.Field, statement.name.span, ()
        case tree.Group():
            return statement.name.text, "group", types.SymbolKind.Struct, statement.name.span, ()
        case tree.Assign():
            name = ("*." if statement.every else "") + statement.target.text
            rule = statement.every or len(statement.target.parts) > 1
            kind = types.SymbolKind.EnumMember if rule else types.SymbolKind.Function
            return name, "rule" if rule else "derived proposition", kind, statement.target.span, ()
        case tree.Override():
            return statement.target.text, "override", types.SymbolKind.EnumMember, statement.target.span, ()
        case tree.Response():
            classes = tuple(ident for tier in statement.tiers for ident in tier)
            name = ", ".join(ident.text for ident in statement.names)
            span = statement.names[0].span.to(statement.names[-1].span)
            return name, "response type", types.SymbolKind.Enum, span, classes
        case tree.Test() | tree.PropertyDecl():
            kind = types.SymbolKind.Method if isinstance(statement, tree.Test) else types.SymbolKind.Boolean
            title = statement.title.value or '""'
            return title, f"for {statement.response.text}", kind, statement.title.span, ()
        case tree.Cases():
            return f"cases {statement.response.text}", "", types.SymbolKind.Array, statement.response.span, ()
        case tree.Reward():
            name = ", ".join(ident.text for ident in statement.responses)
            return f"reward {name}", "", types.SymbolKind.Object, statement.responses[0].span, ()
        case tree.Edition() | tree.Judge() | tree.Use() | tree.AxiomDecl() | tree.Category() | tree.MonotoneDecl():
            return None
        case _:
            assert_never(statement)


def workspace_symbols(workspace: Workspace, query: str) -> Iterator[types.WorkspaceSymbol]:
    """The declarations of the workspace whose names hold the letters of a query, in its order."""
    pattern = re.compile(".*".join(map(re.escape, query.lower())))
    seen: set[Target] = set()
    for view in workspace.views():
        for key, scope in view.scopes.items():
            for entity in scope.own.values():
                target = Target("entity", key, entity.name)
                if target not in seen and pattern.search(entity.name):
                    seen.add(target)
                    location = types.Location(workspace.uri(key), workspace.encoding.range(entity.span))
                    yield types.WorkspaceSymbol(location, entity.name, _SYMBOLS[entity.kind])
