"""How does a reward change what the model writes?

GRPO (Shao et al. 2024, *DeepSeekMath*, section 4.1): for every prompt a group of completions is sampled, and a
completion's advantage is its reward minus the group's mean, over the group's spread. One update a batch, so the
policy that sampled is the one that is updated and no ratio needs clipping. A penalty holds the model near the warm start: the
k3 estimate of KL(model ‖ warm), `exp(d) − 1 − d` with `d = log warm − log model`, averaged over words.

A completion without a reward is left out of its group's mean and spread, and its advantage is 0; its words still count in
the penalty and in the number that both sums are divided by. It is never a number among the others (docs/training.md says why).
"""

# pyright: basic
from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from learn import RewardModel
from model import log_probs, sample
from numpy.typing import NDArray
from world import Ints, Vocabulary, question

from rbrlang.rows.read import Row
from rbrlang.scoring.metrics import batch_metrics
from rbrlang.scoring.score import Scorer, Scores

PROMPTS = 16  # prompts a step
GROUP = 8  # completions a prompt
RATE = 5e-4
LOOK = 4  # every so many steps the grader is asked for the curves
KL = 0.15  # weaker, and the texts fall apart: docs/comparison.md
OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(RATE))

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Batch:
    """Sampled completions: numbers, and the same as rows with the prompt's response type."""

    prompts: Ints
    completions: Ints
    rows: tuple[Row, ...]
    ended: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Reward:
    """What a completion is worth: a reward model, and the rules beside it where `rules` says so.

    `scorer` is the artefact with the grader. It grades in every variant, since its answers are the curves; only with
    `rules` do they reach the reward, and without them a look now and then is enough.
    """

    base: RewardModel
    scorer: Scorer
    rules: bool

    def __call__(self, batch: Batch, look: bool) -> tuple[Floats, Floats, Scores | None]:
        """Rewards [batch], NaN where there is none; base rewards [batch]; and what the grader said if it was asked."""
        base = self.base(batch.prompts, batch.completions)
        if not (look or self.rules):
            return base, base, None
        rows = [replace(row, base_reward=float(value)) for row, value in zip(batch.rows, base, strict=True)]
        scores = self.scorer(rows)
        return (scores.rewards if self.rules else base), base, scores


