"""How wrong is a reward about pairs of completions whose order is known?

Pure functions, arrays in and arrays out, one loss a pair; take the mean yourself. In each, `better`
and `worse` are total rewards of the two completions of a pair, shape [N] (anything that broadcasts).
A base reward enters as an addend of both: `better = base + features @ weights`. Differentiable in
every array argument; NaN in, NaN out.

The first is the paper's (Mu et al., Rule Based Rewards for Language Model Safety, 2024, section 4.3,
https://arxiv.org/abs/2411.01111): linear in the weights, so that the fit is a linear program. The
smoothed form has a continuous gradient, which quasi-Newton methods need. The logistic form is the
Bradley-Terry likelihood that reward models are trained with. Both are what `fit` minimises; use them where it
is not enough, such as to train a reward model together with the weights.

>>> import jax.numpy as jnp
>>> better, worse = jnp.array([2.0, 0.5]), jnp.array([0.0, 0.0])
>>> hinge(better, worse, margin=1.0)
Array([0. , 0.5], dtype=float32)
>>> smooth_hinge(better, worse, margin=1.0, width=0.25)
Array([0.   , 0.375], dtype=float32)

Weights of two features by a loop of one's own, under jit:

>>> import jax, optax
>>> good, bad = jnp.array([[0.9, 0.1], [0.7, 0.6]]), jnp.array([[0.2, 0.3], [0.1, 0.9]])
>>> def loss(weights):
...     return smooth_hinge(good @ weights, bad @ weights, margin=0.5).mean()
>>> optimiser = optax.adam(0.1)
>>> @jax.jit
... def step(weights, state):
...     change, state = optimiser.update(jax.grad(loss)(weights), state)
...     return optax.apply_updates(weights, change), state
>>> weights, state = jnp.zeros(2), optimiser.init(jnp.zeros(2))
>>> for _ in range(50):
...     weights, state = step(weights, state)
>>> bool(loss(weights) < 1e-3), bool(((good - bad) @ weights > 0.4).all())
(True, True)
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def hinge(better: ArrayLike, worse: ArrayLike, margin: ArrayLike = 1.0) -> jax.Array:
    """`max(0, margin + worse − better)`: zero once the better one leads by `margin`.

    Reference: equation 3 of Mu et al. 2024; Cortes & Vapnik, Support-Vector Networks, 1995.
    """
    return jnp.maximum(0.0, jnp.asarray(margin) + worse - better)


def smooth_hinge(better: ArrayLike, worse: ArrayLike, margin: ArrayLike = 1.0, width: ArrayLike = 0.1) -> jax.Array:
    """The hinge with its corner replaced by a parabola over `0 < z < width`, z = margin + worse − better.

    `0` for z ≤ 0, `z²/(2·width)` inside, `z − width/2` beyond; between `hinge − width/2` and `hinge`.
    `width` > 0, in units of reward. Reference: Rennie & Srebro, Loss Functions for Preference Levels,
    2005, with the corner's width as a parameter.
    """
    return smooth_positive_part(jnp.asarray(margin) + worse - better, width)


def smooth_positive_part(z: ArrayLike, width: ArrayLike) -> jax.Array:
    """`max(0, z)` with the corner of `smooth_hinge`.

    >>> smooth_positive_part(jnp.array([-1.0, 0.5, 3.0]), 1.0)
    Array([0.   , 0.125, 2.5  ], dtype=float32)
    """
    inside = jnp.clip(z, 0.0, width)
    return inside * inside / (2.0 * jnp.asarray(width)) + jnp.maximum(0.0, jnp.asarray(z) - width)


def logistic(better: ArrayLike, worse: ArrayLike, margin: ArrayLike = 0.0) -> jax.Array:
    """`log(1 + exp(margin + worse − better))`: minus the Bradley-Terry log-likelihood of the order.

    No overflow at either end. Reference: Bradley & Terry 1952; the margin as in Touvron et al., Llama 2,
    2023, section 3.2.2, https://arxiv.org/abs/2307.09288.

    >>> logistic(jnp.array([0.0, 1e4]), jnp.array([0.0, -1e4]))
    Array([0.6931472, 0.       ], dtype=float32)
    """
    return jax.nn.softplus(jnp.asarray(margin) + worse - better)
