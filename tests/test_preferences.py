"""What people prefer as comparisons: laws of what rows say, and weights that follow it."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from hypothesis import given
from hypothesis import strategies as st
from learning_rows import POLICY, artefact, circuit, row

from rbrlang.cli.main import main
from rbrlang.learning.fitting.fit import FitError, fit
from rbrlang.learning.fitting.fitted import ResponseFit
from rbrlang.learning.judging.people import compare_with_people
from rbrlang.learning.preferences import PeopleSource
from rbrlang.learning.sample import Sample, SampleError, sample_rows
from rbrlang.report.gather import Given, gather
from rbrlang.report.page import render
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import Row, read_rows
from rbrlang.rows.write import write_rows

REWARD = NumpyReward(circuit())
PROPOSITIONS = ("refuses", "polite", "lectures", "emoji")
SAID: Mapping[PeopleSource, str] = {"preferences": "preferred", "ranks": "rank", "scores": "score"}


def said(prompt: int, text: str, probs: Mapping[str, float | None] | None = None, **columns: Any) -> Row:
    """A completion of a prompt of which only people's words are known."""
    given: Mapping[str, float | None] = dict.fromkeys(map(str, PROPOSITIONS), 0.5) if probs is None else probs
    return row(prompt, None, given, completion=text, **columns)


def sampled(rows: list[Row], *pairs: Any, **options: Any) -> Sample:
    return sample_rows(REWARD, rows, pairs=pairs, **options).samples[0]


def texts(rows: list[Row], found: Sample) -> list[tuple[str, str, float]]:
    """Comparisons by their texts."""
    pairs = found.comparisons
    name = [rows[at].completion_text for at in found.rows.tolist()]
    return sorted(
        (name[a], name[b], margin)
        for a, b, margin in zip(pairs.better.tolist(), pairs.worse.tolist(), pairs.margin.tolist(), strict=True)
    )


def named(rows: list[Row], *pairs: Any) -> dict[str, str]:
    """Reasons by the text that they are about."""
    return {rows[one.row].completion_text: one.reason for one in sample_rows(REWARD, rows, pairs=pairs).apart}


# --- what rows say ------------------------------------------------------------------------------


def test_a_pair_a_smaller_rank_and_a_larger_score_are_better() -> None:
    pair = [said(0, "yes", pair="p", preferred=True), said(0, "no", pair="p", preferred=False)]
    assert texts(pair, sampled(pair, "preferences")) == [("yes", "no", 1.0)]
    ranks = [said(0, "b", rank=2), said(0, "a", rank=1), said(0, "c", rank=2), said(1, "d", rank=9)]
    assert texts(ranks, sampled(ranks, "ranks")) == [("a", "b", 1.0), ("a", "c", 1.0)]
    scores = [said(0, "b", score=0.5), said(0, "a", score="7"), said(0, "c", score=-1.5)]
    assert texts(scores, sampled(scores, "scores")) == [("a", "b", 1.0), ("a", "c", 1.0), ("b", "c", 1.0)]


def test_the_better_completions_margin_counts_and_of_several_the_largest() -> None:
    rows = [
        said(0, "a", pair="p", preferred=True, margin=2.5), said(0, "b", pair="p", preferred=False, margin=2.5),
        said(0, "a", pair="q", preferred=True, margin="0.5"), said(0, "b", pair="q", preferred=False, margin=9),
        said(0, "c", pair="r", preferred=True), said(0, "b", pair="r", preferred=False),
    ]  # fmt: skip
    assert texts(rows, sampled(rows, "preferences")) == [("a", "b", 2.5), ("c", "b", 1.0)]
    assert texts(rows, sampled(rows, "preferences", wanted=0.0)) == [("a", "b", 2.5), ("c", "b", 0.0)]
    assert texts(rows, sampled(rows, "preferences", margin=4.0)) == [("a", "b", 2.5), ("c", "b", 4.0)]


def test_columns_may_be_called_otherwise() -> None:
    rows = [said(0, "a", place=1), said(0, "b", place=2)]
    assert texts(rows, sampled(rows, "ranks", columns={"rank": "place"})) == [("a", "b", 1.0)]
    assert not len(sampled(rows, "ranks").comparisons)


