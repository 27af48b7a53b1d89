"""What is a rubric worth inside a JAX program?

Criteria are padded to one number a row and travel as arrays, so that a program is compiled for a size of batch and never for
a prompt. `features` is a pure function: it can be jitted, differentiated with respect to P(met) and points, mapped, and
sharded by batch; `filled` puts its result where the reward reads it.

    asked = arrays(circuit, 0, rows)                                   # numpy, on the host
    r = reward(filled(circuit, probs, [asked]), ids, base_reward)      # float32 [batch]

Values are those of `rubrics.values`, in single precision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from rbrlang.logic.circuit import Circuit, RubricInfo
from rbrlang.reward.rows import bucket
from rbrlang.reward.rubrics import marked, size
from rbrlang.rows.criteria import CriteriaError
from rbrlang.rows.read import row_from


class Criteria(NamedTuple):
    """The criteria of rows under one rubric, all [batch, criteria].

    `p` is P(met), NaN = unknown; `points` what being met adds; `mask` whether there is a criterion, bool; `tags` the number of
    its feature, −1 for one that counts for nothing. A row without a criterion that counts has no value.
    """

    p: ArrayLike
    points: ArrayLike
    mask: ArrayLike
    tags: ArrayLike


def arrays(circuit: Circuit, rubric: int, rows: Sequence[object], width: int | None = None) -> Criteria:
    """The criteria of rows under a rubric, padded to `width` of them, by default the next of 16, 24, 32, ….

    Rows may also be JSON objects. A row whose criteria cannot be used has none. Raises ValueError where one has more than
    `width`, and for an object that is no row.
    """
    found = []
    for row in (row_from(dict(cast("Mapping[str, Any]", row))) if isinstance(row, Mapping) else row for row in rows):
        try:
            found.append(marked(circuit.rubrics[rubric], row))
        except CriteriaError:
            found.append(None)
    longest = max((len(one.criteria) for one in found if one is not None), default=0)
    width = bucket(longest) if width is None else width
    if longest > width:
        raise ValueError(f"a row has {longest} criteria, more than {width}")
    p = np.full((len(rows), width), np.nan, np.float32)
    points, mask = np.zeros((len(rows), width), np.float32), np.zeros((len(rows), width), np.bool_)
    tags = np.full((len(rows), width), -1, np.int32)
    for at, one in enumerate(found):
        if one is not None:
            n = len(one.criteria)
            p[at, :n] = [np.nan if q is None else q for q in one.p]
            points[at, :n] = [criterion.points for criterion in one.criteria]
            mask[at, :n], tags[at, :n] = True, one.tags
    return Criteria(p, points, mask, tags)


def features(rubric: RubricInfo, given: Criteria) -> jax.Array:
    """The features of a rubric, float32 [batch, features]; NaN where an unknown can change one, or points are over nothing."""
    p, points = jnp.asarray(given.p, jnp.float32), jnp.asarray(given.points, jnp.float32)
    tags = jnp.asarray(given.tags)
    counted = jnp.asarray(given.mask, jnp.bool_) & (tags >= 0)
    match rubric.points:
        case "positive":
            over = jnp.where(counted, jnp.maximum(points, 0.0), 0.0).sum(1)
        case "absolute":
            over = jnp.where(counted, jnp.abs(points), 0.0).sum(1)
        case "mean":
            over = counted.sum(1).astype(jnp.float32)
        case "sum":
            over = jnp.where(counted.any(1), 1.0, 0.0)
    unknown = jnp.isnan(p)
    q = jnp.where(unknown, 0.0, p)
    own = counted[:, :, None] & (tags[:, :, None] == jnp.arange(len(rubric.tags) or 1))

    def summed(terms: jax.Array) -> jax.Array:
        # Twice `where`, so that no slope comes from what has no points to be taken over.
        safe = jnp.where(over > 0.0, over, 1.0)[:, None]
        value = jnp.where(own, terms[:, :, None], 0.0).sum(1) / safe
        return value if rubric.clip is None else jnp.clip(value, *rubric.clip)

    value = summed(points * q)
    low = summed(jnp.where(unknown, jnp.minimum(points, 0.0), points * q))
    high = summed(jnp.where(unknown, jnp.maximum(points, 0.0), points * q))
    # Two sums of the same terms may round apart, so that only what is unknown asks whether they meet, at an end of the clip.
    unsure = (own & (unknown & (points != 0.0))[:, :, None]).any(1)
    known = jnp.where(unsure, jnp.where(low == high, low, jnp.nan), value)
    return jnp.where((over > 0.0)[:, None], known, jnp.nan)


def filled(circuit: Circuit, probs: ArrayLike, given: Sequence[Criteria]) -> jax.Array:
    """Probabilities [batch, atoms] with the features of all rubrics, whose criteria are `given` in their order."""
    first = len(circuit.atoms) - size(circuit)
    found = [features(rubric, one) for rubric, one in zip(circuit.rubrics, given, strict=True)]
    return jnp.concatenate([jnp.asarray(probs, jnp.float32)[:, :first], *found], 1)
