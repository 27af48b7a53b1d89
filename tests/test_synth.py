"""Rows drawn from the rules, against enumeration of all assignments."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from learning_rows import circuit

import rbrlang
from rbrlang.cli.commands.grading.synth_llm import tell_impossible
from rbrlang.cli.main import main
from rbrlang.lang.program import And, AtLeast, Const, Formula, Iff, Implies, Not, Or, Var
from rbrlang.learning.sample import sample_rows
from rbrlang.learning.synthesis.synth import Impossible, draw_class, synth_from_rules
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows, with_labels_as_probs

AXIOMS = """
@prior(0.3) prop a "a"
@prior(0.6) prop b "b"
@prior(0.2) prop c "c"
@prior(0.7) prop d "d"
@prior(0.4) prop e "e"
@prior(0.5) prop f "f"
axiom a => !b            # touches the classes
axiom b | c              # touches them only through the first
axiom d <=> !e           # touches no class
response r ranks good > bad
r.good := a | f
r.bad := otherwise
"""


def holds(formula: Formula, bits: tuple[bool, ...]) -> bool:
    """Truth of a formula without derived propositions."""
    match formula:
        case Const():
            return formula.value
        case Var():
            return bits[formula.atom]
        case Not():
            return not holds(formula.operand, bits)
        case And():
            return all(holds(o, bits) for o in formula.operands)
        case Or():
            return any(holds(o, bits) for o in formula.operands)
        case Implies():
            return not holds(formula.left, bits) or holds(formula.right, bits)
        case Iff():
            return holds(formula.left, bits) == holds(formula.right, bits)
        case AtLeast():
            return sum(holds(o, bits) for o in formula.operands) >= formula.k
        case _:
            raise TypeError(formula)


@pytest.mark.parametrize("klass", [0, 1])
def test_draws_follow_the_enumerated_distribution_under_axioms(klass: int) -> None:
    policy = rbrlang.loads(AXIOMS)
    program = policy.program
    expected: dict[tuple[bool, ...], float] = {}
    for bits in itertools.product((False, True), repeat=6):
        good = bits[0] or bits[5]
        if all(holds(axiom.formula, bits) for axiom in program.axioms) and good == (klass == 0):
            expected[bits] = float(np.prod([p if bit else 1 - p for p, bit in zip(program.priors, bits, strict=True)]))
    total = sum(expected.values())
    count = 20_000
    drawn = draw_class(policy.circuit, policy.circuit.responses[0], klass, count, np.random.default_rng(klass))
    assert drawn is not None
    seen: dict[tuple[bool, ...], int] = {}
    for bits in map(tuple, drawn[0].tolist()):
        seen[bits] = seen.get(bits, 0) + 1
    assert set(seen) <= set(expected)  # nothing outside the class or the axioms, ever
    wanted = {bits: count * mass / total for bits, mass in expected.items()}
    chi_square = sum((seen.get(bits, 0) - want) ** 2 / want for bits, want in wanted.items())
    freedom = len(wanted) - 1
    assert chi_square < freedom + 5 * (2 * freedom) ** 0.5


def test_every_row_has_its_class_by_the_rules_and_by_its_labels() -> None:
    policy = circuit()
    made = synth_from_rules(policy, prompts=5, per_class=3, seed=1)
    assert made.impossible == ()
    assert len(made.rows) == 5 * 3 * 4
    assert len({row.id for row in made.rows}) == len(made.rows)
    by_intent = sample_rows(NumpyReward(policy), made.rows, class_source="intent").samples[0]
    by_label = sample_rows(NumpyReward(policy), made.rows, class_source="labels").samples[0]
    assert np.array_equal(by_intent.classes, by_label.classes)
    assert len(by_intent.comparisons) == 5 * (9 * 6 - 9)  # curt and preachy tie
    assert [row.raw for row in made.rows] == [row.raw for row in synth_from_rules(policy, 5, 3, 1).rows]
    assert [row.raw for row in made.rows] != [row.raw for row in synth_from_rules(policy, 5, 3, 2).rows]


def test_the_grader_errs_as_often_as_declared() -> None:
    policy = circuit()
    rows = synth_from_rules(policy, prompts=500, per_class=4, seed=0).rows
    declared = {"refuses": (0.05, 0.1), "polite": (0.1, 0.05), "emoji": (0.0, 0.0)}
    for name, (fp, fn) in declared.items():
        for truth, rate in ((False, fp), (True, fn)):
            wrong = [(row.probs[name] > 0.5) != truth for row in rows if row.labels[name] is truth]
            spread = 4 * (rate * (1 - rate) / len(wrong)) ** 0.5
            assert np.mean(wrong) == pytest.approx(rate, abs=spread + 1e-12)
    # The log odds are the log-likelihood ratio: evidence of +1 logit is e times likelier when true.
    z = NormalDist().inv_cdf
    distance = z(0.95) + z(0.9)
    logits = {t: [np.log(r.probs["refuses"] / (1 - r.probs["refuses"])) for r in rows if r.labels["refuses"] is t]
              for t in (False, True)}  # fmt: skip
    assert np.mean(logits[True]) - np.mean(logits[False]) == pytest.approx(distance**2, rel=0.03)


def test_classes_that_no_filler_text_can_have_are_reported() -> None:
    policy = rbrlang.loads(
        'response r ranks good > bad\nr.good := !matches("zebra")\nr.bad := matches("zebra")\n'
    ).circuit
    made = synth_from_rules(policy, 2, 2, 0)
    assert made.impossible == (Impossible("r", "bad"),)
    assert len(made.rows) == 4


def test_measures_hold_of_the_texts_that_rows_carry() -> None:
    policy = rbrlang.loads(
        'prop a "a"\nresponse r ranks good > long > shouted\n'
        'r.good := a & words <= 5 & !contains("!")\nr.long := !(a & words <= 5) & !contains("!")\n'
        'r.shouted := contains("!")\n'
    ).circuit
    made = synth_from_rules(policy, 4, 5, 0)
    assert made.impossible == ()
    sample = sample_rows(NumpyReward(policy), made.rows).samples[0]
    assert np.array_equal(sample.predicted, sample.classes)  # no noise was declared
    assert {"!" in row.completion_text for row in made.rows if row.klass == "shouted"} == {True}
    assert len({len(row.completion_text.split()) > 5 for row in made.rows if row.klass == "long"}) == 2


TRAJECTORIES = """
rbr 1
prop honest "Response is honest."
prop careful "The assistant is careful." { over trajectory }
response r ranks good > fair > bad > worst {
  worst if tool_errors > 1 | calls("^rm_") > 0
  bad   if steps > 4 | calls("search|browse") > 2
  good  if careful & calls("search|browse") > 0 & words < 8 & words over thought > 3
  fair  otherwise
}
"""


def test_where_trajectories_are_judged_completions_are_trajectories(tmp_path: Path) -> None:
    policy = rbrlang.loads(TRAJECTORIES)
    found = synth_from_rules(policy.circuit, 2, 6, seed=3)
    assert not found.impossible
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row.raw) + "\n" for row in found.rows), encoding="utf-8")
    rows = read_rows(tmp_path / "rows.jsonl").rows
    assert [row.conversation for row in rows] == [row.conversation for row in found.rows]
    assert Counter(row.klass for row in rows) == dict.fromkeys(("good", "fair", "bad", "worst"), 12)
    reward = NumpyReward(policy.circuit)
    rows = with_labels_as_probs(rows)
    chances = reward.class_probs(reward.encode(rows), reward.response_ids(rows))
    classes = policy.circuit.responses[0].classes
    assert [classes[at] for at in np.nanargmax(chances, axis=1)] == [row.klass for row in rows]
    assert any(row.conversation.calls() for row in rows)
    assert any(row.conversation.tool_errors() for row in rows)
    assert all(row.conversation.text("thought") for row in rows if row.klass == "good")


def test_a_proposition_over_the_trajectory_is_enough_for_one() -> None:
    text = 'prop a "It is." { over trajectory }\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n'
    rows = synth_from_rules(rbrlang.loads(text).circuit, 1, 1, seed=0).rows
    assert all(row.conversation.calls() and row.conversation.steps() > 1 for row in rows)


def test_texts_that_must_be_json_are() -> None:
    policy = rbrlang.loads(
        "long := words > 3\nresponse r ranks good > long_json > bad\n"
        "r.good := json & !long\nr.long_json := json & long\nr.bad := !json\n"
    ).circuit
    made = synth_from_rules(policy, 3, 3, 0)
    assert made.impossible == ()
    assert {is_json(row.completion_text) for row in made.rows if row.klass != "bad"} == {True}
    assert {is_json(row.completion_text) for row in made.rows if row.klass == "bad"} == {False}


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_the_base_reward_knows_a_little_and_counts_must_be_positive() -> None:
    made = synth_from_rules(circuit(), 300, 2, 0)
    best = [row.base_reward for row in made.rows if row.klass == "ideal"]
    worst = [row.base_reward for row in made.rows if row.klass == "complying"]
    assert np.mean(best) - np.mean(worst) == pytest.approx(1.0, abs=0.25)
    assert all(row.base_reward is None for row in synth_from_rules(circuit(), 1, 1, 0, base_reward=False).rows)
    with pytest.raises(ValueError, match="1 or more"):
        synth_from_rules(circuit(), 0, 1, 0)


@pytest.mark.parametrize("condition", ["words > 200000", "steps > 300", "tool_errors > 200 & steps <= 1"])
def test_a_class_that_no_completion_can_have_is_named(
    condition: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "p.rbr"
    rules = f'prop a "A."\nresponse r ranks x > y\nr.x := a & ({condition})\nr.y := otherwise\n'
    policy.write_text(rules, encoding="utf-8")
    assert main(["synth", str(policy), "--from", "rules", "--prompts", "1", "-o", str(tmp_path / "rows.jsonl")]) == 1
    assert capsys.readouterr().err.endswith("`r.x` has no completion under the priors and axioms\n")


def test_what_a_model_writes_is_one_turn_and_a_class_that_needs_more_is_named_with_that(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = 'prop a "A."\nresponse r ranks x > y\nr.x := a & (steps > 2 | words over thought > 9)\nr.y := otherwise\n'
    tell_impossible(rbrlang.loads(text).circuit, (Impossible("r", "x"),), one_turn=True)
    assert capsys.readouterr().err == (
        "`r.x` has no completion under the priors and axioms that is one turn without calls and thoughts, as all "
        "that is written here; see `steps > 2`, `words over thought > 9`\n"
    )
