"""Which fixes can be made without asking, and what does the file say afterwards?

Fixes are applied in rounds, those of one round not overlapping, and the text is checked again after each: a fix may
uncover the next mistake. A policy that was sound stays sound and keeps its fingerprint; a fix that would break that
promise is left out. Only the policy's own file changes, never what it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from rbrlang.checking import Checked
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.source import Source

_ROUNDS = 100  # nested mistakes come out one a round; a fix that brings its own mistake back must not loop


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a file: its text, the findings that were fixed, and what a check of the text says."""

    text: str
    fixed: tuple[Diagnostic, ...]
    checked: Checked


def mend(checked: Checked, recheck: Callable[[str], Checked], *, unsafe: bool = False) -> Mended:
    """Apply every machine-applicable fix, and with `unsafe` those that may be incorrect.

    `recheck` checks a new text of the same file. Unsafe fixes may change what a sound policy means, but not make it
    unsound. It ends early, with what is mended by then, where the steps of `recheck` are spent.
    """
    source = checked.modules[-1].module.source
    fixed: list[Diagnostic] = []
    refused: set[tuple[str, str, str]] = set()
    seen = {source.text}
    for _ in range(_ROUNDS):
        wanted = [d for d in _fixable(checked.diagnostics, source, unsafe) if _key(d) not in refused]
        if not wanted:
            break
        chosen = _apart(wanted)
        text = apply(source, [d.fixes[0] for d in chosen])
        after = recheck(text)
        if len(chosen) > 1 and not _kept(checked, after, chosen):  # good one by one, but not together
            chosen = chosen[:1]
            text = apply(source, [d.fixes[0] for d in chosen])
            after = recheck(text)
        if after.budget.spent:
            break
        if text in seen or not _kept(checked, after, chosen):
            refused.update(map(_key, chosen))
            continue
        seen.add(text)
        fixed += chosen
        checked, source = after, after.modules[-1].module.source
    return Mended(source.text, tuple(fixed), checked)


def apply(source: Source, fixes: Sequence[Fix]) -> str:
    """The text of a source after fixes that do not overlap."""
    text = source.text
    for fix in sorted(fixes, key=lambda f: f.span.start, reverse=True):
        text = text[: fix.span.start] + fix.text + text[fix.span.end :]
    return text


def _fixable(diagnostics: Sequence[Diagnostic], source: Source, unsafe: bool) -> Iterator[Diagnostic]:
    for diagnostic in diagnostics:
        for fix in diagnostic.fixes[:1]:
            if fix.span.source is source and (unsafe or fix.applicability == "machine-applicable"):
                yield diagnostic


def _key(diagnostic: Diagnostic) -> tuple[str, str, str]:
    """What identifies a finding while the text around it changes."""
    return diagnostic.code.id, diagnostic.message, diagnostic.span.text


def _apart(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """As many findings, in order, as have fixes that do not touch each other."""
    chosen: list[Diagnostic] = []
    for diagnostic in sorted(diagnostics, key=lambda d: (d.fixes[0].span.start, d.fixes[0].span.end)):
        if not chosen or chosen[-1].fixes[0].span.end < diagnostic.fixes[0].span.start:
            chosen.append(diagnostic)
    return chosen


def _kept(before: Checked, after: Checked, chosen: Sequence[Diagnostic]) -> bool:
    """Whether a sound policy stayed sound and, unless a fix was unsafe, kept its meaning."""
    if not before.ok:
        return True
    safe = all(d.fixes[0].applicability == "machine-applicable" for d in chosen)
    return after.ok and (not safe or after.fingerprint == before.fingerprint)
