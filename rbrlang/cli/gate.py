"""`--gate "error<0.05"`: conditions on a result that make a command fail in CI."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rbrlang.cli.errors import UsageError
from rbrlang.diagnostics import suggest

_RELATIONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gate:
    """`name relation bound`."""

    name: str
    relation: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name}{self.relation}{self.bound:g}"


def parse(text: str) -> Gate:
    """A gate from its text. Raises `UserError`."""
    match = re.fullmatch(r"\s*([A-Za-z_][\w.]*)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*", text)
    try:
        if match:
            return Gate(match[1], match[2], float(match[3]))
    except ValueError:
        pass
    raise UsageError(f'`--gate {text}` is not a condition such as "error<0.05"')


def parsed(gates: Iterable[str], names: Collection[str]) -> tuple[Gate, ...]:
    """Gates from their texts, all about one of these names. Raises `UserError`."""
    found = tuple(map(parse, gates))
    for gate in found:
        if gate.name not in names:
            near = suggest(gate.name, list(names))
            hint = (f"did you mean `{near}`? " if near else "") + "there are " + ", ".join(names)
            raise UsageError(f"`--gate {gate}`: nothing is called `{gate.name}`; {hint}")
    return found


def failures(
    gates: Iterable[str], values: Mapping[str, float | None], reasons: Mapping[str, str] = MappingProxyType({})
) -> list[str]:
    """What each gate that is not met says; a value that could not be computed meets no gate, for its reason."""
    found: list[str] = []
    for gate in parsed(gates, values):
        value = values[gate.name]
        if value is None or not math.isfinite(value):
            why = f": {reasons[gate.name]}" if gate.name in reasons else ""
            found.append(f"gate {gate} is not met: {gate.name} could not be computed{why}")
        elif not _RELATIONS[gate.relation](value, gate.bound):
            found.append(f"gate {gate} is not met: {gate.name} is {value:.4g}")
    return found
