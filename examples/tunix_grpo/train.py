"""Rule-based rewards in Tunix's GRPO, on a CPU, in about a minute.

    rbrc fit examples/refusals/policy.rbr examples/refusals/completions.jsonl --grader labels -o refusals.rbrc
    python examples/tunix_grpo/train.py refusals.rbrc examples/refusals/completions.jsonl --steps 80 --seed 0

The learner, the model, the sampler and the logs are Tunix's; the reward is the reward manager `rbr` with the
embedded grader. The curves go to TensorBoard in `--logs`, the summary to standard output as JSON. A quarter
of the prompts is held out, by prompt.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from tiny import ANSWER_TOKENS, PROMPT_TOKENS, Words, tiny_model, warm_start
from tunix.rl.grpo.grpo_learner import GRPOConfig, GRPOLearner
from tunix.rl.rl_cluster import ClusterConfig, RLCluster, RLTrainingConfig, Role
from tunix.rl.rollout.base_rollout import CacheConfig, RolloutConfig, RolloutOutput
from tunix.rl.rollout.vanilla_rollout import VanillaRollout
from tunix.sft.metrics_logger import MetricsLoggerOptions

from rbrlang.adapters import tunix
from rbrlang.rows.read import read_rows
from rbrlang.scoring.metrics import batch_metrics

PROMPTS_A_STEP, GROUP = 8, 8


class FreshRollout(VanillaRollout):
    """Tunix's sampler starts every batch from one key, so that noise repeats; this one counts it on."""

    def __init__(self, rollout_actor: Any, tokenizer: Any, mesh: Any, rollout_config: RolloutConfig) -> None:
        shape = rollout_actor.config
        super().__init__(
            rollout_actor,
            tokenizer,
            CacheConfig(rollout_config.kv_cache_size, shape.num_layers, shape.num_kv_heads, shape.head_dim),
        )
        self._calls = 0

    def generate(self, prompts: list[str], rollout_config: RolloutConfig, **kwargs: Any) -> RolloutOutput:
        """As in Tunix, with the next key of `rollout_config.seed`."""
        self._calls += 1
        key = jax.random.fold_in(rollout_config.seed, self._calls)
        return super().generate(prompts, replace(rollout_config, seed=key), **kwargs)


def read_prompts(path: str, seed: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(prompt, response type) of a file of rows: those to train on, and a quarter held out."""
    found = {row.prompt[-1].text: row.response_type or "" for row in read_rows(path).rows}
    pairs = sorted(found.items())
    random.Random(seed).shuffle(pairs)
    cut = len(pairs) // 4
    return pairs[cut:], pairs[:cut]


def batches(pairs: list[tuple[str, str]], steps: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Tunix's data: a batch of prompts for each step, columns as arrays."""
    rng = random.Random(seed)
    for _ in range(steps):
        some = rng.sample(pairs, PROMPTS_A_STEP)
        yield {"prompts": np.array([p for p, _ in some]), "response_type": np.array([t for _, t in some])}


def learner(
    model: nnx.Module, words: Words, reward: tunix.TunixReward, *, steps: int, seed: int, logs: Path | None
) -> GRPOLearner:
    """Tunix's GRPO learner with the reward manager `rbr`, everything on one device."""
    tunix.register()
    mesh = jax.make_mesh((1, 1), ("fsdp", "tp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    reference = nnx.merge(*nnx.split(model))
    config = ClusterConfig(
        role_to_mesh={Role.ACTOR: mesh, Role.REFERENCE: mesh, Role.ROLLOUT: mesh},
        rollout_engine=FreshRollout,
        training_config=RLTrainingConfig(
            actor_optimizer=optax.adam(1e-3),
            eval_every_n_steps=10 * steps,
            max_steps=steps,
            metrics_logging_options=None if logs is None else MetricsLoggerOptions(str(logs), flush_every_n_steps=10),
        ),
        rollout_config=RolloutConfig(
            max_tokens_to_generate=ANSWER_TOKENS,
            max_prompt_length=PROMPT_TOKENS,
            kv_cache_size=PROMPT_TOKENS + ANSWER_TOKENS + 2,
            temperature=1.0,
            seed=jax.random.key(seed),
        ),
    )
    cluster = RLCluster(actor=model, reference=reference, tokenizer=words, cluster_config=config)
    grpo = GRPOConfig(reward_manager="rbr", num_generations=GROUP, num_iterations=1, beta=0.02, epsilon=0.2)
    return GRPOLearner(cluster, grpo, reward_fns=[reward])


def held_out(cluster: RLCluster, reward: tunix.TunixReward, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Mean reward and class mix on other prompts, four completions each, and some of what was said."""
    prompts = [p for p, _ in pairs for _ in range(4)]
    types = [t for _, t in pairs for _ in range(4)]
    said = cluster.generate(prompts, micro_batch_size=len(prompts)).text
    scores = reward.scores(prompts, said, {"response_type": types}, None)
    metrics = batch_metrics(scores)
    samples = dict(zip(types, said, strict=True))
    return {
        "reward": round(metrics["rbr/reward/mean"], 3),
        "classes": {k.removeprefix("rbr/class/"): round(v, 3) for k, v in metrics.items() if "/class/" in k},
        "said": samples,
    }


def train(artefact: str, rows: str, *, steps: int, warm: int, seed: int, logs: Path | None) -> dict[str, Any]:
    """Warm-start, train, and say what changed."""
    started = time.monotonic()
    pairs, other = read_prompts(rows, seed)
    words = Words([p for p, _ in pairs])
    model = tiny_model(len(words), seed)
    loss = warm_start(model, words, pairs, warm, seed)
    reward = tunix.TunixReward(artefact)
    run = learner(model, words, reward, steps=steps, seed=seed, logs=logs)
    cluster = run.rl_cluster
    before = held_out(cluster, reward, other)
    warmed = time.monotonic()
    run.train(batches(pairs, steps, seed))
    logged = cluster._rl_metrics_logger
    curves = {
        name: [round(float(v), 3) for v in logged.get_metric_history("rbr", name, "train")]
        for name in ("reward/mean", "class/ideal", "invalid_rate", "apology/p", "lecturing/p")
    }
    return {
        "seed": seed, "steps": steps, "prompts": {"train": len(pairs), "held_out": len(other)},
        "completions_a_step": PROMPTS_A_STEP * GROUP, "warm_start_loss": round(loss, 3),
        "held_out": {"before": before, "after": held_out(cluster, reward, other)}, "curves": curves,
        "seconds": {"warm_start": round(warmed - started, 1), "train": round(time.monotonic() - warmed, 1)},
    }  # fmt: skip


def main() -> None:
    """Parse arguments, train, print the summary."""
    parser = argparse.ArgumentParser(description="rule-based rewards in Tunix's GRPO, on a CPU")
    parser.add_argument("artefact", help="a policy.rbrc, from `rbrc fit` or `rbrc compile`")
    parser.add_argument("rows", help="rows with prompts and response types")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--warm", type=int, default=300, help="steps of the warm start")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--logs", type=Path, help="folder for TensorBoard")
    options = parser.parse_args()
    logging.getLogger("absl").setLevel(logging.WARNING)
    done = train(
        options.artefact, options.rows, steps=options.steps, warm=options.warm, seed=options.seed, logs=options.logs
    )
    print(json.dumps(done, indent=1))


if __name__ == "__main__":
    main()
