"""Where does each word of a file begin and end, and where each statement?

One compiled pattern finds all tokens; brackets decide which newlines end a statement: those outside
brackets that neither follow an operator nor come before a line that starts with one. Whatever is
not a token becomes a diagnostic; what was plainly meant as a name or as text goes on as one, the rest
is skipped.

When brackets do not pair up, a line that begins in the first column with a word that opens a
statement is taken as the start of a new statement: one missing `}` then costs one statement.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from itertools import pairwise

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.lang.reading import grammar
from rbrlang.lang.reading.direction import directions
from rbrlang.lang.syntax import Comment
from rbrlang.source import Source, Span
from rbrlang.values import NamedTuple


class Token(NamedTuple):
    """A word of the language: its terminal in the grammar, its text, its offsets."""

    kind: str
    text: str
    start: int
    end: int


class Chunk(NamedTuple):
    """The tokens of one statement; not `whole` when its brackets do not pair up."""

    tokens: tuple[Token, ...]
    whole: bool


class Lexed(NamedTuple):
    """A file cut into statements, with its comments and what could not be read.

    `skipped` are the offsets, ascending, of characters that nothing stands in for.
    """

    chunks: tuple[Chunk, ...]
    comments: tuple[Comment, ...]
    diagnostics: tuple[Diagnostic, ...]
    skipped: tuple[int, ...]


MAX_MISTAKES = 1_000  # in one file, after which reading it ends

_OPENING = {"(": ")", "{": "}"}
_STRUCTURE = frozenset({"AT", "PROP", "LPAR", "RPAR", "LBRACE", "RBRACE"})
_STARTERS = frozenset({
    "rbr", "use", "param", "prop", "group", "axiom", "response", "category", "reward", "test", "cases", "property",
    "override", "monotone", "judge",
})  # fmt: skip
NAMING = ("column", "scale", "choice", "rubric")
"""Words that begin a declaration where a name follows, and are names elsewhere."""
# A newline after one of these, or before one, does not end a statement.
_OPERATORS = frozenset({"&", "|", "=>", "<=>", "&&", "||", "and", "or"})
_RELATIONS = frozenset({":=", "->", ">", ">=", "<", "<=", "==", "!="})
_JOINS_AFTER = _OPERATORS | _RELATIONS | {"!", ",", "=", ":", ".", "*", "not"}
_JOINS_BEFORE = _OPERATORS | _RELATIONS | {"{"}


@cache
def _scanner() -> tuple[re.Pattern[str], dict[str, str], dict[str, str]]:
    tables = grammar.load()
    patterns = dict(tables.patterns)
    symbols = "|".join(re.escape(symbol) for symbol in tables.symbols)
    # A long string without an end is taken to stop where the next statement begins.
    statement = rf"(?:@|\*\s*\.|(?:{'|'.join(sorted(_STARTERS))})\b|(?:column|choice)[ \t]+[a-z_]\w*[ \t]*\"|scale[ \t]+[a-z_]\w*[ \t]+\d|rubric[ \t]+[a-z_]\w*[ \t]+from\b|[a-z_][\w.]*[ \t]*:=)"
    pattern = re.compile(
        rf"[ \t\f\r\ufeff]*(?:(?P<NAME>{patterns['NAME']})(?!\w)"
        r"|(?P<newline>\n)|(?P<comment>\#[^\n]*)"
        rf"|(?P<NUMBER>{patterns['NUMBER']})(?!\w|\.(?!\.))"
        rf"|(?P<LONG_STRING>{patterns['LONG_STRING']})|(?!\"\"\")(?P<STRING>{patterns['STRING']})"
        rf"|(?P<symbol>{symbols})"
        rf"|(?P<open_long>\"\"\"[^\n]*(?:\n(?!{statement})[^\n]*)*)|(?P<open_string>\"[^\n]*)"
        r"|(?P<quoted>[“”„][^“”„\"\n]*[“”\"]|(?P<mark>['`])[^'`\n]*(?P=mark)|‘[^‘’\n]*’)"
        r"|(?P<digits>\d\w*)|(?P<word>\w+)|(?P<other>[^ \t\f\r\n\ufeff])|(?P<end>\Z))"
    )
    return pattern, tables.words, tables.symbols


# What the signs of other languages are here.
_ELSEWHERE = {
    "/": "comments start with `#`",
    ";": "a newline ends a statement",
    "[": "lists are written `{ … }`", "]": "lists are written `{ … }`",
    "¬": "write `!`", "~": "write `!`", "∧": "write `&`", "∨": "write `|`", "→": "write `=>`", "⇒": "write `=>`",
    "≤": "write `<=`", "≥": "write `>=`", "≠": "write `!=`",
}  # fmt: skip


def _stray(source: Source, words: dict[str, str], group: str, start: int, end: int) -> tuple[Diagnostic, Token | None]:
    """Explain characters that are no token, and guess the token that was meant."""
    text, span = source.text[start:end], Span(source, start, end)
    if group in ("open_long", "open_string"):
        first = Span(source, start, source.text.find("\n", start, end) if "\n" in text else end)
        if group == "open_long":
            message, help_text = 'this `"""` string is never closed', 'close it with `"""`'
        else:
            message, help_text = "this string is not closed on its line", 'add a `"`, or use `"""` for several lines'
        problem = Diagnostic(codes.UNTERMINATED_STRING, message, first, help=help_text)
        return problem, Token("STRING", json.dumps(text.strip('"'), ensure_ascii=False), start, end)
    if group == "quoted":
        meant = json.dumps(text[1:-1], ensure_ascii=False)
        return Diagnostic(
            codes.UNEXPECTED_CHARACTER, f"`{text[0]}` does not quote text", span, help='text is quoted with `"`',
            fixes=(Fix('quote with `"`', span, meant, "machine-applicable"),),
        ), Token("STRING", meant, start, end)  # fmt: skip
    if group == "digits":
        return Diagnostic(
            codes.UNEXPECTED_CHARACTER, f"`{text}` is neither a number nor a name", span,
            help="names start with a letter or `_`; numbers are written as in JSON",
        ), None  # fmt: skip
    if group == "word":
        snake = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", text).lower()
        plain = re.sub("[^a-z0-9_]", "", unicodedata.normalize("NFKD", snake))
        known = re.fullmatch("[a-z_][a-z0-9_]*", plain) is not None
        return Diagnostic(
            codes.UNEXPECTED_CHARACTER, f"`{text}` is not a name", span,
            help="names are made of the letters a to z, digits and `_`",
            fixes=(Fix(f"write `{plain}`", span, plain, "maybe-incorrect"),) if known else (),
        ), Token(words.get(plain, "NAME"), plain, start, end) if known else None  # fmt: skip
    shown = f"`{text}`" if text.isprintable() else f"character U+{ord(text):04X}"
    return Diagnostic(
        codes.UNEXPECTED_CHARACTER, f"unexpected {shown}", span, help=_ELSEWHERE.get(text, ""),
    ), None  # fmt: skip


