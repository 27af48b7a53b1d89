"""A user's own grader for the server's tests: `python:serve_grader.word` and others."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

from rbrlang.grading.results import GradeItem


def word(items: Sequence[GradeItem], names: Sequence[str]) -> list[Mapping[str, float]]:
    """P(yes) of every proposition is the number that the completion ends with, in thousandths."""
    return [dict.fromkeys(names, int(item.completion.split()[-1]) / 1000) for item in items]


def slow(items: Sequence[GradeItem], names: Sequence[str]) -> list[Mapping[str, float]]:
    """The same, half a second a batch."""
    time.sleep(0.5)
    return word(items, names)


def steady(items: Sequence[GradeItem], names: Sequence[str]) -> list[Mapping[str, float]]:
    """P(yes) is a half, whatever is written."""
    return [dict.fromkeys(names, 0.5) for _ in items]


def told(items: Sequence[GradeItem], names: Sequence[str]) -> list[Mapping[str, object]]:
    """What the completion says, in JSON, of every question; a criterion is met where the list of `met` has it."""
    out: list[Mapping[str, object]] = []
    for item in items:
        said = json.loads(item.completion)
        out.append({**said, "quality": float(str(item.cell("criterion")) in said["met"])} if said.get("met") else said)
    return out