def test_what_contradicts_itself_is_named_and_orders_nothing() -> None:
    rows = [
        said(0, "a", pair="p", preferred=True), said(0, "b", pair="p", preferred=False),
        said(0, "b", pair="q", preferred=True), said(0, "a", pair="q", preferred=False),
        said(0, "c", pair="r", preferred=True), said(0, "a", pair="r", preferred=False),
        said(1, "s", pair="t", preferred=True), said(1, "s", pair="t", preferred=False),
    ]  # fmt: skip
    assert texts(rows, sampled(rows, "preferences")) == [("c", "a", 1.0)]
    other = "other rows order the same two texts the other way round"
    assert named(rows, "preferences") == {
        "a": other,
        "b": other,
        "s": "the same text is both the better and the worse one",
    }
    assert [one.row for one in sample_rows(REWARD, rows, pairs=("preferences",)).apart] == [0, 1, 2, 3, 6, 7]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"rank": "first"}, "`rank` is `first`, not a finite number"),
        ({"rank": True}, "`rank` is True, not a finite number"),
        ({"rank": [1]}, "`rank` is [1], not a finite number"),
        ({"rank": 10**400}, "`rank` is 1000000000000000000000000000000000000…, not a finite number"),
        ({"rank": float("inf")}, "`rank` is inf, not a finite number"),
        ({"score": float("nan")}, "`score` is NaN, not a finite number"),
        ({"score": "nan"}, "`score` is `nan`, not a finite number"),
        ({"score": 1, "margin": -1}, "`margin` is -1; a margin is 0 or more, the better completion says how much"),
        ({"score": 1, "margin": "wide"}, "`margin` is `wide`, not a finite number"),
        ({"pair": "p", "preferred": "maybe"}, "`preferred` is `maybe`, not true or false"),
        ({"pair": "p"}, "it is one of a `pair`, but does not say whether it is `preferred`"),
        ({"preferred": True}, "there is no `pair` to say with which row it was compared"),
        ({"pair": [], "preferred": True}, "`pair` is [], neither text nor a number"),
        ({"pair": "p", "preferred": True}, "the other side of its pair is not among the rows"),
        ({"score": 3}, "no other completion of its prompt and response type has a `score`"),
    ],
)
def test_what_a_row_cannot_say_is_named(columns: dict[str, Any], reason: str) -> None:
    source = "ranks" if "rank" in columns else "scores" if "score" in columns else "preferences"
    rows = [said(0, "odd", **columns), said(1, "a", rank=1, score=2), said(1, "b", rank=2, score=1)]
    assert named([rows[0]], source) == {"odd": reason}
    if source != "preferences":
        assert named(rows, source) == {"odd": reason}
        assert texts(rows, sampled(rows, source)) == [("a", "b", 1.0)]


def test_the_other_side_of_a_pair_is_looked_for() -> None:
    rows = [
        said(0, "elsewhere", pair="p", preferred=True), said(1, "there", pair="p", preferred=False),
        said(0, "ungraded", {"polite": 1.0}, pair="q", preferred=True), said(0, "left", pair="q", preferred=False),
        said(2, "a", pair="r", preferred=True), said(2, "b", pair="r", preferred=True),
        said(2, "c", pair="r", preferred=False),
    ]  # fmt: skip
    several = "its pair has several preferred, or several other, completions"
    away = "the other side of its pair has another prompt or response type"
    assert named(rows, "preferences") == {
        "elsewhere": away, "there": away, "left": "the other side of its pair was set apart",
        "a": several, "b": several, "c": several,
    }  # fmt: skip
    assert sampled(rows, "preferences").set_apart["no probability of `refuses` and 2 more"] == 1


def test_ties_are_named_where_they_leave_nothing_to_order() -> None:
    rows = [
        said(0, "a", rank=1),
        said(0, "b", rank=1),
        said(1, "c", rank=1),
        said(1, "d", rank=1),
        said(1, "e", rank=2),
    ]
    tie = "it ties with every other completion of its prompt that has a `rank`"
    assert named(rows, "ranks") == {"a": tie, "b": tie}
    assert texts(rows, sampled(rows, "ranks")) == [("c", "e", 1.0), ("d", "e", 1.0)]


def test_rows_without_the_column_are_counted_and_not_named() -> None:
    rows = [said(0, "a", rank=1), said(0, "b", rank=2), said(0, "c"), said(0, "d", rank=None), said(0, "e", rank="")]
    found = sample_rows(REWARD, rows, pairs=("ranks",))
    assert found.samples[0].set_apart == {"no `rank`": 3}
    assert found.apart == ()


