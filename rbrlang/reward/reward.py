"""What is the reward, as a JAX function?

`RuleReward` is a pytree whose only leaf is the table of weights; the circuit is static. So it can be
passed through `jit`, mapped over weight sets, differentiated with respect to weights and probabilities,
and sharded by batch; new weights never compile again, a new batch size does (see `rows.bucket`).

    reward = RuleReward.from_circuit(circuit)
    r = reward(probs, ids, base_reward)                     # float32 [batch]
    g = jax.grad(lambda w: loss(reward.with_weights(w)(probs, ids)))(reward.weights)

Every row has its own response type. For features φ of that type, r = base + Σ_j w_j · φ_j (Mu et al.
2024, arXiv 2411.01111). Unknown is NaN: a probability that is NaN makes the reward NaN exactly where it can change it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit
from rbrlang.reward import evaluate, levels, rows
from rbrlang.reward.algebra import Column, Engine, fold_nodes
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.numpy import NumpyReward, ShapeError
from rbrlang.reward.weights import checked_weights, default_weights

T = TypeVar("T")


def _repeat(times: int, step: Callable[[T], T], state: T) -> T:
    def body(_: Any, s: T) -> T:
        return step(s)

    return jax.lax.fori_loop(0, times, body, state)


def _each(size: int, term: Callable[[Sequence[Column]], Column]) -> list[Column]:
    """One loop over unit vectors: its columns are computed before they are interleaved as rows.

    Otherwise XLA computes each element of the interleaved result by itself, ten times slower on a CPU.
    """

    def one(unit: jax.Array) -> Column:
        return term([unit[j] for j in range(size)])

    if size == 0:
        return []
    table = jax.lax.map(one, jnp.eye(size, dtype=jnp.float32))
    return [table[i] for i in range(size)]


def _when(condition: jax.Array, column: Callable[[], Column], otherwise: Column) -> Column:
    return jax.lax.cond(condition, column, lambda: otherwise)


def _engine(circuit: Circuit) -> Engine:
    reached = evaluate.reached(circuit)

    def columns(probs: jax.Array) -> dict[int, jax.Array]:
        if not circuit.atoms:
            return {}
        # One `split` and not a slice per column: its transpose is one concatenation, where slices become
        # as many padded arrays of the size of probs (measured on a CPU: 25 times slower to differentiate).
        parts = jax.lax.split(probs, (1,) * len(circuit.atoms), axis=1)
        return {a: parts[a][:, 0] for a in reached}

    fold = levels.fold_levels if levels.is_large(circuit) else fold_nodes
    return Engine(jnp, columns, fold, _each, _when, _repeat)


class _Static:
    """A circuit as static pytree data: equal circuits are equal, and the hash is not computed each call."""

    __slots__ = ("circuit",)

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and (self.circuit is other.circuit or self.circuit == other.circuit)

    def __hash__(self) -> int:
        return hash(self.circuit.fingerprint)


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True, eq=False)
class RuleReward:
    """A compiled policy with its weights, float32 [responses, max features], rows padded with 0.

    Make one with `from_circuit` or `from_artefact`, which check the weights; the constructor does not, so
    that JAX may put tracers and shardings in their place.

    In all methods probs is [batch, atoms] (propositions, then measures; any float type, computed in
    float32; NaN = unknown), ids is integer [batch], base_reward a number or [batch]. Probabilities must
    lie in [0, 1]: `encode` checks it, an array function cannot. All raise `ShapeError` when traced with
    arrays that do not fit.
    """

    circuit: Circuit
    weights: jax.Array

    @classmethod
    def from_circuit(cls, circuit: Circuit, weights: ArrayLike | None = None) -> RuleReward:
        """With the given weights, or the defaults. Raises `WeightError` for weights that do not fit."""
        table = default_weights(circuit) if weights is None else checked_weights(circuit, np.asarray(weights))
        return cls(circuit, jnp.asarray(table))

    @classmethod
    def from_artefact(cls, artefact: Artefact) -> RuleReward:
        """The reward that an artefact carries, bit for bit."""
        return cls.from_circuit(artefact.circuit, artefact.weights)

    def with_weights(self, weights: jax.Array) -> RuleReward:
        """The same policy with other weights of the same shape, or tracers for them; not checked."""
        return RuleReward(self.circuit, weights)

    def encode(self, graded: Sequence[rows.AnyRow]) -> NDArray[np.float32]:
        """Probabilities of the atoms [batch, atoms]; see `rows.encode`."""
        return rows.encode(self.circuit, graded)

    def response_ids(self, graded: Sequence[rows.AnyRow]) -> NDArray[np.int32]:
        """Response type ids [batch], −1 = unknown; see `rows.response_ids`."""
        return rows.response_ids(self.circuit, graded)

    def __call__(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> jax.Array:
        """Reward, float32 [batch].

        NaN where the answers contradict the axioms, where an unknown probability can change it, where the response
        id is unknown, where class probabilities are undefined (see `classes`), and where base reward or sum are not
        finite. `host.reasons` says which it was.
        """
        return _reward(self, probs, ids, base_reward)

    def valid(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> jax.Array:
        """Whether each row has a finite reward, bool [batch]."""
        return _valid(self, probs, ids, base_reward)

    def class_probs(self, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
        """P(class) by rank, float32 [batch, max classes].

        0 beyond the classes of the row's response type, so that a row sums to 1; NaN where an unknown
        can change it or it is undefined; a whole row of NaN for an unknown id and for a contradiction.
        """
        return _class_probs(self, probs, ids)

    def features(self, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
        """φ, float32 [batch, max features], with 0 and NaN as in `class_probs`."""
        return _features(self, probs, ids)

    def contributions(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> jax.Array:
        """Addends of the reward in its units, float32 [batch, 1 + max features]; see `contribution_names`.

        They sum to the reward, and are all NaN where it is.
        """
        return _contributions(self, probs, ids, base_reward)

    @property
    def contribution_names(self) -> tuple[tuple[str, ...], ...]:
        """For each response type the names of the columns of `contributions` that it uses."""
        return tuple(("base_reward", *(f.name for f in r.features)) for r in self.circuit.responses)

    def bounds(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> tuple[jax.Array, jax.Array]:
        """Lower and upper bound of the reward, float32 [batch], over all ways to fill the unknowns.

        Sound up to float32 rounding; equal to the reward where nothing relevant is unknown; how tight
        otherwise is said in `evaluate.reward_bounds`. NaN where no way to fill them gives a reward.
        """
        return _bounds(self, probs, ids, base_reward)

    @cached_property
    def host(self) -> NumpyReward:
        """The same policy and weights for callers without JAX; the weights must be concrete."""
        return NumpyReward(self.circuit, np.asarray(self.weights))

    def numpy(
        self,
        probs: NDArray[np.floating[Any]],
        ids: NDArray[np.integer[Any]],
        base_reward: NDArray[np.floating[Any]] | float = 0.0,
    ) -> NDArray[np.float32]:
        """`__call__` on the host, microseconds for one row; see `NumpyReward`."""
        return self.host(probs, ids, base_reward)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, jax.Array]], _Static]:
        """JAX's view: the weights are the leaf, the circuit is static."""
        return ((jax.tree_util.GetAttrKey("weights"), self.weights),), _Static(self.circuit)

    @classmethod
    def tree_unflatten(cls, static: _Static, leaves: Sequence[Any]) -> RuleReward:
        """Inverse of `tree_flatten_with_keys`, for any kind of leaf."""
        return cls(static.circuit, leaves[0])

    def __reduce__(self) -> tuple[type[RuleReward], tuple[Circuit, jax.Array]]:
        return RuleReward, (self.circuit, self.weights)


