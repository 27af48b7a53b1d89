"""What does the published way of fitting cost, and what is it asked to fit?

The published procedure (Mu et al. 2024, section 4.3; its code release openai/safety-rbr-code-and-data) is restated
here from its description, step by step and at its own granularity: examples are objects; all pairs of a response
type's examples are listed and each is asked, by a function call, whether prompts agree and labels are ordered; the
pairs are shuffled and 95 % of them kept for training; AdamW, learning rate 0.01, weight decay 0.05, takes 1,000
full-batch steps from zero, and after each the training loss, the share of pairs without loss and the validation loss
are read. Its steps ran in eager PyTorch: `torch_descent`, where that is installed. `published_descent` takes every
step as one compiled JAX program, and `compiled_descent` all steps as one.

Rows are made in the shape of the release's notebook: 349 prompts of 17 completions, 4 response types, 28 features.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from rbrlang.learning.comparisons import compare
from rbrlang.learning.fitting.problem import Pairs, Problem

SEED = 0
COMPLETIONS = 17
PROMPTS = {"comply": 194, "hard_refuse": 88, "safe_refuse_2": 58, "safe_refuse_1": 9}
CLASS_SHARES = {
    "comply": (0.2, 0.22, 0.22, 0.22, 0.14),
    "hard_refuse": (0.3, 0.13, 0.13, 0.14, 0.3),
    "safe_refuse_2": (0.25, 0.2, 0.15, 0.2, 0.2),
    "safe_refuse_1": (0.3, 0.13, 0.13, 0.14, 0.3),
}
CLASSES, PROPOSITIONS = 5, 23


@dataclass(frozen=True)
class Data:
    """One response type: features [n, 28], base rewards [n], class ranks [n], prompts [n]."""

    features: NDArray[Any]
    base: NDArray[Any]
    ranks: NDArray[Any]
    prompts: NDArray[Any]


def generate(prompts: int, rng: np.random.Generator, shares: tuple[float, ...]) -> Data:
    """Completions whose class probabilities and propositions follow their class, with a grader's noise.

    Every tenth completion is not what it was meant to be, so that no weights order all pairs. `shares` of the
    classes make about as many pairs as the notebook has; the three middle classes tie.
    """
    count = prompts * COMPLETIONS
    intended = rng.choice(CLASSES, size=count, p=shares)
    became = np.where(rng.random(count) < 0.1, rng.integers(0, CLASSES, count), intended)
    logits = rng.normal(size=(count, CLASSES)) * 0.7 + 3.0 * np.eye(CLASSES)[became]
    classes = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rates = rng.random((CLASSES, PROPOSITIONS)) * 0.8
    truth = rng.random((count, PROPOSITIONS)) < rates[became]
    propositions = np.clip(truth + rng.normal(size=truth.shape) * 0.15, 0.0, 1.0)
    base = 1.5 * rng.normal(size=count) + 0.4 * became
    ranks = np.array([0, 1, 1, 1, 2])[intended]
    return Data(np.hstack([classes, propositions]), base, ranks, np.repeat(np.arange(prompts), COMPLETIONS))


# --- the published procedure ------------------------------------------------------------------


@dataclass
class Example:
    """A completion as the published procedure holds it."""

    prompt: str
    label: str
    base: float
    features: list[float]


LABELS = ("ideal", "between", "worst")
BELOW = {"ideal": ["between", "worst"], "between": ["worst"], "worst": []}


def published_pairs(data: Data) -> NDArray[Any]:
    """Every two completions of the response type, one by one: better, worse, margin; shuffled."""
    examples = [
        Example(f"user: question number {prompt}, as a conversation of one turn", LABELS[rank], base, features)
        for prompt, rank, base, features in zip(
            data.prompts.tolist(), data.ranks.tolist(), data.base.tolist(), data.features.tolist(), strict=True
        )
    ]

    def ordered(first: int, second: int) -> list[int] | None:
        one, other = examples[first], examples[second]
        if one.prompt != other.prompt:
            return None
        if other.label in BELOW[one.label]:
            return [first, second, 1]
        if one.label in BELOW[other.label]:
            return [second, first, 1]
        return None

    couples = list(combinations(range(len(examples)), 2))
    answers = [ordered(first, second) for first, second in couples]
    found = [answer for answer in answers if answer is not None]
    np.random.default_rng(SEED).shuffle(found)
    return np.array(found, np.int64)


def split(pairs: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Training and validation pairs, 95 to 5."""
    at = int(0.95 * len(pairs))
    return pairs[:at], pairs[at:]


