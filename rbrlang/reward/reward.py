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
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike
from numpy.typing import NDArray

from rbrlang import markup
from rbrlang.logic.circuit import Circuit
from rbrlang.reward import evaluate, rows, rubrics
from rbrlang.reward.compiled import keep_programs
from rbrlang.reward.evaluate import Batch
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.lowering import Lowered, Static, arguments, cut, lowered
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.weights import checked_weights, default_weights


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
        keep_programs()
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
        return cut(*_run(_reward, self, probs, ids, base_reward))

    def valid(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> jax.Array:
        """Whether each row has a finite reward, bool [batch]."""
        return cut(*_run(_valid, self, probs, ids, base_reward))

    def class_probs(self, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
        """P(class) by rank, float32 [batch, max classes].

        0 beyond the classes of the row's response type, so that a row sums to 1; NaN where an unknown
        can change it or it is undefined; a whole row of NaN for an unknown id and for a contradiction.
        """
        return cut(*_run(_class_probs, self, probs, ids), self._classes)

    def features(self, probs: ArrayLike, ids: ArrayLike) -> jax.Array:
        """φ, float32 [batch, max features], with 0 and NaN as in `class_probs`."""
        return cut(*_run(_features, self, probs, ids), self.weights.shape[-1])

    def contributions(self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0) -> jax.Array:
        """Addends of the reward in its units, float32 [batch, 1 + max features]; see `contribution_names`.

        They sum to the reward, and are all NaN where it is.
        """
        return cut(*_run(_contributions, self, probs, ids, base_reward), 1 + self.weights.shape[-1])

    @property
    def contribution_names(self) -> tuple[tuple[str, ...], ...]:
        """For each response type the names of the columns of `contributions` that it uses."""
        return tuple(("base_reward", *(f.name for f in r.features)) for r in self.circuit.responses)

    def bounds(
        self, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0, spans: ArrayLike | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """Lower and upper bound of the reward, float32 [batch], over all ways to fill the unknowns.

        `spans` [batch, features of rubrics, 2] are those of rubrics that are unknown, see `rubrics.spans`; without them a
        rubric may be anything that its clip allows. Sound up to float32 rounding; equal to the reward where nothing relevant is unknown; how tight
        otherwise is said in `evaluate.reward_bounds`. NaN where no way to fill them gives a reward.
        """
        if not self.circuit.rubrics:
            (lower, upper), rows = _run(_bounds, self, probs, ids, base_reward)
            return cut(lower, rows), cut(upper, rows)
        probs, first = jnp.asarray(probs), len(self.circuit.atoms) - rubrics.size(self.circuit)
        given = probs[:, first:]
        rules = jnp.concatenate([probs[:, :first], jnp.zeros_like(given)], 1)
        found = rubrics.anything(self.circuit) if spans is None else spans
        ends = jnp.where(jnp.isnan(given)[:, :, None], jnp.asarray(found, jnp.float32), given[:, :, None])
        least, most = _added(self._of_rubrics, jnp.asarray(ids), ends)
        (lower, upper), rows = _run(_bounds, self, rules, ids, base_reward)
        return cut(lower, rows) + least, cut(upper, rows) + most

    @cached_property
    def host(self) -> NumpyReward:
        """The same policy and weights for callers without JAX; the weights must be concrete."""
        return NumpyReward(self.circuit, np.asarray(self.weights))

    @cached_property
    def lowered(self) -> Lowered:
        """The program that evaluates it, with its arguments."""
        return lowered(self.circuit, self.weights)

    @property
    def _of_rubrics(self) -> jax.Array:
        """The weights of rubrics' features [responses, features of rubrics], 0 where a response type has not got one."""
        first = len(self.circuit.atoms) - rubrics.size(self.circuit)
        places = np.full((len(self.circuit.responses), rubrics.size(self.circuit)), -1)
        for number, response in enumerate(self.circuit.responses):
            for at, feature in enumerate(response.features):
                if feature.rubric:
                    places[number, feature.index - first] = at
        return jnp.where(places >= 0, jnp.take_along_axis(self.weights, jnp.maximum(places, 0), 1), 0.0)

    @property
    def _classes(self) -> int:
        return max((len(r.classes) for r in self.circuit.responses), default=0)

    def numpy(
        self,
        probs: NDArray[np.floating[Any]],
        ids: NDArray[np.integer[Any]],
        base_reward: NDArray[np.floating[Any]] | float = 0.0,
    ) -> NDArray[np.float32]:
        """`__call__` on the host, microseconds for one row; see `NumpyReward`."""
        return self.host(probs, ids, base_reward)

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, jax.Array]], Static]:
        """JAX's view: the weights are the leaf, the circuit is static."""
        return ((jax.tree_util.GetAttrKey("weights"), self.weights),), Static(self.circuit)

    @classmethod
    def tree_unflatten(cls, static: Static, leaves: Sequence[Any]) -> RuleReward:
        """Inverse of `tree_flatten_with_keys`, for any kind of leaf."""
        return cls(static.circuit, leaves[0])

    def __repr__(self) -> str:
        weights: Any = self.weights  # JAX puts what it likes there
        of = f"{weights.dtype}{list(weights.shape)}" if isinstance(weights, jax.Array) else type(weights).__name__
        return f"<RuleReward of fingerprint {self.circuit.fingerprint[:12]}, weights {of}>"

    def _repr_html_(self) -> str:
        circuit, weights = self.circuit, self.weights
        said = f"class probabilities {circuit.class_probability} · {len(circuit.responses)} response types"
        if not _readable(weights):
            return markup.block(markup.line(said, "rule-based reward:"), markup.line(repr(self)))
        rows = [
            (response.name if at == 0 else "", feature.name, float(weight))
            for response, table in zip(circuit.responses, np.asarray(weights), strict=True)
            for at, (feature, weight) in enumerate(zip(response.features, table, strict=False))
        ]
        return markup.block(
            markup.line(said, "rule-based reward:"),
            markup.table("what is added to the base reward", ("response type", "feature", "weight"), rows),
        )

    def __reduce__(self) -> tuple[type[RuleReward], tuple[Circuit, jax.Array]]:
        return RuleReward, (self.circuit, self.weights)