def test_response_types_and_prompts_are_never_mixed() -> None:
    rows = [said(0, "a", rank=1), said(1, "b", rank=2), said(0, "c", rank=2, response_type="other")]
    assert not len(sampled(rows, "ranks").comparisons)


def test_a_source_that_there_is_not_is_told() -> None:
    for wrong in ((), ("taste",), ("ranks", "ranks")):
        with pytest.raises(SampleError, match="one or several of classes, preferences, ranks, scores"):
            sample_rows(REWARD, [said(0, "a", rank=1)], pairs=wrong)  # pyright: ignore[reportArgumentType]


# --- laws ---------------------------------------------------------------------------------------

judgements = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from("abcd"), st.sampled_from([0, 1, 2, 3]), st.sampled_from([None, 0.5, 2])
    ),
    max_size=12,
)


def as_rows(source: PeopleSource, given: list[tuple[int, str, int, float | None]]) -> list[Row]:
    """Rows of one source; of preferences two a judgement, whose other side is the number's letter."""
    found: list[Row] = []
    for number, (prompt, text, value, margin) in enumerate(given):
        asked: dict[str, Any] = {} if margin is None else {"margin": margin}
        if source == "preferences":
            for side, name in ((True, text), (False, "abcd"[value])):
                found.append(said(prompt, name, None, id=f"{number}-{side}", pair=number, preferred=side, **asked))
        else:
            found.append(said(prompt, text, None, id=str(number), **{SAID[source]: value}, **asked))
    return found


def turned(source: PeopleSource, rows: list[Row]) -> list[Row]:
    """What would have been said by somebody who likes the opposite."""
    column, found = SAID[source], list[Row]()
    for one in rows:
        value = one.raw[column]
        kept = {name: one.raw[name] for name in ("id", "pair") if name in one.raw}
        prompt = int(one.prompt[0].text.split()[1])
        says = {column: not value if source == "preferences" else -value}
        found.append(said(prompt, one.completion_text, None, **kept, **says))
    return found


def orders(rows: list[Row], source: PeopleSource) -> set[tuple[str, str, str, float]]:
    found = sample_rows(REWARD, rows, pairs=(source,))
    sample = found.samples[0]
    pairs = sample.comparisons
    name = [rows[at].completion_text for at in sample.rows.tolist()]
    listed = [
        (found.prompt_keys[prompt], name[a], name[b], margin)
        for prompt, a, b, margin in zip(
            pairs.prompt.tolist(), pairs.better.tolist(), pairs.worse.tolist(), pairs.margin.tolist(), strict=True
        )
    ]
    assert len(set(listed)) == len(listed)
    return set(listed)


@given(st.sampled_from(list(SAID)), judgements, st.randoms(use_true_random=False))
def test_neither_order_nor_copies_of_rows_matter(source: PeopleSource, given: Any, dice: random.Random) -> None:
    rows = as_rows(source, given)
    found = orders(rows, source)
    mixed = rows + as_rows(source, [one for one in given if dice.random() < 0.5])
    dice.shuffle(mixed)
    if source == "preferences":  # copies keep their pair's name only where they are copies
        mixed = dice.sample(rows, len(rows))
    assert orders(mixed, source) == found
    for _, better, worse, _ in found:
        assert better != worse
    assert not {(p, b, a) for p, a, b, _ in found} & {(p, a, b) for p, a, b, _ in found}


@given(st.sampled_from(list(SAID)), judgements)
def test_the_opposite_taste_orders_all_the_other_way(source: PeopleSource, given: Any) -> None:
    given = [(prompt, text, value, None) for prompt, text, value, _ in given]
    rows = as_rows(source, given)
    assert orders(turned(source, rows), source) == {(p, b, a, m) for p, a, b, m in orders(rows, source)}


@given(st.sampled_from(list(SAID)), judgements)
def test_every_row_that_speaks_is_ordered_or_has_a_reason(source: PeopleSource, given: Any) -> None:
    rows = as_rows(source, given)
    found = sample_rows(REWARD, rows, pairs=(source,))
    sample = found.samples[0]
    assert len(sample.rows) + sum(sample.set_apart.values()) == len(rows)
    used = {*sample.comparisons.better.tolist(), *sample.comparisons.worse.tolist()}
    assert used == set(range(len(sample.rows)))


# --- weights ------------------------------------------------------------------------------------

PLANTED = {"polite": 2.0, "lectures": -3.0, "emoji": 0.7}


