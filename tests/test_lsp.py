"""The language server over its real pipes, asked by another implementation's client."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from lsp_editor import Editor, applied, at
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from rbrlang.lsp.annotate import TOKEN_TYPES
from rbrlang.policy import check, check_text

SHARED = """\
## Says sorry.
@prior(0.2)
prop sorry "Response says sorry."
prop rude "Response is rude."
response refuse ranks good > poor
refuse.good := sorry & !rude
refuse.poor := otherwise
"""
MAIN = """\
use "shared.rbr" (sorry, rude)   # 🙂 an import
use "shared.rbr" as shared

param most = 60
prop helps "Response helps. 🙂🙂"  # 🙂
axiom helps => !sorry
group bad = { rude, sorry }
curt := sorry & words > most
response answer, reply ranks ideal > {fair, plain} > awful {
  awful if any(bad) & !helps
  ideal if helps & !rude & !curt
  fair  if helps & shared.rude
  plain otherwise
}
category "C" -> answer
category "D" -> reply
category "E" -> shared.refuse
test "🙂 helps" for answer {
  given helps
  expect ideal
}
cases reply {
  rude -> awful
  helps -> ideal | fair
}
property "p" for answer: ideal => helps
"""


@pytest.fixture(scope="module")
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    folder = tmp_path_factory.mktemp("workspace").resolve()
    (folder / "shared.rbr").write_text(SHARED, encoding="utf-8")
    (folder / "main.rbr").write_text(MAIN, encoding="utf-8")
    editor = Editor(folder)
    yield editor
    assert editor.leave() == 0


@pytest.fixture
def opened(editor: Editor) -> Iterator[Editor]:
    assert [d.message for d in editor.open("main.rbr") if d.severity == types.DiagnosticSeverity.Error] == []
    yield editor
    editor.close_file("main.rbr")


def _at(editor: Editor, marked: str, nth: int = 0) -> tuple[types.TextDocumentIdentifier, types.Position]:
    return editor.id("main.rbr"), at(MAIN, marked, nth)


def _spots(found: list[types.Location]) -> list[tuple[str, int, int]]:
    return sorted((Path(x.uri).name, x.range.start.line, x.range.start.character) for x in found)


def test_findings_follow_the_typing_and_survive_what_cannot_be_read(opened: Editor) -> None:
    clean = opened.findings[opened.uri("main.rbr")]
    found = opened.edit("main.rbr", MAIN.replace("prop helps", "porp helps"))
    assert any(d.code == "RBR1001" for d in found)
    found = opened.edit("main.rbr", MAIN.replace("fair  if", "ideel if"))
    unknown = next(d for d in found if d.code == "RBR2009")
    assert unknown.range.start == at(MAIN, "fair  if")
    assert unknown.source == "rbrc"
    assert opened.edit("main.rbr", MAIN) == clean


def test_what_is_found_is_what_check_finds(opened: Editor) -> None:
    text = MAIN.replace("expect ideal", "expect awful")
    found = opened.edit("main.rbr", text)
    expected = check_text(text, name=str(opened.folder / "main.rbr")).diagnostics
    own = [d for d in expected if d.span.source.text == text]
    assert sorted(str(d.code) for d in found) == sorted(d.code.id for d in own)
    assert any(d.code == "RBR3006" for d in found)


def test_columns_are_counted_in_utf16(opened: Editor) -> None:
    text = MAIN + 'test "🙂🙂" for answer { given nobody expect ideal }\n'
    [unknown] = [d for d in opened.edit("main.rbr", text) if d.code == "RBR2001"]
    assert unknown.range == types.Range(at(text, "nobody"), at(text, " expect ideal }", 0))
    assert unknown.range.start.character == len('test "🙂🙂" for answer { given ') + 2


@pytest.mark.parametrize(("encoding", "units"), [("utf-8", 8), ("utf-32", 2)])
def test_a_client_may_choose_how_columns_are_counted(tmp_path: Path, encoding: str, units: int) -> None:
    editor = Editor(tmp_path.resolve(), [encoding])
    assert editor.capabilities.position_encoding == encoding
    found = editor.open("x.rbr", 'prop a "🙂🙂" }')
    assert [d.range.start.character for d in found if d.code == "RBR1005"] == [len('prop a "" ') + units]
    assert editor.leave() == 0


def test_an_unsaved_import_counts_for_the_files_that_import_it(opened: Editor) -> None:
    opened.open("shared.rbr")
    found = opened.edit("shared.rbr", SHARED.replace("rude", "gruff"), awaited="main.rbr")
    assert any(d.code == "RBR2001" and "rude" in d.message for d in found)
    opened.close_file("shared.rbr")
    assert not any(d.code == "RBR2001" for d in opened.edit("main.rbr", MAIN))


def test_mistakes_in_an_import_show_in_its_own_file_and_go_with_the_last_importer(editor: Editor) -> None:
    (editor.folder / "broken.rbr").write_text('prop a "A."\naxiom a => b\n', encoding="utf-8")
    editor.open("main.rbr", 'use "broken.rbr" (a)\n')
    assert [d.code for d in editor.findings[editor.uri("broken.rbr")]] == ["RBR2001"]
    editor.close_file("main.rbr")
    assert editor.findings[editor.uri("broken.rbr")] == []
    (editor.folder / "broken.rbr").unlink()


@pytest.mark.parametrize(
    ("marked", "nth", "parts"),
    [
        ("sorry", 0, ["proposition **sorry**", "Response says sorry.", "Says sorry.", "(prior 0.2)"]),
        ("curt", 0, ["derived proposition **curt**", "sorry & words > most", "%"]),
        ("most", 1, ["parameter **most** = 60"]),
        ("bad", 1, ["group **bad**: `rude`, `sorry`"]),
        ("answer", 0, ["response type **answer**", "`fair`", "%"]),
        ("fair  if", 0, ["class **answer.fair** · rank: 2 of 3, with `plain`", "helps & shared.rude", "%"]),
        ("shared", 2, ["module **shared**"]),
        ('"shared.rbr"', 1, ["declares `refuse`, `rude`, `sorry`"]),
    ],
)
def test_hover(opened: Editor, marked: str, nth: int, parts: list[str]) -> None:
    page = opened.ask("text_document_hover", types.HoverParams(*_at(opened, marked, nth)))
    assert [part for part in parts if part not in page.contents.value] == []


def test_hover_says_which_text_a_proposition_is_judged_over(opened: Editor) -> None:
    text = MAIN + 'judge assistant\nprop plots "Plots." { over thought }\n'
    opened.edit("main.rbr", text)
    for name, said in (("plots", "judged over: `thought`"), ("helps", "judged over: `assistant`")):
        page = opened.ask("text_document_hover", types.HoverParams(opened.id("main.rbr"), at(text, name)))
        assert said in page.contents.value
    opened.edit("main.rbr", MAIN)
    page = opened.ask("text_document_hover", types.HoverParams(*_at(opened, "helps")))
    assert "judged over" not in page.contents.value, "the final text needs no word"


def test_hover_knows_what_the_axioms_decide(opened: Editor) -> None:
    text = MAIN + "axiom !rude\nwild := rude & helps\n"
    opened.edit("main.rbr", text)
    page = opened.ask("text_document_hover", types.HoverParams(opened.id("main.rbr"), at(text, "wild")))
    assert "never true" in page.contents.value
    opened.edit("main.rbr", MAIN)


def test_definition_leads_across_files(opened: Editor) -> None:
    def go(marked: str, nth: int) -> list[tuple[str, int, int]]:
        return _spots(opened.ask("text_document_definition", types.DefinitionParams(*_at(opened, marked, nth))))

    assert go("rude -> awful", 0) == [("shared.rbr", 3, 5)]
    assert go("helps\n  expect", 0) == [("main.rbr", 4, 5)]
    assert go('"shared.rbr"', 0) == [("shared.rbr", 0, 0)]
    assert go("ideal | fair", 0) == [("main.rbr", 8, 29)]
    assert go("shared.rude", 0) == [("main.rbr", 1, 20)]
    assert go("any(", 0) == []


def test_references_are_those_of_the_whole_workspace(opened: Editor) -> None:
    params = types.ReferenceParams(types.ReferenceContext(True), *_at(opened, "rude"))
    found = opened.ask("text_document_references", params)
    texts = {"main.rbr": MAIN.split("\n"), "shared.rbr": SHARED.split("\n")}
    for location in found:
        line = texts[Path(location.uri).name][location.range.start.line].encode("utf-16-le")
        here = line[2 * location.range.start.character : 2 * location.range.end.character].decode("utf-16-le")
        assert here == "rude"
    assert len(found) == MAIN.count("rude") + SHARED.count("rude ") + SHARED.count("rude\n")
    params = types.ReferenceParams(types.ReferenceContext(False), *_at(opened, "rude"))
    assert len(opened.ask("text_document_references", params)) == len(found) - 1


def test_highlights_are_those_of_the_file(opened: Editor) -> None:
    found = opened.ask("text_document_document_highlight", types.DocumentHighlightParams(*_at(opened, "helps")))
    assert len(found) == MAIN.count("helps") - 2  # two stand in texts
    assert sum(h.kind == types.DocumentHighlightKind.Write for h in found) == 1


@pytest.mark.parametrize(
    ("marked", "nth", "name"),
    [("rude", 0, "gruff"), ("ideal", 0, "best"), ("answer", 0, "respond"), ("shared", 2, "common"), ("bad", 0, "evil")],
)
def test_rename_keeps_the_policy_what_it_was(opened: Editor, tmp_path: Path, marked: str, nth: int, name: str) -> None:
    edit = opened.ask("text_document_rename", types.RenameParams(*_at(opened, marked, nth), name))
    files = {"main.rbr": MAIN, "shared.rbr": SHARED}
    before = check(opened.folder / "main.rbr")
    for file, text in files.items():
        changed = applied(text, edit.changes.get(opened.uri(file), []))
        (tmp_path / file).write_text(changed, encoding="utf-8")
    after = check(tmp_path / "main.rbr")
    assert after.ok
    assert [d.code for d in after.diagnostics] == [d.code for d in before.diagnostics]
    assert name in (tmp_path / "main.rbr").read_text(encoding="utf-8")
    back = [(r.name, r.masses, r.atoms) for r in before.audit.responses]
    assert [(r.name.replace("respond", "answer"), r.masses, r.atoms) for r in after.audit.responses] == back


@pytest.mark.parametrize(
    ("marked", "nth", "name", "reason"),
    [
        ("rude", 0, "helps", "`helps` is a proposition already"),
        ("rude", 0, "Rude", "is not a name"),
        ("rude", 0, "prop", "is a word of the language"),
        ("helps", 0, "ideal", "is a class of `answer` already"),
        ("ideal", 0, "fair", "has a class `fair` already"),
        ('"shared.rbr"', 0, "other", "file browser"),
        ("any(", 0, "some", "no name here"),
    ],
)
def test_a_rename_that_would_change_the_meaning_is_refused(
    opened: Editor, marked: str, nth: int, name: str, reason: str
) -> None:
    with pytest.raises(JsonRpcException, match=reason):
        opened.ask("text_document_rename", types.RenameParams(*_at(opened, marked, nth), name))


def test_a_rename_is_refused_while_a_statement_cannot_be_read(opened: Editor) -> None:
    opened.edit("main.rbr", MAIN + "axiom rude => => helps\n")
    with pytest.raises(JsonRpcException, match="cannot be read"):
        opened.ask("text_document_rename", types.RenameParams(*_at(opened, "rude"), "gruff"))


def test_the_standard_library_is_not_renamed(editor: Editor) -> None:
    text = "use std.safety.refusals (apology)\naxiom apology\n"
    editor.open("main.rbr", text)
    place = types.PrepareRenameParams(editor.id("main.rbr"), at(text, "apology"))
    with pytest.raises(JsonRpcException, match="outside this workspace"):
        editor.ask("text_document_prepare_rename", place)
    editor.close_file("main.rbr")


@pytest.mark.parametrize(
    ("addition", "wanted", "unwanted"),
    [
        ("axiom ^", {"helps", "curt", "any", "matches", "shared"}, {"bad", "most", "answer", "prop", "ideal"}),
        ("^", {"prop", "test", "answer", "reply"}, {"helps", "ask"}),
        ("pr^", {"prop"}, {"helps"}),
        ("@^", {"prior", "noise", "cost"}, {"helps", "prop"}),
        ("answer.^", {"ideal", "fair", "plain", "awful"}, {"helps"}),
        ("axiom shared.^", {"rude", "sorry"}, {"helps"}),
        ('category "X" -> ^', {"answer", "reply", "shared"}, {"helps"}),
        ('category "X" -> shared.^', {"refuse"}, {"rude"}),
        ("x := any(^", {"bad"}, {"helps"}),
        ("x := words > ^", {"most"}, {"helps"}),
        ('test "t" for ^', {"answer"}, {"helps"}),
        ('test "t" for answer { given ^', {"helps", "true"}, {"ideal"}),
        ('test "t" for answer { expect ^', {"ideal", "awful"}, {"helps"}),
        ('test "t" for answer {\n  ^', {"given", "expect", "prompt"}, {"helps", "prop"}),
        ("cases answer {\n  helps -> ^", {"ideal"}, {"helps"}),
        ("reward answer { margin ^", {"ideal"}, {"helps"}),
        ("reward answer { weight ^", {"ideal", "helps"}, set()),
        ("monotone answer: helps ^", {"up", "down"}, {"rude"}),
        ("judge ^", {"final", "assistant", "trajectory", "thought"}, {"helps"}),
        ("x := words over ^", {"final", "thought"}, {"helps"}),
        ('prop z "Z." { over ^', {"final", "thought"}, {"helps"}),
        ('use "shared.rbr" (^)', {"rude", "sorry", "refuse"}, {"helps"}),
        ("use ^", {"std"}, {"helps"}),
        ("use std.^", {"safety", "style"}, {"helps"}),
        ("use std.safety.^", {"refusals"}, {"safety"}),
        ("prop ^", set(), {"helps", "prop"}),
        ('prop z "^', set(), {"helps", "prop"}),
        ("# ^", set(), {"helps", "prop"}),
    ],
)
def test_completion_offers_what_fits_the_place(
    opened: Editor, addition: str, wanted: set[str], unwanted: set[str]
) -> None:
    text = MAIN + addition
    opened.edit("main.rbr", text.replace("^", ""))
    params = types.CompletionParams(opened.id("main.rbr"), at(text, "^"))
    labels = {item.label for item in opened.ask("text_document_completion", params).items}
    assert wanted - labels == set()
    assert unwanted & labels == set()


def test_formatting_is_what_fmt_writes(opened: Editor) -> None:
    untidy = MAIN.replace("  awful if", "awful    if").replace("param most = 60", "param   most=60")
    opened.edit("main.rbr", untidy)
    params = types.DocumentFormattingParams(opened.id("main.rbr"), types.FormattingOptions(4, True))
    edits = opened.ask("text_document_formatting", params)
    arguments = [sys.executable, "-m", "rbrlang.cli", "fmt", "-"]
    formatted = subprocess.run(arguments, input=untidy.encode(), capture_output=True, check=True).stdout.decode()
    assert applied(untidy, edits) == formatted
    opened.edit("main.rbr", formatted)
    assert opened.ask("text_document_formatting", params) == ()
    opened.edit("main.rbr", "prop prop prop")
    assert opened.ask("text_document_formatting", params) is None


def test_fixes_are_offered_and_mend_the_text(opened: Editor) -> None:
    text = MAIN + "mixed := helps & !rude | sorry\nother := helps and rude\n"
    opened.edit("main.rbr", text)

    def offered(only: list[types.CodeActionKind | str] | None, marked: str) -> list[types.CodeAction]:
        place = types.Range(at(text, marked), at(text, marked))
        return opened.ask(
            "text_document_code_action",
            types.CodeActionParams(opened.id("main.rbr"), place, types.CodeActionContext([], only)),
        )

    [quick] = offered([types.CodeActionKind.QuickFix], "| sorry")
    assert quick.diagnostics is not None
    assert quick.diagnostics[0].code == "RBR1006"
    assert quick.edit is not None
    assert quick.edit.changes is not None
    assert "(helps & !rude) | sorry" in applied(text, quick.edit.changes[opened.uri("main.rbr")])
    [everything] = offered([types.CodeActionKind.Source], "param")
    assert everything.edit is not None
    assert everything.edit.changes is not None
    mended = applied(text, everything.edit.changes[opened.uri("main.rbr")])
    assert "other := helps & rude" in mended
    assert "(helps & !rude) | sorry" in mended
    assert [a.kind for a in offered(None, "param")] == [types.CodeActionKind.SourceFixAll]


def test_symbols(opened: Editor) -> None:
    found = opened.ask("text_document_document_symbol", types.DocumentSymbolParams(opened.id("main.rbr")))
    names = [s.name for s in found]
    assert names == ["most", "helps", "bad", "curt", "answer, reply", "🙂 helps", "cases reply", "p"]
    assert [c.name for c in found[4].children] == ["ideal", "fair", "plain", "awful"]
    everywhere = opened.ask("workspace_symbol", types.WorkspaceSymbolParams("sry"))
    assert [(s.name, Path(s.location.uri).name) for s in everywhere] == [("sorry", "shared.rbr")]


def test_semantic_tokens_name_what_each_word_is(opened: Editor) -> None:
    data = opened.ask("text_document_semantic_tokens_full", types.SemanticTokensParams(opened.id("main.rbr"))).data
    lines = MAIN.split("\n")
    words: dict[str, set[str]] = {}
    line = column = 0
    for at_ in range(0, len(data), 5):
        down, right, length, kind, _ = data[at_ : at_ + 5]
        line, column = line + down, right + (0 if down else column)
        word = lines[line].encode("utf-16-le")[2 * column : 2 * (column + length)].decode("utf-16-le")
        words.setdefault(word, set()).add(TOKEN_TYPES[kind])
    assert words["helps"] == {"variable"}
    assert words["curt"] == {"function"}
    assert words["ideal"] == {"enumMember"}
    assert words["most"] == {"parameter"}
    assert words["answer"] == {"enum"}
    assert words["shared"] == {"namespace"}
    assert words["any"] == {"function"}
    assert words['"🙂 helps"'] == {"string"}
    assert words["# 🙂"] == {"comment"}


def test_foldings_and_hints(opened: Editor) -> None:
    folds = opened.ask("text_document_folding_range", types.FoldingRangeParams(opened.id("main.rbr")))
    starts = {MAIN.split("\n")[f.start_line].split(" ")[0] for f in folds}
    assert starts == {"use", "response", "test", "cases"}
    whole = types.Range(types.Position(0, 0), types.Position(99, 0))
    hints = opened.ask("text_document_inlay_hint", types.InlayHintParams(opened.id("main.rbr"), whole))
    lines = MAIN.split("\n")
    shown = {lines[h.position.line].encode("utf-16-le")[: 2 * h.position.character].decode("utf-16-le") for h in hints}
    assert {s.strip() for s in shown} == {"curt", "awful", "ideal", "fair", "plain"}
    masses = [float(h.label.removesuffix(" %")) for h in hints if h.position.line > 8]
    assert sum(masses) == pytest.approx(100, abs=0.2)
    assert all(
        (a.position.line, a.position.character) < (b.position.line, b.position.character) for a, b in pairwise(hints)
    )


def test_each_line_of_a_cascade_says_what_it_takes(editor: Editor) -> None:
    text = """\
