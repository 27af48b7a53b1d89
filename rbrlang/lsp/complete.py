"""What could stand at the cursor?

The parser's own automaton says which words of the language may follow; the place says which names. So what is offered
never depends on a second description of the grammar.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lsprotocol import types

from rbrlang.lang import syntax as tree
from rbrlang.lang.load import Reader, load, standard_modules
from rbrlang.lang.meaning.scope import Entity, Scope, build_scopes
from rbrlang.lang.program import Judged
from rbrlang.lang.reading import grammar
from rbrlang.lang.reading.parse import following
from rbrlang.lang.reading.tokens import Token, lex
from rbrlang.lang.variables import MAX_VALUES
from rbrlang.lsp.describe import column_of
from rbrlang.lsp.workspace import Document
from rbrlang.source import Source

_ANNOTATIONS = {
    "prior": "P(true) before anything is known",
    "noise": "the grader's error rates",
    "cost": "what an answer costs",
}
_SNIPPETS = {
    "prop": 'prop ${1:name} "${2:statement}"',
    "group": "group ${1:name} = { $0 }",
    "response": "response ${1:name} ranks ${2:ideal} > ${3:unacceptable}",
    "test": 'test "${1:title}" for ${2:response} {\n  given $3\n  expect $0\n}',
    "cases": "cases ${1:response} {\n  $0\n}",
    "property": 'property "${1:title}" for ${2:response}: $0',
    "reward": "reward ${1:response} {\n  $0\n}",
}
_FOREIGN = frozenset({"and", "or", "not"})
_KINDS = {
    tree.Prop: types.CompletionItemKind.Variable,
    tree.Variable: types.CompletionItemKind.Enum,
    tree.Assign: types.CompletionItemKind.Function,
    tree.Group: types.CompletionItemKind.Struct,
    tree.Param: types.CompletionItemKind.Constant,
    tree.Response: types.CompletionItemKind.Enum,
    tree.Rubric: types.CompletionItemKind.Struct,
}
_QUANTIFIERS = frozenset({"ANY", "ALL", "NONE", "AT_LEAST", "AT_MOST", "EXACTLY"})
_RELATIONS = frozenset({">", ">=", "<", "<=", "==", "=", "!="})


class _Place(NamedTuple):
    """The words of the statement before the cursor, without the one being written."""

    tokens: tuple[Token, ...]

    def last(self, number: int = 1) -> str:
        """The kind of the last token but `number - 1`; empty where there is none."""
        return self.tokens[-number].kind if len(self.tokens) >= number else ""

    @property
    def first(self) -> str:
        """The kind of the statement's first token."""
        return self.tokens[0].kind if self.tokens else ""


def complete(document: Document, offset: int, read: Reader) -> list[types.CompletionItem]:
    """Everything that could be written at an offset of a document's own file; `read` gives the files that it may import."""
    text = document.source.text
    start = offset
    while start > 0 and (text[start - 1].isascii() and (text[start - 1].isalnum() or text[start - 1] == "_")):
        start -= 1
    lexed = lex(Source(document.source.name, text[:start]))
    if any(c.span.end >= start for c in lexed.comments):
        return []
    tokens = lexed.chunks[-1].tokens if lexed.chunks else ()
    if tokens and tokens[-1].end >= start and any(d.code.id == "RBR1003" for d in lexed.diagnostics):  # in text
        opened = text[start - 1 : start] == "{" and text[start - 2 : start - 1] not in ("{", "\\")
        return list(_columns(document)) if opened and tokens[0].kind in ("PROP", "AT") else []
    place = _Place(_statement(document, tokens, text, start))
    if place.last() == "__AT" or text[start - 1 : start] == "@":
        return [_item(name, types.CompletionItemKind.Property, detail) for name, detail in _ANNOTATIONS.items()]
    scope = document.scopes[document.root.key]
    if place.tokens and place.tokens[-1].text == ".":
        return list(_behind_dot(document, scope, place))
    kinds = following([token.kind for token in place.tokens])
    items = list(_words(kinds, not place.tokens))
    if place.last() == "NAME" and place.tokens[-1].text == "column" and "NAME" in kinds:
        return items + (list(_columns(document)) if place.first == "TEST" else [])
    if "NAME" in kinds and (not place.tokens or (place.first == "TEST" and "GIVEN" in kinds)):
        items.append(_item(
            "column", types.CompletionItemKind.Keyword,
            snippet="" if place.tokens else 'column ${1:name} "${2:what it holds}"',
        ))  # fmt: skip
    if "NAME" in kinds and not place.tokens:
        items.append(_item(
            "rubric", types.CompletionItemKind.Keyword,
            snippet="rubric ${1:name} from ${2:criteria} {\n  points over ${3:positive}\n}",
        ))  # fmt: skip
    if "NAME" in kinds and not (place.first == "TEST" and "GIVEN" in kinds):
        items += _names(document, scope, place, read)
    return items


