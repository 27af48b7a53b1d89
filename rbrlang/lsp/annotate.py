"""What does an editor draw into the text: colours, foldings, hints and lenses?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from lsprotocol import types

from rbrlang import codes
from rbrlang.highlight import Word, words
from rbrlang.lang import syntax as tree
from rbrlang.lang.meaning.scope import lookup
from rbrlang.lang.program import TextTest
from rbrlang.lsp.describe import entity_of, line_masses, masses, percent, probabilities
from rbrlang.lsp.names import Target
from rbrlang.lsp.positions import Positions
from rbrlang.lsp.workspace import Document
from rbrlang.source import Span

TOKEN_TYPES = (
    "comment", "string", "decorator", "keyword", "function", "operator", "number", "variable", "struct", "parameter",
    "enum", "enumMember", "namespace", "property",
)  # fmt: skip
TOKEN_MODIFIERS = ("declaration", "documentation", "defaultLibrary")
_OF_KIND = {
    "proposition": "variable", "derived proposition": "function", "group": "struct", "parameter": "parameter",
    "response type": "enum", "rubric": "struct",
}  # fmt: skip
_Fold = Callable[[int, int, types.FoldingRangeKind | None], Iterator[types.FoldingRange]]
_CHECKED = (codes.TEST_FAILED, codes.PROPERTY_VIOLATED, codes.NOT_MONOTONE)


# --- colours ----------------------------------------------------------------------------------


def semantic_tokens(document: Document, positions: Positions, within: tuple[int, int] | None = None) -> list[int]:
    """The words of a document in the protocol's encoding: five numbers a word, places relative to the word before.

    Kinds come from the table of `rbrlang.highlight`; names are told apart by what they stand for. A word over several
    lines is one token a line, which every client understands.
    """
    own = {(m.span.start, m.span.end): m for m in document.own}
    inside = [m.span for m in document.own if m.targets[0].kind == "column"]
    data: list[int] = []
    last = types.Position(0, 0)
    for word in words(document.source.text):
        if within is not None and (word.end <= within[0] or word.start >= within[1]):
            continue
        kind, modifiers = word.kind.semantic, 0
        if word.kind.name == "name":
            mention = own.get((word.start, word.end))
            kind = "" if mention is None else _type(document, mention.targets[0])
            if mention is not None:
                standard = any(m.key == mention.targets[0].file and m.standard for m in document.modules)
                modifiers = mention.declares | standard << 2
        elif word.kind.name == "doc comment":
            modifiers = 1 << 1
        if not kind:
            continue
        pieces = [(word.start, word.end, kind)]
        if word.kind.semantic == "string":
            pieces = list(_around([(s.start, s.end) for s in inside if word.start < s.start < word.end], word))
        for start, end, kind in (
            (a, b, kind) for first, last_, kind in pieces for a, b in _lines(document.source.text, first, last_)
        ):
            place, stop = positions.position(start), positions.position(end)
            line = place.line - last.line
            data += [
                line, place.character - (0 if line else last.character), stop.character - place.character,
                TOKEN_TYPES.index(kind), modifiers,
            ]  # fmt: skip
            last = place
    return data


def _around(columns: Sequence[tuple[int, int]], word: Word) -> Iterator[tuple[int, int, str]]:
    """A string cut where it names columns."""
    last = word.start
    for start, end in columns:
        yield last, start, "string"
        yield start, end, "property"
        last = end
    yield last, word.end, "string"


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """A stretch of text cut at its line ends, empty pieces left out."""
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        trimmed = stop - 1 if stop > start and text[stop - 1] == "\r" else stop
        if trimmed > start:
            yield start, trimmed
        start = stop + 1


def _type(document: Document, target: Target) -> str:
    if target.kind == "class":
        return "enumMember"
    if target.kind == "column":
        return "property"
    if target.kind == "entity":
        entity = entity_of(document, target)
        return "" if entity is None else _OF_KIND[entity.kind]
    return "namespace"


# --- foldings ---------------------------------------------------------------------------------


def foldings(document: Document, positions: Positions) -> Iterator[types.FoldingRange]:
    """Statements, examples and reasons over several lines; runs of comments; the imports."""
    module = document.root.module

    def lines(start: int, end: int, kind: types.FoldingRangeKind | None = None) -> Iterator[types.FoldingRange]:
        first, last = positions.position(start).line, positions.position(end).line
        if last > first:
            yield types.FoldingRange(first, last, kind=kind)

    for statement in module.statements:
        yield from lines(statement.span.start, statement.span.end)
        for item in statement.items if isinstance(statement, (tree.Prop, tree.Variable)) else ():
            yield from lines(item.span.start, item.span.end)
    text = document.source.text
    yield from _runs([c.span for c in module.comments], text, lines, types.FoldingRangeKind.Comment)
    uses = [s.span for s in module.statements if isinstance(s, tree.Use)]
    yield from _runs(uses, text, lines, types.FoldingRangeKind.Imports)


def _runs(spans: Sequence[Span], text: str, lines: _Fold, kind: types.FoldingRangeKind) -> Iterator[types.FoldingRange]:
    start = 0
    for at, (before, after) in enumerate(pairwise([*spans, None]), 1):
        assert before is not None
        between = "" if after is None else re.sub("#.*", "", text[before.end : after.start])
        if after is None or between.strip() or between.count("\n") > 1:
            if at - start > 1:
                yield from lines(spans[start].start, before.end, kind)
            start = at


# --- hints ------------------------------------------------------------------------------------


def hints(document: Document, positions: Positions, start: int, end: int) -> Iterator[types.InlayHint]:
    """How probable each class, line of a cascade and derived proposition is under the priors, behind its name there."""
    scope = document.scopes[document.root.key]
    shown = [s for s in document.root.module.statements if s.span.end >= start and s.span.start <= end]
    derived = [s for s in shown if isinstance(s, tree.Assign) and not s.every and len(s.target.parts) == 1]
    entities = [entity for s in derived if (entity := scope.own.get(s.target.text)) is not None]
    values = dict(zip((entity.name for entity in entities), probabilities(document, entities), strict=True))
    for statement in shown:
        match statement:
            case tree.Assign() if not statement.every and len(statement.target.parts) == 1:
                value = values.get(statement.target.text)
                if value is not None:
                    yield _hint(positions, statement.target.span.end, value)
            case tree.Assign() | tree.Override() if len(statement.target.parts) > 1:
                parts = statement.target.parts
                owner = lookup(scope, tree.Path(parts[:-1], parts[0].span.to(parts[-2].span)))
                found = {} if owner is None else masses(document, owner)
                if parts[-1].text in found:
                    yield _hint(positions, parts[-1].span.end, found[parts[-1].text])
            case tree.Response() if statement.cascade:
                entity = scope.own.get(statement.names[0].text)
                taken = {} if entity is None else line_masses(document, entity)
                for span in (line.name.span for line in statement.cascade if line.name.span in taken):
                    yield _hint(positions, span.end, taken[span], "what this line takes of all completions: ")
            case _:
                pass


def _hint(positions: Positions, offset: int, mass: float, what: str = "") -> types.InlayHint:
    return types.InlayHint(
        positions.position(offset),
        percent(mass),
        padding_left=True,
        tooltip=f"{what}probability under the priors, given the axioms",
    )


# --- lenses -----------------------------------------------------------------------------------


def lenses(document: Document, positions: Positions, uri: str) -> Iterator[types.CodeLens]:
    """What each test says, to be run again by a click; the witness of each finding that has one."""
    for statement in document.root.module.statements:
        if isinstance(statement, (tree.Test, tree.Cases, tree.PropertyDecl, tree.MonotoneDecl)):
            span = statement.span
            title, _ = verdict(document, statement)
            yield types.CodeLens(
                positions.range(span.start, span.start),
                types.Command(title, "rbr.runTest", arguments=[uri, span.start]),
            )
    for diagnostic in document.checked.diagnostics:
        if diagnostic.witness is not None and diagnostic.span.source is document.source:
            place = positions.range(diagnostic.span.start, diagnostic.span.start)
            yield types.CodeLens(
                place,
                types.Command(
                    "show witness", "rbr.showWitness", arguments=[uri, diagnostic.span.start, diagnostic.code.id]
                ),
            )


def verdict(
    document: Document, statement: tree.Test | tree.Cases | tree.PropertyDecl | tree.MonotoneDecl
) -> tuple[str, str]:
    """What became of a test, in a word and in a sentence. Truth tests ran with the check; a test on text needs a grader."""
    span = statement.span
    failed = [d for d in document.checked.diagnostics if d.severity == "error" and _within(d.span, span)]
    program = document.checked.program
    known = [*program.tests, *program.properties, *program.monotones]
    ran = [item for item in known if _within(item.span, span)]
    if any(d.code in _CHECKED for d in failed):
        return "✗ fails", "; ".join(d.message for d in failed)
    if failed or not ran or document.checked.compiled.responses[ran[0].response] is None:
        return "cannot run", failed[0].message if failed else "mend the errors that it depends on"
    if isinstance(ran[0], TextTest):
        return "needs a grader", f"run `rbrc test {document.source.name} --grader …`"
    return "✓ holds", f"{len(ran)} checked" if len(ran) > 1 else "checked"


def statement_at(document: Document, offset: int) -> tree.Statement | None:
    """The statement that begins at an offset."""
    return next((s for s in document.root.module.statements if s.span.start == offset), None)


def _within(inner: Span, outer: Span) -> bool:
    return inner.source is outer.source and outer.start <= inner.start and inner.end <= outer.end
