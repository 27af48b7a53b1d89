"""What do the files say at this moment, and what is known about them?

Texts that are open in the editor stand in the place of the files on disk, for imports too. A check is made when
something asks for it and kept until a file that it read changes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pygls.uris import from_fs_path, to_fs_path

from rbrlang.budget import Budget
from rbrlang.checking import Checked, check
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang.load import LoadedModule, load, read_file
from rbrlang.lang.meaning.scope import Scope, build_scopes
from rbrlang.lang.reading.reparse import Reparser
from rbrlang.lsp.names import Columns, Mention, columns_of, mentions
from rbrlang.lsp.positions import Encoding
from rbrlang.source import Source

MAX_FILES = 5000
_PASSED_OVER = frozenset({"node_modules", "__pycache__", "site-packages", "build", "dist"})


def key_of(uri: str) -> str:
    """The key of a document: its path, symbolic links resolved; of a document that is no file (`untitled:Untitled-1`,
    `git:/…`) a path of its own that no file has, so that what it says is checked as far as it needs no file beside it."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    if path is None:
        digest = hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()
        path = os.path.join(os.path.abspath(os.sep), f".rbr-no-file-{digest[:32]}", _name_of(uri))
    return os.fspath(Path(path).resolve())


def _name_of(uri: str) -> str:
    """What an editor calls the document, as the name of a file."""
    last = re.split(r"[?#]", uri)[0].replace(":", "/").rpartition("/")[2]
    return last if last.isprintable() and 0 < len(last) < 200 and last not in (".", "..") else "policy.rbr"


def uri_of(key: str) -> str:
    """The URI of a file."""
    uri = from_fs_path(key)
    assert uri is not None
    return uri


@dataclass(frozen=True)
class View:
    """A policy's files with their scopes and mentions; `problems` are at least the statements that could not be read."""

    modules: tuple[LoadedModule, ...]
    problems: tuple[Diagnostic, ...]

    @property
    def root(self) -> LoadedModule:
        """The policy's own file."""
        return self.modules[-1]

    @cached_property
    def scopes(self) -> dict[str, Scope]:
        """The scopes of all files."""
        return build_scopes(self.modules)[0]

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """The columns of rows that each file knows."""
        return columns_of(self.modules)

    @cached_property
    def files(self) -> dict[Source, str]:
        """The key of each source."""
        return {module.module.source: module.key for module in self.modules}

    @cached_property
    def mentions(self) -> dict[str, tuple[Mention, ...]]:
        """The mentions of each file."""
        return {module.key: mentions(module, self.scopes, self.columns[module.key]) for module in self.modules}


@dataclass(frozen=True)
class Document(View):
    """A policy file as it stands, and everything known about it."""

    checked: Checked

    @property
    def source(self) -> Source:
        """The file's text."""
        return self.root.module.source

    @property
    def own(self) -> tuple[Mention, ...]:
        """The mentions of the file itself."""
        return self.mentions[self.root.key]


@dataclass
class Workspace:
    """The open documents, by key, and the folders that the editor shows."""

    encoding: Encoding = field(default_factory=Encoding)
    folders: list[Path] = field(default_factory=list[Path])
    parser: Reparser = field(default_factory=Reparser)
    _texts: dict[str, str] = field(default_factory=dict[str, str])
    _uris: dict[str, str] = field(default_factory=dict[str, str])
    _checks: dict[str, Document] = field(default_factory=dict[str, Document])

    @property
    def opened(self) -> tuple[str, ...]:
        """The keys of the open documents."""
        return tuple(self._texts)

    def uri(self, key: str) -> str:
        """The URI of a file, as the editor wrote it where the file is open."""
        return self._uris.get(key) or uri_of(key)

    def put(self, key: str, uri: str, text: str) -> None:
        """Open a document, or change its text."""
        fresh = key not in self._texts
        self._texts[key], self._uris[key] = text, uri
        self._forget(None if fresh else key)

    def drop(self, key: str) -> None:
        """Close a document: its file counts again."""
        self._texts.pop(key, None)
        self._uris.pop(key, None)
        self._forget(None)

    def changed_on_disk(self) -> None:
        """Files may have come, gone or changed."""
        self._forget(None)

    def _forget(self, key: str | None) -> None:
        stale = [
            root for root, document in self._checks.items()
            if key is None or any(module.key == key for module in document.modules)
        ]  # fmt: skip
        for root in stale:
            del self._checks[root]

    def read(self, path: Path) -> bytes:
        """The bytes of a file: those of the open document, else those on disk. Raises OSError."""
        text = self._texts.get(os.fspath(path))
        return read_file(path) if text is None else text.encode("utf-8", "surrogatepass")

    def document(self, key: str) -> Document:
        """The policy whose own file has this key, checked; with steps of its own for what is asked of it next.

        Raises OSError when the file cannot be read.
        """
        found = self._checks.get(key)
        if found is None:
            checked = check(Path(key), read=self.read, parser=self.parser)
            found = self._checks[key] = Document(checked.modules, checked.diagnostics, checked)
        found.checked.held(Budget())
        return found

    def is_checked(self, key: str) -> bool:
        """Whether what is known about a document is up to date."""
        return key in self._checks

    def views(self) -> Iterator[View]:
        """Every policy of the workspace, those that others import as part of those. Files that cannot be read are left out."""
        seen: set[str] = set()
        for key in dict.fromkeys((*self._texts, *self._files())):
            if key in seen:
                continue
            try:
                view = self._checks.get(key) or View(*load(Path(key), read=self.read, parser=self.parser))
            except OSError:
                continue
            seen.update(module.key for module in view.modules)
            yield view

    def all_mentions(self) -> Mapping[str, tuple[Source, tuple[Mention, ...]]]:
        """The mentions of every file of the workspace and of what it imports, by key."""
        found: dict[str, tuple[Source, tuple[Mention, ...]]] = {}
        for view in self.views():
            for module in view.modules:
                found.setdefault(module.key, (module.module.source, view.mentions[module.key]))
        return found

    def _files(self) -> Iterator[str]:
        left = MAX_FILES
        for folder in self.folders:
            for root, folders, files in os.walk(folder):
                folders[:] = sorted(f for f in folders if f not in _PASSED_OVER and not f.startswith("."))
                for file in sorted(files):
                    if file.endswith(".rbr") and left:
                        left -= 1
                        yield os.fspath(Path(root, file).resolve())

    def may_edit(self, key: str) -> bool:
        """Whether a file is the user's own: open, or below a folder that the editor shows."""
        return key in self._texts or any(Path(key).is_relative_to(folder) for folder in self.folders)
