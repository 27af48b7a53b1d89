"""Scales and choices: what they mean, against an enumeration of their values."""

from __future__ import annotations

import io
import itertools
import json
import math
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artefact_kit import reread
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rbrlang.checking import check_text
from rbrlang.cli.main import main
from rbrlang.lang.printing.format import formatted
from rbrlang.lang.variables import Domain, Share
from rbrlang.learning.judging.certificates import certify
from rbrlang.logic.explain import explain
from rbrlang.policy import Policy, loads
from rbrlang.reward.kept.artefact import Artefact, read_artefact, write_artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.shares import DistributionError, distribution
from rbrlang.reward.single import SingleRow
from rbrlang.rows.write import write_rows
from rbrlang.source import Source

HELP = """
scale help 1..5 "How far does the response help?" { 5 "It solves all." 1 "It solves nothing." }
choice tone "What is its tone?" { formal "Formal." casual "Casual." hostile "It attacks." }
prop rude "The response is rude."
response chat ranks good > fair > bad {
  bad  if tone == hostile | help <= 2
  good if help >= 4 & !rude
  fair otherwise
}
"""

Value = tuple[str, ...]


# --- random policies ----------------------------------------------------------------------------


class Model:
    """A policy with scales, choices and propositions, as text and as functions of an assignment."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.scales = [
            (f"s{n}", low, low + draw(st.integers(1, 4)))
            for n in range(draw(st.integers(0, 2)))
            for low in [draw(st.integers(0, 2))]
        ]
        names = ["zeta", "alpha", "mu", "beta", "gamma"]
        self.choices = [
            (f"c{n}", draw(st.permutations(names))[: draw(st.integers(2, 5))]) for n in range(draw(st.integers(0, 2)))
        ]
        self.props = [f"p{n}" for n in range(draw(st.integers(0 if self.scales or self.choices else 1, 2)))]
        self.domains: dict[str, list[Any]] = {name: list(range(low, high + 1)) for name, low, high in self.scales}
        self.domains |= {name: list(options) for name, options in self.choices}
        self.domains |= {name: [False, True] for name in self.props}
        self.lines = [self.formula(draw, 2) for _ in range(draw(st.integers(1, 3)))]
        axiom = self.formula(draw, 1)
        self.axiom = axiom if draw(st.booleans()) and any(axiom[1](a) for a in self.assignments()) else None
        self.features: list[tuple[str, str, Any]] = []  # name in the text, its definition, its value of an assignment
        for name, low, high in self.scales:
            self.features.append((name, "", lambda a, n=name, lo=low, hi=high: Fraction(a[n] - lo, hi - lo)))
            self.compare(draw, name, low + draw(st.integers(1, high - low)), ">=")
        for name, options in self.choices:
            self.compare(draw, name, draw(st.sampled_from(options)), draw(st.sampled_from(["==", "!="])))

    def compare(self, draw: st.DrawFn, name: str, bound: Any, relation: str) -> None:
        holds = _RELATIONS[relation]
        self.features.append(
            (f"f{len(self.features)}", f"{name} {relation} {bound}", lambda a: Fraction(holds(a[name], bound)))
        )

    def formula(self, draw: st.DrawFn, depth: int) -> tuple[str, Any]:
        if depth and draw(st.booleans()):
            sign = draw(st.sampled_from(["&", "|", "=>", "<=>"]))
            (left, one), (right, two) = self.formula(draw, depth - 1), self.formula(draw, depth - 1)
            return f"({left} {sign} {right})", lambda a: _SIGNS[sign](one(a), two(a))
        name = draw(st.sampled_from(sorted(self.domains)))
        if name in self.props:
            return (name, lambda a: a[name]) if draw(st.booleans()) else (f"!{name}", lambda a: not a[name])
        bound = draw(st.sampled_from(self.domains[name]))
        relation = draw(st.sampled_from(sorted(_RELATIONS) if isinstance(bound, int) else ["!=", "=="]))
        return f"{name} {relation} {bound}", lambda a: _RELATIONS[relation](a[name], bound)

    def text(self) -> str:
        out = [f'scale {n} {low}..{high} "How {n}?"' for n, low, high in self.scales]
        out += [
            f'choice {n} "Which {n}?" {{ ' + " ".join(f'{o} "It is {o}."' for o in options) + " }"
            for n, options in self.choices
        ]
        out += [f'prop {n} "It is {n}."' for n in self.props]
        out += [] if self.axiom is None else [f"axiom {self.axiom[0]}"]
        out += [f"{name} := {definition}" for name, definition, _ in self.features if definition]
        ranks = " > ".join(f"k{n}" for n in range(len(self.lines) + 1))
        out += [f"response r ranks {ranks} {{"] + [f"  k{n} if {line}" for n, (line, _) in enumerate(self.lines)]
        out += [f"  k{len(self.lines)} otherwise", "}"]
        listed = ", ".join(["classes", *(name for name, _, _ in self.features), *self.props])
        return "\n".join([*out, f"reward r {{ features {listed} }}"]) + "\n"

    def assignments(self) -> list[dict[str, Any]]:
        return [dict(zip(self.domains, values, strict=True)) for values in itertools.product(*self.domains.values())]

    def allowed(self, assignment: Mapping[str, Any]) -> bool:
        return self.axiom is None or self.axiom[1](assignment)

    def klass(self, assignment: Mapping[str, Any]) -> int:
        return next((n for n, (_, holds) in enumerate(self.lines) if holds(assignment)), len(self.lines))


_RELATIONS: dict[str, Any] = {
    "==": lambda a, b: a == b, "!=": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
}  # fmt: skip
_SIGNS: dict[str, Any] = {
    "&": lambda a, b: a and b, "|": lambda a, b: a or b, "=>": lambda a, b: not a or b, "<=>": lambda a, b: a == b,
}  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> tuple[Model, dict[str, list[Fraction]]]:
    """A policy and how likely each value of each of its variables is, often 0."""
    model = Model(draw)
    chances: dict[str, list[Fraction]] = {}
    for name, values in model.domains.items():
        weights = draw(st.lists(st.integers(0, 4), min_size=len(values), max_size=len(values)).filter(any))
        chances[name] = [Fraction(w, sum(weights)) for w in weights]
    return model, chances


def policy_of(model: Model) -> Policy | None:
    """The policy, where no rule is impossible, which is a mistake of the policy and found by `check`."""
    checked = check_text(model.text())
    errors = {d.code.id for d in checked.diagnostics if d.severity == "error"}
    assert errors <= {"RBR3003", "RBR3001"}, [d.message for d in checked.diagnostics]
    possible = {model.klass(a) for a in model.assignments() if model.allowed(a)}
    assert checked.ok == (len(possible) == len(model.lines) + 1)
    return Policy(checked) if checked.ok else None


def probs_of(model: Model, chances: Mapping[str, list[Fraction]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, values in model.domains.items():
        if name in model.props:
            found[name] = float(chances[name][1])
        else:
            found[name] = {str(v): float(p) for v, p in zip(values, chances[name], strict=True)}
    return found


def row_of(probs: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt": "Hi", "completion": "Hello", "response_type": "r", "probs": probs}


FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@FEW
@given(models())
def test_class_probabilities_and_features_are_those_of_all_values(
    case: tuple[Model, dict[str, list[Fraction]]],
) -> None:
    model, chances = case
    policy = policy_of(model)
    if policy is None:
        return
    circuit = policy.circuit
    reward = NumpyReward(circuit)
    steps = reward.encode([row_of(probs_of(model, chances))])
    mass = {name: dict(zip(model.domains[name], chances[name], strict=True)) for name in chances}
    exact = [Fraction(0)] * (len(model.lines) + 1)
    for assignment in model.assignments():
        if model.allowed(assignment):
            exact[model.klass(assignment)] += math.prod((mass[n][v] for n, v in assignment.items()), start=Fraction(1))
    ids = np.zeros(1, np.int32)
    total = sum(exact)
    if not total:
        assert math.isnan(float(reward(steps, ids)[0]))
        return
    # In double precision from the shares themselves: what single precision rounds away is no part of the claim.
    given_: list[float] = []
    for atom in circuit.atoms:
        if atom.share is None:
            given_.append(float(chances[atom.name][1]))
        else:
            p = chances[circuit.variables[atom.share.variable].domain.name]
            given_.append(atom.share.of([float(one) for one in p]))
    single = SingleRow(circuit, circuit.responses[0], reward.weights[0].tolist())
    for found, p in zip(single.class_probs(given_), exact, strict=True):
        assert abs(found - float(p / total)) < 1e-9
    assert np.abs(steps[0] - np.array(given_)).max() < 1e-6
    assert np.abs(reward.class_probs(steps, ids)[0, : len(exact)] - [float(p / total) for p in exact]).max() < 1e-5
    features = dict(
        zip([f.name for f in circuit.responses[0].features], reward.features(steps, ids)[0].tolist(), strict=False)
    )
    named = {definition or name: value for name, definition, value in model.features}
    for feature, got in features.items():
        if feature not in model.props and feature.split()[0] in mass:
            owner = feature.split()[0]
            of = sum((p * meant(feature, named, {owner: v}) for v, p in mass[owner].items()), Fraction(0))
            assert abs(got - float(of)) < 1e-6


@FEW
@given(models())
def test_a_certificate_is_the_extreme_over_all_values(case: tuple[Model, dict[str, list[Fraction]]]) -> None:
    model, chances = case
    policy = policy_of(model)
    if policy is None:
        return
    circuit = policy.circuit
    reward = NumpyReward(circuit)
    weights = np.array(
        [[float(p[0]) * 4 - 2 for p in (list(chances.values()) * 20)[: reward.weights.shape[1]]]], np.float32
    )
    values: dict[int, list[Fraction]] = {}
    for assignment in model.assignments():
        if not model.allowed(assignment):
            continue
        klass = model.klass(assignment)
        total = Fraction(0)
        named = {definition or name: value for name, definition, value in model.features}
        for feature, weight in zip(circuit.responses[0].features, weights[0].tolist(), strict=True):
            if feature.kind == "class":
                total += Fraction(weight) * (feature.index == klass)
            elif feature.name in model.props:
                total += Fraction(weight) * assignment[feature.name]
            else:
                total += Fraction(weight) * meant(feature.name, named, assignment)
        values.setdefault(klass, []).append(total)
    for lead in certify(circuit, weights).responses[0].leads:
        better, worse = int(lead.better[1:]), int(lead.worse[1:])
        assert abs(lead.lead - float(min(values[better]) - max(values[worse]))) < 1e-9


def meant(feature: str, named: Mapping[str, Any], assignment: Mapping[str, Any]) -> Fraction:
    """The value of a feature by its name: a scale's mean, or one comparison or several."""
    if feature in named:
        return named[feature](assignment)
    found = True
    for part in feature.split(" & "):
        name, relation, bound = part.split()
        found &= _RELATIONS[relation](assignment[name], type(assignment[name])(bound))
    return Fraction(found)


