"""Which files does a policy consist of?

Follows `use` from a root file to everything it imports and parses each file once. Imports stay inside:
`std.…` names a file of the standard library, a string names a file below the importing file's folder
(or below a given root), symbolic links included. Files come back children first, the root last.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

from rbrlang import codes
from rbrlang.budget import Budget, SpentError
from rbrlang.diagnostics import Diagnostic, did_you_mean
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading.parse import parse
from rbrlang.source import Source, Span
from rbrlang.values import NamedTuple

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 50
MAX_FILES = 1_000  # an artefact carries them all
_LOOKING = 300  # steps for finding a file

Reader = Callable[[Path], bytes]
Parser = Callable[[Source], tuple[tree.Module, tuple[Diagnostic, ...]]]


class LoadedModule(NamedTuple):
    """One file of a policy; `imports` gives, for each `use` that was found, the key of its file."""

    key: str
    module: tree.Module
    imports: tuple[tuple[tree.Use, str], ...]
    standard: bool


def standard_library() -> Path:
    """The folder of the standard library: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "stdlib_rules"
    return inside if inside.is_dir() else package.parent / "stdlib_rules"


def standard_modules() -> list[str]:
    """The names of the standard library's modules, `std.…`."""
    library = standard_library().resolve()
    return sorted("std." + ".".join(p.relative_to(library).with_suffix("").parts) for p in library.rglob("*.rbr"))


