"""Which model writes the text? A transformer of the usual kind, small enough for a processor.

Two blocks, normalised before each part, learned positions, tied word vectors, flax nnx. A sequence is a prompt
padded at the left to `PROMPT`, the word `BEGIN`, and the completion, so that completions begin at one place for
all rows. `states` reads whole sequences; `sample` writes with a cache of keys and values and reads each prompt
once for its whole group. All functions are pure: `graph` says what the model is, `params` are its numbers.

Reward models are the same transformer with one output more a word (`rewards`).
"""

# pyright: basic
from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from world import BEGIN, END, LONGEST, PAD, PROMPT, UNKNOWN

HEADS = 2
BLOCKS = 2
NEVER = -1e9
LEAST = -10.0  # nats; a word less likely than this is no worse for a reward model
FAR = 10.0  # the weight of the likelihood has further to go than an optimiser with the others' rate would take it


class Block(nnx.Module):
    """Attention and a two-layer network, each added to what came in."""

    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.before = nnx.RMSNorm(width, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, rngs=rngs)
        self.between = nnx.RMSNorm(width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, rngs=rngs)

    def heads(self, x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Queries, keys and values [batch, words, heads, size]."""
        parts = self.qkv(self.before(x)).reshape(*x.shape[:2], 3, HEADS, -1)
        return parts[:, :, 0], parts[:, :, 1], parts[:, :, 2]

    def mixed(self, x: jax.Array, q: jax.Array, k: jax.Array, v: jax.Array, may: jax.Array) -> jax.Array:
        """The block's output [batch, queries, width]; `may` [batch, queries, keys] says what is looked at."""
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
        weights = jax.nn.softmax(jnp.where(may[:, None], scores, NEVER), axis=-1)
        x = x + self.out(jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape))
        return x + self.down(jax.nn.relu(self.up(self.between(x))))


class Writer(nnx.Module):
    """Word numbers in, states out; `score` is used by reward models and critics, `likely` by reward models alone."""

    def __init__(self, words: int, width: int, rngs: nnx.Rngs) -> None:
        small = nnx.initializers.normal(0.02)
        self.words = nnx.Embed(words, width, embedding_init=small, rngs=rngs)
        self.places = nnx.Embed(PROMPT + LONGEST, width, embedding_init=small, rngs=rngs)
        self.blocks = nnx.List([Block(width, rngs) for _ in range(BLOCKS)])
        self.last = nnx.RMSNorm(width, rngs=rngs)
        self.score = nnx.Linear(width, 1, use_bias=False, kernel_init=small, rngs=rngs)
        self.likely = nnx.Param(jnp.zeros(()))

    def embedded(self, tokens: jax.Array, first: jax.Array | int) -> jax.Array:
        """Word and place vectors [batch, words, width] of tokens that begin at place `first`."""
        return self.words(tokens) + self.places(first + jnp.arange(tokens.shape[1]))

    def states(self, tokens: jax.Array) -> jax.Array:
        """States [batch, words, width] of whole sequences."""
        size = tokens.shape[1]
        may = jnp.tril(jnp.ones((size, size), bool)) & (tokens != PAD)[:, None, :]
        x = self.embedded(tokens, 0)
        for block in self.blocks:
            x = block.mixed(x, *block.heads(x), may)
        return self.last(x)

    def logits(self, states: jax.Array) -> jax.Array:
        """Scores of the next word; padding, `BEGIN` and unknown words are never next."""
        scores = self.words.attend(states)
        number = jnp.arange(scores.shape[-1])
        return scores + NEVER * ((number == PAD) | (number == BEGIN) | (number == UNKNOWN))

    def read(self, prompts: jax.Array) -> tuple[tuple[jax.Array, jax.Array], ...]:
        """Keys and values of prompts, one pair a block, with room for the completion."""
        may = jnp.tril(jnp.ones((PROMPT, PROMPT), bool)) & (prompts != PAD)[:, None, :]
        x, cache = self.embedded(prompts, 0), []
        room = ((0, 0), (0, LONGEST), (0, 0), (0, 0))
        for block in self.blocks:
            q, k, v = block.heads(x)
            x = block.mixed(x, q, k, v, may)
            cache.append((jnp.pad(k, room), jnp.pad(v, room)))
        return tuple(cache)

    def next(
        self, tokens: jax.Array, place: jax.Array, cache: tuple[tuple[jax.Array, jax.Array], ...], seen: jax.Array
    ) -> tuple[jax.Array, tuple[tuple[jax.Array, jax.Array], ...]]:
        """Scores [batch, words] after one more token [batch] at `place`; `seen` [batch, places]."""
        x, grown = self.embedded(tokens[:, None], place), []
        for block, (keys, values) in zip(self.blocks, cache, strict=True):
            q, k, v = block.heads(x)
            keys = jax.lax.dynamic_update_slice_in_dim(keys, k, place, axis=1)
            values = jax.lax.dynamic_update_slice_in_dim(values, v, place, axis=1)
            x = block.mixed(x, q, keys, values, seen[:, None, :])
            grown.append((keys, values))
        return self.logits(self.last(x))[:, 0], tuple(grown)


