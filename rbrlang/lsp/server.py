"""The protocol: which request is answered by what (https://microsoft.github.io/language-server-protocol, 3.17).

Texts come whole with every change: policies are small, and a client's and a server's idea of a line then cannot differ.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.uris import to_fs_path

from rbrlang import __version__
from rbrlang.lang import syntax as tree
from rbrlang.lsp import act, annotate, complete, describe, navigate
from rbrlang.lsp.names import mention_at
from rbrlang.lsp.positions import Encoding, Positions
from rbrlang.lsp.workspace import Document, Workspace, key_of

# How long the editor must be silent before a text is checked, in seconds: changes that come in one burst are one check.
QUIET = 0.02

Answer = TypeVar("Answer")


class PolicyServer(LanguageServer):
    """A language server for .rbr files."""

    def __init__(self, *, quiet: float = QUIET) -> None:
        super().__init__("rbrc", __version__, types.TextDocumentSyncKind.Full)
        self.files = Workspace()
        self.quiet = quiet
        self._published: dict[str, dict[str, list[types.Diagnostic]]] = {}
        self._pending: asyncio.TimerHandle | None = None

    def document(self, uri: str) -> Document | None:
        """A document, checked; None for one that is no file or cannot be read."""
        key = key_of(uri)
        try:
            return self.files.document(key)
        except OSError:
            return None

    def positions(self, document: Document) -> Positions:
        """The positions of a document's own text."""
        return self.files.encoding.of(document.source)

    def at(self, uri: str, position: types.Position) -> tuple[Document, int] | None:
        """A document, and the offset of a position in it."""
        document = self.document(uri)
        return None if document is None else (document, self.positions(document).offset(position))

    # --- findings -----------------------------------------------------------------------------

    def soon(self, delay: float) -> None:
        """Publish what has changed, once the editor is silent."""
        if self._pending is not None:
            self._pending.cancel()
        self._pending = asyncio.get_running_loop().call_later(delay, self.publish)

    def publish(self) -> None:
        """Check every open document that is out of date, and send the findings of the files that they speak of."""
        self._pending = None
        touched: set[str] = set()
        opened = self.files.opened
        for root in [root for root in self._published if root not in opened]:
            touched |= set(self._published.pop(root))
        for key in opened:
            if key not in self._published or not self.files.is_checked(key):
                try:
                    found = act.findings(self.files, self.files.document(key))
                except OSError:
                    continue
                touched |= set(found) | set(self._published.get(key, ()))
                self._published[key] = found
        for key in sorted(touched):
            # An open file speaks for itself; any other is judged by all that import it.
            owners = [key] if key in opened else list(self._published)
            found = [d for owner in owners for d in self._published.get(owner, {}).get(key, ())]
            unique = list({(repr(d.range), d.code, d.message): d for d in found}.values())
            uri = self.files.uri(key)
            edited = self.workspace.text_documents.get(uri)  # says to an editor that is ahead which text is meant
            version = None if edited is None else edited.version
            self.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, unique, version))


def _changed(server: PolicyServer, uri: str, text: str, delay: float) -> None:
    key = key_of(uri)
    server.files.put(key, uri, text)
    server.soon(delay)


def _locations(server: PolicyServer, found: Sequence[tuple[str, Any]]) -> list[types.Location]:
    return [types.Location(server.files.uri(key), server.files.encoding.range(span)) for key, span in found]


def _refusing(make: Callable[[], Answer]) -> Answer:
    """The answer, or the reason of a refused rename as the protocol's error."""
    try:
        return make()
    except navigate.RefusedRename as error:
        raise JsonRpcException(str(error), int(types.LSPErrorCodes.RequestFailed)) from None


def make_server(*, quiet: float = QUIET) -> PolicyServer:
    """A server with every feature registered, not yet started. `quiet`: see `QUIET`."""
    server = PolicyServer(quiet=quiet)
    _life(server)
    _reading(server)
    _navigation(server)
    _drawing(server)
    _changing(server)
    return server


