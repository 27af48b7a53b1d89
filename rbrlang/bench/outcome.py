"""What does a row of the bench say?

A row has lines, each a value beside its limit or peer of the same run, with a goal and the goal's reason; and curves,
values by size with the exponent of their growth. Nothing is measured here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

FROM_LARGEST = 100
"""An exponent is that of sizes from the largest to a hundredth of it: below, what every size costs hides growth."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Where a value should be. `why` is the goal's reason, `limit` what keeps the value from being better.

    A `gate` is a ratio or a count, which another load of the machine does not move much: missed, it fails the run.
    """

    bound: float
    side: Literal["at most", "at least"]
    why: str
    limit: str = ""
    gate: bool = False

    def met(self, value: float) -> bool:
        """Whether a value is on the right side."""
        return value >= self.bound if self.side == "at least" else value <= self.bound


@dataclass(frozen=True, slots=True)
class Line:
    """One value. `beside` is the limit or peer in words, `times` the value's ratio to it; `note` is why there is no value."""

    what: str
    value: float | None
    unit: str
    beside: str = ""
    times: float | None = None
    goal: Goal | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one, or without a value that could say it."""
        return None if self.goal is None or self.value is None else self.goal.met(self.value)


@dataclass(frozen=True, slots=True)
class Curve:
    """A value by size. `left_out` says why larger sizes are missing."""

    name: str
    x: str
    unit: str
    points: tuple[tuple[float, float], ...]
    left_out: str = ""

    @property
    def exponent(self) -> float | None:
        """k of value ≈ c · size^k, by least squares of logarithms over the larger sizes; None for fewer than two."""
        largest = max((x for x, _ in self.points), default=0.0)
        used = [(math.log(x), math.log(y)) for x, y in self.points if x * FROM_LARGEST >= largest and y > 0]
        if len(used) < 2:
            return None
        mean_x, mean_y = (sum(column) / len(used) for column in zip(*used, strict=True))
        spread = sum((x - mean_x) ** 2 for x, _ in used)
        return sum((x - mean_x) * (y - mean_y) for x, y in used) / spread if spread else None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a row found."""

    lines: tuple[Line, ...]
    curves: tuple[Curve, ...] = ()
    sizes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def to_json(outcome: Outcome) -> dict[str, Any]:
    """The outcome as plain values, with what follows from them."""
    return {
        "lines": [{**asdict(line), "met": line.met} for line in outcome.lines],
        "curves": [{**asdict(curve), "exponent": curve.exponent} for curve in outcome.curves],
        "sizes": dict(outcome.sizes),
    }


def from_json(plain: Mapping[str, Any]) -> Outcome:
    """Inverse of `to_json`."""
    return Outcome(
        tuple(_line(one) for one in plain["lines"]),
        tuple(
            Curve(c["name"], c["x"], c["unit"], tuple((x, y) for x, y in c["points"]), c["left_out"])
            for c in plain["curves"]
        ),
        plain["sizes"],
    )


def _line(plain: Mapping[str, Any]) -> Line:
    given: dict[str, Any] = {name: value for name, value in plain.items() if name != "met"}
    if given["goal"] is not None:
        given["goal"] = Goal(**given["goal"])
    return Line(**given)


def figure(value: float, unit: str = "") -> str:
    """A value as people read it: three digits, thousands separated."""
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.3g}"
    return f"{text} {unit}".strip()


def ratio(value: float, other: float) -> float | None:
    """How many times the other; None where that is nothing."""
    return value / other if other else None


def failed(lines: Sequence[Line]) -> list[Line]:
    """The gates that were missed."""
    return [line for line in lines if line.goal is not None and line.goal.gate and line.met is False]
