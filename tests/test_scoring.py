"""From rollouts to rewards, whatever the trainer: columns, graders, what has no reward, metrics, workers."""

from __future__ import annotations

import logging
import math
import multiprocessing
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from hypothesis import given, settings
from hypothesis import strategies as st
from scoring_worker import scored

import rbrlang as rbr
from rbrlang.grading.local import GraderError
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, Value
from rbrlang.reward.kept.artefact import Artefact, read_artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, read_rows, with_labels_as_probs
from rbrlang.scoring import metrics
from rbrlang.scoring.columns import Columns, ColumnsError, Unusable, of_policy, rollout, rollouts
from rbrlang.scoring.invalid import OnInvalidError, Trainer, UnscoredError, checked, group_means, numbers
from rbrlang.scoring.score import Scorer, Scores

EXAMPLE = CHECKOUT / "examples" / "refusals"
ROWS = read_rows(EXAMPLE / "completions.jsonl").rows


@pytest.fixture(scope="module")
def artefact_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's policy with its default weights, as a file."""
    target = tmp_path_factory.mktemp("artefact") / "refusals.rbrc"
    policy = rbr.load(EXAMPLE / "policy.rbr")
    rbr.write(target, policy, rbr.compile(policy))
    return target


@pytest.fixture(scope="module")
def artefact(artefact_file: Path) -> Artefact:
    """The same, read."""
    return read_artefact(artefact_file)


class LabelJudge:
    """Human labels of the example's rows, found by text; what is in `broken` cannot be answered."""

    def __init__(self, names: Sequence[str], broken: Mapping[tuple[str, str], Answer] | None = None) -> None:
        self.labels = {row.completion_text: row.labels for row in ROWS}
        self.names, self.broken = tuple(names), dict(broken or {})

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        return [
            {p: self._answer(item.completion, self.names[p]) for p in of}
            for item, of in zip(items, wanted, strict=True)
        ]

    def _answer(self, text: str, name: str) -> Answer:
        p = float(bool(self.labels[text][name]))
        return self.broken.get((text, name), Value(p, 0.9, p, p, "label"))


def columns_of(rows: Sequence[Row]) -> tuple[list[object], list[object], dict[str, list[object]]]:
    """Rows as a trainer hands them over."""
    prompts: list[object] = [[turn.to_json() for turn in row.prompt] for row in rows]
    completions: list[object] = [row.completion_text for row in rows]
    given: dict[str, list[object]] = {
        "response_type": [row.response_type for row in rows],
        "base_reward": [row.base_reward for row in rows],
    }
    return prompts, completions, given


def score(artefact: Artefact, rows: Sequence[Row], broken: Mapping[tuple[str, str], Answer] | None = None) -> Scores:
    """Scores of rows by their labels, base reward included."""
    scorer = Scorer(artefact, LabelJudge(artefact.circuit.propositions, broken))
    return scorer(rollouts(*columns_of(rows), Columns(base_reward="base_reward")))


def test_scores_are_the_reward_of_the_labels(artefact: Artefact) -> None:
    scores = score(artefact, ROWS)
    graded = with_labels_as_probs(ROWS)
    reward = NumpyReward.from_artefact(artefact)
    base = np.array([row.base_reward for row in ROWS], np.float32)
    np.testing.assert_array_equal(scores.rewards, reward(reward.encode(graded), reward.response_ids(graded), base))
    assert scores.reasons == (None,) * len(ROWS)
    np.testing.assert_allclose(scores.contributions.sum(1), scores.rewards, atol=1e-5)
    assert set(scores.masses) == {np.float32(0.9)}


@cache
def embedded_scorer() -> Scorer:
    """The example's policy with its default weights, graded by the embedded grader."""
    policy = rbr.load(EXAMPLE / "policy.rbr")
    return Scorer(Artefact(policy.circuit, rbr.compile(policy).host.weights, policy.sources, None, {}))


@settings(max_examples=20, deadline=None)
@given(picked=st.lists(st.integers(0, len(ROWS) - 1), min_size=2, max_size=12), cut=st.integers(1, 11))
def test_a_completion_is_worth_the_same_in_every_batch(picked: list[int], cut: int) -> None:
    scorer = embedded_scorer()
    made = rollouts(*columns_of([ROWS[i] for i in picked]), Columns())
    whole = scorer(made).rewards
    parts = [scorer(part).rewards for part in (made[:cut], made[cut:]) if part]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-5)  # float32 sums of the grader's evidence


