"""A program for `test_reward_jax`: the reward on eight devices against the reward on one.

Run in a process of its own, since the number of devices is fixed when JAX starts. Prints nothing.
"""

from __future__ import annotations

import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from reward_circuits import Case, random_case

from rbrlang.reward import lowering
from rbrlang.reward.reward import RuleReward


def loss(reward: RuleReward, probs: jax.Array, ids: jax.Array, base: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Sum of the known rewards, and the rewards."""
    value = reward(probs, ids, base)
    return jnp.where(jnp.isnan(value), 0.0, value).sum(), value


def check_mesh(case: Case, axis_type: AxisType) -> None:
    """Reward and both gradients, and under explicit axes every other method, with a divided batch."""
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    arrays = case.probs, case.ids, case.base
    gradient = jax.jit(jax.grad(loss, (0, 1), has_aux=True))
    (weights, probs), expected = gradient(reward, *arrays)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    rows = NamedSharding(mesh, P("data"))
    with jax.set_mesh(mesh):
        divided = tuple(jax.device_put(a, rows) for a in arrays)
        everywhere = jax.device_put(reward, NamedSharding(mesh, P()))
        (weights_8, probs_8), got = gradient(everywhere, *divided)
        assert got.sharding.is_equivalent_to(rows, 1), got.sharding
        np.testing.assert_allclose(got, expected, atol=1e-6)
        np.testing.assert_allclose(probs_8, probs, atol=1e-5)
        np.testing.assert_allclose(weights_8.weights, weights.weights, atol=1e-4)
        if axis_type is AxisType.Explicit:
            host = reward.host
            np.testing.assert_allclose(everywhere.features(*divided[:2]), host.features(*arrays[:2]), atol=1e-5)
            np.testing.assert_allclose(everywhere.contributions(*divided), host.contributions(*arrays), atol=1e-5)
            np.testing.assert_allclose(everywhere.bounds(*divided), host.bounds(*arrays), atol=1e-5)


def check_shard_map(case: Case) -> None:
    """The reward inside `shard_map`."""
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    specs = P(), P("data"), P("data"), P("data")
    mapped = jax.shard_map(lambda r, *a: r(*a), mesh=mesh, in_specs=specs, out_specs=P("data"))
    arrays = case.probs, case.ids, case.base
    np.testing.assert_allclose(jax.jit(mapped)(reward, *arrays), reward.host(*arrays), atol=1e-5)


if __name__ == "__main__":
    assert jax.device_count() == 8
    jax.config.update("jax_numpy_rank_promotion", "raise")
    axioms, plain = random_case(4, axioms=True, rows=16), random_case(3, axioms=False, rows=16)
    check_mesh(plain, AxisType.Auto)
    check_mesh(axioms, AxisType.Explicit)
    check_shard_map(plain)
    lowering.UNROLLED_NODES = -1
    check_mesh(random_case(9, axioms=False, rows=16), AxisType.Explicit)
    check_mesh(axioms, AxisType.Auto)
    check_shard_map(axioms)