def tastes(prompts: int, per_prompt: int, seed: int, source: PeopleSource, *, noise: float = 0.3) -> list[Row]:
    """Completions ordered by a planted taste for propositions, with some noise."""
    rng = np.random.default_rng(seed)
    found: list[Row] = []
    for prompt in range(prompts):
        probs = [
            {"refuses": 1.0, **dict(zip(PROPOSITIONS[1:], rng.uniform(0, 1, 3).tolist(), strict=True))}
            for _ in range(per_prompt)
        ]
        liked = [sum(PLANTED[name] * one[name] for name in PLANTED) + rng.normal(0, noise) for one in probs]
        order = np.argsort(-np.array(liked)).tolist()
        for at, one in enumerate(probs):
            if source == "preferences":
                if at % 2 == 0 and at + 1 < per_prompt:
                    for side in (at, at + 1):
                        says = {"pair": f"{prompt}-{at}", "preferred": liked[side] == max(liked[at : at + 2])}
                        found.append(said(prompt, f"text {side}", probs[side], id=f"{source} {prompt}-{side}", **says))
            else:
                value = order.index(at) + 1 if source == "ranks" else liked[at]
                found.append(said(prompt, f"text {at}", one, id=f"{source} {prompt}-{at}", **{SAID[source]: value}))
    return found


@pytest.mark.parametrize("source", list(SAID))
@pytest.mark.parametrize("loss", ["hinge", "logistic"])
def test_a_planted_taste_is_recovered(source: PeopleSource, loss: Any) -> None:
    rows = tastes(120, 4, 1, source)
    policy = circuit("weight ideal = 0 weight curt = 0 weight preachy = 0 weight complying = 0")
    found = fit(policy, rows, pairs=(source,), loss=loss, bootstrap=0)
    outcome = found.responses[0]
    assert isinstance(outcome, ResponseFit)
    weights = dict(zip(outcome.features, outcome.weights, strict=True))
    assert weights["lectures"] < 0 < weights["emoji"] < weights["polite"] < -weights["lectures"]
    assert outcome.error_held_out is not None
    assert outcome.error_held_out.both < 0.15
    assert outcome.gap < 1e-3
    assert [one.name for one in outcome.sources] == [source]


def test_the_same_rows_in_any_order_give_the_same_weights() -> None:
    rows = tastes(30, 4, 2, "preferences") + tastes(30, 3, 3, "scores")
    found = [
        fit(circuit(), mixed, pairs=("preferences", "scores"), bootstrap=20).to_json()
        for mixed in (rows, random.Random(0).sample(rows, len(rows)))
    ]
    assert found[0] == found[1]


def test_sources_count_alike_whatever_their_numbers() -> None:
    many = tastes(40, 6, 4, "ranks")
    few = [
        said(100 + prompt, text, {"refuses": 1.0, "polite": polite, "lectures": 0.5, "emoji": 0.5},
             id=f"few {prompt}{text}", pair=prompt, preferred=text == "curt")
        for prompt in range(12) for text, polite in (("curt", 0.1), ("polite", 0.9))
    ]  # fmt: skip
    found = fit(circuit(), many + few, pairs=("ranks", "preferences"), bootstrap=0, held_out=0.0, ridge=0.01)
    outcome = found.responses[0]
    assert isinstance(outcome, ResponseFit)
    assert [(one.name, one.pairs, one.share) for one in outcome.sources] == [
        ("ranks", 40 * 15, 0.5),
        ("preferences", 12, 0.5),
    ]
    both = [one.error_train.both for one in outcome.sources if one.error_train is not None]
    assert outcome.error_train.both == pytest.approx(sum(both) / 2)
    alone = fit(circuit(), many, pairs=("ranks",), bootstrap=0, held_out=0.0, ridge=0.01).responses[0]
    at = outcome.features.index("polite")
    assert outcome.weights[at] < alone.weights[at] - 0.5  # twelve pairs against six hundred are heard


def test_classes_alone_are_what_they_were() -> None:
    rows = [row(p, c, {"refuses": 0.9, "polite": q, "lectures": 0.1, "emoji": 0.5}, id=f"{p}{c}", rank=9, score="odd")
            for p in range(12) for c, q in (("ideal", 0.9), ("curt", 0.2))]  # fmt: skip
    found = fit(circuit(), rows, bootstrap=0)
    assert found.pairs == ("classes",)
    assert found.apart == ()
    outcome = found.responses[0]
    assert isinstance(outcome, ResponseFit)
    assert [(one.name, one.share) for one in outcome.sources] == [("classes", 1.0)]


