"""What is a small value? A named tuple, whose class is made in a third of the time that `typing` takes.

`typing.NamedTuple` compiles every annotation, which nothing here asks for: a command that starts, checks and ends spent
more on that than on reading the policy. Fields, defaults, methods and pickling are the same; annotations stay as written.

    >>> class Place(NamedTuple):
    ...     row: int
    ...     column: int = 0
    >>> Place(3)._replace(column=1)
    Place(row=3, column=1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from collections import namedtuple

    class _Made(type):
        def __new__(cls, name, bases, space):
            if not bases:
                return super().__new__(cls, name, bases, space)
            fields = dict(space.get("__annotations__", {}))
            defaults = {field: space.pop(field) for field in fields if field in space}
            if list(fields)[len(fields) - len(defaults) :] != list(defaults):
                raise TypeError(f"a field of {name} without a default follows one that has one")
            made = namedtuple(name, fields, defaults=defaults.values(), module=space["__module__"])
            made.__annotations__ = fields
            for key, value in space.items():
                if key not in ("__module__", "__annotations__"):
                    setattr(made, key, value)
            return made

    class NamedTuple(metaclass=_Made):
        pass


__all__ = ["NamedTuple"]
