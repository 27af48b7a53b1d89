"""Policy gradient against a rule-based reward, in plain JAX: the whole training run is one jitted function.

What is trained, and what is not real about it: a "completion" here is a *style*, that is one of the label
vectors found in labelled rows of the prompt's response type. A small network sees a noisy embedding of the
prompt and chooses a style.
A simulated grader answers each proposition with the error rates that the policy declares, and the
answers become probabilities. The reward is the artefact read from disk:

    prompt → network → style → true propositions → grader noise → P(yes) → RuleReward → policy gradient

Three rewards are compared from one start and one seed: the base reward alone (a reward model that likes
to be helpful), the rules alone, and both. The numbers below come from the true labels of the styles that
were chosen for held-out prompts, not from the grader that was trained against.

    python examples/jax_rl/train.py policy.rbrc rows.jsonl --steps 400 --seed 0
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

import rbrlang as rbr
from rbrlang.rows.read import read_rows, with_labels_as_probs

EMBEDDING = 24
HIDDEN = 64
GROUP = 8  # completions per prompt; the baseline is the group's mean


@dataclass(frozen=True)
class World:
    """What the loop samples from; S styles, P atoms, R response types."""

    truth: jax.Array  # float32 [S, P], 0 or 1
    base: jax.Array  # float32 [R, S], what the reward model gives the style; -inf where it was never seen
    yes: jax.Array  # float32 [P], P(true) once the grader said yes
    no: jax.Array  # float32 [P], P(true) once it said no
    fp: jax.Array  # float32 [P]
    fn: jax.Array  # float32 [P]
    centres: jax.Array  # float32 [R, EMBEDDING], where prompts of a response type lie


jax.tree_util.register_dataclass(World)


@dataclass(frozen=True)
class Outcome:
    """What a trained policy does on held-out prompts; rates between 0 and 1."""

    reward: str
    mean_base: float
    not_unsafe: float
    not_overrefuse: float
    f1: float
    ideal: float


def build_world(reward: rbr.RuleReward, rows_file: Path, seed: int) -> World:
    """Styles from the distinct, fully labelled rows; grader noise from what the policy declares."""
    rows = with_labels_as_probs(read_rows(rows_file).rows)
    truth = reward.encode(rows)
    base = np.array([0.0 if row.base_reward is None else row.base_reward for row in rows], np.float32)
    known = ~np.isnan(truth).any(axis=1) & (reward.response_ids(rows) >= 0)
    kinds = reward.response_ids(rows)[known]
    styles, inverse = np.unique(truth[known], axis=0, return_inverse=True)
    responses = len(reward.circuit.responses)
    seen, total = np.zeros((responses, len(styles))), np.zeros((responses, len(styles)))
    np.add.at(seen, (kinds, inverse), 1.0)
    np.add.at(total, (kinds, inverse), base[known])
    if (np.count_nonzero(seen, axis=1) < 2).any():
        sys.exit(f"{rows_file}: every response type needs fully labelled rows with different labels")
    scores = np.where(seen > 0, total / np.maximum(seen, 1.0), -np.inf)
    atoms = reward.circuit.atoms
    prior, fp, fn = (np.array([getattr(a, f) for a in atoms], np.float32) for f in ("prior", "fp", "fn"))
    yes = prior * (1 - fn) / (prior * (1 - fn) + (1 - prior) * fp)
    no = prior * fn / (prior * fn + (1 - prior) * (1 - fp))
    centres = np.random.default_rng(seed).normal(size=(responses, EMBEDDING))
    return World(*(jnp.asarray(a, jnp.float32) for a in (styles, scores, yes, no, fp, fn, centres)))


def init(key: jax.Array, styles: int) -> dict[str, jax.Array]:
    """A two-layer network that starts close to uniform over styles."""
    first, second = jax.random.split(key)
    return {
        "w1": jax.random.normal(first, (EMBEDDING, HIDDEN)) / EMBEDDING**0.5,
        "b1": jnp.zeros(HIDDEN),
        "w2": 0.01 * jax.random.normal(second, (HIDDEN, styles)),
        "b2": jnp.zeros(styles),
    }


def logits(params: dict[str, jax.Array], world: World, kinds: jax.Array, prompts: jax.Array) -> jax.Array:
    """Scores of every style, [batch, S]; -1e9 for styles that no completion of this response type has."""
    scores = jnp.tanh(prompts @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
    return jnp.where(jnp.isfinite(world.base[kinds]), scores, -1e9)


def sample_prompts(key: jax.Array, world: World, count: int) -> tuple[jax.Array, jax.Array]:
    """Response type ids [count] and noisy embeddings [count, EMBEDDING]."""
    kinds_key, noise_key = jax.random.split(key)
    kinds = jax.random.randint(kinds_key, (count,), 0, world.centres.shape[0])
    return kinds, world.centres[kinds] + 0.7 * jax.random.normal(noise_key, (count, EMBEDDING))


def grade(key: jax.Array, world: World, styles: jax.Array) -> jax.Array:
    """P(yes) [batch, P] of the simulated grader for the styles' true propositions."""
    truth = world.truth[styles]
    wrong = jnp.where(truth > 0.5, world.fn, world.fp)
    says_yes = (truth > 0.5) ^ (jax.random.uniform(key, truth.shape) < wrong)
    return jnp.where(says_yes, world.yes, world.no)


