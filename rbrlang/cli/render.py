"""How does a finding look, to a person and to a program?

`pretty` shows the source with its mistake underlined; `to_json` is the shape that interfaces promise.
"""

from __future__ import annotations

import json
import os
import unicodedata
from typing import Any, TextIO

from rbrlang.cli.terminal import painted, shown
from rbrlang.diagnostics import Diagnostic, Fix, fix_text, notes
from rbrlang.source import Span

_COLOURS = {"error": "1;31", "warning": "1;33", "note": "1;36", "frame": "1;34", "bold": "1", "help": "1;32"}


def use_colour(stream: TextIO) -> bool:
    """Whether to colour what is written there (https://no-color.org)."""
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


class _Paint:
    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if self.on and text else text


def _width(text: str) -> int:
    """Columns a text takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _visible(text: str) -> str:
    """A source line safe to print: tabs as blanks, control characters as their codes."""
    return shown(text.replace("\t", "    "))


def _excerpt(span: Span) -> tuple[int, str, str]:
    """Line number, the line as shown, and the underlining below it."""
    before, marked, after = span.excerpt()
    marks = " " * _width(_visible(before)) + "^" * max(1, _width(_visible(marked)))
    return span.source.position(span.start)[0], _visible(before + marked + after), marks


def show(diagnostic: Diagnostic, stream: TextIO) -> None:
    """Write a finding, in colours where the stream is a terminal."""
    painted(stream, pretty(diagnostic, colour=use_colour(stream)))


def pretty(diagnostic: Diagnostic, *, colour: bool = False) -> str:
    """A finding as several lines of text, ending in a newline; what is not the project's own in it is escaped."""
    paint = _Paint(colour)
    source, span = diagnostic.span.source, diagnostic.span
    line, seen, marks = _excerpt(span)
    column = source.position(span.start)[1]
    related = [(message, s, *_excerpt(s)) for message, s in diagnostic.related]
    gutter = len(str(max([line, *(entry[2] for entry in related)])))
    blank, bar = " " * gutter, paint("frame", "|")
    head = paint(diagnostic.severity, f"{diagnostic.severity}[{diagnostic.code.id}]")
    out = [
        f"{head}{paint('bold', ': ' + shown(diagnostic.message))}",
        f"{blank}{paint('frame', '-->')} {shown(source.name)}:{line}:{column}",
    ]
    if seen.strip():
        out.append(f"{blank} {bar}")
        out.append(f"{paint('frame', str(line).rjust(gutter))} {bar} {seen}")
        out.append(f"{blank} {bar} {paint(diagnostic.severity, marks)}")
    for message, s, number, text, under in related:
        if s.source is not source:
            out.append(
                f"{blank}{paint('frame', ':::')} {shown(s.source.name)}:{number}:{s.source.position(s.start)[1]}"
            )
        out.append(f"{paint('frame', str(number).rjust(gutter))} {bar} {text}")
        out.append(f"{blank} {bar} {paint('frame', under.replace('^', '-'))} {paint('frame', shown(message))}")
    below = [*notes(diagnostic), *(("fix", fix_text(fix)) for fix in diagnostic.fixes)]
    for name, text in below:
        out.append(
            f"{blank} {paint('frame', '=')} {paint('help' if name in ('help', 'fix') else 'bold', name + ':')} {shown(text)}"
        )
    return "\n".join(out) + "\n"


def rest_text(count: int) -> str:
    """That so many findings more are not shown, and how to see them."""
    return f"and {count:,} more finding{'s' if count > 1 else ''}; `--all-messages` shows all"


def _range(span: Span) -> dict[str, dict[str, int]]:
    start, end = span.source.position(span.start), span.source.position(span.end)
    return {
        "start": {"line": start[0], "column": start[1]},
        "end": {"line": end[0], "column": end[1]},
    }


def _fix(fix: Fix) -> dict[str, Any]:
    edit = {"file": fix.span.source.name, "range": _range(fix.span), "text": fix.text}
    return {"title": fix.title, "applicability": fix.applicability, "edits": [edit]}


def to_json(diagnostic: Diagnostic) -> dict[str, Any]:
    """A finding as JSON data; lines and columns count from 1, ends are exclusive."""
    return {
        "code": diagnostic.code.id,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "file": diagnostic.span.source.name,
        "range": _range(diagnostic.span),
        "related": [
            {"message": message, "file": span.source.name, "range": _range(span)}
            for message, span in diagnostic.related
        ],
        "witness": None if diagnostic.witness is None else dict(diagnostic.witness),
        "mass": diagnostic.mass,
        "help": diagnostic.help,
        "fixes": [_fix(fix) for fix in diagnostic.fixes],
    }


def dump(data: Any) -> str:
    """JSON text of a report: two blanks of indentation, keys as given, no NaN."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
