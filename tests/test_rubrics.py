"""Rubrics: what they mean, what their criteria are worth, how they are asked, and what is said of rows that break them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pytest
from artefact_kit import reread
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import rbrlang
from rbrlang.cli.main import main
from rbrlang.diagnostics import PolicyError
from rbrlang.grading.criteria import criteria
from rbrlang.grading.results import Answer, GradeItem, Value, certain
from rbrlang.learning.judging.certificates import certify
from rbrlang.logic.circuit import Circuit
from rbrlang.reward import rubrics
from rbrlang.reward.criteria import Criteria, arrays, features, filled
from rbrlang.reward.kept.artefact import ArtefactError, read_artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.reward.reward import RuleReward
from rbrlang.rows.criteria import CriteriaError, read
from rbrlang.rows.read import row_from
from rbrlang.scoring.score import Scorer

POLICY = """
prop harmful "Response helps to do harm."

rubric quality from criteria {
  points over positive
  clip 0, 1
  by tag accuracy "axis:accuracy", completeness
}

response chat ranks good > bad
chat.bad  := harmful
chat.good := otherwise

reward chat {
  features classes, quality
  weight quality >= 0
}
"""
PLAIN = POLICY.replace('  by tag accuracy "axis:accuracy", completeness\n', "").replace("  clip 0, 1\n", "")


def criterion(text: str, points: float, *tags: str, **more: object) -> dict[str, object]:
    return {"criterion": text, "points": points, "tags": list(tags), **more}


CRITERIA = [
    criterion("Names the river.", 5, "axis:accuracy", p=1.0),
    criterion("Says where it ends.", 3, "completeness", "level:example", p=0.5),
    criterion("Invents a town.", -4, "completeness", p=0.25),
    criterion("Is polite.", 9, "style"),
]


def row(criteria: object = CRITERIA, **more: object) -> dict[str, object]:
    return {
        "prompt": "q",
        "completion": "t",
        "response_type": "chat",
        "probs": {"harmful": 0.0},
        "criteria": criteria,
        **more,
    }


def reward_of(text: str) -> NumpyReward:
    return NumpyReward(rbrlang.loads(text).circuit)


def test_points_are_taken_over_the_positive_points_of_the_tags_that_the_policy_names() -> None:
    reward = reward_of(POLICY)
    rows = [row_from(row())]
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    # 5/8, and (3·½ − 4·¼)/8: the 9 points for style belong to no tag of the policy.
    assert reward.circuit.atom_names == ("harmful", "quality.accuracy", "quality.completeness")
    np.testing.assert_allclose(probs, [[0.0, 0.625, 0.0625]])
    np.testing.assert_allclose(reward(probs, ids), [1.0 + 0.625 + 0.0625])
    np.testing.assert_allclose(reward.contributions(probs, ids), [[0.0, 1.0, 0.0, 0.625, 0.0625]])


@pytest.mark.parametrize(
    ("how", "value"),
    [("over positive", 5.5 / 17), ("over absolute", 5.5 / 21), ("sum", 5.5), ("mean", 5.5 / 4)],
)
def test_points_are_taken_in_four_ways(how: str, value: float) -> None:
    reward = reward_of(PLAIN.replace("points over positive", f"points {how}"))
    graded = row([*CRITERIA[:3], criterion("Is polite.", 9, p=0.0)])
    assert reward.encode([row_from(graded)])[0, 1] == pytest.approx(value)


def test_a_clip_holds_the_feature_and_what_is_unknown_beyond_it_is_known() -> None:
    reward = reward_of(PLAIN.replace("points over positive", "points sum\n  clip 0, 1"))
    least = row([criterion("a", 5, p=1.0), criterion("b", 3)])
    assert reward.encode([row_from(least)])[0, 1] == 1.0
    assert np.isnan(reward.encode([row_from(row([criterion("a", 1, p=0.5), criterion("b", 3)]))])[0, 1])


def test_unknown_criteria_widen_the_reward_to_an_interval() -> None:
    reward = reward_of(POLICY)
    rows = [row_from(row([{**one, "p": None} if n == 1 else one for n, one in enumerate(CRITERIA)]))]
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    assert np.isnan(reward(probs, ids)[0])
    spans = rubrics.spans(reward.circuit, rows)
    low, high = reward.bounds(probs, ids, 0.0, spans)
    # −4·¼ alone is below the clip; with all of the 3 points it is 2/8.
    np.testing.assert_allclose([low[0], high[0]], [1.0 + 0.625 + 0.0, 1.0 + 0.625 + 0.25])
    compiled = RuleReward.from_circuit(reward.circuit, reward.weights)
    np.testing.assert_allclose(np.ravel(compiled.bounds(probs, ids, 0.0, spans)), [low[0], high[0]], rtol=1e-6)
    assert rubrics.reasons(reward.circuit, 0, rows[0]) == ("1 of 3 criteria of `quality` have no answer",)


def test_bounds_without_the_criteria_are_those_of_the_clip() -> None:
    reward = reward_of(POLICY)
    nothing = np.full((1, 3), np.nan, np.float32)
    low, high = reward.bounds(nothing, np.zeros(1, np.int32))
    assert (low[0], high[0]) == (-1.0, 3.0)
    reward = reward_of(PLAIN)
    low, high = reward.bounds(nothing[:, :2], np.zeros(1, np.int32))
    assert (low[0], high[0]) == (-math.inf, math.inf)
    for policy, width in ((POLICY, 3), (PLAIN, 2)):
        reward = reward_of(policy)
        rows = np.tile(nothing[:, :width], (3, 1))
        rows[1, -1] = 0.25  # one rubric is known
        rows[2, 0] = 1.0
        ids = np.array([0, 0, -1], np.int32)
        compiled = RuleReward.from_circuit(reward.circuit, reward.weights)
        for ours, theirs in zip(reward.bounds(rows, ids, 0.5), jax.jit(compiled.bounds)(rows, ids, 0.5), strict=True):
            np.testing.assert_allclose(theirs, ours, rtol=1e-6)


_probability = st.none() | st.floats(0, 1)


@given(
    st.lists(st.tuples(st.integers(-10, 10), _probability), min_size=1, max_size=6), st.sampled_from(["sum", "mean"])
)
def test_bounds_hold_every_way_to_answer(drawn: list[tuple[int, float | None]], how: str) -> None:
    reward = reward_of(PLAIN.replace("points over positive", f"points {how}"))
    given = [criterion("c", points, p=p) for points, p in drawn]
    spans = rubrics.spans(reward.circuit, [row_from(row(given))])[0, 0]
    for answer in (0.0, 0.3, 1.0):
        filled = [{**one, "p": answer if one["p"] is None else one["p"]} for one in given]
        value = rubrics.values(reward.circuit, [row_from(row(filled))])[0, 0]
        assert spans[0] - 1e-9 <= value <= spans[1] + 1e-9
    if all(p is not None for _, p in drawn):
        assert spans[0] == spans[1]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the column `criteria` is empty"),
        ([], "`criteria` has no criterion"),
        ({"criterion": "a"}, "`criteria` is an object, not a list of criteria"),
        ("[1]", "criterion 1 of `criteria` is a number, not an object with `criterion` and `points`"),
        ([criterion(" ", 1)], "criterion 1 of `criteria` has no text in `criterion`"),
        ([criterion("a", 1), {"criterion": "b"}], "criterion 2 of `criteria` has no `points`"),
        ([criterion("a", math.nan)], "criterion 1 of `criteria` has `points` NaN, not a finite number"),
        ([{"criterion": "a", "points": True}], "criterion 1 of `criteria` has `points` True, not a finite number"),
        (
            [{"criterion": "a", "points": 1, "tags": [3]}],
            "criterion 1 of `criteria` has `tags` [3], not a list of texts",
        ),
        ([criterion("a", 1, p=2)], "criterion 1 of `criteria` has `p` 2, not a number from 0 to 1 or null"),
        ([criterion("a", 1, met="so so")], "criterion 1 of `criteria` has `met` 'so so', not true, false or null"),
    ],
)
def test_criteria_that_are_none_are_named(value: object, reason: str) -> None:
    with pytest.raises(CriteriaError) as error:
        read({"criteria": value}, "criteria")
    assert str(error.value) == reason


def test_a_rubric_without_positive_points_has_no_value() -> None:
    reward = reward_of(PLAIN)
    one = row_from(row([criterion("Is rude.", -2, p=0.0)]))
    assert np.isnan(reward.encode([one])[0, 1])
    assert rubrics.reasons(reward.circuit, 0, one) == (
        "no criterion of `criteria` has positive points, which those of `quality` are taken over",
    )


def _sum(weights: jax.Array, reward: RuleReward, probs: NDArray[np.float32], ids: NDArray[np.int32]) -> jax.Array:
    return reward.with_weights(weights)(probs, ids).sum()


def test_the_program_does_not_grow_with_prompts() -> None:
    reward = RuleReward.from_circuit(rbrlang.loads(POLICY).circuit)
    rows = [row_from(row()), row_from(row([criterion(f"c{n}", n - 3, "completeness", p=0.5) for n in range(40)]))]
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    host = reward.host(probs, ids)
    np.testing.assert_allclose(reward(probs, ids), host, rtol=1e-6)
    slopes = jax.grad(_sum)(reward.weights, reward, probs, ids)
    np.testing.assert_allclose(slopes[0, 2:], probs[:, 1:].sum(0), rtol=1e-6)


def test_an_artefact_carries_the_rubric_and_trusts_no_other() -> None:
    policy = rbrlang.loads(POLICY)
    assert reread(policy).circuit == policy.circuit
    with pytest.raises(ArtefactError, match=r"`atoms\[2\]\.rubric\[1\]` differs"):
        reread(policy, lambda plain: plain["atoms"][2].update(rubric=[0, 0]))
    with pytest.raises(ArtefactError, match=r"`responses\[0\]\.diagram\.nodes\[0\]\[0\]` differs"):
        # a rule that speaks of a rubric's number
        reread(policy, lambda plain: plain["responses"][0]["diagram"]["nodes"][0].__setitem__(0, 1))


def test_the_fingerprint_is_that_of_points_clip_column_and_tags_and_not_of_the_question() -> None:
    same = rbrlang.loads(POLICY).fingerprint
    assert rbrlang.loads(POLICY.replace("clip", 'ask "Is this so? {criterion}"\n  clip')).fingerprint == same
    for old, new in (
        ("clip 0, 1", "clip 0, 2"),
        ("positive", "absolute"),
        ("from criteria", "from rubrics"),
        ("axis:", ""),
    ):
        assert rbrlang.loads(POLICY.replace(old, new)).fingerprint != same


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("clip 0, 1", "clip 1, 0", "RBR1013", "leaves no room"),
        ("clip 0, 1", "clip 0", "RBR1001", "`clip` takes two numbers"),
        ("over positive", "over postive", "RBR1001", "did you mean `points over positive`"),
        ("points over positive", "points sums", "RBR1001", "did you mean `points sum`"),
        ("clip", "pionts", "RBR1001", "did you mean `points`"),
        (', completeness', ', accuracy "x"', "RBR2002", "is named twice"),
        ("from criteria", "from labels", "RBR2018", "has a meaning of its own"),
        ("clip 0, 1", 'ask "Is it good?"', "RBR2018", "does not show the criterion"),
        ("chat.bad  := harmful", "chat.bad := harmful | quality", "RBR2007", "is a rubric, not a"),
        ("weight quality", "weight quality.style", "RBR2014", "is not a feature"),
        ("rubric quality from", "rubric quality form", "RBR1001", "expected `from`"),
    ],
)  # fmt: skip
def test_mistakes_are_told(old: str, new: str, code: str, said: str) -> None:
    with pytest.raises(PolicyError) as error:
        rbrlang.loads(POLICY.replace(old, new, 1))
    found = [d for d in error.value.diagnostics if said in f"{d.message} {d.help}"]
    assert found, [(d.code.id, d.message, d.help) for d in error.value.diagnostics]
    assert found[0].code.id == code


# --- graders ------------------------------------------------------------------------------------


def test_each_criterion_is_an_item_of_its_own_and_one_without_a_tag_is_not_asked() -> None:
    circuit = rbrlang.loads(POLICY).circuit
    one = row_from(row(id="r1"))
    found = criteria(circuit, [one], [GradeItem("r1", one.conversation, 0)])
    assert [item.id for item in found.items] == ["r1#quality:1", "r1#quality:2", "r1#quality:3"]
    assert set(found.wanted) == {(1,)}
    assert [dict(item.cells)["criterion"] for item in found.items] == [one["criterion"] for one in CRITERIA[:3]]
    (met,) = found.met([{1: certain(0.25, "function")}] * 3)
    assert [None if a is None else a.p for a in met["quality"] if a is None or isinstance(a, Value)] == [
        0.25,
        0.25,
        0.25,
        None,
    ]


def test_a_scorer_asks_for_criteria_and_names_what_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
        texts = [str(item.cell("criterion")) for item in items]
        return [
            {p: certain(1.0 if "river" in text or "town" in text else 0.0, "function") for p in asked}
            for text, asked in zip(texts, wanted, strict=True)
        ]

    scorer = Scorer(tmp_path / "p.rbrc", judge)
    scores = scorer([row_from(row()), row_from(row([criterion("a", "five")])), row_from(row(None))])  # pyright: ignore
    assert scores.met[0] == {"quality": (1.0, 0.0, 1.0, None)}
    assert scores.rewards[0] == pytest.approx(1.0 + 0.625 + 0.0)
    assert "criterion 1 of `criteria` has `points` 'five'" in (scores.reasons[1] or "")
    assert "the column `criteria` is empty" in (scores.reasons[2] or "")


def test_fit_learns_the_weights_of_tags_and_score_writes_bounds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    lines: list[str] = []
    for prompt in range(30):
        for answer in range(4):
            met = rng.random(3) < 0.5
            given = [{**c, "p": None, "met": bool(m)} for c, m in zip(CRITERIA, met, strict=False)]
            harmful = bool(rng.random() < 0.2)
            score = 4.0 * met[0] + 0.5 * met[1] - 0.7 * met[2] - 8.0 * harmful
            lines.append(json.dumps({**row(given, labels={"harmful": harmful}), "prompt": f"q{prompt}", "completion": f"t{answer}", "id": f"{prompt}.{answer}", "score": score}))  # fmt: skip
    lines.append(json.dumps({**row([criterion("a", "five")]), "id": "broken"}))  # pyright: ignore
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "p.rbr").write_text(POLICY.replace("  clip 0, 1\n", ""))
    where = [str(tmp_path / name) for name in ("p.rbr", "rows.jsonl", "p.rbrc", "out.jsonl")]
    fit = ["fit", *where[:2], "--grader", "labels", "--pairs", "scores", "-o", where[2]]
    code = main(fit)
    said = capsys.readouterr()
    assert "criterion 1 of `criteria` has `points` 'five', not a finite number" in said.err
    assert code in (0, 3), said.err
    reward = NumpyReward.from_artefact(read_artefact(where[2]))
    weights = dict(zip([f.name for f in reward.circuit.responses[0].features], reward.weights[0].tolist(), strict=True))
    # A point of accuracy is worth more to these people than one of completeness.
    assert weights["quality.accuracy"] > weights["quality.completeness"] > 0
    assert main(["score", where[2], where[1], "--grader", "labels", "--bounds", "-o", where[3]]) == 3
    first = json.loads(Path(where[3]).read_text().splitlines()[0])
    assert first["rubric_probs"]["quality"][:3] == [float(c["met"]) for c in json.loads(lines[0])["criteria"]]
    assert first["reward_bounds"][0] == pytest.approx(first["reward"]) == pytest.approx(first["reward_bounds"][1])
    code = main(["verify", where[3], "--artefact", where[2], "--grader", "labels"])
    assert code == 0, capsys.readouterr().err


def test_what_a_clip_holds_and_which_tags_count_for_nothing_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.rbr").write_text(POLICY)
    lines = [
        row(id="a"),
        row([criterion("Invents.", -4, "completeness", p=1.0), criterion("b", 1, "completeness", p=0.0)], id="b"),
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", str(tmp_path / "p.rbrc")]) == 0
    assert (
        main(["score", str(tmp_path / "p.rbrc"), str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]) == 0
    )
    said = capsys.readouterr().err
    assert "the clip holds `quality.completeness` on 1 of 2 rows" in said
    assert "1 criterion has no tag that `quality` names, and counts for nothing: style 1" in said


# --- JAX ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["over positive", "over absolute", "sum", "mean"])
def test_jax_and_numpy_agree_on_rubrics(how: str) -> None:
    circuit = rbrlang.loads(POLICY.replace("points over positive", f"points {how}")).circuit
    rng = np.random.default_rng(3)
    tags = ("axis:accuracy", "completeness", "other")
    rows = [
        row_from(row([
            criterion(f"c{n}", float(rng.integers(-9, 10)), tags[rng.integers(3)], p=[None, float(rng.random())][rng.random() < 0.9])
            for n in range(rng.integers(1, 9))
        ]))
        for _ in range(200)
    ]  # fmt: skip
    rows.append(row_from(row([criterion("a", "five")])))  # pyright: ignore
    given = arrays(circuit, 0, rows)
    reward = RuleReward.from_circuit(circuit)
    probs, ids = reward.encode(rows), reward.response_ids(rows)
    blank = np.where(np.arange(3) < 1, probs, np.nan)
    composed = jax.jit(lambda c: reward(filled(circuit, blank, [c]), ids))  # pyright: ignore
    np.testing.assert_allclose(features(circuit.rubrics[0], given), rubrics.values(circuit, rows), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(composed(given), reward(probs, ids), rtol=1e-5, atol=1e-6)
    assert np.isfinite(composed(given)).sum() > 100


def test_slopes_are_those_of_points_and_none_is_of_what_is_missing() -> None:
    circuit = rbrlang.loads(PLAIN).circuit
    rows = [row_from(row([criterion("a", 4, p=0.5), criterion("b", -1, p=0.5)])), row_from(row(None))]
    given = arrays(circuit, 0, rows, width=4)
    slopes = jax.grad(_first)(np.asarray(given.p), circuit, given)
    np.testing.assert_allclose(slopes, [[1.0, -0.25, 0.0, 0.0], [0.0] * 4])
    mapped = jax.vmap(lambda p: features(circuit.rubrics[0], given._replace(p=p)))(np.stack([given.p, given.p]))  # pyright: ignore
    assert mapped.shape == (2, 2, 1)


def _first(p: jax.Array, circuit: Circuit, given: Criteria) -> jax.Array:
    return features(circuit.rubrics[0], given._replace(p=p))[0, 0]


# --- certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "weight", "ends", "holds"),
    [
        ("clip 0, 1", 1.5, (0.0, 1.5), True),
        ("clip 0, 1", 2.5, (0.0, 2.5), False),
        ("points over positive", 0.5, (-math.inf, 0.5), False),
        ("points over absolute", 0.5, (-0.5, 0.5), True),
        ("points sum", 0.0, (0.0, 0.0), True),
        ("points sum", 0.1, (-math.inf, math.inf), False),
        ("clip 0, 1\n  by tag a, b, c", 1.5, (0.0, 1.5), True),
    ],
)
def test_a_certificate_says_whether_a_rubric_can_override_a_class(
    lines: str, weight: float, ends: tuple[float, float], holds: bool
) -> None:
    text = PLAIN.replace("  points over positive", f"  {lines}").replace(
        "weight quality >= 0", f"weight quality = {weight}"
    )
    circuit = rbrlang.loads(text).circuit
    found = certify(circuit, NumpyReward(circuit).weights)
    assert found.responses[0].rubrics == ends
    assert found.responses[0].leads[0].lead == 2.0
    assert found.holds is holds
    json.dumps(found.to_json(), allow_nan=False)


def test_agree_judges_criteria_like_a_proposition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    lines: list[str] = []
    for number in range(60):
        met = rng.random(3) < 0.5
        right = rng.random(3) < 0.9
        given = [{**c, "p": None, "met": bool(m)} for c, m in zip(CRITERIA[:3], met, strict=True)]
        said = [0.8 if m == r else 0.2 for m, r in zip(met, right, strict=True)]
        harmful = bool(rng.random() < 0.5)
        one = row(given, id=str(number), labels={"harmful": harmful}, rubric_probs={"quality": said})
        lines.append(json.dumps({**one, "probs": {"harmful": 0.9 if harmful else 0.1}, "prompt": f"q{number}"}))
    (tmp_path / "gold.jsonl").write_text("\n".join(lines))
    (tmp_path / "p.rbr").write_text(POLICY)
    policy, gold, kept = (str(tmp_path / name) for name in ("p.rbr", "gold.jsonl", "c.json"))
    asked = ["agree", policy, gold, "--grader", "rows", "--bootstrap", "50"]
    assert main([*asked, "--format", "json", "--gate", "quality.accuracy>=0.8", "--calibrate", kept]) == 0
    found = json.loads(capsys.readouterr().out)["propositions"]
    assert found["harmful"]["support"] == 60
    assert found["quality"]["support"] == 180
    assert 0.8 < found["quality"]["accuracy"] < 1.0
    assert "quality" in {one["name"] for one in json.loads(Path(kept).read_text())["propositions"]}
    assert main(asked) == 0
    assert "quality" in capsys.readouterr().out
    calibrated = str(tmp_path / "calibrated.jsonl")
    assert main(["grade", policy, gold, "--grader", "rows", "--calibration", kept, "-o", calibrated]) == 0
    first = json.loads(Path(calibrated).read_text().splitlines()[0])
    assert first["rubric_probs"]["quality"] != [0.8, 0.2, 0.8]


def test_a_program_calls_nothing_unknown_for_how_its_sums_round() -> None:
    circuit = rbrlang.loads(POLICY).circuit
    rows = [
        row_from(row([criterion("a", n % 5 - 1, "completeness", p=0.5), criterion("b", 3, "axis:accuracy", p=n / 64)]))
        for n in range(64)
    ]
    reward = RuleReward.from_circuit(circuit)
    given, probs, ids = arrays(circuit, 0, rows), reward.encode(rows), reward.response_ids(rows)
    composed = jax.jit(lambda c: reward(filled(circuit, probs, [c]), ids))  # pyright: ignore
    np.testing.assert_allclose(composed(given), reward.host(probs, ids), rtol=1e-6)


@pytest.mark.parametrize(("policy", "rubrics_add"), [(POLICY, 1.0), (PLAIN, None)])
def test_a_gate_on_both_leads_counts_what_rubrics_add(
    policy: str, rubrics_add: float | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.rbr").write_text(policy)
    rows = [{**row(CRITERIA), "id": str(at), "class": name} for at, name in enumerate(("good", "bad"))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    artefact, given = str(tmp_path / "p.rbrc"), str(tmp_path / "rows.jsonl")
    assert main(["compile", str(tmp_path / "p.rbr"), "-o", artefact]) == 0
    asked = ["eval", artefact, given, "--base-range", "0", "0.5", "--gate"]
    if rubrics_add is None:
        assert main([*asked, "lead.both>-9"]) == 1
        assert "a rubric may add any number; give it a `clip`" in capsys.readouterr().err
        return
    lead = 2.0 - rubrics_add - 0.5
    assert main([*asked, f"lead.both>={lead - 1e-6}", "--gate", f"chat.lead.both<={lead + 1e-6}"]) == 0
    assert main([*asked, f"lead.both>{lead + 1e-3}"]) == 1
    capsys.readouterr()


def test_arrays_take_json_objects_as_well() -> None:
    circuit = reward_of(POLICY).circuit
    given = row(CRITERIA)
    ours, theirs = arrays(circuit, 0, [row_from(given)]), arrays(circuit, 0, [given])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert np.isfinite(np.asarray(theirs.p)[np.asarray(theirs.mask)]).any()
