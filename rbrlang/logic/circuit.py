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

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rbrlang.lang.program import Feature, Judged, PointsOver
from rbrlang.lang.variables import Domain, Share, said
from rbrlang.logic.diagram import Diagram


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

    `measure` is (kind, pattern, threshold) for one, see `program.Measure`; `share` is what a step or a reading takes of a
    variable's distribution. `over` is the text that is judged. `columns` are those of a row that the question names. `rubric`
    is None but for the features of rubrics: the number of the rubric, and the place of its tag among those of the rubric, −1
    where it has none. With a `top` a measure is a ramp, 0 up to its threshold and 1 from the top, which is in no diagram.
    """

    name: str
    prior: float
    fp: float
    fn: float
    cost: float
    measure: tuple[str, str, int] | None
    over: Judged = "final"
    columns: tuple[str, ...] = ()
    rubric: tuple[int, int] | None = None
    share: Share | None = None
    top: int | None = None

    @property
    def asked(self) -> bool:
        """Whether it is a proposition, which a grader answers."""
        return self.measure is None and self.share is None and self.rubric is None


@dataclass(frozen=True, slots=True)
class Variable:
    """What the numbers need to know of a scale or a choice; `prior` is the declared chance of each value."""

    domain: Domain
    prior: tuple[float, ...]
    cost: float
    over: Judged = "final"
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RubricInfo:
    """What the numbers need to know of a rubric: see `program.Rubric`.

    `tags` are as the rows write them. `columns` are those that its question names beside the criterion.
    """

    name: str
    column: str
    points: PointsOver
    clip: tuple[float, float] | None
    tags: tuple[str, ...]
    over: Judged = "final"
    columns: tuple[str, ...] = ()


CRITERION = "criterion"
"""What a rubric's question calls the criterion that it shows."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """A compiled policy. `axioms` is the diagram of all axioms: terminal 0 = excluded, 1 = allowed.

    Atoms are propositions, then the steps of `variables`, measures, readings, and the features of rubrics; see `rbrlang.lang.program`.
    What graders are asked has numbers of its own, `questions`: propositions first, as in `atoms`, then one for each rubric, then
    one for each variable.
    """

    fingerprint: str
    atoms: tuple[AtomInfo, ...]
    responses: tuple[ResponseCircuit, ...]
    categories: tuple[tuple[str, int], ...]
    axioms: Diagram
    class_probability: Literal["exact", "product"]
    rubrics: tuple[RubricInfo, ...] = ()
    variables: tuple[Variable, ...] = ()

    @property
    def atom_names(self) -> tuple[str, ...]:
        """Names of the atoms, in column order."""
        return tuple(atom.name for atom in self.atoms)

    @property
    def propositions(self) -> tuple[str, ...]:
        """Names of the atoms that a grader has to answer, in column order."""
        return tuple(atom.name for atom in self.atoms if atom.asked)

    @property
    def questions(self) -> tuple[str, ...]:
        """Names of all that graders are asked."""
        of_variables = (variable.domain.name for variable in self.variables)
        return (*self.propositions, *(rubric.name for rubric in self.rubrics), *of_variables)

    @property
    def first_variable(self) -> int:
        """The question of the first variable."""
        return sum(atom.asked for atom in self.atoms) + len(self.rubrics)

    @property
    def asked_domains(self) -> dict[int, Domain]:
        """The values of each variable, by its question."""
        return {at: variable.domain for at, variable in enumerate(self.variables, self.first_variable)}

    def question_of(self, atom: int) -> int | None:
        """The question that decides an atom: its own, or its variable's; None for what no grader is asked alone."""
        share = self.atoms[atom].share
        return (atom if self.atoms[atom].asked else None) if share is None else self.first_variable + share.variable

    def columns_of(self, question: int) -> tuple[str, ...]:
        """The columns of a row that a question names; `criterion` among those of a rubric."""
        at = question - len(self.propositions)
        if question >= self.first_variable:
            return self.variables[question - self.first_variable].columns
        return self.atoms[question].columns if at < 0 else (CRITERION, *self.rubrics[at].columns)

    @property
    def domains(self) -> tuple[tuple[int, Domain], ...]:
        """The variables' values, each with the atom of the first step."""
        found: list[tuple[int, Domain]] = []
        first = len(self.propositions) if self.variables else 0
        for variable in self.variables:
            found.append((first, variable.domain))
            first += len(variable.domain.values) - 1
        return tuple(found)

    @property
    def measures(self) -> slice:
        """The columns of the measures."""
        first = len(self.propositions) + sum(len(variable.domain.values) - 1 for variable in self.variables)
        return slice(first, first + sum(atom.measure is not None for atom in self.atoms))

    def said(self, facts: Mapping[int, bool]) -> tuple[tuple[str, bool], ...]:
        """Facts about atoms by their names; those about steps say which values the variable has."""
        return said(self.atom_names, self.domains, facts)

    def asked_about(self, atom: int) -> str:
        """The proposition, measure, scale or choice that an atom belongs to."""
        share = self.atoms[atom].share
        return self.atoms[atom].name if share is None else self.variables[share.variable].domain.name

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of rows that questions name or that hold criteria, each once."""
        named = [column for asked in (*self.atoms, *self.variables) for column in asked.columns]
        named += [column for rubric in self.rubrics for column in (rubric.column, *rubric.columns)]
        return tuple(dict.fromkeys(named))

    @property
    def judged(self) -> Judged:
        """The text of a completion that most propositions are judged by."""
        every: list[AtomInfo | Variable] = [*(atom for atom in self.atoms if atom.asked), *self.variables]
        overs: list[Judged] = [asked.over for asked in every]
        return max(overs, key=overs.count) if overs else "final"

    @property
    def response_names(self) -> tuple[str, ...]:
        """Names of the response types, in the order of their ids."""
        return tuple(response.name for response in self.responses)
