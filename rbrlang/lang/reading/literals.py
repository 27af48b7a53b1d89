"""Which value does a number or a string of the source stand for?

Escapes are those of JSON, and `\\{`, which stays as it is; a long string is dedented and raw. A literal that has no value is reported and
stands for the nearest thing that has one, so that the rest of its statement can still be read.
"""

from __future__ import annotations

import json
import math
import re

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading.tokens import Token
from rbrlang.source import Source, Span

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Literals:
    """Reads the literals of one source; what is wrong with them goes to `diagnostics`."""

    def __init__(self, source: Source, diagnostics: list[Diagnostic]) -> None:
        self.source = source
        self.diagnostics = diagnostics

    def span(self, token: Token) -> Span:
        """Where a token stands."""
        return Span(self.source, token.start, token.end)

    def ident(self, token: Token) -> tree.Ident:
        """A bare name."""
        return tree.Ident(token.text, Span(self.source, token.start, token.end))

    def number(self, token: Token) -> tree.Number:
        """A finite number."""
        value = float(token.text)
        if not math.isfinite(value):
            self.diagnostics.append(Diagnostic(
                codes.BAD_NUMBER, f"`{_short(token.text)}` is too large", self.span(token), help="numbers are finite",
            ))  # fmt: skip
            value = 0.0
        return tree.Number(value, self.span(token))

    def text(self, token: Token) -> tree.Text:
        """A string, without its quotes and escapes."""
        span = self.span(token)
        if token.kind == "LONG_STRING":
            return tree.Text(dedented(token.text[3:-3].replace('\\"""', '"""')), span)
        if "\\" not in token.text:
            return tree.Text(token.text[1:-1], span)
        try:
            value = json.loads(_ESCAPE.sub(_kept, token.text), strict=False)
        except ValueError:
            at = re.search(r"\\(?:[^\"\\/bfnrtu{]|u(?![0-9a-fA-F]{4}))", token.text)
            offset = token.start + (at.start() if at else 0)
            shown = at.group() if at else "\\"
            where = Span(self.source, offset, offset + len(shown))
            self.diagnostics.append(Diagnostic(
                codes.BAD_STRING, f"`{shown}` is not an escape", where,
                help=f"write `\\\\{shown[1:]}` for a backslash; escapes are those of JSON",
                fixes=(Fix("double the backslash", where, "\\" + shown, "maybe-incorrect"),),
            ))  # fmt: skip
            value = token.text[1:-1]
        if _SURROGATE.search(value) is not None:
            self.diagnostics.append(Diagnostic(
                codes.BAD_STRING, "half of a surrogate pair is not a character", span,
                help="write the character itself, or both halves",
            ))  # fmt: skip
            value = value.encode("utf-8", "replace").decode()
        return tree.Text(value, span)


def _kept(escape: re.Match[str]) -> str:
    """`\\{` stands for itself: what it keeps from being a column's name is decided where columns are known."""
    return r"\\{" if escape[1] == "{" else escape[0]


def _short(digits: str) -> str:
    return digits if len(digits) <= 30 else f"{digits[:12]}…{digits[-3:]}"


def dedented(text: str) -> str:
    """The text of a long string: common indentation and the line break at either end removed."""
    text = text.replace("\r\n", "\n")
    if "\n" not in text:
        return text
    import textwrap  # few policies have texts of several lines

    first, rest = text.split("\n", 1)
    body = textwrap.dedent(rest)
    if first.strip():
        body = first + "\n" + body
    last = body.rsplit("\n", 1)[-1]
    return body[: -len(last) - 1] if "\n" in body and not last.strip() else body