def test_what_a_margin_means_to_either_loss() -> None:
    rows = tastes(60, 2, 5, "preferences")
    wide = [said(int(r.prompt[0].text.split()[1]), r.completion_text, r.probs, margin=8.0, **{
        k: r.raw[k] for k in ("id", "pair", "preferred")}) for r in rows]  # fmt: skip
    for loss in ("hinge", "logistic"):
        small, large = (
            fit(circuit(), given, pairs=("preferences",), loss=loss, bootstrap=0, ridge=0.01).responses[0]
            for given in (rows, wide)
        )
        assert np.linalg.norm(large.weights) > 1.5 * np.linalg.norm(small.weights)
    flat = fit(circuit(), rows, pairs=("preferences",), margin=0.0, bootstrap=0, ridge=0.01).responses[0]
    assert isinstance(flat, ResponseFit)
    assert any("every margin is 0" in note for note in flat.notes)


def test_a_source_without_any_comparison_is_told() -> None:
    with pytest.raises(FitError, match="no `rank`"):
        fit(circuit(), tastes(12, 2, 6, "preferences"), pairs=("ranks",), bootstrap=0)
    outcome = fit(circuit(), tastes(12, 2, 6, "preferences"), pairs=("preferences", "ranks"), bootstrap=0).responses[0]
    assert isinstance(outcome, ResponseFit)
    assert [(one.name, one.pairs + one.held_out_pairs, one.share) for one in outcome.sources] == [
        ("preferences", 12, 1.0),
        ("ranks", 0, 0.0),
    ]


# --- before the fit, and in the commands ----------------------------------------------------------


def opposed(prompts: int) -> list[Row]:
    """Pairs in which people prefer the ideal completion in three of four prompts, and the complying one in the last."""
    ideal = {"refuses": 0.9, "polite": 0.9, "lectures": 0.1, "emoji": 0.5}
    complying = {"refuses": 0.05, "polite": 0.9, "lectures": 0.1, "emoji": 0.5}
    return [
        said(prompt, f"{name} \u202e\x1b[31m", probs, id=f"{prompt}-{name}", pair=prompt, preferred=(name == "No.") == (prompt % 4 > 0))
        for prompt in range(prompts)
        for name, probs in (("No.", ideal), ("Sure.", complying))
    ]  # fmt: skip


def test_the_policys_own_order_is_held_against_people() -> None:
    found = compare_with_people(REWARD, opposed(40), contradictions=3)
    (order,) = found.orders
    assert order.ranked is not None
    assert order.agree is not None
    assert order.error is not None
    assert (order.ranked.value, order.agree.value, order.error.rules.value, order.against) == (1.0, 0.75, 0.25, 10)
    assert order.agree.low is not None
    assert order.agree.low < 0.75
    assert len(order.contradictions) == 3
    one = order.contradictions[0]
    assert (one.preferred.klass, one.other.klass) == ("complying", "ideal")
    assert one.sure is not None
    chances = REWARD.class_probs(REWARD.encode(opposed(1)), np.zeros(2, np.int32))
    ranks = np.array(circuit().responses[0].rank_of)
    by_hand = sum(chances[0, a] * chances[1, b] for a in range(4) for b in range(4) if ranks[a] < ranks[b])
    assert one.sure == pytest.approx(by_hand, abs=1e-6)
    assert one.preferred.decided_by[0].name == "refuses"
    assert one.preferred.decided_by[0].otherwise == "ideal"


def test_the_measure_does_not_depend_on_the_order_of_rows() -> None:
    rows = tastes(30, 4, 7, "scores")
    mixed = random.Random(1).sample(rows, len(rows))
    found = [compare_with_people(REWARD, some, ("scores",)).to_json() for some in (rows, mixed)]
    assert found[0] == found[1]


def test_equal_ranks_say_nothing_and_the_reward_is_shown_instead() -> None:
    probs = {"refuses": 0.9, "polite": 0.9, "lectures": 0.1, "emoji": 0.5}
    rows = [said(0, "a", {**probs, "polite": 0.8}, rank=1), said(0, "b", {**probs, "polite": 0.9}, rank=2)]
    (order,) = compare_with_people(REWARD, rows, ("ranks",)).orders
    assert order.ranked is not None
    assert order.ranked.value == 0.0
    assert order.agree is None
    assert [one.sure for one in order.contradictions] == [None]
    assert order.contradictions[0].lead > 0.0