@prior(0.5)
prop a "A."
@prior(0.2)
prop b "B."
@prior(0.5)
prop c "C."
axiom a => !c
response r ranks good > bad {
  bad  if b
  good if a | b
  bad  if c
  good otherwise
}
"""
    editor.open("lines.rbr", text)
    whole = types.Range(types.Position(0, 0), types.Position(99, 0))
    hints = editor.ask("text_document_inlay_hint", types.InlayHintParams(editor.id("lines.rbr"), whole))
    # Of a and c, one, the other or neither: a third each. b leaves 0.8 of all to the lines below it.
    assert [(h.position.line, h.label) for h in hints] == [
        (8, "20 %"), (9, "26.7 %"), (10, "26.7 %"), (11, "26.7 %"),
    ]  # fmt: skip
    assert all("what this line takes" in h.tooltip for h in hints)
    shorter = text.replace("  bad  if c\n", "  bad  if gone\n")  # a line that cannot be understood has no share
    editor.edit("lines.rbr", shorter)
    hints = editor.ask("text_document_inlay_hint", types.InlayHintParams(editor.id("lines.rbr"), whole)) or []
    assert 10 not in [h.position.line for h in hints]
    editor.close_file("lines.rbr")


def test_lenses_say_what_the_tests_say_and_run_them(opened: Editor) -> None:
    text = MAIN.replace("expect ideal", "expect awful") + (
        'test "text" for answer {\n  prompt "Hi."\n  completion "Hello."\n  expect ideal\n}\n'
    )
    opened.edit("main.rbr", text)
    lenses = opened.ask("text_document_code_lens", types.CodeLensParams(opened.id("main.rbr")))
    tests = [lens.command for lens in lenses if lens.command.command == "rbr.runTest"]
    assert [c.title for c in tests] == ["✗ fails", "✓ holds", "✓ holds", "needs a grader"]
    failed = types.ExecuteCommandParams(tests[0].command, tests[0].arguments)
    said = opened.ask("workspace_execute_command", failed)
    assert "helps" in said
    assert said in opened.messages
    gone = types.ExecuteCommandParams("rbr.runTest", [opened.uri("main.rbr"), 3])
    with pytest.raises(JsonRpcException, match="text has changed"):
        opened.ask("workspace_execute_command", gone)


def test_a_finding_shows_its_witness(opened: Editor) -> None:
    text = MAIN.replace("  plain otherwise", "  plain if helps")
    found = opened.edit("main.rbr", text)
    assert any("witness: " in d.message for d in found)
    lenses = opened.ask("text_document_code_lens", types.CodeLensParams(opened.id("main.rbr")))
    shown = next(lens.command for lens in lenses if lens.command.command == "rbr.showWitness")
    said = opened.ask("workspace_execute_command", types.ExecuteCommandParams(shown.command, shown.arguments))
    assert "!helps" in said


def within(text: str, place: types.Range) -> bool:
    """Whether a range begins no later than it ends, and both in the text, columns in UTF-16."""
    widths = [len(line.encode("utf-16-le", "surrogatepass")) // 2 for line in re.split("\r\n|\r|\n", text)]
    ends = [(p.line, p.character) for p in (place.start, place.end)]
    return ends == sorted(ends) and all(line < len(widths) and 0 <= at <= widths[line] for line, at in ends)


ODD = ["\ud800", '"""', "prop", "use", "a.", "@", "\x00", "é 🙂", "axiom (" * 600, "prop a\r\n\r\nprop é🙂 &"]


