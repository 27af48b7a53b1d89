"""Columns in an editor: completion inside braces, hover, definition, references, rename, colours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lsp_editor import Editor, applied, at
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from rbrlang.lsp.annotate import TOKEN_TYPES

SHARED = """\
## The gold answer.
column reference "The expected answer."
prop same "Response has the tone of {reference}."
"""
MAIN = """\
use "shared.rbr" (same)
column source "A page."
prop correct "Response agrees with {reference} of {source}, \\{reference}." {
  ask \"\"\"
    Is it like {reference}?
    \"\"\"
}
response answer ranks good > poor
answer.good := correct & same
answer.poor := otherwise
test "t" for answer { completion "x" column reference "y" column source "z" expect good }
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("columns").resolve()
    (folder / "shared.rbr").write_text(SHARED, encoding="utf-8")
    (folder / "main.rbr").write_text(MAIN, encoding="utf-8")
    (folder / "other.rbr").write_text(
        'column reference "Another policy\'s."\nprop b "B {reference}."\n', encoding="utf-8"
    )
    editor = Editor(folder)
    yield editor
    assert editor.leave() == 0


@pytest.fixture
def opened(editor: Editor) -> Iterator[Editor]:
    assert editor.open("main.rbr") == []
    yield editor
    editor.close_file("main.rbr")


def _place(editor: Editor, marked: str, nth: int = 0) -> tuple[types.TextDocumentIdentifier, types.Position]:
    place = at(MAIN, marked, nth)
    return editor.id("main.rbr"), types.Position(place.line, place.character + 1)


def test_hover_and_definition_inside_a_question(opened: Editor) -> None:
    hover = opened.ask("text_document_hover", types.HoverParams(*_place(opened, "{reference")))
    said = hover.contents.value
    assert all(
        part in said for part in ("column **reference**", "The expected answer.", "`correct`", "The gold answer.")
    )
    for marked in ("{reference", "{reference}?", "column reference"):
        document, place = _place(opened, marked)
        place = types.Position(place.line, place.character + (8 if marked.startswith("column") else 0))
        (found,) = opened.ask("text_document_definition", types.DefinitionParams(document, place))
        assert Path(found.uri).name == "shared.rbr"
        assert found.range.start == types.Position(1, 7)


def test_references_and_rename_reach_all_files_of_the_policy_and_no_other(opened: Editor) -> None:
    document, place = _place(opened, "{reference")
    params = types.ReferenceParams(types.ReferenceContext(True), document, place)
    found = opened.ask("text_document_references", params)
    assert sorted(Path(one.uri).name for one in found) == ["main.rbr"] * 3 + ["shared.rbr"] * 2
    edit = opened.ask("text_document_rename", types.RenameParams(document, place, "gold"))
    changed = {Path(uri).name: applied({"main.rbr": MAIN, "shared.rbr": SHARED}[Path(uri).name], edits)
               for uri, edits in edit.changes.items()}  # fmt: skip
    assert changed["main.rbr"] == (
        MAIN.replace("{reference}", "{gold}")
        .replace("column reference", "column gold")
        .replace("\\{gold}", "\\{reference}")
    )
    assert changed["shared.rbr"] == SHARED.replace("reference", "gold")


@pytest.mark.parametrize(
    ("name", "reason"), [("source", "a column already"), ("labels", "a meaning of its own"), ("test", "word")]
)
def test_a_rename_that_would_change_what_is_read_is_refused(opened: Editor, name: str, reason: str) -> None:
    with pytest.raises(JsonRpcException, match=reason):
        opened.ask("text_document_rename", types.RenameParams(*_place(opened, "{reference"), name))


@pytest.mark.parametrize(
    ("addition", "wanted", "unwanted"),
    [
        ('prop z "Is {^', {"reference", "source"}, {"correct"}),
        ('prop z "Is {so^}', {"reference", "source"}, {"correct"}),
        ('prop z "Z." { ask """\n  Is {^', {"reference", "source"}, {"correct"}),
        ('prop z "Is \\{^', set(), {"reference"}),
        ('test "{^', set(), {"reference"}),
        ('test "t" for answer { completion "x" column ^', {"reference", "source"}, {"correct", "expect"}),
        ('test "t" for answer { ^', {"given", "column"}, {"correct"}),
        ("^", {"prop", "column", "answer"}, {"reference"}),
        ("column ^", set(), {"correct", "reference"}),
    ],
)
def test_completion_offers_columns_where_they_fit(
    opened: Editor, addition: str, wanted: set[str], unwanted: set[str]
) -> None:
    text = MAIN + addition
    opened.edit("main.rbr", text.replace("^", ""))
    params = types.CompletionParams(opened.id("main.rbr"), at(text, "^"))
    labels = {one.label for one in opened.ask("text_document_completion", params).items}
    assert wanted - labels == set()
    assert unwanted & labels == set()


def test_columns_have_a_colour_of_their_own_inside_strings(opened: Editor) -> None:
    data = opened.ask("text_document_semantic_tokens_full", types.SemanticTokensParams(opened.id("main.rbr"))).data
    lines = MAIN.split("\n")
    line = character = 0
    coloured: list[tuple[str, str]] = []
    for at_, (down, right, length, kind, _) in enumerate(zip(*[iter(data)] * 5, strict=True)):
        line, character = line + down, right if down or not at_ else character + right
        coloured.append((lines[line][character : character + length], TOKEN_TYPES[kind]))
    assert [text for text, kind in coloured if kind == "property"] == [
        "source", "reference", "source", "reference", "reference", "source"
    ]  # fmt: skip
    assert [kind for text, kind in coloured if text == "column"] == ["keyword"] * 3
    assert "".join(text for text, _ in coloured).replace(" ", "") != ""


def test_symbols_and_folding_know_columns(opened: Editor) -> None:
    symbols = opened.ask("text_document_document_symbol", types.DocumentSymbolParams(opened.id("main.rbr")))
    assert ("source", types.SymbolKind.Field) in [(one.name, one.kind) for one in symbols]
