"""What is a keyword, a name, a text in this policy?

Colours come from the language's own scanner, so that they cannot disagree with what is parsed.
"""

from __future__ import annotations

from collections.abc import Iterator

from rbrlang.lang.reading import grammar
from rbrlang.lang.reading.tokens import lex
from rbrlang.source import Source

_KINDS = {"STRING": "text", "LONG_STRING": "text", "NUMBER": "number"}


def highlighted(name: str, text: str) -> Iterator[tuple[str, str]]:
    """The text cut into (kind, piece); kind is `word`, `text`, `number`, `comment`, `note` or empty."""
    lexed = lex(Source(name, text))
    words = frozenset(grammar.load().words.values())
    marks: list[tuple[int, int, str]] = [(c.span.start, c.span.end, "comment") for c in lexed.comments]
    for chunk in lexed.chunks:
        after_at = False
        for token in chunk.tokens:
            kind = (
                "note"
                if token.text == "@" or after_at
                else _KINDS.get(token.kind, "word" if token.kind in words else "")
            )
            after_at = token.text == "@"
            if kind:
                marks.append((token.start, token.end, kind))
    at = 0
    for start, end, kind in sorted(marks):
        if start > at:
            yield "", text[at:start]
        yield kind, text[start:end]
        at = end
    if at < len(text):
        yield "", text[at:]
