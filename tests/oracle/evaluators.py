"""The ways in which the package evaluates a reward, by name: each has to say what the brute force says.

A further lowering is one more function in `EVALUATORS`. `SLOW` ones compile for every policy, and are asked about
some of the policies only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.results import Answer, Value
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.read import row_from
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


def under_jax(question: Question) -> Said:
    """JAX, compiled for this policy."""
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
    "served": as_served,
    "jax": under_jax,
}
SLOW = ("jax",)
