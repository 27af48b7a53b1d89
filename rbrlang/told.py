"""What is a result as JSON?

>>> from dataclasses import dataclass
>>> @dataclass(frozen=True, slots=True)
... class Share(Told, called={"klass": "class", "row": None}):
...     row: int
...     klass: str
...     values: tuple[float, ...]
>>> Share(4, "good", (0.5, 1.0)).to_json()
{'class': 'good', 'values': [0.5, 1.0]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, cast


class Told:
    """A dataclass whose JSON has its fields, in their order and by their names.

    `called` are fields that are called otherwise there, None for those that are not told; `also` are properties that are told
    behind the fields, by their names in JSON.
    """

    __slots__ = ()
    _called: ClassVar[Mapping[str, str | None]] = {}
    _also: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(
        cls, called: Mapping[str, str | None] | None = None, also: Mapping[str, str] | None = None
    ) -> None:
        super().__init_subclass__()
        if called is not None:
            cls._called = called
        if also is not None:
            cls._also = also

    def to_json(self) -> dict[str, Any]:
        """By name."""
        own = {field.name: self._called.get(field.name, field.name) for field in fields(cast(Any, self))}
        said = {name: plain(getattr(self, field)) for field, name in own.items() if name is not None}
        return said | {name: plain(getattr(self, of)) for name, of in self._also.items()}


def plain(value: Any) -> Any:
    """A value as JSON has it: what has a `to_json` by that, and so what is inside of tuples and mappings."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: plain(inside) for name, inside in cast("Mapping[str, Any]", value).items()}
    return [plain(inside) for inside in cast("tuple[Any, ...]", value)] if isinstance(value, tuple) else value
