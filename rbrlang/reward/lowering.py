"""Which program evaluates a circuit, and on what arrays?

Small circuits are unrolled: written out operation by operation, in kernels that read a row once, and compiled anew for
every policy. Large ones are data for a program that depends on rounded sizes only (`tables`), so that it compiles in a
second or two whatever the size, and another policy of the same sizes, an edited one or new weights compile nothing.

Arrays of the host are given their type and a rounded number of rows before JAX sees them, so that no batch size, no
type of number and no base reward compiles anything again. Arrays that lie on devices, and those that are being traced,
are left as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from rbrlang.logic.circuit import Circuit
from rbrlang.reward import evaluate, tables
from rbrlang.reward.engines import JaxEngine
from rbrlang.reward.evaluate import Batch
from rbrlang.reward.numpy import ShapeError
from rbrlang.reward.own import own_batch
from rbrlang.reward.parts import reached
from rbrlang.reward.rows import bucket
from rbrlang.reward.unrolled import unrolled

UNROLLED_NODES = 64
"""Largest circuit that is unrolled, counted in `nodes`.

Unrolled circuits run 8 to 60 times as fast on a CPU, and compile ever longer: XLA makes one kernel of them, in a time
that grows faster than the kernel. What counts is nodes and not whether axioms double what is computed of each. Seconds of
the processor until the first reward, with JAX 0.10.2 on two cores that had much else to do (`benchmarks/lowering_sizes.py`),
without and with axioms: 20 nodes 1.0 and 1.3, 40 nodes 2.7 and 2.2, 60 nodes 4.1 and 3.3 to 3.9, 80 nodes 8.1 and 5.6,
100 nodes 11 to 17; as data 1.2 to 2.3 at all of them.
"""


TILE = 256
"""Rows of a large circuit at a time; on a CPU 6 times as fast as 4,096 for 2,000 propositions, no slower for fewer."""

T = TypeVar("T")


class Static:
    """A circuit as static pytree data: equal circuits are equal, and the hash is not computed each call."""

    __slots__ = ("circuit",)

    def __init__(self, circuit: Circuit) -> None:
        self.circuit = circuit

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Static) and (self.circuit is other.circuit or self.circuit == other.circuit)

    def __hash__(self) -> int:
        return hash(self.circuit.fingerprint)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Unrolled:
    """A circuit as a program of its own."""

    static: Static = field(metadata={"static": True})
    weights: jax.Array

    def __call__(self, f: Callable[..., T], probs: jax.Array, ids: jax.Array, *more: jax.Array) -> T:
        """`f` of the rows, float32 [batch, atoms] and integer [batch], and of more columns [batch]."""
        return f(self._batch(lambda: self._columns(probs), ids, remember=False), *more)

    def slopes(self, probs: jax.Array, ids: jax.Array, known: jax.Array) -> jax.Array:
        """The derivative of the rules' part with respect to every probability [batch, atoms], 0 where not `known` [batch].

        XLA computes each column of it in a kernel of its own, which would also compute again all that it reads. The
        operands of a conditional it keeps: the columns one after another, and what is known.
        """
        read = reached(self.static.circuit)
        if not read:
            return jnp.zeros_like(probs)
        columns = self._columns(probs)

        def rules(own: dict[int, jax.Array]) -> jax.Array:
            return evaluate.slope(self._batch(lambda: own, ids, remember=True))

        def found() -> jax.Array:
            _, back = jax.vjp(rules, columns)
            (slope,) = back(jnp.ones_like(ids, jnp.float32))
            own = {a: jnp.where(known, s, 0.0) for a, s in slope.items()}
            return jnp.stack([own.get(a, jnp.zeros_like(known, jnp.float32)) for a in range(probs.shape[1])], 1)

        return jax.lax.cond(known.any(), found, lambda: jnp.zeros_like(probs))

    def _columns(self, probs: jax.Array) -> dict[int, jax.Array]:
        if not probs.shape[1]:
            return {}
        # One `split` and not a slice per column: its transpose is one concatenation, where slices become
        # as many padded arrays of the size of probs (measured on a CPU: 25 times slower to differentiate).
        parts = jax.lax.split(probs, (1,) * probs.shape[1], axis=1)
        return {a: parts[a][:, 0] for a in reached(self.static.circuit)}

    def _batch(self, columns: Callable[[], Mapping[int, jax.Array]], ids: jax.Array, *, remember: bool) -> Batch:
        circuit = self.static.circuit

        def weights() -> list[list[jax.Array]]:
            return [[self.weights[r, j] for j in range(len(one.features))] for r, one in enumerate(circuit.responses)]

        return unrolled(
            JaxEngine(), circuit, columns, ids, weights, jnp.zeros_like(ids, jnp.float32), remember=remember
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Tabled:
    """A circuit as data."""

    kind: tables.Kind = field(metadata={"static": True})
    tables: tables.Tables
    weights: jax.Array

    def __call__(self, f: Callable[..., T], probs: jax.Array, ids: jax.Array, *more: jax.Array) -> T:
        """As for `Unrolled`, probs [batch, atoms or more]."""

        def some(p: jax.Array, i: jax.Array, *rest: jax.Array) -> T:
            return f(own_batch(self.kind, self.tables, self.weights, p, i), *rest)

        return in_tiles(some, probs, ids, *more)

    def slopes(self, probs: jax.Array, ids: jax.Array, known: jax.Array) -> jax.Array:
        """As for `Unrolled`, [batch, atoms or more]."""

        def some(p: jax.Array, i: jax.Array, has: jax.Array) -> jax.Array:
            def rules(own: jax.Array) -> jax.Array:
                return evaluate.slope(own_batch(self.kind, self.tables, self.weights, own, i))

            return jnp.where(has[:, None], jax.vjp(rules, p)[1](jnp.ones_like(i, jnp.float32))[0], 0.0)

        return in_tiles(some, probs, ids, known)


Lowered: TypeAlias = Unrolled | Tabled


def in_tiles(f: Callable[..., T], *columns: jax.Array) -> T:
    """`f` of columns [batch, …], whose results are arrays [batch, …]: `TILE` rows at a time on a CPU, whose cache then has
    what one instruction leaves for the next.

    All rows at once on other devices, on several, and for a batch that is divided or of no size known yet.
    """
    rows: Any = columns[0].shape[0]  # may be a symbol while a program is exported
    spec = jax.typeof(columns[0]).sharding.spec
    alone = jax.default_backend() == "cpu" and jax.device_count() == 1 and all(axis is None for axis in spec)
    if not alone or not isinstance(rows, int) or rows <= TILE:
        return f(*columns)
    more = -rows % TILE

    def divided(column: jax.Array) -> jax.Array:
        filled = jnp.pad(column, ((0, more), *((0, 0),) * (column.ndim - 1)), "edge") if more else column
        return filled.reshape(-1, TILE, *column.shape[1:])

    def joined(tiles: jax.Array) -> jax.Array:
        return tiles.reshape(-1, *tiles.shape[2:])[:rows]

    def one(tile: tuple[jax.Array, ...]) -> T:
        return f(*tile)

    return jax.tree.map(joined, jax.lax.map(one, tuple(map(divided, columns))))


def nodes(circuit: Circuit) -> int:
    """How many nodes there are, of all response types and of the axioms."""
    return sum(len(response.diagram.nodes) for response in circuit.responses) + len(circuit.axioms.nodes)


def is_large(circuit: Circuit) -> bool:
    """Whether the circuit is to be data."""
    return nodes(circuit) > UNROLLED_NODES


def lowered(circuit: Circuit, weights: jax.Array) -> Lowered:
    """The circuit with weights [responses, max features] as a program and its arguments."""
    if not is_large(circuit):
        return Unrolled(Static(circuit), weights)
    kind, data = _data(Static(circuit))
    rows, features = tables.shape(circuit)
    more = (0, rows - weights.shape[0]), (0, features - weights.shape[1])
    if on_host(weights):
        return Tabled(kind, data, np.pad(np.asarray(weights), more))  # type: ignore[arg-type]
    return Tabled(kind, data, jnp.pad(weights, more))


@lru_cache(maxsize=32)
def _data(static: Static) -> tuple[tables.Kind, tables.Tables]:
    return tables.kind(static.circuit), tables.tables(static.circuit)


def on_host(array: ArrayLike) -> bool:
    """Whether numpy can have it for nothing: not traced, and on no device but one CPU."""
    if isinstance(array, Tracer):
        return False
    if not isinstance(array, jax.Array):
        return True
    devices = array.devices()
    return len(devices) == 1 and next(iter(devices)).platform == "cpu"


def arguments(
    circuit: Circuit, probs: ArrayLike, ids: ArrayLike, base_reward: ArrayLike
) -> tuple[tuple[Any, Any, Any], int]:
    """The arrays as the program takes them, probs [rows, columns], ids [rows], base_reward [rows], and the batch size.

    Raises `ShapeError`.
    """
    expected = len(circuit.atoms)
    columns = tables.columns(circuit) if is_large(circuit) else expected
    host = on_host(probs) and on_host(ids) and on_host(base_reward)
    xp: Any = np if host else jnp
    with np.errstate(over="ignore"):  # a base reward beyond float32 is infinite
        p, i, base = xp.asarray(probs, np.float32), xp.asarray(ids), xp.asarray(base_reward, np.float32)
    if p.ndim != 2 or p.shape[1] != expected:
        raise ShapeError(f"probs have the shape {list(p.shape)}, this policy needs [batch, {expected}]")
    if i.shape != p.shape[:1] or not jnp.issubdtype(i.dtype, jnp.integer):
        raise ShapeError(f"response ids are {i.dtype} {list(i.shape)}, expected integers [{p.shape[0]}]")
    if base.shape not in ((), i.shape):
        raise ShapeError(f"base rewards have the shape {list(base.shape)}, expected [{p.shape[0]}]")
    rows = i.shape[0]
    if not host:
        return (xp.pad(p, ((0, 0), (0, columns - expected))), i, base), rows
    # The last row again: rows of another kind could have unknowns, or no reward, where the batch has none.
    more = bucket(rows) - rows if rows else 0
    i, base = i.astype(np.int32), np.broadcast_to(base, i.shape)
    if more or columns > expected:
        p = np.pad(np.pad(p, ((0, more), (0, 0)), "edge"), ((0, 0), (0, columns - expected)))
    if more:
        i, base = np.pad(i, (0, more), "edge"), np.pad(base, (0, more), "edge")
    return (p, i, base), rows


def cut(found: jax.Array, rows: int, width: int | None = None) -> jax.Array:
    """The real rows and columns of a result; on a CPU without a program for it."""
    if found.shape[0] == rows and (width is None or found.shape[1] == width):
        return found
    xp: Callable[[Any], Any] = np.asarray if on_host(found) else lambda x: x
    kept = xp(found)[:rows] if width is None else xp(found)[:rows, :width]
    return jnp.asarray(kept)