def _life(server: PolicyServer) -> None:
    @server.feature(types.INITIALIZED)
    def _initialized(ls: PolicyServer, params: types.InitializedParams) -> None:
        ls.files.encoding = Encoding(types.PositionEncodingKind(ls.workspace.position_encoding or "utf-16").value)
        roots = [folder.uri for folder in ls.workspace.folders.values()] or [ls.workspace.root_uri or ""]
        ls.files.folders = [Path(path).resolve() for path in map(to_fs_path, filter(None, roots)) if path]

    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def _opened(ls: PolicyServer, params: types.DidOpenTextDocumentParams) -> None:
        _changed(ls, params.text_document.uri, params.text_document.text, 0)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def _edited(ls: PolicyServer, params: types.DidChangeTextDocumentParams) -> None:
        uri = params.text_document.uri
        _changed(ls, uri, ls.workspace.get_text_document(uri).source, ls.quiet)

    @server.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def _saved(ls: PolicyServer, params: types.DidSaveTextDocumentParams) -> None:
        ls.soon(0)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def _closed(ls: PolicyServer, params: types.DidCloseTextDocumentParams) -> None:
        ls.files.drop(key_of(params.text_document.uri))
        ls.soon(0)

    @server.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def _watched(ls: PolicyServer, params: types.DidChangeWatchedFilesParams) -> None:
        ls.files.changed_on_disk()
        ls.soon(ls.quiet)

    @server.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    def _folders(ls: PolicyServer, params: types.DidChangeWorkspaceFoldersParams) -> None:
        paths = [to_fs_path(folder.uri) for folder in ls.workspace.folders.values()]
        ls.files.folders = [Path(path).resolve() for path in paths if path]


def _reading(server: PolicyServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def _hover(ls: PolicyServer, params: types.HoverParams) -> types.Hover | None:
        found = ls.at(params.text_document.uri, params.position)
        mention = None if found is None else mention_at(found[0].own, found[1])
        if found is None or mention is None:
            return None
        pages = [page for target in mention.targets if (page := describe.hover(found[0], target))]
        if not pages:
            return None
        return types.Hover(
            types.MarkupContent(types.MarkupKind.Markdown, "\n\n---\n\n".join(pages)),
            ls.files.encoding.range(mention.span),
        )

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[".", "@", "(", "{"]))
    def _complete(ls: PolicyServer, params: types.CompletionParams) -> types.CompletionList:
        found = ls.at(params.text_document.uri, params.position)
        return types.CompletionList(False, [] if found is None else complete.complete(*found, ls.files.read))


