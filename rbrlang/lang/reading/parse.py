"""Which tree do the words of a file make?

An LALR(1) automaton runs over each statement by itself (tables: `grammar.py`, statements:
`tokens.py`). A statement that cannot be read becomes one diagnostic that says what was found and
what could have stood there; all others are kept. Reading never raises, whatever the text; after
`MAX_MISTAKES` it ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix, suggest
from rbrlang.lang.reading import grammar
from rbrlang.lang.reading.build import Builder, Splice
from rbrlang.lang.reading.tokens import MAX_MISTAKES, NAMING, Chunk, Token, lex
from rbrlang.lang.syntax import Comment, Module, Statement
from rbrlang.source import Source, Span

# What people call the terminals and the groups of terminals that often appear together.
_SPOKEN = {
    "NAME": "a name", "NUMBER": "a number", "STRING": "a string", "LONG_STRING": "a string",
    "$END": "the end of the statement",
}  # fmt: skip
_OPERAND_WORDS = (
    "true", "false", "super", "any", "all", "none", "at_least", "at_most", "exactly",
    "words", "characters", "sentences", "lines", "count", "matches", "contains",
)  # fmt: skip
# Deeper stacks mean trees too deep to walk; a bracket with an operator before it takes four places.
MAX_STACK = 500
_END = Token("$END", "", 0, 0)
_OPERAND = frozenset({"NAME", "TRUE", "FALSE", "BANG", "LPAR", "WORDS", "ANY", "MATCHES"})


def parse(source: Source) -> tuple[Module, tuple[Diagnostic, ...]]:
    """Read a file: its good statements, and a diagnostic for everything else."""
    lexed = lex(source)
    builder = Builder(source)
    statements: list[Statement] = []
    diagnostics = list(lexed.diagnostics[:MAX_MISTAKES])
    docs = _Docs(source, lexed.comments)
    lost: set[str] = set()
    for chunk in lexed.chunks:
        if len(diagnostics) + len(builder.diagnostics) >= MAX_MISTAKES:  # to explain one takes most of a millisecond
            break
        builder.doc = docs.before(chunk.tokens[0].start)
        built = (_misspelt(source, chunk) or derive(source, chunk, builder)) if chunk.whole else None
        if built is None or isinstance(built, Diagnostic):
            lost.update(_declared(chunk.tokens))
        else:
            statements.append(built)
        if isinstance(built, Diagnostic) and not _holds(
            source, chunk, lexed.skipped
        ):  # else it says the same once more
            diagnostics.append(built)
    diagnostics += builder.diagnostics
    diagnostics.sort(key=lambda d: d.span.start)
    if len(diagnostics) >= MAX_MISTAKES:
        diagnostics.append(_too_many(diagnostics[-1].span))
    return Module(source, tuple(statements), lexed.comments, frozenset(lost)), tuple(diagnostics)


def _too_many(place: Span) -> Diagnostic:
    return Diagnostic(
        codes.TOO_MUCH_WORK, f"{MAX_MISTAKES:,} mistakes are enough: what follows was not read", place,
        help="mend the first ones; they may be the cause of the others",
    )  # fmt: skip


def _misspelt(source: Source, chunk: Chunk) -> Diagnostic | None:
    """What is wrong where two names begin a statement, and the first is none of `NAMING`, which are no words elsewhere."""
    if [token.kind for token in chunk.tokens[:2]] != ["NAME", "NAME"] or chunk.tokens[0].text in NAMING:
        return None
    tables = grammar.load()
    return _explain(source, chunk, 1, [tables.start, tables.states[tables.start]["NAME"]])


def _declared(tokens: Sequence[Token]) -> Iterator[str]:
    """What an unreadable statement seems to declare: names, or `owner.class` for a rule."""
    kinds, texts = [token.kind for token in tokens[:5]], [token.text for token in tokens[:5]]
    if texts[1:2] == ["."] and texts[3:4] in ([":="], ["="]):
        yield "".join(texts[:3])
    elif kinds[:2] == ["NAME", "NAME"]:  # `porp a …`
        yield texts[1]
    elif kinds[0] == "NAME":
        yield texts[0]
    for token, following in pairwise(tokens):
        if token.kind in ("PROP", "PARAM", "GROUP", "RESPONSE", "AS") and following.kind == "NAME":
            yield following.text


def _holds(source: Source, chunk: Chunk, offsets: Sequence[int]) -> bool:
    """Whether one of the offsets, ascending, lies on the lines of a statement."""
    line_end = source.text.find("\n", chunk.tokens[-1].end)
    at = bisect_left(offsets, chunk.tokens[0].start)
    return at < len(offsets) and (line_end < 0 or offsets[at] < line_end)


class _Docs:
    """Finds the doc comment that ends on the line before an offset. Offsets must ascend."""

    def __init__(self, source: Source, comments: tuple[Comment, ...]) -> None:
        self.source = source
        self.comments = comments
        self.at = 0

    def before(self, offset: int) -> str:
        run: list[str] = []
        end = -1
        while self.at < len(self.comments) and self.comments[self.at].span.start < offset:
            comment = self.comments[self.at]
            self.at += 1
            adjacent = end >= 0 and not self.source.text[end : comment.span.start].strip(" \t\r\n")
            if not comment.doc:
                if adjacent and comment.directive:
                    end = comment.span.end  # an excuse may stand between a doc comment and its declaration
                else:
                    run, end = [], -1
                continue
            one_line_down = adjacent and self.source.text.count("\n", end, comment.span.start) == 1
            if not one_line_down:
                run = []
            run.append(comment.text[2:].strip())
            end = comment.span.end
        if not run or self.source.text[end:offset].strip() or self.source.text.count("\n", end, offset) != 1:
            return ""
        return "\n".join(run)


def derive(source: Source, chunk: Chunk, builder: Builder) -> Any:
    """Run the automaton over one statement: its tree, or the diagnostic of its first error."""
    tables = grammar.load()
    states, rules, actions = tables.states, tables.rules, builder.actions
    state = tables.start
    stack = [state]
    values: list[Any] = []
    starts: list[int] = []
    end = 0
    make = tuple.__new__  # `Span(…)` itself takes twice as long
    for position, token in enumerate((*chunk.tokens, _END)):
        kind, _, start, token_end = token
        while (entry := states[state].get(kind)) is None or entry < 0:
            if entry is None:
                return _explain(source, chunk, position, stack)
            origin, size, keep, _, splice, plain = rules[-entry - 1]
            if plain:
                children = values[-size:]
            else:
                children = _children(values, size, keep, splice)
            begin = starts[-size]
            action = actions[-entry - 1]
            if action is not None:
                value = action(children, make(Span, (source, begin, end)))
            else:
                value = children if isinstance(children, Splice) else Splice(children)
            if origin == "start":
                return value
            if size == 1:
                values[-1] = value
                state = stack[-1] = states[stack[-2]][origin]
            else:
                del stack[-size:], values[-size:], starts[-size:]
                state = states[stack[-1]][origin]
                stack.append(state)
                values.append(value)
                starts.append(begin)
        if len(stack) > MAX_STACK:
            return Diagnostic(
                codes.TOO_DEEP, "this formula nests too deeply", Span(source, start, token_end),
                help="give its parts names of their own: `part := …`",
            )  # fmt: skip
        state = entry
        stack.append(state)
        values.append(token)
        starts.append(start)
        end = token_end
    raise AssertionError("this is a bug in rbrlang: a statement without an end")


def _children(values: list[Any], size: int, keep: tuple[int, ...], splice: bool) -> list[Any]:
    """What a production passes on of the last values; repetitions join in."""
    children: list[Any] = []
    for at in keep:
        value = values[at - size]
        if isinstance(value, Splice) and splice and not children:
            children = value  # grown in place: a copy at every step would be quadratic
        elif isinstance(value, Splice):
            children += value
        else:
            children.append(value)
    return children


def _acceptable(stack: list[int]) -> set[str]:
    """The terminals that could stand next: those whose reductions lead to a shift."""
    tables = grammar.load()
    found: set[str] = set()
    for kind in tables.states[stack[-1]]:
        if kind.islower():
            continue  # a nonterminal
        trial = list(stack)
        while True:
            entry = tables.states[trial[-1]].get(kind)
            if entry is None:
                break
            if entry >= 0:
                found.add(kind)
                break
            rule = tables.rules[-entry - 1]
            del trial[len(trial) - rule.size :]
            if rule.origin == "start":
                found.add(kind)
                break
            trial.append(tables.states[trial[-1]][rule.origin])
    return found


def following(kinds: Sequence[str]) -> set[str]:
    """The terminals that could come after those of an unfinished statement; none when it is already wrong."""
    tables = grammar.load()
    stack = [tables.start]
    for kind in kinds:
        while (entry := tables.states[stack[-1]].get(kind, 0)) < 0:
            rule = tables.rules[-entry - 1]
            del stack[len(stack) - rule.size :]
            stack.append(tables.states[stack[-1]][rule.origin])
        if kind not in tables.states[stack[-1]]:
            return set()
        stack.append(entry)
    return _acceptable(stack)


def _spoken(kinds: set[str]) -> str:
    """A readable list of what could stand here, shortened where it would be a catalogue."""
    tables = grammar.load()
    texts = {kind: text for text, kind in (*tables.symbols.items(), *tables.words.items())}
    foreign = {tables.words[word] for word in ("and", "or", "not")} | {
        tables.symbols[symbol] for symbol in ("&&", "||")
    }
    kinds = kinds - foreign
    parts: list[str] = []
    if kinds >= _OPERAND:
        parts.append("a formula")
        kinds = kinds - {tables.words[word] for word in _OPERAND_WORDS} - {"NAME", "BANG", "LPAR"}
    operators = {tables.symbols[s] for s in ("&", "|", "=>", "<=>")}
    if kinds >= operators:
        parts.append("an operator")
        kinds = kinds - operators
    if len(kinds) > 14:
        return "a statement such as `prop`, `response`, or `name := formula`"
    words = {_SPOKEN.get(kind) or f"`{texts[kind]}`" for kind in kinds}
    parts += sorted(words, key=lambda w: (not w.startswith("a "), w.startswith("the "), w))
    if len(parts) > 1:
        return ", ".join(parts[:-1]) + " or " + parts[-1]
    return parts[0] if parts else "nothing"


_IN_PROP = 'those of its proposition, `prop NAME "…" { %s }`'
_BELONGS = {
    **{word: _IN_PROP % f"{word} …" for word in ("ask", "yes", "no", "cue", "instruct", "over")},
    **{word: f"those of a reward, `reward RESPONSE {{ {word} … }}`" for word in ("features", "weight", "margin")},
    **{
        word: f'those of a test, `test "…" for RESPONSE {{ {word} … }}`'
        for word in ("given", "prompt", "completion", "expect")
    },
}
"""Words that start a line of a block: where the block is that a stray one belongs to."""


_NAMING = {
    "rubric": "a rubric reads `rubric name from column { … }`",
    "column": 'a column of the rows is declared `column name "what it holds"`',
    "scale": 'a scale is declared `scale name 1..5 "The question?" { 5 "the best" 1 "the worst" }`',
    "choice": 'a choice is declared `choice name "The question?" { option "what it means" … }`',
}


_WRITTEN = {"implies": "an implication is written `a => b`", "iff": "an equivalence is written `a <=> b`"}
_NO_WORD = {
    "measure": "a measure is a formula and needs no word: `long := words > 40`",
    "rule": "a rule needs no word: `RESPONSE.CLASS := FORMULA`",
    "define": "a definition needs no word: `name := FORMULA`",
    "let": "a definition needs no word: `name := FORMULA`",
}
"""What people write from habit, and how it is said here."""


def _explain(source: Source, chunk: Chunk, position: int, stack: list[int]) -> Diagnostic:
    """The diagnostic for the token at `position`, which cannot stand there."""
    tables = grammar.load()
    expected = _acceptable(stack)
    first = chunk.tokens[0]
    if position == 1 and first.kind == "NAME" and first.text not in NAMING:
        expected.discard("NAME")  # only those have one behind them
    spoken = _spoken(expected)
    if position == len(chunk.tokens):
        last = chunk.tokens[-1]
        return Diagnostic(
            codes.SYNTAX, f"the statement ends too early: expected {spoken}",
            Span(source, last.start, last.end),
            help="a newline outside brackets ends a statement, unless an operator stands before or after it",
        )  # fmt: skip
    token = chunk.tokens[position]
    span = Span(source, token.start, token.end)
    if position == 0 and token.text in _BELONGS:
        return Diagnostic(
            codes.SYNTAX, f"`{token.text}` starts no statement", span,
            help=f"`{token.text}` stands inside braces: {_BELONGS[token.text]}",
        )  # fmt: skip
    if "NAME" in expected and token.text in tables.words:
        return Diagnostic(
            codes.KEYWORD_AS_NAME, f"`{token.text}` is a word of the language, not a name", span,
            help=f"choose another name, such as `{token.text}_`",
        )  # fmt: skip
    message = f"expected {spoken}, found {_found(token)}"
    fixes: tuple[Fix, ...] = ()
    help_text = ""
    if token.text == "=" and tables.symbols[":="] in expected:
        fixes = (Fix("write `:=`", span, ":=", "machine-applicable"),)
        help_text = "definitions are written with `:=`"
    elif first.text in NAMING and first.kind == "NAME" and (first.text != "rubric" or position <= 4):
        help_text = _NAMING[first.text]
    elif token.text in _WRITTEN:
        help_text = _WRITTEN[token.text]
    elif position == 1 and first.text in _NO_WORD:
        span = Span(source, first.start, first.end)
        message, help_text = f"`{first.text}` starts no statement", _NO_WORD[first.text]
    elif position == 1 and chunk.tokens[0].kind == "NAME":
        near = suggest(chunk.tokens[0].text, sorted(tables.words))
        if near and near != chunk.tokens[0].text:
            span = Span(source, first.start, first.end)
            message = f"`{first.text}` starts no statement"
            help_text = f"did you mean `{near}`?"
            fixes = (Fix(f"write `{near}`", span, near, "maybe-incorrect"),)
    elif chunk.tokens[0].text == "test" and not help_text:
        help_text = 'a test reads `test "what it shows" for RESPONSE { given … expect CLASS }`'
    return Diagnostic(codes.SYNTAX, message, span, help=help_text, fixes=fixes)


def _found(token: Token) -> str:
    if token.kind in ("STRING", "LONG_STRING"):
        return "a string"
    return f"`{token.text}`"
