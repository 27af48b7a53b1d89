"""What is the reward, for callers that have no JAX or only one completion at a time?

`NumpyReward` is `RuleReward` on the host: the same functions with the same meaning, computed in float64
and returned as float32. A batch of a few rows is evaluated with plain Python floats, which take
microseconds where array calls take a hundred; both ways perform the same operations in the same order,
so a row's reward does not depend on the batch it is in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.reward import evaluate, reasons, rows, rubrics
from rbrlang.reward.algebra import Column, Host, Stack
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.parts import reached_by
from rbrlang.reward.single import SingleRow
from rbrlang.reward.unrolled import unrolled
from rbrlang.reward.weights import Weights, checked_weights, default_weights

Floats = NDArray[np.float32]
_Known = tuple[SingleRow, list[float]]
_Columns = Callable[[evaluate.Batch, NDArray[np.float64]], Sequence[NDArray[np.float64]]]

_FEW_ROWS = 16
_AT_ONCE = 2048  # rows of one response type, so that their columns stay in the processor's cache


class NumpyEngine(Host):
    """`Engine` on numpy's arrays."""

    xp: Any = np

    def top(self, stack: Stack) -> Column:
        return reduce(np.maximum, stack)


class ShapeError(ValueError):
    """Arrays that do not fit the policy or each other; the message gives both shapes."""


