"""What is wrong, and what may the editor change about it?"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

from lsprotocol import types

from rbrlang import codes
from rbrlang.budget import Budget
from rbrlang.checking import Checked, check
from rbrlang.diagnostics import Diagnostic, Fix, PolicyError, chosen
from rbrlang.lang.printing.format import formatted
from rbrlang.lsp.describe import percent
from rbrlang.lsp.positions import Positions
from rbrlang.lsp.workspace import Document, View, Workspace
from rbrlang.mend import mend
from rbrlang.source import Source

_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
    "note": types.DiagnosticSeverity.Information,
}
_NEEDLESS = frozenset({
    codes.UNUSED_PROPOSITION, codes.UNUSED_DEFINITION, codes.UNUSED_IMPORT, codes.UNUSED_ALLOW, codes.UNREACHABLE_LINE, codes.REDUNDANT,
})  # fmt: skip


def shown(workspace: Workspace, view: View, diagnostic: Diagnostic) -> types.Diagnostic:
    """A finding as the protocol has it; its help and witness stand in the message, which is all that some editors show."""
    lines = [diagnostic.message]
    if diagnostic.witness is not None:
        lines.append("witness: " + witness(diagnostic))
    if diagnostic.help:
        lines.append("help: " + diagnostic.help)
    related = [
        types.DiagnosticRelatedInformation(
            types.Location(workspace.uri(view.files[span.source]), workspace.encoding.range(span)), message
        )
        for message, span in diagnostic.related
        if span.source in view.files
    ]
    return types.Diagnostic(
        workspace.encoding.range(diagnostic.span), "\n".join(lines), _SEVERITIES[diagnostic.severity],
        code=diagnostic.code.id, source="rbrc", related_information=related or None,
        tags=[types.DiagnosticTag.Unnecessary] if diagnostic.code in _NEEDLESS else None,
    )  # fmt: skip


def witness(diagnostic: Diagnostic) -> str:
    """The smallest assignment that shows a finding, and how probable it is."""
    assert diagnostic.witness is not None
    literals = ", ".join(name if value else f"!{name}" for name, value in diagnostic.witness) or "every completion"
    return literals + (f" ({percent(diagnostic.mass)})" if diagnostic.mass is not None else "")


def findings(workspace: Workspace, document: Document) -> dict[str, list[types.Diagnostic]]:
    """The findings of a check by the file that they are in, as many as are shown; the document's own file is among them."""
    found: dict[str, list[types.Diagnostic]] = {document.root.key: []}
    for diagnostic in chosen(document.checked.diagnostics, all_messages=False):
        key = document.files.get(diagnostic.span.source)
        if key is not None:
            found.setdefault(key, []).append(shown(workspace, document, diagnostic))
    return found


def actions(
    workspace: Workspace, document: Document, start: int, end: int, only: list[str] | None
) -> Iterator[types.CodeAction]:
    """The fixes of findings that touch a stretch of a document; and all certain ones at once."""
    positions = workspace.encoding.of(document.source)
    uri = workspace.uri(document.root.key)
    if _wanted(types.CodeActionKind.QuickFix, only):
        for diagnostic in document.checked.diagnostics:
            touches = (
                diagnostic.span.source is document.source
                and diagnostic.span.start <= end
                and start <= diagnostic.span.end
            )
            for number, fix in enumerate(diagnostic.fixes if touches else ()):
                if fix.span.source is document.source:
                    yield types.CodeAction(
                        fix.title, types.CodeActionKind.QuickFix, [shown(workspace, document, diagnostic)],
                        is_preferred=number == 0 and fix.applicability == "machine-applicable",
                        edit=types.WorkspaceEdit({uri: [_edit(positions, fix)]}),
                    )  # fmt: skip
    if _wanted(types.CodeActionKind.SourceFixAll, only):
        edits = mended(workspace, document)
        if edits:
            yield types.CodeAction(
                "apply every fix that is certain", types.CodeActionKind.SourceFixAll,
                edit=types.WorkspaceEdit({uri: edits}),
            )  # fmt: skip


def _wanted(kind: types.CodeActionKind, only: list[str] | None) -> bool:
    """Whether a client that asks for some kinds, `source` standing for `source.fixAll`, wants this one."""
    return only is None or any(kind.value == one or kind.value.startswith(one + ".") for one in only)


def _edit(positions: Positions, fix: Fix) -> types.TextEdit:
    return types.TextEdit(positions.range(fix.span.start, fix.span.end), fix.text)


def mended(workspace: Workspace, document: Document) -> list[types.TextEdit]:
    """The edits that apply every machine-applicable fix, as `rbrc check --fix` does."""
    path, budget = Path(document.root.key), Budget()
    if not any(f.applicability == "machine-applicable" for d in document.checked.diagnostics for f in d.fixes):
        return []

    def recheck(text: str) -> Checked:
        def read(other: Path) -> bytes:
            return text.encode("utf-8", "surrogatepass") if other == path else workspace.read(other)

        return check(path, read=read, steps=budget)

    return changes(document.source, mend(document.checked, recheck).text, workspace.encoding.of(document.source))


def format(source: Source, positions: Positions) -> list[types.TextEdit] | None:
    """The edits that give a file its canonical layout; None when it cannot be read."""
    try:
        return changes(source, formatted(source, Budget()), positions)
    except PolicyError:
        return None


def changes(source: Source, text: str, positions: Positions) -> list[types.TextEdit]:
    """The edits, whole lines each, that turn a source into a text: the cursor and foldings elsewhere stay."""
    before, after = source.raw.splitlines(keepends=True), text.splitlines(keepends=True)
    starts = [0]
    for line in before:
        starts.append(starts[-1] + len(line))
    return [
        types.TextEdit(positions.range(starts[i], starts[j]), "".join(after[k:m]))
        for tag, i, j, k, m in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
