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

from rbrlang import codes, markup
from rbrlang.budget import STEPS, Budget, SpentError
from rbrlang.diagnostics import Diagnostic, counted, findings_html, has_errors, mass_text
from rbrlang.lang import allow
from rbrlang.lang.carried import load_carried
from rbrlang.lang.load import LoadedModule, Parser, Reader, load, load_text, read_file
from rbrlang.lang.meaning.elaborate import elaborate
from rbrlang.lang.program import Program, SourceFile
from rbrlang.lang.reading.parse import parse
from rbrlang.logic.compile import BUDGET as NODES
from rbrlang.logic.compile import Compiled, compile_program, nothing
from rbrlang.logic.findings.audit import Audit, audit
from rbrlang.logic.fingerprint import fingerprint
from rbrlang.source import Span


@dataclass(frozen=True)
class Checked:
    """Everything known about a policy file after checking it, mistakes included; `params` as they were given.

    `budget` is what the check left of its steps. What is asked of `compiled` from then on is the caller's own work,
    without limit, unless `held` says otherwise.
    """

    modules: tuple[LoadedModule, ...]
    program: Program
    compiled: Compiled
    audit: Audit
    diagnostics: tuple[Diagnostic, ...]
    params: tuple[tuple[str, float], ...]
    budget: Budget

    def held(self, budget: Budget | None = None) -> Budget:
        """From here on questions take from a budget, by default from what the check left; they raise `SpentError`."""
        self.compiled.bdd.work = budget or self.budget
        return self.compiled.bdd.work

    @property
    def ok(self) -> bool:
        """Whether there is no error; warnings may remain."""
        return not has_errors(self.diagnostics)

    @cached_property
    def fingerprint(self) -> str:
        """The policy's fingerprint; only meaningful when `ok`."""
        return fingerprint(self.program, self.compiled)

    def html(self) -> markup.Html:
        """As a part of what a notebook shows: what was found and, without an error, what the policy is made of."""
        said, rows = [counted(self.diagnostics)], list[tuple[str, str, str]]()
        if self.ok:
            asked = (("proposition", self.program.propositions), ("scale or choice", self.program.variables))
            said += [f"{len(some)} {what}{'s' * (len(some) > 1)}" for what, some in asked if some]
            said += [f"{len(self.program.tests)} tests", f"fingerprint {self.fingerprint[:12]}"]
            rows = [
                (response.name if at == 0 else "", name, mass_text(mass))
                for response, item in zip(self.program.responses, self.audit.responses, strict=True)
                for at, (name, mass) in enumerate(zip(response.classes, item.masses, strict=True))
            ]
        return markup.Html(
            markup.line(" · ".join(said), f"{self.program.sources[-1].name}:")
            + findings_html(self.diagnostics)
            + markup.table(
                "classes, best first",
                ("response type", "class", "share by the priors"), rows,
            )
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<Checked {self.program.sources[-1].name}: {counted(self.diagnostics)}>"

    def _repr_html_(self) -> str:
        return markup.block(self.html())


def _check(
    modules: tuple[LoadedModule, ...], found: Sequence[Diagnostic], params: Mapping[str, float] | None, budget: Budget
) -> Checked:
    program, problems, result = _unread(modules), (), Audit((), ())
    compiled = nothing(program)
    try:
        if not budget.spent:
            program, problems = elaborate(modules, params, budget)
            compiled = nothing(program)
            compiled = compile_program(program, budget=_nodes(budget), work=budget)
            result = audit(
                program, compiled, whole=not has_errors((*found, *problems)), reported={d.span for d in problems}
            )
    except SpentError:
        found = [*found, budget.finding()]
    root = modules[-1].module
    if not root.statements and not found:
        found = [Diagnostic(
            codes.EMPTY_FILE, "this file declares nothing", Span(root.source, 0, 0),
            help='a policy begins with propositions: `prop name "…"`',
        )]  # fmt: skip
    diagnostics = allow.apply(modules, dict.fromkeys((*found, *problems, *result.diagnostics)))
    order = {module.module.source: number for number, module in enumerate(modules)}
    diagnostics = tuple(sorted(diagnostics, key=lambda d: (-order.get(d.span.source, 0), d.span.start, d.code.id)))
    compiled.bdd.work = Budget(None)
    return Checked(modules, program, compiled, result, diagnostics, tuple(sorted((params or {}).items())), budget)


def _nodes(budget: Budget) -> int:
    """How many nodes each response type may have: more for those who allow more work."""
    return NODES if budget.limit is None else max(NODES, NODES * budget.limit // STEPS)


def _unread(modules: tuple[LoadedModule, ...]) -> Program:
    """The program of files whose meaning was not looked at."""
    sources = tuple(SourceFile(module.module.source.name, module.module.source.text) for module in modules)
    return Program((), (), (), (), (), (), (), (), (), (), (), sources, "final")


def check(
    path: str | PathLike[str], *, params: Mapping[str, float] | None = None, roots: Sequence[Path] = (),
    steps: int | Budget = STEPS, read: Reader = read_file, parser: Parser = parse,
) -> Checked:  # fmt: skip
    """Check a policy file and all it imports. Raises OSError when the file cannot be read.

    `read` gives the bytes of a file, `parser` its tree: an editor's unsaved texts and what it keeps enter here. What
    takes more than so many `steps` of work, or than is left of a budget, is refused with a finding; see `rbrlang.budget`.
    """
    budget = Budget.of(steps)
    modules, found = load(Path(path), roots=roots, read=read, parser=parser, budget=budget)
    return _check(modules, found, params, budget)


def check_text(
    text: str, *, name: str = "policy.rbr", params: Mapping[str, float] | None = None, roots: Sequence[Path] = (),
    steps: int | Budget = STEPS,
) -> Checked:  # fmt: skip
    """Check a policy given as text; `name` stands for it in messages, and imports are looked up beside it."""
    budget = Budget.of(steps)
    modules, found = load_text(text, name, roots=roots, budget=budget)
    return _check(modules, found, params, budget)


def check_sources(
    sources: Sequence[SourceFile], *, params: Mapping[str, float] | None = None, steps: int = STEPS
) -> Checked:
    """Check a policy from the texts that it carries, the root last; see `rbrlang.lang.carried`. Raises `CarriedError`."""
    budget = Budget(steps)
    modules, found = load_carried(sources, budget)
    return _check(modules, found, params, budget)