@settings(max_examples=25, deadline=None)
@given(models())
def test_jax_numpy_and_the_artefact_agree(case: tuple[Model, dict[str, list[Fraction]]]) -> None:
    from rbrlang.reward.reward import RuleReward

    model, chances = case
    policy = policy_of(model)
    if policy is None:
        return
    assert reread(policy).circuit == policy.circuit
    reward = RuleReward.from_circuit(policy.circuit)
    row = row_of(probs_of(model, chances))
    unknown = row_of({n: p for n, p in probs_of(model, chances).items() if n in model.props})
    probs, ids = reward.encode([row, unknown]), np.zeros(2, np.int32)
    np.testing.assert_allclose(np.asarray(reward(probs, ids)), reward.numpy(probs, ids), atol=1e-5)
    for one, other in zip(reward.bounds(probs, ids), reward.host.bounds(probs, ids), strict=True):
        np.testing.assert_allclose(np.asarray(one), other, atol=1e-5)


@FEW
@given(models())
def test_formatting_keeps_what_is_said(case: tuple[Model, dict[str, list[Fraction]]]) -> None:
    text = case[0].text()
    once = formatted(Source("m.rbr", text))
    assert formatted(Source("m.rbr", once)) == once
    assert check_text(once).fingerprint == check_text(text).fingerprint or not check_text(text).ok


