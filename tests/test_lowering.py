"""Both forms in which JAX gets a circuit, unrolled and as data, say of large random policies what numpy says.

Each policy follows from its number: up to 500 propositions, with and without axioms. RBR_LOWERINGS=100 says how many. As
data a circuit is compiled, as it is used. Unrolled it runs operation by operation, since XLA would compile for minutes;
small ones, which are compiled, are compared with the brute force (`oracle`).
"""

from __future__ import annotations

import os
import random
import sys
from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from oracle.evaluators import Question, Said, lowered_by, under_jax

from rbrlang.logic.circuit import Circuit
from rbrlang.policy import Policy, check_text
from rbrlang.reward import lowering
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.weights import default_weights

MANY = int(os.environ.get("RBR_LOWERINGS", "3"))
SIZES = (60, 500, 150, 24)
ROWS = 16


def text_of(draw: random.Random, count: int, kind: str) -> str:
    """Response types over runs of propositions that overlap, as cascades; axioms among neighbours; some as features."""
    each = draw.randint(18, 36)
    lines = [f'prop p{at} "Trait {at}."' for at in range(count)]
    axioms: list[str] = []
    for number in range(max(1, count // each)):
        own = [f"p{at}" for at in range(number * each, min(count, number * each + each + 3))]
        draw.shuffle(own)
        features = own[:5]
        classes = [f"c{at}" for at in range(draw.randint(2, 4))]
        first = own[0]
        lines.append(f"response r{number} ranks {' > '.join(classes)} {{")
        for name in classes[:0:-1]:
            parts = [("!" if draw.random() < 0.3 else "") + own.pop() for _ in range(min(len(own), draw.randint(2, 6)))]
            lines.append(f"  {name} if {draw.choice((' & ', ' | ')).join(parts)}")
            if kind == "exact" and draw.random() < 0.5:  # from one class's literals to another's
                last = parts[-1].lstrip("!")
                axioms.append(draw.choice((f"axiom {last} => {first}", f"axiom !({first} & {last})")))
                first = last
        lines.append(f"  {classes[0]} otherwise\n}}")
        if draw.random() < 0.7:
            lines.append(f"reward r{number} {{ features classes, {', '.join(features)} }}")
    # Few axioms: with the mass of many, 32 bits underflow before 64 do.
    return "\n".join(["rbr 1", *lines, *draw.sample(axioms, min(len(axioms), 6))]) + "\n"


def question_of(number: int) -> Question:
    """A policy, weights, and rows of which some lack answers and others contradict an axiom."""
    draw, rng = random.Random(number), np.random.default_rng(number)
    size = SIZES[number % len(SIZES)]
    kind = "product" if number % 3 == 2 else "exact"
    while not (checked := check_text(text_of(draw, draw.randint(size * 3 // 4, size), kind))).ok:
        pass  # a class that cannot be
    circuit = Policy(checked).compiled(kind)
    weights = default_weights(circuit)
    weights = (weights * rng.uniform(0.5, 1.5, weights.shape)).astype(np.float32)
    probs = rng.uniform(0.02, 0.98, (ROWS, len(circuit.atoms))).astype(np.float32)
    certain = rng.random(probs.shape) < 0.3
    probs[: ROWS // 2][certain[: ROWS // 2]] = np.round(probs[: ROWS // 2][certain[: ROWS // 2]])
    probs[ROWS // 4 :][rng.random(probs[ROWS // 4 :].shape) < 0.08] = np.nan
    ids = rng.integers(0, len(circuit.responses), ROWS).astype(np.int32)
    base = rng.normal(0.0, 1.0, ROWS).astype(np.float32)
    return Question(circuit, weights, probs, ids, base, ("",) * ROWS)


def by_numpy(question: Question) -> Said:
    reward = NumpyReward(question.circuit, question.weights)
    arrays = question.probs, question.ids
    return Said(reward(*arrays, question.base), reward.class_probs(*arrays), reward.bounds(*arrays, question.base))


def agree(said: Said, twin: Said) -> None:
    """To five digits, and with no number in the same places."""
    assert said.bounds is not None
    assert twin.bounds is not None
    np.testing.assert_allclose(said.rewards, twin.rewards, rtol=1e-5, atol=3e-5)
    np.testing.assert_allclose(said.classes, twin.classes, rtol=1e-5, atol=3e-5)
    for one, other in zip(said.bounds, twin.bounds, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=3e-5)


def seen_in(circuit: Circuit, twin: Said, probs: np.ndarray) -> Counter[str]:
    assert twin.bounds is not None
    lacks = np.isnan(probs).any(1)
    none = np.isnan(twin.rewards)
    return Counter({
        "rewards": int((~none).sum()),
        "rewards beside unknowns": int((~none & lacks).sum()),
        "unknowns that matter": int((none & (twin.bounds[0] < twin.bounds[1])).sum()),
        "contradictions": int(np.isnan(twin.bounds[0]).sum()),
        "under axioms": int(bool(circuit.axioms.nodes)),
        "more than 300 propositions": int(len(circuit.atoms) > 300),
    })  # fmt: skip


def test_both_lowerings_of_large_policies_equal_numpy() -> None:
    seen: Counter[str] = Counter()
    for number in range(MANY):
        question = question_of(number)
        twin = by_numpy(question)
        with lowered_by(-1):
            agree(under_jax(question), twin)
        with lowered_by(sys.maxsize), jax.disable_jit():
            agree(under_jax(question), twin)
        seen += seen_in(question.circuit, twin, question.probs)
    for what in (
        "rewards", "rewards beside unknowns", "unknowns that matter", "contradictions", "under axioms",
        "more than 300 propositions",
    ):  # fmt: skip
        assert seen[what] > 0, (what, seen)


def test_a_lowering_that_errs_would_differ() -> None:
    question = question_of(3)
    twin = by_numpy(question)
    off = np.where(np.arange(ROWS) == 1, 1e-3, 0.0)
    with pytest.raises(AssertionError):
        agree(Said(twin.rewards + off, twin.classes, twin.bounds), twin)
    unknown = np.where(np.arange(ROWS) == int(np.flatnonzero(~np.isnan(twin.rewards))[0]), np.nan, twin.rewards)
    with pytest.raises(AssertionError):
        agree(Said(unknown, twin.classes, twin.bounds), twin)


@pytest.mark.parametrize("number", [3, 11])  # exact under axioms, and products
def test_a_large_circuit_says_the_same_of_rows_in_tiles(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    one = question_of(number)
    rows = 2 * lowering.TILE + 37
    monkeypatch.setattr(lowering, "UNROLLED_NODES", 0)

    def many(array: NDArray[Any]) -> NDArray[Any]:
        return np.resize(array, (rows, *array.shape[1:]))

    probs, ids, base = many(one.probs), many(one.ids), many(one.base)

    def total(weights: jax.Array, probs: jax.Array) -> jax.Array:
        found = RuleReward(one.circuit, weights)(probs, ids, base)
        return jnp.where(jnp.isnan(found), 0.0, found).sum()

    def said() -> dict[str, Any]:
        jax.clear_caches()
        reward = RuleReward.from_circuit(one.circuit, one.weights)
        return {
            "reward": reward(probs, ids, base),
            "classes": reward.class_probs(probs, ids),
            "features": reward.features(probs, ids),
            "addends": reward.contributions(probs, ids, base),
            "bounds": reward.bounds(probs, ids, base),
            "slopes": jax.grad(total, (0, 1))(reward.weights, jnp.asarray(probs)),
        }

    def negative(column: jax.Array) -> jax.Array:
        return lowering.in_tiles(jnp.negative, column)

    tiled = said()
    assert "scan" in str(jax.make_jaxpr(negative)(probs))
    monkeypatch.setattr(lowering, "TILE", 2 * rows)
    whole = said()
    assert "scan" not in str(jax.make_jaxpr(negative)(probs))
    assert np.isfinite(np.asarray(whole["reward"])).sum() > rows // 4
    assert np.isnan(np.asarray(whole["reward"])).any()
    for name, expected in whole.items():
        for found, wanted in zip(jax.tree.leaves(tiled[name]), jax.tree.leaves(expected), strict=True):
            assert found.shape == wanted.shape
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=name)
    jax.clear_caches()
