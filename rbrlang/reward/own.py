"""How do tables become numbers?

`OwnType` is the part of every row whose response type the policy knows: each row takes the instructions of its own
type, by a gather that stays within the row, so that a batch divided among devices needs no communication. One step of
a scan, compiled once, is one instruction of all rows.
"""

# A column is an array of either library, and has no type that both know.
# pyright: reportUnknownLambdaType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rbrlang.reward.algebra import Atom, Column, Node, Stack, make_atom
from rbrlang.reward.engines import JaxEngine
from rbrlang.reward.evaluate import Batch
from rbrlang.reward.parts import ClassProbability, Mass, product_step
from rbrlang.reward.tables import Kind, Program, Tables

T = TypeVar("T")


class TableEngine(JaxEngine):
    """Stacks as arrays."""

    def each(self, size: int, term: Callable[[Stack], Column]) -> Stack:
        return jax.lax.map(term, jnp.eye(size, dtype=jnp.float32))

    def per(self, f: Callable[..., Any], *stacks: Stack) -> Stack:
        return jax.vmap(f)(*stacks)

    def turn(self, f: Callable[[Column], Column], stack: Stack) -> Stack:
        return jax.lax.map(f, stack)

    def add(self, start: Column, stack: Stack) -> Column:
        return start + stack.sum(0)

    def top(self, stack: Stack) -> Column:
        return stack.max(0)


def by_row(table: jax.Array, index: jax.Array) -> jax.Array:
    """`table[index]` for an index by row, each row where it is; of a table with one row, that row for all."""
    if table.shape[0] == 1:
        return jax.vmap(lambda at: jnp.where(at == 0, table[0], table[0]))(index)
    spec = jax.typeof(index).sharding.spec
    here = None
    if any(axis is not None for axis in spec):
        here = NamedSharding(jax.typeof(index).sharding.mesh, P(*spec, *(None,) * (table.ndim - 1)))
    return table.at[index].get(mode="promise_in_bounds", out_sharding=here)


def pick(table: jax.Array, index: jax.Array) -> jax.Array:
    """From a table [slots, …, batch] one slot […, batch]; the index is one number, or one for each row [batch]."""
    if index.ndim == 0:
        return jax.lax.dynamic_index_in_dim(table, index, keepdims=False)

    return _gathered(table, index, 0, table.ndim - 1)


def pick_each(table: jax.Array, index: jax.Array, batch: int = 1) -> jax.Array:
    """From a table of two axes, the rows on axis `batch`, what each row wants: index and result are [n, batch]."""
    return _gathered(table, index, 1 - batch, batch)


def _gathered(table: jax.Array, index: jax.Array, slot: int, batch: int) -> jax.Array:
    """A gather along one axis that stays within the row."""
    others = tuple(i for i in range(table.ndim) if i not in (slot, batch))
    numbers = jax.lax.GatherDimensionNumbers(
        offset_dims=tuple(range(len(others))),
        collapsed_slice_dims=(slot,),
        start_index_map=(slot,),
        operand_batching_dims=(batch,),
        start_indices_batching_dims=(index.ndim - 1,),
    )
    sizes = tuple(table.shape[i] if i in others else 1 for i in range(table.ndim))
    return jax.lax.gather(table, index[..., None], numbers, sizes, mode="promise_in_bounds")