@FEW
@given(models())
def test_an_explanation_speaks_of_values_and_is_right(case: tuple[Model, dict[str, list[Fraction]]]) -> None:
    model, _ = case
    policy = policy_of(model)
    if policy is None:
        return
    checked = policy.checked
    program = checked.program
    item = checked.compiled.responses[0]
    assert item is not None
    for assignment in [a for a in model.assignments() if model.allowed(a)][:6]:
        true = {at for at, p in enumerate(program.propositions) if assignment[p.name]}
        for (first, domain), variable in zip(program.domains, program.variables, strict=True):
            value = domain.values.index(str(assignment[variable.name]))
            true |= {first + step for step, holds in domain.literals(value) if holds}
        found = explain(checked.compiled.bdd, item, checked.compiled.axioms, frozenset(true), program.read(true))
        assert found is not None
        assert found.klass == model.klass(assignment)
        said = program.said(dict(found.reason))
        for other in model.assignments():  # everything that has these facts has the class
            if model.allowed(other) and all(_fact(name, other) == holds for name, holds in said):
                assert model.klass(other) == found.klass


def _fact(name: str, assignment: Mapping[str, Any]) -> bool:
    if " " not in name:
        return assignment[name]
    variable, relation, bound = name.split()
    return _RELATIONS[relation](assignment[variable], type(assignment[variable])(bound))


