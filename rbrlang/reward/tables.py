"""How is a circuit written down as data, so that one program evaluates every circuit of its size?

Every response type is a list of instructions, one for a node of its diagram (atom, low, high) or for a factor of its
products (left, right, complement). The lists of all types have one length, filled up in front with instructions whose
result nothing reads, so that every list ends with its root. Instruction `n` of every type writes the same slot; slots
that no type reads any more are written again, so that the table of slots stays as small as what is alive at one time.
All sizes are rounded up to few (`size`): a program depends on those sizes and on nothing else.

Slots of a diagram: its classes, then one for what the axioms exclude, then results. Slots of products: the type's own
atoms, then 1 and 0, then results.

Worked example, `ideal := a & b`, `bad := otherwise`: classes in slots 0 and 1, excluded in 2; (b, 1, 0) writes slot 3,
(a, 1, 3) slot 4, the root.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from rbrlang.logic.circuit import Circuit, Diagram, ProductForm
from rbrlang.reward.parts import ClassProbability, class_atoms, reached_by

Integers = NDArray[np.int32]
Booleans = NDArray[np.bool_]


class Program(NamedTuple):
    """Instructions [length, types] as the slots that they read and a third operand; the slot each writes [length].

    `root` is the slot that the last one writes. `free` has an entry for each slot beyond those that are filled at the
    start: only its length is of use.
    """

    left: Integers
    right: Integers
    operand: Integers
    writes: Integers
    root: Integers
    free: Booleans


class Tables(NamedTuple):
    """A circuit as arrays, all of a rounded size; `types` counts the real response types.

    By type: `reads` are the columns of its own atoms [types, own], of which `real` and `classes` tell those that
    anything, and that class probabilities read; `class_feature` is the feature of every class (the last, whose weight
    is 0, where it is none); `classed` whether a class is a feature; `free` whether axioms exclude nothing;
    `feature` the place of φ in (classes, own atoms, 0); `term` the features that are propositions (filled up with the
    last), `term_atom` which of its own atoms they are, and `term_counts` whether not among `classes` already. `outputs` are the classes' slots.
    `axioms` is a program for all types, over the columns `axiom_reads`, whose classes are excluded and allowed.
    """

    types: Integers
    reads: Integers
    real: Booleans
    classes: Booleans
    class_feature: Integers
    classed: Booleans
    free: Booleans
    feature: Integers
    term: Integers
    term_atom: Integers
    term_counts: Booleans
    program: Program
    outputs: Integers
    axiom_reads: Integers
    axioms: Program


@dataclass(frozen=True, slots=True)
class Kind:
    """What a program depends on besides sizes."""

    probability: ClassProbability
    excludes: bool
    axioms: bool


def size(count: int, least: int = 1) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, …: at most half again as many."""
    found = least
    while found < count:
        found = (
            found * 3 // 2 if found & (found - 1) == 0 and found > 1 else (found * 4 // 3 if found > 2 else found + 1)
        )
    return found


def columns(circuit: Circuit) -> int:
    """How many columns of probabilities the program takes: those beyond the atoms, at least one, are to be 0."""
    return size(len(circuit.atoms) + 1, 16)


def kind(circuit: Circuit) -> Kind:
    """The kind of program that a circuit needs."""
    excludes = any(-1 in r.diagram.terminals for r in circuit.responses) and circuit.class_probability == "exact"
    return Kind(circuit.class_probability, excludes, bool(circuit.axioms.nodes))


def shape(circuit: Circuit) -> tuple[int, int]:
    """The rounded number of response types and of features: the shape of the weights that the program takes."""
    return size(len(circuit.responses)), size(1 + max((len(r.features) for r in circuit.responses), default=0), 4)


def tables(circuit: Circuit) -> Tables:
    """The circuit as data."""
    responses = circuit.responses
    types, features = shape(circuit)
    owns = [sorted(reached_by(circuit, r)) for r in responses]
    own = size(max((len(atoms) for atoms in owns), default=0), 4)
    classes = size(max((len(r.classes) for r in responses), default=0), 2)
    last = columns(circuit) - 1
    reads = _filled(owns, (types, own), last)
    places = [{atom: at for at, atom in enumerate(atoms)} for atoms in owns]
    classed = [any(f.kind == "class" for f in r.features) for r in responses]
    within = [class_atoms(circuit, r) for r in responses]
    class_feature = np.full((types, classes), features - 1, np.int32)
    feature = np.full((types, features), classes + own, np.int32)
    propositions = [[(j, f.index) for j, f in enumerate(r.features) if f.kind == "proposition"] for r in responses]
    terms = types, size(max(map(len, propositions), default=0))
    for number, response in enumerate(responses):
        for j, f in enumerate(response.features):
            if f.kind == "class":
                class_feature[number, f.index] = j
                feature[number, j] = f.index
            else:
                feature[number, j] = classes + places[number][f.index]
        # Classes beyond the type's own are worth what its first is, so that they are never an extreme.
        class_feature[number, len(response.classes) :] = class_feature[number, 0]
    exact = circuit.class_probability == "exact"
    if exact:
        slots = [[classes if c < 0 else c for c in r.diagram.terminals] for r in responses]
        lists = [_nodes(r.diagram, p, s, classes + 1) for r, p, s in zip(responses, places, slots, strict=True)]
        program, kept = _program(lists, [[]] * len(lists), types, classes + 1)
    else:
        products = [_factors(r.product, p, own) for r, p in zip(responses, places, strict=True)]
        program, kept = _program([steps for steps, _ in products], [outs for _, outs in products], types, own + 2)
    over = sorted({atom for atom, _, _ in circuit.axioms.nodes})
    allowed = _nodes(circuit.axioms, {atom: at for at, atom in enumerate(over)}, circuit.axioms.terminals, 3)
    return Tables(
        np.int32(len(responses)),  # type: ignore[arg-type]
        reads,
        _filled([[True] * len(atoms) for atoms in owns], (types, own), False),
        _filled([[a in w for a in atoms] for atoms, w in zip(owns, within, strict=True)], (types, own), False),
        class_feature,
        _filled_row(classed, types, True),
        _filled_row([not exact or -1 not in r.diagram.terminals for r in responses], types, True),
        feature,
        _filled([[j for j, _ in found] for found in propositions], terms, features - 1),
        _filled([[p[a] for _, a in found] for found, p in zip(propositions, places, strict=True)], terms, 0),
        _filled(
            [[not (c and a in w) for _, a in found] for found, c, w in zip(propositions, classed, within, strict=True)],
            terms,
            False,
        ),
        program,
        _filled(kept, (types, classes), own + 1),
        _filled([over], (1, size(len(over), 4)), last),
        _program([allowed], [[]], 1, 3)[0],
    )


