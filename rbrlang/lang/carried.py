"""How is a policy read from texts that it carries with it, without a file system?

An artefact comes with its sources. Their names are data: no file is opened, asked for, or looked up by one. What a
`use` means is written beside the text, as the number of the source that it was resolved to when the policy was
compiled. So nothing that a name may say (`..`, a pipe, a device, a file of this machine) can be reached, and an
import resolves as it did, through links and further roots that are not here.

    load_carried((SourceFile("std/safety/refusals.rbr", "…", ()), SourceFile("policy.rbr", "…", (0,))))

The names are held to one form all the same, since people read them in messages and other programs may write them to
a disk. A name under `std/` is for modules of the standard library alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import assert_never

from rbrlang.budget import Budget
from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.load import LoadedModule, read_within, standard_library
from rbrlang.lang.program import SourceFile
from rbrlang.source import Source

MAX_NAME = 1024
"""Longest name of a source, characters."""

_DRIVE = re.compile("[A-Za-z]:")


class CarriedError(ValueError):
    """Sources that no policy consists of; the message names the source and the reason."""


def load_carried(
    sources: Sequence[SourceFile], budget: Budget | None = None
) -> tuple[tuple[LoadedModule, ...], tuple[Diagnostic, ...]]:
    """The modules of a policy, as `load` gives them: imported ones first, the root last.

    What does not fit the `budget` (by default one of its own) stays unread, which is an error among the findings.
    Raises `CarriedError` where names or imports are not those of one policy.
    """
    budget = budget or Budget()
    check_names([source.name for source in sources])
    if not sources:
        raise CarriedError("there is no source")
    modules: list[LoadedModule] = []
    found: list[Diagnostic] = []
    for source in sources:
        if "\0" in source.text:
            raise CarriedError(f"`{source.name}` is not text: it has a NUL")
        module, diagnostics = read_within(budget, Source(source.name, source.text))
        found += diagnostics
        if budget.spent:
            return (LoadedModule(source.name, module, (), False),), tuple(found)
        uses = [statement for statement in module.statements if isinstance(statement, tree.Use)]
        imports = _imports(source, uses, sources[: len(modules)])
        modules.append(LoadedModule(source.name, module, imports, source.name.startswith("std/")))
    _all_reached(modules)
    return tuple(modules), tuple(found)


def check_names(names: Sequence[str]) -> None:
    """Raises `CarriedError` for the first name that no source may have, or that two have."""
    seen: set[str] = set()
    for name in names:
        fault = _fault(name)
        if fault is None and name in seen:
            fault = "is the name of two sources"
        if fault is not None:
            shown = "".join(c if c.isprintable() else "�" for c in name[:60]) + ("…" if len(name) > 60 else "")
            raise CarriedError(f"the source name `{shown}` {fault}")
        seen.add(name)


def carried_name(path: str, *, standard: bool) -> str:
    """The name under which an artefact carries the file at this relative path, written with `/`.

    A folder `std` beside a policy is not the standard library, and is written as `./std/…`.
    """
    return f"./{path}" if path.startswith("std/") and not standard else path


def changed_standard_sources(sources: Sequence[SourceFile]) -> tuple[str, ...]:
    """The names of those modules of the standard library that have another text here."""
    return tuple(
        source.name
        for source in sources
        if source.name in (known := _standard_files())
        and known[source.name].read_text(encoding="utf-8-sig") != source.text
    )


def _fault(name: str) -> str | None:
    if not name:
        return "is empty"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters, more than {MAX_NAME}"
    if not name.isprintable():
        return "has characters that cannot be printed"
    if "\\" in name or _DRIVE.match(name) or name.startswith("/"):
        return "is no relative path written with `/`"
    if name.startswith("std/"):
        return None if name in _standard_files() else "names no module of this standard library"
    plain = name[2:] if name.startswith("./std/") else name
    if posixpath.normpath(plain) != plain or posixpath.basename(plain) in ("", ".", ".."):
        return "is no file's name in its shortest form"
    return None


@cache
def _standard_files() -> Mapping[str, Path]:
    library = standard_library()
    return {f"std/{path.relative_to(library).as_posix()}": path for path in library.rglob("*.rbr")}


def _imports(
    source: SourceFile, uses: Sequence[tree.Use], before: Sequence[SourceFile]
) -> tuple[tuple[tree.Use, str], ...]:
    if len(uses) != len(source.imports):
        raise CarriedError(f"`{source.name}` imports {len(uses)} files and lists {len(source.imports)}")
    found: list[tuple[tree.Use, str]] = []
    for use, number in zip(uses, source.imports, strict=True):
        if not 0 <= number < len(before):
            raise CarriedError(f"`{source.name}` imports a source that does not come before it")
        target = before[number].name
        if target not in _meant(use, source.name, [other.name for other in before]):
            raise CarriedError(f"`{source.name}` imports `{use.module.span.text}`, which is not `{target}`")
        found.append((use, target))
    return tuple(found)


def _meant(use: tree.Use, importer: str, names: Sequence[str]) -> Sequence[str]:
    """Which of the sources a `use` can mean: the one that its words name, or, through a link or a root, any other."""
    match use.module:
        case tree.Path(parts=parts):
            return (posixpath.join(*(part.text for part in parts)) + ".rbr",)
        case tree.Text(value=value):
            direct = posixpath.normpath(posixpath.join(posixpath.dirname(importer), value))
            named = carried_name(direct, standard=importer.startswith("std/"))
            return (named,) if named in names else names
        case _:
            assert_never(use.module)


def _all_reached(modules: Sequence[LoadedModule]) -> None:
    by_key = {module.key: module for module in modules}
    reached: set[str] = set()
    pending = [modules[-1].key]
    while pending:
        key = pending.pop()
        if key not in reached:
            reached.add(key)
            pending += [target for _, target in by_key[key].imports]
    for module in modules:
        if module.key not in reached:
            raise CarriedError(f"nothing imports `{module.key}`")
