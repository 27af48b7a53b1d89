"""How is a very large diagram evaluated without a program as large as the diagram?

Unrolled, every node becomes a dozen XLA operations, which is fast for few nodes and hopeless for many
(`UNROLLED_NODES`). Here the nodes of one height are evaluated together, and one step serves every height: the values that
are still needed form a table [live, batch], a level picks its children from it by constant row numbers,
applies the node function to all at once, and keeps the rows that something above needs. Levels are
padded to the widest, so that `lax.scan` compiles the step once; padded nodes compute values that
nothing reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit, Diagram
from rbrlang.reward.algebra import Atom

UNROLLED_NODES = 160
"""Largest circuit that is unrolled, counted in nodes of all response types, those under axioms twice, and of the axioms.

XLA makes one CPU kernel of an unrolled circuit, and from about 3,500 operations on it computes shared values
again and again: with JAX 0.10.2 a majority of 32 atoms (272 nodes, a dozen operations each) took 0.3 ms for
1,024 rows, and one of 36 atoms (342 nodes) 21 s. Gradients have three times the operations, hence the
distance. The policy that OpenAI published has 7 to 28 nodes for a response type.
"""

T = TypeVar("T")
Indices = NDArray[np.int32]


class Levels(NamedTuple):
    """The levels of a diagram from the lowest to the root's, as row numbers [levels, width].

    `tested` are the diagram's atoms, and `atoms` counts among them. `low` and `high` are rows of the live
    table; `keep` are rows of live table + level, as many as the largest live table has. The live table
    before the first level holds the terminals; after the last, row 0 is the root.
    """

    tested: tuple[int, ...]
    atoms: Indices
    low: Indices
    high: Indices
    keep: Indices


def is_large(circuit: Circuit) -> bool:
    """Whether the circuit is to be evaluated by levels."""
    nodes = (len(r.diagram.nodes) * (2 if -1 in r.diagram.terminals else 1) for r in circuit.responses)
    return sum(nodes) + len(circuit.axioms.nodes) > UNROLLED_NODES


def levels(diagram: Diagram) -> Levels:
    """The diagram by levels; its root must be a node."""
    first = len(diagram.terminals)
    height = [0] * first
    for _, low, high in diagram.nodes:
        height.append(1 + max(height[low], height[high]))
    top = height[diagram.root]
    last_use = [0] * len(height)
    for (_, low, high), h in zip(diagram.nodes, height[first:], strict=True):
        last_use[low], last_use[high] = max(last_use[low], h), max(last_use[high], h)
    last_use[diagram.root] = top + 1
    members: list[list[int]] = [[] for _ in range(max(height) + 1)]
    for reference, h in enumerate(height):
        if last_use[reference] > h:
            members[h].append(reference)
    tested = tuple(sorted({atom for atom, _, _ in diagram.nodes}))
    place = {atom: i for i, atom in enumerate(tested)}
    lives = [list(range(first))]
    for h in range(1, top + 1):
        lives.append([reference for reference in lives[-1] + members[h] if last_use[reference] > h])
    size = max(len(live) for live in lives)
    atoms: list[list[int]] = []
    low_rows: list[list[int]] = []
    high_rows: list[list[int]] = []
    keep: list[list[int]] = []
    for h in range(1, top + 1):
        row = {reference: at for at, reference in enumerate(lives[h - 1])}
        nodes = [diagram.nodes[reference - first] for reference in members[h]]
        atoms.append([place[atom] for atom, _, _ in nodes])
        low_rows.append([row[low] for _, low, _ in nodes])
        high_rows.append([row[high] for _, _, high in nodes])
        row.update({reference: size + at for at, reference in enumerate(members[h])})
        keep.append([row[reference] for reference in lives[h]])
    width = max(len(row) for row in atoms)
    return Levels(tested, _table(atoms, width), _table(low_rows, width), _table(high_rows, width), _table(keep, size))


def fold_levels(
    diagram: Diagram,
    atoms: Mapping[int, Atom],
    terminals: Sequence[T],
    node: Callable[[Atom, T, T], T],
) -> T:
    """`fold_nodes` level by level. Values may be any pytree of Boolean or float32 columns or scalars."""
    if diagram.root < len(diagram.terminals):
        return terminals[diagram.root]
    plan = levels(diagram)
    columns = cast(Atom, jax.tree.map(_stack, *(atoms[a] for a in plan.tested)))
    zero = jnp.zeros_like(columns.p[0])
    size = plan.keep.shape[1]

    def start(*rows: Any) -> jax.Array:
        """The terminals as the first live table, its unused rows filled with the first."""
        dtype = jnp.bool_ if jnp.result_type(rows[0]) == jnp.bool_ else zero.dtype
        none = jnp.zeros_like(zero, dtype)
        return jnp.stack([jnp.where(zero == 0.0, row, none) for row in (*rows, *rows[:1] * (size - len(rows)))])

    def step(live: Any, level: Any) -> tuple[Any, None]:
        numbers, low, high, keep = level
        new = node(_take(columns, numbers), _take(live, low), _take(live, high))
        return _take(jax.tree.map(_append, live, new), keep), None

    live, _ = jax.lax.scan(step, jax.tree.map(start, *terminals), (plan.atoms, plan.low, plan.high, plan.keep))
    return cast(T, jax.tree.map(_first, live))


def _table(rows: list[list[int]], width: int) -> Indices:
    return np.array([row + [0] * (width - len(row)) for row in rows], np.int32)


def _take(tables: Any, rows: Any) -> Any:
    def take(table: jax.Array) -> jax.Array:
        return table.at[rows].get(mode="promise_in_bounds")

    return jax.tree.map(take, tables)


def _stack(*rows: jax.Array) -> jax.Array:
    return jnp.stack(rows)


def _append(table: jax.Array, more: jax.Array) -> jax.Array:
    return jnp.concatenate([table, more])


def _first(table: jax.Array) -> jax.Array:
    return table[0]
