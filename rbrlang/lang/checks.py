"""What does a check by code compare a text with?

A check of a column is kept as the text in its parentheses, in one form whatever the order it was written in, so that it
means and is called the same everywhere. A schema is kept as compact JSON with sorted keys.

    >>> Against("reference", ("space", "case")).text
    'reference, fold: case, fold: space'
    >>> Against.read("answer, within: 0.01")
    Against(column='answer', folds=(), within='0.01')
"""

from __future__ import annotations

import re

from rbrlang.values import NamedTuple

_FUNCTION = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_]*\.){1,20}[A-Za-z_][A-Za-z0-9_]*")
_LONGEST = 200
FOLDS = ("case", "space")
"""What two texts may differ in and still be equal: capitals, or white space."""

_FORM = re.compile(r"([a-z_][a-z0-9_]*)((?:, fold: (?:case|space)){0,2})(?:, within: ([0-9.eE+-]+))?")


def names_function(text: str) -> bool:
    """Whether a text is `package.module.function`, if there is one or not: nothing is imported.

    >>> names_function("my_checks.has_citation"), names_function("print"), names_function("os; x")
    (True, False, False)
    """
    return len(text) <= _LONGEST and _FUNCTION.fullmatch(text) is not None


class Against(NamedTuple):
    """The column that a text is compared with, and how closely. `within` is a decimal number as written, empty for 0."""

    column: str
    folds: tuple[str, ...] = ()
    within: str = ""

    @property
    def text(self) -> str:
        """As it stands between the parentheses."""
        folds = "".join(f", fold: {fold}" for fold in sorted(self.folds))
        return f"{self.column}{folds}" + (f", within: {self.within}" if self.within else "")

    @classmethod
    def read(cls, text: str) -> Against:
        """The check of a `text`. Raises ValueError for one that is none."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise ValueError(f"{text!r} names no column to compare with")
        from decimal import Decimal, InvalidOperation  # few policies compare by code

        column, folds, within = form[1], tuple(form[2].replace(", fold: ", " ").split()), form[3] or ""
        try:
            found = cls(column, folds, within if not within or Decimal(within).is_finite() else "?")
        except InvalidOperation:
            raise ValueError(f"{within!r} is no number") from None
        if found.text != text:
            raise ValueError(f"{text!r} is not written as {found.text!r}")
        return found
