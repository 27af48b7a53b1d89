"""Which measures of a policy hold of this completion?

A measure is an atom that needs no grader: it is computed from the completion and is exactly true or
false. Regular expressions are RE2 (https://github.com/google/re2/wiki/Syntax), so every measure takes
time linear in the text.

Worked example: in `Dr. No has 3.5 cats.` there are 5 words, 1 line and 2 sentences: a sentence starts
at a letter or digit and ends at `.`, `!`, `?` or `…` before white space or the end, or at `。`, `！`, `？`.
That is a rule of thumb, as the two sentences show; the other measures are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol, assert_never, cast, get_args

import re2

from rbrlang.lang.program import Judged, MeasureKind
from rbrlang.logic.circuit import AtomInfo
from rbrlang.rows.conversation import Conversation

KINDS: tuple[MeasureKind, ...] = get_args(MeasureKind)
_SENTENCE = r"[\pL\pN][^.!?…。！？]*(?:[.!?…]+[^\s.!?…。！？][^.!?…。！？]*)*"
_MAX_MEMORY = 8 << 20  # bytes that one compiled pattern may use


class PatternError(ValueError):
    """A regular expression that RE2 refuses; the message names the pattern and RE2's reason."""


class _Pattern(Protocol):
    def search(self, text: str) -> object | None: ...
    def findall(self, text: str) -> Sequence[object]: ...


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> _Pattern:
    """The compiled RE2 pattern. Raises `PatternError` when RE2 refuses it."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return cast(_Pattern, re2.compile(pattern, options))
    except UnicodeError as refusal:
        raise PatternError(f"{pattern!a} holds half a surrogate pair, which RE2 cannot read") from refusal
    except re2.error as refusal:
        reason = refusal.args[0].decode() if isinstance(refusal.args[0], bytes) else str(refusal)
        raise PatternError(f"`{pattern}` is not a regular expression that RE2 accepts: {reason}") from refusal


def measure(kind: MeasureKind, pattern: str, over: Judged, told: Conversation) -> int:
    """The count behind a measure of the text `over`; for `matches` and `contains`, 1 or 0.

    `words` are runs of non-space, `characters` are code points, `lines` are as `str.splitlines` has
    them, `count` is of matches that do not overlap; `steps` are the assistant's turns, `calls` are of tools whose
    name the pattern is found in, `tool_errors` results that are errors. Raises `PatternError`.
    """
    text = told.text(over)
    match kind:
        case "steps":
            return told.steps()
        case "calls":
            wanted = compile_pattern(pattern)
            return sum(wanted.search(_encodable(call.name)) is not None for call in told.calls())
        case "tool_errors":
            return told.tool_errors()
        case "words":
            return len(text.split())
        case "characters":
            return len(text)
        case "lines":
            return len(text.splitlines())
        case "sentences":
            return len(compile_pattern(_SENTENCE).findall(_encodable(text)))
        case "count":
            return len(compile_pattern(pattern).findall(_encodable(text)))
        case "matches":
            return int(compile_pattern(pattern).search(_encodable(text)) is not None)
        case "contains":
            return int(pattern in text)
        case _:
            assert_never(kind)


def measure_atoms(atoms: Sequence[AtomInfo], told: Conversation) -> list[bool]:
    """Truth of every measure among `atoms`, in their order. Raises `PatternError`."""
    counts: dict[tuple[str, str, Judged], int] = {}
    truths: list[bool] = []
    for atom in atoms:
        if atom.measure is None:
            continue
        kind, pattern, threshold = atom.measure
        key = kind, pattern, atom.over
        if key not in counts:
            counts[key] = measure(cast(MeasureKind, kind), pattern, atom.over, told)
        limit = 0 if kind in ("matches", "contains") else threshold
        truths.append(counts[key] > limit)
    return truths


def _encodable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can carry them, UTF-8 and so RE2 cannot."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
