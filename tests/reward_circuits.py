"""Random small circuits with their truth tables, and the slow oracle that the reward is tested against.

Everything here is defined by enumerating assignments in float64; nothing is shared with `rbrlang.reward`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from hypothesis import strategies as st

from rbrlang.lang.program import Feature
from rbrlang.logic.circuit import AtomInfo, Circuit, Diagram, ProductForm, ProductTerm, ResponseCircuit


@dataclass(frozen=True, slots=True)
class Case:
    """A circuit, what it was built from, weights [responses, max features], and rows of probabilities.

    `tables[r][a]` is the class of assignment `a` (atom 0 is the highest bit), −1 where axioms exclude it.
    """

    circuit: Circuit
    tables: tuple[tuple[int, ...], ...]
    weights: np.ndarray
    probs: np.ndarray
    ids: np.ndarray
    base: np.ndarray


def diagram_of(table: tuple[int, ...], atoms: int, order: tuple[int, ...], reduce: bool) -> Diagram:
    """A diagram of a truth table, testing the atoms in the given order."""
    terminals = tuple(sorted(set(table)))
    nodes: list[tuple[int, int, int]] = []
    made: dict[tuple[int, int, int], int] = {}

    def build(fixed: dict[int, int], depth: int) -> int:
        if depth == atoms:
            index = sum(fixed[a] << (atoms - 1 - a) for a in range(atoms))
            return terminals.index(table[index])
        atom = order[depth]
        low, high = (build({**fixed, atom: bit}, depth + 1) for bit in (0, 1))
        if reduce and low == high:
            return low
        key = (atom, low, high)
        if key not in made:
            nodes.append(key)
            made[key] = len(terminals) + len(nodes) - 1
        return made[key]

    root = build({}, 0)
    return Diagram(terminals, tuple(nodes), root)


def random_product(rng: np.random.Generator, atoms: int, classes: int) -> ProductForm:
    """Every class a product of literals and of one shared product, as derived propositions are."""
    steps = [ProductTerm("atom", (a,)) for a in range(atoms)]
    steps += [ProductTerm("not", (a,)) for a in range(atoms)]
    shared = rng.choice(2 * atoms, size=min(2, atoms), replace=False)
    steps.append(ProductTerm("product", tuple(int(i) for i in shared)))
    steps.append(ProductTerm("not", (len(steps) - 1,)))
    outputs: list[int] = []
    for _ in range(classes):
        size = int(rng.integers(0, 4))
        steps.append(ProductTerm("product", tuple(int(i) for i in rng.integers(0, 2 * atoms + 2, size))))
        outputs.append(len(steps) - 1)
    return ProductForm(tuple(steps), tuple(outputs))


def _ranks(rng: np.random.Generator, classes: int) -> tuple[tuple[str, ...], ...]:
    names = [f"c{i}" for i in range(classes)]
    if classes > 2 and rng.random() < 0.3:
        return (names[0],), tuple(names[1:])
    return tuple((name,) for name in names)


def random_case(
    seed: int, *, axioms: bool, mode: str = "exact", unknowns: bool = True, rows: int = 12, on_top: bool = False
) -> Case:
    """A circuit over at most 5 atoms and two response types, and rows for it.

    With `on_top` the atoms that rows may leave unknown are those that the diagrams test first.
    """
    rng = np.random.default_rng(seed)
    atoms = int(rng.integers(1, 6))
    allowed = rng.random(2**atoms) < (0.7 if axioms else 2.0)
    allowed[rng.integers(0, 2**atoms)] = True
    order = tuple(int(a) for a in rng.permutation(atoms))
    responses: list[ResponseCircuit] = []
    tables: list[tuple[int, ...]] = []
    for number in range(2):
        classes = int(rng.integers(1, 4))
        # Blocks of equal classes make circuits in which many unknowns do not matter.
        table = rng.integers(0, classes, 2 ** int(rng.integers(0, atoms + 1)))
        table = np.repeat(table, 2**atoms // len(table))
        table = tuple(int(c) if ok else -1 for c, ok in zip(table, allowed, strict=True))
        ranks = _ranks(rng, classes)
        features = [Feature(name, "class", c) for c, name in enumerate(n for t in ranks for n in t)]
        features = [f for f in features if rng.random() < 0.9]
        features += [Feature(f"p{a}", "proposition", a) for a in range(atoms) if rng.random() < 0.4]
        response = ResponseCircuit(
            f"r{number}",
            ranks,
            diagram_of(table, atoms, order, reduce=bool(rng.random() < 0.7)),
            random_product(rng, atoms, classes),
            tuple(features),
            ((-math.inf, math.inf),) * len(features),
            (1.0,) * classes,
            tuple(range(atoms)),
        )
        responses.append(response)
        tables.append(table)
    circuit = Circuit(
        f"case {seed} {axioms} {mode}",
        tuple(AtomInfo(f"p{a}", 0.5, 0.0, 0.0, 1.0, None) for a in range(atoms)),
        tuple(responses),
        (("x", 0), ("y", 1)),
        diagram_of(tuple(int(ok) for ok in allowed), atoms, tuple(range(atoms)), reduce=True),
        "exact",
    )
    circuit = replace(circuit, class_probability=mode)
    weights = np.zeros((2, max(len(r.features) for r in responses)), np.float32)
    for row, response in zip(weights, responses, strict=True):
        # Classes may tie; a proposition never undoes exactly what a class does, see `dependence_node`.
        for j, feature in enumerate(response.features):
            free = feature.kind == "proposition"
            row[j] = rng.choice([0.0, rng.normal()] if free else [-1.5, 0.0, 0.75, 2.0, rng.normal()])
    probs = rng.uniform(0.05, 0.95, (rows, atoms)).astype(np.float32)
    probs[rng.random(probs.shape) < 0.2] = 0.0
    probs[rng.random(probs.shape) < 0.2] = 1.0
    if on_top:
        top = order[: int(rng.integers(1, atoms + 1))]
        probs[np.ix_(range(rows), top)] = np.nan
    elif unknowns:
        probs[rng.random(probs.shape) < 0.25] = np.nan
    ids = rng.integers(0, 2, rows).astype(np.int32)
    return Case(circuit, tuple(tables), weights, probs, ids, rng.normal(size=rows).astype(np.float32))


def cases(**options: object) -> st.SearchStrategy[Case]:
    """`random_case` from a seed, so that a failure is named by one number."""
    return st.integers(0, 2**31).map(lambda seed: random_case(seed, **options))


def class_masses(case: Case, response: int, p: np.ndarray) -> np.ndarray:
    """Unnormalised class values [classes] at one row of known probabilities."""
    circuit = case.circuit.responses[response]
    if case.circuit.class_probability == "product":
        values: list[float] = []
        for step in circuit.product.steps:
            if step.op == "atom":
                values.append(float(p[step.args[0]]))
            elif step.op == "not":
                values.append(1.0 - values[step.args[0]])
            else:
                values.append(math.prod(values[i] for i in step.args))
        return np.array([values[i] for i in circuit.product.outputs])
    masses = np.zeros(len(circuit.classes))
    for assignment, number in enumerate(case.tables[response]):
        if number >= 0:
            bits = [assignment >> (len(p) - 1 - a) & 1 for a in range(len(p))]
            masses[number] += math.prod(x if bit else 1.0 - x for x, bit in zip(p, bits, strict=True))
    return masses


def rule_reward(case: Case, response: int, p: np.ndarray) -> float:
    """Rule part of the reward at known probabilities; NaN where class probabilities are undefined.

    NaN too for a contradiction of the axioms, which here exclude the same assignments for every response type, though
    no class is a feature.
    """
    circuit = case.circuit.responses[response]
    p = np.asarray(p, np.float64)
    if case.circuit.class_probability == "exact" and class_masses(case, response, p).sum() == 0.0:
        return math.nan
    total = 0.0
    for feature, weight in zip(circuit.features, case.weights[response].tolist(), strict=False):
        if feature.kind == "proposition":
            total += weight * p[feature.index]
        else:
            masses = class_masses(case, response, p)
            total += weight * masses[feature.index] / masses.sum() if masses.sum() > 0 else math.nan
    return total


def fills(p: np.ndarray, grid: tuple[float, ...]) -> list[np.ndarray]:
    """The row with its unknowns at every combination of the grid's values."""
    unknown = np.flatnonzero(np.isnan(p))
    rows: list[np.ndarray] = []
    for values in itertools.product(grid, repeat=len(unknown)):
        row = np.array(p, np.float64)
        row[unknown] = values
        rows.append(row)
    return rows


def is_known(case: Case, response: int, p: np.ndarray) -> bool:
    """Whether every way to fill the unknowns gives one reward, decided on a grid inside (0, 1).

    A multilinear function, or a quotient of two, is constant exactly when it is on such a grid of two
    values per unknown; three are taken for the products, which are of higher degree.
    """
    values = [rule_reward(case, response, row) for row in fills(p, (0.18, 0.5, 0.83))]
    return bool(np.ptp(values) < 1e-7) if not np.isnan(values).any() else False
