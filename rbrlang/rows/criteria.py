"""What do the criteria of a row say, and how were they answered?

A rubric's criteria stand in a column of the row, a list of objects such as
`{"criterion": "Names the river.", "points": 5, "tags": ["accuracy"]}`; `p` is P(met) where somebody knows it, `met` what a person
said. What a grader answers stands beside them, in their order: `rubric_probs: {"quality": [0.97, null]}`.

They come from elsewhere: whatever is no criterion is an error that names it.

    >>> read({"criteria": [{"criterion": "Names the river.", "points": "five"}]}, "criteria")
    Traceback (most recent call last):
    ...
    rbrlang.rows.criteria.CriteriaError: criterion 1 of `criteria` has `points` 'five', not a finite number
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.rows.columns import is_missing

MOST = 1000
"""Criteria of one row."""
_MET = ("met", "criteria_met")


class CriteriaError(ValueError):
    """A row whose criteria cannot be used; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion: what is asked, what being met is worth, its tags, P(met) and what a person said, None = unknown."""

    text: str
    points: float
    tags: tuple[str, ...]
    p: float | None = None
    met: bool | None = None


def read(row: Mapping[str, Any], column: str) -> tuple[Criterion, ...]:
    """The criteria of a row, at least one. Raises `CriteriaError`."""
    if column not in row:
        raise CriteriaError(f"there is no column `{column}`")
    value = row[column]
    if isinstance(value, str) and value.strip():
        try:
            value = parse_with_constants(value)
        except JsonError as error:
            raise CriteriaError(f"`{column}` is a text that is {error}") from None
    if is_missing(value) or value == "":
        raise CriteriaError(f"the column `{column}` is empty")
    if not isinstance(value, list):
        raise CriteriaError(f"`{column}` is {_kind(value)}, not a list of criteria")
    found = cast("list[Any]", value)
    if not found:
        raise CriteriaError(f"`{column}` has no criterion")
    if len(found) > MOST:
        raise CriteriaError(f"`{column}` has {len(found)} criteria, more than {MOST}")
    return tuple(_criterion(one, f"criterion {number} of `{column}`") for number, one in enumerate(found, 1))


def _criterion(value: Any, place: str) -> Criterion:
    if not isinstance(value, dict):
        raise CriteriaError(f"{place} is {_kind(value)}, not an object with `criterion` and `points`")
    given = cast("dict[str, Any]", value)
    text = given.get("criterion")
    if not isinstance(text, str) or not text.strip():
        raise CriteriaError(f"{place} has no text in `criterion`")
    points = given.get("points")
    if points is None:
        raise CriteriaError(f"{place} has no `points`")
    if isinstance(points, bool) or not isinstance(points, int | float) or not abs(points) <= 1e30:
        raise CriteriaError(f"{place} has `points` {_shown(points)}, not a finite number")
    tags = given.get("tags")
    tags = [] if is_missing(tags) else [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in cast("list[Any]", tags)):
        raise CriteriaError(f"{place} has `tags` {_shown(tags)}, not a list of texts")
    met = next((given[name] for name in _MET if not is_missing(given.get(name))), None)
    if met is not None and not (isinstance(met, bool) or met in (0, 1)):
        raise CriteriaError(f"{place} has `met` {_shown(met)}, not true, false or null")
    return Criterion(
        text, float(points), tuple(cast("list[str]", tags)), probability(given.get("p"), f"{place} has `p`"),
        None if met is None else bool(met),
    )  # fmt: skip


def probability(value: Any, what: str) -> float | None:
    """P(met), None for unknown. Raises `CriteriaError`, which begins with `what`."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise CriteriaError(f"{what} {_shown(value)}, not a number from 0 to 1 or null")
    return float(value)


def answers(value: Any) -> Mapping[str, tuple[float | None, ...]]:
    """What a row's `rubric_probs` hold: by rubric, P(met) of each criterion. Raises `CriteriaError`."""
    if is_missing(value):
        return {}
    if isinstance(value, str):
        try:
            value = parse_with_constants(value)
        except JsonError as error:
            raise CriteriaError(f"`rubric_probs` is a text that is {error}") from None
    if not isinstance(value, dict):
        raise CriteriaError("`rubric_probs` is not an object")
    found: dict[str, tuple[float | None, ...]] = {}
    for name, given in cast("dict[str, Any]", value).items():
        if is_missing(given):
            continue
        if not isinstance(given, list):
            raise CriteriaError(
                f"`rubric_probs` has {_kind(given)} for `{name}`, not a list with an answer a criterion"
            )
        each = enumerate(cast("list[Any]", given), 1)
        found[name] = tuple(probability(p, f"answer {at} of `{name}` in `rubric_probs` is") for at, p in each)
    return found


def answered(criteria: Sequence[Criterion], given: Sequence[float | None] | None, name: str) -> list[float | None]:
    """P(met) of each criterion: what a grader gave, else what the criteria say. Raises `CriteriaError`."""
    if given is None:
        return [criterion.p for criterion in criteria]
    if len(given) != len(criteria):
        raise CriteriaError(
            f"`rubric_probs` has {len(given)} answers for `{name}`, and the row {len(criteria)} criteria"
        )
    return list(given)


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else "a number"


def _shown(value: object) -> str:
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "…"
