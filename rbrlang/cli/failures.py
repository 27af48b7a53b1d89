"""How often did which failure occur, where the same words came with many numbers?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# Names in backticks and the status of a reply are what failed, and are no measurements.
_NUMBER = re.compile(r"`[^`]*`|\bstatus \d+|(?<![\w.])(\d+(?:\.\d+)?(?:e[+-]?\d+)?)(?!\w)")


def grouped(reasons: Mapping[str, int]) -> list[tuple[str, int]]:
    """Failures and how often each occurred, the most frequent first; numbers that differ are given as a range.

    >>> grouped({"3 of 12 samples say nothing": 1, "no reply": 3, "11 of 12 samples say nothing": 4})
    [('3 to 11 of 12 samples say nothing', 5), ('no reply', 3)]
    """
    alike: dict[str, list[str]] = {}
    for reason in reasons:
        alike.setdefault(_NUMBER.sub(_hidden, reason), []).append(reason)
    found = [(_ranged(some), sum(reasons[one] for one in some)) for some in alike.values()]
    return sorted(found, key=lambda one: -one[1])


def _hidden(found: re.Match[str]) -> str:
    return "\0" if found[1] else found[0]


def _ranged(some: Sequence[str]) -> str:
    numbers = zip(*([found[1] for found in _NUMBER.finditer(one) if found[1]] for one in some), strict=True)
    ends = iter([(min(each, key=float), max(each, key=float)) for each in numbers])

    def put(found: re.Match[str]) -> str:
        if not found[1]:
            return found[0]
        low, high = next(ends)
        return low if low == high else f"{low} to {high}"

    return _NUMBER.sub(put, some[0])
