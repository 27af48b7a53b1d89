"""What do labelled rows suggest to change in a policy, and which labels to look at again?

- *Axioms*: two literals that (almost) never hold together, `!(a & b)`, `a => b` or `a | b`. Found when the
  violations are at most 2 % of the rows in which the rarer literal holds, and so few that independence could
  hardly explain them: the Poisson chance of no more, times the number of clauses tried, is below 5 %
  (Bonferroni). What the policy's axioms and the stronger findings already imply is left out, decided by
  diagrams.
- *Propositions without variance*: labelled all alike, so that these rows cannot tell what they are worth.
- *Weights that may be 0*: features whose interval over resampled prompts spans 0; as the fit recorded.
- *Completions that hold the fit in place*, see `influence`.

A finding is a question to the author, not a fact: rows written to show each class are not a sample of what
a model writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rbrlang.grading.trust.agreement import wilson
from rbrlang.jsontext import at, mapping
from rbrlang.learning.judging.influence import Influence, most_influential
from rbrlang.learning.judging.noise import chance
from rbrlang.learning.sample import Samples
from rbrlang.logic.bdd import FALSE, TRUE, Bdd, NodeBudget
from rbrlang.logic.circuit import Circuit, Diagram
from rbrlang.reward.weights import default_weights
from rbrlang.told import Told

MOST_AXIOMS = 20
MOST_INFLUENTIAL = 5
FEWEST_ROWS = 20
_VIOLATIONS = 0.02
_CHANCE = 0.05
Literal = tuple[int, bool]


@dataclass(frozen=True, slots=True)
class AxiomFound(Told):
    """A clause that holds in nearly all of `rows` rows with both labels.

    `line` is the axiom as .rbr. `support`: rows with the rarer literal, in which it could have failed;
    `violations`: in which it did; `expected`: in how many it would have if the literals were independent.
    `holds` is the share of rows in which it holds, `low`, `high` Wilson's 95 % interval of that. `examples`
    are ids of violations. `breaks` names classes that it would make impossible: then it is no axiom of this
    policy.
    """

    line: str
    rows: int
    support: int
    violations: int
    expected: float
    holds: float
    low: float
    high: float
    examples: tuple[str, ...]
    breaks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Constant(Told):
    """A proposition with the same label in all of `rows` rows."""

    proposition: str
    value: bool
    rows: int


@dataclass(frozen=True, slots=True)
class MaybeZero(Told, called={"response": "response_type"}):
    """A feature whose weight may be 0; `line` in the reward block of the response type drops it."""

    response: str
    feature: str
    low: float
    high: float
    line: str


@dataclass(frozen=True, slots=True)
class Suggestions(Told):
    """All findings. `refused` says which kinds could not be looked for, and why."""

    axioms: tuple[AxiomFound, ...]
    constant: tuple[Constant, ...]
    maybe_zero: tuple[MaybeZero, ...]
    influential: tuple[Influence, ...]
    refused: tuple[str, ...]


def suggest_changes(circuit: Circuit, samples: Samples, fit_report: Mapping[str, Any] | None) -> Suggestions:
    """Everything that rows of known class suggest, `samples` being those of `sample_rows`.

    `fit_report` is the artefact's provenance of its fit (`Fit.to_json()`), None for weights that were not fitted.
    """
    refused: list[str] = []
    said = samples.facts.labels[:, : len(circuit.propositions)]
    labels = np.where(np.isnan(said), -1.0, said).astype(np.int8)
    if int((labels >= 0).any(axis=1).sum()) < FEWEST_ROWS:
        refused.append(f"axioms and variance: fewer than {FEWEST_ROWS} rows carry labels")
    maybe_zero, why = weights_near_zero(circuit, fit_report)
    refused += why
    ids = samples.facts.names
    influential = [
        one
        for sample, centre in zip(samples.samples, default_weights(circuit).astype(np.float64), strict=True)
        for one in most_influential(sample, centre[: sample.features.shape[1]], ids, MOST_INFLUENTIAL)
    ]
    return Suggestions(
        axioms_in(circuit, labels, ids),
        tuple(constants_in(circuit, labels)),
        maybe_zero,
        tuple(influential),
        tuple(refused),
    )


# --- axioms -------------------------------------------------------------------------------------


def axioms_in(circuit: Circuit, labels: NDArray[np.int8], ids: list[str]) -> tuple[AxiomFound, ...]:
    """Clauses of two literals in labels [rows, propositions], the most surprising first, none implied by others."""
    if len(labels) == 0:
        return ()
    atoms = [at for at, atom in enumerate(circuit.atoms) if atom.asked]
    literals = [(column, value) for column in range(len(atoms)) for value in (True, False)]
    holds = np.stack([labels[:, column] == value for column, value in literals], axis=1).astype(np.float64)
    known = (labels >= 0).astype(np.float64)
    together, both = holds.T @ holds, known.T @ known
    alone = holds.T @ known  # [literal, proposition]: rows with the literal where the proposition is labelled
    candidates = [
        (i, j) for i in range(len(literals)) for j in range(i + 1, len(literals)) if literals[i][0] != literals[j][0]
    ]
    found: list[tuple[float, int, int]] = []
    for i, j in candidates:
        (p, _), (q, _) = literals[i], literals[j]
        n, seen = both[p, q], together[i, j]
        if n < FEWEST_ROWS or seen > _VIOLATIONS * min(alone[i, q], alone[j, p]):
            continue
        expected = alone[i, q] * alone[j, p] / n
        if _poisson_tail(int(seen), expected) * len(candidates) <= _CHANCE:
            found.append((expected - seen, i, j))
    found.sort(key=lambda one: (-one[0], one[1], one[2]))
    implied = _Implied(circuit)
    kept: list[AxiomFound] = []
    for _, i, j in found:
        pair = [(atoms[literals[k][0]], literals[k][1]) for k in (i, j)]
        if len(kept) == MOST_AXIOMS:
            break
        if not implied.adds(pair):
            continue
        (p, _), (q, _) = literals[i], literals[j]
        where = np.flatnonzero(holds[:, i] * holds[:, j])
        n, seen = int(both[p, q]), len(where)
        share = wilson(n - seen, n)
        kept.append(
            AxiomFound(
                line=_line(circuit, pair), rows=n, support=int(min(alone[i, q], alone[j, p])), violations=seen,
                expected=float(alone[i, q] * alone[j, p] / n), holds=share.value, low=share.low, high=share.high,
                examples=tuple(ids[at] for at in where[:3].tolist()), breaks=_breaks(circuit, pair),
            )
        )  # fmt: skip
    return tuple(kept)


def _poisson_tail(seen: int, expected: float) -> float:
    """P(no more than `seen`) for a Poisson number with mean `expected`."""
    term = total = math.exp(-expected)
    for count in range(1, seen + 1):
        term *= expected / count
        total += term
    return total


def _line(circuit: Circuit, pair: Sequence[Literal]) -> str:
    """The axiom that the two literals never hold together."""
    (a, a_true), (b, b_true) = pair
    one, other = circuit.atoms[a].name, circuit.atoms[b].name
    if a_true and b_true:
        return f"axiom !({one} & {other})"
    if not a_true and not b_true:
        return f"axiom {one} | {other}"
    return f"axiom {one} => {other}" if a_true else f"axiom {other} => {one}"


class _Implied:
    """Which clauses the policy's axioms and those added so far imply."""

    def __init__(self, circuit: Circuit) -> None:
        order = list(dict.fromkeys(atom for atom, _, _ in reversed(circuit.axioms.nodes)))
        rest = [atom for atom in range(len(circuit.atoms)) if atom not in set(order)]
        self._bdd = Bdd([*order, *rest])
        try:
            self._known = _edge(self._bdd, circuit.axioms)
        except NodeBudget:
            self._known = TRUE

    def adds(self, pair: Sequence[Literal]) -> bool:
        """Whether it is news that these literals never hold together; from then on it is none."""
        bdd = self._bdd
        try:
            violated = bdd.conjoin_all(bdd.variable(atom) ^ (not value) for atom, value in pair)
            if bdd.conjoin(self._known, violated) == FALSE:
                return False
            self._known = bdd.conjoin(self._known, violated ^ 1)
        except NodeBudget:  # undecided is not implied
            return True
        return True