def run(program: Program, ids: jax.Array | None, start: jax.Array, step: Callable[..., jax.Array]) -> jax.Array:
    """The slots after all instructions, from those at the start [slots, …, batch].

    `step(left, right, operand)` is given two slots' values and the operand, one or by row. Without `ids`, or with one
    type, all rows have the same instructions, and nothing is gathered.
    """
    single = ids is None or program.left.shape[1] == 1

    def operand(row: jax.Array) -> jax.Array:
        return row[0] if single or ids is None else by_row(row, ids)

    def instruction(slots: jax.Array, row: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        left, right, third, write = row
        new = step(pick(slots, operand(left)), pick(slots, operand(right)), operand(third))
        return jax.lax.dynamic_update_index_in_dim(slots, new, write, 0), None

    more = jnp.zeros_like(start[:1])
    slots = jnp.concatenate([start, *[more] * program.free.shape[0]])
    rows = program.left, program.right, program.operand, program.writes
    return jax.lax.scan(instruction, slots, tuple(map(jnp.asarray, rows)))[0]


@dataclass(frozen=True)
class OwnType:
    """Every row's own response type; see `parts.Part`. `own` are the row's own atoms [own, batch]."""

    engine: TableEngine
    zero: Column
    plan: Kind
    tables: Tables
    ids: Column
    mine: Column
    own: Column
    table: Column

    @property
    def kind(self) -> ClassProbability:
        return self.plan.probability

    @property
    def excludes(self) -> bool:
        return self.plan.excludes

    @property
    def free(self) -> Column | bool:
        return self._row(self.tables.free) if self.excludes else True

    @property
    def classed(self) -> Column:
        return self._row(self.tables.classed)

    @property
    def values(self) -> Stack | None:
        of_class = jnp.take_along_axis(self.table, jnp.asarray(self.tables.class_feature), 1)
        return self._row(of_class).T

    @property
    def terms(self) -> tuple[Stack, Stack]:
        of_term = jnp.take_along_axis(self.table, jnp.asarray(self.tables.term), 1)
        return self._row(of_term).T, jax.vmap(lambda p: make_atom(jnp, p))(self._own(self.tables.term_atom))

    @property
    def lacks(self) -> Column:
        return (jnp.isnan(self.own) & self._row(self.tables.real).T).any(0)

    @property
    def unknowns(self) -> Column:
        weights, atoms = self.terms
        features = (atoms.unknown & self._row(self.tables.term_counts).T & (weights != 0.0)).sum(0)
        return features.astype(jnp.float32) + jnp.where(self.classed, self.class_unknowns, 0.0)

    @property
    def class_unknowns(self) -> Column:
        return (jnp.isnan(self.own) & self._row(self.tables.classes).T).sum(0).astype(jnp.float32)

    def _row(self, table: Any) -> jax.Array:
        """Each row's own of a table by type: [batch, …]."""
        return by_row(jnp.asarray(table), self.ids)

    def _own(self, places: Any) -> jax.Array:
        """The own atoms at the places that a table [types, n] says: [n, batch]."""
        return pick_each(self.own, self._row(places).T)

    def fold(self, classes: Stack, excluded: T, node: Node[T]) -> T:
        return fold(self.tables.program, self.ids, self.own, self.zero, classes, excluded, node)

    def still(self) -> OwnType:
        return replace(self, own=jax.lax.stop_gradient(self.own), table=jax.lax.stop_gradient(self.table))

    def masses(self) -> Stack:
        atoms = jax.vmap(lambda p: make_atom(jnp, p))(self.own)
        own = Mass(
            atoms.p, jnp.where(atoms.unknown, 0.0, atoms.p), jnp.where(atoms.unknown, 1.0, atoms.p), atoms.unknown
        )
        constant = jnp.stack([self.zero + 1.0, self.zero])
        start = jnp.concatenate([own_with(own), jnp.stack([constant, constant, constant, 0.0 * constant], 1)])

        def step(left: jax.Array, right: jax.Array, complement: jax.Array) -> jax.Array:
            mass = product_step(jnp, _mass(left), _mass(right))
            flipped = Mass(1.0 - mass.value, 1.0 - mass.upper, 1.0 - mass.lower, mass.matters)
            turn = complement == 1
            return jnp.stack([jnp.where(turn, x, y).astype(jnp.float32) for x, y in zip(flipped, mass, strict=True)])

        slots = run(self.tables.program, self.ids, start, step)
        outputs = self._row(self.tables.outputs).T
        return _mass(jax.vmap(pick_each, (1, None), 1)(slots, outputs), 1)

    def unit(self, unit: Stack) -> Stack:
        return unit

    def features(self, classes: Stack, *, filled: bool) -> Stack:
        own = jnp.where(jnp.isnan(self.own), make_atom(jnp, self.own).p, self.own) if filled else self.own
        every = jnp.concatenate([classes, own, self.zero[None]])
        return pick_each(every, self._row(self.tables.feature).T)

    def weights(self) -> Stack:
        return self._row(self.table).T


def own_with(mass: Mass) -> jax.Array:
    """Four columns of each as [size, 4, batch]."""
    return jnp.stack([x.astype(jnp.float32) for x in mass], 1)


def _mass(slots: jax.Array, axis: int = 0) -> Mass:
    value, lower, upper, matters = (jax.lax.index_in_dim(slots, i, axis, keepdims=False) for i in range(4))
    return Mass(value, lower, upper, matters > 0.0)


def fold(
    program: Program, ids: Column | None, own: Column, zero: Column, classes: Stack, excluded: T, node: Node[T]
) -> T:
    """A diagram's value at its root; values are any pytrees of columns, scalars or stacks of them, of one type."""
    leaves, form = jax.tree.flatten(classes)
    others = jax.tree.leaves(excluded)

    def row(value: Any) -> jax.Array:
        return jnp.where(zero == 0.0, value, jnp.zeros_like(value))

    start = jnp.stack([jax.vmap(row)(jnp.asarray(leaf)) for leaf in leaves], 1)
    start = jnp.concatenate([start, jnp.stack([row(jnp.asarray(other, start.dtype)) for other in others])[None]])

    def step(low: jax.Array, high: jax.Array, atom: jax.Array) -> jax.Array:
        known: Atom = make_atom(jnp, pick(own, atom))
        return jnp.stack(jax.tree.leaves(node(known, form.unflatten(low), form.unflatten(high))))

    slots = run(program, ids, start, step)
    return form.unflatten(list(jax.lax.dynamic_index_in_dim(slots, jnp.asarray(program.root), keepdims=False)))


def own_batch(plan: Kind, tables: Tables, weights: jax.Array, probs: jax.Array, ids: jax.Array) -> Batch:
    """The rows as one part. probs [batch, columns], weights [types, features], both of the sizes of the tables."""
    engine = TableEngine()
    zero = jnp.zeros_like(ids, jnp.float32)
    mine = (ids >= 0) & (ids < jnp.asarray(tables.types))
    known = jnp.where(mine, ids, 0)

    def atoms(reads: Any, index: jax.Array) -> jax.Array:
        if reads.shape[0] == 1:
            return probs.T.at[reads[0]].get(mode="promise_in_bounds")
        return pick_each(probs, by_row(jnp.asarray(reads), index).T, 0)

    def axioms(terminals: Sequence[bool], node: Node[Column]) -> Column:
        own = atoms(tables.axiom_reads, jnp.zeros_like(known))
        return fold(tables.axioms, None, own, zero, jnp.array(terminals), False, node)

    part = OwnType(engine, zero, plan, tables, known, mine, atoms(tables.reads, known), weights)
    classes = tables.class_feature.shape[1]
    return Batch(
        part, classes, axioms if plan.axioms else None,
        lambda: own_batch(plan, tables, weights, probs, ids),
    )  # fmt: skip
