"""The compiled policy is the truth table of the written one, in the manager and in the circuit."""

from __future__ import annotations

import random
import time
from itertools import product as every

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Model, Response, Tree, models, partitioned, worlds

from rbrlang.lang.load import load_text
from rbrlang.lang.meaning.elaborate import elaborate
from rbrlang.logic.assemble import _Product
from rbrlang.logic.circuit import Diagram, ProductForm
from rbrlang.logic.compile import compile_program
from rbrlang.logic.findings.audit import audit
from rbrlang.policy import Policy, check_text, loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward


def value(diagram: Diagram, true: frozenset[int]) -> int:
    """The terminal that an assignment reaches."""
    at = diagram.root
    while at >= len(diagram.terminals):
        atom, low, high = diagram.nodes[at - len(diagram.terminals)]
        at = high if atom in true else low
    return diagram.terminals[at]


def class_masses(diagram: Diagram, priors: list[float], classes: int) -> list[float]:
    """Joint probability of each class with the axioms, by the formula in the circuit's docstring."""
    masses = []
    for c in range(classes):
        values = [1.0 if terminal == c else 0.0 for terminal in diagram.terminals]
        for atom, low, high in diagram.nodes:
            values.append(values[low] + priors[atom] * (values[high] - values[low]))
        masses.append(values[diagram.root])
    return masses


@settings(max_examples=60, deadline=None)
@given(models())
def test_every_class_function_is_its_truth_table(model: Model) -> None:
    checked = check_text(model.text())
    bdd = checked.compiled.bdd
    for response, item in zip(model.responses, checked.compiled.responses, strict=True):
        assert item is not None
        tables = model.class_tables(response)
        for name, edge in zip(response.classes, item.classes, strict=True):
            for world, true in worlds(model):
                assert bdd.holds(edge, true) == bool(tables[name] >> world & 1)
    for world, true in worlds(model):
        assert bdd.holds(checked.compiled.axioms, true) == bool(model.allowed() >> world & 1)


@settings(max_examples=60, deadline=None)
@given(models(), st.lists(st.floats(0.01, 0.99), min_size=6, max_size=6))
def test_the_circuit_is_the_truth_table(model: Model, priors: list[float]) -> None:
    model = partitioned(model)
    checked = check_text(model.text())
    if not checked.ok:
        return
    circuit = Policy(checked).circuit
    allowed = model.allowed()
    for world, true in worlds(model):
        assert value(circuit.axioms, true) == allowed >> world & 1
    for response, item in zip(model.responses, circuit.responses, strict=True):
        tables = model.class_tables(response)
        assert item.classes == response.classes
        for world, true in worlds(model):
            found = value(item.diagram, true)
            if allowed >> world & 1:
                assert tables[item.classes[found]] >> world & 1
                assert found >= 0
        masses = class_masses(item.diagram, priors, len(item.classes))
        total = model.weight(allowed, priors[: model.atoms])
        for name, mass in zip(item.classes, masses, strict=True):
            wanted = model.weight(tables[name] & allowed, priors[: model.atoms]) / total
            assert mass / sum(masses) == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(models(responses=1))
def test_diagrams_are_reduced_and_ordered_children_first(model: Model) -> None:
    checked = check_text(partitioned(model).text())
    for item in Policy(checked).circuit.responses if checked.ok else ():
        diagram, first = item.diagram, len(item.diagram.terminals)
        assert len(set(diagram.nodes)) == len(diagram.nodes)
        assert len(set(diagram.terminals)) == first
        for at, (atom, low, high) in enumerate(diagram.nodes):
            assert low != high
            assert max(low, high) < at + first
            assert atom in item.atoms
        assert diagram.root == first + len(diagram.nodes) - 1 if diagram.nodes else diagram.root < first


