"""The ways in which the package evaluates a reward, by name: each has to say what the brute force says.

A further lowering is one more function in `EVALUATORS`. `SLOW` ones compile for every policy, and are asked about
some of the policies only.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.results import Answer, Value
from rbrlang.logic.circuit import Circuit
from rbrlang.reward import lowering
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.read import row_from
from rbrlang.scoring.rewarding import Rewarded, Rewarding
from rbrlang.scoring.score import scored
from rbrlang.serve.forms import say_score

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Question:
    """Rows about a circuit: answers [rows, atoms] as encoded, response ids, base rewards, weights, and the texts."""

    circuit: Circuit
    weights: Floats
    probs: Floats
    ids: NDArray[np.int32]
    base: Floats
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """Rewards [rows], P(class) [rows, classes], and bounds [rows], NaN for none; None for what the way does not say."""

    rewards: Floats
    classes: Floats
    bounds: tuple[Floats, Floats] | None


def in_a_batch(question: Question) -> Said:
    """numpy, all rows at once: more than are evaluated one by one."""
    reward, rows = NumpyReward(question.circuit, question.weights), len(question.ids)
    times = 1 + 16 // rows
    probs, ids, base = np.tile(question.probs, (times, 1)), np.tile(question.ids, times), np.tile(question.base, times)
    low, high = reward.bounds(probs[:rows], ids[:rows], base[:rows])
    return Said(reward(probs, ids, base)[:rows], reward.class_probs(probs, ids)[:rows], (low, high))


def one_by_one(question: Question) -> Said:
    """numpy, a row at a time."""
    reward = NumpyReward(question.circuit, question.weights)
    rows = [(question.probs[i : i + 1], question.ids[i : i + 1]) for i in range(len(question.ids))]
    base = question.base
    return Said(
        np.concatenate([reward(*row, base[i : i + 1]) for i, row in enumerate(rows)]),
        np.concatenate([reward.class_probs(*row) for row in rows]),
        None,
    )


def in_blocks(question: Question) -> Said:
    """As `rbrc score` computes a block, where rows whose answers are all known are apart."""
    found = in_a_block(question)
    return Said(found.total, found.classes, (found.low, found.high))


def in_a_block(question: Question) -> Rewarded:
    """All that `rbrc score` computes of rows."""
    reward = NumpyReward(question.circuit, question.weights)
    return Rewarding(reward, bounds=True)(question.probs, question.ids, question.base.astype(np.float64))


def as_served(question: Question) -> Said:
    """What the server says of graded rows, read back from its JSON."""
    circuit = question.circuit
    reward = NumpyReward(circuit, question.weights)
    rows = [
        row_from({"id": str(i), "prompt": "Write.", "completion": text, "base_reward": float(b)})
        for i, (text, b) in enumerate(zip(question.texts, question.base, strict=True))
    ]
    count = len(circuit.propositions)
    answers: list[dict[int, Answer]] = [
        {a: Value(p, 1.0, p, p, "label") for a, p in enumerate(row[:count].tolist()) if not math.isnan(p)}
        for row in question.probs
    ]
    scores = scored(reward, rows, question.ids, answers)
    said = say_score(rows, scores)["rows"]
    width = max(len(r.classes) for r in circuit.responses)
    for row, reason in zip(said, scores.reasons, strict=True):
        assert (row["reward"] is None) == (row["reason"] is not None) == (not row["valid"])
        assert row["reason"] == reason
    return Said(
        np.array([math.nan if row["reward"] is None else row["reward"] for row in said]),
        np.array([_padded(list(row["class_probs"].values()), width) for row in said]),
        None,
    )


def unrolled(question: Question) -> Said:
    """JAX, compiled for this policy, as small ones are."""
    with lowered_by(sys.maxsize):
        return under_jax(question)


def tables(question: Question) -> Said:
    """JAX, in which this policy is data, as large ones are."""
    with lowered_by(-1):
        return under_jax(question)


@contextmanager
def lowered_by(nodes: int) -> Generator[None]:
    """Circuits of more nodes than that are data."""
    before = lowering.UNROLLED_NODES
    lowering.UNROLLED_NODES = nodes
    try:
        yield
    finally:
        lowering.UNROLLED_NODES = before


def under_jax(question: Question) -> Said:
    """What JAX says, the lowering chosen by size."""
    reward = RuleReward.from_circuit(question.circuit, question.weights)
    arrays = question.probs, question.ids
    low, high = reward.bounds(*arrays, question.base)
    return Said(
        np.asarray(reward(*arrays, question.base)),
        np.asarray(reward.class_probs(*arrays)),
        (np.asarray(low), np.asarray(high)),
    )


def _padded(values: list[float | None], width: int) -> list[float]:
    known = [math.nan if value is None else value for value in values]
    return known + [math.nan if any(map(math.isnan, known)) else 0.0] * (width - len(known))


EVALUATORS: dict[str, Callable[[Question], Said]] = {
    "numpy": in_a_batch,
    "rows": one_by_one,
    "blocks": in_blocks,
    "served": as_served,
    "unrolled": unrolled,
    "tables": tables,
}
SLOW = ("unrolled", "tables")
IN_32_BITS = SLOW
"""What tells no mass below 2 · 10⁻³³ from 0, and says nothing of a row that may have no more."""
