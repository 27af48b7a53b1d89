"""The driver: from a file to all that is known about it.

The one module that knows the order of the stages:

    file ─load→ modules ─elaborate→ Program ─compile→ Compiled ─audit→ findings
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, has_errors
from rbrlang.lang import allow
from rbrlang.lang.carried import load_carried
from rbrlang.lang.elaborate import elaborate
from rbrlang.lang.load import LoadedModule, Parser, Reader, load, load_text, read_file
from rbrlang.lang.parse import parse
from rbrlang.lang.program import Program, SourceFile
from rbrlang.logic.audit import Audit, audit
from rbrlang.logic.compile import BUDGET, Compiled, compile_program
from rbrlang.logic.fingerprint import fingerprint
from rbrlang.source import Span


@dataclass(frozen=True)
class Checked:
    """Everything known about a policy file after checking it, mistakes included; `params` as they were given."""

    modules: tuple[LoadedModule, ...]
    program: Program
    compiled: Compiled
    audit: Audit
    diagnostics: tuple[Diagnostic, ...]
    params: tuple[tuple[str, float], ...]

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may remain."""
        return not has_errors(self.diagnostics)

    @cached_property
    def fingerprint(self) -> str:
        """The policy's fingerprint; only meaningful when `ok`."""
        return fingerprint(self.program, self.compiled)


def _check(
    modules: tuple[LoadedModule, ...], found: Sequence[Diagnostic], params: Mapping[str, float] | None, budget: int
) -> Checked:
    program, problems = elaborate(modules, params)
    compiled = compile_program(program, budget=budget)
    result = audit(program, compiled, whole=not has_errors((*found, *problems)))
    root = modules[-1].module
    if not root.statements and not found:
        found = [Diagnostic(
            codes.EMPTY_FILE, "this file declares nothing", Span(root.source, 0, 0),
            help='a policy begins with propositions: `prop name "…"`',
        )]  # fmt: skip
    diagnostics = allow.apply(modules, dict.fromkeys((*found, *problems, *result.diagnostics)))
    order = {module.module.source: number for number, module in enumerate(modules)}
    diagnostics = tuple(sorted(diagnostics, key=lambda d: (-order.get(d.span.source, 0), d.span.start, d.code.id)))
    return Checked(modules, program, compiled, result, diagnostics, tuple(sorted((params or {}).items())))


def check(
    path: str | PathLike[str], *, params: Mapping[str, float] | None = None, roots: Sequence[Path] = (),
    budget: int = BUDGET, read: Reader = read_file, parser: Parser = parse,
) -> Checked:  # fmt: skip
    """Check a policy file and all it imports. Raises OSError when the file cannot be read.

    `read` gives the bytes of a file, `parser` its tree: an editor's unsaved texts and what it keeps enter here.
    """
    modules, found = load(Path(path), roots=roots, read=read, parser=parser)
    return _check(modules, found, params, budget)


def check_text(
    text: str, *, name: str = "policy.rbr", params: Mapping[str, float] | None = None, roots: Sequence[Path] = (),
    budget: int = BUDGET,
) -> Checked:  # fmt: skip
    """Check a policy given as text; `name` stands for it in messages, and imports are looked up beside it."""
    modules, found = load_text(text, name, roots=roots)
    return _check(modules, found, params, budget)


def check_sources(
    sources: Sequence[SourceFile], *, params: Mapping[str, float] | None = None, budget: int = BUDGET
) -> Checked:
    """Check a policy from the texts that it carries, the root last; see `rbrlang.lang.carried`. Raises `CarriedError`."""
    modules, found = load_carried(sources)
    return _check(modules, found, params, budget)
