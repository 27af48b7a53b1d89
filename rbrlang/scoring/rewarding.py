"""What is a block of graded rows worth, as arrays?

The rows of each response type are computed apart, by the reward of that type alone: the same numbers as those of the
whole policy, which computes every row under every type, in a third of the time where there are three. Rows whose answers
are all known, which is most of them, are computed apart once more (`reward.known`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rbrlang.reward.evaluate import LARGEST
from rbrlang.reward.known import KnownRows
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.rounding import hidden, spreads

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Rewarded:
    """Rows with rewards, in order.

    `total`, `rules`, `low` and `high` [batch] are NaN where there is no reward; `classes` [batch, max classes] are
    P(class), NaN where unknown, 0 beyond a row's own. `best` [batch] is the likeliest class, −1 where that is not known.
    `hidden` counts the base rewards so large that nothing is left of the rules.
    """

    ids: NDArray[np.int32]
    total: Floats
    rules: Floats
    classes: Floats
    best: NDArray[np.int64]
    low: Floats
    high: Floats
    hidden: int


class Rewarding:
    """The reward of rows of any response types. `bounds` asks for `low` and `high`; `settled` takes the middle of bounds no wider."""

    def __init__(self, reward: NumpyReward, *, bounds: bool = False, settled: float = 0.0) -> None:
        circuit = reward.circuit
        self.reward = reward
        self._bounds, self._settled = bounds or settled > 0.0, settled
        self._types = [
            NumpyReward(replace(circuit, responses=(response,)), reward.weights[at : at + 1, : len(response.features)])
            for at, response in enumerate(circuit.responses)
        ]
        self._known = [
            KnownRows(circuit, one, w) for one, w in zip(circuit.responses, reward.weights.tolist(), strict=True)
        ]
        self._width = max((len(response.classes) for response in circuit.responses), default=0)
        self._spreads = spreads(reward)

    def __call__(
        self,
        atoms: Floats,
        ids: NDArray[np.int32],
        base: NDArray[np.float64],
        spans: NDArray[np.float64] | None = None,
    ) -> Rewarded:
        """The rewards of rows. atoms [batch, atoms], ids [batch], base [batch], 0 where there is none.

        `spans` are those of rubrics that are unknown, see `NumpyReward.bounds`.
        """
        rows = len(ids)
        total, rules = np.full(rows, np.nan, np.float32), np.full(rows, np.nan, np.float32)
        classes = np.full((rows, self._width), np.nan, np.float32)
        low, high = total.copy(), total.copy()
        best = np.full(rows, -1, np.int64)
        for number, reward in enumerate(self._types):
            at = np.flatnonzero(ids == number)
            width = len(reward.circuit.responses[0].classes)
            for some, known in self._by_what_is_known(self._known[number], atoms, at):
                added = base[some]
                if known:
                    total[some], rules[some], found = _known(self._known[number], atoms, some, added)
                else:
                    zero = np.zeros(len(some), np.int32)
                    total[some] = reward(atoms[some], zero, added)
                    rules[some] = reward(atoms[some], zero) if added.any() else total[some]
                    found = reward.class_probs(atoms[some], zero)
                if width:
                    classes[some, :width] = found
                    classes[some, width:] = np.where(np.isnan(found[:, :1]), np.nan, 0.0)
                    sure = np.logical_and.reduce(np.isfinite(found), axis=1)
                    best[some] = np.where(sure, np.argmax(np.where(sure[:, None], found, -1.0), 1), -1)
                else:
                    classes[some] = 0.0
            if self._bounds and len(at):
                own = None if spans is None else spans[at]
                low[at], high[at] = reward.bounds(atoms[at], np.zeros(len(at), np.int32), base[at], own)
        if self._settled:
            # Unknowns are left, but they move the reward by less than what was asked for: take the middle.
            taken = np.isnan(total) & (high - low <= self._settled)
            middle = (low + high) / 2
            total, rules = np.where(taken, middle, total), np.where(taken, middle - base, rules)
        lost = int(hidden(self._spreads, ids, base).sum())
        return Rewarded(ids, total, rules, classes, best, low, high, lost)

    def _by_what_is_known(
        self, known: KnownRows, atoms: Floats, at: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.intp], bool]]:
        """The rows `at` in two parts, those whose answers are all known and the others, without an empty one."""
        lacks = np.zeros(len(at), np.bool_)
        for atom in known.atoms:
            lacks |= np.isnan(atoms[at, atom])
        for some, all_known in ((at[~lacks], True), (at[lacks], False)):
            if len(some):
                yield some, all_known

    def reasons(self, atoms: Floats, found: Rewarded, base: NDArray[np.float64]) -> dict[int, str | None]:
        """Why each row without a reward has none, by its number."""
        at = np.flatnonzero(~np.isfinite(found.total))
        said = self.reward.reasons(atoms[at], found.ids[at], base[at]) if len(at) else []
        return dict(zip(at.tolist(), said, strict=True))


def _known(
    known: KnownRows, atoms: Floats, some: NDArray[np.intp], base: NDArray[np.float64]
) -> tuple[Floats, Floats, Floats]:
    """Reward and rules [batch] and P(class) [batch, classes] of rows whose answers are all known."""
    found, parts = known(lambda atom: atoms[some, atom].astype(np.float64), len(some))
    with np.errstate(over="ignore"):  # a base reward beyond float32 is infinite, and the reward none
        total = found + base.astype(np.float32).astype(np.float64)
    total, rules = (np.where(np.abs(one) <= LARGEST, one, np.nan).astype(np.float32) for one in (total, found))
    return total, rules, np.stack(parts, 1).astype(np.float32) if parts else np.zeros((len(some), 0), np.float32)
