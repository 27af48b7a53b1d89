"""The ridge that a fit chooses by itself: what it is, that it is the one promised, and that RL can use the weights."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT
from learning_rows import FEATURES, POLICY, circuit, noisy_rows, prompted, row

from rbrlang import load
from rbrlang.cli.main import main
from rbrlang.learning.comparisons import pair_errors
from rbrlang.learning.fitting.fit import fit
from rbrlang.learning.fitting.fitted import Fit, ResponseFit
from rbrlang.learning.fitting.path import NoPath, RidgePath
from rbrlang.learning.sample import sample_rows
from rbrlang.learning.spread import spread_of
from rbrlang.reward.kept.artefact import read_artefact
from rbrlang.reward.kept.record import recorded
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, read_rows, with_labels_as_probs


def only(found: Fit) -> ResponseFit:
    """The only response type of the policy."""
    (response,) = found.responses
    assert isinstance(response, ResponseFit)
    return response


def path_of(found: Fit) -> RidgePath:
    assert isinstance(found.path, RidgePath)
    return found.path


def test_the_path_is_that_of_exact_fits_which_saw_no_prompt_they_judge() -> None:
    """All of it again by separate fits under each ridge, over folds that are found from the path's own numbers of prompts."""
    rows, policy = noisy_rows(40, 6, seed=1), circuit()
    found = fit(policy, rows, held_out=0, bootstrap=0)
    path = path_of(found)
    (sample,) = sample_rows(NumpyReward(policy), sorted(rows, key=lambda r: r.prompt_key)).samples
    # Other folds than the path's, but as many: the two agree as far as cross-validation does with itself.
    prompts = np.unique(sample.comparisons.prompt)
    fold_of = dict(zip(prompts.tolist(), (np.arange(len(prompts)) % path.folds).tolist(), strict=True))
    fold = np.array([fold_of[p] for p in sample.comparisons.prompt.tolist()])
    row_fold = [fold_of.get(p, -1) for p in sample.prompts.tolist()]
    ordered = [sorted(rows, key=lambda r: r.prompt_key)[at] for at in sample.rows.tolist()]
    for at in range(0, len(path.ridges), 3):
        losses, errors = np.zeros(len(fold)), np.zeros(len(fold))
        for number in range(path.folds):
            others = [r for r, of in zip(ordered, row_fold, strict=True) if of != number]
            weights = only(fit(policy, others, ridge=path.ridges[at], held_out=0, bootstrap=0)).weights
            reward = sample.base + sample.features @ np.array(weights)
            pairs, judged = sample.comparisons, fold == number
            lead = reward[pairs.better] - reward[pairs.worse]
            losses[judged] = np.maximum(0.0, pairs.margin - lead)[judged]
            errors[judged] = pair_errors(reward, pairs)[judged]
        held = path.pooled[at]
        assert held.loss.value == pytest.approx(losses.mean(), rel=0.04)
        assert held.error.value == pytest.approx(errors.mean(), abs=0.015)
        by_prompt = np.bincount(sample.comparisons.prompt, losses - losses.mean())
        se = np.sqrt(np.sum(by_prompt**2) * len(prompts) / (len(prompts) - 1)) / len(losses)
        assert held.loss.se == pytest.approx(se, rel=0.15)
        whole = only(fit(policy, rows, ridge=path.ridges[at], held_out=0, bootstrap=0))
        assert path.responses[0].train[at] == pytest.approx(whole.loss_train, rel=0.01)
        assert path.responses[0].spreads[at] == pytest.approx(whole.reward_spread.rules.sd, rel=0.05)


