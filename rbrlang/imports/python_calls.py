"""Which calls does a Python source write down, without running it?

Tools whose judges are Python objects have no file of them but the program that makes them. What such a call is given is
read where it is a literal, a list or tuple of such, a name or `self.name` that the file assigns once, another attribute (`Params.INPUT`, by
the name `INPUT`), or a call of its own. Anything else is known when the program runs, and is `Unread`.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from rbrlang.imports.imported import ImportFormatError, characters, said

_MOST_CHARACTERS = 2**20
_MOST_VALUES = 100_000
_CHARACTERS = 100  # of a text that count as one value more
_DEEPEST = 40


class Call(NamedTuple):
    """A call of a class or a function, by the last part of its name, with what it is given and its line."""

    name: str
    positional: tuple[Any, ...]
    named: dict[str, Any]
    line: int
    column: int

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"line {self.line}"


class Member(NamedTuple):
    """An attribute of something, by its own name and its line, such as a member of an enumeration."""

    name: str
    line: int


class Unread(NamedTuple):
    """What the program computes, by its line."""

    line: int


def calls(text: str, source: str, names: frozenset[str]) -> Iterator[Call]:
    """The calls of these names that are no part of another of them, in the order of the source. Raises `ImportFormatError`."""
    reader = _Reader(_parsed(text, source), source, names)
    return reader.outermost()


def _parsed(text: str, source: str) -> ast.Module:
    if len(text) > _MOST_CHARACTERS:
        raise ImportFormatError(f"`{source}` is larger than {_MOST_CHARACTERS // 2**20} MiB, too large for a program")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise ImportFormatError(f"`{source}` is not Python: {error.msg} (line {error.lineno})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise ImportFormatError(
            f"`{source}` is not Python that can be read: {said(str(error)) or 'too deeply nested'}"
        ) from error


class _Reader:
    def __init__(self, module: ast.Module, source: str, names: frozenset[str]) -> None:
        self.source, self.names = source, names
        self.left = _MOST_VALUES
        self.inner: set[int] = set()
        self.assigned: dict[str, ast.expr] = {}
        self.found: list[ast.Call] = []
        stored = Counter[str]()  # how often a name is given a value, or what it names is changed
        for node in ast.walk(module):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                ):
                    self.assigned[name] = value
                case ast.Assign(targets=[ast.Attribute() as target], value=value) if _own(target):
                    self.assigned[_own(target)] = value
                case ast.Attribute(ctx=ast.Store()):
                    stored[_own(node)] += 1
                case ast.Name(id=name, ctx=ast.Store()) | ast.arg(arg=name):
                    stored[name] += 1
                case ast.AugAssign(target=ast.Name(id=name)) | ast.Subscript(value=ast.Name(id=name), ctx=ast.Store()):
                    stored[name] += 1
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append" | "extend" | "insert" | "update")
                ):
                    stored[name] += 1
                case _:
                    pass
            if isinstance(node, ast.Call) and _last(node.func) in names:
                self.found.append(node)
        self.assigned = {name: value for name, value in self.assigned.items() if stored[name] == 1}
        self.found.sort(key=lambda node: (node.lineno, node.col_offset))

    def outermost(self) -> Iterator[Call]:
        made = [(node, self.value(node, 0)) for node in self.found]
        return (call for node, call in made if id(node) not in self.inner)

    def count(self, size: int = 1) -> None:
        self.left -= size
        if self.left < 0:
            raise ImportFormatError(
                f"`{self.source}` says more than {_MOST_VALUES:,} values, some of them over and over"
            )

    def value(self, node: ast.expr, deep: int) -> Any:
        self.count()
        if deep > _DEEPEST:
            return Unread(node.lineno)
        match node:
            case ast.Constant(value=value) if not isinstance(value, (bytes, complex)) and value is not ...:
                self.count(len(value) // _CHARACTERS if isinstance(value, str) else 0)
                return characters(value, "\\", self.source)
            case ast.List(elts=items) | ast.Tuple(elts=items) if not any(isinstance(i, ast.Starred) for i in items):
                return [self.value(item, deep + 1) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return -number
            case ast.Name(id=name):
                assigned = self.assigned.get(name)
                return Unread(node.lineno) if assigned is None else self.value(assigned, deep + 1)
            case ast.Attribute() if _own(node) in self.assigned:
                return self.value(self.assigned[_own(node)], deep + 1)
            case ast.Attribute(attr=name):
                return Member(name, node.lineno)
            case ast.Call() if _last(node.func) is not None:
                return self.call(node, deep)
            case ast.BinOp(op=ast.Add()):
                both = [self.value(side, deep + 1) for side in (node.left, node.right)]
                if all(isinstance(side, str) for side in both):
                    self.count(sum(map(len, both)) // _CHARACTERS)
                    return both[0] + both[1]
            case _:
                pass
        return Unread(node.lineno)

    def call(self, node: ast.Call, deep: int) -> Call:
        name = _last(node.func) or ""
        unknown = any(isinstance(one, ast.Starred) for one in node.args)
        positional = () if unknown else tuple(self.value(one, deep + 1) for one in node.args)
        named = {
            keyword.arg: self.value(keyword.value, deep + 1) for keyword in node.keywords if keyword.arg is not None
        }
        if unknown or len(named) < len(node.keywords):
            named["**"] = Unread(node.lineno)
        if deep and name in self.names:
            self.inner.add(id(node))
        return Call(name, positional, named, node.lineno, node.col_offset)


def _own(node: ast.Attribute) -> str:
    """`self.name`; empty for another attribute."""
    return f"self.{node.attr}" if isinstance(node.value, ast.Name) and node.value.id == "self" else ""


def _last(node: ast.expr) -> str | None:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return None
