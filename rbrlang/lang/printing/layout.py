"""Where do the lines of a text break, so that it fits a width and its columns line up?

A document is text with places where a line may end. A `Group` is put on one line when it fits there whole; otherwise
its own places become line ends, and the groups inside decide for themselves (Wadler, A Prettier Printer, 2003; Oppen,
Pretty Printing, 1980). Two things are added. A comment ends its line wherever it stands, and no group with a comment
inside is put on one line. And a `Stop` starts a new column: those of neighbouring lines line up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from rbrlang.lang.reading.literals import dedented
from rbrlang.values import NamedTuple

WIDTH = 100
_TABLE = 132  # columns with an arrow line up as far as this


class Space(NamedTuple):
    """A blank; nothing at the start of a line."""


class Break(NamedTuple):
    """A place where a line may end; `flat` stands there when it does not, and then `stop` starts a column."""

    flat: str
    stop: str = ""


class Stop(NamedTuple):
    """A blank that starts a new column; those with the same `kind` in neighbouring lines line up."""

    kind: str


class Hard(NamedTuple):
    """The line ends here; `blank` leaves an empty one."""

    blank: bool = False


class Trailing(NamedTuple):
    """A comment behind what stands on its line."""

    text: str


class Alone(NamedTuple):
    """A comment on a line of its own; `blank` leaves an empty one before it."""

    text: str
    blank: bool


class Block(NamedTuple):
    """A string of several lines: its value, and how it was written."""

    value: str
    raw: str


class Group(NamedTuple):
    """Put on one line if it fits there; a `wide` one fits whatever its width."""

    inner: Sequence[Doc]
    wide: bool = False


class Indent(NamedTuple):
    """Lines that begin inside stand two columns further right."""

    inner: Sequence[Doc]


Doc = str | Space | Break | Stop | Hard | Trailing | Alone | Block | Group | Indent


@dataclass(slots=True)
class _Line:
    """A line being made: its columns, of which all but the first have a kind, and the comment behind them."""

    indent: int
    cells: list[str] = field(default_factory=lambda: [""])
    kinds: list[str] = field(default_factory=list[str])
    comment: str = ""
    raw: bool = False  # inside a string, where every blank counts

    @property
    def empty(self) -> bool:
        return self.cells == [""] and not self.comment

    @property
    def width(self) -> int:
        return self.indent + sum(map(len, self.cells)) + len(self.kinds)


class _Pending(NamedTuple):
    indent: int
    flat: bool
    doc: Doc


def render(docs: Sequence[Doc]) -> str:
    """The text of a document, lines at most `WIDTH` wide where its places allow; ends in a newline unless empty."""
    return _Printer().run(docs)


class _Printer:
    def __init__(self) -> None:
        self.lines: list[_Line] = []
        self.line = _Line(0)

    def run(self, docs: Sequence[Doc]) -> str:
        stack = [_Pending(0, False, doc) for doc in reversed(docs)]
        while stack:
            indent, flat, doc = stack.pop()
            match doc:
                case str():
                    self.put(doc, indent)
                case Space():
                    if self.line.comment:
                        self.end(indent)
                    elif not self.line.empty:
                        self.line.cells[-1] += " "
                case Break():
                    if not flat or self.line.comment:
                        self.end(indent)
                    elif doc.stop:
                        self.stop(doc.stop, indent)
                    elif not self.line.empty:
                        self.line.cells[-1] += doc.flat
                case Stop():
                    self.stop(doc.kind, indent)
                case Hard():
                    self.end(indent, doc.blank)
                case Trailing():
                    self.behind(doc.text, indent)
                case Alone():
                    self.end(indent, doc.blank)
                    self.line.comment = doc.text
                case Block():
                    self.block(doc, indent)
                case Group():
                    flat = flat or self.fits(doc, stack)
                    stack += [_Pending(indent, flat, part) for part in reversed(doc.inner)]
                case Indent():
                    stack += [_Pending(indent + 2, flat, part) for part in reversed(doc.inner)]
                case _:
                    assert_never(doc)
        self.end(0)
        while self.lines and self.lines[-1].empty:
            self.lines.pop()
        return "".join(text + "\n" for text in _aligned(self.lines))

    def put(self, text: str, indent: int) -> None:
        """Text, on a new line when a comment has ended this one."""
        if self.line.comment:
            self.end(indent)
        self.line.cells[-1] += text

    def stop(self, kind: str, indent: int) -> None:
        if self.line.comment:
            self.end(indent)
        elif not self.line.empty:
            self.line.cells[-1] = self.line.cells[-1].rstrip()
            self.line.cells.append("")
            self.line.kinds.append(kind)

    def behind(self, text: str, indent: int) -> None:
        if self.line.comment or self.line.empty:  # two comments on one line would become one
            self.end(indent)
        self.line.comment = text

    def end(self, indent: int, blank: bool = False) -> None:
        """End the line, if anything is on it; leave a blank one, except at the top, twice, or behind an opening."""
        if self.line.empty:
            self.line.indent = indent
        else:
            self.lines.append(self.line)
            self.line = _Line(indent)
        if blank and self.lines:
            last = self.lines[-1]
            if not last.empty and (last.comment or not last.cells[-1].endswith("{")):
                self.lines.append(_Line(0))

    def block(self, doc: Block, indent: int) -> None:
        if self.line.comment:
            self.end(indent)
        margin = " " * (self.line.indent + 2)
        first, *rest = _block(doc, margin).split("\n")
        self.line.cells[-1] += first
        for text in rest:
            self.lines.append(self.line)
            self.line = _Line(0, [text], raw=True)

    def fits(self, group: Group, rest: Sequence[_Pending]) -> bool:
        """Whether a group fits on this line, with what must stand behind it."""
        left = 10**9 if group.wide else WIDTH - self.line.width
        if self.line.comment:
            left = WIDTH - self.line.indent  # it begins on a new line
        stack: list[tuple[bool, Doc]] = [(True, group)]
        behind = len(rest)
        while left >= 0:
            if not stack:
                if not behind:
                    return True
                behind -= 1
                stack.append((rest[behind].flat, rest[behind].doc))
            flat, doc = stack.pop()
            inside = flat and behind == len(rest)
            match doc:
                case str():
                    left -= len(doc)
                case Space() | Stop():
                    left -= 1
                case Break():
                    if not flat:
                        return True
                    left -= len(doc.flat)
                case Hard() | Trailing() | Alone():
                    return not inside
                case Block():
                    return not inside
                case Group() | Indent():
                    # Behind the group, whatever may break will.
                    flat = flat if isinstance(doc, Indent) or inside else False
                    stack += [(flat, part) for part in reversed(doc.inner)]
                case _:
                    assert_never(doc)
        return False


def _block(doc: Block, margin: str) -> str:
    """A string of several lines with this margin, or as it was written where a margin would change its value."""
    lines = [margin + line if line.strip() else line for line in doc.value.split("\n")]
    body = "\n" + "\n".join(lines) + "\n" + margin
    exact = '"""' not in doc.value and "\r" not in doc.value and dedented(body) == doc.value
    return f'"""{body}"""' if exact else doc.raw


