"""Which findings has the author excused?

`# rbr: allow RBR4001, RBR4005 -- reason` silences warnings and notes that begin on its own line, or, when it stands
alone on a line, on the next line that is neither blank nor a comment. Errors are never silenced. An excuse that
excuses nothing is itself a finding, and so is one without a reason.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix, did_you_mean, has_errors
from rbrlang.lang.load import LoadedModule
from rbrlang.lang.syntax import Comment
from rbrlang.source import Source, Span
from rbrlang.values import NamedTuple

_ALLOW = re.compile(r"#[ \t]*rbr:[ \t]*allow\b[ \t]*(?P<codes>[^#]*?)[ \t]*(?:--[ \t]*(?P<reason>.*))?\Z")
_EXAMPLE = "write `# rbr: allow RBR4001 -- why it is fine here`"


class _Allow(NamedTuple):
    """One code that one comment excuses on one line; `at` is where the code stands, `comment` the whole comment."""

    code: str
    line: int
    at: Span
    comment: Comment
    alone: bool  # the only code of its comment


def apply(modules: Sequence[LoadedModule], diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The findings that remain, with those about the root file's allows. The root is the last module."""
    found = list(diagnostics)
    whole = not has_errors(found)
    for module in modules:
        allows: list[_Allow] = []
        below: dict[int, int] = {}
        for comment in reversed(module.module.comments):
            if comment.directive:
                read = _read(comment, below)
                if isinstance(read, Diagnostic):
                    found += [read] if module is modules[-1] else []
                else:
                    allows += read
        used: set[_Allow] = set()
        if allows:
            places: dict[tuple[str, int], list[_Allow]] = {}
            for allow in allows:
                places.setdefault((allow.code, allow.line), []).append(allow)
            kept: list[Diagnostic] = []
            for diagnostic in found:
                excuses = _excuses(places, module.module.source, diagnostic)
                used.update(excuses)
                kept += [] if excuses else [diagnostic]
            found = kept
        if whole and module is modules[-1]:
            found += [_unused(allow) for allow in allows if allow not in used]
    return tuple(found)


def _excuses(
    places: Mapping[tuple[str, int], Sequence[_Allow]], source: Source, diagnostic: Diagnostic
) -> Sequence[_Allow]:
    """Those among the allows of a file, by code and line, that excuse a finding."""
    span = diagnostic.span
    return places.get((diagnostic.code.id, source.position(span.start)[0]), ()) if span.source is source else ()


def _read(comment: Comment, below: dict[int, int]) -> list[_Allow] | Diagnostic:
    """What a comment excuses, or why that cannot be told."""
    match = _ALLOW.match(comment.text)
    if match is None:
        return Diagnostic(codes.BAD_ALLOW, "this is no `allow`", comment.span, help=_EXAMPLE)
    listed = [(m.group(), m.start() + match.start("codes")) for m in re.finditer(r"[^\s,]+", match["codes"])]
    if not listed:
        return Diagnostic(codes.BAD_ALLOW, "this `allow` names no code", comment.span, help=_EXAMPLE)
    source, start = comment.span.source, comment.span.start
    allows: list[_Allow] = []
    for name, offset in listed:
        at = Span(source, start + offset, start + offset + len(name))
        code = codes.ALL.get(name)
        if code is None or code.severity == "error":
            return Diagnostic(
                codes.BAD_ALLOW, f"no code `{name}`" if code is None else f"`{name}` is an error, which cannot be allowed",
                at, help="mend what it reports" if code is not None else did_you_mean(name, [c.id for c in codes.ALL.values() if c.severity != "error"], _EXAMPLE),
            )  # fmt: skip
        allows.append(_Allow(name, _line(comment, below), at, comment, len(listed) == 1))
    if not (match["reason"] or "").strip():
        return Diagnostic(codes.BAD_ALLOW, "this `allow` gives no reason", comment.span, help=_EXAMPLE)
    return allows


def _line(comment: Comment, below: dict[int, int]) -> int:
    """The line that a comment speaks of; `below` keeps what the comments below it were found to speak of."""
    source = comment.span.source
    line = source.position(comment.span.start)[0]
    if source.text[source.line_starts[line - 1] : comment.span.start].strip():
        return line
    following = line + 1
    while following < len(source.line_starts) and source.line(following).strip()[:1] in ("", "#"):
        if following in below:
            following = below[following]
            break
        following += 1
    below[line] = following
    return following


def _unused(allow: _Allow) -> Diagnostic:
    if allow.alone:
        text, start, end = allow.at.source.text, allow.comment.span.start, allow.comment.span.end
        while start and text[start - 1] in " \t":
            start -= 1
        own_line = (not start or text[start - 1] == "\n") and end < len(text)
        cut = Span(allow.at.source, start, end + own_line)
    else:
        text, start, end = allow.at.source.text, allow.at.start, allow.at.end
        behind = re.compile(r"[ \t,]*").match(text, end)
        cut = Span(allow.at.source, start, behind.end() if behind else end)
        if text.startswith("--", cut.end):  # the last of several
            while text[start - 1] in " \t,":
                start -= 1
            cut = Span(allow.at.source, start, end)
    return Diagnostic(
        codes.UNUSED_ALLOW, f"nothing here is reported as `{allow.code}`", allow.at,
        help="remove it; what it excused is gone", fixes=(Fix("remove it", cut, "", "machine-applicable"),),
    )  # fmt: skip
