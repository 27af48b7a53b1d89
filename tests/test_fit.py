"""Fitted weights against the exact linear program, and what a fit says of itself."""

from __future__ import annotations

import json
import math
import random
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sparse
from conftest import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st
from learning_rows import FEATURES, circuit, noisy_rows, row
from scipy.optimize import linprog, nnls

from rbrlang import load
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.results import GradeItem, probability
from rbrlang.learning.fitting import fit as fit_module
from rbrlang.learning.fitting.finish import finish
from rbrlang.learning.fitting.fit import FitError, fit
from rbrlang.learning.fitting.fitted import Fit, ResponseFit, Unfitted
from rbrlang.learning.fitting.part import lower_bound, objective_of
from rbrlang.learning.fitting.problem import Loss, Pairs, Problem, pair_loss, to_scaled
from rbrlang.learning.fitting.solve import resolve_all, solve, solve_all
from rbrlang.learning.fitting.ties import Tie
from rbrlang.learning.fitting.uncertainty import without
from rbrlang.learning.sample import SampleError, sample_rows
from rbrlang.logic.circuit import Circuit
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, read_rows

INF = math.inf


def as_pairs(differences: np.ndarray) -> Pairs:
    """Pairs of these differences: every one against the same completion, all of whose features are 0."""
    count, features = differences.shape
    return Pairs(np.vstack([differences, np.zeros((1, features))]), np.arange(count), np.full(count, count))


def exact(problem: Problem) -> tuple[float, np.ndarray]:
    """Least mean hinge over the box and weights that have it, by HiGHS."""
    pairs, features = len(problem.offsets), problem.pairs.features.shape[1]
    differences = problem.pairs.differences(np.arange(pairs))
    constraints = sparse.hstack([-sparse.csr_matrix(differences), -sparse.eye(pairs)]).tocsc()
    box = [(a if a > -INF else None, b if b < INF else None) for a, b in zip(problem.low, problem.high, strict=True)]
    found = linprog(
        np.r_[np.zeros(features), problem.shares],
        A_ub=constraints,
        b_ub=-problem.offsets,
        bounds=box + [(0, None)] * pairs,
        method="highs",
    )
    assert found.status == 0
    return float(found.fun), found.x[:features]


