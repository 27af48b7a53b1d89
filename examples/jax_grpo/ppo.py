"""What does the paper's own optimiser make of the same reward?

PPO (Schulman et al. 2017, arXiv 1707.06347) as language models are trained with it (Ouyang et al. 2022, appendix C.4): the
reward comes with the last word, a critic foretells it at every word, an advantage is what came beyond that
(generalised estimates, Schulman et al. 2016, arXiv 1506.02438), and `EPOCHS` updates a batch keep the ratio of new to old
probability within `CLIP`. Prompts, completions a step, rate, and the penalty that holds the model near the warm start are
those of `grpo.py`. The loops differ in one thing more: a completion without a reward takes no part in an update here, and
there its words, which have no advantage, still count in the penalty and in what losses are divided by. The critic is a
transformer of its own, begun at the warm one; it sees rewards on the scale of their batch, for those of fitted rules go to the
dozens, and it would not get there in time.
"""

# pyright: basic
from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from grpo import KL, OPTIMISER, Batch, Floats
from model import log_probs, values_of

EPOCHS = 2
CLIP = 0.2
LAMBDA = 0.95  # no discount: the reward is of the whole text
CRITIC_RATE = 2e-3
CRITIC = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(CRITIC_RATE))


def scaled(rewards: Floats) -> Floats:
    """Rewards [batch] of mean 0 and spread 1; NaN stays NaN.

    >>> scaled(np.array([30.0, np.nan, -10.0], np.float32)).tolist()
    [1.0, nan, -1.0]
    """
    if not np.isfinite(rewards).any():
        return rewards
    spread = max(float(np.nanstd(rewards)), 1e-6)
    return ((rewards - np.nanmean(rewards)) / spread).astype(np.float32)


def gains(values: jax.Array, rewards: jax.Array, words: jax.Array) -> jax.Array:
    """Generalised advantages [batch, words] of rewards [batch] that come with the last word; 0 after it.

    >>> words = jnp.array([[True, True, False]])
    >>> gains(jnp.array([[0.5, 0.75, 9.0]]), jnp.array([1.0]), words).round(4).tolist()
    [[0.4875, 0.25, 0.0]]
    """
    after = jnp.pad(words[:, 1:], ((0, 0), (0, 1)))
    following = jnp.where(after, jnp.pad(values[:, 1:], ((0, 0), (0, 1))), 0.0)
    surprise = jnp.where(words & ~after, rewards[:, None], 0.0) + following - values

    def back(later: jax.Array, at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        here = jnp.where(at[1], at[0] + LAMBDA * later, 0.0)
        return here, here

    _, found = jax.lax.scan(back, jnp.zeros_like(rewards), (surprise.T, words.T), reverse=True)
    return found.T


@partial(jax.jit, static_argnames=("graph", "kl_weight"))
def _update(graph, params, warm, state, prompts, completions, rewards, kl_weight):
    critic, actor_state, critic_state = state
    valid = jnp.isfinite(rewards)
    words = (completions != 0) & valid[:, None]
    count = jnp.maximum(words.sum(), 1)
    mean = lambda x: jnp.where(words, x, 0.0).sum() / count  # noqa: E731
    before = log_probs(graph, warm, prompts, completions)
    old = log_probs(graph, params, prompts, completions)
    foretold = values_of(graph, critic, prompts, completions)
    gain = gains(foretold, jnp.where(valid, rewards, 0.0), words)
    reached = foretold + gain
    centred = jnp.where(words, gain - mean(gain), 0.0)
    advantage = centred / jnp.sqrt(mean(centred**2) + 1e-8)

    def actor_loss(params):
        now = log_probs(graph, params, prompts, completions)
        ratio = jnp.exp(now - old)
        kept = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - CLIP, 1 + CLIP) * advantage)
        apart = before - now
        kl = mean(jnp.expm1(apart) - apart)
        return kl_weight * kl - mean(kept), kl

    def critic_loss(critic):
        return mean((values_of(graph, critic, prompts, completions) - reached) ** 2)

    kl = jnp.zeros(())
    for epoch in range(EPOCHS):
        gradient, apart = jax.grad(actor_loss, has_aux=True)(params)
        updates, actor_state = OPTIMISER.update(gradient, actor_state, params)
        params = optax.apply_updates(params, updates)
        updates, critic_state = CRITIC.update(jax.grad(critic_loss)(critic), critic_state, critic)
        critic = optax.apply_updates(critic, updates)
        kl = apart if epoch == 0 else kl
    return params, (critic, actor_state, critic_state), kl


@dataclass(frozen=True, slots=True)
class PPO:
    """A loop of `grpo.train`; `kl` weighs the penalty."""

    kl: float = KL

    def start(self, warm: nnx.State) -> Any:
        """The critic, and the states of both optimisers."""
        return warm, OPTIMISER.init(warm), CRITIC.init(warm)

    def step(
        self, graph: nnx.GraphDef, params: nnx.State, warm: nnx.State, state: Any, batch: Batch, rewards: Floats
    ) -> tuple[nnx.State, Any, jax.Array]:
        """`EPOCHS` updates of model and critic; the KL is that before the first."""
        return _update(graph, params, warm, state, batch.prompts, batch.completions, scaled(rewards), self.kl)
