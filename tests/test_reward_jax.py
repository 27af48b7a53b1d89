"""The reward as a JAX citizen: pytree, transformations, devices, pickles, and what it must not import."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reward_circuits import random_case

from rbrlang.reward import lowering
from rbrlang.reward.lowering import UNROLLED_NODES
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.reward import _reward as programs
from rbrlang.reward.tables import tables

CASE = random_case(12, axioms=False, unknowns=False)
REWARD = RuleReward.from_circuit(CASE.circuit, CASE.weights)
ARRAYS = CASE.probs, CASE.ids, CASE.base


def test_weights_are_the_only_leaf() -> None:
    leaves, structure = jax.tree.flatten(REWARD)
    assert len(leaves) == 1
    assert leaves[0] is REWARD.weights
    again = RuleReward.from_circuit(random_case(12, axioms=False).circuit, CASE.weights)
    assert jax.tree.structure(again) == structure
    other = RuleReward.from_circuit(random_case(13, axioms=False).circuit)
    assert jax.tree.structure(other) != structure
    assert hash(jax.tree.structure(again)) == hash(structure)
    ((path, _),) = jax.tree_util.tree_leaves_with_path(REWARD)
    assert jax.tree_util.keystr(path) == ".weights"


def test_new_weights_do_not_trace_again() -> None:
    traces = 0

    @jax.jit
    def run(reward: RuleReward) -> jax.Array:
        nonlocal traces
        traces += 1
        return reward(*ARRAYS)

    for scale in (1.0, 2.0, 3.0):
        fresh = RuleReward.from_circuit(random_case(12, axioms=False).circuit, CASE.weights * scale)
        np.testing.assert_allclose(run(fresh), fresh.host(*ARRAYS), atol=1e-5)
    assert traces == 1


def test_vmap_over_weight_sets_equals_a_loop() -> None:
    sets = np.stack([CASE.weights, -CASE.weights, 0.5 * CASE.weights])
    mapped = jax.vmap(lambda w: REWARD.with_weights(w)(*ARRAYS))(sets)
    as_pytree = jax.vmap(lambda r: r(*ARRAYS))(REWARD.with_weights(jnp.asarray(sets)))
    looped = np.stack([REWARD.with_weights(jnp.asarray(w))(*ARRAYS) for w in sets])
    np.testing.assert_allclose(mapped, looped, atol=1e-6)
    np.testing.assert_allclose(as_pytree, looped, atol=1e-6)


def test_eight_devices_equal_one() -> None:
    program = Path(__file__).with_name("sharded_reward.py")
    path = [str(program.parent), str(program.parent.parent)]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={"PYTHONPATH": ":".join(path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_pickle_after_use_and_spawned_workers() -> None:
    expected = REWARD(*ARRAYS)
    copy = pickle.loads(pickle.dumps(REWARD))
    np.testing.assert_array_equal(copy(*ARRAYS), expected)
    REWARD.numpy(*ARRAYS)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        np.testing.assert_array_equal(
            pool.submit(pickle.loads(pickle.dumps(REWARD.host)), *ARRAYS).result(), REWARD.host(*ARRAYS)
        )
        np.testing.assert_array_equal(pool.submit(REWARD, *ARRAYS).result(), expected)


def test_a_diagram_of_many_nodes_is_data() -> None:
    """Majority of 110 atoms has thousands of nodes, of which few are alive at a time; numpy folds it node by node."""
    from rbrlang.logic.circuit import Diagram

    atoms = 110
    nodes: list[tuple[int, int, int]] = []
    below = [0] * (atoms // 2 + 1) + [1] * (atoms // 2 + 1)  # by the number of true atoms so far
    for atom in reversed(range(atoms)):
        row: list[int] = []
        for count in range(atom + 1):
            low, high = below[count], below[count + 1]
            if low == high:
                row.append(low)
            else:
                nodes.append((atom, low, high))
                row.append(len(nodes) + 1)
        below = row
    diagram = Diagram((0, 1), tuple(nodes), below[0])
    assert len(nodes) > UNROLLED_NODES
    response = CASE.circuit.responses[0]
    feature = replace(response.features[0], kind="class", index=1)
    response = replace(response, ranks=(("a",), ("b",)), diagram=diagram, features=(feature,), bounds=((-1.0, 1.0),))
    info = CASE.circuit.atoms[0]
    circuit = replace(CASE.circuit, atoms=(info,) * atoms, responses=(response,), fingerprint="majority")
    assert tables(circuit).program.free.shape[0] <= 64
    reward = RuleReward.from_circuit(circuit, np.ones((1, 1), np.float32))
    rng = np.random.default_rng(0)
    probs = rng.random((16, atoms), np.float32)
    ids = np.zeros(16, np.int32)
    np.testing.assert_allclose(reward(probs, ids), reward.host(probs, ids), atol=1e-5)
    wins = (rng.random((20000, 1, atoms)) < probs[None, :4]).sum(2) > atoms // 2
    np.testing.assert_allclose(reward(probs, ids)[:4], wins.mean(0), atol=0.02)


def test_the_numpy_evaluator_never_loads_jax() -> None:
    program = (
        "import sys, rbrlang.reward.numpy, rbrlang.reward.kept.artefact, rbrlang.reward.rows\n"
        "print('jax' in sys.modules, 'numpy' in sys.modules)"
    )
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_unknown_rows_can_be_found_under_debug_nans() -> None:
    case = random_case(12, axioms=False, unknowns=True)
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    probs = case.probs.copy()
    probs[0] = np.nan
    known = np.maximum(case.ids, 0)
    strange = known.copy()
    strange[1] = -1
    free = np.isfinite(np.asarray(reward(probs, strange, case.base)))
    low, high = map(np.asarray, reward.bounds(probs, known, case.base))
    assert not free[1]
    assert not free.all()
    with jax.debug_nans(True):
        assert (np.asarray(reward.valid(probs, strange, case.base)) == free).all()
        checked_low, checked_high = map(np.asarray, reward.bounds(probs, known, case.base))
        np.testing.assert_array_equal(checked_low, low)
        np.testing.assert_array_equal(checked_high, high)
        assert np.isfinite(np.asarray(reward(probs[free], strange[free], case.base[free]))).all()
        with pytest.raises(FloatingPointError):
            reward(probs, strange, case.base)


def test_nothing_is_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types of numbers, batch sizes, weights, copies; and where a circuit is data, another circuit of the same sizes."""
    for nodes in (lowering.UNROLLED_NODES, -1):
        monkeypatch.setattr(lowering, "UNROLLED_NODES", nodes)
        reward = RuleReward.from_circuit(CASE.circuit, CASE.weights)
        reward(*ARRAYS)
        before = programs._cache_size()
        probs, ids, base = CASE.probs, CASE.ids, CASE.base
        reward(probs, ids)
        reward(probs, ids, 1)
        reward(probs.astype(np.float64), ids.astype(np.int64), 0.5)
        reward(jnp.asarray(probs, jnp.bfloat16), jnp.asarray(ids), jnp.asarray(base, jnp.bfloat16))
        for rows in (1, 3, 12):
            assert reward(probs[:rows], ids[:rows], base[:rows]).shape == (rows,)
        RuleReward.from_circuit(CASE.circuit, 2.0 * CASE.weights)(*ARRAYS)
        pickle.loads(pickle.dumps(reward))(*ARRAYS)
        if nodes < 0:
            swapped = replace(CASE.circuit, responses=CASE.circuit.responses[::-1], fingerprint="swapped")
            other = RuleReward.from_circuit(swapped, CASE.weights[::-1])
            np.testing.assert_allclose(other(probs, 1 - ids, base), reward(*ARRAYS), atol=1e-6)
        assert programs._cache_size() == before
