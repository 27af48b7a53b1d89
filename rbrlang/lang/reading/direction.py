"""Which characters make a text look like another?

Overrides and isolates of the bidirectional algorithm (https://www.unicode.org/reports/tr9, explicit directional
characters) can make a string or a comment swallow, on the screen, the code behind it: a reviewer approves what is not
read (Boucher & Anderson, Trojan Source: Invisible Vulnerabilities, 2021). Letters that run from right to left need none
of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rbrlang import codes
from rbrlang.diagnostics import Diagnostic, Fix
from rbrlang.source import Source, Span

TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def directions(
    source: Source, strings: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]]
) -> Iterator[Diagnostic]:
    """A finding for each such character in a stretch: of `strings`, which know escapes, or of `others`, which do not."""
    if TURNING.search(source.text) is None:
        return
    for stretches, escapes in ((strings, True), (others, False)):
        for start, end in stretches:
            for match in TURNING.finditer(source.text, start, end):
                span, written = Span(source, *match.span()), f"U+{ord(match.group()):04X}"
                escape = f"\\u{ord(match.group()):04x}"
                fix = (
                    Fix("write it as an escape", span, escape, "machine-applicable") if escapes
                    else Fix("remove it", span, "", "maybe-incorrect")
                )  # fmt: skip
                yield Diagnostic(
                    codes.HIDDEN_DIRECTION, f"{written} turns the direction of the text behind it", span,
                    help=f"write `{escape}` where the text needs it, so that everybody sees it" if escapes
                    else "remove it; what is shown must be what is read",
                    fixes=(fix,),
                )  # fmt: skip
