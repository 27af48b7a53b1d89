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

from rbrlang.logic.circuit import Circuit, ResponseCircuit
from rbrlang.logic.extremes import Extreme, greatest
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
        """Whether base rewards inside the range can put the worse completion level or ahead."""
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
    """The leads of one response type, least first; `impossible` names classes that no assignment has."""

    name: str
    leads: tuple[Lead, ...]
    impossible: tuple[str, ...]

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
        base = self.base_range
        return all(
            lead.holds and (base is None or not lead.overridden(base)) for r in self.responses for lead in r.leads
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
                    "pairs": [lead.to_json(base) for lead in response.leads],
                }
                for response in self.responses
            },
        }


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


def _response(circuit: Circuit, response: ResponseCircuit, row: list[float]) -> ResponseCertificate:
    weights = [Fraction(weight) for weight in row[: len(response.features)]]
    unit = math.lcm(1, *(weight.denominator for weight in weights))
    of_class, of_atom = [0] * len(response.classes), dict[int, int]()
    for feature, weight in zip(response.features, weights, strict=True):
        value = int(weight * unit)
        if feature.kind == "class":
            of_class[feature.index] += value
        else:
            of_atom[feature.index] = of_atom.get(feature.index, 0) + value
    most = greatest(circuit, response, of_atom)
    least = greatest(circuit, response, {atom: -value for atom, value in of_atom.items()})
    rank, leads = response.rank_of, list[tuple[int, Lead]]()

    def case(extreme: Extreme) -> dict[str, bool]:
        return {circuit.atoms[atom].name: extreme.assignment[atom] for atom in response.atoms}

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
    )
