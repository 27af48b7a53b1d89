"""What is the reward, for callers that have no JAX or only one completion at a time?

`NumpyReward` is `RuleReward` on the host: the same functions with the same meaning, computed in float64
and returned as float32. A batch of a few rows is evaluated with plain Python floats, which take
microseconds where array calls take a hundred; both ways perform the same operations in the same order,
so a row's reward does not depend on the batch it is in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.reward import evaluate, reasons, rows
from rbrlang.reward.algebra import Engine, each_unit, fold_nodes, repeat_steps, when_true
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.single import SingleRow
from rbrlang.reward.weights import Weights, checked_weights, default_weights

Floats = NDArray[np.float32]
_Known = tuple[SingleRow, list[float]]

_FEW_ROWS = 16


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
        self._reached = evaluate.reached(circuit)
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
        return np.asarray(evaluate.rewards(self._batch(probs, ids), base.astype(np.float64)), np.float32)

    def valid(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> NDArray[np.bool_]:
        """Whether each row has a finite reward [batch]."""
        return np.isfinite(self(probs, ids, base_reward))

    def class_probs(self, probs: ArrayLike, ids: ArrayLike) -> Floats:
        """P(class) [batch, max classes]; NaN where unknown, 0 beyond the row's classes."""
        probs, ids, _ = self._arrays(probs, ids, 0.0)
        few = self._few(probs, ids)
        if few is not None:
            width = max((len(r.classes) for r in self.circuit.responses), default=0)
            found = [None if one is None else one[0].class_probs(one[1]) for one in few]
            # Where classes are undefined all of them are, also those beyond the row's own.
            return _padded([None if row is None or any(p != p for p in row) else row for row in found], width)
        return _stack(evaluate.class_probabilities(self._batch(probs, ids)), len(ids))

    def features(self, probs: ArrayLike, ids: ArrayLike) -> Floats:
        """φ [batch, max features]; NaN where unknown, 0 beyond the row's features."""
        probs, ids, _ = self._arrays(probs, ids, 0.0)
        return _stack(evaluate.feature_values(self._batch(probs, ids)), len(ids))

    def contributions(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> Floats:
        """Addends of the reward [batch, 1 + max features], base reward first."""
        probs, ids, base = self._arrays(probs, ids, base_reward)
        few = self._few(probs, ids)
        if few is not None:
            return self._few_addends(few, base)
        return _stack(evaluate.contributions(self._batch(probs, ids), base.astype(np.float64)), len(ids))

    def bounds(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> tuple[Floats, Floats]:
        """Lower and upper bound of the reward [batch] over all ways to fill the unknowns."""
        probs, ids, base = self._arrays(probs, ids, base_reward)
        lower, upper = evaluate.reward_bounds(self._batch(probs, ids), base.astype(np.float64))
        return np.asarray(lower, np.float32), np.asarray(upper, np.float32)

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
        single, probs = self._single[number], row.tolist()
        excluded = reasons.excluded(self.circuit, probs)
        if excluded is not None:
            return reasons.Cause(f"the answers contradict the axioms, which exclude `{excluded}`")
        said = reasons.undefined(self.circuit, single, probs)
        if said is not None:
            return reasons.Cause(said)
        missing = reasons.unanswered(self.circuit, single, probs)
        if missing.unanswered and not self.valid(row[None], np.array([number]))[0]:
            return missing
        return reasons.Cause(reasons.overflow(single, probs, base))

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

    def _batch(self, probs: Floats, ids: NDArray[np.int32]) -> evaluate.Batch:
        zero = np.zeros(len(ids))
        columns = self._columns(probs)
        engine = Engine(np, self._columns, fold_nodes, each_unit, when_true, repeat_steps)
        return evaluate.Batch(engine, self.circuit, probs, columns, ids, self._table, zero)

    def _columns(self, probs: Floats) -> dict[int, NDArray[np.float64]]:
        return {a: probs[:, a].astype(np.float64) for a in self._reached}


def _total(one: _Known | None, base: float) -> float:
    """Base and rules of one row, NaN where there is no reward."""
    total = math.nan if one is None else one[0].value(one[1]) + base
    return total if abs(total) <= evaluate.LARGEST else math.nan


def _padded(table: Sequence[list[float] | None], width: int) -> Floats:
    """Rows filled up with 0; a row of NaN for None."""
    return np.array(
        [[math.nan] * width if row is None else row + [0.0] * (width - len(row)) for row in table], np.float32
    ).reshape(len(table), width)


def _stack(columns: list[NDArray[np.float64]], rows: int) -> Floats:
    return np.stack(columns, 1).astype(np.float32) if columns else np.zeros((rows, 0), np.float32)
