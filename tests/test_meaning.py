"""What contradictions, unknowns and numbers without end mean: docs/language.md, "What has no reward"."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rbrlang.grading.results import Abstained, Answer, Value
from rbrlang.policy import Policy, check_text, loads
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.read import Row, row_from
from rbrlang.scoring.score import scored

# The axiom speaks of nothing that the classes of `comply` need: it cancels in their probabilities.
APART = """
prop complies "Complies."
prop fully    "Does all that was asked."
prop partly   "Does some of what was asked."
axiom fully => partly
response comply ranks good > bad
comply.good := complies
comply.bad  := otherwise
response other ranks some > nothing
other.some    := fully | partly
other.nothing := otherwise
"""
COMPLIES, FULLY, PARTLY = 0, 1, 2
EXCLUDED = "the answers contradict the axioms, which exclude `fully & !partly`"
NAN = math.nan
MANY = 20  # more rows than are evaluated one by one


def both(policy: Policy, weights: object = None, kind: str = "exact") -> tuple[NumpyReward, RuleReward]:
    circuit = policy.compiled("exact" if kind == "exact" else "product")
    return NumpyReward(circuit, weights), RuleReward.from_circuit(circuit, weights)  # type: ignore[arg-type]


def everywhere(
    policy: Policy, row: list[float], base: float = 0.0, weights: object = None, kind: str = "exact"
) -> float:
    """The reward of a row for response type 0: alone, in a batch and under JAX alike, with a reason exactly if none."""
    host, xla = both(policy, weights, kind)
    one, ids = np.array([row], np.float32), np.zeros(1, np.int32)
    many = np.tile(one, (MANY, 1)), np.zeros(MANY, np.int32), np.full(MANY, base)
    (alone,) = host(one, ids, base).tolist()
    found = [*host(*many).tolist(), *np.asarray(xla(one, ids, np.float32(base) if abs(base) < 1e38 else base)).tolist()]
    for value in found:
        assert value == pytest.approx(alone, rel=1e-6, nan_ok=True)
    (reason,) = host.reasons(one, ids, base)
    assert (reason is None) == math.isfinite(alone)
    assert not math.isinf(alone)
    bounds = [host.bounds(one, ids, base), host.bounds(*many), xla.bounds(one, ids, base)]
    for low, high in bounds:
        low, high = float(np.asarray(low)[0]), float(np.asarray(high)[0])
        if math.isfinite(alone):
            assert low - 1e-5 <= alone <= high + 1e-5
        elif low == low:
            assert low < high
    return alone


def why(policy: Policy, row: list[float], base: float = 0.0, weights: object = None, kind: str = "exact") -> str:
    host, _ = both(policy, weights, kind)
    (reason,) = host.reasons(np.array([row], np.float32), np.zeros(1, np.int32), base)
    assert reason is not None
    return reason


# --- contradictions -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["exact", "product"])
def test_certain_answers_that_contradict_an_axiom_give_no_reward_though_it_cancels(kind: str) -> None:
    policy = loads(APART)
    assert math.isnan(everywhere(policy, [1.0, 1.0, 0.0], kind=kind))
    assert why(policy, [1.0, 1.0, 0.0], kind=kind) == EXCLUDED
    for row, number in (([1.0, 1.0, 1.0], 0), ([1.0, 1.0, 0.0], 1)):
        host, xla = both(policy, kind=kind)
        one, ids = np.array([row], np.float32), np.array([number], np.int32)
        expected = row[PARTLY] == 0.0
        for reward in (host, xla):
            assert bool(np.isnan(np.asarray(reward.class_probs(one, ids))).all()) is expected
            assert bool(np.isnan(np.asarray(reward.features(one, ids))).all()) is expected
            assert bool(np.isnan(np.asarray(reward.contributions(one, ids))).all()) is expected


def test_what_was_not_asked_contradicts_nothing() -> None:
    policy = loads(APART)
    assert everywhere(policy, [1.0, NAN, NAN]) == 1.0
    assert everywhere(policy, [1.0, 1.0, NAN]) == 1.0
    assert everywhere(policy, [0.0, NAN, 0.0]) == -1.0


def test_uncertain_answers_contradict_nothing_however_sure() -> None:
    policy = loads(APART)
    assert everywhere(policy, [1.0, 1.0, 1e-30]) == 1.0
    assert everywhere(policy, [1.0, np.nextafter(np.float32(1), np.float32(0)), 0.0]) == 1.0


def test_a_contradiction_is_told_before_what_is_missing() -> None:
    policy = loads(APART)
    assert math.isnan(everywhere(policy, [NAN, 1.0, 0.0]))
    assert why(policy, [NAN, 1.0, 0.0]) == EXCLUDED
    assert why(policy, [NAN, 1.0, 1.0]) == "no answer for `complies`"


def test_the_reason_names_the_fewest_answers() -> None:
    policy = loads(
        'prop a "A."\nprop b "B."\nprop c "C."\nprop d "D."\naxiom !(a & c)\naxiom b => d\n'
        "response r ranks x > y\nr.x := a & b & d\nr.y := otherwise\n"
    )
    assert why(policy, [1.0, 1.0, 1.0, 1.0]).endswith("which exclude `a & c`")
    assert why(policy, [0.5, 1.0, 1.0, 0.0]).endswith("which exclude `b & !d`")


def test_axioms_through_others_that_were_not_asked() -> None:
    """`a` and not `c` are each allowed with something, but nothing in between makes both so."""
    policy = loads(
        'prop a "A."\nprop b "B."\nprop c "C."\nprop z "Z."\naxiom a => b\naxiom b => c\n'
        "response r ranks x > y\nr.x := z\nr.y := otherwise\n"
    )
    assert math.isnan(everywhere(policy, [1.0, NAN, 0.0, 1.0]))
    assert everywhere(policy, [0.0, NAN, 0.0, 1.0]) == 1.0


def test_mass_that_rounds_to_nothing_is_not_called_a_contradiction() -> None:
    tiny = float(np.float32(1e-45))
    names = [f"p{n}" for n in range(20)]
    policy = loads(
        "".join(f'prop {n} "{n}."\n' for n in names)
        + f"axiom all({{{', '.join(names[1:])}}})\nresponse r ranks x > y\nr.x := p0 & p1\nr.y := otherwise\n"
    )
    assert math.isnan(everywhere(policy, [tiny] * 20))
    assert why(policy, [tiny] * 20) == (
        "what the axioms allow is so improbable under these answers that `r` has no class probabilities"
    )


# --- products -----------------------------------------------------------------------------------

BOTH = 'prop a "A."\nprop b "B."\nresponse r ranks x > y\nr.x := a & b\nr.y := !a & !b\naxiom a <=> b\n'


def test_products_that_are_all_zero_and_products_that_are_too_small() -> None:
    policy = loads(BOTH.replace("axiom a <=> b", "axiom a | !b\naxiom b | !a"))
    assert math.isnan(everywhere(policy, [1.0, 0.0], kind="product"))
    assert why(policy, [1.0, 0.0], kind="product") == "the answers contradict the axioms, which exclude `a & !b`"
    names = [f"p{n}" for n in range(10)]
    small = loads(
        "".join(f'prop {n} "{n}."\n' for n in names)
        + "response r ranks x > y\nr.x := all({" + ", ".join(names) + "})\nr.y := none({" + ", ".join(names) + "})\n"
        + f"axiom all({{{', '.join(names)}}}) | none({{{', '.join(names)}}})\n"
    )  # fmt: skip
    tiny = float(np.float32(1e-45))
    row = [tiny] * 9 + [1.0]
    assert math.isnan(everywhere(small, row, kind="product"))
    assert why(small, row, kind="product") == "the products of all classes of `r` are too small to be told from 0"
    free = 'prop a "A."\nprop b "B."\nresponse r ranks x > y\nr.x := a\nr.y := !a & (b | !b)\n'
    assert why(loads(free), [NAN, 0.5], kind="product") == "no answer for `a`"


def test_products_of_zero_have_a_reason_of_their_own() -> None:
    """Rules that overlap only where an axiom forbids it, read as products of literals, may all be 0."""
    policy = loads(
        'prop a "A."\nprop b "B."\nprop c "C."\naxiom exactly(1, {a, b, c})\n'
        "response r ranks x > y > z\nr.x := a & !b & !c\nr.y := b & !a & !c\nr.z := c & !a & !b\n"
    )
    row = [0.0, 0.0, 1.0]
    assert everywhere(policy, row, kind="product") == -1.0
    assert why(policy, [0.5, 1.0, 1.0], kind="product").startswith("the answers contradict")
    assert math.isnan(everywhere(policy, [1.0, 1.0, 0.5], kind="product"))


# --- unknowns -----------------------------------------------------------------------------------


def test_no_reward_is_withheld_where_its_bounds_are_equal() -> None:
    """A feature that undoes what its class does: whatever the answer, the reward is the same."""
    policy = loads('prop a "A."\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n')
    assert everywhere(policy, [NAN], weights=[[1.0, 0.0, -1.0]]) == 0.0
    assert math.isnan(everywhere(policy, [NAN], weights=[[1.0, 0.0, -0.5]]))
    assert everywhere(policy, [NAN], base=2.5, weights=[[1.0, 0.0, -1.0]]) == 2.5


def test_an_unknown_that_the_axioms_settle_is_no_obstacle() -> None:
    policy = loads(
        'prop a "A."\nprop b "B."\naxiom a => b\nresponse r ranks x > y\nr.x := b\nr.y := otherwise\n'
        "reward r { features classes }\n"
    )
    assert everywhere(policy, [1.0, NAN]) == 1.0
    assert everywhere(policy, [NAN, 0.0]) == -1.0
    assert math.isnan(everywhere(policy, [NAN, NAN]))


def test_an_unknown_behind_an_answer_that_is_nearly_certain_still_counts() -> None:
    """`b` yes leaves only the branch of hardly any mass, where the class is the other one."""
    policy = loads(
        'prop a "A."\nprop b "B."\naxiom at_most(1, {a, b})\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n'
        "reward r { features classes }\n"
    )
    for near in (2.0**-20, 2.0**-24, 1e-6):
        assert math.isnan(everywhere(policy, [1.0 - near, NAN]))
        low, high = (float(side[0]) for side in both(policy)[0].bounds(np.array([[1.0 - near, NAN]], np.float32), [0]))
        assert low == pytest.approx(-1.0)
        assert high == pytest.approx(1.0, abs=1e-4)
    wide = "response r ranks x > y > z\nr.x := a & c\nr.y := a & !c\nr.z := !a\nreward r { features classes }\n"
    assert math.isnan(everywhere(loads('prop a "A."\nprop c "C."\n' + wide), [1.0 - 2.0**-20, NAN], kind="product"))


# --- numbers without end ------------------------------------------------------------------------

PLAIN = 'prop a "A."\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\n'


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        (math.inf, "the base reward is not a finite number"),
        (-math.inf, "the base reward is not a finite number"),
        (math.nan, "the base reward is not a finite number"),
        (1e39, "the base reward 1e+39 is beyond the largest number of 32 bits"),
    ],
)
def test_base_rewards_that_are_no_number(base: float, expected: str) -> None:
    policy = loads(PLAIN)
    host, _ = both(policy)
    one, ids = np.array([[1.0]], np.float32), np.zeros(1, np.int32)
    assert np.isnan(host(one, ids, base)).all()
    assert np.isnan(host.contributions(one, ids, base)).all()
    assert host.reasons(one, ids, base) == [expected]


def test_a_sum_beyond_float32_is_called_that() -> None:
    policy = loads(PLAIN)
    weights = [[3e38, -3e38, 0.0]]
    assert math.isnan(everywhere(policy, [1.0], base=3e38, weights=weights))
    assert why(policy, [1.0], base=3e38, weights=weights) == (
        "the reward is beyond the largest number of 32 bits: base reward 3e+38, rules 3e+38"
    )
    host, _ = both(policy, weights)
    one, ids = np.array([[1.0]], np.float32), np.zeros(1, np.int32)
    assert np.isnan(host.contributions(one, ids, 3e38)).all()
    assert np.isnan(host.contributions(np.tile(one, (MANY, 1)), np.zeros(MANY, np.int32), 3e38)).all()


@pytest.mark.parametrize("weight", ["= -1e39", "<= -4e38", ">= 3.5e38"])
def test_a_weight_that_cannot_be_compiled_is_found_by_check(weight: str) -> None:
    checked = check_text(PLAIN + f"reward r {{ weight a {weight} }}\n")
    assert [d.code.id for d in checked.diagnostics if d.severity == "error"] == ["RBR1013"]
    held = loads(PLAIN + "reward r { weight a = -3.4e38 }\n")
    assert NumpyReward(held.circuit).weights[0, 2] == np.float32(-3.4e38)


# --- reasons of completions -----------------------------------------------------------------------


def rollout(**columns: object) -> Row:
    return row_from({"id": "1", "prompt": "Name a river.", "completion": "The Loire.", **columns})


def value(p: float) -> Value:
    return Value(p, 1.0, p, p, "label")


def test_a_failed_answer_is_blamed_only_where_it_is_the_cause() -> None:
    policy = loads(APART)
    reward = NumpyReward(policy.circuit)
    answers: dict[int, Answer] = {COMPLIES: Abstained("the server was away"), FULLY: value(1.0), PARTLY: value(0.0)}
    row = rollout(response_type="comply")
    (reason,) = scored(reward, [row], np.zeros(1, np.int32), [answers]).reasons
    assert reason == EXCLUDED
    answers[PARTLY] = value(1.0)
    (reason,) = scored(reward, [row], np.zeros(1, np.int32), [answers]).reasons
    assert reason == "no answer for `complies`; `complies`: the server was away"
    answers[COMPLIES] = value(1.0)
    large = replace(row, base_reward=3.4e38)
    heavy = NumpyReward(policy.circuit, np.where(reward.weights != 0, 3e38 * np.sign(reward.weights), 0.0))
    (reason,) = scored(heavy, [large], np.zeros(1, np.int32), [answers]).reasons
    assert reason is not None
    assert reason.startswith("the reward is beyond the largest number of 32 bits")
