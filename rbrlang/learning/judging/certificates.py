"""Does every completion of a better class outrank every completion of a worse one, whatever else is true of it?

A reward that is fitted on samples may still put some unseen combination of propositions in the wrong
place. With known propositions the rules' reward is linear in their truth, so its least value over all
assignments of a class, and its greatest, are shortest and longest paths in the policy's diagrams
(`logic.extremes`). For two classes of different rank the *lead* is the least reward of the better one less
the greatest of the worse one: positive leads are a proof, for every assignment that satisfies the axioms,
and a lead that is not positive comes with the two assignments that have it.

A base reward moves both. If it lies between `low` and `high`, the rules keep their order whatever it says
when the lead exceeds `high − low`; otherwise a worse completion overrides a better one once its base reward
is greater by the lead.

Rubrics move both as well, each by its weight within what its clip and its points leave it. The rules keep their order
whatever the criteria of a prompt are when the lead exceeds what rubrics add at most less what they add at least.

Weights are binary fractions and are summed as integers, so that rounding cannot fake a proof. The proof is
about truth, not about graders: a grader that errs, or answers between 0 and 1, moves the reward between
the values of the assignments that it leaves open.

    certify(policy.circuit, weights).holds       # bool; .to_json() for the rest
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

from numpy.typing import ArrayLike

from rbrlang.lang.variables import Share
from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.logic.extremes import Extreme, greatest, one_way
from rbrlang.reward.rubrics import reach
from rbrlang.reward.weights import checked_weights

BaseRange = tuple[float, float]


class BaseRangeError(ValueError):
    """A range of base rewards that is none."""


@dataclass(frozen=True, slots=True)
class Lead:
    """Two classes of different rank and the pair of completions that comes nearest to breaking their order.

    `lead`: reward of the rules for `better_case` less that for `worse_case`, the least there is. The cases
    give the truth of every proposition and measure that the response type reaches.
    """

    better: str
    worse: str
    lead: float
    holds: bool
    better_reward: float
    worse_reward: float
    better_case: Mapping[str, bool]
    worse_case: Mapping[str, bool]

    def overridden(self, base: BaseRange) -> bool:
        """Whether base rewards inside the range can put the worse completion level or ahead; so for what rubrics add."""
        return self.lead <= base[1] - base[0]

    def to_json(self, base: BaseRange | None) -> dict[str, Any]:
        """By name; `override_from` is the base reward from which on the worse case overrides a better case at `low`."""
        found: dict[str, Any] = {
            "better": self.better,
            "worse": self.worse,
            "lead": self.lead,
            "holds": self.holds,
            "better_case": {"reward": self.better_reward, "given": dict(self.better_case)},
            "worse_case": {"reward": self.worse_reward, "given": dict(self.worse_case)},
        }
        if base is not None:
            found["with_base"] = {
                "lead": self.lead - (base[1] - base[0]),
                "holds": not self.overridden(base),
                "override_from": base[0] + self.lead,
            }
        return found


@dataclass(frozen=True, slots=True)
class ResponseCertificate:
    """The leads of one response type, least first; `impossible` names classes that no assignment has.

    `rubrics` are the least and the most that its rubrics add to a reward, None where it has none.
    """

    name: str
    leads: tuple[Lead, ...]
    impossible: tuple[str, ...]
    rubrics: BaseRange | None = None

    def together(self, base: BaseRange | None) -> BaseRange | None:
        """What base rewards and rubrics add at least and at most."""
        ranges = [one for one in (base, self.rubrics) if one is not None]
        return (sum(one[0] for one in ranges), sum(one[1] for one in ranges)) if ranges else None

    @property
    def holds(self) -> bool:
        """Whether the rules alone order all classes for every assignment."""
        return all(lead.holds for lead in self.leads)


@dataclass(frozen=True, slots=True)
class Certificates:
    """One certificate a response type, in the policy's order, and the range of base rewards they consider."""

    responses: tuple[ResponseCertificate, ...]
    base_range: BaseRange | None

    @property
    def holds(self) -> bool:
        """Whether every class outranks every worse one, base rewards included where a range is known."""
        return all(
            lead.holds and ((added := r.together(self.base_range)) is None or not lead.overridden(added))
            for r in self.responses
            for lead in r.leads
        )

    def to_json(self) -> dict[str, Any]:
        """What `--certify --format json` prints under `certificates`."""
        base = self.base_range
        return {
            "holds": self.holds,
            "base_range": None if base is None else list(base),
            "response_types": {
                response.name: {
                    "holds": response.holds,
                    "impossible": list(response.impossible),
                    **({} if response.rubrics is None else {"rubrics": _rubrics(response.rubrics)}),
                    "pairs": [
                        lead.to_json(base)
                        | ({} if response.rubrics is None else {"with_rubrics": not lead.overridden(response.rubrics)})
                        for lead in response.leads
                    ],
                }
                for response in self.responses
            },
        }


