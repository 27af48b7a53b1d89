"""What do the lines of a rubric say?

`points`, `clip`, `by tag` are names elsewhere, so the grammar hands their words over one by one; where a line ends is
told here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, did_you_mean
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading.literals import Literals
from rbrlang.lang.reading.tokens import Token
from rbrlang.source import Span

COMMA = "comma"
LINES = ("points", "clip", "by", "ask", "yes", "no", "over")
"""Words that begin a line."""

Part = Token | tree.Ask | tree.Example | tree.OverItem | str
Item = tree.PointsItem | tree.ClipItem | tree.TagsItem | tree.Ask | tree.Example | tree.OverItem


def items(parts: Sequence[Part], read: Literals, diagnostics: list[Diagnostic]) -> Iterator[Item]:
    """The lines that words and readable items make up; what is none is reported and left out."""
    lines = _Lines(parts, read, diagnostics)
    while lines.left:
        item = lines.next()
        if item is not None:
            yield item


class _Lines:
    def __init__(self, parts: Sequence[Part], read: Literals, diagnostics: list[Diagnostic]) -> None:
        self.left = list(parts)
        self._read, self._diagnostics = read, diagnostics

    def next(self) -> Item | None:
        first = self.left.pop(0)
        if isinstance(first, tree.Ask | tree.Example | tree.OverItem):
            return first
        if isinstance(first, str):
            return None  # a comma too many says nothing
        word = self._read.ident(first)
        match first.text if first.kind == "NAME" else "":
            case "points":
                return self._points(word)
            case "clip":
                return self._clip(word)
            case "by":
                return self._tags(word)
            case _:
                self._report(
                    word.span, f"`{first.text}` begins no line of a rubric",
                    did_you_mean(first.text, LINES, "there are `points`, `clip`, `by tag`, `ask`, `yes`, `no` and `over`"),
                )  # fmt: skip
                while self.left and self._kind() in ("NUMBER", "STRING", COMMA):
                    self.left.pop(0)
                return None

    def _points(self, word: tree.Ident) -> Item | None:
        match self.left[:1]:
            case [tree.OverItem(over=over, span=span)]:
                self.left.pop(0)
                return tree.PointsItem(over, _to(word, span))
            case [Token(kind="NAME") as token]:
                self.left.pop(0)
                named = self._read.ident(token)
                return tree.PointsItem(named, _to(word, named.span))
            case _:
                return self._report(
                    word.span, "`points` says nothing of how points are taken",
                    "write `points over positive`, `points over absolute`, `points sum` or `points mean`",
                )  # fmt: skip

    def _clip(self, word: tree.Ident) -> Item | None:
        match self.left[:3]:
            case [Token(kind="NUMBER") as low, "comma", Token(kind="NUMBER") as high]:
                del self.left[:3]
                least, most = self._read.number(low), self._read.number(high)
                return tree.ClipItem(least, most, _to(word, most.span))
            case _:
                return self._report(word.span, "`clip` takes two numbers", "write `clip 0, 1`")

    def _tags(self, word: tree.Ident) -> Item | None:
        if self._kind() != "NAME" or self._text() != "tag":
            return self._report(word.span, "`by` is followed by `tag`", "write `by tag accuracy, completeness`")
        tags: list[tree.Tag] = []
        last = self._read.span(self._token())
        more = True
        while more and self._kind() == "NAME":
            name = self._read.ident(self._token())
            written = self._read.text(self._token()) if self._kind() == "STRING" else None
            tags.append(tree.Tag(name, written))
            last = name.span if written is None else written.span
            more = self._kind() == COMMA
            if more:
                self.left.pop(0)
        if not tags:
            return self._report(
                _to(word, last), "`by tag` names no tag",
                "a weight belongs to a tag that the policy names: `by tag accuracy, completeness`",
            )  # fmt: skip
        return tree.TagsItem(tuple(tags), _to(word, last))

    def _kind(self) -> str:
        match self.left[:1]:
            case [Token(kind=kind)]:
                return kind
            case [str()]:
                return COMMA
            case _:
                return ""

    def _text(self) -> str:
        match self.left[:1]:
            case [Token(text=text)]:
                return text
            case _:
                return ""

    def _token(self) -> Token:
        token = self.left.pop(0)
        assert isinstance(token, Token)
        return token

    def _report(self, span: Span, message: str, help: str) -> None:
        self._diagnostics.append(Diagnostic(codes.SYNTAX, message, span, help=help))


def _to(word: tree.Ident, end: Span) -> Span:
    return Span(word.span.source, word.span.start, end.end)
