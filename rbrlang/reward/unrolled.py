"""How are rows taken apart for a circuit that is written out operation by operation?

The batch of `evaluate` for numpy, and for JAX where a circuit is small (see `lowering`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, reduce
from typing import Any

from rbrlang.logic.circuit import Circuit
from rbrlang.reward.algebra import Atom, Column, Engine, make_atom
from rbrlang.reward.evaluate import Batch
from rbrlang.reward.parts import Mixed, fold_nodes


def unrolled(
    engine: Engine,
    circuit: Circuit,
    columns: Callable[[], Mapping[int, Column]],
    ids: Column,
    weights: Callable[[], Sequence[Sequence[Column]]],
    zero: Column,
    *,
    remember: bool,
    only: int | None = None,
) -> Batch:
    """The rows of all response types, or where all are of one, as `only` that one's.

    `columns()` are those of the probabilities that the circuit reads, `weights()[r][j]` scalars of the array library.
    With `remember`, what is known of an atom is computed once: memory for time.
    """
    own, table = columns(), weights()

    def make(number: int) -> Atom:
        return make_atom(engine.xp, own[number])

    atom = cache(make) if remember else make
    numbers = range(len(circuit.responses)) if only is None else (only,)
    of = [ids == number for number in numbers]
    mine = reduce(lambda x, y: x | y, of, zero != 0.0)
    classes = max((len(r.classes) for r in circuit.responses), default=0)
    width = max((len(r.features) for r in circuit.responses), default=0)
    responses, tables = [circuit.responses[n] for n in numbers], [table[n] for n in numbers]
    part = Mixed(engine, zero, circuit, responses, of, mine, own, atom, tables, classes, width)

    def axioms(terminals: Sequence[bool], node: Any) -> Column:
        return fold_nodes(circuit.axioms, atom, [terminals[t] for t in circuit.axioms.terminals], node)

    def again() -> Batch:
        if remember:
            return batch
        return unrolled(engine, circuit, columns, ids, weights, zero, remember=False, only=only)

    batch = Batch(part, classes, axioms if circuit.axioms.nodes else None, again)
    return batch