def _rubrics(ends: BaseRange) -> list[float | None]:
    return [end if math.isfinite(end) else None for end in ends]


def certify(circuit: Circuit, weights: ArrayLike, base_range: BaseRange | None = None) -> Certificates:
    """Prove the order of the classes for given weights [responses, max features], or find what breaks it.

    `base_range`: least and greatest base reward, in units of reward; None leaves base rewards out. Raises
    `WeightError` for weights that do not fit, `BaseRangeError`, `OrderError` for a damaged circuit.
    """
    if base_range is not None and not -math.inf < base_range[0] <= base_range[1] < math.inf:
        raise BaseRangeError(
            f"base rewards from {base_range[0]:g} to {base_range[1]:g} are no range; give two finite numbers, the "
            "smaller first"
        )
    table = checked_weights(circuit, weights).tolist()
    return Certificates(
        tuple(_response(circuit, response, row) for response, row in zip(circuit.responses, table, strict=True)),
        base_range,
    )


def _spread(
    circuit: Circuit, share: Share, value: int, unit: int, of_class: list[int], of_atom: dict[int, int]
) -> None:  # fmt: skip
    """Spread what a reading is worth, `value` times the worth of the variable's value, over the variable's steps.

    Each value is written with as few steps that hold as there can be (`one_way`): then a scale's level is worth what the
    lowest one is and what every step up adds, and an option what the last one is and what its own step adds.
    """
    first, domain = circuit.domains[share.variable]
    places = len(domain.values) - 1
    # The worth of a level of k is a multiple of 1 / (k - 1), that of a comparison 0 or 1: exact in these units.
    worth = [round((one or 0.0) * places) * value // places for one in share.worth]
    chain = [worth[at] for at in domain.chain]
    ground = chain[0] if domain.kind == "scale" else chain[-1]
    for klass in range(len(of_class)):
        of_class[klass] += ground
    for step in range(places):
        added = chain[step + 1] - chain[step] if domain.kind == "scale" else chain[step] - ground
        of_atom[first + step] = of_atom.get(first + step, 0) + added


def _response(circuit: Circuit, response: ResponseCircuit, row: list[float]) -> ResponseCertificate:
    weights = [Fraction(weight) for weight in row[: len(response.features)]]
    # A reading is worth a fraction of its weight: as much of it as the value is of the scale.
    parts = [len(v.domain.values) - 1 for v in circuit.variables]
    unit = math.lcm(1, *(weight.denominator for weight in weights)) * math.lcm(1, *parts)
    of_class, of_atom = [0] * len(response.classes), dict[int, int]()
    for feature, weight in zip(response.features, weights, strict=True):
        value, share = int(weight * unit), None
        if feature.kind == "class":
            of_class[feature.index] += value
        elif feature.rubric:
            continue
        elif (share := circuit.atoms[feature.index].share) is None:
            of_atom[feature.index] = of_atom.get(feature.index, 0) + value
        else:
            _spread(circuit, share, value, unit, of_class, of_atom)
    read = {
        share.variable for f in response.features if f.kind == "proposition" and (share := circuit.atoms[f.index].share)
    }
    walked = one_way(circuit, response, sorted(read)) if read else circuit
    most = greatest(walked, response, of_atom)
    least = greatest(walked, response, {atom: -value for atom, value in of_atom.items()})
    rank, leads = response.rank_of, list[tuple[int, Lead]]()
    steps = {
        atom
        for number, (first, domain) in enumerate(circuit.domains)
        for atom in range(first, first + len(domain.values) - 1)
        if number in read or not set(range(first, first + len(domain.values) - 1)).isdisjoint(response.atoms)
    }
    others = (a for a in response.atoms if circuit.atoms[a].share is None and circuit.atoms[a].rubric is None)
    reached = sorted(steps.union(others))

    def case(extreme: Extreme) -> dict[str, bool]:
        return dict(circuit.said({atom: extreme.assignment.get(atom, False) for atom in reached}))

    for better, worse in product(range(len(response.classes)), repeat=2):
        low, high = least[better], most[worse]
        if rank[better] >= rank[worse] or low is None or high is None:
            continue
        best, worst = of_class[better] - low.value, of_class[worse] + high.value
        lead = Lead(
            better=response.classes[better],
            worse=response.classes[worse],
            lead=float(Fraction(best - worst, unit)),
            holds=best > worst,
            better_reward=float(Fraction(best, unit)),
            worse_reward=float(Fraction(worst, unit)),
            better_case=case(low),
            worse_case=case(high),
        )
        leads.append((best - worst, lead))
    leads.sort(key=lambda item: item[0])
    return ResponseCertificate(
        name=response.name,
        leads=tuple(lead for _, lead in leads),
        impossible=tuple(name for name, found in zip(response.classes, most, strict=True) if found is None),
        rubrics=reach(circuit, response, row) if any(feature.rubric for feature in response.features) else None,
    )