class _Scan(NamedTuple):
    """The words of a file. `fresh` are the numbers of those that are the first of their line."""

    tokens: list[Token]
    fresh: list[int]
    comments: list[Comment]
    strays: list[Diagnostic]
    skipped: list[int]


def _scan(source: Source) -> _Scan:
    pattern, words, symbols = _scanner()
    tokens: list[Token] = []
    fresh: list[int] = []
    comments: list[Comment] = []
    strays: list[Diagnostic] = []
    skipped: list[int] = []
    add, make = tokens.append, tuple.__new__  # `Token(…)` itself takes twice as long
    line_began = False
    for match in pattern.finditer(source.text):
        group = match.lastgroup or "other"
        if group == "newline":
            line_began = bool(tokens)
            continue
        text = match[group]
        end = match.end()
        start = end - len(text)
        if group == "NAME":
            token = make(Token, (words.get(text, "NAME"), text, start, end))
        elif group == "symbol":
            token = make(Token, (symbols[text], text, start, end))
        elif group in ("NUMBER", "STRING", "LONG_STRING"):
            token = make(Token, (group, text, start, end))
        elif group == "comment":
            comments.append(Comment(text.rstrip(), text.startswith("##"), Span(source, start, end)))
            continue
        elif group == "end":
            continue
        elif group == "other" and strays and strays[-1].span.end == start:
            strays[-1] = strays[-1].widened(end)  # a run of stray characters is one mistake
            continue
        elif len(strays) >= MAX_MISTAKES:
            break
        else:
            problem, token = _stray(source, words, group, start, end)
            strays.append(problem)
            if token is None:
                skipped.append(start)
                continue
        if line_began:
            fresh.append(len(tokens))
            line_began = False
        add(token)
    return _Scan(tokens, fresh, comments, strays, skipped)


