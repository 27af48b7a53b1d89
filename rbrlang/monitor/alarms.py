"""What is an alarm of a monitor?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["invalid", "degenerate", "saturated", "drift", "divergence"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm, or with `over` its end. `about` is a proposition, a scale, a choice or a rubric, `reward`, or empty; `value` against `bound`."""

    step: int
    kind: Kind
    about: str
    value: float
    bound: float
    message: str
    over: bool = False
