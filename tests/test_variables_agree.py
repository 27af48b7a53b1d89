"""People on scales and choices: their labels in rows, and how far a grader agrees with them."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultserver import Action, FaultServer, Say, chat
from hypothesis import given
from hypothesis import strategies as st

import rbrlang as rbr
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.writing import Order, Written
from rbrlang.grading.questions.prompt import signs
from rbrlang.grading.results import Answer, GradeItem, Usage, certain, spread
from rbrlang.grading.trust.values import half_brier, judge_values, kappa, order_effect, rps, spearman
from rbrlang.lang.variables import Domain
from rbrlang.learning.synthesis.compose import Provenance, planned_orders, synth_from_model
from rbrlang.rows.read import row_from, with_labels_as_probs
from rbrlang.serve.forms import Reading, read_score

POLICY = """rbr 1
prop rude "Response is rude."
scale help 1..5 "How far does the response help?"
choice tone "What is the tone?" { formal "It is formal."  casual "It is casual."  hostile "It attacks." }
response chat ranks good > fair > bad {
  bad if tone == hostile | help <= 2
  good if help >= 4 & !rude
  fair otherwise
}
reward chat { features classes, help }
"""
VALUES = (("help", tuple(f"help.{n}" for n in range(1, 6))), ("tone", ("tone.formal", "tone.casual", "tone.hostile")))
TONE = rbr.loads(POLICY).program.variables[1]


def row(**more: Any) -> dict[str, Any]:
    return {"prompt": "How?", "completion": "So.", "response_type": "chat", **more}


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return str(path)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "p.rbr").write_text(POLICY)
    return str(tmp_path / "p.rbr")


# --- labels in rows -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("help", 4, "4"), ("help", "4", "4"), ("help", 4.0, "4"), ("help", "4.0", "4"), ("help", None, None),
        ("help", "", None), ("help", math.nan, None), ("tone", "formal", "formal"), ("tone", " formal ", "formal"),
        ("help", 6, "the label of `help` is 6, none of 1, 2, 3, 4, 5"), ("help", True, "is True, none of"),
        ("help", 4.5, "is 4.5, none of"), ("tone", "Formal", "'Formal', none of formal, casual, hostile"),
        ("tone", ["formal"], "none of formal"), ("rude", 4, "not true, false or null"),
    ],
)  # fmt: skip
def test_a_label_is_a_level_or_an_option(name: str, label: Any, expected: str | None) -> None:
    data = row(labels={name: label})
    if expected is None or " " not in expected:
        read = row_from(data, values=VALUES)
        assert dict(read.value_labels) == ({} if expected is None else {name: expected})
        assert dict(read.labels) == {}
    else:
        with pytest.raises(ValueError, match=expected.replace("[", r"\[")):
            row_from(data, values=VALUES)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_bad_labels_cost_their_rows_alone(policy: str, tmp_path: Path, capsys: Any, ending: str) -> None:
    given = [(4, "formal"), (9, "formal"), (2, "grim"), (1, "casual")]
    rows = [row(id=str(at), labels={"help": a, "tone": b, "rude": False}) for at, (a, b) in enumerate(given)]
    path = tmp_path / f"rows.{ending}"
    if ending == "jsonl":
        write(path, rows)
    elif ending == "csv":
        with path.open("w", newline="") as sink:
            names = ["id", "prompt", "completion", "response_type", "labels.help", "labels.tone", "labels.rude"]
            out = csv.writer(sink)
            out.writerows(
                [names, *([*list(one.values())[3:4], *list(one.values())[:3], *one["labels"].values()] for one in rows)]
            )
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    compiled = str(tmp_path / "p.rbrc")
    assert main(["compile", policy, "-o", compiled]) == 0
    out_file = tmp_path / "out.jsonl"
    assert main(["score", compiled, str(path), "-o", str(out_file), "--grader", "labels"]) == 3
    err = capsys.readouterr().err
    assert "the label of `help` is " in err
    assert "the label of `tone` is 'grim', none of formal, casual, hostile" in err
    scored = [json.loads(line) for line in out_file.read_text().splitlines()]
    assert [(one["id"], one["class"]) for one in scored] == [("0", "good"), ("3", "bad")]
    # The same without a grader, where a table is read by columns.
    assert main(["score", compiled, str(path), "-o", str(out_file)]) == 3
    assert "the label of `tone` is 'grim'" in capsys.readouterr().err


def test_labels_are_probabilities_of_their_values() -> None:
    read = row_from(row(labels={"help": 4, "tone": "casual", "rude": True}), values=VALUES)
    (known,) = with_labels_as_probs([read])
    assert known.probs == {"rude": 1.0, "help.4": 1.0, "tone.casual": 1.0}


def test_the_reward_server_takes_rows_with_such_labels() -> None:
    body = {"rows": [row(labels={"help": 4})]}
    assert read_score(body, Reading(values=VALUES))[0].value_labels == {"help": "4"}
    assert "`help` is 4, not true" in read_score(body, Reading())[0].reason


def test_weights_are_fitted_to_classes_by_labels(policy: str, tmp_path: Path) -> None:
    rows = [
        row(prompt=f"Prompt {n}", completion=klass, labels={"help": level, "tone": tone, "rude": False}, probs={
            "rude": 0.1, f"help.{level}": 1.0, f"tone.{tone}": 1.0,
        })
        for n in range(12)
        for klass, level, tone in (("good", 5, "formal"), ("fair", 3, "casual"), ("bad", 1, "hostile"))
    ]  # fmt: skip
    fitted = str(tmp_path / "p.rbrc")
    gold = write(tmp_path / "gold.jsonl", rows)
    assert main(["fit", policy, gold, "-o", fitted, "--class-source", "labels"]) == 0
    assert main(["eval", fitted, gold, "--gate", "error<0.01"]) == 0


# --- numbers ------------------------------------------------------------------------------------


def by_hand(truth: list[int], said: list[int], k: int, *, quadratic: bool) -> float:
    """Kappa from its definition over all pairs of a label and an answer, without tables."""
    cost = (lambda a, b: (a - b) ** 2) if quadratic else (lambda a, b: float(a != b))
    seen = sum(cost(a, b) for a, b in zip(truth, said, strict=True)) / len(truth)
    chance = sum(cost(a, b) for a, b in itertools.product(truth, said)) / len(truth) ** 2
    return 1 - seen / chance if chance else 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30), st.booleans())
def test_kappa_is_that_of_its_definition(pairs: list[tuple[int, int]], quadratic: bool) -> None:
    table = np.zeros((1, 4, 4))
    for a, b in pairs:
        table[0, a, b] += 1
    truth, said = [a for a, _ in pairs], [b for _, b in pairs]
    expected = by_hand(truth, said, 4, quadratic=quadratic)
    assert kappa(table, quadratic=quadratic)[0] == pytest.approx(expected, abs=1e-12)


def test_kappa_of_published_tables() -> None:
    # Fleiss, Statistical Methods for Rates and Proportions, 1981, table 13.1 has the same in shares.
    table = np.array([[[75, 1, 4], [5, 4, 1], [0, 0, 10]]], float)
    assert kappa(table, quadratic=False)[0] == pytest.approx(0.676, abs=1e-3)
    assert kappa(np.eye(3)[None], quadratic=True)[0] == 1.0
    assert kappa(np.eye(3)[None, ::-1], quadratic=True)[0] == -1.0
    assert math.isnan(kappa(np.zeros((1, 3, 3)), quadratic=True)[0])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=20))
def test_rank_correlation_is_pearsons_of_mean_ranks(pairs: list[tuple[int, int]]) -> None:
    def rank(values: list[int]) -> list[float]:
        return [sum(b < a for b in values) + (sum(b == a for b in values) + 1) / 2 for a in values]

    x, y = ([float(one[at]) for one in pairs] for at in (0, 1))
    a, b = rank([p[0] for p in pairs]), rank([p[1] for p in pairs])
    got = spearman(np.array(x), np.array(y))
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert got is None
    else:
        assert got == pytest.approx(float(np.corrcoef(a, b)[0, 1]), abs=1e-9)


def test_scores_of_distributions() -> None:
    truth, p = np.array([0, 2, 1]), np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.25, 0.5, 0.25]])
    assert rps(truth, p).tolist() == [0.0, 1.0, pytest.approx(0.0625)]
    assert half_brier(truth, p).tolist() == [0.0, 1.0, pytest.approx((0.0625 + 0.25 + 0.0625) / 2)]
    two = np.array([[0.3, 0.7]])
    both = half_brier(np.array([1]), two)[0], rps(np.array([1]), two)[0]
    assert both == pytest.approx((0.09, 0.09))  # Brier's, of yes and no


def test_too_few_labels_are_refused_with_the_reason() -> None:
    domain = Domain("tone", "choice", ("x", "y"))
    p = np.tile([0.9, 0.1], (12, 1))
    few = judge_values(domain, np.array([0] * 10 + [1] * 2), p, np.arange(12), 0, 100)
    assert few.result == "12 labels that the grader answered; at least two values with 5 of them each are needed"
    none = judge_values(domain, np.full(12, -1), p, np.arange(12), 0, 100)
    assert (none.support, none.result) == (0, "no row labels it")
    mute = judge_values(domain, np.zeros(12, int), np.full_like(p, np.nan), np.arange(12), 0, 100)
    assert mute.result == "the grader gave no value for any of its 12 labelled rows"


def test_the_interval_of_kappa_holds_what_more_prompts_show() -> None:
    random = np.random.default_rng(0)
    domain = Domain("help", "scale", ("1", "2", "3", "4", "5"))

    def sample(n: int) -> Any:
        truth = random.integers(5, size=n)
        near = np.clip(truth + random.integers(-1, 2, size=n), 0, 4)
        return judge_values(domain, truth, np.eye(5)[near] * 0.6 + 0.08, np.arange(n), 0, 400).result

    long_run = sample(40_000).kappa.value
    inside = [found.kappa.low <= long_run <= found.kappa.high for found in (sample(80) for _ in range(60))]
    assert 0.85 <= np.mean(inside) <= 1.0
    found = sample(200)
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert sum(map(sum, found.counts)) == 200


def test_the_effect_of_order_is_found_and_only_that() -> None:
    random = np.random.default_rng(1)
    content = random.dirichlet([2, 2, 2], size=4000)
    places = ((0, 1, 2), (2, 0, 1))
    pull = np.array([0.2, 0.0, -0.2])

    def shown(of: tuple[int, ...], strength: float) -> Any:
        lifted = np.clip(content + strength * pull[list(of)], 0.01, None)
        return lifted / lifted.sum(1, keepdims=True)

    none = order_effect(shown(places[0], 0.0), shown(places[1], 0.0), places)
    assert none is not None
    assert (none.changed.value, none.moved) == (0.0, 0.0)
    assert none.lift == (0.0, 0.0, 0.0)
    found = order_effect(shown(places[0], 1.0), shown(places[1], 1.0), places)
    assert found is not None
    assert found.lift[0] > 0.08 > 0.02 > abs(found.lift[1])
    assert found.lift[2] < -0.08
    assert sum(found.lift) == pytest.approx(0.0, abs=1e-9)
    assert found.changed.value > 0.1
    assert order_effect(np.full((3, 3), np.nan), content[:3], places) is None


# --- the command --------------------------------------------------------------------------------


def gold(tmp_path: Path) -> tuple[str, list[dict[str, Any]]]:
    """Forty rows; the grader misses each fifth level by one, and takes hostile for casual."""
    rows: list[dict[str, Any]] = []
    for at in range(40):
        level, tone = at % 5 + 1, TONE.domain.values[at % 3]
        said = min(5, level + 1) if at % 5 == 0 else level
        told = "casual" if tone == "hostile" else tone
        probs = {
            "rude": 0.1, "help": {str(said): 0.8, str(said % 5 + 1): 0.2},
            "tone": {one: 0.7 if one == told else 0.15 for one in TONE.domain.values},
        }  # fmt: skip
        labels = {"rude": False, "help": level, "tone": tone}
        rows.append(row(id=str(at), prompt=f"Prompt {at}", completion=f"Text {at}", labels=labels, probs=probs))
    return write(tmp_path / "gold.jsonl", rows), rows


def test_agree_judges_scales_and_choices(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, rows = gold(tmp_path)
    command = ["agree", policy, path, "--grader", "rows"]
    assert main([*command, "--format", "json", "-o", str(tmp_path / "judged.jsonl")]) == 0
    plain = json.loads(capsys.readouterr().out)
    found = plain["variables"]
    truth = [one["labels"]["help"] - 1 for one in rows]
    said = [int(max(one["probs"]["help"], key=lambda v: one["probs"]["help"][v])) - 1 for one in rows]
    assert found["help"]["kappa"] == pytest.approx(by_hand(truth, said, 5, quadratic=True))
    assert found["help"]["accuracy"] == 32 / 40
    assert found["help"]["confusion"]["1"] == {"1": 0, "2": 8, "3": 0, "4": 0, "5": 0}
    assert found["help"]["always_most_frequent"] == 8 / 40
    assert found["help"]["ece"] == pytest.approx(0.0, abs=1e-9)
    tones = [TONE.domain.values.index(one["labels"]["tone"]) for one in rows]
    given = [1 if one == 2 else one for one in tones]
    assert found["tone"]["kappa"] == pytest.approx(by_hand(tones, given, 3, quadratic=False))
    assert found["tone"]["rank_correlation"] is None
    assert found["tone"]["confusion"]["hostile"] == {"formal": 0, "casual": 13, "hostile": 0}
    assert plain["compared"] == 120
    # Classes follow from the labelled values, and from the likeliest ones.
    bad = [one for one in rows if one["labels"]["tone"] == "hostile" or one["labels"]["help"] <= 2]
    kept = [one for one in bad if one["labels"]["help"] <= 2]
    assert plain["classes"]["by_response_type"]["chat"]["confusion"]["bad"]["bad"] == len(kept)
    judged = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert judged[0]["probs"]["tone.formal"] == 0.7
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "Scales and choices, weakest first" in out
    assert "\nrank        Spearman" in out
    assert "\\u000a" not in out
    assert "help: 32 of 40 right; always saying the most frequent value would be right in 8" in out


@pytest.mark.parametrize(
    ("gate", "code", "said"),
    [
        ("help.kappa>0.8", 0, ""), ("help.kappa>0.99", 1, "help.kappa is 0.9"), ("tone.accuracy>0.9", 1, "tone.accuracy is"),
        ("help.rank_correlation>0.5", 0, ""), ("tone.rank_correlation>0.5", 2, "nothing is called"), ("help.auc>0.5", 2, "nothing"),
        ("tone.score<0.5", 0, ""), ("tone.order_changed<0.1", 2, "nothing is called"),
    ],
)  # fmt: skip
def test_gates_on_values(policy: str, tmp_path: Path, capsys: Any, gate: str, code: int, said: str) -> None:
    path, _ = gold(tmp_path)
    assert main(["agree", policy, path, "--grader", "rows", "--gate", gate]) == code
    assert said in capsys.readouterr().err


def test_rows_with_labels_of_values_alone_take_part(policy: str, tmp_path: Path, capsys: Any) -> None:
    _, rows = gold(tmp_path)
    for one in rows:
        del one["labels"]["rude"], one["labels"]["help"]
    path = write(tmp_path / "gold.jsonl", rows)
    assert main(["agree", policy, path, "--grader", "rows", "--format", "json", "--gate", "help.kappa>0"]) == 1
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["variables"]["help"]["refused"] == "no row labels it"
    assert "help.kappa could not be computed: no row labels it" in said.err
    assert found["variables"]["tone"]["support"] == found["compared"] == 40


def biased(body: bytes, before: int) -> Action:
    """A server that likes whatever is shown first."""
    if not body:
        return Say(b"", 404)
    text = json.loads(body)["messages"][0]["content"]
    if "one digit" in text:
        return chat([("4", 0.9), ("5", 0.08)])
    if "one letter" in text:
        return chat([("A", 0.6), ("B", 0.25), ("C", 0.1)])
    return chat([("no", 0.9), ("yes", 0.05)])


def test_position_bias_is_measured_by_asking_in_another_order(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, _ = gold(tmp_path)
    with FaultServer(biased) as server:
        command = ["agree", policy, path, "--grader", "openai:m", "--base-url", server.url, "--order-effect"]
        assert main([*command, "--format", "json", "--gate", "tone.order_changed<0.5"]) == 1
        said = capsys.readouterr()
        asked = [json.loads(body)["messages"][0]["content"] for body in server.received if body]
        assert main([*command]) == 0
    assert "tone.order_changed is 1" in said.err
    effect = json.loads(said.out)["variables"]["tone"]["order"]
    assert (effect["rows"], effect["changed"]) == (40, 1.0)
    first, second, third = effect["lift_by_place"]
    assert first > 0.1 > second > third
    assert "order" not in json.loads(said.out)["variables"]["help"]
    assert sum("one letter" in text for text in asked) == 80
    assert sum("one digit" in text for text in asked) == 40
    assert sum("one letter" not in text and "one digit" not in text for text in asked) == 40
    assert "tone: in another order 100% of 40 rows get another likeliest option" in capsys.readouterr().out
    assert len(set(signs(TONE).values())) == 3


@pytest.mark.parametrize("grader", ["rows", "labels"])
def test_order_is_nothing_to_graders_that_are_shown_none(policy: str, tmp_path: Path, capsys: Any, grader: str) -> None:
    path, _ = gold(tmp_path)
    assert main(["agree", policy, path, "--grader", grader, "--order-effect"]) == 2
    assert "is shown none" in capsys.readouterr().err


def test_invalid_answers_are_counted_with_their_reason(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, _ = gold(tmp_path)

    def said(body: bytes, before: int) -> Action:
        if body and "one letter" in json.loads(body)["messages"][0]["content"]:
            return chat([("The", 0.9), ("A", 0.05)])
        return biased(body, before)

    with FaultServer(said) as server:
        command = ["agree", policy, path, "--grader", "openai:m", "--base-url", server.url, "--format", "json"]
        assert main(command) == 3
    found = json.loads(capsys.readouterr().out)
    assert list(found["invalid_answers"].values()) == [40]
    assert found["variables"]["tone"]["unanswered"] == 40
    assert found["variables"]["help"]["support"] == 40


def test_a_contradiction_is_explained_by_the_values_that_decided(policy: str, tmp_path: Path, capsys: Any) -> None:
    compiled = str(tmp_path / "p.rbrc")
    assert main(["compile", policy, "-o", compiled]) == 0
    rows = [
        row(prompt=f"Prompt {n}", completion=f"{tone} {n}", pair=str(n), preferred=tone == "hostile", probs={
            "rude": 0.1, "help.5": 1.0, f"tone.{tone}": 1.0,
        })
        for n in range(6)
        for tone in ("formal", "hostile")
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["eval", compiled, write(tmp_path / "pairs.jsonl", rows), "--pairs", "preferences"]) == 0
    said = capsys.readouterr().out
    assert "tone == hostile" in said
    assert "tone == formal" in said


def test_rows_made_from_the_rules_have_values_of_their_class(policy: str, tmp_path: Path, capsys: Any) -> None:
    made = tmp_path / "made.jsonl"
    assert main(["synth", policy, "--prompts", "200", "--per-class", "2", "-o", str(made)]) == 0
    rows = [json.loads(line) for line in made.read_text().splitlines()]
    assert len(rows) == 1200
    for one in rows:
        level, tone, rude = (one["labels"][name] for name in ("help", "tone", "rude"))
        bad = tone == "hostile" or level <= 2
        assert one["class"] == ("bad" if bad else "good" if level >= 4 and not rude else "fair")
        assert one["probs"]["help"] == {str(level): 1.0}
        assert one["probs"]["tone"] == {tone: 1.0}
    # Within a class, values are as likely as their priors and the rules leave them.
    good = [one["labels"] for one in rows if one["class"] == "good"]
    assert np.mean([one["help"] == 4 for one in good]) == pytest.approx(0.5, abs=0.09)
    assert np.mean([one["tone"] == "formal" for one in good]) == pytest.approx(0.5, abs=0.09)
    bad = [one["labels"] for one in rows if one["class"] == "bad"]
    share = (1 / 3) / (1 / 3 + 2 / 3 * 2 / 5)
    assert np.mean([one["tone"] == "hostile" for one in bad]) == pytest.approx(share, abs=0.09)
    fitted = str(tmp_path / "p.rbrc")
    assert main(["fit", policy, str(made), "-o", fitted]) == 0
    assert main(["agree", policy, str(made), "--grader", "rows", "--gate", "help.kappa>0.99"]) == 0
    capsys.readouterr()
    assert main(["synth", policy, "--prompts", "2", "--from", "templates", "-o", str(made)]) == 2
    assert "`--from templates` has phrases for propositions alone" in capsys.readouterr().err


def test_a_report_judges_the_grader_of_values_too(policy: str, tmp_path: Path) -> None:
    for package in ("jinja2", "matplotlib"):
        pytest.importorskip(package)
    _, rows = gold(tmp_path)
    rows = [{**one, "prompt": f"Prompt {at // 4}"} for at, one in enumerate(rows)]
    for one in rows:
        level, tone = one["labels"]["help"], one["labels"]["tone"]
        one["class"] = "bad" if tone == "hostile" or level <= 2 else "good" if level >= 4 else "fair"
    path, compiled = write(tmp_path / "ranked.jsonl", rows), str(tmp_path / "p.rbrc")
    assert main(["compile", policy, "-o", compiled]) == 0
    assert main(["report", compiled, path, "-o", str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text()
    assert "1 proposition, 2 scales and choices, 1 response type" in page
    assert ">32 of 40<" in page
    told = [i for i, one in enumerate(TONE.domain.values * 14) if i < 40 and one == "hostile"]
    assert f">{40 - len(told)} of 40<" in page
    # Likely values are 0.8 and 0.7, and count for the class as they would if they were certain.
    bad_by_help = sum(1 for one in rows if one["labels"]["help"] > 2 and one["labels"]["tone"] == "hostile")
    assert f"answers give {100 * (40 - bad_by_help) / 40:.1f}" in page


# --- what mistakes cost -------------------------------------------------------------------------


def mistaken(tmp_path: Path, n: int = 300, seed: int = 3) -> tuple[str, list[dict[str, Any]]]:
    """Rows of known class, whose grader misses levels by one and tones now and then."""
    random = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for at in range(n):
        level, tone = int(random.integers(1, 6)), str(random.choice(TONE.domain.values))
        said = int(np.clip(level + random.choice([-1, 0, 0, 1]), 1, 5))
        told = tone if random.random() < 0.8 else str(random.choice(TONE.domain.values))
        klass = "bad" if tone == "hostile" or level <= 2 else "good" if level >= 4 else "fair"
        rows.append(row(
            id=str(at), prompt=f"Prompt {at // 6}", completion=f"Text {at}", labels={"rude": False, "help": level, "tone": tone},
            probs={"rude": 0.0, "help": {str(said): 1.0}, "tone": {told: 1.0}}, **{"class": klass},
        ))  # fmt: skip
    return write(tmp_path / "mistaken.jsonl", rows), rows


def test_noise_foretells_what_the_mistakes_did(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, rows = mistaken(tmp_path)
    compiled = str(tmp_path / "p.rbrc")
    assert main(["fit", policy, path, "-o", compiled]) == 0
    capsys.readouterr()
    assert main(["eval", compiled, path, "--noise", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    noise = found["noise"]
    (response,) = noise["response_types"].values()
    # Each answer was drawn independently of the others, so that what is foretold is what was met, but for luck.
    truth = [one["class"] for one in rows]
    met = []
    for one in rows:
        said, tone = int(next(iter(one["probs"]["help"]))), next(iter(one["probs"]["tone"]))
        met.append("bad" if tone == "hostile" or said <= 2 else "good" if said >= 4 else "fair")
    accuracy = np.mean([a == b for a, b in zip(truth, met, strict=True)])
    assert response["class_accuracy"] == pytest.approx(accuracy, abs=0.05)
    error = found["response_types"]["chat"]["error"]["both"]["value"]
    assert response["error"] == pytest.approx(error, abs=0.04)
    assert response["perfect_error"] == 0.0
    assert response["worth"].keys() == {"rude", "help", "tone"}
    assert response["worth"]["help"]["class_accuracy"] > 0.05
    counts = {value: [one["labels"]["help"] for one in rows].count(int(value)) for value in "12345"}
    assert noise["values"]["help"]["rows"] == counts
    assert math.fsum(noise["values"]["help"]["answered"]["2"].values()) == pytest.approx(1.0)
    assert main(["eval", compiled, path, "--noise"]) == 0
    assert "do: improve the question of `" in capsys.readouterr().out


def test_class_shares_under_noise_are_those_of_all_pairs_of_answers(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, rows = mistaken(tmp_path, 120)
    compiled = str(tmp_path / "p.rbrc")
    assert main(["compile", policy, "-o", compiled]) == 0
    capsys.readouterr()
    assert main(["eval", compiled, path, "--noise", "--format", "json"]) == 0
    noise = json.loads(capsys.readouterr().out)["noise"]
    answered = {name: of["answered"] for name, of in noise["values"].items()}
    fp = noise["rates"]["rude"]["fp"]
    right = 0.0
    for one in rows:
        of_level, of_tone = answered["help"][str(one["labels"]["help"])], answered["tone"][one["labels"]["tone"]]
        for (level, p), (tone, q), (rude, r) in itertools.product(
            of_level.items(), of_tone.items(), ((1, fp), (0, 1 - fp))
        ):
            klass = (
                "bad" if tone == "hostile" or int(level) <= 2 else "good" if int(level) >= 4 and not rude else "fair"
            )
            right += p * q * r * (klass == one["class"])
    assert noise["response_types"]["chat"]["class_accuracy"] == pytest.approx(right / len(rows), abs=1e-9)


def test_noise_takes_the_confusions_that_agree_found(policy: str, tmp_path: Path, capsys: Any) -> None:
    path, _ = mistaken(tmp_path)
    compiled = str(tmp_path / "p.rbrc")
    assert main(["compile", policy, "-o", compiled]) == 0
    capsys.readouterr()
    assert main(["agree", policy, path, "--grader", "rows", "--format", "json"]) == 0
    agreed = tmp_path / "agree.json"
    agreed.write_text(capsys.readouterr().out)
    shown: list[Any] = []
    for how in (["--noise"], ["--agreement", str(agreed)]):
        assert main(["eval", compiled, path, *how, "--format", "json"]) == 0
        shown.append(json.loads(capsys.readouterr().out)["noise"]["values"])
    assert shown[0] == shown[1]
    plain = json.loads(agreed.read_text())
    del plain["variables"]["help"]["confusion"]["3"]
    agreed.write_text(json.dumps(plain))
    assert main(["eval", compiled, path, "--agreement", str(agreed)]) == 2
    assert "the confusion of `help` has no count of `1` for `3`" in capsys.readouterr().err


# --- texts that a model writes ------------------------------------------------------------------


def written(orders: Sequence[Order], obeys: bool = True) -> list[Written]:
    """A writer that takes the first value that it is told, and the lowest level and a formal tone where it is told none."""
    out: list[Written] = []
    for order in orders:
        told = order.messages[-1].text
        found = {
            name: re.search(rf"question is (?:one of )?(\w+)[^?]*: {re.escape(asked)}", told)
            for name, asked in (("help", "How far does the response help?"), ("tone", "What is the tone?"))
        }
        level = found["help"][1] if found["help"] else "1"
        tone = found["tone"][1] if found["tone"] else "formal"
        rude = "this is true of it: Response is rude." in told
        out.append(Written(f"help {level if obeys else 3}, tone {tone}" + (", rude" if rude else ""), "stop", Usage()))
    return out


def reading(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[dict[int, Answer]]:
    """A grader that reads what `written` writes."""
    out: list[dict[int, Answer]] = []
    for one, of in zip(items, wanted, strict=True):
        level, tone, *rude = (part.split()[-1] for part in one.completion.split(", "))
        known: dict[int, Answer] = {
            0: certain(float(bool(rude)), "function"),
            1: spread({v: 0.9 if v == level else 0.025 for v in "12345"}, "function"),
            2: spread({v: 0.9 if v == tone else 0.05 for v in TONE.domain.values}, "function"),
        }
        out.append({p: known[p] for p in of})
    return out


@pytest.mark.parametrize("obeys", [True, False])
def test_a_writer_is_told_the_values_of_a_class(obeys: bool) -> None:
    program = rbr.loads(POLICY)
    prompts = [row_from(row(prompt=f"Prompt {n}", completion="")) for n in range(12)]
    made = synth_from_model(
        program.circuit, program.program.questions, prompts, 1, partial(written, obeys=obeys), reading, Provenance("m", "r", 0),
        attempts=2,
    )  # fmt: skip
    counts = {tally.klass: tally.accepted for tally in made.tallies}
    assert counts == ({"good": 12, "fair": 12, "bad": 12} if obeys else {**counts, "good": 0})
    assert bool(made.rejected) != obeys
    for one in made.rows:
        level, tone = one.raw["completion"].split(", ")[:2]
        assert one.raw["probs"]["help"][level.split()[-1]] == 0.9
        assert one.probs[f"tone.{tone.split()[-1]}"] == 0.9
        assert all("|" not in name for name in one.raw["synthetic"]["specification"])
    kept = {one.proposition: (one.told, one.followed) for one in made.literals if one.proposition.startswith("help")}
    assert kept
    assert all(told == followed for told, followed in kept.values()) == obeys
    text = planned_orders(program.circuit, program.program.questions, prompts[:1], 1, 0)[0].messages[-1].text
    assert "Write the response such that the answer to this question is " in text
    assert "on a scale from 1 to 5: How far does the response help?" in text