def new_writer(words: int, width: int, seed: int) -> tuple[nnx.GraphDef, nnx.State]:
    """A model that knows nothing yet."""
    return nnx.split(Writer(words, width, nnx.Rngs(seed)))


def sequence(prompts: jax.Array, completions: jax.Array) -> jax.Array:
    """Prompt, `BEGIN`, and the completion without its last place: int32 [batch, PROMPT + LONGEST]."""
    begin = jnp.full((len(prompts), 1), BEGIN, prompts.dtype)
    return jnp.concatenate([prompts, begin, completions[:, :-1]], axis=1)


def _likely(model: Writer, states: jax.Array, completions: jax.Array) -> jax.Array:
    """Log-probability of every word of completions, float32 [batch, LONGEST], from the states before them; 0 after the end."""
    scores = model.logits(states)
    chosen = jnp.take_along_axis(scores, completions[:, :, None], axis=2)[:, :, 0]
    return jnp.where(completions != PAD, chosen - jax.nn.logsumexp(scores, axis=2), 0.0)


def log_probs(graph: nnx.GraphDef, params: nnx.State, prompts: jax.Array, completions: jax.Array) -> jax.Array:
    """Log-probability of every word of completions, float32 [batch, LONGEST]; 0 after the end."""
    model = nnx.merge(graph, params)
    return _likely(model, model.states(sequence(prompts, completions))[:, PROMPT:], completions)


def rewards(graph: nnx.GraphDef, params: nnx.State, prompts: jax.Array, completions: jax.Array) -> jax.Array:
    """What a reward model gives completions, float32 [batch]: means over their words of a score and of how likely they are.

    The second tells an answer to this request from one to another, which so small a model hardly learns from pairs alone.
    """
    model = nnx.merge(graph, params)
    states = model.states(sequence(prompts, completions))[:, PROMPT:]
    words, count = completions != PAD, jnp.maximum((completions != PAD).sum(axis=1), 1)
    score = jnp.where(words, model.score(states)[:, :, 0], 0.0).sum(axis=1) / count
    likely = jnp.maximum(_likely(model, states, completions), LEAST).sum(axis=1) / count
    return score + FAR * model.likely[...] * likely


def values_of(graph: nnx.GraphDef, params: nnx.State, prompts: jax.Array, completions: jax.Array) -> jax.Array:
    """What a critic foretells before every word of completions, float32 [batch, LONGEST]."""
    model = nnx.merge(graph, params)
    return model.score(model.states(sequence(prompts, completions))[:, PROMPT:])[:, :, 0]


@partial(jax.jit, static_argnames=("graph", "group"))
def sample(graph: nnx.GraphDef, params: nnx.State, prompts: jax.Array, key: jax.Array, *, group: int) -> jax.Array:
    """Completions int32 [prompts · group, LONGEST] at temperature 1, those of a prompt one after the other."""
    model = nnx.merge(graph, params)
    cache = jax.tree.map(lambda x: jnp.repeat(x, group, axis=0), model.read(prompts))
    batch = len(prompts) * group
    seen = jnp.pad(jnp.repeat(prompts != PAD, group, axis=0), ((0, 0), (0, LONGEST)))

    def step(carry, inputs):
        token, cache, seen, done = carry
        number, key = inputs
        place = PROMPT + number
        seen = seen.at[:, place].set(True)
        scores, cache = model.next(token, place, cache, seen)
        token = jnp.where(done, PAD, jax.random.categorical(key, scores)).astype(jnp.int32)
        return (token, cache, seen, done | (token == END)), token

    first = jnp.full(batch, BEGIN, jnp.int32), cache, seen, jnp.zeros(batch, bool)
    _, tokens = jax.lax.scan(step, first, (jnp.arange(LONGEST), jax.random.split(key, LONGEST)))
    return tokens.T
