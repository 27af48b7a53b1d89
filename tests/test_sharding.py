"""The reward in a training loop: meshes, weight sets, refits without a retrace, padding, the exported program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from conftest import CHECKOUT
from reward_circuits import random_case

from rbrlang.reward.export import export_reward
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.rows import bucket, pad


def test_a_training_loop_on_eight_devices() -> None:
    program = Path(__file__).with_name("sharded_lifecycle.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(program)],
        env={"PYTHONPATH": f"{program.parent}:{CHECKOUT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_the_exported_program_is_lowered_for_every_platform(platform: str) -> None:
    case = random_case(5, axioms=True, unknowns=False)
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    exported = jax.export.deserialize(bytearray(export_reward(Artefact(case.circuit, case.weights, (), None, {})).data))
    assert platform in exported.platforms
    rng = np.random.default_rng(0)
    probs = rng.uniform(size=(37, len(reward.circuit.atoms))).astype(np.float32)
    ids = rng.integers(0, len(reward.circuit.responses), 37).astype(np.int32)
    base = rng.normal(size=37).astype(np.float32)
    if jax.default_backend() == {"cuda": "gpu"}.get(platform, platform):
        np.testing.assert_allclose(exported.call(probs, ids, base), reward(probs, ids, base), atol=1e-5)
    else:  # lowered again for a platform that is not here: it must at least be accepted
        again = jax.export.export(jax.jit(exported.call), platforms=[platform])(probs, ids, base)
        assert again.platforms == (platform,)
        assert again.out_avals[0].shape == (37,)


def test_padding_leaves_the_rewards_alone() -> None:
    case = random_case(6, axioms=False)
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    rng = np.random.default_rng(1)
    for rows in (1, 7, 16, 17, 33):
        probs = rng.uniform(size=(rows, len(reward.circuit.atoms))).astype(np.float32)
        ids = rng.integers(0, len(reward.circuit.responses), rows).astype(np.int32)
        got = np.asarray(reward(*pad(probs, ids, 0.5, bucket(rows))))
        np.testing.assert_allclose(got[:rows], reward.host(probs, ids, 0.5), atol=1e-5)
        assert np.isnan(got[rows:]).all()