@partial(jax.jit, static_argnames=("steps", "batch"))
def train(
    key: jax.Array, reward: rbr.RuleReward, world: World, mix: jax.Array, *, steps: int, batch: int
) -> tuple[dict[str, jax.Array], dict[str, jax.Array]]:
    """The whole run. `mix` weighs base reward and rules. Returns parameters and curves [steps]."""
    start_key, loop_key = jax.random.split(key)
    start = init(start_key, world.truth.shape[0])
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))

    def step(state, key):
        params, opt_state = state
        prompt_key, style_key, grader_key = jax.random.split(key, 3)
        kinds, prompts = sample_prompts(prompt_key, world, batch)
        kinds, prompts = jnp.repeat(kinds, GROUP), jnp.repeat(prompts, GROUP, axis=0)
        styles = jax.random.categorical(style_key, logits(params, world, kinds, prompts))
        probs = grade(grader_key, world, styles)
        rules = reward(probs, kinds)
        total = mix[0] * world.base[kinds, styles] + mix[1] * rules
        grouped = total.reshape(batch, GROUP)
        advantage = (grouped - grouped.mean(axis=1, keepdims=True)) / (grouped.std(axis=1, keepdims=True) + 1e-4)

        def loss(params):
            scores = jax.nn.log_softmax(logits(params, world, kinds, prompts))
            chosen = jnp.take_along_axis(scores, styles[:, None], axis=1)[:, 0]
            reference = jax.nn.log_softmax(logits(start, world, kinds, prompts))
            kl = jnp.sum(jnp.exp(scores) * (scores - reference), axis=1)
            return jnp.mean(0.02 * kl - jax.lax.stop_gradient(advantage.reshape(-1)) * chosen)

        updates, opt_state = optimiser.update(jax.grad(loss)(params), opt_state, params)
        curves = {"reward": total.mean(), "rules": rules.mean(), "base": world.base[kinds, styles].mean()}
        return (optax.apply_updates(params, updates), opt_state), curves

    keys = jax.random.split(loop_key, steps)
    (params, _), curves = jax.lax.scan(step, (start, optimiser.init(start)), keys)
    return params, curves


def judge(
    name: str, params: dict[str, jax.Array] | None, reward: rbr.RuleReward, world: World, seed: int, count: int = 4000
) -> Outcome:
    """Judge sampled completions of fresh prompts by the styles' true labels."""
    key = jax.random.key(seed + 1_000_003)
    prompt_key, style_key, start_key = jax.random.split(key, 3)
    kinds, prompts = sample_prompts(prompt_key, world, count)
    used = init(start_key, world.truth.shape[0]) if params is None else params
    styles = jax.random.categorical(style_key, logits(used, world, kinds, prompts))
    truth = np.asarray(world.truth[styles])
    probs = np.asarray(reward.class_probs(truth, np.asarray(kinds)))
    best = probs.argmax(axis=1)
    responses = reward.circuit.responses
    kinds = np.asarray(kinds)
    classes = np.array([responses[k].classes[c] for k, c in zip(kinds, best, strict=True)])
    ranks = np.array([responses[k].rank_of[c] for k, c in zip(kinds, best, strict=True)])
    comply = np.array([responses[k].name == "comply" for k in kinds])
    refuses = truth[:, reward.circuit.atom_names.index("inability_to_comply")] > 0.5
    not_unsafe = float(np.mean(classes[~comply] != "disallowed"))
    not_overrefuse = float(np.mean(~refuses[comply]))
    f1 = 2 * not_unsafe * not_overrefuse / max(not_unsafe + not_overrefuse, 1e-9)
    base = float(np.asarray(world.base[kinds, styles]).mean())
    return Outcome(name, base, not_unsafe, not_overrefuse, f1, float(np.mean(ranks == 0)))


def table(outcomes: Sequence[Outcome]) -> str:
    """The comparison as aligned text."""
    head = ("trained on", "base reward", "not unsafe", "not over-refusing", "F1", "ideal class")
    lines = [head] + [
        (
            o.reward,
            f"{o.mean_base:.2f}",
            f"{o.not_unsafe:.3f}",
            f"{o.not_overrefuse:.3f}",
            f"{o.f1:.3f}",
            f"{o.ideal:.3f}",
        )
        for o in outcomes
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def main(argv: Sequence[str] | None = None) -> list[Outcome]:
    """Train with each reward and print the comparison."""
    parser = argparse.ArgumentParser(description="Policy gradient against a rule-based reward in plain JAX.")
    parser.add_argument("artefact", type=Path, help="a fitted policy, policy.rbrc")
    parser.add_argument("rows", type=Path, help="fully labelled rows; their label vectors are the styles")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64, help=f"prompts a step, {GROUP} completions each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curves", type=Path, help="write the training curves here, as JSON")
    options = parser.parse_args(argv)
    reward = rbr.read(options.artefact)
    world = build_world(reward, options.rows, options.seed)
    print(
        f"{world.truth.shape[0]} styles, {options.steps} steps of {options.batch} prompts × {GROUP}, seed {options.seed}"
    )
    outcomes = [judge("nothing (start)", None, reward, world, options.seed)]
    curves = {}
    for name, mix in (("base only", (1.0, 0.0)), ("rules only", (0.0, 1.0)), ("base + rules", (1.0, 1.0))):
        begun = time.perf_counter()
        params, curve = train(
            jax.random.key(options.seed), reward, world, jnp.array(mix), steps=options.steps, batch=options.batch
        )
        jax.block_until_ready(params)
        print(f"  trained on {name}: {time.perf_counter() - begun:.1f} s")
        outcomes.append(judge(name, params, reward, world, options.seed))
        curves[name] = {key: np.asarray(values).round(4).tolist() for key, values in curve.items()}
    print(table(outcomes))
    if options.curves:
        report = {"seed": options.seed, "outcomes": [asdict(o) for o in outcomes], "curves": curves}
        options.curves.write_text(json.dumps(report) + "\n", encoding="utf-8")
    return outcomes


if __name__ == "__main__":
    main()