@pytest.mark.parametrize("loss", ["hinge", "logistic"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_strongest_ridge_within_one_standard_error_is_taken_and_gives_its_weights(seed: int, loss: str) -> None:
    rows = noisy_rows(30, 6, seed=seed)
    found = fit(circuit(), rows, loss=loss, bootstrap=0)  # pyright: ignore[reportArgumentType]
    path = path_of(found)
    assert list(path.ridges) == sorted(path.ridges, reverse=True)
    values = [held.loss.value for held in path.pooled]
    assert path.best == int(np.argmin(values))
    good = [
        at
        for at, held in enumerate(path.pooled)
        if held.loss.value - values[path.best] <= held.loss.over_se
        and held.error.value - path.pooled[path.best].error.value <= held.error.over_se
    ]
    assert path.chosen == good[0] <= path.best
    given = fit(circuit(), rows, loss=loss, bootstrap=0, ridge=path.ridge)  # pyright: ignore[reportArgumentType]
    assert given.weights.tobytes() == found.weights.tobytes()
    assert given.to_json()["ridge_path"] == {"chosen": path.ridge, "refused": "a ridge was given"}
    assert only(found).ridge == path.ridge
    assert only(found).ridge_is_automatic
    assert not only(given).ridge_is_automatic


def test_a_difference_on_the_same_prompts_is_surer_than_either_side() -> None:
    path = path_of(fit(circuit(), noisy_rows(40, 6, seed=5), bootstrap=0))
    held = path.pooled[path.chosen - 1]  # the next stronger one was told apart
    assert held.loss.over > held.loss.over_se or held.error.over > held.error.over_se
    assert path.pooled[path.best].loss.over == path.pooled[path.best].loss.over_se == 0.0
    assert 0.0 < held.loss.over_se < held.loss.se


def test_too_few_prompts_are_told_and_get_the_documented_ridge() -> None:
    few = noisy_rows(9, 6, seed=0)
    found = fit(circuit(), few, held_out=0, bootstrap=0)
    assert isinstance(found.path, NoPath)
    assert found.path.reason == "9 prompts are too few to choose a ridge by cross-validation; 10 are needed"
    more = path_of(fit(circuit(), noisy_rows(10, 6, seed=0), held_out=0, bootstrap=0))
    # A hundredth of a typical offset for moving a typical pair: the path goes from 10 down to 0.00001.
    assert 0.001 < found.path.ridge / more.ridges[0] * 10 < 0.1
    assert only(found).ridge == found.path.ridge
    entry = found.to_json()["ridge_path"]
    assert entry == {"chosen": found.path.ridge, "refused": found.path.reason}


def test_rows_in_any_order_give_the_same_bytes() -> None:
    rows = [replace(r, id=f"{n}") for n, r in enumerate(noisy_rows(24, 6, seed=1))]
    first = fit(circuit(), rows, seed=3, bootstrap=4)
    shuffled = fit(circuit(), random.Random(0).sample(rows, len(rows)), seed=3, bootstrap=4)
    assert first.weights.tobytes() == shuffled.weights.tobytes()
    assert json.dumps(first.to_json()) == json.dumps(shuffled.to_json())


def test_the_scale_of_all_rewards_changes_the_unit_and_nothing_else() -> None:
    """Base rewards and margins a thousand times as large, defaults at 0: the ridge is a thousandth, the path the same."""
    zero = "".join(f"weight {name} = 0\n  " for name in ("ideal", "complying"))
    small, large = (
        fit(circuit(zero), [replace(r, base_reward=by * (r.base_reward or 0.0)) for r in noisy_rows(30, 6, seed=2)],
            margin=by, bootstrap=0)
        for by in (1.0, 1000.0)
    )  # fmt: skip
    assert path_of(large).ridge == pytest.approx(path_of(small).ridge / 1000, rel=1e-9)
    assert np.allclose(large.weights / 1000, small.weights, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("noise", [0.05, 0.15, 0.25])
@pytest.mark.parametrize("seed", range(4))
def test_the_planted_order_of_classes_is_recovered(seed: int, noise: float) -> None:
    rows = noisy_rows(40, 8, seed=seed, noise=noise)
    policy = circuit()
    found = fit(policy, rows, bootstrap=0)
    worth = dict(zip(policy.responses[0].classes, class_worth(found), strict=True))
    assert worth["ideal"] > max(worth["curt"], worth["preachy"])
    assert min(worth["curt"], worth["preachy"]) > worth["complying"]
    assert only(found).reward_spread.ratio is not None
    assert not only(found).reward_spread.drowns


def class_worth(found: Fit) -> list[float]:
    """What a completion that is surely of each class earns from the rules."""
    weights = dict(zip(FEATURES, only(found).weights, strict=True))
    holds = {
        "ideal": ("ideal", "polite"),
        "curt": ("curt",),
        "preachy": ("preachy", "lectures"),
        "complying": ("complying",),
    }
    return [sum(weights[name] for name in names) for names in holds.values()]


def test_planted_weights_rank_fresh_rows_as_well_as_the_planted_ones_do() -> None:
    rng = np.random.default_rng(3)
    planted = {"refuses": 1.5, "polite": 1.0, "lectures": -1.2, "emoji": 0.0}

    def rows(prompts: int) -> list[Row]:
        made: list[Row] = []
        for prompt in range(prompts):
            for number in range(6):
                probs = dict(zip(planted, rng.random(4).tolist(), strict=True))
                merit = sum(planted[name] * value for name, value in probs.items()) + 0.2 * rng.normal()
                klass = "ideal" if merit > 1.2 else "complying" if merit < 0.2 else "curt"
                made.append(row(prompt, klass, probs, id=f"{prompt}-{number}", base_reward=float(rng.normal(0, 0.3))))
        return made

    policy, fresh = circuit(), rows(200)
    found = fit(policy, rows(60), bootstrap=0)
    (sample,) = sample_rows(NumpyReward(policy), fresh).samples
    truth = np.array([sum(planted[n] * (r.probs[n] or 0.0) for n in planted) for r in fresh])[sample.rows]
    ours = sample.base + sample.features @ np.array(only(found).weights)
    error, best = (float(pair_errors(one, sample.comparisons).mean()) for one in (ours, truth))
    assert best < 0.1
    assert error < best + 0.04


# --- what RL needs ----------------------------------------------------------------------------


def benchmark() -> object:
    """The script of the comparison that the documentation shows."""
    spec = importlib.util.spec_from_file_location("ridge_choice", CHECKOUT / "benchmarks" / "ridge_choice.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("graded", [True, False])
def test_on_the_examples_rows_no_rules_drown_the_base_reward_and_held_out_prompts_are_ranked_as_well(
    graded: bool,
) -> None:
    script = benchmark()
    policy = load(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    rows = read_rows(CHECKOUT / "examples" / "refusals" / "completions.jsonl").rows
    rows = script.graded_by_cues(policy, rows) if graded else with_labels_as_probs(rows)  # pyright: ignore[reportAttributeAccessIssue]
    table = script.compare(policy, rows, 1)  # pyright: ignore[reportAttributeAccessIssue]
    assert [line["response_type"] for line in table] == ["hard_refusal", "soft_refusal", "comply", "all"]
    for line in table:
        assert line["spread"]["chosen"] < 10.0
        low, high = line["error"]["least_loss"][1:]
        assert line["error"]["chosen"][0] <= high
        assert low <= high
    if graded:  # or the comparison would say nothing
        assert table[-1]["spread"]["least_loss"] > 10.0


def test_a_separable_response_type_stays_on_the_scale_of_the_others() -> None:
    policy = circuit()
    twin = replace(policy.responses[0], name="other")
    both = replace(policy, responses=(*policy.responses, twin))
    noisy = noisy_rows(30, 6, seed=4, noise=0.2)
    # The other one's grader is never wrong, and hardly says so: its pairs can all be ordered, by weights of 100 and more.
    faint = [
        replace(
            prompted(r, f"other {r.prompt_key}"),
            response_type="other",
            id=f"other {r.id}",
            probs={n: None if p is None else 0.5 + 0.01 * (p - 0.5) for n, p in r.probs.items()},
        )
        for r in noisy_rows(30, 6, seed=4, noise=0.0)
    ]
    spreads = {
        ridge: [one.reward_spread.rules.sd for one in fit(both, [*noisy, *faint], ridge=ridge, bootstrap=0).responses
                if isinstance(one, ResponseFit)]
        for ridge in (None, 0.0)
    }  # fmt: skip
    assert len(spreads[None]) == 2
    assert max(spreads[None]) < 5 * min(spreads[None])
    assert max(spreads[None]) < max(spreads[0.0])


def test_spreads_are_told_with_a_warning_at_ten_times_the_base_rewards() -> None:
    base = np.array([1.0, -1.0, 1.0, -1.0])
    near, far = spread_of(9.9 * base, base), spread_of(10.0 * base, base)
    assert (near.rules.sd, near.rules.least, near.rules.greatest) == pytest.approx((9.9, -9.9, 9.9))
    assert near.ratio == pytest.approx(9.9)
    assert near.warning("refusal") is None
    assert far.ratio == 10.0
    told = far.warning("refusal") or ""
    assert "the rules' reward of `refusal` spreads 10 times as far as the base reward" in told
    assert "standard deviations 10 and 1 over 4 rows; rules -10 … 10" in told
    assert "`--ridge`" in told
    for silent in (spread_of(base, np.full(4, 0.1)), spread_of(base, np.full(4, 1e9 + 0.1)), spread_of(base, None)):
        assert silent.ratio is None
        assert silent.warning("refusal") is None
    assert far.to_json() == {
        "rows": 4,
        "rules": {"sd": 10.0, "least": -10.0, "greatest": 10.0},
        "base": {"sd": 1.0, "least": -1.0, "greatest": 1.0},
        "ratio": 10.0,
        "drowns_base": True,
    }
    millions = spread_of(1e9 + base, base)  # a deviation loses no digits
    assert millions.rules.sd == 1.0


def test_the_command_prints_the_path_and_the_spreads_and_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.rbr").write_text(POLICY.replace("REWARD", ""), "utf-8")
    rows = noisy_rows(30, 6, seed=2)
    lines = [json.dumps(dict(r.raw) | {"base_reward": 0.01 * (r.base_reward or 0.0)}) for r in rows]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines), "utf-8")
    arguments = [
        "fit",
        str(tmp_path / "p.rbr"),
        str(tmp_path / "rows.jsonl"),
        "--bootstrap",
        "0",
        "-o",
        str(tmp_path / "p.rbrc"),
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    entry = recorded(read_artefact(tmp_path / "p.rbrc"))
    assert entry.ridges is not None
    assert f"ridge {entry.ridges.chosen:g} for all response types: the strongest within one standard error" in printed
    table = printed.split("left out: mean loss")[1].split("refusal: ")[0].splitlines()
    assert [line.split()[0] for line in table if "±" in line] == [f"{step.ridge:g}" for step in entry.ridges.steps]
    (chosen,) = (line.split() for line in table if line.rstrip().endswith("chosen"))
    assert float(chosen[0]) == entry.ridges.chosen
    assert "warning: the rules' reward of `refusal` spreads" in printed
    assert main([*arguments, "--ridge", "0.5"]) == 0
    assert "ridge 0.5 for all response types: a ridge was given" in capsys.readouterr().out
