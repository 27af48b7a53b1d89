"""What do a row's labels and probabilities say, and which of them cannot be used?

They come from elsewhere. Labels are truth values, of scales and choices one of their values; probabilities lie from 0 to 1, and
those of one question's values sum to 1. What is neither is an `UnusableError` that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rbrlang.jsontext import JsonError, parse_with_constants
from rbrlang.rows import criteria
from rbrlang.rows.columns import OfValues, UnusableError, is_missing

_TRUTHS = {"yes": True, "no": False, "true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
_FLOATS = {float}
SUM_TOLERANCE = 0.01
"""How far the sum of the probabilities of a variable's values may be from 1: others may have rounded them."""


def labels(value: Any, values: OfValues) -> tuple[Mapping[str, bool | None], Mapping[str, str]]:
    """The labels of propositions, and those of scales and choices, which `values` are. Raises `UnusableError`."""
    given = _object(value, "labels")
    if not values:
        return {name: _label(name, label) for name, label in given.items()}, {}
    of = {name: [column.removeprefix(f"{name}.") for column in columns] for name, columns in values}
    known = {name: _value(name, label, of[name]) for name, label in given.items() if name in of}
    return (
        {name: _label(name, label) for name, label in given.items() if name not in of},
        {name: one for name, one in known.items() if one is not None},
    )


def _value(name: str, label: Any, values: Sequence[str]) -> str | None:
    """The value that a label of a scale or a choice names."""
    if is_missing(label):
        return None
    if isinstance(label, float) and label.is_integer():
        label = int(label)  # a table with a gap makes floats of whole numbers
    text = str(label).strip() if isinstance(label, (str, int)) and not isinstance(label, bool) else ""
    if text not in values and text.removesuffix(".0") in values:
        text = text.removesuffix(".0")
    if text not in values:
        raise unusable(f"the label of `{short(name)}` is {shown(label)}, none of {', '.join(values)}")
    return text


def _label(name: str, value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if is_missing(value):
        return None
    if isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    found = _TRUTHS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise unusable(f"the label of `{short(name)}` is {shown(value)}, not true, false or null (nor yes, no, 1 or 0)")
    return found


def probs(value: Any) -> Mapping[str, float | None]:
    """P(yes) by proposition, and P of each value under `variable.value`; None = unknown. Raises `UnusableError`."""
    given = _object(value, "probs")
    numbers = given.values()
    if dict in set(map(type, numbers)):
        given = _distributions(given)
        numbers = given.values()
    if set(map(type, numbers)) == _FLOATS and min(numbers) >= 0.0 and max(numbers) <= 1.0 and sum(numbers) >= 0.0:
        return given  # the usual case; the sum is no number where one of them is none
    found: dict[str, float | None] = {}
    for name, p in given.items():
        number = isinstance(p, (int, float)) and not isinstance(p, bool)
        # NaN is a grader's failure here, not a cell that somebody left empty.
        if p is not None and p != "" and not (number and 0.0 <= p <= 1.0):
            raise unusable(f"P(yes) of `{short(name)}` is {shown(p)}, not a number from 0 to 1 or null")
        found[name] = None if p is None or p == "" else float(p)
    return found


def _distributions(given: Mapping[str, Any]) -> dict[str, Any]:
    """Probabilities with those of a variable's values, an object by value, under `variable.value`."""
    found: dict[str, Any] = {}
    for name, p in given.items():
        if not isinstance(p, dict):
            found[name] = p
            continue
        values = cast(dict[str, Any], p)
        numbers = [one for one in values.values() if isinstance(one, (int, float)) and not isinstance(one, bool)]
        if numbers and not abs(sum(numbers) - 1.0) <= SUM_TOLERANCE:
            raise unusable(f"the probabilities of `{short(name)}` sum to {sum(numbers):.4g}, not to 1")
        found.update({f"{name}.{value}": one for value, one in values.items()})
    return found


def are_probabilities(value: Any) -> bool:
    """Whether a column `features` is that of the release; any other one is somebody's own and passes through."""
    return isinstance(value, dict) and all(
        isinstance(p, (int, float)) and not isinstance(p, bool) and 0.0 <= p <= 1.0
        for p in cast(dict[str, Any], value).values()
    )


def rubrics(fields: Mapping[str, Any]) -> Mapping[str, tuple[float | None, ...]]:
    """P(met) of each criterion by rubric. Raises `UnusableError`."""
    if "rubric_probs" not in fields:
        return {}
    try:
        return criteria.answers(fields["rubric_probs"])
    except criteria.CriteriaError as error:
        raise unusable(str(error)) from None


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if is_missing(value):
        return {}
    if isinstance(value, str):
        value = from_text(value, name)
    if not isinstance(value, dict):
        raise unusable(f"`{name}` is not an object")
    return cast(dict[str, Any], value)


# --- words ------------------------------------------------------------------------------------


def from_text(text: str, name: str) -> Any:
    """The JSON in a cell of text, None where it is empty. Raises `UnusableError`."""
    if not text:
        return None
    try:
        return parse_with_constants(text)
    except JsonError as error:
        raise unusable(f"`{name}` is a text that is {error}") from None


def unusable(reason: str) -> UnusableError:
    """The error that says why a row cannot be used."""
    return UnusableError(reason)


def shown(value: Any) -> str:
    """A value as a message shows it."""
    text = repr(value)
    return f"a number of {len(text)} digits" if isinstance(value, int) and len(text) > 40 else short(text)


def short(text: str) -> str:
    """A text as a message shows it, of a long one the beginning."""
    return text if len(text) <= 40 else text[:37] + "…"