def _statement(document: Document, tokens: Sequence[Token], text: str, start: int) -> tuple[Token, ...]:
    """The tokens of the statement that the cursor stands in; none where a new one begins."""
    if not tokens:
        return ()
    between = text[tokens[-1].end : start]
    if "\n" not in between:
        return tuple(tokens)
    # A newline ends a statement unless something is open: a word put at the cursor shows which.
    probe = lex(Source(document.source.name, text[:start] + "x"))
    last = probe.chunks[-1].tokens
    return tuple(tokens) if last[0].start == tokens[0].start else ()


def _item(
    label: str, kind: types.CompletionItemKind, detail: str = "", snippet: str = "", doc: str = ""
) -> types.CompletionItem:
    return types.CompletionItem(
        label, kind=kind, detail=detail or None, documentation=doc or None,
        insert_text=snippet or None,
        insert_text_format=types.InsertTextFormat.Snippet if snippet else None,
    )  # fmt: skip


_TEXTS: dict[Judged, str] = {
    "final": "what the assistant says in its last turn",
    "assistant": "all that the assistant says",
    "trajectory": "every turn, calls and results included",
    "thought": "what the assistant thinks",
}


def _columns(document: Document) -> Iterator[types.CompletionItem]:
    for name, targets in document.columns[document.root.key].items():
        found = column_of(document, targets[-1])
        about, doc = ("", "") if found is None else (found.about.value, found.doc)
        yield _item(name, types.CompletionItemKind.Field, about, doc=doc)


def _words(kinds: set[str], opening: bool) -> Iterator[types.CompletionItem]:
    for word, kind in grammar.load().words.items():
        if kind in kinds and word not in _FOREIGN:
            yield _item(word, types.CompletionItemKind.Keyword, snippet=_SNIPPETS.get(word, "") if opening else "")


def _entities(names: Mapping[str, Entity], kinds: tuple[type, ...]) -> Iterator[types.CompletionItem]:
    for name, entity in names.items():
        declaration = entity.declaration
        if isinstance(declaration, kinds):
            asked = isinstance(declaration, (tree.Prop, tree.Variable))
            detail = declaration.statement.value if asked else entity.kind
            yield _item(name, _KINDS[type(declaration)], detail, doc=declaration.doc)


def _classes(entity: Entity | None) -> Iterator[types.CompletionItem]:
    if entity is not None and isinstance(entity.declaration, tree.Response):
        for at, tier in enumerate(entity.declaration.tiers):
            for ident in tier:
                yield _item(ident.text, types.CompletionItemKind.EnumMember, f"class of rank {at + 1}")


