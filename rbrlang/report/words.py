"""How does a number, a list or a stranger's text read on the page?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rbrlang.learning.judging.resample import Estimate

_THIN = "\u202f"  # a narrow space that breaks no line


def excerpt(text: str, most: int) -> str:
    """A text of at most about `most` characters: its beginning and its end, and how much was left out."""
    if len(text) <= most:
        return text
    head, tail = most * 3 // 4, most // 4
    return f"{text[:head].rstrip()} … [{len(text) - head - tail} characters] … {text[-tail:].lstrip()}"


def percent(value: float | None) -> str:
    """A share as people read it: one decimal, more where it is tiny."""
    if value is None or not math.isfinite(value):
        return "–"
    if 0 < value < 0.001:
        return f"under 0.1{_THIN}%"
    if 0.999 < value < 1:
        return f"over 99.9{_THIN}%"
    digits = 0 if value in (0, 1) else 1
    return f"{100 * value:.{digits}f}{_THIN}%"


def spread(estimate: Estimate) -> str:
    """The interval of an estimate, in per cent; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{100 * estimate.low:.1f}–{100 * estimate.high:.1f}{_THIN}%"


def signed(value: float | None) -> str:
    """A number in units of reward, with its sign."""
    if value is None or not math.isfinite(value):
        return "–"
    digits = 2 if abs(value) < 100 else 0
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


def count(number: int, what: str) -> str:
    """`1 row`, `1,200 rows`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """`a, b and c`; of many the first ones and how many more."""
    if len(names) > most:
        return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "none"
