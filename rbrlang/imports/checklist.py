"""How is a weighted checklist a policy?

A checklist ranks nothing: it adds points for what holds. So its response type has one class, and its reward is a sum of
fixed weights, `Σ points · P(criterion) / Σ positive points`, which is what the packages compute that checklists come
from, but for their bounds of 0 and 1. Where no points are positive the sum begins at 1, as the weight of the one class.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rbrlang.imports.imported import ImportFormatError, Names, Note
from rbrlang.lang.braces import as_text
from rbrlang.lang.printing.write import comment, long_text, quoted
from rbrlang.lang.variables import MAX_VALUES

ONE_CLASS = "graded"
_GREATEST = 3.4e38  # of 32 bits
TOO_MANY = f"it has more than the {MAX_VALUES} values that a question may have"


class Criterion(NamedTuple):
    """One line of a checklist: its declarations, and what it is worth, `points · (base + Σ share · feature)`.

    `values` are the level or option of each label that the source has for an answer, None where it assesses nothing; empty
    for yes and no.
    """

    name: str
    text: str
    points: float
    features: Mapping[str, float]
    base: float = 0.0
    values: Mapping[str, str | None] = {}


def yes_or_no(name: str, statement: str, points: float) -> Criterion:
    """A criterion that is met or not."""
    return Criterion(name, proposition(name, statement), points, {name: 1.0})


def several(
    names: Names, name: str, statement: str, points: float, options: Sequence[tuple[str, float]], *, ordered: bool
) -> Criterion:
    """A criterion with an answer of several, up to `MAX_VALUES`: pairs of a label and what it is worth.

    A scale where their worth orders them, else a choice. The scale itself is the feature where its levels are worth the
    same step each, else one comparison for every step; of a choice one comparison for every option that is worth something.
    """
    if not ordered:
        own = Names()
        called = [own(label) for label, _ in options]
        text = variable(f"choice {name}", statement, dict(zip(called, [label for label, _ in options], strict=True)))
        worth = {option: value for option, (_, value) in zip(called, options, strict=True) if value}
        compared = {f"{name} == {option}": value for option, value in (worth or {called[0]: 0.0}).items()}
        base = 0.0
    else:
        options = sorted(options, key=lambda option: option[1])
        called = [str(level) for level in range(1, len(options) + 1)]
        text = variable(
            f"scale {name} 1..{len(options)}", statement, dict(zip(called, [o[0] for o in options], strict=True))
        )
        base, compared = steps(name, 1, [value for _, value in options])
    defined, features = definitions(names, compared)
    text += defined
    values = {label.strip().lower(): value for (label, _), value in reversed(list(zip(options, called, strict=True)))}
    return Criterion(name, text, points, features, base, values)


def definitions(names: Names, compared: Mapping[str, float]) -> tuple[str, dict[str, float]]:
    """Definitions that give comparisons the names of features, and the shares by these; a scale's name is its own."""
    called = {formula: names(formula.replace(">=", "at least")) for formula in compared if " " in formula}
    text = "".join(f"\n{name} := {formula}\n" for formula, name in called.items())
    return text, {called.get(formula, formula): share for formula, share in compared.items()}


def steps(scale: str, low: int, worth: Sequence[float]) -> tuple[float, dict[str, float]]:
    """What the levels from `low` up are worth, as a start and the shares of the scale or of comparisons with it.

    >>> steps("s", 1, [0.0, 0.5, 1.0])
    (0.0, {'s': 1.0})
    >>> steps("s", 0, [0.0, 0.0, 1.0])
    (0.0, {'s >= 2': 1.0})
    """
    first, last, most = worth[0], worth[-1], len(worth) - 1
    if all(math.isclose(v, first + at * (last - first) / most, abs_tol=1e-12) for at, v in enumerate(worth)):
        return first, {scale: last - first}
    jumps = {f"{scale} >= {low + at}": worth[at] - worth[at - 1] for at in range(1, len(worth))}
    return first, {formula: jump for formula, jump in jumps.items() if jump}


def proposition(name: str, statement: str, *, filled: bool = False) -> str:
    """A proposition's declaration; what has several lines is its question. A `filled` text names columns in braces."""
    text = statement if filled else as_text(statement)
    lines = text.splitlines()
    if len(lines) == 1:
        return f"prop {name} {quoted(text)}\n"
    short, long = lines[0].strip(), text
    return f"prop {name} {quoted(short)} {{\n  ask {long_text(long, '    ')}\n}}\n"


def variable(head: str, statement: str, values: Mapping[str, str], *, filled: bool = False) -> str:
    """A scale's or a choice's declaration, `head` its kind, name and levels; a `filled` text names columns in braces."""
    text = statement if filled else as_text(statement)
    lines = text.splitlines()
    ask = f"  ask {long_text(text, '    ')}\n" if len(lines) > 1 else ""
    items = "".join(f"  {value} {quoted(about if filled else as_text(about))}\n" for value, about in values.items())
    return f"{head} {quoted(lines[0].strip())} {{\n{ask}{items}}}\n"


def policy(head: str, response: str, criteria: Sequence[Criterion]) -> str:
    """The text of a policy with one response type, whose reward is the checklist's sum."""
    parts = ["rbr 1\n", comment(head), *(c.text for c in criteria)]
    parts.append(
        f"# A checklist ranks nothing: one class, and a sum of fixed weights.\n"
        f"response {response} ranks {ONE_CLASS} {{\n  {ONE_CLASS} otherwise\n}}\n"
    )
    positive = math.fsum(c.points for c in criteria if c.points > 0)
    total = positive or math.fsum(-c.points for c in criteria) or 1.0
    start = 0.0 if positive or (total == 1.0 and not any(c.points for c in criteria)) else 1.0
    start += math.fsum(c.points * c.base for c in criteria) / total
    shares = {name: c.points * share / total for c in criteria for name, share in c.features.items()}
    parts.append(reward(response, ({ONE_CLASS: start} if start else {}) | shares))
    return "\n".join(parts)


def reward(response: str, weights: Mapping[str, float]) -> str:
    """A reward block of these features with fixed weights. Raises `ImportFormatError` for one that no reward can hold."""
    great = next((name for name, weight in weights.items() if not abs(weight) <= _GREATEST), None)
    if great is not None:
        raise ImportFormatError(f"`{great}` would weigh {weights[great]:.3g}, more than a reward can hold")
    lines = "".join(f"  weight {name} = {_number(weight)}\n" for name, weight in weights.items())
    return f"reward {response} {{\n  features {', '.join(weights)}\n{lines}}}\n"


def bounded(criteria: Sequence[Criterion]) -> list[Note]:
    """The note that the sum is not held between 0 and 1, where it can leave these bounds."""
    if all(c.points >= 0 for c in criteria) or all(c.points <= 0 for c in criteria):
        return []
    return [Note(
        "approximated", "a score between 0 and 1", "the whole", "a reward is a sum and goes below 0 where more is lost than won"
    )]  # fmt: skip


def _number(value: float) -> str:
    return f"{value:.9g}"