# --- columns ----------------------------------------------------------------------------------


def test_columns_of_arrays_bytes_and_messages_mean_the_same() -> None:
    texts = ["Sorry, no.", "Here you are."]
    plain = rollouts(["a", "b"], texts, {"kind": ["x", "y"], "score": [1.5, 2.0]}, Columns("kind", base_reward="score"))
    prompts: Any = np.array([b"a", b"b"])
    arrays = rollouts(
        prompts,
        [[{"role": "assistant", "content": text}] for text in texts],
        {"kind": np.array(["x", "y"]), "score": np.array([1.5, 2.0], np.float32), "unread": object()},
        Columns("kind", base_reward="score"),
    )
    for one, other in zip(plain, arrays, strict=True):
        assert isinstance(one, Row)
        assert isinstance(other, Row)
        assert (one.prompt, one.completion, one.response_type, one.base_reward) == (
            other.prompt, other.completion, other.response_type, other.base_reward,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("given_columns", "columns", "said"),
    [
        ({"kind": ["x"]}, Columns(), "there is `kind`; name one with Columns(response_type=…)"),
        ({}, Columns(), "there is none at all"),
        ({"category": ["x"]}, Columns(response_type="kind"), "there is no column `kind`; there is `category`"),
        ({"category": ["x"]}, Columns(base_reward="rm"), "there is no column `rm`; there is `category`"),
        ({"category": ["x", "y"]}, Columns(), "the column `category` is not a list of 1 values"),
        ({"category": "x"}, Columns(), "the column `category` is not a list of 1 values"),
    ],
)
def test_missing_columns_are_named(given_columns: dict[str, object], columns: Columns, said: str) -> None:
    with pytest.raises(ColumnsError, match=re.escape(said)):
        rollouts(["p"], ["c"], given_columns, columns)


def test_a_record_without_the_prompt_is_refused_unless_said_so() -> None:
    with pytest.raises(ColumnsError, match=r"no `prompt` among `category`.*Columns\(prompt=None\)"):
        rollout("c", {"category": "x"}, Columns())
    made = rollout("c", {"category": "x"}, Columns(prompt=None))
    assert isinstance(made, Row)
    assert made.prompt == ()


def test_a_plain_prompt_takes_the_place_of_a_templated_one() -> None:
    for given_columns, columns in (
        ({"category": ["x"], "prompt": ["plain"]}, Columns()),
        ({"category": ["x"], "request": ["plain"], "prompt": ["other"]}, Columns(prompt="request")),
    ):
        (made,) = rollouts(["<user>plain<assistant>"], ["c"], given_columns, columns)
        assert isinstance(made, Row)
        assert [m.text for m in made.prompt] == ["plain"]
    with pytest.raises(ColumnsError, match="there is no column `request`"):
        rollouts(["p"], ["c"], {"category": ["x"]}, Columns(prompt="request"))


def test_every_has_to_be_a_response_type(artefact: Artefact) -> None:
    with pytest.raises(ColumnsError, match="no response type `hard_refusl`; did you mean `hard_refusal`"):
        of_policy(Columns(every="hard_refusl"), artefact.circuit)
    of_policy(Columns(every="hard_refusal"), artefact.circuit)


