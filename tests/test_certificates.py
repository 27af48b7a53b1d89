"""Certificates of ranking against every assignment, one by one."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, models, partitioned, worlds

import rbrlang
from rbrlang.lang.program import Feature
from rbrlang.learning.judging.certificates import BaseRangeError, certify
from rbrlang.logic.circuit import Circuit, Diagram
from rbrlang.logic.extremes import OrderError, greatest
from rbrlang.reward.weights import default_weights, max_features


def with_every_atom(circuit: Circuit) -> Circuit:
    """All classes and all atoms as features, also those that no rule reaches."""
    atoms = tuple(Feature(a.name, "proposition", n) for n, a in enumerate(circuit.atoms))
    return replace(
        circuit,
        responses=tuple(
            replace(
                r,
                features=tuple(Feature(c, "class", n) for n, c in enumerate(r.classes)) + atoms,
                bounds=((-math.inf, math.inf),) * (len(r.classes) + len(atoms)),
                atoms=tuple(range(len(circuit.atoms))),
            )
            for r in circuit.responses
        ),
    )


def rewards(model: Model, circuit: Circuit, number: int, weights: list[float]) -> dict[str, list[Fraction]]:
    """Brute force: the exact reward of every allowed assignment, by class."""
    response = circuit.responses[number]
    tables, allowed = model.class_tables(model.responses[number]), model.allowed()
    found: dict[str, list[Fraction]] = {name: [] for name in response.classes}
    for world, true in worlds(model):
        if allowed >> world & 1:
            (klass,) = (name for name, table in tables.items() if table >> world & 1)
            names = {f"p{a}" for a in true} | {klass}
            terms = (Fraction(w) for f, w in zip(response.features, weights, strict=True) if f.name in names)
            found[klass].append(sum(terms, Fraction(0)))
    return found


Leads = dict[tuple[str, str], float]


def leads(model: Model, seed: int) -> tuple[list[Leads], list[Leads]]:
    """The leads of each response type under random weights: what the certificate says, and by brute force.

    What else the certificate says is compared on the way.
    """
    told: list[Leads] = []
    counted: list[Leads] = []
    circuit = with_every_atom(rbrlang.loads(model.text()).circuit)
    rng = np.random.default_rng(seed)
    weights = np.zeros((len(circuit.responses), max_features(circuit)), np.float32)
    for number, response in enumerate(circuit.responses):
        size = len(response.features)
        weights[number, :size] = rng.choice([rng.normal(size=size), rng.integers(-1, 2, size)])
    found = certify(circuit, weights)
    for number, (response, certificate) in enumerate(zip(circuit.responses, found.responses, strict=True)):
        row = weights[number, : len(response.features)].tolist()
        worth = rewards(model, circuit, number, row)
        assert set(certificate.impossible) == {name for name, values in worth.items() if not values}
        expected = {
            (b, w): min(worth[b]) - max(worth[w])
            for (i, bs), (j, ws) in itertools.product(enumerate(response.ranks), repeat=2)
            for b, w in itertools.product(bs, ws)
            if i < j and worth[b] and worth[w]
        }
        told.append({(lead.better, lead.worse): lead.lead for lead in certificate.leads})
        counted.append({pair: float(value) for pair, value in expected.items()})
        assert certificate.holds == all(value > 0 for value in expected.values())
        assert [lead.lead for lead in certificate.leads] == sorted(lead.lead for lead in certificate.leads)
        for lead in certificate.leads:  # the assignments shown are allowed, of their class, and have those rewards
            for klass, case, reward in (
                (lead.better, lead.better_case, lead.better_reward),
                (lead.worse, lead.worse_case, lead.worse_reward),
            ):
                world = sum(1 << n for n in range(model.atoms) if case[f"p{n}"])
                assert model.allowed() >> world & 1
                assert model.class_tables(model.responses[number])[klass] >> world & 1
                names = {name for name, holds in case.items() if holds} | {klass}
                terms = (Fraction(w) for f, w in zip(response.features, row, strict=True) if f.name in names)
                assert reward == float(sum(terms, Fraction(0)))
    return told, counted


def usable(model: Model) -> bool:
    try:
        rbrlang.loads(model.text())
    except rbrlang.PolicyError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(models(most_atoms=7).map(partitioned).filter(usable), st.integers(0, 2**31))
def test_leads_are_those_of_all_assignments(model: Model, seed: int) -> None:
    told, counted = leads(model, seed)
    assert told == counted


@settings(max_examples=4, deadline=None)
@given(
    models(most_atoms=14, responses=1).filter(lambda m: m.atoms > 10).map(partitioned).filter(usable),
    st.integers(0, 2**31),
)
def test_leads_are_those_of_all_assignments_of_many_propositions(model: Model, seed: int) -> None:
    told, counted = leads(model, seed)
    assert told == counted


POLICY = """
prop refuses "The response refuses."
prop polite "The response is polite."
prop lectures "The response lectures."
axiom lectures => refuses

