"""Where in the author's text is it?

A `Span` is a half-open range of character offsets in one `Source`. Lines and columns, which people
read, count from 1 and are computed only when something is shown.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property

from rbrlang.values import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_LONE_RETURN = re.compile(r"\r(?!\n)")


class Source:
    """One text under the name that messages use for it. Equal only to itself.

    A line ends at `\\n`, `\\r\\n` or `\\r`. In `text` a lone `\\r` stands as `\\n`, one character for one, so that offsets
    are those of the file; `raw` is the text as it was given, `line_end` the end of its first line.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.raw = text
        self.text = _LONE_RETURN.sub("\n", text) if "\r" in text else text

    @cached_property
    def line_end(self) -> str:
        """How the first line ends; `\\n` where there is only one line."""
        found = _LINE_END.search(self.raw)
        return "\n" if found is None else found[0]

    @cached_property
    def line_starts(self) -> list[int]:
        """Offset of the first character of every line."""
        starts = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = find("\n", at + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1; past the end counts as the end."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """Text of a line (from 1), without its line end."""
        starts = self.line_starts
        if not 1 <= number <= len(starts):
            return ""
        end = starts[number] if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r\n")

    def __repr__(self) -> str:
        return f"Source({self.name!r}, {len(self.text)} characters)"


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a source."""

    source: Source
    start: int
    end: int

    @property
    def text(self) -> str:
        """The characters themselves."""
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """From the start of this span to the end of the other, in the same source."""
        return Span(self.source, self.start, max(self.end, other.end))

    def excerpt(self, most: int = 160) -> tuple[str, str, str]:
        """The line that it begins in: what is before it, what it marks there, and what is behind. A long line is cut to `most`."""
        number, column = self.source.position(self.start)
        end_line, end_column = self.source.position(max(self.end, self.start + 1))
        text, start = self.source.line(number), column - 1
        cut = max(0, start - 60) if len(text) > most else 0
        stop = min(end_column - 1 if end_line == number else len(text), cut + most)
        before, after = text[cut:start], text[max(start, stop) : cut + most]
        return ("…" if cut else "") + before, text[start:stop], after + ("…" if cut + most < len(text) else "")

    def __repr__(self) -> str:
        line, column = self.source.position(self.start)
        return f"{self.source.name}:{line}:{column}"
