"""How do Sphinx, MkDocs, GitLab's wiki, `rich` and LaTeX colour a policy?

A Pygments lexer, found by its entry point under the name `rbr`; the words are those of `rbrlang.highlight`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pygments.lexer import Lexer
from pygments.token import (
    Error,
    String,
    Whitespace,
    _TokenType,  # pyright: ignore[reportPrivateUsage]  # the class of token types has no public name
    string_to_tokentype,
)

from rbrlang.highlight import words

_PLACEHOLDER = re.compile(r"(?<!\\)\{[a-z_][a-z0-9_]*\}")
_PIECE = re.compile(r"[ \t\f\r\n\ufeff]+|(?P<error>[^ \t\f\r\n\ufeff]+)")


class RbrLexer(Lexer):
    """Pygments lexer of .rbr files. What belongs to no word is an `Error`."""

    name = "rbr"
    url = "https://github.com/rbrlang/rbrlang"
    aliases = ("rbr",)
    filenames = ("*.rbr",)
    mimetypes = ("text/x-rbr",)

    def get_tokens_unprocessed(self, text: str) -> Iterator[tuple[int, _TokenType, str]]:
        """Offset, type and text of every piece of a text, none left out."""
        last = 0
        for word in words(text):
            yield from _between(text, last, word.start)
            kind = string_to_tokentype(word.kind.pygments)
            at = word.start
            for match in _PLACEHOLDER.finditer(text, at, word.end) if word.kind.semantic == "string" else ():
                yield at, kind, text[at : match.start()]
                yield match.start(), String.Interpol, match[0]
                at = match.end()
            yield at, kind, text[at : word.end]
            last = word.end
        yield from _between(text, last, len(text))


def _between(text: str, start: int, end: int) -> Iterator[tuple[int, _TokenType, str]]:
    for match in _PIECE.finditer(text, start, end):
        yield match.start(), Error if match["error"] else Whitespace, match.group()
