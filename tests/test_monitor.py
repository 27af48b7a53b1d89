"""The monitor: each failure is injected and found, a healthy run is left in peace, and what is written can be read."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKOUT
from numpy.random import Generator
from tensorboardX.proto.event_pb2 import Event as TensorBoardEvent

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.grading.results import GradeItem, Value
from rbrlang.monitor import Alarm, Jsonl, Monitor, Settings, TensorBoard, Watched, WeightsAndBiases
from rbrlang.monitor.degenerate import is_degenerate
from rbrlang.monitor.series import Detectors
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows, row_from
from rbrlang.scoring.score import Scorer, Scores

POLICY = """rbr 1
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
prop refusal "It declines." { cue yes "(?i)\\\\bcan't\\\\b" }
prop rude "It is rude." { cue yes "(?i)\\\\bfool\\\\b" }
response r ranks ideal > plain > bad {
  bad   if rude | !refusal
  plain if !apology
  ideal otherwise
}
"""
SIZE = 32
TEXTS = tuple(row_from({"completion": f"A text of its own, number {i}.", "response_type": "r"}) for i in range(SIZE))
EMPTY = tuple(row_from({"completion": " \n", "response_type": "r", "id": str(i)}) for i in range(SIZE))


@pytest.fixture(scope="module")
def reward(tmp_path_factory: pytest.TempPathFactory) -> NumpyReward:
    file = tmp_path_factory.mktemp("monitor") / "p.rbr"
    file.write_text(POLICY)
    policy = rbr.load(file)
    rbr.write(file.with_suffix(".rbrc"), policy, rbr.compile(policy))
    return Scorer(file.with_suffix(".rbrc")).reward


def probabilities(rng: Generator, means: tuple[float, float, float], noise: float = 0.05) -> np.ndarray:
    """P(yes) of a grader that is mostly sure, float [SIZE, 3]."""
    truth = rng.random((SIZE, 3)) < np.array(means)
    return np.clip(np.where(truth, 0.95, 0.05) + rng.normal(0, noise, (SIZE, 3)), 0.0, 1.0)


def scores(reward: NumpyReward, probs: np.ndarray) -> Scores:
    """Scores of completions whose grader said so; NaN is an answer that failed."""
    ids, atoms = np.zeros(len(probs), np.int32), probs.astype(np.float32)
    rewards = reward(atoms, ids)
    reasons = tuple("no answer" if math.isnan(r) else None for r in rewards.tolist())
    return Scores(
        reward.circuit, rewards, reasons, ids, atoms, reward.class_probs(atoms, ids), reward.contributions(atoms, ids),
        np.ones(len(probs), np.float32), ({},) * len(probs), ({},) * len(probs),
        np.zeros((len(probs), 0), np.float32),
    )  # fmt: skip


Step = Callable[[Monitor, Generator, int], tuple[Alarm, ...]]


def run(reward: NumpyReward, seed: int, steps: int, step: Step, settings: Settings | None = None) -> list[Alarm]:
    """All alarms of a run."""
    monitor, rng = Monitor(reward.circuit, settings=settings), np.random.default_rng(seed)
    return [alarm for number in range(steps) for alarm in step(monitor, rng, number)]


def healthy(reward: NumpyReward) -> Step:
    """A policy that learns to apologise, a rare rude word, an answer lost now and then, graders that jitter."""
    fixed = probabilities(np.random.default_rng(1), (0.5, 0.5, 0.1))

    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.3 + 0.4 * min(1.0, number / 200), 0.6, 0.03))
        probs[rng.random(SIZE) < 0.02] = math.nan
        first = scores(reward, probs)
        found = monitor.observe(number, TEXTS, first)
        found += monitor.observe_second(
            number, first.part(0, 4), scores(reward, np.clip(probs + rng.normal(0, 0.1, probs.shape), 0, 1)).part(0, 4)
        )
        if number % 5 == 0:
            again = np.clip(fixed + rng.normal(0, 0.02, fixed.shape), 0, 1)
            found += monitor.observe_anchors(number, scores(reward, again))
        return found

    return step


# --- what is healthy --------------------------------------------------------------------------


def test_a_healthy_run_is_left_in_peace(reward: NumpyReward) -> None:
    found = [alarm for seed in range(6) for alarm in run(reward, seed, 100, healthy(reward))]
    assert found == []


@pytest.mark.parametrize("mean", [0.05, 0.3])
@pytest.mark.parametrize("two_sided", [True, False])
def test_false_alarms_are_as_rare_as_stated_at_the_very_bound(mean: float, two_sided: bool) -> None:
    """Means exactly at the bound, in the two shapes that are hardest: all or nothing, and constant."""
    series, steps, threshold = 4000, 100, 1000.0
    rng = np.random.default_rng(3)
    detectors, alarmed = Detectors(series, threshold), np.zeros(series, bool)
    for _ in range(steps):
        x = (rng.random(series) < mean).astype(float) if two_sided else np.full(series, mean)
        alarmed |= detectors.update(x[None, :], np.full(series, mean))
    stated = steps / threshold
    assert alarmed.mean() <= stated + 4 * math.sqrt(stated * (1 - stated) / series)


def test_the_bet_is_open_at_every_step() -> None:
    """A rise late in the run is found as fast as one at its beginning."""

    def delay(quiet: int) -> int:
        detectors, bound = Detectors(1, 1e6), np.array([0.1])
        for _ in range(quiet):
            assert not detectors.update(np.array([[0.05]]), bound)[0]
        return next(i for i in range(100) if detectors.update(np.array([[0.5]]), bound)[0])

    assert delay(500) <= delay(0) + 1


# --- what is not ------------------------------------------------------------------------------


def test_a_rising_invalid_rate(reward: NumpyReward) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.5, 0.5, 0.1))
        rate = 0.02 if number < 60 else 0.02 + 0.01 * (number - 60) if number < 120 else 0.0
        probs[rng.random(SIZE) < rate] = math.nan
        return monitor.observe(number, TEXTS, scores(reward, probs))

    for seed in range(4):
        began, *_, ended = run(reward, seed, 200, step)
        assert (began.kind, began.over, ended.over) == ("invalid", False, True)
        assert 60 < began.step < 100
        assert 120 < ended.step < 160
        assert began.value > began.bound


def test_a_grader_that_is_dead_from_the_beginning(reward: NumpyReward) -> None:
    def step(monitor: Monitor, _: Generator, number: int) -> tuple[Alarm, ...]:
        return monitor.observe(number, TEXTS, scores(reward, np.full((SIZE, 3), math.nan)))

    (alarm,) = run(reward, 0, 50, step)
    assert (alarm.kind, alarm.value) == ("invalid", 1.0)
    assert alarm.step < 10


@pytest.mark.parametrize("left", [0.02, 0.0])
def test_a_saturated_proposition_is_named(reward: NumpyReward, left: float) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.5, 0.5, 0.1), noise=0.02)
        if number >= 60:
            probs[:, 0] = np.clip(0.97 + rng.normal(0, left, SIZE), 0, 1)
        return monitor.observe(number, TEXTS, scores(reward, probs))

    for seed in range(4):
        (alarm,) = run(reward, seed, 150, step)
        assert (alarm.kind, alarm.about) == ("saturated", "apology")
        assert 70 < alarm.step < 120


def test_a_reward_without_variance(reward: NumpyReward) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.5, 0.5, 0.1))
        return monitor.observe(number, TEXTS, scores(reward, probs if number < 40 else np.full((SIZE, 3), 0.9)))

    assert {"apology", "refusal", "reward"} <= {alarm.about for alarm in run(reward, 0, 120, step)}


def test_a_proposition_that_never_varied_has_nothing_to_lose(reward: NumpyReward) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        return monitor.observe(number, TEXTS, scores(reward, probabilities(rng, (0.5, 0.5, 0.0), noise=0.01)))

    assert run(reward, 0, 200, step) == []


@pytest.mark.parametrize("well", [True, False])
def test_empty_completions_alarm_only_where_they_score_well(reward: NumpyReward, well: bool) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.5, 0.5, 0.1))
        rollouts = TEXTS
        if number >= 30:  # a quarter of the policy's completions are empty
            rollouts = EMPTY[: SIZE // 4] + TEXTS[SIZE // 4 :]
            probs[: SIZE // 4] = [0.99, 0.99, 0.01] if well else [0.01, 0.01, 0.99]
        return monitor.observe(number, rollouts, scores(reward, probs))

    for seed in range(5):
        assert [(a.kind, a.over) for a in run(reward, seed, 60, step)] == ([("degenerate", False)] if well else [])


def test_a_policy_that_says_nothing_at_all(reward: NumpyReward) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        rollouts = TEXTS if number < 30 else EMPTY
        probs = probabilities(rng, (0.5, 0.5, 0.1)) if number < 30 else np.full((SIZE, 3), 0.02)
        return monitor.observe(number, rollouts, scores(reward, probs))

    alarms = run(reward, 0, 60, step)
    assert alarms[0].kind == "degenerate"
    assert alarms[0].step < 45


@pytest.mark.parametrize("shift", [0.1, -0.1])
def test_a_grader_that_drifts_is_found_in_few_looks(reward: NumpyReward, shift: float) -> None:
    fixed = probabilities(np.random.default_rng(5), (0.5, 0.5, 0.5))

    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        again = fixed + rng.normal(0, 0.02, fixed.shape)
        again[:, 1] += shift * (number >= 10)
        return monitor.observe_anchors(number, scores(reward, np.clip(again, 0, 1)))

    for seed in range(4):
        (alarm,) = run(reward, seed, 20, step)
        assert (alarm.kind, alarm.about) == ("drift", "refusal")
        assert alarm.step <= 13


def test_a_second_grader_that_parts_from_the_first(reward: NumpyReward) -> None:
    def step(monitor: Monitor, rng: Generator, number: int) -> tuple[Alarm, ...]:
        probs = probabilities(rng, (0.5, 0.5, 0.1))
        other = probs + rng.normal(0, 0.05, probs.shape)
        if number >= 60:
            other[:, 0] = 0.05  # the policy has found what sways the first
        first, second = scores(reward, probs).part(0, 6), scores(reward, np.clip(other, 0, 1)).part(0, 6)
        return monitor.observe_second(number, first, second)

    for seed in range(4):
        alarm, *_ = run(reward, seed, 120, step)
        assert (alarm.kind, alarm.about) == ("divergence", "apology")
        assert 60 < alarm.step < 90


def test_small_batches_are_put_together_and_steps_are_deterministic(reward: NumpyReward) -> None:
    rng = np.random.default_rng(0)
    probs = probabilities(rng, (0.5, 0.5, 0.1))
    lines: list[tuple[int, dict[str, float]]] = []

    class Keep:
        def start(self, *_: object) -> None: ...
        def alarm(self, _: Alarm) -> None: ...
        def metrics(self, step: int, values: dict[str, float]) -> None:
            lines.append((step, dict(values)))

    for pieces in (1, 4, 32):
        monitor = Monitor(reward.circuit, [Keep()])
        size = SIZE // pieces
        for i in range(pieces):
            some = slice(i * size, (i + 1) * size)
            monitor.observe(i, TEXTS[some], scores(reward, probs[some]))
    assert [step for step, _ in lines] == [0, 3, 31]
    assert lines[0][1] == lines[1][1] == lines[2][1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", True), ("\n\t ", True), ("?!…", True), ("😀😀", True), ("ok " * 200, True), ("ha" * 500, True), ("x" * 60, True),
     ("4", False), ("No.", False), ("はい、できます。", False), ("https://example.org/" + "abcdefghijklmnop" * 3 , False)],
)  # fmt: skip
def test_degenerate(text: str, expected: bool) -> None:
    assert is_degenerate(text) is expected


def test_real_completions_are_not_degenerate() -> None:
    rows = read_rows(CHECKOUT / "examples" / "refusals" / "completions.jsonl").rows
    assert [row.id for row in rows if is_degenerate(row.completion_text)] == []


# --- what is written --------------------------------------------------------------------------


def saturating(reward: NumpyReward, monitor: Monitor, steps: int = 100) -> list[Alarm]:
    rng = np.random.default_rng(0)
    found: list[Alarm] = []
    for number in range(steps):
        probs = probabilities(rng, (0.5, 0.5, 0.1))
        if number >= 50:
            probs[:, 0] = 0.97
        found += monitor.observe(number, TEXTS, scores(reward, probs))
    return found


def test_the_log_is_shown(reward: NumpyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "run" / "rbr.jsonl"
    (alarm,) = saturating(reward, Monitor(reward.circuit, [Jsonl(log)]))
    assert main(["watch", str(log), "--once"]) == 1
    said = capsys.readouterr().out
    assert f"ALARM  since step {alarm.step}  saturated: `apology` hardly varies any more" in said
    assert "rbr/apology/p" in said
    assert "step 99" in said
    assert main(["watch", str(log), "--format", "json"]) == 1
    (active,) = json.loads(capsys.readouterr().out)["active"]
    assert (active["alarm"], active["about"], active["step"]) == ("saturated", "apology", alarm.step)


def test_a_log_that_was_cut_is_continued_and_shown(
    reward: NumpyReward, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "rbr.jsonl"
    saturating(reward, Monitor(reward.circuit, [Jsonl(log)]), 10)
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])
    saturating(reward, Monitor(reward.circuit, [Jsonl(log)]), 10)
    lines = log.read_text().splitlines()
    assert sum(line.startswith('{"type": "start"') for line in lines) == 2
    assert main(["watch", str(log), "--once"]) == 0
    said = capsys.readouterr().out
    assert "1 lines are not a monitor's" in said
    assert "no alarm" in said


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"\xff\xfe\n", b"[1]\n", b'{"type": "step"}\n', b'{"type": "step", "step": 1, "metrics": {"a": NaN}}\n',
     b'{"type": "alarm", "step": 3}\n', b"[" * 100_000 + b"\n", b'{"type": "step", "step": 1, "metrics": {"\\u001b[31m": 1}}\n'],
)  # fmt: skip
def test_any_log_can_be_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    log = tmp_path / "rbr.jsonl"
    log.write_bytes(content)
    assert main(["watch", str(log), "--once"]) in (0, 1)
    assert "\x1b" not in capsys.readouterr().out


def test_a_log_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "none")]) == 2
    assert "no such file" in capsys.readouterr().err


def test_tensorboard_reads_the_curves(reward: NumpyReward, tmp_path: Path) -> None:
    board = TensorBoard(tmp_path)
    (alarm,) = saturating(reward, Monitor(reward.circuit, [board]))
    board.close()
    scalars: dict[str, dict[int, float]] = {}
    for event in _events(next(tmp_path.iterdir())):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                scalars.setdefault(value.tag, {})[event.step] = value.simple_value
    assert sorted(scalars["rbr/apology/p"]) == list(range(100))
    assert scalars["rbr/alarm/saturated/apology"] == {alarm.step: 1.0}


def _events(path: Path) -> Iterator[TensorBoardEvent]:
    """The records of an event file: length, its checksum, data, its checksum."""
    data = path.read_bytes()
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        yield TensorBoardEvent.FromString(data[at + 12 : at + 12 + size])
        at += 16 + size


def test_weights_and_biases_gets_curves_and_alerts(reward: NumpyReward) -> None:
    logged: list[dict[str, object]] = []
    alerts: list[str] = []

    class Run:
        def log(self, data: dict[str, object], /) -> None:
            logged.append(data)

        def alert(self, title: str, text: str) -> None:
            alerts.append(title)

    saturating(reward, Monitor(reward.circuit, [WeightsAndBiases(Run())]))
    assert [entry["rbr/step"] for entry in logged] == list(range(100))
    assert alerts == ["rbr: saturated apology"]


# --- behind a scorer --------------------------------------------------------------------------


def test_a_watched_scorer_gives_the_scorers_scores_and_sees_a_drift(tmp_path: Path) -> None:
    file = tmp_path / "p.rbr"
    file.write_text(POLICY)
    policy = rbr.load(file)
    rbr.write(tmp_path / "p.rbrc", policy, rbr.compile(policy))
    swayed = False

    def judge(items: list[GradeItem], wanted: list[list[int]]) -> list[dict[int, Value]]:
        p = 0.8 if swayed else 0.2
        return [{i: Value(p, 1.0, p, p, "function") for i in asked} for asked in wanted]

    scorer = Scorer(tmp_path / "p.rbrc", judge)  # type: ignore[arg-type]
    second = Scorer(tmp_path / "p.rbrc", "embedded")
    log = tmp_path / "rbr.jsonl"
    monitor = Monitor(scorer.circuit, [Jsonl(log)])
    watched = Watched(scorer, monitor, anchors=TEXTS[:10], every=2, second=second, share=0.3, seed=4)
    for number in range(8):
        swayed = number >= 4
        np.testing.assert_array_equal(watched(TEXTS).rewards, scorer(TEXTS).rewards)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    alarms = {(line["alarm"], line["about"]): line["step"] for line in lines if line["type"] == "alarm"}
    assert alarms == {("drift", name): 4 for name in ("apology", "refusal", "rude")}
    assert any("rbr/apology/divergence" in line.get("metrics", {}) for line in lines)
