"""What is the one way to lay out this file?

The words of the file stay as they are, only the white space between them changes: the layout depends on the words,
on the comments, and on where a blank line stands. So formatting twice changes nothing more, and the tree, and with it
the policy's fingerprint, stays the same; `formatted` proves that of every text before it returns it.

Blocks are one item a line. What fits on a line of `WIDTH` columns is one line; a longer formula breaks before its
loosest operators, a longer list after commas. `:=`, `->` and `if` line up in neighbouring lines, and so do the
comments behind them; the rows of `cases` are never broken. A statement that an excuse (`# rbr: allow`) speaks of is not broken, since an excuse
holds for one line.
"""

from __future__ import annotations

from rbrlang.budget import Budget, SpentError
from rbrlang.diagnostics import PolicyError, has_errors
from rbrlang.lang import syntax as tree
from rbrlang.lang.printing.layout import WIDTH, Break, Doc, Hard, Space, Stop, render
from rbrlang.lang.printing.phrases import Phrases
from rbrlang.lang.reading.literals import Literals
from rbrlang.lang.reading.parse import parse
from rbrlang.lang.reading.tokens import lex
from rbrlang.lang.syntax import Module
from rbrlang.source import Source

__all__ = ["WIDTH", "formatted"]

_READINGS = 10  # what a layout and the proof of it cost, in readings of the text
_DOCUMENTED = (
    tree.Param,
    tree.Column,
    tree.Prop,
    tree.Variable,
    tree.Rubric,
    tree.Assign,
    tree.Group,
    tree.Response,
    tree.Test,
    tree.PropertyDecl,
)


def formatted(source: Source, budget: Budget | None = None) -> str:
    """The text of a file in its canonical layout; the same text when it has that already.

    Every line ends as the first line of the file does.

    Raises `PolicyError` with the diagnostics when the file cannot be read, or not within the budget. What names mean
    is not looked at.
    """
    if budget is not None:
        try:
            budget.read(source, _READINGS)
        except SpentError:
            raise PolicyError([budget.finding()]) from None
    module, diagnostics = parse(source)
    if has_errors(diagnostics):
        raise PolicyError(diagnostics)
    text = render(_Layout(source).file())
    after, problems = parse(Source(source.name, text))
    if has_errors(problems) or _said(module) != _said(after):
        raise AssertionError(f"this is a bug in rbrlang: formatting `{source.name}` would change what it says")
    return text if source.line_end == "\n" else text.replace("\n", source.line_end)


def _said(module: Module) -> object:
    """All that a file says: its words, the values of its strings, its comments, and the docs of its declarations."""
    literals = Literals(module.source, [])
    words = [
        [
            literals.text(token).value if token.kind == "LONG_STRING" else token.text
            for token, following in zip(chunk.tokens, (*chunk.tokens[1:], None), strict=True)
            if not (token.text == "," and following is not None and following.kind == "RBRACE")
        ]
        for chunk in lex(module.source).chunks
    ]
    docs = [statement.doc for statement in module.statements if isinstance(statement, _DOCUMENTED)]
    return words, [comment.text for comment in module.comments], docs


