"""What is wrong, where, and what may be done about it?

A `Diagnostic` is a value: analyses return them, the edge renders them (`rbrlang.cli.render`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rbrlang import codes, markup
from rbrlang.codes import Code, Severity
from rbrlang.errors import UserError
from rbrlang.source import Span

Applicability = Literal["machine-applicable", "maybe-incorrect"]


@dataclass(frozen=True, slots=True)
class Fix:
    """A replacement of one span that may mend a diagnostic."""

    title: str
    span: Span
    text: str
    applicability: Applicability


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding.

    `message` is terse, lower case, without a period; `help` says the next step. `witness` is the
    smallest partial truth assignment that shows the finding, `mass` its probability under the
    declared priors given the axioms.
    """

    code: Code
    message: str
    span: Span
    related: tuple[tuple[str, Span], ...] = ()
    help: str = ""
    witness: tuple[tuple[str, bool], ...] | None = None
    mass: float | None = None
    fixes: tuple[Fix, ...] = ()

    @property
    def severity(self) -> Severity:
        """`error`, `warning` or `note`, from the table of codes."""
        return self.code.severity

    def widened(self, end: int) -> Diagnostic:
        """The same finding over a span that ends later."""
        return replace(self, span=Span(self.span.source, self.span.start, end))

    def _repr_html_(self) -> str:
        return markup.block(findings_html((self,)))


def twice(
    message: str, again: Span, first: Span | None, help: str = "keep one of them", *, at: str = "the first"
) -> Diagnostic:
    """What is said of something that may be there once and is there `again`; `at` names the place of the first."""
    return Diagnostic(codes.DUPLICATE, message, again, () if first is None else ((at, first),), help)


_LONGEST = 100  # characters of names that are compared: that takes their product


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether any finding is an error."""
    return any(d.severity == "error" for d in diagnostics)


def suggest(name: str, known: Sequence[str]) -> str | None:
    """The known name closest to a misspelt one, if any is close. Nobody misspells names that are very long."""
    if len(name) > _LONGEST:
        return None
    from difflib import get_close_matches  # takes longer to load than a policy without mistakes to read

    matches = get_close_matches(name, [other for other in known if len(other) <= _LONGEST], n=1, cutoff=0.6)
    return matches[0] if matches else None


def listed(names: Iterable[str]) -> str:
    """Names as a message has them."""
    return ", ".join(f"`{name}`" for name in names)


def did_you_mean(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """What is said of a name that nothing has: the closest of those known; where none is close, `otherwise`, or all of them."""
    near = suggest(name, [*known])
    if near is not None:
        return f"did you mean `{near}`?"
    return f"there are {listed(known)}" if otherwise is None else otherwise


def no_such(kind: str, name: str, known: Sequence[str]) -> str:
    """What is said of a name on the command line, or in a file of data, that no `kind` of thing has."""
    return f"no {kind} `{name}`; {did_you_mean(name, known, 'there are ' + ', '.join(known))}"


def respelled(span: Span, near: str | None) -> tuple[Fix, ...]:
    """The fix that writes the known name in the place of the misspelt one; none where no name is close."""
    return (Fix(f"write `{near}`", span, near, "maybe-incorrect"),) if near else ()


def witness_text(witness: Iterable[tuple[str, bool]]) -> str:
    """A partial assignment as one writes it: `a, !b`."""
    return ", ".join(name if value else f"!{name}" for name, value in witness)


def mass_text(mass: float) -> str:
    """A probability as people read it."""
    if mass == 0:
        return "0 %"
    return f"{100 * mass:.3g} %" if mass >= 1e-5 else f"{mass:.1e}"


def fix_text(fix: Fix) -> str:
    """What a fix does: its title, and its text where the title does not already say it."""
    said = not fix.text.strip() or f"`{fix.text.strip()}`" in fix.title
    text = "" if said else f": `{fix.text}`" if len(fix.text) <= 70 and "\n" not in fix.text else ": `…`"
    return fix.title + text + ("" if fix.applicability == "machine-applicable" else " (maybe)")


def notes(diagnostic: Diagnostic) -> list[tuple[str, str]]:
    """What is said below a finding's message, each line under its name; fixes apart."""
    found: list[tuple[str, str]] = []
    if diagnostic.witness is not None:
        found.append(("witness", witness_text(diagnostic.witness) or "every completion"))
    if diagnostic.mass is not None:
        found.append(("mass", f"{mass_text(diagnostic.mass)} of completions under the declared priors"))
    if diagnostic.help:
        found.append(("help", diagnostic.help))
    return found


MOST = 200  # findings that are shown unless all are asked for


def chosen(found: Sequence[Diagnostic], *, all_messages: bool = False, most: int = MOST) -> list[Diagnostic]:
    """What is shown of many findings: at most `most`, errors before warnings before notes, in the order given."""
    if all_messages or len(found) <= most:
        return list(found)
    weight = {"error": 0, "warning": 1, "note": 2}
    first = sorted(range(len(found)), key=lambda at: (weight[found[at].severity], at))[:most]
    return [found[at] for at in sorted(first)]


def counted(found: Iterable[Diagnostic]) -> str:
    """How many there are of each severity: `1 error, 2 notes`."""
    severities = [d.severity for d in found]
    counts = {s: severities.count(s) for s in ("error", "warning", "note")}
    return ", ".join(f"{n} {s}{'s' if n > 1 else ''}" for s, n in counts.items() if n) or "no findings"


def findings_html(found: Sequence[Diagnostic], most: int = 12) -> markup.Html:
    """Findings as a part of what a notebook shows: the gravest, and how many more."""
    shown = chosen(found, most=most)
    parts = [
        markup.finding(
            d.severity, d.code.id, d.message, (("", d.span), *d.related),
            [*notes(d), *(("fix", fix_text(fix)) for fix in d.fixes)],
        )
        for d in shown
    ]  # fmt: skip
    return markup.Html("".join(parts) + markup.more(len(found) - len(shown), "findings"))


class FunctionError(UserError):
    """A function that a policy names and that cannot be asked; the message names it, the cause and the next step."""


class NotAllowedError(FunctionError):
    """A function that a policy names and the user has not allowed."""


class PolicyError(Exception):
    """A policy that cannot be used; `diagnostics` says why, all of it."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        errors = [d for d in self.diagnostics if d.severity == "error"]
        lines = [f"{d.span!r}: {d.code.id} {d.message}" for d in errors]
        super().__init__("the policy has errors\n  " + "\n  ".join(lines))

    def _repr_html_(self) -> str:
        return markup.block(
            markup.line(counted(self.diagnostics), "the policy has errors:"), findings_html(self.diagnostics)
        )