def random_problem(seed: int, *, pairs: int = 300, features: int = 6, kind: str = "free") -> Problem:
    """Pairs of noisy probabilities whose loss cannot be 0, with the box that `kind` says."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(pairs, features)) * rng.choice([0.1, 0.5, 1.0], features)
    truth = rng.normal(size=features)
    offsets = rng.choice([0.5, 1.0, 2.0], pairs) - differences @ truth + rng.normal(size=pairs)
    low, high = np.full(features, -INF), np.full(features, INF)
    if kind in ("signs", "mixed"):
        low[::3], high[1::3] = 0.0, 0.0
    if kind in ("fixed", "mixed"):
        low[2::3] = high[2::3] = 0.7
    if kind == "box":
        low, high = np.full(features, -0.25), np.full(features, 0.25)
    centre = np.clip(np.linspace(1, -1, features), low, high)
    scale = float(rng.choice([0.01, 1.0, 100.0]))
    return Problem(
        as_pairs(differences),
        offsets * scale,
        np.full(pairs, 1 / pairs),
        low * scale,
        high * scale,
        centre * scale,
        None,
        "hinge",
    )


@pytest.mark.parametrize("kind", ["free", "signs", "fixed", "box", "mixed"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_loss_is_within_a_ten_thousandth_of_the_linear_program(kind: str, seed: int) -> None:
    problem = random_problem(seed, kind=kind)
    (best, best_weights), found = exact(problem), solve(problem)
    assert best > 0.01 * found.scale  # the test would be empty on separable pairs
    assert best * (1 - 1e-9) <= found.loss <= best * 1.0001
    assert np.all(found.weights >= problem.low)
    assert np.all(found.weights <= problem.high)
    # What the solution says of itself holds for the exact optimum, whose ridge counts too.
    ridge = 0.5 * found.ridge * np.sum((np.stack([found.weights, best_weights]) - problem.centre) ** 2, axis=1)
    objective, others = found.loss + ridge[0], best + ridge[1]
    assert objective - others <= found.gap * max(objective, 0.1 * found.scale) + 1e-9 * found.scale
    assert found.gap < 1e-4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from(["free", "signs", "fixed", "box", "mixed"]), st.integers(0, 2**31))
def test_any_multipliers_bound_the_objective_from_below(seed: int, kind: str, other: int) -> None:
    for loss in ("hinge", "logistic"):
        problem = replace(random_problem(seed, pairs=40, features=4, kind=kind), ridge=0.1, loss=loss)
        scaled = to_scaled(problem)
        rng = np.random.default_rng(other)
        bound = lower_bound(scaled, rng.random(40))
        for _ in range(20):
            u = np.clip(rng.normal(size=4), scaled.low, scaled.high)
            w = problem.centre + scaled.scale * u
            objective = pair_loss(problem, w) / scaled.scale + 0.5 * scaled.ridge * float(u @ u)
            assert bound <= objective + 1e-9 * (1.0 + abs(objective))


@pytest.mark.parametrize("start", [0.0, 0.3, 30.0])
@pytest.mark.parametrize("kind", ["free", "mixed"])
def test_pairs_left_out_at_first_are_missed_by_no_start(kind: str, start: float) -> None:
    problem = random_problem(4, pairs=2000, features=9, kind=kind)
    scaled = to_scaled(problem)
    found = finish(scaled, start * np.random.default_rng(0).normal(size=9))
    best, _ = exact(replace(problem, offsets=problem.offsets / scaled.scale, low=problem.low / scaled.scale,
                            high=problem.high / scaled.scale, centre=problem.centre / scaled.scale))  # fmt: skip
    loss = found.objective - 0.5 * scaled.ridge * float(found.u @ found.u)
    assert best * (1 - 1e-9) <= loss <= best * 1.0001
    assert found.bound <= found.objective <= found.bound * 1.0001
    z = scaled.offsets - scaled.pairs.gaps(found.u)
    assert found.objective == pytest.approx(objective_of(scaled, found.u, z), rel=1e-12)


def test_answers_of_a_real_grader_are_fitted_and_proved_too() -> None:
    """A grader that is sure leaves probabilities that hardly differ, and weights that have to go far."""
    policy = load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    names, rows = policy.circuit.propositions, read_rows(CHECKOUT / "examples" / "refusals" / "completions.jsonl").rows
    items = [GradeItem(r.id, r.conversation, 0) for r in rows]
    answers = EmbeddedGrader(policy.program.propositions).answers(items, [range(len(names))] * len(items))
    graded = [
        replace(r, probs={names[p]: probability(a) for p, a in found.items()})
        for r, found in zip(rows, answers, strict=True)
    ]
    found = fit(policy.circuit, graded, bootstrap=0).responses
    fitted = {outcome.name: outcome for outcome in found if isinstance(outcome, ResponseFit)}
    assert [outcome.gap < 1e-4 for outcome in fitted.values()] == [True] * 3


def test_the_logistic_fit_has_next_to_no_slope_left() -> None:
    problem = replace(random_problem(3), loss="logistic", ridge=0.01)
    found = solve(problem)
    z = problem.offsets - problem.pairs.gaps(found.weights)
    slope = 0.01 * (found.weights - problem.centre) - problem.pairs.pull(problem.shares / (1 + np.exp(-z)))
    assert np.abs(slope).max() < 1e-6
    assert found.gap < 1e-4


def test_separable_pairs_give_finite_weights_without_loss() -> None:
    rng = np.random.default_rng(0)
    differences = rng.random((50, 4)) + 0.1
    wide = np.full(4, INF)
    for ridge in (None, 0.0):
        found = solve(
            Problem(as_pairs(differences), np.ones(50), np.full(50, 0.02), -wide, wide, np.zeros(4), ridge, "hinge")
        )
        assert found.loss < 1e-3
        assert np.abs(found.weights).max() < 100
    assert solve(replace(random_problem(0), ridge=0.0)).loss <= exact(random_problem(0))[0] * 1.001


@pytest.mark.parametrize("seed", range(6))
def test_of_weights_without_loss_the_nearest_to_the_defaults_are_found(seed: int) -> None:
    """Against the least distance that non-negative least squares finds (Lawson and Hanson, 1974, chapter 23)."""
    rng = np.random.default_rng(seed)
    differences = rng.normal(size=(60 + 900 * (seed % 2), 5)) + np.array([3.0, 0.0, 0.0, 1.0, 0.0])
    differences = differences[differences[:, 0] > 0.1]
    count, centre, wide = len(differences), rng.normal(size=5), np.full(5, INF)
    found = solve(
        Problem(as_pairs(differences), np.ones(count), np.full(count, 1 / count), -wide, wide, centre, None, "hinge")
    )
    missing = 1.0 - differences @ centre
    multipliers, _ = nnls(np.vstack([differences.T, missing]), np.r_[np.zeros(5), 1.0])
    rest = np.vstack([differences.T, missing]) @ multipliers - np.r_[np.zeros(5), 1.0]
    nearest = centre - rest[:5] / rest[5]
    assert (differences @ nearest).min() > 1 - 1e-6
    assert found.weights == pytest.approx(nearest, abs=2e-3 * float(np.linalg.norm(nearest - centre)))


def test_the_ranking_of_planted_weights_is_recovered() -> None:
    rng = np.random.default_rng(11)
    planted = rng.normal(size=12)

    def pairs(count: int) -> np.ndarray:
        differences = rng.normal(size=(count, 12))
        differences = differences[np.abs(differences @ planted) > 0.5]
        return differences * np.sign(differences @ planted)[:, None]

    train, fresh = pairs(1500), pairs(1500)
    wide = np.full(12, INF)
    shares = np.full(len(train), 1 / len(train))
    found = solve(Problem(as_pairs(train), np.full(len(train), 0.5), shares, -wide, wide, np.zeros(12), None, "hinge"))
    assert found.loss < 1e-3
    assert np.mean(fresh @ found.weights > 0) > 0.99


def test_problems_solved_together_are_those_solved_alone() -> None:
    problems = [
        random_problem(seed, pairs=pairs, kind=kind) for seed, pairs, kind in ((0, 300, "free"), (1, 90, "box"))
    ]
    for alone, together in zip(map(solve, problems), solve_all(problems), strict=True):
        assert together.loss == pytest.approx(alone.loss, rel=2e-4)
        assert together.gap < 1e-4


def test_refits_are_near_the_optimum_of_what_was_drawn() -> None:
    problems = [random_problem(0), random_problem(4, kind="signs")]
    groups = [np.arange(300) // 10, 30 + np.arange(300) // 10]
    draws = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=(3, 2)).reshape(3, 60)
    many = resolve_all(problems, solve_all(problems), groups, draws)
    for problem, group, weights in zip(problems, groups, many, strict=True):
        for draw, refit in zip(draws, weights, strict=True):
            shares = draw[group] / draw[group].sum()
            drawn = replace(problem, shares=shares)
            assert np.all((problem.low <= refit) & (refit <= problem.high))
            assert exact(drawn)[0] - 1e-9 <= pair_loss(drawn, refit) <= exact(drawn)[0] * 1.0001


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_refits_lie_where_a_fit_of_what_was_drawn_lies(loss: Loss) -> None:
    """Where they stop early they stay near their start, and intervals come out too narrow."""
    problem = replace(random_problem(5, pairs=3_000), ridge=1e-3, loss=loss)
    group = np.arange(3_000) // 30
    draws = np.random.default_rng(1).multinomial(100, np.full(100, 0.01), size=40)
    (many,) = resolve_all([problem], solve_all([problem]), [group], draws)
    (few,) = resolve_all([problem], solve_all([problem]), [group], draws[7:9])
    np.testing.assert_allclose(many[7:9], few, atol=1e-3)  # whatever they are refitted together with
    drawn = [replace(problem, shares=draw[group] / draw[group].sum()) for draw in draws]
    there = np.array([solve(one).weights for one in drawn])
    near = 0.01 if loss == "hinge" else 0.1
    assert np.sqrt(np.mean((many - there) ** 2)) < near * there.std(axis=0).mean()


@pytest.mark.parametrize("ridge", [None, 1e-3])
def test_pairs_that_a_draw_brings_near_are_missed_by_no_refit(ridge: float | None) -> None:
    """Few prompts: a draw moves weights so far that most of the pairs looked at first are the wrong ones."""
    problem = replace(random_problem(6, pairs=2_000, features=9, kind="mixed"), ridge=ridge)
    group = np.arange(2_000) // 200
    draws = np.random.default_rng(2).multinomial(10, np.full(10, 0.1), size=12)
    (many,) = resolve_all([problem], solve_all([problem]), [group], draws)
    for draw, refit in zip(draws, many, strict=True):
        drawn = replace(problem, shares=draw[group] / draw[group].sum())
        found = solve(drawn)
        price = 0.5 * found.ridge * np.sum((np.stack([refit, found.weights]) - problem.centre) ** 2, axis=1)
        assert pair_loss(drawn, refit) + price[0] <= (found.loss + price[1]) * 1.0001


def test_a_problem_of_which_nothing_was_drawn_stays_at_its_centre() -> None:
    problem = replace(random_problem(5), ridge=0.1)
    (refit,) = resolve_all([problem], solve_all([problem]), [np.zeros(300, np.int64)], np.array([[0, 1]]))
    assert refit[0] == pytest.approx(problem.centre, abs=1e-6 * float(np.abs(problem.centre).max()))


def test_a_logistic_fit_of_rewards_in_the_millions_is_that_of_a_hinge() -> None:
    hinge = random_problem(3)
    huge = replace(hinge, offsets=1e6 * hinge.offsets, loss="logistic", ridge=None)
    found = solve(huge)
    assert found.loss <= 1.001e6 * exact(hinge)[0] + 1.0
    assert found.gap < 1e-4


# --- from rows --------------------------------------------------------------------------------


def fitted(found: Fit) -> ResponseFit:
    """The only response type of the policy."""
    (response,) = found.responses
    assert isinstance(response, ResponseFit)
    return response


def train_problem(policy: Circuit, rows: list[Row]) -> Problem:
    """The problem of all rows, put together by hand."""
    (sample,) = sample_rows(NumpyReward(policy), rows).samples
    pairs = sample.comparisons
    low, high = np.array(policy.responses[0].bounds).T
    return Problem(
        Pairs(sample.features, pairs.better, pairs.worse),
        pairs.margin - (sample.base[pairs.better] - sample.base[pairs.worse]),
        np.full(len(pairs), 1 / len(pairs)),
        low, high, np.clip(np.zeros(len(low)), low, high), None, "hinge",
    )  # fmt: skip


def test_bounds_fixed_weights_and_ties_are_kept_while_the_loss_is_exact() -> None:
    policy = circuit("weight polite >= 0\n  weight lectures <= 0\n  weight emoji = 0.25\n  margin ideal 1.5")
    rows = noisy_rows(30, 8, seed=5)
    found = fitted(fit(policy, rows, ridge=0, held_out=0, bootstrap=0))
    weights = dict(zip(FEATURES, found.weights, strict=True))
    assert weights["polite"] >= 0
    assert weights["lectures"] <= 0
    assert weights["emoji"] == 0.25
    assert found.loss_train <= exact(train_problem(policy, rows))[0] * 1.001
    assert all(math.isfinite(w) for w in found.weights)
    assert found.held_out_pairs == 0
    assert found.loss_held_out is None


def test_two_runs_are_the_same_bits_and_row_order_does_not_move_the_split() -> None:
    rows = noisy_rows(24, 6, seed=1)
    first, second = fit(circuit(), rows, seed=3, bootstrap=4), fit(circuit(), rows, seed=3, bootstrap=4)
    assert first.weights.tobytes() == second.weights.tobytes()
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())
    shuffled = random.Random(0).sample(rows, len(rows))
    third = fitted(fit(circuit(), shuffled, seed=3, bootstrap=0))
    assert third.pairs == fitted(first).pairs
    assert third.loss_train == pytest.approx(fitted(first).loss_train, rel=1e-3)
    assert fit(circuit(), rows, seed=4, bootstrap=0).weights.tobytes() != first.weights.tobytes()


def test_no_prompt_is_on_both_sides() -> None:
    # Every prompt has a number of pairs of its own, so the two counts tell which prompts are where.
    rows = []
    for prompt in range(6):
        rows += [row(prompt, "ideal", {"refuses": 0.9, "polite": 0.8, "lectures": 0.2, "emoji": 0.5})]
        rows += [
            row(prompt, "complying", {"refuses": 0.2, "polite": 0.5, "lectures": 0.1, "emoji": 0.5}, id=f"{prompt}-{n}")
            for n in range(2**prompt)
        ]
    sides = set()
    for seed in range(8):
        found = fitted(fit(circuit(), rows, seed=seed, held_out=0.5, bootstrap=0, base_reward=None))
        assert found.pairs + found.held_out_pairs == 63
        assert bin(found.pairs).count("1") == found.prompts == 3
        sides.add(found.pairs)
    assert len(sides) > 1


def test_fitted_class_weights_follow_the_ranks() -> None:
    found = fitted(fit(circuit(), noisy_rows(40, 8, seed=7, noise=0.02, base=False), bootstrap=0))
    weights = dict(zip(FEATURES, found.weights, strict=True))
    assert weights["ideal"] > max(weights["curt"], weights["preachy"])
    assert min(weights["curt"], weights["preachy"]) > weights["complying"]
    assert found.error_held_out is not None
    assert found.error_held_out.base is None
    assert found.error_held_out.both < 0.1


def test_half_a_margin_is_not_no_margin() -> None:
    rows = noisy_rows(20, 6, seed=2)
    losses = [fitted(fit(circuit(), rows, margin=m, bootstrap=0)).loss_train for m in (0.0, 0.5, 1.0)]
    assert losses[0] < 0.95 * losses[1]
    assert losses[1] < 0.95 * losses[2]


def test_a_feature_that_never_differs_keeps_its_default_and_is_named() -> None:
    rows = [replace(r, probs={**r.probs, "emoji": 0.5}) for r in noisy_rows(15, 6, seed=3)]
    found = fitted(fit(circuit(), rows, bootstrap=0))
    assert found.undetermined == ("emoji",)
    assert found.weights[FEATURES.index("emoji")] == 0.0
    assert found.free_directions == 2  # that one, and a constant added to all classes
    assert "emoji" not in fitted(fit(circuit(), noisy_rows(15, 6, seed=3), bootstrap=0)).undetermined


def test_unknown_features_are_set_apart_by_reason_never_filled_in() -> None:
    rows = noisy_rows(12, 6, seed=4)
    holes = [replace(r, probs={**r.probs, "polite": None}) if n % 5 == 0 else r for n, r in enumerate(rows)]
    found = fitted(fit(circuit(), holes, bootstrap=0))
    assert found.set_apart == {"no probability of `polite`": 15}
    assert found.rows == len(rows) - 15
    without = [r for n, r in enumerate(rows) if n % 5]
    assert (
        fit(circuit(), without, bootstrap=0).weights.tobytes() == fit(circuit(), holes, bootstrap=0).weights.tobytes()
    )


def test_the_base_reward_is_an_offset_and_its_absence_is_said() -> None:
    rows = noisy_rows(20, 6, seed=6)
    found = fit(circuit(), rows, bootstrap=0)
    assert found.base_reward == "base_reward"
    # A constant per prompt cancels within pairs.
    moved = [replace(r, base_reward=(r.base_reward or 0.0) + len(r.prompt_key) * 8.0) for r in rows]
    assert np.allclose(fit(circuit(), moved, bootstrap=0).weights, found.weights, atol=1e-3)
    assert fit(circuit(), [replace(r, base_reward=None) for r in rows], bootstrap=0).base_reward is None
    some = [replace(r, base_reward=None) if n == 0 else r for n, r in enumerate(rows)]
    assert fitted(fit(circuit(), some, bootstrap=0)).set_apart == {"no `base_reward`, which other rows have": 1}
    column = [replace(r, raw={**r.raw, "rm": r.base_reward}, base_reward=None) for r in rows]
    assert fit(circuit(), column, base_reward="rm", bootstrap=0).weights.tobytes() == found.weights.tobytes()


def test_intervals_contain_the_weights_and_few_prompts_are_refused() -> None:
    found = fitted(fit(circuit(), noisy_rows(30, 6, seed=8), bootstrap=20))
    assert found.intervals is not None
    inside = [i.low - 1e-6 <= w <= i.high + 1e-6 for i, w in zip(found.intervals, found.weights, strict=True)]
    assert sum(inside) >= 6
    assert any(i.low < i.high for i in found.intervals)
    few = fitted(fit(circuit(), noisy_rows(6, 6, seed=8), bootstrap=20))
    assert few.intervals is None
    assert few.intervals_refused == "5 prompts are too few to resample; 10 are needed"


def test_labels_and_grades_can_say_the_class_and_names_can_be_translated() -> None:
    rows = noisy_rows(12, 6, seed=9)
    labelled = [replace(r, klass=None, labels={n: (p or 0) > 0.5 for n, p in r.probs.items()}) for r in rows]
    assert fit(circuit(), labelled, bootstrap=0).class_source == "labels"
    graded = [replace(r, klass=None) for r in rows]
    assert fit(circuit(), graded, bootstrap=0).class_source == "graded"
    renamed = [replace(r, klass="a perfect refusal" if r.klass == "ideal" else r.klass) for r in rows]
    with_names = fit(circuit(), renamed, class_names={"a perfect refusal": "ideal"}, bootstrap=0)
    assert with_names.weights.tobytes() == fit(circuit(), rows, bootstrap=0).weights.tobytes()
    apart = fitted(fit(circuit(), renamed, bootstrap=0)).set_apart
    assert list(apart) == ["class `a perfect refusal` is not one of ideal, curt, preachy, complying"]


def test_the_json_has_the_documented_shape() -> None:
    found = json.loads(json.dumps(fit(circuit(), noisy_rows(15, 6, seed=0), bootstrap=0).to_json(), allow_nan=False))
    assert found["seed"] == 0
    entry = found["response_types"]["refusal"]
    assert set(entry["weights"]) == set(FEATURES)
    assert set(entry["error"]) == {"base", "default", "rules", "both"}
    assert set(entry["loss"]) == {"train", "held_out"}
    assert 0 <= entry["gap"] < 1e-3
    assert entry["pairs"] > 0


KNOWN = {"refuses": 0.9, "polite": 0.8, "lectures": 0.2, "emoji": 0.5}


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "no row has this response type"),
        ([row(1, "ideal", KNOWN), row(1, "ideal", KNOWN)], "all of one rank"),
        ([row(1, "curt", KNOWN), row(1, "preachy", KNOWN)], "all of one rank"),
        ([row(1, "ideal", KNOWN), row(2, "complying", KNOWN)], "2 different prompts, one each"),
        ([row(1, "ideal", KNOWN)] * 2 + [row(2, "complying", KNOWN)] * 2, "no prompt of its 2"),
        ([row(1, "ideal", {}), row(1, "complying", {})], "no probability of `refuses` and 3 more"),
        ([row(1, "ideal", KNOWN, response_type="other")], "response type `other` is not in the policy"),
    ],
)
def test_nothing_to_fit_is_explained(rows: list[Row], why: str) -> None:
    with pytest.raises(FitError, match=why):
        fit(circuit(), rows)


def test_rows_that_are_all_set_apart_are_told_what_they_lack() -> None:
    """For every cause that the reader of rows knows, the step that mends it; obeyed, the cause is gone."""
    known = [row(1, "ideal", KNOWN), row(1, "complying", KNOWN)]

    def told(rows: list[Row], **options: Any) -> str:
        with pytest.raises(FitError) as refused:
            fit(circuit(), rows, bootstrap=0, **options)
        return str(refused.value).rpartition("for: ")[2]

    ungraded = told([replace(one, probs={}) for one in known])
    assert ungraded.startswith(
        "no probability of `refuses` and 3 more; have those propositions graded, with `rbrc grade`"
    )
    assert "no label of `refuses` and 3 more; label those" in told(known, class_source="labels")
    bare = [replace(one, klass=None) for one in known]
    assert "no `class`; give rows a `class`, or take it from" in told(bare, class_source="intent")
    foreign = told([replace(one, klass="bad") for one in known])
    assert "class `bad` is not one of" in foreign
    assert foreign.endswith("; say which classes of the policy are meant, with `--class-names`")
    assert "mend these rows" not in ungraded + foreign
    people = told(known, pairs=("ranks",))
    assert people == "no `rank`; add that to the rows, or name the column that holds it with `--column`"


def test_impossible_wishes_are_refused() -> None:
    rows = noisy_rows(4, 4, seed=0)
    for options in ({"margin": -1.0}, {"margin": math.nan}, {"ridge": -1.0}, {"held_out": 1.0}, {"bootstrap": -1}):
        with pytest.raises(FitError):
            fit(circuit(), rows, **options)  # pyright: ignore[reportArgumentType]
    policy = circuit()
    upside_down = replace(policy.responses[0], bounds=((1.0, -1.0), *policy.responses[0].bounds[1:]))
    with pytest.raises(FitError, match=r"`ideal` for `refusal` has to be at least 1.0 and at most -1.0"):
        fit(replace(policy, responses=(upside_down,)), rows)
    for base in (INF, math.nan):
        broken = [replace(rows[0], base_reward=base), *rows[1:]]
        with pytest.raises(SampleError, match=f"row `0-0` has `base_reward` {base}"):
            fit(policy, broken)


def test_a_response_type_without_rows_keeps_its_defaults() -> None:
    policy = circuit()
    twin = replace(policy.responses[0], name="other")
    found = fit(replace(policy, responses=(*policy.responses, twin)), noisy_rows(12, 6, seed=0), bootstrap=0)
    other = found.responses[1]
    assert isinstance(other, Unfitted)
    assert other.weights == (1.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0)
    assert found.to_json()["unfitted"]["other"]["reason"] == "no row has this response type"
    assert np.array_equal(np.asarray(found.reward.weights), found.weights)


def test_tied_weights_are_equal_and_the_fit_is_that_of_one_feature() -> None:
    rows = noisy_rows(30, 6, seed=5)
    found = fitted(fit(circuit(), rows, ties=[Tie(None, ("polite", "emoji"))], ridge=0, held_out=0, bootstrap=0))
    weights = dict(zip(found.features, found.weights, strict=True))
    assert weights["polite"] == weights["emoji"] != 0.0
    problem = train_problem(circuit(), rows)
    merged = problem.pairs.features[:, :6].copy()
    merged[:, 4] += problem.pairs.features[:, 6]
    as_one = replace(
        problem,
        pairs=Pairs(merged, problem.pairs.better, problem.pairs.worse),
        low=problem.low[:6],
        high=problem.high[:6],
    )
    assert found.loss_train == pytest.approx(exact(as_one)[0], rel=1e-4)
    assert found.loss_train > exact(problem)[0] * 1.001  # the tie costs something, so the test can fail


@pytest.mark.parametrize(
    ("tie", "why"),
    [
        (Tie(None, ("polite", "emoij")), "no feature `emoij`; did you mean `emoji`?"),
        (Tie("refusals", ("polite", "emoji")), "no response type `refusals`; did you mean `refusal`?"),
        (Tie(None, ("polite", "polite")), "ties a weight to itself"),
        (Tie(None, ("polite", "lectures")), "at least 0.5 and at most 0; drop the tie"),
    ],
)
def test_ties_that_cannot_be_are_explained(tie: Tie, why: str) -> None:
    with pytest.raises(FitError, match=re.escape(why)):
        fit(circuit("weight polite >= 0.5\n  weight lectures <= 0"), noisy_rows(10, 6, seed=5), ties=[tie])


def test_whitened_margins_make_the_scale_of_the_base_reward_irrelevant() -> None:
    rows = noisy_rows(30, 6, seed=6)
    millions = [replace(r, base_reward=4e6 + 1e6 * (r.base_reward or 0.0)) for r in rows]
    small, large = (fitted(fit(circuit(), some, whiten=True, bootstrap=0)) for some in (rows, millions))
    assert np.allclose(np.array(large.weights) / 1e6, small.weights, rtol=0.02, atol=0.02)
    assert large.base_spread == pytest.approx(1e6 * (small.base_spread or 0.0))
    assert large.loss_train == pytest.approx(1e6 * small.loss_train, rel=2e-4)
    assert large.notes == ()
    with pytest.raises(FitError, match="cannot be whitened: no row has one"):
        fit(circuit(), [replace(r, base_reward=None) for r in rows], whiten=True)
    with pytest.raises(FitError, match="does not vary within any prompt"):
        fit(circuit(), [replace(r, base_reward=3.0) for r in rows], whiten=True)


def test_a_base_reward_beside_which_margins_vanish_is_remarked_on() -> None:
    rows = noisy_rows(20, 6, seed=6)
    millions = fitted(fit(circuit(), [replace(r, base_reward=1e6 * (r.base_reward or 0.0)) for r in rows], bootstrap=0))
    assert all(math.isfinite(weight) for weight in millions.weights)
    assert "`--whiten`" in millions.notes[0]
    faint = fitted(fit(circuit(), [replace(r, base_reward=1e-4 * (r.base_reward or 0.0)) for r in rows], bootstrap=0))
    assert "hardly count" in faint.notes[0]
    assert fitted(fit(circuit(), rows, bootstrap=0)).notes == ()


def separable_rows(prompts: int) -> list[Row]:
    """A grader that never errs: any weights in the order of the ranks, if large enough, do."""
    known = {
        "ideal": (0.95, 0.95, 0.05),
        "curt": (0.95, 0.05, 0.05),
        "preachy": (0.95, 0.5, 0.95),
        "complying": (0.05, 0.5, 0.5),
    }
    return [
        row(
            prompt,
            klass,
            dict(zip(("refuses", "polite", "lectures", "emoji"), (*probs, 0.1 * (prompt % 7)), strict=True)),
        )
        for prompt in range(prompts)
        for klass, probs in known.items()
    ]


def test_a_logistic_fit_that_data_cannot_bound_says_so_and_stays_finite() -> None:
    free = fitted(fit(circuit(), noisy_rows(30, 6, seed=2), loss="logistic", bootstrap=0))
    assert free.notes == ()
    bounded = fitted(fit(circuit(), separable_rows(20), loss="logistic", bootstrap=0))
    assert "do not bound the weights" in bounded.notes[0]
    assert np.abs(bounded.weights).max() < 100
    assert bounded.gap < 1e-4


def test_intervals_are_refused_when_every_pair_is_ordered_with_room_to_spare() -> None:
    found = fitted(fit(circuit(), separable_rows(30), bootstrap=20))
    assert found.loss_train < 1e-3
    assert found.intervals is None
    assert found.error_interval is None
    assert "many other weights" in (found.intervals_refused or "")


def test_intervals_narrow_with_the_data_and_cover_fresh_errors() -> None:
    widths = []
    for prompts in (15, 120):
        found = fitted(fit(circuit(), noisy_rows(prompts, 6, seed=8), ridge=0, bootstrap=60, held_out=0))
        assert found.intervals is not None
        assert found.error_interval is not None
        widths.append(np.mean([i.high - i.low for i in found.intervals]))
    assert widths[1] < 0.6 * widths[0]
    fresh = fitted(fit(circuit(), noisy_rows(200, 6, seed=99), bootstrap=0))
    assert found.error_interval.low - 0.02 < fresh.error_train.both < found.error_interval.high + 0.02


def test_folds_judge_every_prompt_by_weights_that_did_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = noisy_rows(23, 6, seed=4)
    sides = []

    def watched(problem: Problem, left_out: np.ndarray) -> Problem:
        found = without(problem, left_out)
        sides.append((problem, left_out, found))
        return found

    monkeypatch.setattr(fit_module, "without", watched)
    found = fitted(fit(circuit(), rows, folds=4, bootstrap=0))
    assert found.folds is not None
    assert len(found.folds.errors) == len(sides) == 4
    assert found.folds.mean == pytest.approx(np.mean(found.folds.errors))
    (sample,) = sample_rows(NumpyReward(circuit()), rows).samples
    prompts = sample.comparisons.prompt
    assert np.sum([left_out for _, left_out, _ in sides], axis=0).tolist() == [1] * len(prompts)
    for _, left_out, trained in sides:
        assert not set(prompts[left_out].tolist()) & set(prompts[~left_out].tolist())
        assert len(trained.offsets) == np.sum(~left_out)
    again = fitted(fit(circuit(), rows, folds=4, bootstrap=0))
    assert again.folds == found.folds
    refused = fitted(fit(circuit(), noisy_rows(3, 6, seed=4), folds=4, bootstrap=0)).folds
    assert refused is not None
    assert refused.refused == "3 prompts cannot be divided into 4 folds"
