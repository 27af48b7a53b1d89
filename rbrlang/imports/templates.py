"""What do another tool's templates take from each row, and how does a policy name it?

`{{ item.reference }}` becomes a column of the rows, `{reference}` in a question. What a template computes, or finds deeper
in a row, has no name here.
"""

from __future__ import annotations

import re

from rbrlang.imports.imported import Note, snake_case
from rbrlang.lang.braces import as_text
from rbrlang.lang.meaning.columns import RESERVED
from rbrlang.lang.printing.write import quoted

_PLACE = re.compile(r"(\{\{.*?\}\}|\{%.*?%\})", re.DOTALL)


class Templates:
    """The texts of one source, filled: `columns` are those that its rows have to have, by their names there."""

    def __init__(self, item: str) -> None:
        """`item` is the pattern of a place that stands for a column, whose name is its one group."""
        self._item = re.compile(r"\{\{\s*" + item + r"\s*\}\}")
        self.columns: dict[str, str] = {}

    def filled(self, text: str) -> tuple[str, str | None]:
        """The text with its places as columns, and the first place that is none."""
        pieces = _PLACE.split(text)
        places = [self._item.fullmatch(piece) for piece in pieces[1::2]]
        for place, piece in zip(places, pieces[1::2], strict=True):
            if place is None:
                return "", piece
        for place in places:
            if place is not None and place[1] not in self.columns:
                self.columns[place[1]] = self._name(place[1])
        literal = [as_text(piece, self.columns.values()) for piece in pieces[::2]]
        found = [literal[0]]
        for place, after in zip(places, literal[1:], strict=True):
            if place is not None:
                apart = " " if found[-1].endswith("\\") else ""  # a backslash would keep the braces as text
                found += (f"{apart}{{{self.columns[place[1]]}}}", after)
        return "".join(found), None

    def declared(self) -> list[str]:
        """The declarations of the columns."""
        return [f"column {here} {quoted(f'`{there}` of the item.')}\n" for there, here in self.columns.items()]

    def notes(self) -> list[Note]:
        """The columns that are called otherwise than in the source's rows."""
        return [
            Note("approximated", f"`{there}` of the item", "the rows", f"its column is `{here}` here")
            for there, here in self.columns.items() if there != here
        ]  # fmt: skip

    def _name(self, original: str) -> str:
        name = base = snake_case(original)
        number = 2
        while name in RESERVED or name in self.columns.values():
            name, number = f"{base}_{number}", number + 1
        return name
