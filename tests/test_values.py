"""Small values are named tuples like those of `typing`."""

from __future__ import annotations

import doctest
import pickle
import typing

import pytest

from rbrlang import values
from rbrlang.lang.program import Message, Shot


class Ours(values.NamedTuple):
    """A place."""

    row: int
    column: int = 0

    @property
    def both(self) -> int:
        return self.row + self.column

    @classmethod
    def at(cls, row: int) -> Ours:
        return cls(row, 1)


class Theirs(typing.NamedTuple):
    """A place."""

    row: int
    column: int = 0

    @property
    def both(self) -> int:
        return self.row + self.column

    @classmethod
    def at(cls, row: int) -> Theirs:
        return cls(row, 1)


def test_a_value_is_what_typing_makes():
    ours, theirs = Ours(3), Theirs(3)
    assert ours == theirs == (3, 0)
    assert repr(ours) == repr(theirs).replace("Theirs", "Ours")
    assert (Ours.at(2).both, hash(ours), ours._replace(column=4)) == (Theirs.at(2).both, hash(theirs), (3, 4))
    assert (Ours._fields, Ours._field_defaults, Ours.__doc__) == (
        Theirs._fields,
        Theirs._field_defaults,
        Theirs.__doc__,
    )
    assert (Ours.__module__, Ours.__qualname__) == (Theirs.__module__, "Ours")
    assert typing.get_type_hints(Ours) == typing.get_type_hints(Theirs)
    assert set(dir(Theirs)) - set(dir(Ours)) <= {"__orig_bases__"}
    assert not hasattr(ours, "__dict__")
    with pytest.raises(AttributeError):
        setattr(ours, "row", 4)  # noqa: B010


def test_values_survive_pickling():
    made = (Shot(True, (Message("user", "Hello."),), None), Ours(1))
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert (type(again[0]), type(again[0].messages[0]), type(again[1])) == (Shot, Message, Ours)


def test_defaults_stand_last():
    with pytest.raises(TypeError, match="a field of Wrong without a default"):

        class Wrong(values.NamedTuple):  # pyright: ignore[reportUnusedClass]
            row: int = 1
            column: int  # pyright: ignore[reportGeneralTypeIssues]


def test_examples_hold():
    assert not doctest.testmod(values).failed