@pytest.mark.parametrize("budget", [8, 20, 60, 200])
@settings(max_examples=30, deadline=None)
@given(model=models())
def test_a_tight_budget_never_changes_an_answer(budget: int, model: Model) -> None:
    modules, _ = load_text(model.text())
    program, _ = elaborate(modules)
    compiled = compile_program(program, budget=budget)
    for response, item in zip(model.responses, compiled.responses, strict=True):
        if item is None:
            continue
        tables = model.class_tables(response)
        for name, edge in zip(response.classes, item.classes, strict=True):
            for world, true in worlds(model):
                assert compiled.bdd.holds(edge, true) == bool(tables[name] >> world & 1)


def unstructured(seed: int, size: int, clauses: int) -> str:
    """A response type over `size` propositions whose rule has no structure."""
    draw = random.Random(seed)
    lines = [f'prop p{n} "p{n}"' for n in range(size)]
    terms = [
        "(" + " & ".join(("!" if draw.random() < 0.5 else "") + f"p{v}" for v in draw.sample(range(size), 3)) + ")"
        for _ in range(clauses)
    ]
    lines += ["response wild ranks good > bad", f"wild.good := {' | '.join(terms)}", "wild.bad := otherwise"]
    return "\n".join(lines) + "\n"


def test_sixty_unstructured_propositions_are_refused_and_cost_nobody_else_anything() -> None:
    text = unstructured(1, 60, 250) + "response tame ranks good > bad\ntame.good := p1 & p2\ntame.bad := !p1\n"
    began = time.monotonic()
    checked = check_text(text)
    assert time.monotonic() - began < 60  # a hang, not a benchmark
    assert [d.code.id for d in checked.diagnostics if d.severity == "error"] == ["RBR3008", "RBR3001"]
    assert "`wild`" in checked.diagnostics[0].message
    assert dict(checked.diagnostics[1].witness or ()) == {"p1": True, "p2": False}


def test_a_good_order_is_found_where_first_use_is_a_bad_one() -> None:
    half = 20
    lines = [f'prop p{n} "p"' for n in range(2 * half)]
    pairs = " & ".join(f"(p{n} <=> p{n + half})" for n in range(half))
    first = " & ".join(f"p{n}" for n in range(half))
    lines += ["response r ranks x > y > z", f"r.x := {first}", f"r.y := !({first}) & {pairs}", "r.z := otherwise"]
    checked = check_text("\n".join(lines))
    assert checked.ok
    assert (
        len(checked.compiled.bdd.reachable(checked.compiled.responses[0].classes)) < 10_000
    )  # 2^20 in the order of first use


def test_axioms_alone_can_be_too_large() -> None:
    rule = next(line for line in unstructured(2, 60, 250).splitlines() if line.startswith("wild.good"))
    text = "".join(f'prop p{n} "p"\n' for n in range(60)) + f"axiom {rule.partition(':=')[2]}\n"
    text += "response r ranks x > y\nr.x := p1\nr.y := otherwise\n"
    errors = [d for d in check_text(text).diagnostics if d.severity == "error"]
    assert [d.message for d in errors][:1] == ["the axioms are too large to decide"]


def test_a_circuit_over_the_budget_is_an_error_with_a_place() -> None:
    checked = check_text(unstructured(3, 24, 14))
    assert checked.ok
    found = audit(checked.program, checked.compiled._replace(budget=30)).diagnostics
    assert any("`wild` are too large" in d.message for d in found if d.severity == "error")


# --- the product form -----------------------------------------------------------------------------


def product_values(form: ProductForm, p: list[float]) -> list[float]:
    values: list[float] = []
    for step in form.steps:
        if step.op == "atom":
            values.append(p[step.args[0]])
        elif step.op == "not":
            values.append(1 - values[step.args[0]])
        else:
            total = 1.0
            for at in step.args:
                total *= values[at]
            values.append(total)
    return [values[at] for at in form.outputs]


literals = st.tuples(st.sampled_from(("atom", "ref")), st.integers(0, 2), st.booleans())


