"""What does a text say, and what does it only think?

Models that reason write their thoughts between marks, or a server cuts them off. They are no part of the answer.
"""

from __future__ import annotations

from typing import TypeAlias

from rbrlang.rows.conversation import joined

Marks: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of texts between which an assistant thinks."""

THOUGHT_MARKS: Marks = (("<think>", "</think>"),)


def apart(text: str, marks: Marks = THOUGHT_MARKS) -> tuple[str, str]:
    """What a text says, and what it thinks between marks.

    Before a first closing mark without an opening one all is thought (the prompt had opened it), and after an
    opening mark that is never closed.

    >>> apart("Let me see.</think> Yes.")
    ('Yes.', 'Let me see.')
    >>> apart("No <think>or")
    ('No', 'or')
    """
    said, thoughts = text, list[str]()
    for opening, closing in marks:
        if opening in said or closing in said:
            said, found = _cut(said, opening, closing)
            thoughts += found
    return said, joined(thoughts)


def _cut(text: str, opening: str, closing: str) -> tuple[str, list[str]]:
    said: list[str] = []
    thoughts: list[str] = []
    first = text.find(closing)
    at = 0
    if first >= 0 and not 0 <= text.find(opening) < first:
        thoughts.append(text[:first])
        at = first + len(closing)
    while (start := text.find(opening, at)) >= 0:
        said.append(text[at:start])
        end = text.find(closing, start + len(opening))
        thoughts.append(text[start + len(opening) : end if end >= 0 else len(text)])
        at = end + len(closing) if end >= 0 else len(text)
    said.append(text[at:])
    return "".join(said).strip(), [thought.strip() for thought in thoughts]