def write(
    graph: nnx.GraphDef,
    params: nnx.State,
    vocabulary: Vocabulary,
    asked: Sequence[Row],
    key: jax.Array,
    group: int,
) -> Batch:
    """`group` completions for each of the prompts, those of a prompt one after the other."""
    prompts = vocabulary.prompts([question(row) for row in asked])
    completions = np.asarray(sample(graph, params, prompts, key, group=group))
    texts, ended = vocabulary.written(completions)
    rows = [
        replace(row, id=f"{row.prompt_key}-{at}", conversation=row.conversation.answered(text))
        for at, text in enumerate(texts)
        for row in (asked[at // group],)
    ]
    return Batch(np.repeat(prompts, group, axis=0), completions, tuple(rows), tuple(ended))


def advantages(rewards: Floats, group: int) -> Floats:
    """Rewards [batch] against their groups, float32 [batch]; 0 where there is no reward, or no other to compare with.

    >>> advantages(np.array([-1.0, -0.8, np.nan, -0.9], np.float32), 4).round(2).tolist()
    [-1.22, 1.22, 0.0, 0.0]
    """
    grouped = rewards.reshape(-1, group).astype(np.float64)
    valid = np.isfinite(grouped)
    count = np.maximum(valid.sum(axis=1, keepdims=True), 1)
    centred = np.where(valid, grouped, 0.0)
    centred = np.where(valid, grouped - centred.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
    return np.where(spread > 1e-6, centred / np.maximum(spread, 1e-6), 0.0).astype(np.float32).reshape(-1)


@partial(jax.jit, static_argnames=("graph", "kl_weight"))
def _update(graph, params, warm, state, prompts, completions, advantage, kl_weight):
    words = completions != 0
    count = words.sum()
    before = log_probs(graph, warm, prompts, completions)

    def loss(params):
        now = log_probs(graph, params, prompts, completions)
        gain = jnp.exp(now - jax.lax.stop_gradient(now)) * advantage[:, None]
        apart = before - now
        kl = jnp.where(words, jnp.expm1(apart) - apart, 0.0).sum() / count
        return kl_weight * kl - jnp.where(words, gain, 0.0).sum() / count, kl

    gradient, kl = jax.grad(loss, has_aux=True)(params)
    updates, state = OPTIMISER.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, kl


class Loop(Protocol):
    """How parameters follow from a batch and its rewards; `ppo.PPO` is the other one."""

    def start(self, warm: nnx.State) -> Any:
        """What the loop keeps from step to step."""
        ...

    def step(
        self, graph: nnx.GraphDef, params: nnx.State, warm: nnx.State, state: Any, batch: Batch, rewards: Floats
    ) -> tuple[nnx.State, Any, jax.Array]:
        """Parameters, what is kept, and KL(model ‖ warm) of the batch in nats a word."""
        ...


@dataclass(frozen=True, slots=True)
class GRPO:
    """Advantages against the group; `kl` weighs the penalty."""

    kl: float = KL

    def start(self, warm: nnx.State) -> Any:
        """The optimiser's state."""
        return OPTIMISER.init(warm)

    def step(
        self, graph: nnx.GraphDef, params: nnx.State, warm: nnx.State, state: Any, batch: Batch, rewards: Floats
    ) -> tuple[nnx.State, Any, jax.Array]:
        """One update."""
        advantage = advantages(rewards, GROUP)
        return _update(graph, params, warm, state, batch.prompts, batch.completions, advantage, self.kl)


Curves = dict[str, list[float]]
Worth = Callable[[Batch, bool], tuple[Floats, Floats, Scores | None]]
Deal = Callable[[Sequence[Row], np.random.Generator], Sequence[Row]]


def evenly(prompts: Sequence[Row], order: np.random.Generator) -> Sequence[Row]:
    """Each prompt as likely as every other."""
    return [prompts[at] for at in order.choice(len(prompts), PROMPTS, replace=False)]


def train(
    graph: nnx.GraphDef,
    warm: nnx.State,
    vocabulary: Vocabulary,
    prompts: Sequence[Row],
    reward: Worth,
    *,
    steps: int,
    seed: int,
    loop: Loop = GRPO(),
    deal: Deal = evenly,
    watch: Callable[[int, Batch, Scores | None], None] = lambda step, batch, scores: None,
) -> tuple[nnx.State, Curves]:
    """The trained parameters, and by step: `reward`, `base`, `kl`, `words`, and the metrics of `rbrlang.scoring`.

    `deal` chooses a step's `PROMPTS` prompts; `watch` is shown every step's completions, and what the grader said of them.
    """
    params, state = warm, loop.start(warm)
    key, order = jax.random.key(seed), np.random.default_rng([seed, 5])
    curves: Curves = {}
    for number in range(steps):
        batch = write(graph, params, vocabulary, deal(prompts, order), jax.random.fold_in(key, number), GROUP)
        rewards, base, scores = reward(batch, number % LOOK == 0 or number == steps - 1)
        params, state, kl = loop.step(graph, params, warm, state, batch, rewards)
        found = {
            "reward": float(np.nanmean(rewards)) if np.isfinite(rewards).any() else float("nan"),
            "base": float(base.mean()),
            "kl": float(kl),
            "words": float((batch.completions != 0).sum(axis=1).mean()),
            **({} if scores is None else batch_metrics(scores)),
        }
        for name, value in found.items():
            curves.setdefault(name, [float("nan")] * number).append(value)
        for values in curves.values():
            values += [float("nan")] * (number + 1 - len(values))
        watch(number, batch, scores)
    return params, curves
