"""The reward against enumeration of all assignments, and numpy against JAX."""

from __future__ import annotations

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reward_circuits import Case, cases, class_masses, fills, is_known, random_case, rule_reward

from rbrlang.logic.circuit import Diagram
from rbrlang.policy import loads
from rbrlang.reward import lowering
from rbrlang.reward.numpy import NumpyReward, ShapeError
from rbrlang.reward.reward import RuleReward
from rbrlang.reward.weights import WeightError, checked_weights, default_weights

MODES = st.sampled_from([("exact", False), ("exact", True), ("product", False)])
ANY_CASE = MODES.flatmap(lambda m: cases(mode=m[0], axioms=m[1]))
ANY_KNOWN = MODES.flatmap(lambda m: cases(mode=m[0], axioms=m[1], unknowns=False))

lean = settings(deadline=None, max_examples=40)
# Every example compiles; a few seeds through XLA are worth many through numpy.
compiled = settings(deadline=None, max_examples=3)


def oracle(case: Case) -> np.ndarray:
    """Reward of every row by enumeration; NaN as the language requires."""
    return np.array(
        [
            rule_reward(case, r, fills(p, (0.5,))[0]) + b if is_known(case, r, p) else np.nan
            for p, r, b in zip(case.probs, case.ids.tolist(), case.base.astype(np.float64), strict=True)
        ]
    )


@lean
@given(ANY_KNOWN)
def test_known_rows_equal_enumeration(case: Case) -> None:
    got = NumpyReward(case.circuit, case.weights)(case.probs, case.ids, case.base)
    np.testing.assert_allclose(got, oracle(case), atol=1e-5)


@lean
@given(cases(axioms=False))
def test_reward_is_nan_exactly_where_an_unknown_can_change_it(case: Case) -> None:
    got = NumpyReward(case.circuit, case.weights)(case.probs, case.ids, case.base)
    np.testing.assert_allclose(got, oracle(case), atol=1e-5)


@lean
@given(cases(axioms=True, on_top=True))
def test_reward_under_axioms_is_nan_exactly_where_an_unknown_on_top_can_change_the_ratio(case: Case) -> None:
    got = NumpyReward(case.circuit, case.weights)(case.probs, case.ids, case.base)
    np.testing.assert_allclose(got, oracle(case), atol=1e-5)


@lean
@given(st.one_of(cases(axioms=True), cases(axioms=False, mode="product")))
def test_ratios_are_nan_wherever_an_unknown_can_change_them(case: Case) -> None:
    """And sometimes where effects cancel, which the one-pass rule cannot see for every order."""
    got = NumpyReward(case.circuit, case.weights)(case.probs, case.ids, case.base)
    expected = oracle(case)
    said = ~np.isnan(got)
    np.testing.assert_allclose(got[said], expected[said], atol=1e-5)


@lean
@given(ANY_KNOWN)
def test_class_probabilities_equal_enumeration_and_sum_to_one(case: Case) -> None:
    got = NumpyReward(case.circuit, case.weights).class_probs(case.probs, case.ids)
    for row, p, r in zip(got, case.probs, case.ids.tolist(), strict=True):
        masses = class_masses(case, r, p.astype(np.float64))
        if masses.sum() == 0.0:
            assert np.isnan(row[: len(masses)]).all()
            continue
        np.testing.assert_allclose(row[: len(masses)], masses / masses.sum(), atol=1e-6)
        assert not row[len(masses) :].any()
        assert row.sum() == pytest.approx(1.0, abs=1e-6)


@lean
@given(ANY_CASE)
def test_bounds_contain_every_fill_and_are_tight_for_one_unknown(case: Case) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    lower, upper = reward.bounds(case.probs, case.ids, case.base)
    exact = reward(case.probs, case.ids, case.base)
    for i, (p, r) in enumerate(zip(case.probs, case.ids.tolist(), strict=True)):
        values = (
            np.array([rule_reward(case, r, row) for row in fills(p, (0.0, 1e-7, 0.5, 1.0 - 1e-7, 1.0))]) + case.base[i]
        )
        values = values[~np.isnan(values)]
        if not values.size:
            assert np.isnan(lower[i])
            assert np.isnan(upper[i])
            continue
        assert lower[i] <= values.min() + 1e-5
        assert upper[i] >= values.max() - 1e-5
        unknowns = np.isnan(p).sum()
        if unknowns == 0:
            assert lower[i] == upper[i] == exact[i]
        response = case.circuit.responses[r]
        linear = -1 not in response.diagram.terminals or all(f.kind == "class" for f in response.features)
        if unknowns == 1 and case.circuit.class_probability == "exact" and linear:
            assert lower[i] == pytest.approx(values.min(), abs=1e-5)
            assert upper[i] == pytest.approx(values.max(), abs=1e-5)


