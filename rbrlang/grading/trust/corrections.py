"""What have corrections of P(yes) and corrections of distributions in common?"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from rbrlang.errors import UserError

FEWEST_FOR_TEMPERATURE, FEWEST_FOR_PLATT, FEWEST_FOR_ISOTONIC = 20, 60, 400
FOLDS = 5
EDGE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logarithms are taken."""


class CalibrationError(UserError, ValueError):
    """A calibration that cannot be read or does not belong to this grader; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Probabilities as the grader gives them, for the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class Temperature:
    """Log-odds, or the logarithms of a distribution, divided by t > 0: `sigmoid(z / t)`, `softmax(z / t)`."""

    t: float


# --- what files hold; each raises `CalibrationError`, `where` says whose value it is ------------


def fields(plain: object, where: str, needed: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """An object with these keys and no others."""
    if not isinstance(plain, Mapping):
        raise CalibrationError(f"{where} must be an object")
    found = cast("Mapping[str, Any]", plain)
    for key in needed:
        if key not in found:
            raise CalibrationError(f"{where} lacks `{key}`")
    for key in found:
        if key not in needed and key not in optional:
            raise CalibrationError(
                f"{where} has `{printable(key)}`, which is none of {', '.join((*needed, *optional))}"
            )
    return found


def items(plain: object, where: str) -> list[Any]:
    """A list."""
    if not isinstance(plain, list):
        raise CalibrationError(f"{where} must be a list")
    return cast("list[Any]", plain)


def text(plain: object, where: str) -> str:
    """A text that UTF-8 can hold."""
    if not isinstance(plain, str):
        raise CalibrationError(f"{where} must be a text")
    if printable(plain) != plain:
        raise CalibrationError(f"{where} has half a surrogate pair, which is no character: `{printable(plain)}`")
    return plain


def finite(plain: object, where: str) -> float:
    """A finite number; neither a text nor a truth value is one."""
    if isinstance(plain, bool) or not isinstance(plain, int | float) or not abs(plain) <= _LARGEST:
        raise CalibrationError(f"{where} must be a number")
    return float(plain)


def whole(plain: object, where: str) -> int:
    """A whole number."""
    if isinstance(plain, bool) or not isinstance(plain, int):
        raise CalibrationError(f"{where} must be a whole number")
    return plain


def count(plain: object, where: str) -> int:
    """A whole number of at least 0."""
    if (found := whole(plain, where)) < 0:
        raise CalibrationError(f"{where} must be 0 or more")
    return found


def gain_numbers(plain: object, where: str, names: Collection[str]) -> dict[str, float]:
    """What a correction was worth: a number under each name."""
    found = fields(plain, where, names)
    return {name: finite(found[name], f"`{name}` of {where}") for name in names}


def all_once(names: Iterable[str]) -> None:
    """Names of which each is there once."""
    for name, times in Counter(names).items():
        if times > 1:
            raise CalibrationError(f"`{name}` is listed twice; which of its corrections holds cannot be known")


def printable(given: str) -> str:
    """A text with escapes for halves of surrogate pairs."""
    return given.encode("utf-8", "backslashreplace").decode()


_LARGEST = math.nextafter(math.inf, 0.0)