def _navigation(server: PolicyServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def _definition(ls: PolicyServer, params: types.DefinitionParams) -> list[types.Location]:
        found = ls.at(params.text_document.uri, params.position)
        return [] if found is None else _locations(ls, navigate.definitions(*found))

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    def _references(ls: PolicyServer, params: types.ReferenceParams) -> list[types.Location]:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return []
        wanted = params.context.include_declaration
        return _locations(ls, navigate.references(ls.files, *found, declarations=wanted))

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    def _highlight(ls: PolicyServer, params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        found = ls.at(params.text_document.uri, params.position)
        kinds = (types.DocumentHighlightKind.Read, types.DocumentHighlightKind.Write)
        return [
            types.DocumentHighlight(ls.files.encoding.range(m.span), kinds[m.declares])
            for m in (navigate.highlights(*found) if found is not None else ())
        ]

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def _symbols(ls: PolicyServer, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        document = ls.document(params.text_document.uri)
        return [] if document is None else navigate.outline(document, ls.positions(document))

    @server.feature(types.WORKSPACE_SYMBOL)
    def _everywhere(ls: PolicyServer, params: types.WorkspaceSymbolParams) -> list[types.WorkspaceSymbol]:
        return list(navigate.workspace_symbols(ls.files, params.query))


def _drawing(server: PolicyServer) -> None:
    legend = types.SemanticTokensLegend(list(annotate.TOKEN_TYPES), list(annotate.TOKEN_MODIFIERS))

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, legend)
    def _tokens(ls: PolicyServer, params: types.SemanticTokensParams) -> types.SemanticTokens:
        document = ls.document(params.text_document.uri)
        return types.SemanticTokens(
            [] if document is None else annotate.semantic_tokens(document, ls.positions(document))
        )

    @server.feature(types.TEXT_DOCUMENT_FOLDING_RANGE)
    def _foldings(ls: PolicyServer, params: types.FoldingRangeParams) -> list[types.FoldingRange]:
        document = ls.document(params.text_document.uri)
        return [] if document is None else list(annotate.foldings(document, ls.positions(document)))

    @server.feature(types.TEXT_DOCUMENT_INLAY_HINT)
    def _hints(ls: PolicyServer, params: types.InlayHintParams) -> list[types.InlayHint]:
        document = ls.document(params.text_document.uri)
        if document is None:
            return []
        positions = ls.positions(document)
        start, end = positions.offset(params.range.start), positions.offset(params.range.end)
        return list(annotate.hints(document, positions, start, end))

    @server.feature(types.TEXT_DOCUMENT_CODE_LENS)
    def _lenses(ls: PolicyServer, params: types.CodeLensParams) -> list[types.CodeLens]:
        document = ls.document(params.text_document.uri)
        uri = params.text_document.uri
        return [] if document is None else list(annotate.lenses(document, ls.positions(document), uri))

    @server.command("rbr.runTest")
    def _run(ls: PolicyServer, uri: str, offset: int) -> str:
        document = ls.document(uri)
        statement = None if document is None else annotate.statement_at(document, offset)
        if document is None or not isinstance(statement, (tree.Test, tree.Cases, tree.PropertyDecl, tree.MonotoneDecl)):
            raise JsonRpcInvalidParams("no test begins there any more; the text has changed")
        title, detail = annotate.verdict(document, statement)
        bad = title.startswith("✗")
        kind = types.MessageType.Error if bad else types.MessageType.Info
        ls.window_show_message(types.ShowMessageParams(kind, f"{title}: {detail}"))
        return f"{title}: {detail}"

    @server.command("rbr.showWitness")
    def _witness(ls: PolicyServer, uri: str, offset: int, code: str) -> str:
        document = ls.document(uri)
        for diagnostic in document.checked.diagnostics if document is not None else ():
            if (diagnostic.span.start, diagnostic.code.id) == (offset, code) and diagnostic.witness is not None:
                text = f"{diagnostic.message}: {act.witness(diagnostic)}"
                ls.window_show_message(types.ShowMessageParams(types.MessageType.Info, text))
                return text
        raise JsonRpcInvalidParams("no finding with a witness is there any more; the text has changed")


def _changing(server: PolicyServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    def _prepare(ls: PolicyServer, params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        mention = _refusing(lambda: navigate.renamable(ls.files, *found))
        return types.PrepareRenamePlaceholder(ls.files.encoding.range(mention.span), mention.span.text)

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    def _rename(ls: PolicyServer, params: types.RenameParams) -> types.WorkspaceEdit | None:
        found = ls.at(params.text_document.uri, params.position)
        if found is None:
            return None
        places = _refusing(lambda: navigate.rename(ls.files, *found, params.new_name))
        return types.WorkspaceEdit({
            ls.files.uri(key): [types.TextEdit(ls.files.encoding.range(span), params.new_name) for span in spans]
            for key, spans in places.items()
        })  # fmt: skip

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def _format(ls: PolicyServer, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        document = ls.document(params.text_document.uri)
        return None if document is None else act.format(document.source, ls.positions(document))

    kinds: list[types.CodeActionKind | str] = [types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=kinds))
    def _actions(ls: PolicyServer, params: types.CodeActionParams) -> list[types.CodeAction]:
        document = ls.document(params.text_document.uri)
        if document is None:
            return []
        positions = ls.positions(document)
        start, end = positions.offset(params.range.start), positions.offset(params.range.end)
        only = (
            None
            if params.context.only is None
            else [k.value if isinstance(k, types.CodeActionKind) else k for k in params.context.only]
        )
        return list(act.actions(ls.files, document, start, end, only))


def serve() -> None:
    """Answer on standard input and output until the client says `exit`."""
    gc.freeze()  # what is loaded now stays; looking through it again and again takes a good part of a check
    make_server().start_io()