def written(folder: Path, rows: list[Row]) -> None:
    (folder / "p.rbr").write_text(POLICY.replace("REWARD", ""))
    (folder / "rows.jsonl").write_text("".join(json.dumps(dict(one.raw)) + "\n" for one in rows))


def test_fit_eval_and_report_say_which_source_ordered_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [
        *opposed(40),
        said(90, "odd", id="odd", pair="x", preferred=True),
        said(91, "nan", id="nan", score=float("nan")),
    ]
    written(tmp_path, rows)
    assert (
        main(["fit", "p.rbr", "rows.jsonl", "-o", "o.rbrc", "--pairs", "preferences,scores", "--bootstrap", "0"]) == 3
    )
    out, err = capsys.readouterr()
    assert "before the fit" in out
    assert "0.750" in out
    assert "people prefer a completion that is complying to one that is ideal" in out
    assert "decided by `refuses` 0.05 (the opposite: ideal)" in " ".join(out.split())
    assert "\\u202e\\u001b[31m" in out
    assert "\x1b" not in out + err
    assert "rows.jsonl:81: preferences: the other side of its pair is not among the rows" in err
    assert "rows.jsonl:82: scores: `score` is NaN, not a finite number" in err
    assert "`--certify` proves whether it still holds" in out
    assert main(["eval", "o.rbrc", "rows.jsonl", "--format", "json", "--gate", "preferences.agree>0.7"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"] == ["preferences"]
    assert told["people"]["response_types"]["refusal"]["preferences"]["pairs"] == 40
    assert told["response_types"]["refusal"]["error"] is None
    assert (
        main(["eval", "o.rbrc", "rows.jsonl", "--gate", "preferences<0.1", "--gate", "ranks<1", "--gate", "error<1"])
        == 1
    )
    told = capsys.readouterr().err
    assert "gate preferences<0.1 is not met" in told
    assert "`--pairs` does not name ranks" in told
    assert "`--pairs` does not name classes" in told


def test_a_misspelt_source_and_pairs_without_a_source_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, opposed(12))
    with pytest.raises(SystemExit):
        main(["fit", "p.rbr", "rows.jsonl", "-o", "o.rbrc", "--pairs", "preference"])
    assert "did you mean `preferences`?" in capsys.readouterr().err
    assert main(["fit", "p.rbr", "rows.jsonl", "-o", "o.rbrc", "--bootstrap", "0"]) == 0
    assert "`--pairs preferences` fits to what people chose" in capsys.readouterr().err


def test_the_report_shows_what_people_prefer() -> None:
    findings = gather(artefact(), opposed(40), Given(pairs=("preferences",), resamples=50))
    page = render(findings)
    assert "Does the policy say what people prefer?" in page
    assert "People prefer complying to ideal" in page
    assert "refusal by preferences" in page
    assert "⟨U+202E⟩" in page
    assert "\u202e" not in page
    assert "are ranked as people do, at least (refusal, preferences)" in page
    assert findings.evaluation.responses[0].error is None
    assert "Does the policy say" not in render(gather(artefact(), opposed(12), Given(resamples=50)))


def test_published_pairs_go_from_grading_to_the_report(
    published_rubrics: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = read_rows(published_rubrics / "hh_rlhf_harmless_excerpt.jsonl")
    assert [one.raw["preferred"] for one in source.rows] == [True, False] * 4
    write_rows(tmp_path / "hh.jsonl", [{**one.raw, "response_type": "comply"} for one in source.rows])
    policy = str(CHECKOUT / "examples" / "refusals" / "policy.rbr")
    assert main(["grade", policy, "hh.jsonl", "-o", "graded.jsonl", "--grader", "embedded"]) == 0
    assert main(["fit", policy, "graded.jsonl", "-o", "o.rbrc", "--pairs", "preferences"]) == 0
    out = capsys.readouterr().out
    assert "Does the policy say" not in out
    assert "does the policy say what people prefer? (before the fit" in out
    assert "4 prompts are too few to resample" in out
    assert main(["eval", "o.rbrc", "graded.jsonl"]) == 0
    assert "comply          preferences       4" in capsys.readouterr().out
    assert main(["report", "o.rbrc", "graded.jsonl", "-o", "r.html"]) == 0
