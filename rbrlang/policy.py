"""What is a policy without errors, and how is one loaded?

    file ─check→ Checked ─load→ Policy ─assemble→ Circuit

A check alone (`rbrlang.checking`) needs no circuit, and starts the faster for it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike
from pathlib import Path
from typing import Literal

from rbrlang import highlight, markup
from rbrlang.checking import Checked, check, check_sources, check_text
from rbrlang.diagnostics import Diagnostic, PolicyError
from rbrlang.lang.carried import carried_name
from rbrlang.lang.program import Program, SourceFile
from rbrlang.logic.assemble import assemble
from rbrlang.logic.circuit import Circuit

__all__ = ["Checked", "Policy", "check", "check_text", "load", "load_sources", "loads"]


@dataclass(frozen=True)
class Policy:
    """A policy without errors."""

    checked: Checked

    @property
    def program(self) -> Program:
        """The typed program."""
        return self.checked.program

    @property
    def fingerprint(self) -> str:
        """A hash of the policy's logic; see `rbrlang.logic.fingerprint`."""
        return self.checked.fingerprint

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """Warnings and notes."""
        return self.checked.diagnostics

    @property
    def sources(self) -> tuple[SourceFile, ...]:
        """The files of the policy under names that do not depend on where they lie: relative to the root's folder."""
        folder = os.path.dirname(self.program.sources[-1].name)
        return tuple(
            source if module.standard else source._replace(name=_below(source.name, folder))
            for source, module in zip(self.program.sources, self.checked.modules, strict=True)
        )

    @property
    def params(self) -> tuple[tuple[str, float], ...]:
        """The parameters that were given other values than the policy's own, by name."""
        return self.checked.params

    @cached_property
    def circuit(self) -> Circuit:
        """The compiled policy, class probabilities exact."""
        return self.compiled("exact")

    def compiled(self, class_probability: Literal["exact", "product"]) -> Circuit:
        """The compiled policy with exact class probabilities, or the paper's products (section 4.1)."""
        checked = self.checked
        return assemble(checked.program, checked.compiled, checked.audit.diagrams, class_probability=class_probability)

    def __repr__(self) -> str:
        return f"<Policy {self.program.sources[-1].name}, fingerprint {self.fingerprint[:12]}>"

    def _repr_html_(self) -> str:
        text = self.program.sources[-1].text
        shown = markup.folded("its text", markup.code(_coloured(text)), unfolded=len(text) < 1_500)
        return markup.block(self.checked.html(), shown)


_MOST_SHOWN = 8_000  # characters of a policy's text
_MARKED = {"Keyword": "word", "Comment": "comment"}


def _coloured(text: str) -> Iterator[tuple[str, str]]:
    """The beginning of a policy's text, each piece behind its kind."""
    at, shown = 0, text[:_MOST_SHOWN]
    for word in highlight.words(shown):
        yield "", shown[at : word.start]
        yield _MARKED.get(word.kind.pygments.partition(".")[0], ""), shown[word.start : word.end]
        at = word.end
    yield "", shown[at:]
    if len(text) > _MOST_SHOWN:
        yield "comment", f"\n… and {len(text) - _MOST_SHOWN:,} characters more"


def _below(name: str, folder: str) -> str:
    return carried_name(Path(os.path.relpath(name, folder or ".")).as_posix(), standard=False)


def load(path: str | PathLike[str], *, params: Mapping[str, float] | None = None, roots: Sequence[Path] = ()) -> Policy:
    """Load a policy. Raises `PolicyError` with all diagnostics when it has errors, OSError when unreadable."""
    return _accepted(check(path, params=params, roots=roots))


def loads(text: str, *, name: str = "policy.rbr", params: Mapping[str, float] | None = None) -> Policy:
    """Load a policy from text. Raises `PolicyError` with all diagnostics when it has errors."""
    return _accepted(check_text(text, name=name, params=params))


@lru_cache(maxsize=8)
def load_sources(sources: tuple[SourceFile, ...], params: tuple[tuple[str, float], ...]) -> Policy:
    """Load a policy from `Policy.sources` and `Policy.params`, without a file system; what was loaded last is kept.

    Raises `PolicyError` when it has errors, `CarriedError` when these are not the sources of one policy.
    """
    return _accepted(check_sources(sources, params=dict(params)))


def _accepted(checked: Checked) -> Policy:
    if not checked.ok:
        raise PolicyError(checked.diagnostics)
    return Policy(checked)
