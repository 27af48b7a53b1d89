"""What is a keyword, a name, a text in this policy?"""

from __future__ import annotations

from collections.abc import Iterator

from rbrlang.highlight import words

_KINDS = {
    "string": "text",
    "number": "number",
    "comment": "comment",
    "keyword": "word",
    "function": "word",
    "decorator": "note",
}


def highlighted(text: str) -> Iterator[tuple[str, str]]:
    """The text cut into (kind, piece); kind is `word`, `text`, `number`, `comment`, `note` or empty."""
    at = 0
    for word in words(text):
        if kind := _KINDS.get(word.kind.semantic):
            if word.start > at:
                yield "", text[at : word.start]
            yield kind, text[word.start : word.end]
            at = word.end
    if at < len(text):
        yield "", text[at:]
