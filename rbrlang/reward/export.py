"""How does a reward get to a program that has JAX and not rbrlang?

As a `jax.export`, with the weights baked in and the batch size free, for CPU, CUDA and TPU:

    exported = jax.export.deserialize(bytearray(open("reward.stablehlo", "rb").read()))
    r = exported.call(probs, ids, base_reward)                  # float32 [batch, atoms], int32, float32 [batch]

It is made from an artefact when it is wanted, and is no part of one: a program is not to be run because it lies in a
file that somebody sent, and nobody could tell without JAX that it is the policy's. JAX promises to read it for six
months (https://docs.jax.dev/en/latest/export/export.html#compatibility-guarantees).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
from jax import export

from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.reward import RuleReward


@dataclass(frozen=True, slots=True)
class StableHlo:
    """The reward as a serialised `jax.export` and the version of JAX that made it."""

    data: bytes
    jax_version: str


_PLATFORMS = ("cpu", "cuda", "tpu")


def export_reward(artefact: Artefact) -> StableHlo:
    """The reward of an artefact as a serialised StableHLO program.

    The function is (probs float32 [b, atoms], ids int32 [b], base_reward float32 [b]) -> float32 [b], b >= 1.
    """
    reward = RuleReward.from_artefact(artefact)

    def rule_reward(probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
        return reward(probs, ids, base_reward)

    (batch,) = export.symbolic_shape("b")
    arguments = (
        jax.ShapeDtypeStruct((batch, len(artefact.circuit.atoms)), np.float32),
        jax.ShapeDtypeStruct((batch,), np.int32),
        jax.ShapeDtypeStruct((batch,), np.float32),
    )
    # Source locations would put the paths of this machine into the bytes.
    setting = "jax_traceback_in_locations_limit"
    before: int = getattr(jax.config, setting)  # no typed access
    jax.config.update(setting, 0)
    try:
        exported = export.export(jax.jit(rule_reward), platforms=_PLATFORMS)(*arguments)
    finally:
        jax.config.update(setting, before)
    return StableHlo(bytes(exported.serialize()), jax.__version__)