# --- columns ----------------------------------------------------------------------------------


def _aligned(lines: Sequence[_Line]) -> list[str]:
    """The lines as text, columns and the comments behind them lined up."""
    texts = [" " * line.indent + line.cells[0] if not line.empty else "" for line in lines]
    start = 0
    while start < len(lines):  # runs of lines with one stop of the same kind at the same depth
        first, end = lines[start], start + 1
        while first.kinds and end < len(lines) and (lines[end].kinds, lines[end].indent) == (first.kinds, first.indent):
            end += 1
        if first.kinds:
            rights = [" ".join(line.cells[1:]) for line in lines[start:end]]
            sizes = [(len(left), len(right)) for left, right in zip(texts[start:end], rights, strict=True)]
            column = _column(sizes, 1, _TABLE if first.kinds == ["->"] else WIDTH)
            for at, right in zip(range(start, end), rights, strict=True):
                texts[at] = texts[at].ljust(column) + " " + right
        start = end
    texts = [text if line.raw else text.rstrip() for text, line in zip(texts, lines, strict=True)]
    start = 0
    while start < len(lines):
        end = start + 1
        if lines[start].comment and texts[start]:
            while end < len(lines) and lines[end].comment and texts[end]:
                end += 1
            sizes = [
                (len(text), len(line.comment)) for text, line in zip(texts[start:end], lines[start:end], strict=True)
            ]
            column = _column(sizes, 2, WIDTH)
            for at in range(start, end):
                texts[at] = texts[at].ljust(column) + "  " + lines[at].comment
        elif lines[start].comment:
            texts[start] = " " * lines[start].indent + lines[start].comment
        start = end
    return texts


def _column(sizes: Sequence[tuple[int, int]], gap: int, width: int) -> int:
    """The widest left part such that all lines with no wider one fit when their right parts start behind it."""
    best = widest = 0
    for left, right in sorted(sizes):
        widest = max(widest, right)
        if left + gap + widest <= width:
            best = left
    return best