class _Layout(Phrases):
    """Makes the document of a file, statement by statement."""

    def file(self) -> list[Doc]:
        """The document of the whole file."""
        while self.at < len(self.tokens):
            tokens = self.starts[self.tokens[self.at].start]
            end = self.at + len(tokens)
            gaps = self.gaps[self.at : end + 1]
            self.wide = any(
                comment.directive
                for number, gap in enumerate(gaps)
                for comment, behind, _ in gap.comments
                if number < len(tokens) or behind
            )
            self.item()
            self.statement()
        self.item()
        return self.out

    def statement(self) -> None:
        """One statement, by its first word."""
        match self.kind:
            case "USE":
                self.use()
            case "AT" | "PROP":
                self.prop()
            case "GROUP":
                self.spaced(3, lambda: self.names(" "))
            case "AXIOM":
                self.spaced(1, self.formula)
            case "OVERRIDE":
                self.spaced(1, self.assign)
            case "RESPONSE":
                self.response()
            case "CATEGORY":
                self.spaced(1, lambda: self.indent(self.category))
            case "REWARD":
                self.spaced(1, lambda: self.indent(lambda: self.list(self.word)))
                self.block(self.reward_item)
            case "TEST":
                self.spaced(3, self.path)
                self.block(self.test_item)
            case "CASES":
                self.spaced(1, self.path)
                self.block(self.case)
            case "PROPERTY":
                self.spaced(3, self.path)
                self.mark()
                self.indent(lambda: self.group(lambda: self.after_break(self.formula)))
            case "JUDGE" | "RBR":
                self.words(2)
            case "MONOTONE":
                self.spaced(1, self.path)
                self.spaced(self.mark, lambda: self.indent(lambda: self.list(self.trend)))
            case "PARAM":
                self.words(4)
            case "NAME" if [token.kind for token in self.tokens[self.at : self.at + 3]] == ["NAME"] * 3:
                self.words(4)
                self.block(self.rubric_item)
            case "NAME" if self.tokens[self.at + 1].kind == "NAME":
                self.declaration()
            case _:
                self.assign()

    def assign(self) -> None:
        """`target := formula`."""
        self.path()
        self.add(Stop(":="))
        self.spaced(self.mark, lambda: self.indent(self.formula))

    def use(self) -> None:
        self.spaced(1, self.path)
        if self.next == "(" and self.kind == "LPAR":
            self.add(Space())
            self.names("", self.word)
        elif self.next == "as":
            self.add(Space())
            self.words(2)

    def prop(self) -> None:
        while self.kind == "AT":
            self.word()
            self.word()
            self.word()
            self.list(self.argument)
            self.word()
            # An excuse speaks of one line: what stood on it stays there.
            end, start = self.tokens[self.at - 1].end, self.tokens[self.at].start
            self.comments()
            joined = self.wide and "\n" not in self.source.text[end:start]
            self.add(Space() if joined or self.kind == "AT" else Hard())
        self.declaration()

    def declaration(self) -> None:
        """A proposition, a scale, a choice or a column, behind its annotations."""
        item = self.prop_item if self.kind == "PROP" else self.variable_item
        self.words(3)
        if self.next == "..":
            self.word()
            self.words(2)
        if self.at < len(self.tokens) and self.kind == "LBRACE":
            self.block(item)

    def variable_item(self) -> None:
        if self.kind == "OVER":
            self.words(2)
            return
        example = self.kind == "NAME" and self.tokens[self.at + 1].kind in ("NUMBER", "NAME")
        self.spaced(2, self.example) if example else self.words(2)

    def argument(self) -> None:
        self.word()
        if self.next == ":":
            self.spaced(self.mark, self.word)

    def prop_item(self) -> None:
        if self.kind in ("CUE", "INSTRUCT", "OVER"):
            self.words(2 if self.kind == "OVER" else 3)
        else:
            self.spaced(1, self.example)

    def example(self) -> None:
        self.group(self.shot if self.kind == "LBRACE" else self.short_shot)

    def rubric_item(self) -> None:
        match self.next:
            case "points":
                self.words(3 if self.tokens[self.at + 1].kind == "OVER" else 2)
            case "clip":
                self.spaced(1, lambda: self.list(self.word))
            case "by":
                self.spaced(2, lambda: self.indent(lambda: self.list(self.tag)))
            case _:
                self.prop_item()

    def tag(self) -> None:
        self.word()
        if self.at < len(self.tokens) and self.kind == "STRING":
            self.add(Space())
            self.word()

    def short_shot(self) -> None:
        self.word()
        if self.next == "because":
            self.indent(lambda: self.after_break(lambda: self.words(2)))

    def shot(self) -> None:
        self.mark()
        if self.kind != "RBRACE":
            self.indent(self.turns)
            self.comments()
            self.add(Break(" "))
        self.word()

    def turns(self) -> None:
        while self.kind != "RBRACE":
            self.comments()
            self.add(Break(" "))
            self.words(2)
        self.comments()

    def response(self) -> None:
        self.spaced(1, lambda: self.indent(self.ranks))
        if self.at < len(self.tokens) and self.kind == "LBRACE":
            self.block(self.cascade_line)

    def ranks(self) -> None:
        self.spaced(lambda: self.list(self.word), self.word, self.tier)
        while self.next == ">":
            self.group(lambda: self.after_operator(self.tier))

    def tier(self) -> None:
        if self.kind == "LBRACE":
            self.names("")
        else:
            self.word()

    def cascade_line(self) -> None:
        self.word()
        self.add(Stop("if"))
        self.word()
        if self.tokens[self.at - 1].kind == "IF":
            self.add(Space())
            self.indent(self.formula)

    def category(self) -> None:
        self.spaced(lambda: self.list(self.word), self.mark, self.path)

    def reward_item(self) -> None:
        if self.kind == "FEATURES":
            self.spaced(1, lambda: self.indent(lambda: self.list(self.path)))
        elif self.kind == "WEIGHT":
            self.spaced(1, self.path, 2)
        else:
            self.words(3)

    def test_item(self) -> None:
        if self.kind == "GIVEN":
            self.spaced(1, lambda: self.indent(lambda: self.list(self.operand)))
        elif self.kind == "EXPECT":
            self.spaced(1, lambda: self.indent(lambda: self.group(self.outcome)))
        else:
            self.words(3 if self.kind == "NAME" else 2)

    def case(self) -> None:
        """A row of a table: broken by comments only."""
        outer, self.wide = self.wide, True
        self.group(self.case_line)
        self.wide = outer

    def case_line(self) -> None:
        if self.next != "->":
            self.indent(lambda: self.list(self.operand))
            self.indent(lambda: self.add(Break(" ", "->")))
        self.spaced(1, lambda: self.indent(lambda: self.group(self.outcome)))

    def outcome(self) -> None:
        self.word()
        while self.next == "|":
            self.operator()
            self.word()

    def trend(self) -> None:
        self.spaced(self.path, 1)
