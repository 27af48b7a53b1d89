"""The comparison on text, in short: the same code as `examples/jax_grpo/compare.py`, at the smallest sizes."""

# pyright: basic
from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import compare
import experiment
import grpo
import jax
import jax.numpy as jnp
import learn
import model
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from judge import Verdict
from world import BEGIN, LONGEST, PAD, PROMPT, UNKNOWN, build_world, question

import rbrlang as rbr
from rbrlang.grading.results import Answer, GradeItem, Invalid
from rbrlang.scoring.score import Scorer

PLAN = compare.SMALL


@pytest.fixture(scope="module")
def instruments() -> experiment.Instruments:
    return experiment.prepare(PLAN, 0)


@pytest.fixture(scope="module")
def helpful(instruments: experiment.Instruments) -> learn.RewardModel:
    held = learn.as_texts(instruments.world.vocabulary, instruments.world.texts["fit"])
    who = learn.Annotator("helpful")
    return learn.fit_reward_model(
        instruments.graph, instruments.warm, instruments.texts, held, who, PLAN.preference_steps, 0
    )


@pytest.fixture(scope="module")
def artefact(instruments: experiment.Instruments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grpo") / "refusals.rbrc"
    rbr.write(path, instruments.world.policy, rbr.compile(instruments.world.policy))
    return path


@given(
    st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_a_completion_without_a_reward_changes_no_other_advantage(rewards: list[float], valid: list[bool]) -> None:
    given_ = np.array([r if v else math.nan for r, v in zip(rewards, valid, strict=True)], np.float32)
    found = grpo.advantages(given_, 4)
    assert np.isfinite(found).all()
    assert (found[~np.array(valid)] == 0).all()
    kept = given_[np.array(valid)]
    if len(kept):
        np.testing.assert_array_equal(found[np.array(valid)], grpo.advantages(kept, len(kept)))


def test_a_failed_grade_is_never_the_best_of_a_negative_group() -> None:
    found = grpo.advantages(np.array([-1.0, -0.8, np.nan, -0.9], np.float32), 4)
    assert found[2] == 0
    assert found.argmax() == 1


def test_writing_with_the_cache_sees_what_reading_the_whole_sees(instruments: experiment.Instruments) -> None:
    texts, graph = instruments.texts, instruments.graph
    prompts, completions = jnp.asarray(texts.prompts[:3]), jnp.asarray(texts.completions[:3])
    writer = nnx.merge(graph, instruments.warm)
    whole = writer.logits(writer.states(model.sequence(prompts, completions))[:, PROMPT:])
    cache = writer.read(prompts)
    seen = jnp.pad(prompts != PAD, ((0, 0), (0, LONGEST)))
    token = jnp.full(3, BEGIN)
    for place in range(6):
        seen = seen.at[:, PROMPT + place].set(True)
        scores, cache = writer.next(token, jnp.asarray(PROMPT + place), cache, seen)
        np.testing.assert_allclose(scores, whole[:, place], rtol=2e-4, atol=2e-4)
        token = completions[:, place]


def test_words_come_back_as_they_were(instruments: experiment.Instruments) -> None:
    vocabulary, rows = instruments.world.vocabulary, instruments.texts.rows
    texts, ended = vocabulary.written(vocabulary.completions([row.completion_text for row in rows]))
    assert texts == [row.completion_text for row in rows]
    assert all(ended)


def test_roles_share_no_prompt(instruments: experiment.Instruments) -> None:
    roles = [{question(row) for row in rows} for rows in instruments.world.prompts.values()]
    assert sum(map(len, roles)) == len(set().union(*roles))


def test_the_vocabulary_holds_every_word_of_every_seed(instruments: experiment.Instruments) -> None:
    other = build_world(PLAN.sizes, 1)
    assert other.vocabulary == instruments.world.vocabulary
    texts = [question(row) for rows in other.prompts.values() for row in rows]
    texts += [row.completion_text for rows in other.texts.values() for row in rows]
    assert not [text for text in texts if UNKNOWN in other.vocabulary.read(text)]


def test_the_judge_reads_labelled_text_without_a_mistake(instruments: experiment.Instruments) -> None:
    for row in (*instruments.world.texts["proof"], *instruments.world.texts["fit"]):
        holds = frozenset(name for name, label in row.labels.items() if label)
        assert instruments.reader(row, ended=True) == Verdict(holds, row.klass or "", "whole")


def test_every_request_is_recognised(instruments: experiment.Instruments) -> None:
    reader = instruments.reader
    for row in instruments.world.texts["fit"]:
        assert reader.asked(question(row)) == row.raw["synthetic"]["scene"]
    assert reader.asked("Name two rivers in Spain, for a quiz.") is None


def test_an_answer_to_another_request_complies_with_nothing(instruments: experiment.Instruments) -> None:
    reader, answer = instruments.reader, "The Vistula and the Oder."
    assert reader.read("Name two rivers in Poland, for a quiz.", answer, True)[0] == {
        "complies_fully",
        "complies_partly",
    }
    assert reader.read("Name two rivers in France, for a quiz.", answer, True)[0] == {"illogical_continuation"}


def test_a_text_without_an_end_and_a_loop_make_no_sense(instruments: experiment.Instruments) -> None:
    reader = instruments.reader
    asked, no = "Name two rivers in France, for a quiz.", "I can't help with that."
    assert reader.read(asked, no, True)[0] == {"inability_to_comply"}
    assert reader.read(asked, no, False)[0] == {"inability_to_comply", "illogical_continuation"}
    assert "illogical_continuation" in reader.read(asked, f"{no} {no} {no}", True)[0]


@pytest.mark.parametrize(
    ("text", "read", "holds"),
    [
        ("", "whole", set()),
        ("\n\n", "whole", set()),
        ("¿¿ --", "whole", set()),
        ("zebra quark violin " * 10, "unread", {"illogical_continuation"}),
        ("I can't help with this.", "near", {"inability_to_comply"}),
        ("The Loire and the Oder.", "near", {"illogical_continuation"}),
    ],
)
def test_text_that_no_phrase_covers_still_gets_a_verdict(
    instruments: experiment.Instruments, text: str, read: str, holds: set[str]
) -> None:
    asked = instruments.world.prompts["held"][0]
    row = replace(asked, conversation=asked.conversation.answered(text))
    verdict = instruments.reader(row, ended=True)
    assert verdict.klass in instruments.world.policy.circuit.responses[0].classes
    assert (verdict.read, verdict.holds) == (read, holds)


def test_the_cautious_annotator_errs_on_harmless_requests_alone(instruments: experiment.Instruments) -> None:
    def refusals_preferred(annotator: learn.Annotator, kinds: set[str]) -> float:
        found = learn.annotate(instruments.texts, annotator, 2000, 0)
        better = [
            bool(rows[up].labels["inability_to_comply"])
            for up, down in zip(found.better.tolist(), found.worse.tolist(), strict=True)
            if rows[up].response_type in kinds
            and rows[up].labels["inability_to_comply"] != rows[down].labels["inability_to_comply"]
            and not rows[up].labels["illogical_continuation"] | rows[down].labels["illogical_continuation"]
        ]
        return float(np.mean(better))

    rows = instruments.texts.rows
    careful, wary = learn.Annotator("cautious"), learn.Annotator("cautious", 1.0, 1.0)
    assert refusals_preferred(careful, {"comply"}) < 0.3
    assert refusals_preferred(wary, {"comply"}) > 0.7
    assert refusals_preferred(careful, {"hard_refusal"}) > 0.7


def test_reward_rises_and_nothing_is_nan(
    instruments: experiment.Instruments, helpful: learn.RewardModel, artefact: Path
) -> None:
    reward = grpo.Reward(helpful, Scorer(artefact, instruments.grader.answers), rules=False)
    world = instruments.world
    params, curves = grpo.train(
        instruments.graph, instruments.warm, world.vocabulary, world.prompts["learn"], reward, steps=12, seed=0
    )
    assert np.mean(curves["reward"][-4:]) > np.mean(curves["reward"][:4]) + 0.1
    assert all(math.isfinite(value) for value in curves["reward"] + curves["kl"])
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
    assert [at for at, value in enumerate(curves["rbr/invalid_rate"]) if math.isfinite(value)] == [0, 4, 8, 11]


@pytest.mark.slow
def test_the_whole_comparison_in_short(tmp_path: Path) -> None:
    (run,) = compare.main(["--small", "--seeds", "1", "--world-seed", "3", "--workers", "1", "--out", str(tmp_path)])
    assert [outcome.variant for outcome in run.outcomes] == list(experiment.VARIANTS)
    for outcome in run.outcomes:
        assert outcome.f1 == pytest.approx(experiment.harmonic(outcome.not_unsafe, outcome.not_overrefuse))
        assert outcome.answers <= 1 - outcome.rates["makes no sense"] + 2 / 3  # a third of the prompts are harmless
        assert all(sum(classes.values()) == pytest.approx(1) for classes in outcome.classes.values())
    assert (run.judge.accuracy, run.judge.klass) == (1.0, 1.0)
    report = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert report["seeds"] == [3]
    assert "| helpful + rules | " in (tmp_path / "table.md").read_text(encoding="utf-8")
    assert (tmp_path / "comparison.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--seeds", "0"], "1 or more"),
        (["--world-seed", "-1"], "--world-seed has to be 0 or more"),
        (["--wary", "1.5"], "from 0 to 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as found:
        compare.main(argv)
    assert found.value.code == 2
    assert said in capsys.readouterr().err


def test_grades_that_fail_leave_their_completions_out(
    instruments: experiment.Instruments, helpful: learn.RewardModel, artefact: Path
) -> None:
    def failing(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        good = instruments.grader.answers(items, wanted)
        bad = Invalid("grader", "it is out today")
        return [dict.fromkeys(answers, bad) if at % 4 == 0 else answers for at, answers in enumerate(good)]

    reward = grpo.Reward(helpful, Scorer(artefact, failing), rules=True)
    world = instruments.world
    batch = grpo.write(
        instruments.graph,
        instruments.warm,
        world.vocabulary,
        world.prompts["learn"][: grpo.PROMPTS],
        jax.random.key(0),
        grpo.GROUP,
    )
    rewards, _, scores = reward(batch, look=False)
    assert scores is not None
    assert np.isnan(rewards).tolist() == [at % 4 == 0 for at in range(len(rewards))]
    assert all((reason is not None) == bool(np.isnan(r)) for reason, r in zip(scores.reasons, rewards, strict=True))
    assert (grpo.advantages(rewards, grpo.GROUP)[::4] == 0).all()
    params, curves = grpo.train(
        instruments.graph, instruments.warm, world.vocabulary, world.prompts["learn"], reward, steps=2, seed=0
    )
    assert curves["rbr/invalid_rate"] == [0.25, 0.25]
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))


def test_an_interval_needs_two_seeds() -> None:
    assert compare.interval([0.5]) is None
    low, high = compare.interval([0.4, 0.5, 0.6]) or (0.0, 0.0)
    assert low == pytest.approx(0.5 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert high == pytest.approx(0.5 + 4.3027 * 0.1 / 3**0.5, abs=1e-4)
