"""What is left of a policy once its logic is compiled: plain data, ready for numbers.

A `Circuit` is the only thing that the reward, the fitter and the artefact know of a policy. For each
response type it holds one multi-terminal decision diagram from the truth of the atoms to the class:

    node (atom, low, high):  value = value(low) + p[atom] · (value(high) − value(low))

References count terminals first: reference `r` is terminal `r` when `r < len(terminals)`, else node
`r − len(terminals)`. Nodes come children first. Terminal `t` stands for class `terminals[t]`, or, at
−1, for assignments that the axioms exclude. With terminal values `v`, the root's value is
`Σ_c v_c · P(c ∧ axioms)`, exact for independent atoms (Darwiche & Marquis, A Knowledge Compilation
Map, 2002, https://arxiv.org/abs/1106.1819).

Worked example, `ideal := a & b`, `bad := otherwise`: terminals (0, 1), nodes ((b=1, 1, 0), (a=0, 1, 2)),
root 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rbrlang.lang.program import Feature, Judged


@dataclass(frozen=True, slots=True)
class Diagram:
    """A multi-terminal decision diagram; see the module for the encoding."""

    terminals: tuple[int, ...]
    nodes: tuple[tuple[int, int, int], ...]
    root: int


@dataclass(frozen=True, slots=True)
class ProductTerm:
    """One step of the paper's class probability: `atom`, `not`, or `product` of earlier steps.

    `args` are step numbers, except for `atom`, where `args[0]` is the atom. An empty product is 1.
    """

    op: Literal["atom", "not", "product"]
    args: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProductForm:
    """Unnormalised class values as the paper multiplies them: `outputs[c]` is the step of class `c`."""

    steps: tuple[ProductTerm, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ResponseCircuit:
    """One response type: its classes by rank, its diagram, and the terms of its linear reward.

    `bounds[j] = (low, high)` limits the weight of feature `j` (−inf, inf when the author said nothing;
    equal when fixed). `margins[c]` belongs to class `c`. `atoms` are those that rules or features
    reach, in ascending order: what has to be graded. `product` is always present; which of the two
    forms is used is `Circuit.class_probability`.
    """

    name: str
    ranks: tuple[tuple[str, ...], ...]
    diagram: Diagram
    product: ProductForm
    features: tuple[Feature, ...]
    bounds: tuple[tuple[float, float], ...]
    margins: tuple[float, ...]
    atoms: tuple[int, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, best rank first."""
        return tuple(name for tier in self.ranks for name in tier)

    @property
    def rank_of(self) -> tuple[int, ...]:
        """For each class the index of its rank; 0 is best."""
        return tuple(rank for rank, tier in enumerate(self.ranks) for _ in tier)


@dataclass(frozen=True, slots=True)
class AtomInfo:
    """What the numbers need to know of an atom.

    `measure` is None for a proposition; otherwise (kind, pattern, threshold), see `program.Measure`.
    `over` is the text that is judged.
    """

    name: str
    prior: float
    fp: float
    fn: float
    cost: float
    measure: tuple[str, str, int] | None
    over: Judged = "final"


@dataclass(frozen=True, slots=True)
class Circuit:
    """A compiled policy. `axioms` is the diagram of all axioms: terminal 0 = excluded, 1 = allowed."""

    fingerprint: str
    atoms: tuple[AtomInfo, ...]
    responses: tuple[ResponseCircuit, ...]
    categories: tuple[tuple[str, int], ...]
    axioms: Diagram
    class_probability: Literal["exact", "product"]

    @property
    def atom_names(self) -> tuple[str, ...]:
        """Names of the atoms, in column order."""
        return tuple(atom.name for atom in self.atoms)

    @property
    def propositions(self) -> tuple[str, ...]:
        """Names of the atoms that a grader has to answer, in column order."""
        return tuple(atom.name for atom in self.atoms if atom.measure is None)

    @property
    def judged(self) -> Judged:
        """The text of a completion that most propositions are judged by."""
        overs: list[Judged] = [atom.over for atom in self.atoms if atom.measure is None]
        return max(overs, key=overs.count) if overs else "final"

    @property
    def response_names(self) -> tuple[str, ...]:
        """Names of the response types, in the order of their ids."""
        return tuple(response.name for response in self.responses)
