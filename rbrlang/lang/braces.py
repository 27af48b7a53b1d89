r"""Which braces in a text for graders stand for a column of the rows, and which are braces?

A column that the policy declares is named in braces, `{reference}`, and each such place is a `Slot`. All other braces
are text: those of JSON (`{"a": 1}`), of sets and code, of names that nobody declared. A backslash in front keeps a
name's braces as text where it would be a column: `\{reference}`.

    >>> parts(r"Does it agree with {reference}? Not \{reference}, {other} or {'a': 1}.", ("reference",))
    ('Does it agree with ', Slot(column='reference'), "? Not {reference}, {other} or {'a': 1}.")

Texts are taken apart once, before anything is put into them: what a row says is never looked at for braces.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Literal

from rbrlang.values import NamedTuple

_BRACES = re.compile(
    r"(?P<escape>\\?)(?:\{(?P<name>[a-z_][a-z0-9_]*)\}"
    r"|(?P<template>\{\{[-~#^/>&!]?\s*[A-Za-z_$][^{}]*\}\}|\{%[-+]?\s*[a-z][^{}%]*%\})"
    r"|\{(?P<nearly>\s*[A-Za-z_][\w.]*\s*)\})"
)
# What opens and closes arguments of TeX: `\frac{a}{b}`, `x^{n}`, `\sqrt[3]{x}`.
_TEX = re.compile(r"\\[A-Za-z]+\*?(?:\[[^\]\n]{0,80}\])?(?=\{)|[\^_](?=\{)|[{}]")


class Brace(NamedTuple):
    """Braces that may be meant as a place to fill, by their offsets, a backslash in front left out.

    A `name` is as a column is written, `nearly` is what somebody may have meant as one (`{ Reference }`), a `template`
    belongs to another tool (`{{ item.reference }}`). `tex`: they hold an argument of TeX.
    """

    kind: Literal["name", "nearly", "template"]
    text: str
    start: int
    end: int
    escaped: bool
    tex: bool


class Slot(NamedTuple):
    """A place that a column fills."""

    column: str


def braces(text: str) -> Iterator[Brace]:
    """All of them, in order."""
    if "{" not in text:
        return
    tex = _arguments(text)
    for match in _BRACES.finditer(text):
        kind = match.lastgroup
        if kind == "name" or kind == "nearly" or kind == "template":
            start = match.end("escape")
            yield Brace(kind, match[kind], start, match.end(), start > match.start(), start in tex)


def _arguments(text: str) -> set[int]:
    """The offsets of opening braces that hold an argument of TeX, or stand within one."""
    found: set[int] = set()
    opened: list[bool] = []
    behind = -1  # a command, or an argument of one
    for match in _TEX.finditer(text):
        if match[0] == "{":
            opened.append(match.start() == behind or (bool(opened) and opened[-1]))
            if opened[-1]:
                found.add(match.start())
        elif match[0] != "}" or (opened and opened.pop()):
            behind = match.end()
    return found


def parts(text: str, columns: Collection[str]) -> tuple[str | Slot, ...]:
    """A text as literal text, which is never empty, and slots; `columns` are those that its policy declares."""
    found: list[str | Slot] = []
    literal: list[str] = []
    last = 0

    def said() -> None:
        whole = "".join(literal)
        literal.clear()
        if whole:
            found.append(whole)

    for brace in braces(text):
        if brace.escaped:
            literal += (text[last : brace.start - 1], text[brace.start : brace.end])
        elif brace.kind == "name" and brace.text in columns:
            literal.append(text[last : brace.start])
            said()
            found.append(Slot(brace.text))
        else:
            continue
        last = brace.end
    literal.append(text[last:])
    said()
    return tuple(found)


def as_text(text: str, columns: Collection[str] = ()) -> str:
    """A text from elsewhere for a policy that declares these columns, where nothing in it looks like a place to fill."""
    found: list[str] = []
    last = 0
    for brace in braces(text):
        place = brace.text in columns if brace.kind == "name" else bool(columns) and brace.kind == "nearly"
        if place or (brace.kind != "nearly" and (brace.escaped or not brace.tex)):
            found += (text[last : brace.start], "\\")
            last = brace.start
    return "".join((*found, text[last:]))


def plain(text: str, columns: Collection[str]) -> str:
    """The text as people read it: the columns' names in braces, no backslash in front of braces that are text."""
    return "".join(part if isinstance(part, str) else f"{{{part.column}}}" for part in parts(text, columns))


def bare(text: str, columns: Collection[str]) -> str:
    """The text without its slots."""
    return "".join(part for part in parts(text, columns) if isinstance(part, str))