response refusal ranks ideal > curt > complying
refusal.ideal     := refuses & polite
refusal.curt      := refuses & !polite
refusal.complying := !refuses

reward refusal { features classes, lectures }
"""


def weights_of(*row: float) -> np.ndarray:
    return np.array([row], np.float32)


def test_a_feature_can_break_the_order_and_the_pair_that_does_is_shown() -> None:
    circuit = rbrlang.loads(POLICY).circuit
    assert certify(circuit, default_weights(circuit)).holds
    broken = certify(circuit, weights_of(1, 0, -1, -1.25))
    (refusal,) = broken.responses
    worst = refusal.leads[0]
    assert not broken.holds
    assert (worst.better, worst.worse, worst.lead) == ("ideal", "curt", -0.25)
    assert worst.better_case == {"refuses": True, "polite": True, "lectures": True}
    assert worst.worse_case["lectures"] is False
    # Only the axiom keeps a lecture out of a completion that does not refuse.
    assert not certify(circuit, weights_of(1, 0, -1, 1.5)).holds
    leads = {
        (lead.better, lead.worse): lead.lead for lead in certify(circuit, weights_of(1, 0, -1, 1.5)).responses[0].leads
    }
    assert leads["curt", "complying"] == 1.0
    # Equal rewards are no order.
    assert not certify(circuit, weights_of(1, 1, -1, 0)).holds


def test_base_rewards_override_from_the_lead_on() -> None:
    circuit = rbrlang.loads(POLICY).circuit
    row = weights_of(2, 0.5, -1, 0)
    assert certify(circuit, row, (-0.5, 0.99)).holds
    found = certify(circuit, row, (-0.5, 1.0))  # a lead of 1.5 is just caught up
    assert not found.holds
    assert found.responses[0].holds
    entry = found.to_json()["response_types"]["refusal"]["pairs"][0]
    assert entry["with_base"] == {"lead": 0.0, "holds": False, "override_from": 1.0}
    for low, high in ((1.0, 0.0), (0.0, math.inf), (math.nan, 1.0)):
        with pytest.raises(BaseRangeError, match="give two finite numbers"):
            certify(circuit, row, (low, high))


def test_classes_that_tie_or_cannot_be_make_no_lead() -> None:
    circuit = rbrlang.loads(POLICY.replace("ideal > curt >", "{ideal, curt} >")).circuit
    leads = certify(circuit, default_weights(circuit)).responses[0].leads
    assert {(lead.better, lead.worse) for lead in leads} == {("ideal", "complying"), ("curt", "complying")}
    nothing = replace(circuit, axioms=Diagram((0, 1), (), 0))
    assert certify(nothing, default_weights(circuit)).responses[0].impossible == ("ideal", "curt", "complying")


def test_diagrams_in_different_orders_are_refused() -> None:
    circuit = rbrlang.loads(POLICY).circuit
    (response,) = circuit.responses
    atoms = [atom for atom, _, _ in response.diagram.nodes]
    first, last = atoms[-1], atoms[0]
    upside_down = Diagram((0, 1), ((first, 0, 1), (last, 2, 1)), 3)
    with pytest.raises(OrderError, match="compile the policy again"):
        greatest(replace(circuit, axioms=upside_down), response, {})