@given(st.integers(2, 7), st.booleans(), st.data())
def test_a_distribution_is_that_of_its_steps(count: int, ordered: bool, data: st.DataObject) -> None:
    names = data.draw(st.permutations([f"v{n}" for n in range(count)]))
    domain = Domain("x", "scale" if ordered else "choice", tuple(names))
    weights = data.draw(st.lists(st.integers(0, 5), min_size=count, max_size=count).filter(any))
    p = [w / sum(weights) for w in weights]
    steps = [share.of(p) for share in domain.steps(0)]
    for value in range(count):
        product = math.prod(steps[s] if holds else 1 - steps[s] for s, holds in domain.literals(value))
        assert abs(product - p[value]) < 1e-12
    assert [domain.value({s for s, holds in domain.literals(v) if holds}) for v in range(count)] == list(range(count))


def test_a_step_that_is_never_come_to_is_no_nan() -> None:
    assert [share.of([1.0, 0.0, 0.0]) for share in Domain("x", "scale", ("1", "2", "3")).steps(0)] == [0.0, 0.0]
    assert Share(0, (0.0, 0.5, 1.0)).of([0.0, 0.0, 0.0]) == 0.0


# --- rows ---------------------------------------------------------------------------------------


def chat(probs: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt": "Hi", "completion": "Hello", "response_type": "chat", "probs": probs}


LEVELS = {"1": 0.1, "2": 0.2, "3": 0.3, "4": 0.3, "5": 0.1}
TONES = {"formal": 0.5, "casual": 0.25, "hostile": 0.25}


def test_rows_give_the_chance_of_each_value() -> None:
    reward = NumpyReward(loads(HELP).circuit)
    rows = [chat({"help": LEVELS, "tone": TONES, "rude": 0.5}), chat({"help.1": 0.1, "help.2": 0.2, "help.3": 0.3, "help.4": 0.3, "help.5": 0.1, "tone.formal": 0.5, "tone.casual": 0.25, "tone.hostile": 0.25, "rude": 0.5})]  # fmt: skip
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    good, bad = 0.75 * 0.4 * 0.5, 1 - 0.75 * 0.7
    np.testing.assert_allclose(reward.class_probs(probs, ids), [[good, 1 - good - bad, bad]] * 2, atol=1e-6)
    features = dict(
        zip(
            [f.name for f in reward.circuit.responses[0].features], reward.features(probs, ids)[0].tolist(), strict=True
        )
    )
    assert features["help"] == pytest.approx((0.2 * 1 + 0.3 * 2 + 0.3 * 3 + 0.1 * 4) / 4)
    np.testing.assert_allclose(distribution(reward.circuit, 0, probs)[0], list(LEVELS.values()), atol=1e-6)
    np.testing.assert_allclose(distribution(reward.circuit, 1, probs)[0], list(TONES.values()), atol=1e-6)


def test_values_left_out_have_no_chance_and_rounded_ones_are_scaled() -> None:
    reward = NumpyReward(loads(HELP).circuit)
    rows = [chat({"help": {"5": 1.0}, "tone": {"formal": 0.333, "casual": 0.333, "hostile": 0.333}, "rude": 0.0})]
    found = reward.class_probs(reward.encode(rows), reward.response_ids(rows))[0]
    np.testing.assert_allclose(found, [2 / 3, 0, 1 / 3], atol=1e-6)


def test_what_does_not_sum_to_one_is_refused_by_name() -> None:
    reward = NumpyReward(loads(HELP).circuit)
    with pytest.raises(ValueError, match=r"row 0 cannot be used: the probabilities of `help` sum to 0\.7, not to 1"):
        reward.encode([chat({"help": {"1": 0.7}})])
    with pytest.raises(DistributionError, match=r"row 0 has probabilities of `help` that sum to 0\.7, not to 1"):
        reward.encode([chat({"help.1": 0.7})])


def test_an_unknown_variable_leaves_a_reward_only_where_it_cannot_matter() -> None:
    reward = NumpyReward(loads(HELP).circuit)
    rows = [
        chat({"tone": {"hostile": 1.0}}),
        chat({"tone": {"formal": 1.0}, "rude": 0.0}),
        chat({"help": LEVELS, "rude": 0.0}),
    ]
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    found = reward(probs, ids)
    assert found[0] == -1.0
    assert np.isnan(found[1:]).all()
    assert reward.reasons(probs, ids)[1:] == ["no answer for `help`", "no answer for `tone`"]
    lower, upper = reward.bounds(probs, ids)
    np.testing.assert_allclose((lower[1], upper[1]), (-1.0, 1.0))
    np.testing.assert_allclose((lower[2], upper[2]), (-1.0, 0.4 - 0.3), atol=1e-6)


def test_answers_that_break_an_axiom_are_named_by_their_values() -> None:
    policy = loads(HELP + "axiom tone == hostile => help <= 2\n")
    reward = NumpyReward(policy.circuit)
    rows = [chat({"help": {"5": 1.0}, "tone": {"hostile": 1.0}, "rude": 0.0})]
    reasons = reward.reasons(reward.encode(rows), reward.response_ids(rows))
    assert reasons == ["the answers contradict the axioms, which exclude `help >= 3 & tone == hostile`"]


def test_a_table_has_a_column_for_each_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.rbr").write_text(HELP)
    (tmp_path / "rows.csv").write_text(
        "prompt,completion,response_type,probs.rude,probs.help.4,probs.help.5,probs.tone.formal,probs.tone.hostile\n"
        "Hi,Hello,chat,0.5,0.5,0.5,1.0,0.0\nHi,Bye,chat,0.0,0.0,1.0,0.25,0.75\n"
    )
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    assert main(["verify", str(tmp_path / "p.rbrc")]) == 0
    assert main(["score", str(tmp_path / "p.rbrc"), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "out.jsonl")]) == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["reward"] for row in found] == pytest.approx([0.5, 0.25 - 0.75])


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_a_row_whose_values_do_not_sum_to_one_costs_no_other(
    ending: str, tmp_path: Path, policy_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Spread over columns, only the policy says which of them belong together."""
    good = {"probs.rude": 0.0, "probs.help.4": 1.0, "probs.tone.formal": 0.6, "probs.tone.casual": 0.4}
    rows = [
        {"id": str(at), "completion": "x", "response_type": "chat", **good, "probs.tone.casual": p, **more}
        for at, (p, more) in enumerate(((0.4, {}), (0.1, {}), (0.4, {}), (0.4, {"probs.help.9": 1.0})))
    ]
    write_rows(tmp_path / f"rows.{ending}", rows)
    assert main(["compile", str(policy_file), "-o", str(tmp_path / "p.rbrc")]) == 0
    capsys.readouterr()
    command = ["score", str(tmp_path / "p.rbrc"), str(tmp_path / f"rows.{ending}"), "-o", str(tmp_path / "out.jsonl")]
    assert main(command) == 3
    err = capsys.readouterr().err
    assert "the probabilities of `tone` sum to 0.7, not to 1" in err
    assert "`help` has no value `9`; there are 1, 2, 3, 4, 5" in err
    assert "scored 2 of 2 rows" in err


def test_an_artefact_keeps_variables(tmp_path: Path) -> None:
    policy = loads(HELP)
    kept = Artefact(policy.circuit, NumpyReward(policy.circuit).weights, policy.sources, None, {}, policy.params)
    write_artefact(tmp_path / "p.rbrc", kept)
    assert read_artefact(tmp_path / "p.rbrc").circuit == policy.circuit


# --- check --------------------------------------------------------------------------------------


def found_in(text: str) -> list[tuple[str, str, str]]:
    return [(d.code.id, d.message, d.help) for d in check_text(text).diagnostics]


RULES = "\nresponse r ranks good > poor\nr.good := {}\nr.poor := otherwise\n"
SCALE = 'scale help 1..5 "How far?" { 5 "All." }'
CHOICE = 'choice tone "Which?" { formal "F." casual "C." }'


@pytest.mark.parametrize(("text", "code", "message", "help"), [
    (SCALE + RULES.format("help >= 6"), "RBR2021", "`help` has no level `6`", "its levels are 1 to 5"),
    (SCALE + RULES.format("help >= 2.5"), "RBR2021", "`help` has no level `2.5`", "its levels are 1 to 5"),
    (SCALE + RULES.format("help >= 1 & help >= 3"), "RBR4014", "`help >= 1` always holds", "the levels of `help` are 1 to 5"),
    (CHOICE + RULES.format("tone == formel"), "RBR2021", "`tone` has no option `formel`", "did you mean `formal`?"),
    (CHOICE + RULES.format("tone >= formal"), "RBR2021", "the options of `tone` have no order", "compare a choice with `==` or `!=`; what has an order is a `scale`"),
    (CHOICE + RULES.format("tone"), "RBR2007", "`tone` is a choice, not a proposition", "compare it: `tone == …`"),
    (SCALE + RULES.format("help"), "RBR2007", "`help` is a scale, not a proposition", "compare it: `help >= …`"),
    ('scale help 1..1 "How?"' + RULES.format("help == 1"), "RBR2020", "`help` has one level", "a scale goes from its lowest level to a higher one"),
    ('scale help 1..30 "How?"' + RULES.format("help == 1"), "RBR2020", "`help` has 30 levels, more than the 26 there may be", "no grader tells so many apart; use fewer"),
    ('choice tone "Which?"' + RULES.format("tone == a"), "RBR2020", "`tone` has no options", 'a choice has at least two, each with what it means: `choice name "…" { formal "…" casual "…" }`'),
    ('choice tone "Which?" { a "A." b "B." a "C." }' + RULES.format("tone == a"), "RBR2002", "`tone` has the option `a` twice", "rename one of them, or remove it"),
    ('scale help 1..5 "How?" { 6 "X." }' + RULES.format("help == 5"), "RBR2021", "`help` has no level `6`", "its levels are 1 to 5"),
    ('prop help "Helps."\n' + SCALE + RULES.format("help"), "RBR2002", "`help` is defined twice", "rename one of them, or remove it"),
    (SCALE + '\nprop a "A."' + RULES.format("a"), "RBR4001", "no rule or feature reaches `help`", "compare it in a rule, name it under `features`, or remove it"),
    (CHOICE + RULES.format("tone == formal") + "reward r { features classes, tone }", "RBR2007", "`tone` is a choice, whose options have no worth of their own", "weigh an option: `formal_tone := tone == formal`, and that name as the feature"),
    (CHOICE + RULES.format("tone == formal") + "monotone r: tone up", "RBR2007", "the options of `tone` have no order", "claim something of an option in a `property`; what has an order is a `scale`"),
    (SCALE + RULES.format("help >= 4") + 'test "t" for r { given help >= 4 expect good }', "RBR2015", "`help >= 4` leaves open which value `help` has", "give one, as in `help == 5`"),
    ('@prior(0.5) ' + SCALE + RULES.format("help >= 4"), "RBR2011", "`@prior` does not say how likely each level of `help` is", "write the chance of each level, the lowest first: `@prior(0.1, 0.2, …)`"),
    ('@prior(formal: 0.5, casual: 0.6) ' + CHOICE + RULES.format("tone == formal"), "RBR2011", "the chances of `tone` are not numbers above 0 that sum to 1", "write the chance of each option: `@prior(formal: …, casual: …)`"),
    (SCALE.replace("scale", "choice") + RULES.format("help >= 4"), "RBR1001", "this is how a choice is declared, not a `scale`", ""),
])  # fmt: skip
def test_mistakes_are_named(text: str, code: str, message: str, help: str) -> None:
    if code == "RBR1001":
        assert code in [one for one, _, _ in found_in(text)]
    else:
        assert (code, message, help) in found_in(text)


def test_witnesses_speak_of_values() -> None:
    flat = SCALE + "\nresponse r ranks good > poor\nr.good := help >= 4\nr.poor := help <= 2\n"
    found = check_text(flat).diagnostics[0]
    assert (found.code.id, found.witness, found.mass) == ("RBR3001", (("help == 3", True),), pytest.approx(0.2))


def test_partitions_over_levels_are_proved() -> None:
    text = SCALE + "\nresponse r ranks a > b > c\nr.a := help >= 4\nr.b := help == 3\nr.c := help <= 2\n"
    checked = check_text(text)
    assert not checked.diagnostics
    assert checked.audit.responses[0].partition
    assert checked.audit.responses[0].masses == pytest.approx((0.4, 0.2, 0.4))


def test_monotone_claims_of_a_scale() -> None:
    assert loads(HELP + "monotone chat: help up\n").diagnostics == ()
    found = check_text(SCALE + RULES.format("help == 3") + "monotone r: help up\n").diagnostics[0]
    assert (found.code.id, found.message) == ("RBR3010", "a higher `help` can make `r` worse: `good` becomes `poor`")
    assert found.witness == (("help == 4", True),)


def test_levels_that_an_axiom_excludes_are_stepped_over() -> None:
    text = SCALE + RULES.format("help == 1") + "axiom help != 2\nmonotone r: help up\n"
    found = [d for d in check_text(text).diagnostics if d.code.id == "RBR3010"]
    assert [d.witness for d in found] == [(("help == 3", True),)]


def test_the_order_of_options_changes_no_meaning() -> None:
    other = HELP.replace(
        'formal "Formal." casual "Casual." hostile', 'hostile "Nasty." formal "Formal." casual "Casual." other'
    )
    same = HELP.replace(
        'formal "Formal." casual "Casual." hostile "It attacks."', 'hostile "It attacks." casual "C." formal "F."'
    )
    assert loads(same).fingerprint == loads(HELP).fingerprint
    assert check_text(other).fingerprint != loads(HELP).fingerprint


def test_a_test_gives_values_and_the_lowest_are_meant_otherwise() -> None:
    cases = "cases chat {\n  help == 5 -> good\n  help == 5, rude -> fair\n  tone == hostile -> bad\n  -> bad\n}\n"
    assert check_text(HELP + cases).diagnostics == ()


def test_scale_and_choice_are_names_elsewhere() -> None:
    text = 'prop scale "It scales."\nprop choice "It chooses."\nexample := scale & choice' + RULES.format("example")
    assert check_text(text).diagnostics == ()


# --- commands -----------------------------------------------------------------------------------


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    path = tmp_path / "p.rbr"
    path.write_text(HELP)
    return path


def test_the_repl_is_told_levels_and_options(
    policy_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "help == 5, tone == casual", "rude", "list", "why", "help = ?", "why", "help == 9", "tone", "rude, tone == hostile, help == 4",
        "reset",
    ]  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(lines) + "\n"))
    assert main(["repl", str(policy_file)]) == 1
    said, err = capsys.readouterr()
    states = [line for line in said.splitlines() if line.startswith("chat: ")]
    assert states == [
        "chat: help == 1, tone == formal", "chat: help == 5, tone == casual", "chat: rude, help == 5, tone == casual",
        "chat: rude, tone == casual", "chat: rude, help == 4, tone == hostile", "chat: help == 1, tone == formal",
    ]  # fmt: skip
    assert "      1  rude\n      5  help\n  casual  tone\n" in said
    assert "  fair because rude, help >= 3, tone == casual\n  good if !rude\n  bad if help <= 2\n" in said
    assert "no reward" in said
    assert err.splitlines() == [
        "`why` needs certain facts; say whether `help` hold",
        "`help` has no value `9`; there are 1, 2, 3, 4, 5",
        "`tone` has values: say which, as in `tone == hostile`",
    ]


def test_weights_are_fitted_with_a_scale_as_a_feature(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = policy_file.with_name("rows.jsonl")
    lines: list[str] = []
    for prompt in range(12):
        for klass, level, tone in (("good", 5, "formal"), ("fair", 3, "casual"), ("bad", 1, "hostile")):
            row = chat({"help": {str(level): 1.0}, "tone": {tone: 1.0}, "rude": 0.0})
            lines.append(json.dumps({**row, "prompt": f"Prompt {prompt}", "completion": klass, "class": klass}))
    rows.write_text("\n".join(lines) + "\n")
    fitted = policy_file.with_suffix(".rbrc")
    assert main(["fit", str(policy_file), str(rows), "-o", str(fitted)]) == 0
    assert main(["verify", str(fitted)]) == 0
    capsys.readouterr()
    assert main(["eval", str(fitted), str(rows), "--certify", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    case = found["certificates"]["response_types"]["chat"]["pairs"][0]["better_case"]["given"]
    assert all("|" not in name for name in case)


def test_explain_and_coverage_speak_of_values(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(policy_file), "--given", "help == 5, tone == casual"]) == 0
    said = capsys.readouterr().out
    assert "because !rude, help >= 4, tone == casual" in said
    assert "bad if help == 2" in said or "bad if tone == hostile" in said
    policy_file.write_text(HELP + "cases chat { -> bad }\n")
    assert main(["test", str(policy_file), "--coverage", "--suggest"]) == 0
    assert "help == 4, tone == casual" in capsys.readouterr().out


def test_suggested_cases_cover_what_is_missing(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy_file.write_text(HELP + "cases chat { -> bad }\n")
    assert main(["test", str(policy_file), "--coverage", "--suggest"]) == 0
    policy_file.write_text(policy_file.read_text() + capsys.readouterr().out)
    assert main(["test", str(policy_file), "--coverage", "--format", "json"]) == 0
    assert '"share": 1.0' in capsys.readouterr().out


def test_a_diff_names_what_became_of_levels(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = policy_file.with_name("q.rbr")
    other.write_text(HELP.replace("help >= 4", "help >= 3"))
    main(["diff", str(policy_file), str(other)])
    assert "help == 3" in capsys.readouterr().out


def test_a_row_is_explained_by_its_likeliest_values(policy_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = policy_file.with_name("rows.jsonl")
    row = chat({"help": {"2": 0.4, "4": 0.3, "5": 0.3}, "tone": {"formal": 1.0}, "rude": 0.0})
    rows.write_text(json.dumps({**row, "id": "a"}) + "\n")
    assert main(["explain", str(policy_file), "--row", f"{rows}:a", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["class"] == "bad"
    assert found["given"] == ["help == 2", "tone == formal"]
    assert found["graded"]["class_probs"] == pytest.approx({"good": 0.6, "fair": 0.0, "bad": 0.4}, abs=1e-6)
    assert found["graded"]["unsure"] == pytest.approx({"help == 2": 0.4, "help == 4": 0.3, "help == 5": 0.3}, abs=1e-6)


def test_a_grader_answers_propositions_beside_what_a_row_says(policy_file: Path) -> None:
    fitted, rows = policy_file.with_suffix(".rbrc"), policy_file.with_name("rows.jsonl")
    out = policy_file.with_name("out.jsonl")
    row = chat({"help": {"5": 1.0}, "tone": {"formal": 1.0}})
    rows.write_text(json.dumps({**row, "labels": {"rude": True}}) + "\n")
    assert main(["compile", str(policy_file), "-o", str(fitted)]) == 0
    assert main(["score", str(fitted), str(rows), "--grader", "labels", "-o", str(out)]) == 0
    assert json.loads(out.read_text())["class_probs"] == {"good": 0.0, "fair": 1.0, "bad": 0.0}


def test_a_scorer_and_the_server_use_what_rows_say(policy_file: Path) -> None:
    from rbrlang.grading.results import Value
    from rbrlang.rows.read import row_from
    from rbrlang.scoring.score import scored
    from rbrlang.serve.forms import _scored

    reward = NumpyReward(loads(HELP).circuit)
    right = row_from(chat({"help": LEVELS, "tone": TONES}))
    wrong = row_from(chat({"help.1": 0.7, "tone": TONES}))
    found = scored(reward, [right, wrong], np.zeros(2, np.int32), [{0: Value(0.5, 1.0, 0.5, 0.5, "top-k")}] * 2)
    probs = reward.encode([chat({"help": LEVELS, "tone": TONES, "rude": 0.5})])
    assert found.rewards[0] == reward(probs, np.zeros(1, np.int32))[0]
    assert found.reasons == (
        None,
        "no answer for `help`, `tone`; has probabilities of `help` that sum to 0.7, not to 1",
    )
    assert _scored(right, found, 0)["probs"] == {"rude": 0.5, "help": LEVELS, "tone": TONES}