def _inputs(
    reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0
) -> tuple[evaluate.Batch, jax.Array]:
    p, i, base = jnp.asarray(probs, jnp.float32), jnp.asarray(ids), jnp.asarray(base_reward, jnp.float32)
    circuit, expected = reward.circuit, len(reward.circuit.atoms)
    if p.ndim != 2 or p.shape[1] != expected:
        raise ShapeError(f"probs have the shape {list(p.shape)}, this policy needs [batch, {expected}]")
    if i.shape != p.shape[:1] or not jnp.issubdtype(i.dtype, jnp.integer):
        raise ShapeError(f"response ids are {i.dtype} {list(i.shape)}, expected integers [{p.shape[0]}]")
    if base.shape not in ((), i.shape):
        raise ShapeError(f"base rewards have the shape {list(base.shape)}, expected [{p.shape[0]}]")
    weights = [
        [reward.weights[r, j] for j in range(len(response.features))] for r, response in enumerate(circuit.responses)
    ]
    zero = jnp.zeros_like(i, jnp.float32)
    engine = _engine(circuit)
    return evaluate.Batch(engine, circuit, p, engine.columns(p), i, weights, zero), base


@jax.jit
def _reward(reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike) -> jax.Array:
    batch, base = _inputs(reward, probs, ids, base_reward)
    return evaluate.rewards(batch, base)


@jax.jit
def _valid(reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike) -> jax.Array:
    # Compiled as a whole, so that no NaN leaves it: `jax_debug_nans` looks at results.
    batch, base = _inputs(reward, probs, ids, base_reward)
    return jnp.isfinite(evaluate.rewards(batch, base))


@jax.jit
def _class_probs(reward: RuleReward, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
    batch, _ = _inputs(reward, probs, ids)
    return _table(batch, evaluate.class_probabilities(batch))


@jax.jit
def _features(reward: RuleReward, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
    batch, _ = _inputs(reward, probs, ids)
    return _table(batch, evaluate.feature_values(batch))


@jax.jit
def _contributions(reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike) -> jax.Array:
    batch, base = _inputs(reward, probs, ids, base_reward)
    return _table(batch, evaluate.contributions(batch, base))


@jax.jit
def _bounds(
    reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike
) -> tuple[jax.Array, jax.Array]:
    batch, base = _inputs(reward, probs, ids, base_reward)
    lower, upper = evaluate.reward_bounds(batch, base)
    return lower, upper


def _table(batch: evaluate.Batch, columns: list[jax.Array]) -> jax.Array:
    return jnp.stack(columns, axis=1) if columns else jnp.zeros((batch.zero.shape[0], 0), jnp.float32)