def _edge(bdd: Bdd, diagram: Diagram) -> int:
    """The function that is true where a diagram ends at terminal 1."""
    edges = [TRUE if terminal == 1 else FALSE for terminal in diagram.terminals]
    for atom, low, high in diagram.nodes:
        edges.append(bdd.choose(bdd.variable(atom), edges[high], edges[low]))
    return edges[diagram.root]


def _breaks(circuit: Circuit, pair: Sequence[Literal]) -> tuple[str, ...]:
    """Classes that are only possible where both literals hold."""
    (a, a_true), (b, b_true) = pair
    p = np.full((3, len(circuit.atoms)), 0.5)
    p[:, a] = [a_true, not a_true, not a_true]
    p[:, b] = [not b_true, b_true, not b_true]
    return tuple(
        f"{response.name}.{name}"
        for response in circuit.responses
        for number, name in enumerate(response.classes)
        if not chance(response.diagram, number, p).any()
    )


# --- the rest -----------------------------------------------------------------------------------


def constants_in(circuit: Circuit, labels: NDArray[np.int8]) -> list[Constant]:
    """Propositions with one label throughout, in labels [rows, propositions], where enough rows have it."""
    found: list[Constant] = []
    for column, name in enumerate(circuit.propositions):
        known = labels[:, column][labels[:, column] >= 0]
        if len(known) >= FEWEST_ROWS and (known == known[0]).all():
            found.append(Constant(name, bool(known[0]), len(known)))
    return found


def weights_near_zero(
    circuit: Circuit, fit_report: Mapping[str, Any] | None
) -> tuple[tuple[MaybeZero, ...], list[str]]:
    """Features whose recorded weight interval spans 0, and why some response types have no intervals."""
    if fit_report is None:
        return (), ["weights: these were not fitted; use `rbrc fit`"]
    found: list[MaybeZero] = []
    refused: list[str] = []
    for response in circuit.responses:
        entry = mapping(at(fit_report, "response_types", response.name)) or {}
        intervals = mapping(entry.get("intervals")) or {}
        if not intervals:
            reason = entry.get("intervals_refused")
            refused.append(f"weights of {response.name}: no intervals: {reason or 'it was not fitted'}")
            continue
        for feature, (low, high) in zip(response.features, response.bounds, strict=True):
            ends: Any = intervals.get(feature.name)
            match ends:
                case [int() | float() as least, int() | float() as most] if low < high and least <= 0.0 <= most:
                    found.append(
                        MaybeZero(response.name, feature.name, float(least), float(most), f"weight {feature.name} = 0")
                    )
                case _:
                    pass
    return tuple(found), refused
