"""What is the reward of one completion where there is neither JAX nor numpy, as in a browser?

`NumpyReward` for a single row, equal to it to the last bit: a row whose answers are known is evaluated by `SingleRow`,
as there, and one with unknowns by `evaluate` on numbers in the place of columns.
"""

from __future__ import annotations

import math
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from types import SimpleNamespace
from typing import Any

from rbrlang.logic.circuit import Circuit
from rbrlang.logic.worth import circuit_weights
from rbrlang.reward import evaluate, reasons
from rbrlang.reward.algebra import Column, Host, Stack
from rbrlang.reward.parts import reached_by
from rbrlang.reward.single import SingleRow
from rbrlang.reward.unrolled import unrolled


def single(value: float) -> float:
    """The float32 nearest to a number, infinite beyond the largest."""
    try:
        return struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def _least(x: float, y: float) -> float:
    return x if x != x or x <= y else y


def _most(x: float, y: float) -> float:
    return x if x != x or x >= y else y


def _where(condition: bool, yes: Any, no: Any) -> Any:
    return yes if condition else no


def _as(value: float, kind: Callable[[float], float]) -> float:
    return kind(value)


def _limits(_: type) -> SimpleNamespace:
    return SimpleNamespace(tiny=sys.float_info.min)


class Numbers(Host):
    """`Engine` on Python's own numbers, under the names of numpy's functions."""

    xp: Any = SimpleNamespace(
        nan=math.nan, inf=math.inf, float32=single, abs=abs, isnan=math.isnan, minimum=_least, maximum=_most,
        any=bool, logical_not=operator.not_, where=_where, asarray=_as, result_type=type, finfo=_limits,
    )  # fmt: skip

    def top(self, stack: Stack) -> Column:
        return reduce(_most, stack)


@dataclass(frozen=True, slots=True)
class Told:
    """All that is said of one completion, in float32: the reward with its bounds, P(class) by rank, and the addends of
    the reward, base first. NaN where there is none, and then `reason` says why."""

    reward: float
    low: float
    high: float
    classes: tuple[float, ...]
    addends: tuple[float, ...]
    reason: str | None


class PlainReward:
    """A compiled policy with its default weights."""

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit
        self._weights = [list(map(single, row)) for row in circuit_weights(circuit)]
        self._single = [SingleRow(circuit, r, w) for r, w in zip(circuit.responses, self._weights, strict=True)]

    def __call__(self, probs: Sequence[float], number: int, base: float = 0.0) -> Told:
        """For probs [atoms], NaN = unknown but for rubrics' features, under the response type of that number."""
        row, start, response = list(map(single, probs)), single(base), self.circuit.responses[number]
        one = self._single[number]
        if any(map(math.isnan, (row[atom] for atom in one.atoms))):
            batch = self._batch(row, number)
            reward, (low, high) = evaluate.rewards(batch, start), evaluate.reward_bounds(batch, start)
            classes = evaluate.class_probabilities(batch)[: len(response.classes)]
            first, rest = evaluate.contributions(batch, start)
            addends = [first, *rest[: len(response.features)]]
        else:
            total = one.value(row) + start
            reward = low = high = total if abs(total) <= evaluate.LARGEST else math.nan
            classes = one.class_probs(row)
            addends = [start, *one.addends(row)]
            if any(map(math.isnan, classes)):
                classes = [math.nan] * len(classes)
            if math.isnan(reward):
                addends = [math.nan] * len(addends)
        reason = self._reason(row, number, base) if math.isnan(reward) else None
        return Told(
            single(reward), single(low), single(high), tuple(map(single, classes)), tuple(map(single, addends)), reason
        )

    def _reason(self, row: list[float], number: int, base: float) -> str:
        def valid() -> bool:
            return math.isfinite(evaluate.rewards(self._batch(row, number), 0.0))

        return (
            reasons.before_rules(self.circuit, number, base)
            or reasons.of_rules(self.circuit, self._single[number], row, base, valid).reason
        )

    def _batch(self, row: list[float], number: int) -> evaluate.Batch:
        axioms = {atom for atom, _, _ in self.circuit.axioms.nodes}
        read = sorted(reached_by(self.circuit, self.circuit.responses[number]) | axioms)

        def columns() -> dict[int, float]:
            return {atom: row[atom] for atom in read}

        return unrolled(
            Numbers(), self.circuit, columns, number, lambda: self._weights, 0.0, remember=True, only=number
        )