def lex(source: Source) -> Lexed:
    """Cut a file into statements. Never raises on any text."""
    scan = _scan(source)
    chunks, problems = _cut(source, scan.tokens, scan.fresh, resync=False)
    if problems:
        chunks, problems = _cut(source, scan.tokens, scan.fresh, resync=True)
    if not source.text.isascii():
        strings = [(token.start, token.end) for token in scan.tokens if token.kind == "STRING"]
        others = [(token.start, token.end) for token in scan.tokens if token.kind == "LONG_STRING"]
        others += [(comment.span.start, comment.span.end) for comment in scan.comments]
        problems += directions(source, strings, others)
    return Lexed(tuple(chunks), tuple(scan.comments), (*scan.strays, *problems), tuple(scan.skipped))


def _starts_statement(source: Source, tokens: list[Token], at: int) -> bool:
    token = tokens[at]
    if token.start and source.text[token.start - 1] != "\n":
        return False
    if token.text in _STARTERS or token.text == "@":
        return True
    if token.text == "rubric":
        return [t.text for t in tokens[at + 2 : at + 3]] == ["from"]
    if token.text in NAMING and [t.kind for t in tokens[at : at + 2]] == ["NAME", "NAME"]:
        return True
    following = [t.text for t in tokens[at + 1 : at + 4]]
    return following[:1] == [":="] or (following[:1] == ["."] and following[2:3] == [":="])


def _continues(source: Source, tokens: list[Token], at: int, annotations_only: bool) -> bool:
    """Whether a token on a new line, outside brackets, goes on with the statement before it."""
    token, previous = tokens[at], tokens[at - 1]
    if annotations_only and previous.text == ")":
        return token.text in ("@", "prop", "scale", "choice")
    joined = previous.text in _JOINS_AFTER or token.text in _JOINS_BEFORE
    return joined and not _starts_statement(source, tokens, at)


def _cut(
    source: Source, tokens: list[Token], fresh: list[int], *, resync: bool
) -> tuple[list[Chunk], list[Diagnostic]]:
    chunks: list[Chunk] = []
    problems: list[Diagnostic] = []
    opened: list[Token] = []
    begin = 0  # of the current statement
    annotations_only = False
    spoiled = False  # brackets of the current statement do not pair up

    def unclosed() -> None:
        nonlocal spoiled
        token = opened.pop()
        spoiled = True
        problems.append(Diagnostic(
            codes.UNCLOSED_BRACKET, f"this `{token.text}` is never closed",
            Span(source, token.start, token.end), help=f"add the missing `{_OPENING[token.text]}`",
        ))  # fmt: skip

    for line, line_end in pairwise((0, *fresh, len(tokens))):
        if opened:
            ended = resync and _starts_statement(source, tokens, line)
            if ended:
                unclosed()
        else:
            ended = line > begin and not _continues(source, tokens, line, annotations_only)
        if ended:
            chunks.append(Chunk(tuple(tokens[begin:line]), not spoiled))
            begin, spoiled, annotations_only = line, False, False
            opened.clear()
        for at in range(line, line_end):
            kind = tokens[at][0]
            if kind not in _STRUCTURE:
                continue
            token = tokens[at]
            if kind == "AT":
                annotations_only = annotations_only or at == begin
            elif kind == "PROP":
                annotations_only = False
            elif kind in ("LPAR", "LBRACE"):
                opened.append(token)
            elif opened and _OPENING[opened[-1].text] == token.text:
                opened.pop()
            else:
                spoiled = True
                problems.append(_mismatch(source, token, opened))
                matching = [n for n, o in enumerate(opened) if _OPENING[o.text] == token.text]
                del opened[matching[-1] if matching else -1 :]
    if opened:
        unclosed()
    if tokens:
        chunks.append(Chunk(tuple(tokens[begin:]), not spoiled))
    return chunks, problems


def _mismatch(source: Source, token: Token, opened: list[Token]) -> Diagnostic:
    span = Span(source, token.start, token.end)
    if not opened:
        return Diagnostic(codes.UNMATCHED_BRACKET, f"this `{token.text}` closes nothing", span, help="remove it")
    opener = opened[-1]
    return Diagnostic(
        codes.UNMATCHED_BRACKET, f"this `{token.text}` does not close `{opener.text}`", span,
        related=((f"`{opener.text}` is opened here", Span(source, opener.start, opener.end)),),
        help=f"expected `{_OPENING[opener.text]}`",
    )  # fmt: skip