@lean
@given(ANY_CASE)
def test_contributions_sum_to_the_reward(case: Case) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    addends = reward.contributions(case.probs, case.ids, case.base)
    np.testing.assert_allclose(addends.sum(1), reward(case.probs, case.ids, case.base), atol=2e-5)


@lean
@given(ANY_KNOWN)
def test_features_times_weights_is_the_rule_part(case: Case) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    rules = (reward.features(case.probs, case.ids) * case.weights[case.ids]).sum(1)
    got = reward(case.probs, case.ids)
    np.testing.assert_allclose(rules[~np.isnan(got)], got[~np.isnan(got)], atol=1e-5)


@lean
@given(ANY_CASE, st.integers(1, 40))
def test_a_row_does_not_depend_on_its_batch(case: Case, repeats: int) -> None:
    reward = NumpyReward(case.circuit, case.weights)
    alone = np.concatenate([reward(case.probs[i : i + 1], case.ids[i : i + 1]) for i in range(len(case.ids))])
    together = reward(np.tile(case.probs, (repeats, 1)), np.tile(case.ids, repeats))
    np.testing.assert_array_equal(together, np.tile(alone, repeats))
    for of in (lambda p, i, b: reward.class_probs(p, i), reward.contributions):
        rows = [of(case.probs[i : i + 1], case.ids[i : i + 1], case.base[i : i + 1]) for i in range(len(case.ids))]
        batch = of(np.tile(case.probs, (repeats, 1)), np.tile(case.ids, repeats), np.tile(case.base, repeats))
        np.testing.assert_array_equal(batch, np.tile(np.concatenate(rows), (repeats, 1)))


@compiled
@given(ANY_CASE)
def test_jax_equals_numpy(case: Case) -> None:
    """Every method, through jit; where one of them is NaN both are."""
    xla, host = RuleReward.from_circuit(case.circuit, case.weights), NumpyReward(case.circuit, case.weights)
    arrays = case.probs, case.ids, case.base
    np.testing.assert_allclose(xla(*arrays), host(*arrays), atol=1e-5)
    np.testing.assert_allclose(xla.contributions(*arrays), host.contributions(*arrays), atol=1e-5)
    np.testing.assert_allclose(xla.bounds(*arrays), host.bounds(*arrays), atol=1e-5)
    np.testing.assert_allclose(xla.class_probs(*arrays[:2]), host.class_probs(*arrays[:2]), atol=1e-5)
    np.testing.assert_allclose(xla.features(*arrays[:2]), host.features(*arrays[:2]), atol=1e-5)
    np.testing.assert_array_equal(xla.valid(*arrays), host.valid(*arrays))
    np.testing.assert_array_equal(xla.numpy(*arrays), host(*arrays))


@compiled
@given(ANY_KNOWN)
def test_gradient_of_probabilities_equals_finite_differences(case: Case) -> None:
    """Also at p = 0 and p = 1, where the polynomial simply continues beyond the ends."""
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    values = np.asarray(reward(case.probs, case.ids))
    weight = jnp.asarray(np.isfinite(values), jnp.float32)
    gradient = jax.grad(lambda p: jnp.where(weight > 0, reward(p, case.ids), 0.0).sum())(case.probs)
    step = 1e-5
    for i, r in enumerate(case.ids.tolist()):
        if not np.isfinite(values[i]) or class_masses(case, r, case.probs[i].astype(float)).sum() < 0.02:
            continue
        for a in range(case.probs.shape[1]):
            moved = [case.probs[i].astype(np.float64) for _ in range(2)]
            moved[0][a] -= step
            moved[1][a] += step
            low, high = (rule_reward(case, r, p) for p in moved)
            assert gradient[i, a] == pytest.approx((high - low) / (2 * step), rel=2e-3, abs=2e-3)