def _behind_dot(document: Document, scope: Scope, place: _Place) -> Iterator[types.CompletionItem]:
    if len(place.tokens) < 2:
        return
    owner = place.tokens[-2].text
    if place.first == "USE":
        written = [token.text for token in place.tokens[1:] if token.text != "."]
        yield from _standard(written)
    elif owner == "*":
        seen: set[str] = set()
        for entity in scope.own.values():
            for item in _classes(entity):
                if item.label not in seen:
                    seen.add(item.label)
                    yield item
    elif owner in scope.modules:
        kinds = (tree.Response,) if _wants_response(place, len(place.tokens) - 2) else tuple(_KINDS)
        yield from _entities(scope.modules[owner], kinds)
    else:
        qualifier = place.tokens[-4].text if len(place.tokens) >= 4 and place.tokens[-3].text == "." else None
        yield from _classes((scope.names if qualifier is None else scope.modules.get(qualifier, {})).get(owner))


def _standard(written: Sequence[str]) -> Iterator[types.CompletionItem]:
    """The parts of a standard module's name that may follow those written."""
    if not written:
        return
    before = ".".join(written) + "."
    after = [name.removeprefix(before).split(".") for name in standard_modules() if name.startswith(before)]
    for name in dict.fromkeys(folder for folder, *inside in after if inside):
        yield _item(name, types.CompletionItemKind.Folder, "standard library")
    for name in [module for module, *inside in after if not inside]:
        yield _item(name, types.CompletionItemKind.File, "standard module")


def _wants_response(place: _Place, at: int) -> bool:
    """Whether a name at this place of the statement is that of a response type."""
    before = place.tokens[at - 1].kind if at else ""
    return (
        before in ("FOR", "CASES", "REWARD", "MONOTONE", "OVERRIDE")
        or (place.first == "CATEGORY" and place.tokens[at - 1].text == "->")
        or (place.first == "REWARD" and not any(token.text == "{" for token in place.tokens))
    )


def _names(document: Document, scope: Scope, place: _Place, read: Reader) -> Iterator[types.CompletionItem]:
    """The names that may stand at the cursor."""
    tokens = place.tokens
    modules = [_item(name, types.CompletionItemKind.Module, "imported module") for name in scope.modules]
    if place.last() in ("JUDGE", "OVER"):
        for text, meaning in _TEXTS.items():
            yield _item(text, types.CompletionItemKind.Keyword, meaning)
    elif _wants_response(place, len(tokens)):
        yield from _entities(scope.names, (tree.Response,))
        yield from modules
    elif place.first == "USE":
        yield from _use(document, tokens, read)
    elif place.last() in ("PROP", "PARAM", "GROUP", "RESPONSE", "AS"):
        return  # a new name
    elif not tokens:
        yield from _entities(scope.own, (tree.Response,))
    elif _in_outcome(place):
        yield from _classes(_response_of(scope, place))
    elif place.first == "REWARD":
        yield from _classes(_response_of(scope, place))
        if place.last() != "MARGIN":
            yield from _entities(scope.names, (tree.Prop, tree.Variable))
            yield from modules
            yield _item("classes", types.CompletionItemKind.Keyword, "every class")
    elif place.first == "RESPONSE":
        body = next((at for at, token in enumerate(tokens) if token.text == "{" and tokens[at - 1].text != ">"), None)
        if body is not None and place.last() not in ("IF",) and not _in_formula(tokens):
            yield from _cascade_classes(tokens)
        else:
            yield from _formula_names(scope, place, modules)
    elif place.first == "MONOTONE" and place.last() == "NAME":
        yield _item("up", types.CompletionItemKind.Keyword, "being true never makes the class worse")
        yield _item("down", types.CompletionItemKind.Keyword, "being true never makes the class better")
    else:
        yield from _formula_names(scope, place, modules)
        if place.first == "PROPERTY":
            yield from _classes(_response_of(scope, place))