OPTIMISER = optax.adamw(1e-2, weight_decay=0.05)
State = tuple[jax.Array, optax.OptState]


def hinge_and_free(
    weights: jax.Array, features: jax.Array, base: jax.Array, pairs: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean hinge and the share of pairs without loss."""
    scores = base + features @ weights
    each = jnp.maximum(0.0, pairs[:, 2] + scores[pairs[:, 1]] - scores[pairs[:, 0]])
    return jnp.mean(each), 1.0 - jnp.mean(each > 0.0)


@jax.jit
def published_step(
    state: State, features: jax.Array, base: jax.Array, pairs: jax.Array, held: jax.Array
) -> tuple[State, jax.Array]:
    """One full-batch step of AdamW; training loss, share of free pairs, validation loss."""
    weights, memory = state
    (value, free), slope = jax.value_and_grad(hinge_and_free, has_aux=True)(weights, features, base, pairs)
    change, memory = OPTIMISER.update(slope, memory, weights)
    weights = jnp.asarray(optax.apply_updates(weights, change))
    return (weights, memory), jnp.stack([value, free, hinge_and_free(weights, features, base, held)[0]])


def published_descent(features: jax.Array, base: jax.Array, pairs: jax.Array, held: jax.Array) -> jax.Array:
    """1,000 steps from zero, three numbers read after each."""
    state = jnp.zeros(features.shape[1]), OPTIMISER.init(jnp.zeros(features.shape[1]))
    read: list[list[float]] = []
    for _ in range(1000):
        state, values = published_step(state, features, base, pairs, held)
        read.append(np.asarray(values).tolist())
    return state[0]


def torch_descent(features: NDArray[Any], base: NDArray[Any], pairs: NDArray[Any], held: NDArray[Any]) -> NDArray[Any]:
    """The same steps in eager PyTorch, as published."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    values, scores = torch.tensor(features, dtype=torch.float32), torch.tensor(base, dtype=torch.float32)
    weights = torch.zeros(features.shape[1], requires_grad=True)
    optimiser = torch.optim.AdamW([weights], lr=1e-2, weight_decay=0.05)

    def loss(of: Any) -> tuple[Any, float]:
        total = scores + values @ weights
        each = torch.relu(of[:, 2] + total[of[:, 1]] - total[of[:, 0]])
        return each.mean(), 1.0 - (each > 0).float().mean().item()

    train, later = torch.tensor(pairs), torch.tensor(held)
    read: list[tuple[float, float, float]] = []
    for _ in range(1000):
        optimiser.zero_grad()
        value, free = loss(train)
        value.backward()
        optimiser.step()
        read.append((value.item(), free, loss(later)[0].item()))
    return weights.detach().numpy()


@jax.jit
def compiled_descent(features: jax.Array, base: jax.Array, pairs: jax.Array, held: jax.Array) -> jax.Array:
    """The same steps in one loop."""
    start = jnp.zeros(features.shape[1]), OPTIMISER.init(jnp.zeros(features.shape[1]))
    step = partial(published_step, features=features, base=base, pairs=pairs, held=held)

    def once(state: State, _: None) -> tuple[State, jax.Array]:
        return step(state)

    (weights, _), _ = jax.lax.scan(once, start, None, length=1000)
    return weights


def problem_of(data: Data) -> Problem:
    """Pairs and differences, from rows."""
    pairs = compare(data.prompts, data.ranks, np.ones(len(data.ranks)))
    wide = np.full(data.features.shape[1], np.inf)
    centre = np.r_[np.linspace(1, -1, CLASSES), np.zeros(PROPOSITIONS)]
    return Problem(
        pairs=Pairs(data.features, pairs.better, pairs.worse),
        offsets=pairs.margin - (data.base[pairs.better] - data.base[pairs.worse]),
        shares=np.full(len(pairs), 1.0 / len(pairs)),
        low=-wide,
        high=wide,
        centre=centre,
        ridge=None,
        loss="hinge",
    )
