"""How are rows taken apart for a circuit that is written out operation by operation?

The batch of `evaluate` for numpy, and for JAX where a circuit is small (see `lowering`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from rbrlang.logic.circuit import Circuit
from rbrlang.reward.algebra import Atom, Column, Engine, make_atom
from rbrlang.reward.evaluate import Batch
from rbrlang.reward.parts import OneType, fold_nodes


def unrolled(
    engine: Engine,
    circuit: Circuit,
    columns: Callable[[], Mapping[int, Column]],
    ids: Column,
    weights: Sequence[Sequence[Column]],
    zero: Column,
    *,
    remember: bool,
    only: int | None = None,
) -> Batch:
    """The rows as one part for each response type, or where all rows are of one, as that one's.

    `columns()` are those of the probabilities that the circuit reads, `weights[r][j]` scalars of the array library.
    With `remember`, what is known of an atom is computed once: memory for time.
    """
    own = columns()

    def make(number: int) -> Atom:
        return make_atom(engine.xp, own[number])

    atom = cache(make) if remember else make
    width = max((len(r.features) for r in circuit.responses), default=0)
    parts = [
        OneType(engine, zero, circuit, response, ids == number, own, atom, weights[number], width)
        for number, response in enumerate(circuit.responses)
        if only is None or number == only
    ]

    def axioms(terminals: Sequence[bool], node: Any) -> Column:
        return fold_nodes(circuit.axioms, atom, [terminals[t] for t in circuit.axioms.terminals], node)

    def again() -> Batch:
        return batch if remember else unrolled(engine, circuit, columns, ids, weights, zero, remember=False)

    classes = max((len(r.classes) for r in circuit.responses), default=0)
    batch = Batch(engine, zero, parts, classes, axioms if circuit.axioms.nodes else None, again)
    return batch