def read_file(path: Path) -> bytes:
    """The bytes of a policy file, at most `MAX_BYTES` and one more. Raises OSError."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def load(
    path: Path,
    *,
    roots: Sequence[Path] = (),
    read: Reader = read_file,
    parser: Parser = parse,
    budget: Budget | None = None,
) -> tuple[tuple[LoadedModule, ...], tuple[Diagnostic, ...]]:
    """Load a policy's root file and all it imports. Raises OSError when the root cannot be read.

    `read` gives the bytes of a file, `parser` its tree; see `reparse.Reparser`. What does not fit the `budget` (by
    default one of its own) stays unread, which is an error among the findings.
    """
    loader = _Loader(tuple(root.resolve() for root in roots), read, parser, budget or Budget())
    source = loader.source(path, os.fspath(path), read(path))
    loader.visit(path.resolve(), source, standard=False)
    return tuple(loader.done.values()), tuple(loader.diagnostics)


def load_text(
    text: str, name: str = "policy.rbr", *, roots: Sequence[Path] = (), budget: Budget | None = None
) -> tuple[tuple[LoadedModule, ...], tuple[Diagnostic, ...]]:
    """Load a policy from text as if it stood in the file `name`: it may import what lies beside and below."""
    loader = _Loader(tuple(root.resolve() for root in roots), read_file, parse, budget or Budget())
    loader.visit(Path(name).resolve(), Source(name, text), standard=False)
    return tuple(loader.done.values()), tuple(loader.diagnostics)


def read_within(budget: Budget, source: Source, parser: Parser = parse) -> tuple[tree.Module, tuple[Diagnostic, ...]]:
    """The tree of a file and what could not be read; without statements when the budget is spent on it, or was before."""
    nothing = tree.Module(source, (), (), frozenset())
    if budget.spent:
        return nothing, ()
    try:
        budget.read(source)
    except SpentError:
        return nothing, (budget.finding(),)
    return parser(source)


def is_artefact(data: bytes) -> bool:
    """Whether the bytes are those of a compiled policy, whatever the file is called."""
    return data.startswith(b"PK\x03\x04") and data[30:43] == b"manifest.json"


AN_ARTEFACT = (
    "an artefact, a compiled policy, and not the text of one",
    "name the .rbr file that it was made from; `rbrc inspect` shows what an artefact holds",
)


class _Loader:
    def __init__(self, roots: tuple[Path, ...], read: Reader, parser: Parser, budget: Budget) -> None:
        self.roots = roots
        self.read = read
        self.parse = parser
        self.budget = budget
        self.done: dict[str, LoadedModule] = {}
        self.open: list[str] = []
        self.diagnostics: list[Diagnostic] = []

    @cached_property
    def standard(self) -> list[str]:
        return standard_modules()

    def source(self, path: Path, name: str, data: bytes) -> Source:
        """Decode a file; what is not text becomes a diagnostic and an empty source."""
        problem, step = "", "save the file as UTF-8; policies are plain text"
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            text = data[: error.start].decode("utf-8", "replace")
            line = text.count("\n") + 1
            problem = f"not UTF-8 text: byte {data[error.start]:#04x} on line {line}"
        else:
            if "\0" in text:
                problem = f"not text: NUL on line {text[: text.index(chr(0))].count(chr(10)) + 1}"
        if len(data) > MAX_BYTES:
            problem = f"larger than {MAX_BYTES // 2**20} MiB"
        if is_artefact(data):
            problem, step = AN_ARTEFACT
        source = Source(name, "" if problem else text)
        if problem:
            self.diagnostics.append(Diagnostic(
                codes.NOT_TEXT, f"`{path.name}` is {problem}", Span(source, 0, 0),
                help=step,
            ))  # fmt: skip
        return source

    def visit(self, path: Path, source: Source, *, standard: bool) -> str:
        key = os.fspath(path)
        module, diagnostics = read_within(self.budget, source, self.parse)
        self.diagnostics += diagnostics
        self.open.append(key)
        imports: list[tuple[tree.Use, str]] = []
        for statement in module.statements:
            if isinstance(statement, tree.Use) and not self.budget.spent:
                found = self._use(statement, path, source, standard)
                if found is not None:
                    imports.append((statement, found))
        self.open.pop()
        self.done[key] = LoadedModule(key, module, tuple(imports), standard)
        return key

    def _use(self, use: tree.Use, importer: Path, source: Source, standard: bool) -> str | None:
        """The key of the file that a statement imports; None, and a finding, where it cannot be."""
        self.budget.at(use.span)
        try:
            self.budget.spend(_LOOKING)
            return self._find(use, importer, source, standard)
        except SpentError:
            self.diagnostics.append(self.budget.finding())
            return None

    def _find(self, use: tree.Use, importer: Path, source: Source, standard: bool) -> str | None:
        target = self._standard(use) if isinstance(use.module, tree.Path) else self._local(use, importer)
        if target is None:
            return None
        path, inside_standard = target
        key = os.fspath(path)
        if key in self.open:
            files = [Path(k).name for k in (*self.open[self.open.index(key) :], key)]
            self.diagnostics.append(Diagnostic(
                codes.IMPORT_CYCLE, "files import each other: " + " → ".join(files), use.module.span,
                help="move what both need into a third file",
            ))  # fmt: skip
            return None
        if key in self.done:
            return key
        if len(self.done) + len(self.open) >= MAX_FILES:
            self.diagnostics.append(Diagnostic(
                codes.TOO_MUCH_WORK, f"a policy consists of at most {MAX_FILES:,} files", use.module.span,
                help="join files that are always used together",
            ))  # fmt: skip
            return None
        if len(self.open) >= MAX_DEPTH:
            self.diagnostics.append(Diagnostic(
                codes.TOO_DEEP, f"imports go more than {MAX_DEPTH} files deep", use.module.span,
                help="import what is needed directly",
            ))  # fmt: skip
            return None
        if inside_standard:
            library = standard_library().resolve()
            name = "std/" + path.relative_to(library).as_posix()
        else:
            name = os.path.join(os.path.dirname(source.name), os.path.relpath(path, importer.parent))
        try:
            data = self.read(path)
        except OSError as error:
            self.diagnostics.append(Diagnostic(
                codes.MODULE_NOT_FOUND, f"cannot read `{name}`: {error.strerror or error}", use.module.span,
                help="check the path; it is relative to this file",
            ))  # fmt: skip
            return None
        return self.visit(path, self.source(path, name, data), standard=inside_standard or standard)

    def _standard(self, use: tree.Use) -> tuple[Path, bool] | None:
        module = use.module
        assert isinstance(module, tree.Path)
        if module.text in self.standard:  # looked up, not tried: any name may stand here
            parts = [part.text for part in module.parts[1:]]
            return standard_library().resolve().joinpath(*parts).with_suffix(".rbr"), True
        self.diagnostics.append(Diagnostic(
            codes.MODULE_NOT_FOUND, f"no module `{module.text}`", module.span,
            help=did_you_mean(module.text, self.standard, 'standard modules start with `std.`; a file is imported as `use "path/file.rbr"`'),
        ))  # fmt: skip
        return None

    def _local(self, use: tree.Use, importer: Path) -> tuple[Path, bool] | None:
        module = use.module
        assert isinstance(module, tree.Text)
        text = module.value
        outside = Diagnostic(
            codes.IMPORT_OUTSIDE, f"`{text}` is not below this file's folder", module.span,
            help="keep imported files beside or below the policy, or pass their folder with `--root`",
        )  # fmt: skip
        relative = Path(text)
        if "://" in text or not text.isprintable() or relative.is_absolute() or not text:
            self.diagnostics.append(outside)
            return None
        library = standard_library().resolve()
        for base in (importer.parent, *self.roots):
            try:
                candidate = (base / relative).resolve()
                found = candidate.is_file()
            except (OSError, RuntimeError):  # a name too long for the system, a loop of links
                continue
            if not candidate.is_relative_to(base):
                self.diagnostics.append(outside)
                return None
            if found:
                return candidate, candidate.is_relative_to(library)
        self.diagnostics.append(Diagnostic(
            codes.MODULE_NOT_FOUND, f"no file `{text}`", module.span, help="check the path; it is relative to this file",
        ))  # fmt: skip
        return None