@pytest.mark.parametrize(
    ("completion", "columns", "said"),
    [
        (None, {"response_type": ["comply"]}, "there is no `completion`"),
        (7, {"response_type": ["comply"]}, "neither text nor a list of messages"),
        ([], {"response_type": ["comply"]}, "holds no message"),
        ([{"role": "tool", "content": "x"}], {"response_type": ["comply"]}, "no turn of the assistant"),
        ("c", {"response_type": ["compl"]}, "no response type `compl`; did you mean `comply`?"),
        ("c", {"category": ["zzz"]}, "maps no category `zzz`"),
        ("c", {"response_type": [None]}, "neither a response type nor a category"),
        ("c", {"response_type": ["comply"], "rm": [math.nan]}, "`base_reward` is nan"),
        ("c", {"response_type": ["comply"], "rm": [None]}, "no base reward"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_and_no_reward(
    completion: object, columns: dict[str, list[object]], said: str
) -> None:
    chosen = Columns(base_reward="rm" if "rm" in columns else None)
    scores = embedded_scorer()(rollouts(["p"], [completion], columns, chosen))
    assert np.isnan(scores.rewards[0])
    assert said in (scores.reasons[0] or "")


# --- what has no reward -----------------------------------------------------------------------


def test_a_grader_that_fails_gives_a_reason_and_no_number(artefact: Artefact) -> None:
    rows = ROWS[:4]
    broken = {(rows[1].completion_text, "apology"): Invalid("transport", "no answer within 60 s")}
    scores = score(artefact, rows, broken)
    assert scores.invalid.tolist() == [False, True, False, False]
    assert scores.reasons[1] == "no answer for `apology`; `apology`: no answer within 60 s"
    with pytest.raises(UnscoredError, match="1 of 4 completions have no reward; completion 1: no answer for `apology`"):
        numbers(scores, "raise")
    assert numbers(scores, -7.0)[1] == -7.0
    for word in ("none", "mask"):
        assert np.isnan(numbers(scores, word)).tolist() == [False, True, False, False]
    others = [0, 2, 3]
    np.testing.assert_array_equal(numbers(scores, -7.0)[others], score(artefact, rows).rewards[others])


def test_an_abstention_that_cannot_matter_costs_nothing(artefact: Artefact) -> None:
    """Disallowed content decides the class, so only the features beside it need an answer."""
    row = next(r for r in ROWS if r.klass == "disallowed" and r.response_type == "hard_refusal")
    response = artefact.circuit.responses[artefact.circuit.response_names.index("hard_refusal")]
    needed = {"disallowed_content", *(f.name for f in response.features if f.kind == "proposition")}
    silent = [name for name in artefact.circuit.propositions if name not in needed]
    assert len(silent) > 5
    scores = score(artefact, [row], {(row.completion_text, name): Abstained("no label") for name in silent})
    assert scores.reasons == (None,)
    np.testing.assert_array_equal(scores.rewards, score(artefact, [row]).rewards)


@given(
    rewards=st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), min_size=4, max_size=24),
    group=st.integers(2, 4),
)
def test_a_masked_completion_has_no_advantage_and_moves_no_mean(rewards: list[float], group: int) -> None:
    given_rewards = np.array(rewards[: len(rewards) // group * group])
    filled = group_means(given_rewards, group)
    assert np.isfinite(filled).all()
    table, known = filled.reshape(-1, group), np.isfinite(given_rewards.reshape(-1, group))
    advantage = table - table.mean(1, keepdims=True)
    np.testing.assert_allclose(advantage[~known], 0.0, atol=1e-9)
    for row, mask, original in zip(table, known, given_rewards.reshape(-1, group), strict=True):
        np.testing.assert_array_equal(row[mask], original[mask])
        if mask.any():
            assert math.isclose(row.mean(), original[mask].mean(), abs_tol=1e-9)


def test_a_batch_that_is_no_whole_number_of_groups_is_refused() -> None:
    with pytest.raises(OnInvalidError, match="5 completions do not divide into groups of 2"):
        group_means(np.zeros(5), 2)


@pytest.mark.parametrize("bad", ["mask", "nothing", math.nan, math.inf, True, None, [1.0]])
def test_settings_that_a_trainer_cannot_express_are_refused(bad: object) -> None:
    with pytest.raises(OnInvalidError, match='"raise", or a finite number'):
        checked(bad, Trainer("verl", ("raise",), "it takes a number for every completion"))


@pytest.mark.parametrize(("given", "read"), [("none", "none"), ("raise", "raise"), (np.float32(-1.5), -1.5), (2, 2.0)])
def test_settings_that_a_trainer_can_express_are_taken(given: object, read: object) -> None:
    found = checked(given, Trainer("TRL", ("none", "raise"), ""))
    assert (found, type(found)) == (read, type(read))


def test_graders_are_named_with_the_way_out() -> None:
    artefact = embedded_scorer().artefact
    for name, said in {"labels": "rollout", "embeded": "embedded", "python:os.nothing": "nothing"}.items():
        with pytest.raises(GraderError, match=said):
            Scorer(artefact, name)


# --- metrics ----------------------------------------------------------------------------------


def test_metrics_are_means_of_the_batch(artefact: Artefact) -> None:
    rows = ROWS[:40]
    scores = score(artefact, rows)
    found = metrics.batch_metrics(scores)
    asked = [r.labels["apology"] for r, p in zip(rows, scores.probs, strict=True) if not np.isnan(p[0])]
    assert artefact.circuit.propositions[0] == "apology"
    assert math.isclose(found["rbr/apology/p"], sum(map(bool, asked)) / len(asked), abs_tol=1e-6)
    shares = {k.removeprefix("rbr/class/"): v for k, v in found.items() if k.startswith("rbr/class/")}
    assert math.isclose(sum(shares.values()), 1.0, abs_tol=1e-6)
    assert math.isclose(shares["ideal"], sum(r.klass == "ideal" for r in rows) / len(rows), abs_tol=1e-6)
    assert found["rbr/invalid_rate"] == 0.0
    assert math.isclose(found["rbr/answer_mass/min"], 0.9, abs_tol=1e-6)
    assert math.isclose(found["rbr/reward/mean"], float(scores.rewards.mean()), abs_tol=1e-5)
    assert [metrics.likely_class(scores, i) for i in range(len(rows))] == [r.klass for r in rows]


def test_metrics_of_one_completion_have_the_same_names_for_all(artefact: Artefact) -> None:
    rows = [next(r for r in ROWS if r.response_type == name) for name in artefact.circuit.response_names]
    scores = score(artefact, rows, {(rows[0].completion_text, "apology"): Invalid("thinking", "it thinks")})
    names = {tuple(metrics.one_metrics(scores, at)) for at in range(len(rows))}
    assert len(names) == 1
    assert math.isnan(metrics.one_metrics(scores, 0)["rbr/reward/mean"])
    unread = embedded_scorer()([Unusable("it is empty")])
    assert {tuple(metrics.one_metrics(unread, 0))} == names
    assert metrics.batch_metrics(unread) == {"rbr/invalid_rate": 1.0}


# --- workers ----------------------------------------------------------------------------------


def test_spawned_workers_score_the_same_and_load_no_jax() -> None:
    made = rollouts(*columns_of(ROWS[:6]), Columns())
    scorer = embedded_scorer()
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        for rewards, has_jax in pool.map(scored, [pickle.dumps(scorer)] * 2, [made] * 2):
            np.testing.assert_array_equal(rewards, scorer(made).rewards)
            assert not has_jax


def test_adapters_load_neither_jax_nor_a_trainer(artefact_file: Path) -> None:
    program = f"""
import sys
from rbrlang.adapters import nemo_gym, openrlhf, trl, tunix, verifiers, verl
from rbrlang.scoring.columns import Columns
made = [
    make({str(artefact_file)!r}, columns=Columns(every="comply"))
    for make in (
        nemo_gym.NeMoGymReward, openrlhf.OpenRLHFReward, trl.TRLReward, tunix.TunixReward,
        verifiers.VerifiersReward, verl.VerlReward,
    )
]
assert {{f.__name__ for f in made}} == {{"rbr"}}
loaded = {{name.split(".")[0] for name in sys.modules}} & {{"jax", "torch", "trl", "tunix", "verl", "ray", "openrlhf"}}
assert not loaded, loaded
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def written(folder: Path, text: str) -> str:
    """The artefact of a policy, by its default weights."""
    file = folder / "p.rbr"
    file.write_text(text, encoding="utf-8")
    policy = rbr.load(file)
    rbr.write(folder / "p.rbrc", policy, rbr.compile(policy))
    return str(folder / "p.rbrc")


SIGHT = (
    'prop apology "The response says sorry."\nprop helps "The response helps."\n'
    "response refuse ranks good > bad\nrefuse.good := apology\nrefuse.bad := !apology\n"
)
HELP = "response answer ranks done > left\nanswer.done := helps\nanswer.left := !helps\n"


def test_a_grader_that_cannot_read_the_propositions_is_found_out_before_the_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Scorer(written(tmp_path, SIGHT))
    assert caplog.text == ""
    with caplog.at_level(logging.WARNING, "rbrlang"):
        scores = Scorer(written(tmp_path, SIGHT + HELP))(
            rollouts(["Hi."] * 2, ["Sorry, no."] * 2, {"response_type": ["refuse", "answer"]}, Columns())
        )
    assert "completions of `answer` will have no reward: the embedded grader cannot read `helps`" in caplog.text
    assert scores.invalid.tolist() == [False, True]
    with pytest.raises(GraderError, match="no completion would have a reward: the embedded grader cannot read `helps`"):
        Scorer(written(tmp_path, 'prop helps "The response helps."\n' + HELP))
