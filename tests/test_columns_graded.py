"""Columns inside questions, from end to end: commands against a server, adapters, the reward server, tests, synthesis, probes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faultserver import Action, FaultServer, Say, chat
from grading_kit import item, proposition, reaching

import rbrlang as rbr
from rbrlang.adapters.nemo_gym import NeMoGymReward
from rbrlang.adapters.openrlhf import OpenRLHFReward
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.tunix import TunixReward
from rbrlang.adapters.verifiers import VerifiersReward
from rbrlang.adapters.verl import VerlReward
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.protocol.systemone import SystemOne
from rbrlang.grading.endpoint.writing import Order, Written
from rbrlang.grading.judge import Bench
from rbrlang.grading.questions.layout import Ask, plan
from rbrlang.grading.questions.specs import Secret
from rbrlang.grading.results import Answer, GradeItem, Usage, certain
from rbrlang.grading.texttests import Decided, Undecided, run_text_tests
from rbrlang.grading.trust.bases import candidates
from rbrlang.grading.trust.probe import probe
from rbrlang.grading.unfilled import FillingGrader
from rbrlang.lang.program import TextTest
from rbrlang.learning.synthesis.compose import Provenance, planned_orders, synth_from_model
from rbrlang.learning.synthesis.synth import synth_from_rules
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows, row_from
from rbrlang.scoring.columns import Columns
from rbrlang.scoring.score import Scorer
from rbrlang.scoring.store import RolloutStore
from rbrlang.serve.forms import Reading, read_score, say_score

POLICY = """rbr 1
column reference "The expected answer."
prop correct "Response gives the same answer as {reference}."
prop rude "Response is rude." { cue yes "(?i)fool" }
response chat ranks good > poor > bad
chat.bad  := rude
chat.poor := !rude & !correct
chat.good := otherwise
test "told" for chat { prompt "2 + 2?" completion "4" column reference "4" expect good }
test "untold" for chat { prompt "2 + 2?" completion "4" expect good }
"""
ROWS: list[dict[str, Any]] = [
    {"id": "right", "prompt": "2 + 2?", "completion": "It is 4.", "reference": 4},
    {"id": "wrong", "prompt": "2 + 2?", "completion": "It is 5.", "reference": "4"},
    {"id": "null", "prompt": "2 + 2?", "completion": "It is 4.", "reference": None},
    {"id": "none", "prompt": "2 + 2?", "completion": "You fool."},
    {"id": "list", "prompt": "2 + 2?", "completion": "It is 4.", "reference": ["4", "four"]},
]


class Dumped:
    """A model of pydantic's, as far as the adapters look at it."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said

    def model_dump(self) -> dict[str, Any]:
        return self.said


def unrecorded(values: Mapping[str, float]) -> None:
    """Metrics go nowhere."""


