"""What did a user's own code say, and what if it failed?

A function that grades is foreign: it may raise anything, end the process, return too little, or return objects that
fail when they are looked at. All of that is an `Invalid` for the completions that it concerns and for no other. Only
`KeyboardInterrupt` goes through: it is what Ctrl-C raises, wherever the program stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from rbrlang.grading.results import (
    Abstained,
    Answer,
    Distribution,
    GradeItem,
    Invalid,
    Method,
    Value,
    is_probability,
    spread,
)
from rbrlang.lang.variables import Domain
from rbrlang.rows.answers import SUM_TOLERANCE

T = TypeVar("T")
_MOST = 300  # characters of a reason


def attempt(who: str, call: Callable[[], T]) -> T | Invalid:
    """What foreign code returned, or that it raised."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # `sys.exit` in a grader ends nothing
        return Invalid("grader", f"{who} raised {described(error)}"[:_MOST])


def described(error: BaseException) -> str:
    """The type and the words of an exception, which may fail to say them."""
    try:
        words = str(error)
    except Exception:
        words = ""
    return type(error).__name__ + (f": {words}" if words else "")


def displayed(value: object) -> str:
    """A foreign value as a message shows it, whatever its `repr` does."""
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}…"


def consulted(who: str, ask: Callable[[], object], count: int) -> list[object]:
    """What foreign code returned for each of `count` completions: one result each, `Invalid` where there is none.

    A list, a tuple or an iterator is taken. What an iterator gave before it raised stands, since results come in order;
    of any other number of results nobody knows whose they are.
    """
    results: list[object] = []

    def take() -> object:
        given = ask()
        if isinstance(given, list | tuple):
            results.extend(cast("Sequence[object]", given))
        elif isinstance(given, Iterator):
            for result in cast("Iterator[object]", given):
                results.append(result)
                if len(results) > count:  # it may never end
                    break
        else:
            return Invalid("grader", f"{who} did not return a list of {count} mappings, but a {type(given).__name__}")
        return None

    failed = attempt(who, take)
    if isinstance(failed, Invalid):
        return results[:count] + [failed] * (count - len(results))
    if len(results) != count:
        number = f"{len(results)}" if len(results) < count else "more"
        return [Invalid("grader", f"{who} did not return a list of {count} mappings, but {number}")] * count
    return results


def distributed(given: Mapping[str, object], domain: Domain, who: str, method: Method) -> Distribution | Invalid:
    """Probabilities from outside of a variable's values; one that is left out, or None, is 0 where another is given.

    They are divided by their sum, which has to be near 1. `given` has at least one.
    """
    for value, p in given.items():
        if value not in domain.values:
            there = ", ".join(domain.values)
            return Invalid("grader", f"{who} gave `{domain.name}` a value `{value[:40]}`; there are {there}")
        if p is not None and not is_probability(p):
            return Invalid("grader", f"{who} gave {displayed(p)} for `{value}` of `{domain.name}`: no probability")
    found = {value: float(cast("float | None", given.get(value)) or 0.0) for value in domain.values}
    whole = math.fsum(found.values())
    if not abs(whole - 1.0) <= SUM_TOLERANCE:
        return Invalid("grader", f"{who} gave probabilities of `{domain.name}` that sum to {whole:.4g}, not to 1")
    return spread({value: min(1.0, p / whole) for value, p in found.items()}, method)


class Bounded:
    """A judge of the user's as one that never fails: see the module."""

    def __init__(self, judge: Callable[[Sequence[GradeItem], Sequence[Sequence[int]]], object]) -> None:
        self._judge = judge

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        """An answer to every question: the judge's own, or `Invalid`."""
        given = consulted(_WHO, lambda: self._judge(items, wanted), len(items))
        return [{p: _answer(result, p) for p in of} for result, of in zip(given, wanted, strict=True)]


_WHO = "the grader"


def _answer(result: object, proposition: int) -> Answer:
    if isinstance(result, Invalid):
        return result
    if not isinstance(result, Mapping):
        return Invalid("grader", f"{_WHO} returned a {type(result).__name__} for one completion, no mapping")
    found = attempt(_WHO, lambda: cast("Mapping[int, object]", result).get(proposition))
    if isinstance(found, Value | Distribution):
        mass = attempt(_WHO, lambda: float(found.mass))
        return mass if isinstance(mass, Invalid) else found
    if isinstance(found, Abstained | Invalid):
        return found
    what = "no answer" if found is None else f"{displayed(found)}, which is no answer"
    return Invalid("grader", f"{_WHO} returned {what}")
