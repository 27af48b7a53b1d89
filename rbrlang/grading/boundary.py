"""What did a user's own code say, and what if it failed?

A function that grades is foreign: it may raise anything, end the process, return too little, or return objects that
fail when they are looked at. All of that is an `Invalid` for the completions that it concerns and for no other. Only
`KeyboardInterrupt` goes through: it is what Ctrl-C raises, wherever the program stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar, cast

from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, Value

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
    if isinstance(found, Value):
        mass = attempt(_WHO, lambda: float(found.mass))
        return mass if isinstance(mass, Invalid) else found
    if isinstance(found, Abstained | Invalid):
        return found
    what = "no answer" if found is None else f"{displayed(found)}, which is no answer"
    return Invalid("grader", f"{_WHO} returned {what}")