@pytest.mark.parametrize("text", ["", "\n", *ODD])
def test_any_text_gets_an_answer(editor: Editor, text: str) -> None:
    editor.open("odd.rbr", "")
    found = editor.edit("odd.rbr", text)
    assert editor.judged[editor.uri("odd.rbr")] == 2
    assert any(d.severity is types.DiagnosticSeverity.Error for d in found) == (text in ODD), found
    assert all(within(text, d.range) and d.message and d.code for d in found), found
    last = re.split("\r\n|\r|\n", text)
    here = types.Position(len(last) - 1, len(last[-1].encode("utf-16-le", "surrogatepass")) // 2)
    item = editor.id("odd.rbr")
    whole = types.Range(types.Position(0, 0), types.Position(9, 9))
    offered = editor.ask("text_document_completion", types.CompletionParams(item, here))
    assert all(one.label for one in (offered if isinstance(offered, list) else offered.items))
    hover = editor.ask("text_document_hover", types.HoverParams(item, here))
    assert hover is None or hover.contents
    symbols = editor.ask("text_document_document_symbol", types.DocumentSymbolParams(item)) or []
    assert all(within(text, symbol.range) for symbol in symbols)
    coloured = editor.ask("text_document_semantic_tokens_full", types.SemanticTokensParams(item))
    assert coloured is not None
    assert len(coloured.data) % 5 == 0
    hints = editor.ask("text_document_inlay_hint", types.InlayHintParams(item, whole)) or []
    assert all(within(text, types.Range(hint.position, hint.position)) for hint in hints)
    params = types.CodeActionParams(item, whole, types.CodeActionContext(found))
    assert all(action.title for action in editor.ask("text_document_code_action", params) or [])
    assert editor.close_file("odd.rbr") == []


def test_the_server_never_loads_arrays() -> None:
    code = (
        "import sys, rbrlang.lsp.server as s; s.make_server(); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'numpy', 'jax', 'optax', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_files_may_have_any_name_and_links_are_one_file(editor: Editor) -> None:
    folder = editor.folder / "a folder with % and é 🙂"
    folder.mkdir()
    (folder / "child.rbr").write_text('prop a "A."\n', encoding="utf-8")
    root = folder / "root.rbr"
    root.write_text('use "child.rbr" (a)\naxiom a\n', encoding="utf-8")
    name = str(root.relative_to(editor.folder))
    assert not any(d.severity == types.DiagnosticSeverity.Error for d in editor.open(name))
    params = types.DefinitionParams(editor.id(name), types.Position(1, 6))
    [found] = editor.ask("text_document_definition", params)
    assert found.uri == (folder / "child.rbr").as_uri()
    renamed = editor.ask("text_document_rename", types.RenameParams(editor.id(name), types.Position(1, 6), "b"))
    assert set(renamed.changes) == {root.as_uri(), (folder / "child.rbr").as_uri()}
    editor.close_file(name)
    for file in (root, folder / "child.rbr"):
        file.unlink()
    folder.rmdir()