@given(
    st.lists(st.lists(literals, min_size=1, max_size=4, unique_by=lambda t: t[:2]), min_size=2, max_size=2),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
)
def test_the_product_form_multiplies_the_literals_as_written(
    rules: list[list[tuple[str, int, bool]]], p: list[float]
) -> None:
    definitions: tuple[Tree, ...] = (
        ("and", ("atom", 0), ("atom", 1)),
        ("or", ("atom", 1), ("not", ("atom", 2))),
        ("and", ("ref", 0), ("not", ("ref", 1))),
    )
    derived = [p[0] * p[1], 1 - (1 - p[1]) * p[2]]
    derived.append(derived[0] * (1 - derived[1]))

    def tree(rule: list[tuple[str, int, bool]]) -> Tree:
        parts = [(kind, n) if positive else ("not", (kind, n)) for kind, n, positive in rule]
        return ("and", *parts) if len(parts) > 1 else parts[0]

    wanted = []
    for rule in rules:
        total = 1.0
        for kind, n, positive in rule:
            one = p[n] if kind == "atom" else derived[n]
            total *= one if positive else 1 - one
        wanted.append(total)
    wanted.append((1 - wanted[0]) * (1 - wanted[1]))
    flat = (("a", tree(rules[0])), ("b", tree(rules[1])), ("c", None))
    model = Model(3, definitions, responses=(Response("r", (("a",), ("b",), ("c",)), False, flat),))
    modules, _ = load_text(model.text())
    program, problems = elaborate(modules)
    assert not problems
    # The rules may overlap, which `assemble` has no use for: so its own builder is asked.
    found = product_values(_Product(program).form(program.responses[0]), p)
    distinct = model.table(tree(rules[0])) != model.table(tree(rules[1]))  # a rule twice enters `otherwise` once
    assert found[: 2 + distinct] == pytest.approx(wanted[: 2 + distinct], abs=1e-12)


def test_both_forms_agree_where_literals_are_independent() -> None:
    circuit = loads(
        'prop a "a"\nprop b "b"\nresponse r ranks x > y > z {\n x if a & b\n y if a\n z otherwise\n}\n'
    ).compiled("product")
    assert circuit.class_probability == "product"
    form, diagram = circuit.responses[0].product, circuit.responses[0].diagram
    for p in every((0.0, 1.0), repeat=2):
        assert product_values(form, list(p)) == class_masses(diagram, list(p), 3)


def test_definitions_ten_thousand_deep_compile_both_ways() -> None:
    chain = "".join(f"d{n} := !d{n - 1}\n" for n in range(1, 10_000))
    policy = loads(f'prop a "a"\nd0 := a\n{chain}response r ranks x > y\nr.x := d9999\nr.y := otherwise\n')
    circuit = policy.compiled("product")
    assert value(circuit.responses[0].diagram, frozenset()) == 0
    assert product_values(circuit.responses[0].product, [0.25]) == [0.75, 0.25]


@pytest.mark.parametrize(
    ("third", "mass"),
    [
        # What a and b leave is .56 = .7 · .8; a line that says the same is multiplied with it like any other.
        ("c2 if none({a, b})", 1 - (1 - 0.56 * 0.56) * (1 - 0.56 * 0.44)),
        ("c2 if a | b", 1 - (1 - 0.44 * 0.56) * (1 - 0.56 * 0.56)),
    ],
)
def test_under_product_a_line_that_repeats_what_is_left_is_multiplied_like_any_other(third: str, mass: float) -> None:
    policy = loads(
        'prop a "A."\nprop b "B."\nresponse r ranks c1 > c0 > c2 {\n  c1 if a\n  c0 if b\n  '
        + third
        + "\n  c2 otherwise\n}\n"
    )
    expected = np.array([0.3, 0.2 * 0.7, mass])
    circuit = policy.compiled("product")
    given_ = np.array([[0.3, 0.2]], np.float32), np.zeros(1, np.int32)
    for reward in (NumpyReward(circuit), RuleReward.from_circuit(circuit)):
        np.testing.assert_allclose(np.asarray(reward.class_probs(*given_))[0], expected / expected.sum(), rtol=1e-5)
