"""Which statements does an edit leave as they were?

A process that checks a file again and again (an editor, `--watch`) has its last tree. Only the statements that the
edit touches are read again; those above and below are moved to where they now stand:

    old   |  kept  | touched |  kept  |
    new   |  same  |  read   |  moved |

The cuts lie at line ends behind statements. What is read by itself must be free of mistakes, and must not speak of
what follows (a doc comment at its end would); else the whole file is read, as if for the first time. A file with
mistakes is never a start: the last tree without any stays, and the next good text is compared with that.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from rbrlang.diagnostics import Diagnostic
from rbrlang.lang import syntax as tree
from rbrlang.lang.reading.parse import parse
from rbrlang.source import Source, Span

Parsed = tuple[tree.Module, tuple[Diagnostic, ...]]

_Node = TypeVar("_Node", bound=tuple[Any, ...])
_WORDS = frozenset({tree.Ident, tree.Text, tree.Number})
_LEAVES = frozenset({str, bool, int, float, type(None)})


class Reparser:
    """A parser that reads again only what has changed. Equal text gives the very same tree."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, Parsed]] = {}
        self._good: dict[str, _Good] = {}

    def __call__(self, source: Source) -> Parsed:
        """The tree of a file and what could not be read. The tree's source is one of equal text."""
        if not source.text:
            return parse(source)  # it may stand for a file that is no text, of which a finding speaks
        text, parsed = self._last.get(source.name, ("", None))
        if parsed is not None and text == source.text:
            return parsed
        good = self._good.get(source.name)
        module = None if good is None else good.edited(source)
        parsed = parse(source) if module is None else (module, ())
        self._last[source.name] = source.text, parsed
        if not parsed[1]:
            self._good[source.name] = _Good(parsed[0])
        return parsed


@dataclass
class _Good:
    """A tree without mistakes, from which the next may be made."""

    module: tree.Module

    def cuts(self) -> tuple[list[int], list[int]]:
        """Where the file may be cut: how many statements lie before each cut, and its offset behind a line end."""
        text, comments = self.module.source.text, self.module.comments
        starts = [comment.span.start for comment in comments]
        counts, offsets = [0], [0]
        for count, statement in enumerate(self.module.statements, start=1):
            end = statement.span.end
            line_end = text.find("\n", end)
            behind = bisect_left(starts, end)
            spoken = behind < len(starts) and starts[behind] < line_end and comments[behind].doc
            if line_end >= 0 and not spoken:  # a doc comment behind a statement may speak of the next
                counts.append(count)
                offsets.append(line_end + 1)
        return counts, offsets

    def edited(self, source: Source) -> tree.Module | None:
        """The tree of a text that differs in one stretch; nothing where the whole text has to be read."""
        old, new = self.module.source.text, source.text
        same_before = _longest(min(len(old), len(new)), lambda low, high: old[low:high] == new[low:high])
        room = min(len(old), len(new)) - same_before
        by = len(new) - len(old)
        end = len(old)
        same_behind = _longest(
            room, lambda low, high: old[end - high : end - low] == new[end + by - high : end + by - low]
        )
        counts, offsets = self.cuts()
        first = bisect_right(offsets, same_before) - 1
        last = bisect_left(offsets, max(len(old) - same_behind, offsets[first]))
        if last == len(offsets):  # nothing below is known to be the same
            kept_below, low = len(self.module.statements), len(old)
        else:
            kept_below, low = counts[last], offsets[last]
        high = offsets[first]
        stretch = new[high : low + by]
        module, diagnostics = parse(Source(source.name, stretch))
        if diagnostics or (low < len(old) and not _closed(stretch, module)):
            return None
        comments = self.module.comments
        above = bisect_left(comments, high, key=_start)
        below = bisect_left(comments, low, key=_start)
        return tree.Module(
            source,
            (
                *moved(self.module.statements[: counts[first]], source, 0),
                *moved(module.statements, source, high),
                *moved(self.module.statements[kept_below:], source, by),
            ),
            (
                *moved(comments[:above], source, 0),
                *moved(module.comments, source, high),
                *moved(comments[below:], source, by),
            ),
            frozenset(),
        )


def _start(comment: tree.Comment) -> int:
    return comment.span.start


def _closed(stretch: str, module: tree.Module) -> bool:
    """Whether a stretch ends a line and leaves no doc comment to the statement below it."""
    end = module.statements[-1].span.end if module.statements else 0
    open_doc = any(comment.doc and comment.span.start >= end for comment in module.comments)
    return (not stretch or stretch.endswith("\n")) and not open_doc


def _longest(most: int, same: Callable[[int, int], bool]) -> int:
    """The greatest n up to `most` such that two texts are the same from 0 to n."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def moved(node: _Node, source: Source, by: int) -> _Node:
    """A tree, or several, whose spans lie in another source, so many characters further on."""
    make = tuple.__new__  # the classes themselves take twice as long

    def copy(node: tuple[Any, ...]) -> Any:
        parts: list[Any] = []
        for part in node:
            kind = part.__class__
            if kind is Span:
                parts.append(make(Span, (source, part[1] + by, part[2] + by)))
            elif kind in _WORDS:  # most nodes are one, and a call for each takes a third of the time
                value, (_, start, end) = part
                parts.append(make(kind, (value, make(Span, (source, start + by, end + by)))))
            elif kind in _LEAVES or not part:
                parts.append(part)
            else:
                parts.append(copy(part))
        return make(node.__class__, parts)

    return copy(node)