# --- instructions -----------------------------------------------------------------------------

Instruction = tuple[int, int, int]
"""Two values that are read and a third operand. Values are numbered: first those at the start, then results."""


def _nodes(diagram: Diagram, places: dict[int, int], slots: Sequence[int], start: int) -> list[Instruction]:
    """The nodes as (low, high, own atom), the root last. `slots` are the terminals'."""
    terminals = len(diagram.terminals)

    def value(reference: int) -> int:
        return slots[reference] if reference < terminals else start + reference - terminals

    found = [(value(low), value(high), places[atom]) for atom, low, high in diagram.nodes]
    if diagram.root != terminals + len(found) - 1 or not found:
        # A node of two equal branches is the branch, whatever its atom is.
        found.append((value(diagram.root), value(diagram.root), 0))
    return found


def _factors(form: ProductForm, places: dict[int, int], own: int) -> tuple[list[Instruction], list[int]]:
    """The steps as (left, right, whether 1 minus their product), and the values of the classes."""
    one, start = own, own + 2
    found: list[Instruction] = []
    value: list[int] = []
    for step in form.steps:
        match step.op:
            case "atom":
                value.append(places[step.args[0]])
            case "not":
                found.append((value[step.args[0]], one, 1))
                value.append(start + len(found) - 1)
            case "product":
                product = one
                for at in step.args:
                    found.append((product, value[at], 0))
                    product = start + len(found) - 1
                value.append(product)
            case _:
                assert_never(step.op)
    return found or [(one, one, 0)], [value[at] for at in form.outputs]


def _program(
    lists: Sequence[Sequence[Instruction]], outputs: Sequence[Sequence[int]], types: int, start: int
) -> tuple[Program, list[list[int]]]:
    """Lists of instructions as one program for all types, and the slots of the outputs, which are kept to the end."""
    length = size(max(map(len, lists), default=1))
    read = np.zeros((3, length, types), np.int32)
    until = np.full(length, -1)
    until[-1] = length
    kept: list[list[int]] = []
    for number, (steps, outs) in enumerate(zip(lists, outputs, strict=True)):
        offset = length - len(steps)
        table = np.array(steps, np.int32).T
        table[:2] += np.where(table[:2] >= start, offset, 0).astype(np.int32)
        read[:, offset:, number] = table
        for values in table[:2]:
            inner = values >= start
            np.maximum.at(until, values[inner] - start, np.arange(offset, length)[inner])
        kept.append([out + offset if out >= start else out for out in outs])
        for out in kept[-1]:
            if out >= start:
                until[out - start] = length
    slots, writes = _slots(until, start)
    place = np.concatenate([np.arange(start), writes]).astype(np.int32)
    free = np.zeros(size(slots - start), np.bool_)
    program = Program(place[read[0]], place[read[1]], read[2], writes, writes[-1], free)
    return program, [[int(place[out]) for out in outs] for outs in kept]


def _slots(until: NDArray[np.int_], start: int) -> tuple[int, Integers]:
    """How many slots there are, and the one that each instruction writes, when `until[n]` is the last to read `n`'s."""
    ends: list[list[int]] = [[] for _ in range(len(until) + 1)]
    unused: list[int] = []
    writes = np.zeros(len(until), np.int32)
    slots = start
    for n, last in enumerate(until.tolist()):
        for slot in ends[n]:
            heapq.heappush(unused, slot)
        if unused:
            writes[n] = heapq.heappop(unused)
        else:
            writes[n], slots = slots, slots + 1
        # What an instruction reads for the last time it may write over; what nothing reads is free after it.
        ends[min(max(last, n + 1), len(until))].append(int(writes[n]))
    return slots, writes


def _filled(rows: Sequence[Sequence[Any]], shape: tuple[int, int], value: Any) -> NDArray[Any]:
    table = np.full(shape, value, np.bool_ if isinstance(value, bool) else np.int32)
    for row, values in zip(table, rows, strict=False):
        row[: len(values)] = values
    return table


def _filled_row(values: Sequence[bool], length: int, value: bool) -> Booleans:
    return np.array([*values, *[value] * (length - len(values))], np.bool_)