def _readable(weights: Any) -> bool:
    """Whether these are one table of numbers, here and now: not traced, mapped over, given away, or of other hosts."""
    if isinstance(weights, jax.Array) and not isinstance(weights, Tracer):
        return weights.ndim == 2 and not weights.is_deleted() and weights.is_fully_addressable
    return isinstance(weights, np.ndarray) and weights.ndim == 2


def _run(
    program: Callable[..., Any], reward: RuleReward, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike = 0.0
) -> tuple[Any, int]:
    arrays, rows = arguments(reward.circuit, probs, ids, base_reward)
    return program(reward.lowered, *arrays), rows


@jax.custom_jvp
def _value(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    return program(evaluate.rewards, probs, ids, jnp.broadcast_to(base_reward, ids.shape))


@partial(_value.defjvp, symbolic_zeros=True)
def _derivative(primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> tuple[jax.Array, jax.Array]:
    """Where there is a reward, it is the base and a polynomial or a quotient of two; elsewhere nothing moves it."""
    program, probs, ids, base_reward = primals
    of_program, of_probs, _, of_base = tangents
    found = _value(program, probs, ids, base_reward)
    known = ~jnp.isnan(found)
    moved = jnp.zeros_like(found)
    if not isinstance(of_program.weights, SymbolicZero):

        def rules(weights: jax.Array) -> jax.Array:
            return replace(program, weights=weights)(evaluate.slope, probs, ids)

        moved += jax.jvp(rules, (program.weights,), (of_program.weights,))[1]
    if not isinstance(of_probs, SymbolicZero):
        moved += (program.slopes(probs, ids, known) * of_probs).sum(1)
    if not isinstance(of_base, SymbolicZero):
        moved += of_base
    return found, jnp.where(known, moved, 0.0)


@jax.jit
def _reward(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    return _value(program, probs, ids, base_reward)


@jax.jit
def _valid(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    # Compiled as a whole, so that no NaN leaves it: `jax_debug_nans` looks at results.
    return jnp.isfinite(program(evaluate.rewards, probs, ids, jnp.broadcast_to(base_reward, ids.shape)))


@jax.jit
def _class_probs(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    return program(_table_of(evaluate.class_probabilities), probs, ids)


@jax.jit
def _features(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    return program(_table_of(evaluate.feature_values), probs, ids)


@jax.jit
def _contributions(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> jax.Array:
    def every(batch: Batch, base: jax.Array) -> jax.Array:
        first, addends = evaluate.contributions(batch, base)
        return jnp.concatenate([first[:, None], _table(batch, addends)], 1)

    return program(every, probs, ids, jnp.broadcast_to(base_reward, ids.shape))


@jax.jit
def _bounds(program: Lowered, probs: jax.Array, ids: jax.Array, base_reward: jax.Array) -> tuple[jax.Array, jax.Array]:
    return tuple(program(evaluate.reward_bounds, probs, ids, jnp.broadcast_to(base_reward, ids.shape)))


def _added(weights: jax.Array, ids: jax.Array, ends: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`rubrics.added` for arrays of JAX."""
    own = jnp.where((ids >= 0) & (ids < len(weights)), ids, 0)
    each = weights[own][:, :, None]
    terms = jnp.where(each == 0.0, 0.0, each * jnp.where(each == 0.0, 0.0, ends))
    return terms.min(2).sum(1), terms.max(2).sum(1)


def _table_of(columns: Callable[[Batch], Any]) -> Callable[[Batch], jax.Array]:
    return lambda batch: _table(batch, columns(batch))


def _table(batch: Batch, columns: Any) -> jax.Array:
    if not isinstance(columns, list):
        return columns.T
    return jnp.stack(columns, axis=1) if columns else jnp.zeros((batch.zero.shape[0], 0), jnp.float32)
