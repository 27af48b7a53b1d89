"""Statements end where the language says, and every offset is that of the text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rbrlang.lang.reading.tokens import lex
from rbrlang.source import Source, Span


def statements(text: str) -> list[str]:
    """The words of each statement."""
    return [" ".join(t.text for t in chunk.tokens) for chunk in lex(Source("t", text)).chunks]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a := b\nc := d", ["a := b", "c := d"]),
        ("a := b &\n  c", ["a := b & c"]),
        ("a := b\n  & c\n  & d", ["a := b & c & d"]),
        ("a :=\n\n  b", ["a := b"]),
        ("a := b\n# between\n  | c", ["a := b | c"]),
        ("a := any({\nb,\nc\n})\nd := e", ["a := any ( { b , c } )", "d := e"]),
        ("response r ranks a > b\n{\n a otherwise\n}", ["response r ranks a > b { a otherwise }"]),
        ('category "x"\n -> r', ['category "x" -> r']),
        ('@prior(0.1)\n@cost(2)\n\nprop a "a"', ['@ prior ( 0.1 ) @ cost ( 2 ) prop a "a"']),
        ("@prior(0.1)\naxiom a", ["@ prior ( 0.1 )", "axiom a"]),
        ("a := b &\nc := d", ["a := b &", "c := d"]),
        ("a := b\r\nc := d\r\n", ["a := b", "c := d"]),
        ("\ufeffrbr 1\na := b", ["rbr 1", "a := b"]),
        ("\ta\t:=\tb\f", ["a := b"]),
        ('a "one # not a comment" # a comment', ['a "one # not a comment"']),
        ('a """one\ntwo"""\nb := c', ['a """one\ntwo"""', "b := c"]),
        ("a<=>b<=c=>d->e:=!=f", ["a <=> b <= c => d -> e := != f"]),
        ("", []),
        ("# only a comment", []),
    ],
)
def test_where_statements_end(text: str, found: list[str]) -> None:
    assert statements(text) == found
    assert lex(Source("t", text)).diagnostics == ()


@pytest.mark.parametrize("word", ["propa", "prop_", "_prop", "a1", "at_least2", "x" * 300])
def test_words_of_the_language_are_matched_whole(word: str) -> None:
    (chunk,) = lex(Source("t", word)).chunks
    assert [t.kind for t in chunk.tokens] == ["NAME"]


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("ab1_ \t\n\"#(){}&|!:=>.é漢“”'\\\r@-*")))
def test_tokens_comments_and_strays_are_the_text(text: str) -> None:
    lexed = lex(Source("t", text))
    tokens = [t for chunk in lexed.chunks for t in chunk.tokens]
    strays = {d.span.start: d.span for d in lexed.diagnostics if d.code.id in ("RBR1002", "RBR1003")}
    for token in tokens:
        assert text[token.start : token.end] == token.text or token.start in strays
    pieces = [(t.start, t.end) for t in tokens] + [(c.span.start, c.span.end) for c in lexed.comments]
    pieces += [(start, max(span.end, start)) for start, span in strays.items()]
    covered = set().union(*(range(low, high) for low, high in pieces)) if pieces else set()
    assert all(text[at].isspace() or text[at] == "\ufeff" for at in range(len(text)) if at not in covered)
    starts = [t.start for t in tokens]
    assert starts == sorted(starts)


@given(st.text(alphabet=st.sampled_from("ab\n\r漢é\t")), st.integers(-3, 30))
def test_positions_count_lines_and_characters_from_one(text: str, offset: int) -> None:
    source = Source("t", text)
    line, column = source.position(offset)
    assert len(source.text) == len(text), "offsets are those of the file"
    before = re.sub("\r(?!\n)", "\n", text)[: max(0, min(offset, len(text)))]  # a lone CR ends a line
    assert line == before.count("\n") + 1
    assert column == len(before) - (before.rfind("\n") + 1) + 1


def test_lines_come_without_their_ends() -> None:
    source = Source("t", "one\r\ntwo\n\nlast")
    assert [source.line(n) for n in range(6)] == ["", "one", "two", "", "last", ""]
    assert repr(Span(source, 5, 8)) == "t:2:1"
    assert Span(source, 5, 8).text == "two"
    assert Span(source, 0, 3).to(Span(source, 5, 8)).text == "one\r\ntwo"