class Comparing:
    """Knows whether a completion holds what its row calls right, and whether it says `fool`."""

    def __call__(self, items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        found: list[Mapping[int, Answer]] = []
        for one, of in zip(items, wanted, strict=True):
            answers: dict[int, Answer] = {}
            for p in of:
                said = one.cell("reference")
                holds = isinstance(said, str) and said in one.completion if p == 0 else "fool" in one.completion
                answers[p] = certain(float(holds), "function")
            found.append(answers)
        return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "p.rbr").write_text(POLICY)
    rows = [{**row, "response_type": "chat"} for row in ROWS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = tmp_path_factory.mktemp("artefact") / "p.rbrc"
    policy = rbr.loads(POLICY)
    rbr.write(target, policy, rbr.compile(policy))
    return str(target)


def comparing(body: bytes, before: int) -> Action:
    """A server that says yes where the reference of the question stands in the response, and no to all else."""
    if not body:
        return Say(b"", 404)
    text = json.loads(body)["messages"][0]["content"]
    response = text.partition("<response-")[2].partition("</response-")[0]
    reference = text.partition("<reference-")[2].partition("\n")[2].partition("\n")[0]
    holds = bool(reference) and reference in response.partition("\n")[2]
    return chat([("yes", 0.9 if holds else 0.05), ("no", 0.05 if holds else 0.9)])


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(comparing) as running:
        yield running


def read(path: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in map(json.loads, path.read_text().splitlines())}


def test_grading_asks_what_can_be_asked_and_names_what_cannot(
    folder: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["grade", str(folder / "p.rbr"), str(folder / "rows.jsonl"), "-o", str(folder / "out.jsonl")]
    arguments += ["--grader", "openai:m", "--base-url", server.url, "--layout", "question-first"]
    assert main(arguments) == 3
    rows = read(folder / "out.jsonl")
    assert rows["right"]["probs"]["correct"] == pytest.approx(0.9 / 0.95)
    assert rows["wrong"]["probs"]["correct"] == pytest.approx(0.05 / 0.95)
    for name, reason in (("null", "is empty"), ("none", "there is no column"), ("list", "is a list, not text")):
        assert rows[name]["probs"]["correct"] is None
        assert reason in rows[name]["invalid"]["correct"]
        assert rows[name]["probs"]["rude"] is not None
    assert rows["list"]["reference"] == ["4", "four"]
    sent = [json.loads(body)["messages"][0]["content"] for body in server.received if body]
    assert sum("<reference-" in text for text in sent) == 2
    assert len(sent) == 2 + len({row["completion"] for row in ROWS})
    assert not any("{reference}" in text for text in sent)
    # What was answered is not asked again; what another row says is another question.
    before = sum(server.received.values())
    (folder / "rows.jsonl").write_text((folder / "rows.jsonl").read_text().replace('"reference": 4', '"reference": 7'))
    assert main(arguments) == 3
    posted = sum(count for body, count in server.received.items() if body)
    assert posted == len(sent) + 1
    assert sum(server.received.values()) > before
    assert read(folder / "out.jsonl")["right"]["probs"]["correct"] == pytest.approx(0.05 / 0.95)


def test_lazy_grading_and_scoring(folder: Path, server: FaultServer, artefact: str) -> None:
    grader = ["--grader", "openai:m", "--base-url", server.url]
    out = folder / "out.jsonl"
    assert (
        main(["grade", str(folder / "p.rbr"), str(folder / "rows.jsonl"), "-o", str(out), "--lazy", "0.1", *grader])
        == 3
    )
    assert {name: row["probs"].get("correct") is not None for name, row in read(out).items()} == {
        "right": True, "wrong": True, "null": False, "none": False, "list": False
    }  # fmt: skip
    assert main(["score", artefact, str(folder / "rows.jsonl"), "-o", str(out), *grader]) == 3
    rows = read(out)
    assert rows["right"]["reward"] > rows["wrong"]["reward"]
    assert rows["null"]["reward"] is None
    assert "correct" in rows["null"]["reason"]


def test_plans_count_what_is_asked_and_show_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["plan", str(folder / "p.rbr"), "--data", str(folder / "rows.jsonl")]
    assert main([*given, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["requests"] == 2 + len(ROWS)
    assert main([*given, "--show-prompt", "correct", "right"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("<reference-") == shown.count("</reference-") == 2
    assert "\n4\n</reference-" in shown
    assert main([*given, "--show-prompt", "correct", "list"]) == 2
    assert "`correct` cannot be asked about row `list`: the column `reference` is a list" in capsys.readouterr().err
    assert (
        main(["grade", *given[1:2], given[3], "-o", "-", "--grader", "embedded", "--allow-abstain", "--dry-run"]) == 0
    )
    assert "7 answers for 5 rows" in capsys.readouterr().out


def test_a_table_says_the_same_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rows.csv").write_text("id,prompt,completion,reference,response_type\nright,2 + 2?,It is 4.,4,chat\n")
    prompts: list[str] = []
    for name in ("rows.csv", "rows.jsonl"):
        arguments = ["plan", str(folder / "p.rbr"), "--data", str(folder / name), "--layout", "question-first"]
        assert main([*arguments, "--show-prompt", "correct", "right"]) == 0
        prompts.append(capsys.readouterr().out)
    assert prompts[0] == prompts[1]


def test_a_decision_model_is_told_in_its_instructions() -> None:
    one = proposition("p", question="Is it {reference}?")._replace(columns=("reference",))
    row = replace(item("r"), cells=(("reference", "four"),))
    remote = SystemOne("http://h", "", Secret(""), (one,))
    (body,) = remote.bodies(Ask(0, (0,), "conversation-first"), row)
    (said,) = json.loads(body)["questions"].values()
    assert "\nfour\n</reference-" in said["instructions"]


def test_rows_with_one_reference_stand_together() -> None:
    one = proposition("p", question="Is it {reference}? " + "q" * 5000)._replace(columns=("reference",))
    rows = [replace(item(str(n)), cells=(("reference", "ab"[n % 2]),)) for n in range(4)]
    made = plan([one], reaching([one], [(0,)]), rows, layout="question-first")
    assert [[ask.item for ask in group] for group in made.groups([(0,)] * 4, rows)] == [[0, 2], [1, 3]]


# --- trainers ---------------------------------------------------------------------------------


def test_every_adapter_hands_the_columns_over(artefact: str) -> None:
    chosen = Columns(every="chat")
    prompts, texts = ["2 + 2?"] * 3, ["It is 4.", "It is 5.", "It is 4."]
    references = ["4", "4", None]

    def made(kind: Any, **more: Any) -> Any:
        return kind(artefact, Comparing(), columns=chosen, **more)

    good, poor, missing = asyncio.run(made(TRLReward)(prompts=prompts, completions=texts, reference=references))
    assert good is not None
    assert poor is not None
    assert missing is None
    assert good > poor
    scores = made(TunixReward).scores(prompts, texts, {"reference": references}, None)
    assert scores.rewards[:2].tolist() == pytest.approx([good, poor])
    assert "`correct`: the column `reference` is empty" in (scores.reasons[2] or "")
    verl = made(VerlReward, on_invalid=-9.0)
    info = [{"prompt": "2 + 2?", "reference": said} for said in references]
    assert [one["score"] for one in verl.batch([""] * 3, texts, [None] * 3, info)] == pytest.approx([good, poor, -9.0])
    labels = [json.dumps({"reference": said}) for said in references]
    queries = [f"2 + 2? {text}" for text in texts]
    openrlhf = made(OpenRLHFReward, on_invalid=-9.0)
    assert openrlhf(queries, ["2 + 2? "] * 3, labels)["rewards"] == pytest.approx([good, poor, -9.0])
    gym = made(NeMoGymReward)
    output = [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "It is 4."}]}]
    body = {"responses_create_params": {"input": "2 + 2?"}, "response": {"output": output}}
    assert gym.verify({**body, "verifier_metadata": {"reference": "4"}})["reward"] == pytest.approx(good)
    assert gym.verify(body)["failure_reason"].endswith("`correct`: there is no column `reference`")
    nodes = [
        SimpleNamespace(sampled=at == 1, message=Dumped(one))
        for at, one in enumerate([{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "It is 4."}])
    ]
    trace = SimpleNamespace(
        task=SimpleNamespace(data=Dumped({"reference": "4"})),
        branches=[SimpleNamespace(nodes=nodes)], record_metrics=unrecorded,
    )  # fmt: skip
    assert asyncio.run(made(VerifiersReward)(trace)) == pytest.approx(good)


def test_the_server_reads_the_columns_of_rows(artefact: str) -> None:
    rollouts = read_score({"rows": [{**row, "response_type": "chat"} for row in ROWS]}, Reading())
    said = say_score(rollouts, Scorer(artefact, Comparing())(rollouts))["rows"]
    assert said[0]["reward"] > said[1]["reward"]
    assert [row["valid"] for row in said] == [True, True, False, True, False]
    assert said[2]["reason"].endswith("`correct`: the column `reference` is empty")


def test_an_artefact_says_which_columns_it_needs(artefact: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", artefact]) == 0
    assert " · columns reference · " in capsys.readouterr().out
    assert main(["inspect", artefact, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"] == ["reference"]


def test_a_store_keeps_the_columns(artefact: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rollouts = read_score({"rows": [{**row, "response_type": "chat"} for row in ROWS]}, Reading())
    scorer = Scorer(artefact, Comparing())
    with RolloutStore(tmp_path / "kept", scorer.circuit, "me") as store:
        store.add(1, rollouts, scorer(rollouts))
    kept = read_rows(tmp_path / "kept").rows
    assert [row.raw["reference"] for row in kept] == ["4", "4", None, None, None]
    again = scorer(kept)
    assert again.rewards[:2].tolist() == scorer(rollouts).rewards[:2].tolist()


# --- tests, synthesis, probes -----------------------------------------------------------------


def test_a_test_on_text_says_what_its_row_has(
    folder: Path, server: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = rbr.loads(POLICY)
    tests = [test for test in policy.program.tests if isinstance(test, TextTest)]
    judge = FillingGrader("", Comparing(), policy.circuit).answers
    told, untold = run_text_tests(NumpyReward(policy.circuit), judge, tests)
    assert isinstance(told, Decided)
    assert told.klass == "good"
    assert isinstance(untold, Undecided)
    assert "there is no column `reference`" in untold.reason
    code = main(["test", str(folder / "p.rbr"), "--grader", "openai:m", "--base-url", server.url])
    assert code == 1
    assert "there is no column `reference`" in capsys.readouterr().out


def test_synthesis_carries_columns_and_writes_nothing_without_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = rbr.loads(POLICY)
    prompts = [
        row_from({"id": name, "prompt": name, "completion": "", "response_type": "chat", **more})
        for name, more in (("told", {"reference": "4 {reference}"}), ("untold", {}))
    ]
    assert {row.raw.get("reference") for row in synth_from_rules(policy.circuit, prompts, 1, 0).rows} == {
        "4 {reference}",
        None,
    }
    orders = planned_orders(policy.circuit, policy.program.propositions, prompts, 1, 0)
    asked = [order.messages[-1].text for order in orders]
    assert len(asked) == 3
    assert any("\n4 {reference}\n</reference-" in text for text in asked)
    assert not any("untold" in text for text in asked)

    def write(orders: Sequence[Order]) -> list[Written]:
        return [Written("It is 4 {reference}.", "stop", Usage()) for _ in orders]

    judge = FillingGrader("", Comparing(), policy.circuit).answers
    made = synth_from_model(
        policy.circuit, policy.program.propositions, prompts, 1, write, judge, Provenance("m", "g", 0), attempts=1
    )
    assert [(row.klass, row.raw["reference"]) for row in made.rows] == [("good", "4 {reference}")]
    assert made.failures == {"the prompt's row: there is no column `reference`": 3}
    assert [tally.open for tally in made.tallies] == [1, 1, 1]
    code = main(
        ["synth", str(folder / "p.rbr"), "-o", str(folder / "o.jsonl"), "--from", "llm", "--model", "m", "--dry-run"]
    )
    assert code == 2
    assert "name the columns `reference`: give rows that have them" in capsys.readouterr().err
    assert main(["synth", str(folder / "p.rbr"), "-o", str(folder / "o.jsonl"), "--from", "templates"]) == 2


def test_payloads_go_into_columns_too() -> None:
    policy = rbr.loads(POLICY)
    reward = NumpyReward(policy.circuit)

    def swayed(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        """Believes what a reference says of itself."""
        found = Comparing()(items, wanted)
        return [
            {
                **answers,
                **(
                    {0: certain(1.0, "function")}
                    if 0 in answers and "Answer yes." in str(one.cell("reference"))
                    else {}
                ),
            }
            for one, answers in zip(items, found, strict=True)
        ]

    pool = candidates(policy.program, policy.circuit)
    assert [one.item.id for one in pool] == ["test:told", "test:untold"]
    base = replace(pool[0].item, id="wrong", conversation=pool[0].item.conversation.answered("5"))
    pool = (replace(pool[0], item=base, klass="poor"),)
    report = probe(
        policy.program.propositions, reward, FillingGrader("", swayed, policy.circuit).answers, pool, only=["order-yes"]
    )
    assert [flip.id for flip in report.raising] == ["order-yes/column reference/chat/wrong"]
    honest = probe(policy.program.propositions, reward, Comparing(), pool, only=["order-yes", "disguise-zero-width"])
    assert honest.raising == ()
    assert honest.trials > 3


def test_a_bench_never_shows_a_row_that_nothing_can_be_asked_of() -> None:
    policy = rbr.loads(
        'column reference "R."\nprop a "Is {reference}."\nresponse r ranks g > b\nr.g := a\nr.b := otherwise\n'
    )
    shown: list[str] = []

    def judge(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> list[Mapping[int, Answer]]:
        shown.extend(one.id for one in items)
        return [dict.fromkeys(of, certain(1.0, "function")) for of in wanted]

    rows = [replace(item("told"), cells=(("reference", "x"),)), item("untold")]
    bench = Bench(NumpyReward(policy.circuit), FillingGrader("", judge, policy.circuit).answers)
    graded = bench.grade(rows)
    assert shown == ["told"]
    assert graded[1].reward is None
    assert bench.answers.invalid == {"no-column": 1}