def _formula_names(scope: Scope, place: _Place, modules: list[types.CompletionItem]) -> Iterator[types.CompletionItem]:
    if place.tokens[-1].text in _RELATIONS:
        before = [token.text for token in place.tokens[-4:-1]]
        names = scope.modules.get(before[0], {}) if len(before) == 3 and before[1] == "." else scope.names
        entity = names.get(before[-1]) if before else None
        if entity is not None and isinstance(entity.declaration, tree.Variable):
            yield from _values(entity.declaration)
            if entity.declaration.kind == "choice":
                return
        yield from _entities(scope.names, (tree.Param,))
    elif (place.tokens[-1].text == "(" and place.last(2) in _QUANTIFIERS) or (
        place.tokens[-1].text == "," and place.last(2) == "NUMBER"
    ):
        yield from _entities(scope.names, (tree.Group,))
    else:
        wanted: tuple[type, ...]
        wanted = (
            (tree.Prop, tree.Variable, tree.Group)
            if place.first == "MONOTONE"
            else (tree.Prop, tree.Variable, tree.Assign)
        )
        wanted += (tree.Rubric,) if place.first == "REWARD" else ()
        yield from _entities(scope.names, wanted)
    yield from modules


def _values(declared: tree.Variable) -> Iterator[types.CompletionItem]:
    """The levels or options of a scale or a choice, with what they mean."""
    about = {
        item.value.text if isinstance(item.value, tree.Ident) else f"{item.value.value:g}": item.about.value
        for item in declared.items
        if isinstance(item, tree.ValueItem)
    }
    values = list(about)
    if declared.levels is not None:
        low, high = (int(level.value) for level in declared.levels)
        values = [str(level) for level in range(low, min(high, low + MAX_VALUES) + 1)]
    for value in values:
        yield _item(value, types.CompletionItemKind.EnumMember, about.get(value, ""))


def _use(document: Document, tokens: Sequence[Token], read: Reader) -> Iterator[types.CompletionItem]:
    """What a `use` may name: the standard library, then what the module exports."""
    if not any(token.text == "(" for token in tokens):
        if tokens[-1].kind == "USE":
            yield _item("std", types.CompletionItemKind.Module, "the standard library")
        return
    # The statement cannot be read yet; without its list it can.
    opening = next(token.start for token in tokens if token.text == "(")
    path, head = Path(document.root.key), document.source.text[tokens[0].start : opening]
    modules, _ = load(path, read=lambda other: head.encode("utf-8", "surrogatepass") if other == path else read(other))
    scopes, _ = build_scopes(modules)
    taken = {token.text for token in tokens}
    for _, key in modules[-1].imports:
        names = {name: entity for name, entity in scopes[key].names.items() if name not in taken}
        yield from _entities(names, tuple(_KINDS))


def _in_outcome(place: _Place) -> bool:
    """Behind `expect`, or behind the arrow of a case, alternatives included."""
    if place.first not in ("TEST", "CASES"):
        return False
    at = len(place.tokens) - 1
    while at > 1 and place.tokens[at].text == "|":
        at -= 2
    return place.tokens[at].kind == "EXPECT" or (place.first == "CASES" and place.tokens[at].text == "->")


def _response_of(scope: Scope, place: _Place) -> Entity | None:
    """The response type that the statement speaks of."""
    for at, token in enumerate(place.tokens[:-1]):
        if token.kind in ("FOR", "CASES", "REWARD"):
            names = [t.text for t in place.tokens[at + 1 : at + 4]]
            if names[1:2] == ["."]:
                return scope.modules.get(names[0], {}).get(names[2]) if len(names) > 2 else None
            return scope.names.get(names[0])
    return None


def _in_formula(tokens: Sequence[Token]) -> bool:
    return tokens[-1].text in ("&", "|", "!", "(", ",", "=>", "<=>", *_RELATIONS)


def _cascade_classes(tokens: Sequence[Token]) -> Iterator[types.CompletionItem]:
    """The classes between `ranks` and the body, which the statement itself declares."""
    at = next((n for n, token in enumerate(tokens) if token.kind == "RANKS"), len(tokens))
    depth = 0
    for token, before in zip(tokens[at + 1 :], tokens[at:], strict=False):
        if token.text == "{" and before.kind != "RANKS" and before.text != ">":
            return
        depth += (token.text == "{") - (token.text == "}")
        if token.kind == "NAME":
            yield _item(token.text, types.CompletionItemKind.EnumMember, "class")
