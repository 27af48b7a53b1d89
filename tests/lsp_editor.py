"""An editor without a screen: pygls' own client speaks to `rbrc lsp` over its standard input and output."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

COMMAND = (sys.executable, "-m", "rbrlang.cli", "lsp")


class Editor:
    """Opens documents, edits them and asks; keeps the findings that the server publishes."""

    def __init__(self, folder: Path, encodings: list[str] | None = None) -> None:
        self.folder = folder
        self.findings: dict[str, list[types.Diagnostic]] = {}
        self.messages: list[str] = []
        self.versions: dict[str, int] = {}
        self.judged: dict[str, int | None] = {}  # the version of a text that its last findings are of
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.client = LanguageClient("editor", "1")
        self.published = threading.Condition()

        @self.client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # pyright: ignore[reportUntypedFunctionDecorator]
        def _publish(params: types.PublishDiagnosticsParams) -> None:
            with self.published:
                self.findings[params.uri] = list(params.diagnostics)
                self.judged[params.uri] = params.version
                self.published.notify_all()

        @self.client.feature(types.WINDOW_SHOW_MESSAGE)  # pyright: ignore[reportUntypedFunctionDecorator]
        def _message(params: types.ShowMessageParams) -> None:
            self.messages.append(params.message)

        self.run(self.client.start_io(*COMMAND))
        general = types.GeneralClientCapabilities(position_encodings=encodings) if encodings else None
        self.capabilities = self.run(
            self.client.initialize_async(
                types.InitializeParams(
                    types.ClientCapabilities(general=general),
                    workspace_folders=[types.WorkspaceFolder(folder.as_uri(), "w")],
                )
            )
        ).capabilities
        self.client.initialized(types.InitializedParams())

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def ask(self, method: str, *arguments: Any) -> Any:
        return self.run(getattr(self.client, method + "_async")(*arguments))

    def uri(self, name: str) -> str:
        return (self.folder / name).as_uri()

    def open(self, name: str, text: str | None = None) -> list[types.Diagnostic]:
        """Open a file, or a text that is not on disk; the findings about it."""
        text = (self.folder / name).read_text(encoding="utf-8") if text is None else text
        self.versions[name] = 1
        item = types.TextDocumentItem(self.uri(name), "rbr", 1, text)
        return self._await(
            self.uri(name), lambda: self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        )

    def edit(self, name: str, text: str, awaited: str | None = None) -> list[types.Diagnostic]:
        """Replace a document's text; the next findings about it, or about another file."""
        self.versions[name] += 1
        document = types.VersionedTextDocumentIdentifier(self.versions[name], self.uri(name))
        change = types.TextDocumentContentChangeWholeDocument(text)
        params = types.DidChangeTextDocumentParams(document, [change])
        return self._await(self.uri(awaited or name), lambda: self.client.text_document_did_change(params))

    def close_file(self, name: str) -> list[types.Diagnostic]:
        params = types.DidCloseTextDocumentParams(self.id(name))
        return self._await(self.uri(name), lambda: self.client.text_document_did_close(params))

    def _await(self, uri: str, act: Any) -> list[types.Diagnostic]:
        with self.published:
            self.findings.pop(uri, None)
        self.loop.call_soon_threadsafe(act)
        with self.published:
            assert self.published.wait_for(lambda: uri in self.findings, 60), "no findings came"
            return self.findings[uri]

    def id(self, name: str) -> types.TextDocumentIdentifier:
        return types.TextDocumentIdentifier(self.uri(name))

    def leave(self) -> int | None:
        """Shut the server down as the protocol asks; its exit code."""
        self.ask("shutdown", None)
        self.loop.call_soon_threadsafe(lambda: self.client.exit(None))
        server = self.client._server  # pyright: ignore[reportPrivateUsage]
        assert server is not None
        code = self.run(server.wait())
        self.run(self.client.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        return code


def at(text: str, marked: str, nth: int = 0) -> types.Position:
    """The position, in UTF-16, of the nth occurrence of some words."""
    offset = -1
    for _ in range(nth + 1):
        offset = text.index(marked, offset + 1)
    line = text.count("\n", 0, offset)
    column = text[text.rfind("\n", 0, offset) + 1 : offset]
    return types.Position(line, len(column.encode("utf-16-le")) // 2)


def applied(text: str, edits: Sequence[types.TextEdit]) -> str:
    """A text after the edits of a server, columns counted in UTF-16."""
    lines = text.split("\n")

    def offset(place: types.Position) -> int:
        if place.line >= len(lines):
            return len(text)
        units = lines[place.line].encode("utf-16-le")[: 2 * place.character]
        return sum(len(line) + 1 for line in lines[: place.line]) + len(units.decode("utf-16-le"))

    for edit in sorted(edits, key=lambda e: (e.range.start.line, e.range.start.character), reverse=True):
        text = text[: offset(edit.range.start)] + edit.new_text + text[offset(edit.range.end) :]
    return text
