"""What have corrections of P(yes) and corrections of distributions in common?"""

from __future__ import annotations

from dataclasses import dataclass

FEWEST_FOR_TEMPERATURE, FEWEST_FOR_PLATT, FEWEST_FOR_ISOTONIC = 20, 60, 400
FOLDS = 5
EDGE = 1e-4
"""Probabilities are kept this far from 0 and 1 before their logarithms are taken."""


class CalibrationError(ValueError):
    """A calibration that cannot be read or does not belong to this grader; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Probabilities as the grader gives them, for the reason given."""

    reason: str


@dataclass(frozen=True, slots=True)
class Temperature:
    """Log-odds, or the logarithms of a distribution, divided by t > 0: `sigmoid(z / t)`, `softmax(z / t)`."""

    t: float