class NumpyReward:
    """A compiled policy with its weights, evaluated on the host. See `RuleReward` for the meaning.

    probs [batch, atoms] (NaN = unknown), ids [batch], base_reward a number or [batch]. All methods raise
    `ShapeError` for arrays that do not fit.
    """

    def __init__(self, circuit: Circuit, weights: ArrayLike | None = None) -> None:
        """Weights [responses, max features]; the defaults without. Raises `WeightError`."""
        table = default_weights(circuit) if weights is None else checked_weights(circuit, weights)
        self.circuit = circuit
        self.weights: Weights = table
        self._table: list[list[float]] = table.tolist()
        self._of_rubrics = rubrics.weighed(circuit, table)
        axioms = {atom for atom, _, _ in circuit.axioms.nodes}
        self._read = [sorted(reached_by(circuit, response) | axioms) for response in circuit.responses]
        self._classes = max((len(r.classes) for r in circuit.responses), default=0)
        self._single = [SingleRow(circuit, r, w) for r, w in zip(circuit.responses, self._table, strict=True)]

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> NumpyReward:
        """The reward that an artefact carries."""
        return cls(artefact.circuit, artefact.weights)

    def encode(self, graded: Sequence[rows.AnyRow]) -> Floats:
        """Probabilities of the atoms [batch, atoms]; see `rows.encode`."""
        return rows.encode(self.circuit, graded)

    def response_ids(self, graded: Sequence[rows.AnyRow]) -> NDArray[np.int32]:
        """Response type ids [batch]; see `rows.response_ids`."""
        return rows.response_ids(self.circuit, graded)

    def __call__(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> Floats:
        """Reward [batch]; NaN where there is none, see `RuleReward` and `reasons`."""
        probs, ids, base = self._arrays(probs, ids, base_reward)
        few = self._few(probs, ids)
        if few is not None:
            return np.array([_total(one, b) for one, b in zip(few, base.tolist(), strict=True)], np.float32)
        return self._columns(probs, ids, base, lambda batch, base: [evaluate.rewards(batch, base)], 1)[:, 0]

    def valid(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> NDArray[np.bool_]:
        """Whether each row has a finite reward [batch]."""
        return np.isfinite(self(probs, ids, base_reward))

    def class_probs(self, probs: ArrayLike, ids: ArrayLike) -> Floats:
        """P(class) [batch, max classes]; NaN where unknown, 0 beyond the row's classes."""
        probs, ids, base = self._arrays(probs, ids, 0.0)
        few = self._few(probs, ids)
        if few is not None:
            found = [None if one is None else one[0].class_probs(one[1]) for one in few]
            # Where classes are undefined all of them are, also those beyond the row's own.
            known = [None if row is None or any(p != p for p in row) else row for row in found]
            return _padded(known, self._classes)
        return self._columns(probs, ids, base, lambda batch, _: evaluate.class_probabilities(batch), self._classes)

    def features(self, probs: ArrayLike, ids: ArrayLike) -> Floats:
        """φ [batch, max features]; NaN where unknown, 0 beyond the row's features."""
        probs, ids, base = self._arrays(probs, ids, 0.0)
        width = self.weights.shape[1]
        return self._columns(probs, ids, base, lambda batch, _: evaluate.feature_values(batch), width)

    def contributions(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> Floats:
        """Addends of the reward [batch, 1 + max features], base reward first."""
        probs, ids, base = self._arrays(probs, ids, base_reward)
        few = self._few(probs, ids)
        if few is not None:
            return self._few_addends(few, base)

        def addends(batch: evaluate.Batch, base: NDArray[np.float64]) -> list[NDArray[np.float64]]:
            first, rest = evaluate.contributions(batch, base)
            return [first, *rest]

        return self._columns(probs, ids, base, addends, 1 + self.weights.shape[1])

    def bounds(
        self,
        probs: ArrayLike,
        ids: ArrayLike,
        base_reward: ArrayLike = 0.0,
        spans: NDArray[np.float64] | None = None,
    ) -> tuple[Floats, Floats]:
        """Lower and upper bound of the reward [batch] over all ways to fill the unknowns.

        `spans` are those of rubrics that are unknown, see `rubrics.spans`; without them a rubric may be anything that its
        clip allows.
        """
        probs, ids, base = self._arrays(probs, ids, base_reward)
        least = most = np.zeros(len(ids))
        if self.circuit.rubrics:
            first = len(self.circuit.atoms) - rubrics.size(self.circuit)
            given = probs[:, first:]
            found = np.broadcast_to(rubrics.anything(self.circuit), (*given.shape, 2)) if spans is None else spans
            least, most = rubrics.added(
                self._of_rubrics, ids, np.where(np.isnan(given)[:, :, None], found, given[:, :, None])
            )
            probs = np.concatenate([probs[:, :first], np.zeros_like(given)], 1)
        lower, upper = self._columns(probs, ids, base, evaluate.reward_bounds, 2, np.float64).T
        return np.asarray(lower + least, np.float32), np.asarray(upper + most, np.float32)

    def reasons(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> list[str | None]:
        """Why each row has no reward, in words; None for a row that has one."""
        return [None if cause is None else cause.reason for cause in self.causes(probs, ids, base_reward)]

    def causes(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> list[reasons.Cause | None]:
        """`reasons` with the atoms whose answers are missing."""
        exact = np.asarray(base_reward, np.float64)  # before float32 makes an infinity of it
        probs, ids, base = self._arrays(probs, ids, base_reward)
        rows = zip(self.valid(probs, ids, base), probs, ids.tolist(), np.broadcast_to(exact, base.shape), strict=True)
        return [None if ok else self._cause(p, i, float(b)) for ok, p, i, b in rows]

    def _cause(self, row: Floats, number: int, base: float) -> reasons.Cause:
        said = reasons.before_rules(self.circuit, number, base)
        if said is not None:
            return reasons.Cause(said)

        def valid() -> bool:
            return bool(self.valid(row[None], np.array([number]))[0])

        return reasons.of_rules(self.circuit, self._single[number], row.tolist(), base, valid)

    def _few_addends(self, few: Sequence[_Known | None], base: Floats) -> Floats:
        table = [
            None if one is None or math.isnan(_total(one, start)) else [start, *one[0].addends(one[1])]
            for one, start in zip(few, base.tolist(), strict=True)
        ]
        return _padded(table, 1 + self.weights.shape[1])

    def _few(self, probs: Floats, ids: NDArray[np.int32]) -> list[_Known | None] | None:
        """Each row with the evaluator of its response type, None where the id is unknown, for plain floats.

        None for many rows, and where a row has an unknown that its response type reads.
        """
        if len(ids) > _FEW_ROWS:
            return None
        out: list[_Known | None] = []
        for row, number in zip(probs.tolist(), ids.tolist(), strict=True):
            single = self._single[number] if 0 <= number < len(self._single) else None
            if single is not None and any(row[atom] != row[atom] for atom in single.atoms):
                return None
            out.append(None if single is None else (single, row))
        return out

    def _arrays(
        self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike
    ) -> tuple[Floats, NDArray[np.int32], Floats]:
        with np.errstate(over="ignore"):  # a base reward beyond float32 is infinite, and `reasons` says so
            p, i, b = np.asarray(probs, np.float32), np.asarray(ids), np.asarray(base_reward, np.float32)
        expected = len(self.circuit.atoms)
        if p.ndim != 2 or p.shape[1] != expected:
            raise ShapeError(f"probs have the shape {list(p.shape)}, this policy needs [batch, {expected}]")
        if i.shape != p.shape[:1] or i.dtype.kind not in "iu":
            raise ShapeError(f"response ids are {i.dtype} {list(i.shape)}, expected integers [{len(p)}]")
        if b.shape not in ((), i.shape):
            raise ShapeError(f"base rewards have the shape {list(b.shape)}, expected [{len(p)}]")
        return p, i, b if b.ndim else np.full(i.shape, b)

    def _columns(
        self, probs: Floats, ids: NDArray[np.int32], base: Floats, found: _Columns, width: int, kind: type = np.float32
    ) -> NDArray[Any]:
        """Columns [batch, width] of rows, a response type after the other; NaN for an unknown id."""
        out = np.full((len(ids), width), np.nan, kind)
        for number in range(len(self.circuit.responses)):
            mine = np.flatnonzero(ids == number)
            for start in range(0, len(mine), _AT_ONCE):
                rows = mine[start : start + _AT_ONCE]
                for at, column in enumerate(found(self._batch(probs[rows], number), base[rows].astype(np.float64))):
                    out[rows, at] = column
        return out

    def _batch(self, probs: Floats, number: int) -> evaluate.Batch:
        columns = {a: probs[:, a].astype(np.float64) for a in self._read[number]}
        ids, zero = np.full(len(probs), number), np.zeros(len(probs))
        return unrolled(
            NumpyEngine(), self.circuit, lambda: columns, ids, lambda: self._table, zero, remember=True, only=number
        )


def _total(one: _Known | None, base: float) -> float:
    """Base and rules of one row, NaN where there is no reward."""
    total = math.nan if one is None else one[0].value(one[1]) + base
    return total if abs(total) <= evaluate.LARGEST else math.nan


def _padded(table: Sequence[list[float] | None], width: int) -> Floats:
    """Rows filled up with 0; a row of NaN for None."""
    return np.array(
        [[math.nan] * width if row is None else row + [0.0] * (width - len(row)) for row in table], np.float32
    ).reshape(len(table), width)
