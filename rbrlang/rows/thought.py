"""What does a text say, and what does it only think?

Models that reason write their thoughts between marks, or a server cuts them off. They are no part of the answer.
"""

from __future__ import annotations

import re
from typing import TypeAlias

from rbrlang.rows.conversation import joined

Marks: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of texts between which an assistant thinks."""

THOUGHT_MARKS: Marks = (("<think>", "</think>"),)


def apart(text: str, marks: Marks = THOUGHT_MARKS) -> tuple[str, str]:
    """What a text says, and what it thinks between marks.

    Before a first closing mark without an opening one all is thought (the prompt had opened it), and after an
    opening mark that is never closed. The text is read once: what is left of it makes no new mark.

    >>> apart("Let me see.</think> Yes.")
    ('Yes.', 'Let me see.')
    >>> apart("No <think>or")
    ('No', 'or')
    """
    for opening_mark, closing_mark in marks:
        if opening_mark in text or closing_mark in text:
            break
    else:
        return text, ""
    closing_of = {opening: closing for opening, closing in marks if opening and closing}
    if not any(mark in text for pair in closing_of.items() for mark in pair):
        return text, ""
    openings = re.compile("|".join(re.escape(one) for one in sorted(closing_of, key=len, reverse=True)))
    said, thoughts, at = list[str](), list[str](), 0
    opening = openings.search(text)
    closed = [(found, closing) for closing in closing_of.values() if (found := text.find(closing)) >= 0]
    if closed and (opening is None or min(closed)[0] < opening.start()):
        end, closing = min(closed)
        thoughts.append(text[:end])
        at = end + len(closing)
        opening = openings.search(text, at)
    while opening is not None:
        said.append(text[at : opening.start()])
        closing = closing_of[opening[0]]
        end = text.find(closing, opening.end())
        thoughts.append(text[opening.end() : end if end >= 0 else len(text)])
        at = end + len(closing) if end >= 0 else len(text)
        opening = openings.search(text, at)
    said.append(text[at:])
    return "".join(said).strip(), joined(thought.strip() for thought in thoughts)
