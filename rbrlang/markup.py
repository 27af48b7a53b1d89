"""How does a value look as HTML, as a notebook shows what a cell ends with?

Classes say it in `_repr_html_`, made of the pieces here: plain elements, inline style, no script. All text is the
reader's theme's colour, so that it reads on a light and on a dark ground. Names, texts and messages are untrusted: what
comes in as `str` is escaped, what cannot be seen is made visible, no `$…$` is typeset, and texts and tables end where a page would.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NewType

from rbrlang.source import Span

Html = NewType("Html", str)
Cell = str | int | float | None

MOST_TEXT = 600  # characters
MOST_ROWS = 30
_PLAIN = "\n\t\u200c\u200d"  # the joiners belong to scripts and emoji
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_EDGES = {"error": "#e03131", "warning": "#e67700", "note": "#1c7ed6"}
_MEANT = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;"})
_PRE = "margin:.3em 0;padding:0;background:none;color:inherit;font-size:.95em;white-space:pre;overflow-x:auto"
_TAGS = {"word": "b", "comment": "i", "mark": "u"}


def visible(text: str) -> str:
    """Characters that cannot be seen, above all those that turn the direction of text, as `⟨U+202E⟩`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if c in _PLAIN or unicodedata.category(c) not in _HIDDEN else f"⟨U+{ord(c):04X}⟩" for c in text)


def _escaped(text: str) -> str:
    return visible(text).translate(_MEANT)


def plain(text: str) -> Html:
    """A stranger's text, cut where it is very long."""
    return Html(_escaped(text[:MOST_TEXT]) + ("…" if len(text) > MOST_TEXT else ""))


def block(*parts: Html) -> str:
    """What a notebook shows: parts one below the other."""
    return f'<div class="rbrlang tex2jax_ignore mathjax_ignore" style="line-height:1.45">{"".join(parts)}</div>'


def line(text: str, strong: str = "") -> Html:
    """A line of text, behind words that stand out."""
    return Html(f"<div>{f'<b>{plain(strong)}</b> ' if strong else ''}{plain(text)}</div>")


def more(count: int, what: str) -> Html:
    """How many things are not shown; nothing where none are left out."""
    return Html(f'<div style="opacity:.75">and {count:,} more {plain(what)}</div>') if count > 0 else Html("")


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Html:
    """A table, numbers to the right; nothing where it has no rows."""
    if not rows:
        return Html("")
    said = "".join(
        f'<th scope="col" style="{_cell(row)}">{plain(head)}</th>' for head, row in zip(heads, rows[0], strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f'<td style="{_cell(cell)}">{_shown(cell)}</td>' for cell in row) + "</tr>"
        for row in rows[:MOST_ROWS]
    )
    caption = f'<caption style="caption-side:top;text-align:left;color:inherit;padding:.3em 0">{plain(title)}</caption>'
    return Html(
        f'<table style="border-collapse:collapse;margin:.3em 0">{caption}<thead><tr>{said}</tr></thead><tbody>{body}</tbody></table>'
        + more(len(rows) - MOST_ROWS, "rows")
    )  # fmt: skip


def _cell(cell: Cell) -> str:
    side = "left" if isinstance(cell, str) else "right"
    return f"text-align:{side};padding:.2em .8em .2em 0;border-bottom:1px solid #8886;vertical-align:top"


def _shown(cell: Cell) -> Html:
    match cell:
        case None:
            return Html("–")
        case str():
            return plain(cell)
        case int():
            return Html(f"{cell:,}")
        case float():
            return Html(f"{round(cell, 3) + 0.0:.3f}".replace("-", "−"))


def code(pieces: Iterable[tuple[str, str]]) -> Html:
    """Text of a program, each piece of it behind its kind: `word`, `comment`, `mark`, or any other."""
    said = (f"<{tag}>{_escaped(text)}</{tag}>" if (tag := _TAGS.get(kind)) else _escaped(text) for kind, text in pieces)
    return Html(f'<pre style="{_PRE}">{"".join(said)}</pre>')


def folded(summary: str, part: Html, *, unfolded: bool) -> Html:
    """What is seen when it is asked for, or at once and can be put away."""
    return Html(
        f'<details{" open" * unfolded}><summary style="cursor:pointer">{plain(summary)}</summary>{part}</details>'
    )


def finding(
    severity: str, code_id: str, message: str, places: Sequence[tuple[str, Span]], notes: Iterable[tuple[str, str]]
) -> Html:
    """A finding: what is wrong, the lines that it is about with what they say (its own first), and what is known besides."""
    shown: list[Html] = []
    for said, span in islice(places, 6):
        number, column = span.source.position(span.start)
        before, marked, after = span.excerpt()
        shown.append(
            Html(f'<div style="opacity:.75">{plain(f"{span.source.name}:{number}:{column}")} {plain(said)}</div>')
        )
        if (before + marked + after).strip():
            shown.append(code([("", f"{number:>4}  {before}"), ("mark", marked), ("", after)]))
    told = [line(text, f"{name}:") for name, text in notes]
    return Html(
        f'<div style="border-left:4px solid {_EDGES[severity]};padding:.1em 0 .1em .8em;margin:.6em 0">'
        f"{line(message, f'{severity}[{code_id}]:')}{''.join(shown)}{more(len(places) - 6, 'places')}{''.join(told)}</div>"
    )
