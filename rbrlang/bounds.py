"""Which numbers may stand somewhere, and what is said where another one does?

>>> Number(0, 1).what, Number(1, whole=True).what
('a number from 0 to 1', 'a whole number above 0')
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `least`, or `above` it, to `most`, perhaps a `whole` one."""

    least: float = 0.0
    most: float = math.inf
    whole: bool = False
    above: bool = False

    @property
    def what(self) -> str:
        """The numbers in words."""
        if self.least == -math.inf:
            return "a finite number"
        kind = "a whole number" if self.whole else "a number"
        if self.most < math.inf:
            return f"{kind} from {self.least:.15g} to {self.most:.15g}"
        if self.above or (self.whole and self.least == 1):
            return f"{kind} above 0"
        return f"{kind} of {self.least:g} or more"

    def read(self, value: object) -> Any:
        """The value, if it is such a number; a whole one is an int. Raises `ValueError` with `what` it should be."""
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf:
            fits = self.least <= value <= self.most and not (self.above and value == self.least)
            if fits and not (self.whole and value % 1):
                return int(value) if self.whole else value
        raise ValueError(self.what)

    def of_text(self, text: str) -> Any:
        """`read` of digits, or of what Python takes for a float where it need not be whole. Raises as `read`."""
        try:
            return self.read((int(text) if text.isascii() and text.isdigit() else None) if self.whole else float(text))
        except ValueError:
            raise ValueError(self.what) from None