@compiled
@given(ANY_KNOWN)
def test_gradient_of_weights_is_the_features(case: Case) -> None:
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    ok = np.isfinite(np.asarray(reward(case.probs, case.ids)))
    probs, ids = case.probs[ok], case.ids[ok]
    gradient = jax.grad(lambda w: reward.with_weights(w)(probs, ids).sum())(reward.weights)
    features = np.asarray(reward.features(probs, ids))
    expected = np.stack([features[ids == r].sum(0) for r in range(2)])
    np.testing.assert_allclose(gradient, expected, atol=1e-4)


@pytest.fixture
def as_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits of any size are data for one program, as only large ones are."""
    monkeypatch.setattr(lowering, "UNROLLED_NODES", -1)


@pytest.mark.parametrize(("mode", "axioms"), [("exact", False), ("exact", True), ("product", False)])
@pytest.mark.usefixtures("as_data")
def test_tables_equal_numpy(mode: str, axioms: bool) -> None:
    """The form for large circuits, forced on small ones; what has the same sizes is compiled once."""
    for seed in range(40, 44):
        case = random_case(seed, axioms=axioms, mode=mode)
        xla, host = RuleReward.from_circuit(case.circuit, case.weights), NumpyReward(case.circuit, case.weights)
        arrays = case.probs, case.ids, case.base
        np.testing.assert_allclose(xla(*arrays), host(*arrays), atol=1e-5)
        np.testing.assert_allclose(xla.contributions(*arrays), host.contributions(*arrays), atol=1e-5)
        np.testing.assert_allclose(xla.bounds(*arrays), host.bounds(*arrays), atol=1e-5)
        np.testing.assert_allclose(xla.class_probs(*arrays[:2]), host.class_probs(*arrays[:2]), atol=1e-5)
        np.testing.assert_allclose(xla.features(*arrays[:2]), host.features(*arrays[:2]), atol=1e-5)


def test_gradients_of_tables_equal_those_of_the_unrolled_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    for mode, axioms in (("exact", True), ("product", False)):
        case = random_case(21, axioms=axioms, mode=mode)
        reward = RuleReward.from_circuit(case.circuit, case.weights)

        def total(weights: jax.Array, probs: jax.Array, *, of: RuleReward = reward, case: Case = case) -> jax.Array:
            value = of.with_weights(weights)(probs, case.ids)
            return jnp.where(jnp.isnan(value), 0.0, value).sum()

        probs = jnp.asarray(np.where(case.probs == 0.0, 0.125, np.where(case.probs == 1.0, 0.75, case.probs)))
        expected = jax.grad(total, (0, 1))(reward.weights, probs)
        along = jax.jvp(total, (reward.weights, probs), (reward.weights, jnp.ones_like(probs)))
        with monkeypatch.context() as patch:
            patch.setattr(lowering, "UNROLLED_NODES", -1)
            got = jax.grad(total, (0, 1))(reward.weights, probs)
            np.testing.assert_allclose(
                jax.jvp(total, (reward.weights, probs), (reward.weights, jnp.ones_like(probs))),
                along,
                rtol=1e-4,
                atol=1e-5,
            )
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


# --- particular values ------------------------------------------------------------------------


IMPROBABLE = """
prop p0 "First."
prop p1 "Second."
prop p2 "Third."
axiom p1 | p2
axiom p0 <=> p1
axiom p2 => p0
response r ranks c0 > c1 {
  c1 if p2
  c0 otherwise
}
"""


@pytest.mark.parametrize("nodes", [sys.maxsize, -1])
def test_what_32_bits_lose_is_no_reward_rather_than_a_wrong_one(nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "UNROLLED_NODES", nodes)
    policy = loads(IMPROBABLE)
    sizes = 10.0 ** np.arange(-20.0, -13.5, 0.5)
    probs = np.array([[x, y, third] for x in sizes for y in sizes for third in (0.3, 0.001)], np.float32)
    ids = np.zeros(len(probs), np.int32)
    host = NumpyReward(policy.compiled("exact"))
    xla = RuleReward.from_circuit(policy.compiled("exact"))
    found, expected = np.asarray(xla.class_probs(probs, ids)), host.class_probs(probs, ids)
    assert not np.isnan(expected).any()
    lost = np.isnan(found).any(1)
    assert 0 < lost.sum() < len(lost)
    np.testing.assert_allclose(found[~lost], expected[~lost], atol=1e-5)
    assert np.array_equal(np.isnan(np.asarray(xla(probs, ids))), lost)
    assert (np.prod(probs[lost].astype(float)[:, :2], axis=1) < 3e-33).all()


def test_what_64_bits_lose_is_none_either() -> None:
    needed = [f"q{i}" for i in range(8)]
    props = "".join(f'prop {q} "{q}."\naxiom {q}\n' for q in needed)
    rules = f"response r ranks c0 > c1 {{\n  c1 if all({{p, {', '.join(needed)}}})\n  c0 otherwise\n}}\n"
    circuit = loads(f'{props}prop p "p."\n{rules}').compiled("exact")
    probs = np.array([[x] * 8 + [0.3] for x in (1e-37, 2e-38, 1e-38, 1e-39)], np.float32)
    probs = probs[:, [[*needed, "p"].index(name) for name in circuit.propositions]]
    ids, base, host = np.zeros(4, np.int32), np.zeros(4, np.float32), NumpyReward(circuit)
    lost = [False, False, True, True]
    for times in (1, 16):
        found = host.class_probs(np.tile(probs, (times, 1)), np.tile(ids, times))
        assert np.isnan(found).any(1).tolist() == lost * times
        np.testing.assert_allclose(found[0, 1], 0.3, atol=1e-6)
    reasons = host.reasons(probs, ids, base)
    assert reasons[:2] == [None, None]
    assert all("so improbable" in str(one) for one in reasons[2:])


def test_unknown_response_and_base_reward_give_nan() -> None:
    case = random_case(7, axioms=False, unknowns=False, rows=4)
    ids = np.array([-1, 2, 0, 1], np.int32)
    base = np.array([0.0, 0.0, np.nan, 1.0], np.float32)
    for reward in (RuleReward.from_circuit(case.circuit, case.weights), NumpyReward(case.circuit, case.weights)):
        assert np.isnan(np.asarray(reward(case.probs, ids, base))).tolist() == [True, True, True, False]
        assert np.asarray(reward.valid(case.probs, ids, base)).tolist() == [False, False, False, True]
        assert np.isnan(np.asarray(reward.class_probs(case.probs, ids))).all(1).tolist() == [True, True, False, False]


def test_tied_weights_make_the_choice_between_their_classes_irrelevant() -> None:
    """Two classes of one weight: an unknown that decides only between them leaves the reward known."""
    case = random_case(3, axioms=False, rows=1)
    response = replace(
        case.circuit.responses[0],
        ranks=(("a", "b"), ("c",)),
        diagram=Diagram((0, 1, 2), ((1, 0, 1), (0, 3, 2)), 4),
        features=tuple(replace(case.circuit.responses[0].features[0], kind="class", index=i) for i in range(3)),
        bounds=((-1.0, 1.0),) * 3,
        margins=(1.0,) * 3,
    )
    circuit = replace(case.circuit, responses=(response,), atoms=(case.circuit.atoms * 2)[:2])
    probs, ids = np.array([[0.3, np.nan]], np.float32), np.zeros(1, np.int32)
    tied = NumpyReward(circuit, [[0.7, 0.7, -0.1]])
    assert tied(probs, ids)[0] == pytest.approx(0.7 * 0.7 - 0.1 * 0.3)
    assert np.isnan(tied.class_probs(probs, ids)[0]).tolist() == [True, True, False]
    assert np.isnan(NumpyReward(circuit, [[0.7, 0.6, -0.1]])(probs, ids)[0])


def test_low_precision_inputs_are_computed_in_float32() -> None:
    case = random_case(11, axioms=True, unknowns=False)
    reward = RuleReward.from_circuit(case.circuit, case.weights)
    coarse = jnp.asarray(case.probs, jnp.bfloat16)
    got = reward(coarse, case.ids, jnp.asarray(case.base, jnp.bfloat16))
    assert got.dtype == jnp.float32
    base = np.asarray(jnp.asarray(case.base, jnp.bfloat16), np.float32)
    np.testing.assert_array_equal(got, reward(np.asarray(coarse, np.float32), case.ids, base))


def test_wrong_shapes_are_refused_in_words() -> None:
    case = random_case(5, axioms=False)
    atoms = len(case.circuit.atoms)
    for reward in (RuleReward.from_circuit(case.circuit), NumpyReward(case.circuit)):
        with pytest.raises(ShapeError, match=rf"needs \[batch, {atoms}\]"):
            reward(np.zeros((3, atoms + 1), np.float32), np.zeros(3, np.int32))
        with pytest.raises(ShapeError, match="expected integers"):
            reward(np.zeros((3, atoms), np.float32), np.zeros(3, np.float32))
        with pytest.raises(ShapeError, match="base rewards"):
            reward(np.zeros((3, atoms), np.float32), np.zeros(3, np.int32), np.zeros(2, np.float32))


def test_reasons_name_what_is_missing() -> None:
    case = random_case(5, axioms=False, unknowns=False, rows=3)
    reward = NumpyReward(case.circuit, case.weights)
    probs = np.full_like(case.probs, np.nan)
    reasons = reward.reasons(probs, np.array([-1, 0, 1], np.int32))
    assert reasons[0] == "the response type is not one of this policy's"
    expected = reward(probs, np.array([-1, 0, 1], np.int32))
    for reason, value in list(zip(reasons, expected, strict=True))[1:]:
        assert (reason is None) == np.isfinite(value)
        assert reason is None or "`p0`" in reason
    bad_base = np.full(3, np.inf, np.float32)
    assert reward.reasons(case.probs, np.zeros(3, np.int32), bad_base)[0] == "the base reward is not a finite number"


# --- weights ----------------------------------------------------------------------------------


def test_default_weights_follow_the_ranks_and_the_bounds() -> None:
    case = random_case(3, axioms=False)
    response = case.circuit.responses[0]
    feature = response.features[0]
    features = tuple(replace(feature, kind="class", index=i) for i in range(4))
    response = replace(
        response,
        ranks=(("a",), ("b", "c"), ("d",)),
        features=(*features, replace(feature, kind="proposition", index=0)),
        bounds=((2.0, 2.0), (-9.0, 9.0), (0.25, 9.0), (-0.5, 9.0), (-9.0, -0.125)),
    )
    lone = replace(response, ranks=(("a",),), features=features[:1], bounds=((-9.0, 9.0),))
    circuit = replace(case.circuit, responses=(response, lone))
    assert default_weights(circuit).tolist() == [[2.0, 0.0, 0.25, -0.5, -0.125], [0.0] * 5]


def test_unacceptable_weights_are_refused_in_words() -> None:
    case = random_case(3, axioms=False)
    good = default_weights(case.circuit)
    with pytest.raises(WeightError, match="shape"):
        checked_weights(case.circuit, good[:1])
    for value in (np.nan, np.inf):
        bad = good.copy()
        bad[0, 0] = value
        with pytest.raises(WeightError, match="the weight of"):
            checked_weights(case.circuit, bad)
    limited = replace(case.circuit.responses[0], bounds=((0.1, 0.1),) * len(case.circuit.responses[0].features))
    circuit = replace(case.circuit, responses=(limited, *case.circuit.responses[1:]))
    fixed = default_weights(circuit)
    assert checked_weights(circuit, fixed)[0, 0] == np.float32(0.1)
    with pytest.raises(WeightError, match="outside of the policy's bounds"):
        checked_weights(circuit, fixed + np.float32(0.01) * (fixed != 0))
    longest = max(len(r.features) for r in case.circuit.responses)
    for number, response in enumerate(case.circuit.responses):
        if len(response.features) < longest:
            bad = good.copy()
            bad[number, -1] = 1.0
            with pytest.raises(WeightError, match="features but more weights"):
                checked_weights(case.circuit, bad)
