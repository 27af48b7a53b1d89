"""How are the words, lists and formulas of a file laid out?

What every statement is made of; the statements themselves are in `format.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rbrlang.lang.printing.layout import Alone, Block, Break, Doc, Group, Hard, Indent, Space, Trailing
from rbrlang.lang.reading.literals import Literals
from rbrlang.lang.reading.tokens import lex
from rbrlang.lang.syntax import Comment
from rbrlang.source import Source
from rbrlang.values import NamedTuple

_RELATIONS = (">", ">=", "<", "<=", "==", "=", "!=")
_PRECEDENCE = {"<=>": 0, "=>": 1, "|": 2, "&": 3}


class Gap(NamedTuple):
    """What stands before a word: comments, each with whether an empty line precedes it; and one before the word."""

    comments: tuple[tuple[Comment, bool, bool], ...]  # comment, behind the word before, after an empty line
    blank: bool


class Phrases:
    """Makes documents of the words of a file, one after the other; `at` is the next word."""

    def __init__(self, source: Source) -> None:
        self.source = source
        lexed = lex(source)
        self.starts = {chunk.tokens[0].start: chunk.tokens for chunk in lexed.chunks}
        self.tokens = [token for chunk in lexed.chunks for token in chunk.tokens]
        self.literals = Literals(source, [])
        self.gaps = self._gaps(lexed.comments)
        self.at = 0
        self.wide = False
        self.out: list[Doc] = []

    def _gaps(self, comments: Sequence[Comment]) -> list[Gap]:
        """The gap before every word, and the one at the end."""
        gaps: list[Gap] = []
        text, used, end = self.source.text, 0, 0
        for start in [*(token.start for token in self.tokens), len(text)]:
            found: list[tuple[Comment, bool, bool]] = []
            while used < len(comments) and comments[used].span.start < start:
                comment = comments[used]
                lines = text.count("\n", end, comment.span.start)
                found.append((comment, end > 0 and lines == 0, lines > 1))
                end = comment.span.end
                used += 1
            gaps.append(Gap(tuple(found), text.count("\n", end, start) > 1))
            if len(gaps) <= len(self.tokens):
                end = self.tokens[len(gaps) - 1].end
        return gaps

    # --- words --------------------------------------------------------------------------------

    @property
    def next(self) -> str:
        """The text of the next word; nothing at the end."""
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    @property
    def kind(self) -> str:
        return self.tokens[self.at].kind

    def add(self, *docs: Doc) -> None:
        self.out += docs

    def comments(self) -> None:
        """The comments before the next word, which then has none."""
        for comment, behind, blank in self.gaps[self.at].comments:
            self.add(Trailing(comment.text) if behind else Alone(comment.text, blank))
        self.gaps[self.at] = Gap((), self.gaps[self.at].blank)

    def word(self) -> None:
        """The next word, its comments before it."""
        self.comments()
        token = self.tokens[self.at]
        self.at += 1
        if token.kind == "LONG_STRING" and "\n" in token.text:
            self.add(Block(self.literals.text(token).value, token.text.replace("\r\n", "\n")))
        else:
            self.add(token.text)

    def words(self, count: int) -> None:
        """So many words, blanks between them."""
        self.spaced(*[self.word] * count)

    def spaced(self, *parts: int | Callable[[], None]) -> None:
        """Parts with blanks between them, a number being that many words."""
        for at, part in enumerate(parts):
            if at:
                self.add(Space())
            if isinstance(part, int):
                self.words(part)
            else:
                part()

    def mark(self) -> None:
        """A comma, an opening or an operator: its comments, and those before the next word, stand beside it."""
        mine = self.gaps[self.at]
        self.gaps[self.at] = Gap((), mine.blank)
        self.word()
        following = self.gaps[self.at]
        self.gaps[self.at] = Gap((*mine.comments, *following.comments), following.blank)

    def within(self, build: Callable[[], None], wrap: Callable[[list[Doc]], Doc]) -> None:
        """What `build` adds, wrapped."""
        outer, self.out = self.out, []
        build()
        inner, self.out = self.out, outer
        self.add(wrap(inner))

    def group(self, build: Callable[[], None]) -> None:
        self.comments()  # those before the first word do not break what follows
        self.within(build, lambda docs: Group(docs, self.wide))

    def after_break(self, build: Callable[[], None]) -> None:
        self.add(Break(" "))
        build()

    def indent(self, build: Callable[[], None]) -> None:
        self.within(build, Indent)

    def item(self) -> None:
        """The next word begins a line; what stands before it keeps one empty line."""
        gap = self.gaps[self.at]
        alone = [(comment, blank) for comment, behind, blank in gap.comments if not behind]
        self.add(*(Trailing(comment.text) for comment, behind, _ in gap.comments if behind))
        self.add(*(Alone(comment.text, blank) for comment, blank in alone))
        last = self.at == len(self.tokens) or self.tokens[self.at].kind == "RBRACE"
        self.add(Hard(gap.blank and not last))
        self.gaps[self.at] = Gap((), False)

    # --- parts --------------------------------------------------------------------------------

    def block(self, item: Callable[[], None]) -> None:
        """` { … }`, one item a line."""
        self.add(Space())
        self.mark()
        if self.kind == "RBRACE" and not self.gaps[self.at].comments:
            self.word()
            return

        def items() -> None:
            while True:
                self.item()
                if self.kind == "RBRACE":
                    return
                item()

        self.indent(items)
        self.add(Hard())
        self.word()

    def list(self, item: Callable[[], None]) -> None:
        """Items after commas, as many on a line as fit; a comma before a closing brace is dropped."""
        item()
        while self.next == "," and self.kind == "COMMA":
            if self.tokens[self.at + 1].kind == "RBRACE":
                mine = self.gaps[self.at]
                self.at += 1
                following = self.gaps[self.at]
                self.gaps[self.at] = Gap((*mine.comments, *following.comments), following.blank)
                return
            self.mark()
            self.comments()
            self.group(lambda: self.after_break(item))

    def names(self, flat: str, item: Callable[[], None] | None = None) -> None:
        """Names in brackets; `flat` stands inside of them on one line."""
        item = item or self.path

        def inner() -> None:
            self.comments()
            self.add(Break(flat))
            self.list(item)
            self.comments()

        def whole() -> None:
            self.mark()
            if self.kind != "RBRACE":
                self.indent(inner)
                self.add(Break(flat))
            self.word()

        self.group(whole)

    def path(self) -> None:
        """A dotted name, `*.class`, or the string that names a file."""
        self.word()
        while self.next == "." and self.kind == "DOT":
            self.word()
            self.word()

    # --- formulas -----------------------------------------------------------------------------

    def operator(self) -> None:
        """A line may end here; then the operator, with the comments of what follows it before it."""
        mine, following = self.gaps[self.at], self.gaps[self.at + 1]
        self.gaps[self.at] = Gap((*mine.comments, *following.comments), False)
        self.gaps[self.at + 1] = Gap((), False)
        self.comments()
        self.add(Break(" "))
        self.word()
        self.add(Space())

    def after_operator(self, build: Callable[[], None]) -> None:
        self.operator()
        build()

    def formula(self) -> None:
        """A formula, or `otherwise`."""
        self.comments()
        if self.next == "otherwise":
            self.word()
            return
        parts: list[list[Doc]] = []
        signs: list[list[Doc]] = []
        names: list[str] = []
        while True:
            outer, self.out = self.out, []
            self.operand()
            parts.append(self.out)
            self.out = outer
            if self.at == len(self.tokens) or self.next not in _PRECEDENCE:
                break
            names.append(self.next)
            outer, self.out = self.out, []
            self.operator()
            signs.append(self.out)
            self.out = outer
        self.add(*self.joined(parts, signs, names))

    def joined(self, parts: list[list[Doc]], signs: list[list[Doc]], names: list[str]) -> list[Doc]:
        """Operands and the operators between them, grouped so that the loosest break first."""
        if not names:
            return parts[0]
        loosest = min(_PRECEDENCE[name] for name in names)
        cuts = [at for at, name in enumerate(names) if _PRECEDENCE[name] == loosest]
        docs: list[Doc] = []
        start = 0
        for cut in (*cuts, len(names)):
            inner = self.joined(parts[start : cut + 1], signs[start:cut], names[start:cut])
            docs += inner if not docs else [Indent(inner)]
            if cut < len(names):
                docs += signs[cut]
            start = cut + 1
        return [Group(docs, self.wide)]

    def operand(self) -> None:
        """One operand of a formula, or a literal of a test."""
        match self.kind:
            case "BANG":
                self.word()
                self.operand()
            case "LPAR":
                self.mark()
                self.indent(self.formula)
                self.word()
            case "WORDS" | "CHARACTERS" | "SENTENCES" | "LINES" | "COUNT":
                if self.kind == "COUNT":
                    self.call()
                else:
                    self.word()
                self.compared()
            case "MATCHES" | "CONTAINS":
                self.call()
                self.over()
            case "ANY" | "ALL" | "NONE":
                self.word()
                self.mark()
                self.members()
                self.word()
            case "AT_LEAST" | "AT_MOST" | "EXACTLY":
                self.word()
                self.mark()
                self.word()
                self.spaced(self.mark, self.members)
                self.word()
            case "NAME" if self.tokens[self.at + 1 : self.at + 2] and self.tokens[self.at + 1].kind == "LPAR":
                self.call()
                self.compared()
            case _:
                self.path()
                if self.next in _RELATIONS or self.next == "over" or self.ramp():
                    self.compared()

    def compared(self) -> None:
        """The rest of a comparison or a check, behind what is counted."""
        self.over()
        while self.next in _RELATIONS or self.ramp():
            self.add(Space())
            self.spaced(1, self.path)

    def ramp(self) -> bool:
        """Whether a count goes on with `from 200` or `to 400`; a class may be called so too."""
        behind = self.tokens[self.at + 1 : self.at + 2]
        return self.next in ("from", "to") and bool(behind) and behind[0].kind in ("NUMBER", "NAME")

    def call(self) -> None:
        """A measure's name and what is in its parentheses: a pattern, or a column and how it is compared."""
        self.word()
        self.word()
        self.word()
        while self.kind == "COMMA":
            self.spaced(self.mark, self.word)
            self.spaced(self.word, self.word)
        self.word()

    def over(self) -> None:
        """Which text a measure is of, where it says so."""
        if self.next == "over":
            self.add(Space())
            self.words(2)

    def members(self) -> None:
        if self.kind == "LBRACE":
            self.names("")
        else:
            self.path()
