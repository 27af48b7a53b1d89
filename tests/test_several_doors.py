"""A jury's or a cascade's file stands wherever a grader is named, and what was learned of others is refused everywhere."""

from __future__ import annotations

import json
import pickle
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from faultserver import FaultServer, Say
from shapedserver import YES, positions, refusing

import rbrlang as rbr
from rbrlang.adapters import verl
from rbrlang.cli.graderfiles import take_file
from rbrlang.cli.main import main, parser_of
from rbrlang.grading.questions.graderfile import read_grader
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.results import GradeItem, probability
from rbrlang.reward.kept.artefact import Artefact, write_artefact
from rbrlang.rows.read import row_from
from rbrlang.scoring.score import Scorer

POLICY = """rbr 1
prop sorry "The response apologises." {
  ask "Does it apologise?"
  cue yes "(?i)\\\\bsorry\\\\b"
}
prop rude "The response is rude." {
  ask "Is it rude?"
  cue yes "(?i)\\\\bfool\\\\b"
}
response r ranks good > curt > bad {
  bad  if rude
  curt if !sorry
  good otherwise
}
test "an apology" for r {
  completion "Sorry, it is closed."
  expect good
}
"""
JUDGES = """
CALLS = []

def strong(items, names):
    CALLS.extend(item.id for item in items)
    return [{n: 0.99 if {"sorry": "sorry", "rude": "fool"}[n] in i.completion.lower() else 0.01 for n in names} for i in items]

def cheap(items, names):
    # Unsure of every text with "well" in it, and then wrong of half of them.
    found = strong(items, names)
    del CALLS[-len(items):]
    return [
        {n: (0.55 if p < 0.5 else 0.45) if "well" in i.completion else p for n, p in one.items()}
        for i, one in zip(items, found)
    ]

def twin(items, names):
    return cheap(items, names)

def half(items, names):
    return [{n: 0.5 for n in names} for _ in items]

def silent(items, names):
    return [{} for _ in items]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A policy, 80 labelled rows of a prompt each, and graders of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = f"judges_{crc32(request.node.name.encode())}"
    (tmp_path / f"{module}.py").write_text(JUDGES)
    for name in ("strong", "cheap", "twin", "half", "silent"):
        (tmp_path / f"{name}.toml").write_text(f'kind = "python"\nfunction = "{module}.{name}"\n')
    (tmp_path / "policy.rbr").write_text(POLICY)
    rows: list[dict[str, Any]] = []
    for n in range(80):
        text = ["Sorry, no.", "You fool.", "It is closed.", "Sorry, you fool."][n % 4] + (
            " Oh well." if n % 5 == 0 else ""
        )
        labels = {"sorry": "Sorry" in text, "rude": "fool" in text}
        rows.append(
            {"id": f"r{n}", "prompt": f"Question {n}?", "completion": text, "response_type": "r", "labels": labels}
        )
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_artefact("p.rbrc", artefact_of(tmp_path / "policy.rbr"))
    return tmp_path


def artefact_of(file: Path) -> Artefact:
    policy = rbr.load(str(file))
    return Artefact(policy.circuit, rbr.compile(policy).host.weights, policy.sources, None, {})


def calls(folder: Path) -> list[str]:
    """The rows that the strong grader was asked about, which it forgets."""
    import sys

    module = tomllib.loads((folder / "strong.toml").read_text())["function"].partition(".")[0]
    found = sys.modules[module].CALLS
    taken = list(found)
    found.clear()
    return taken


def asked(server: FaultServer) -> int:
    """How often its model was asked."""
    return sum(count for body, count in server.received.items() if body)


def probs(file: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text().splitlines()]


JURY = 'kind = "jury"\nmembers = ["strong.toml", "half.toml"]\n'
CASCADE = 'kind = "cascade"\nfirst = "cheap.toml"\nthen = "strong.toml"\nthresholds = "cascade.json"\n'


def learned(*more: str) -> int:
    Path("cascade.toml").write_text(CASCADE)
    return main(["agree", "policy.rbr", "rows.jsonl", "--cascade", "cheap.toml", "strong.toml", "--risk", "0.05",
                 "-o", "cascade.json", *more])  # fmt: skip


@pytest.mark.parametrize("kind", ["jury", "cascade"])
def test_every_command_takes_one(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert learned() == 0
    Path("jury.toml").write_text(JURY)
    calls(folder)
    for call, code in (
        (["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl"], 0), (["score", "p.rbrc", "rows.jsonl", "-o", "s.jsonl"], 0),
        (["test", "policy.rbr"], 0), (["probe", "policy.rbr", "--payload", "key-dot", "--limit", "1"], 0),
        (["agree", "policy.rbr", "rows.jsonl", "--bootstrap", "0"], 0), (["eval", "p.rbrc", "rows.jsonl"], 0),
        (["plan", "policy.rbr", "--data", "rows.jsonl"], 0),
    ):  # fmt: skip
        assert main([*call, "--grader", f"{kind}.toml"]) in (code, 1), capsys.readouterr().err
        assert calls(folder) or (kind == "cascade" and call[0] in ("test", "probe")), call  # all sure there
        assert "Traceback" not in capsys.readouterr().err
    by_row = {row["id"]: row for row in probs()}
    assert len({row["grader"] for row in by_row.values()}) == 1
    assert by_row["r0"]["grader"].startswith(f"{kind} ")
    if kind == "jury":  # odds 99 and 1: 9.95
        assert by_row["r1"]["probs"]["rude"] == pytest.approx(99**0.5 / (1 + 99**0.5))
    else:
        assert by_row["r0"]["probs"] == by_row["r1"]["probs"] | {"sorry": 0.99, "rude": 0.01}


def test_a_cascade_asks_the_strong_grader_only_where_the_cheap_one_is_unsure(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learned("--format", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["saved"]["rows"] == 80
    assert found["saved"]["kept"] == 64
    assert found["saved"]["questions_saved"] == 128
    assert (found["threshold"]["differing"], found["threshold"]["prompts"]) == (0, 80)
    calls(folder)
    unsure = {f"r{n}" for n in range(0, 80, 5)}
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "cascade.toml"]) == 0
    assert Counter(calls(folder)) == Counter(unsure)
    whole = {row["id"]: row["probs"] for row in probs()}
    assert (
        main(["grade", "policy.rbr", "rows.jsonl", "-o", "lazy.jsonl", "--grader", "cascade.toml", "--lazy", "0.05"])
        == 0
    )
    assert set(calls(folder)) == unsure
    for row in probs("lazy.jsonl"):
        assert row["probs"].items() <= whole[row["id"]].items()
    scorer = pickle.loads(pickle.dumps(Scorer("p.rbrc", "cascade.toml")))
    scores = scorer([row_from(row) for row in probs("rows.jsonl")])
    assert main(["score", "p.rbrc", "out.jsonl", "-o", "s.jsonl", "--grader", "rows"]) == 0
    np.testing.assert_allclose(scores.rewards, [row["reward"] for row in probs("s.jsonl")], rtol=1e-6)
    info = {"prompt": "Question?", "response_type": "r"}
    one = verl.compute_score("d", "Sorry, no.", "", info, artefact="p.rbrc", grader="cascade.toml")
    assert one == pytest.approx(
        verl.compute_score("d", "Sorry, no.", "", info, artefact="p.rbrc", grader="strong.toml")
    )


def test_a_jury_is_learned_and_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learn = ["agree", "policy.rbr", "rows.jsonl", "--jury", "cheap.toml", "half.toml", "strong.toml", "-o", "jury.json"]
    assert main([*learn, "--bootstrap", "0", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["auc"] for one in found["members"]][1:] == [0.5, 1.0]
    assert found["fitted"]["auc"] == 1.0
    assert found["members"][0]["without"]["auc"] == 1.0 > found["members"][2]["without"]["auc"]
    assert found["weights"]["shared"]["weights"][1] == pytest.approx(1 / 3)  # even odds teach nothing
    assert main([*learn, "--details"]) == 0
    shown = capsys.readouterr().out
    assert "fitted, on other prompts" in shown
    assert 'name it in the file of a jury: weights = "jury.json"' in shown
    Path("jury.toml").write_text(
        'kind = "jury"\nmembers = ["cheap.toml", "half.toml", "strong.toml"]\nweights = "jury.json"\n'
    )
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml", "--details"]) == 0
    row = probs()[1]
    assert row["probs"]["rude"] > 0.9
    assert row["answers"]["rude"]["method"] == "jury"
    Path("jury.toml").write_text(
        'kind = "jury"\nmembers = ["half.toml", "cheap.toml", "strong.toml"]\nweights = "jury.json"\n'
    )
    capsys.readouterr()
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml"]) == 2
    assert "learn it again with `rbrc agree --jury`" in capsys.readouterr().err


def test_a_missing_juror_is_no_number(folder: Path) -> None:
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["half.toml", "silent.toml"]\n')
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml"]) == 3
    row = probs()[0]
    assert row["probs"] == {"sorry": None, "rude": None}
    assert "1 of 2 jurors gave no answer, which leaves P(yes) between" in row["invalid"]["rude"]
    assert np.isnan(Scorer("p.rbrc", "jury.toml")([row_from(probs("rows.jsonl")[0])]).rewards).all()


def test_members_are_corrected_by_their_own_calibration_first(folder: Path) -> None:
    for name in ("cheap", "twin"):  # which says the same
        assert (
            main(["agree", "policy.rbr", "rows.jsonl", "--grader", f"{name}.toml", "--calibrate", f"{name}.json"]) == 0
        )
        Path(f"{name}.toml").write_text(Path(f"{name}.toml").read_text() + f'calibration = "{name}.json"\n')
    corrected: dict[str, list[dict[str, Any]]] = {}
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["cheap.toml", "twin.toml"]\n')
    for name in ("cheap", "jury"):
        assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", f"{name}.toml"]) == 0
        corrected[name] = probs()
    for one, two in zip(corrected["cheap"], corrected["jury"], strict=True):
        assert two["probs"] == pytest.approx({p: min(max(q, 1e-3), 1 - 1e-3) for p, q in one["probs"].items()})
    rewards = Scorer("p.rbrc", "jury.toml")([row_from(row) for row in probs("rows.jsonl")]).rewards
    assert main(["score", "p.rbrc", "out.jsonl", "-o", "s.jsonl", "--grader", "rows"]) == 0
    np.testing.assert_allclose(rewards, [row["reward"] for row in probs("s.jsonl")], rtol=1e-6)


def test_changed_rules_and_questions_are_refused_at_every_door(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert learned() == 0
    capsys.readouterr()
    for was, then in (("bad  if rude", "bad  if rude & !sorry"), ("Is it rude?", "Is it very rude?")):
        Path("other.rbr").write_text(POLICY.replace(was, then))
        write_artefact("other.rbrc", artefact_of(folder / "other.rbr"))
        assert main(["grade", "other.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "cascade.toml"]) == 2
        said = capsys.readouterr().err
        assert "was learned under other rules or questions than this policy's, so nothing is guaranteed" in said
        with pytest.raises(GraderError, match="under other rules or questions"):
            Scorer("other.rbrc", "cascade.toml")


def test_servers_among_members_have_their_own_addresses_and_bills(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FaultServer(refusing([], positions(YES))) as one, FaultServer(refusing([], positions(YES))) as two:
        for name, server, price in (("one", one, 1.0), ("two", two, 10.0)):
            Path(f"{name}.toml").write_text(
                f'kind = "openai"\nmodel = "{name}"\nbase_url = "{server.url}"\n[price]\ninput = {price}\n'
            )
        Path("jury.toml").write_text('kind = "jury"\nmembers = ["one.toml", "two.toml"]\n')
        call = ["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml", "--limit", "2"]
        assert main([*call, "--dry-run"]) == 0
        assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
            "openai:one: 4 requests", "openai:two: 4 requests"
        ]  # fmt: skip
        assert main(call) == 0
        # 100 prompt tokens a request in both: 4 at 1 and 4 at 10 for a million.
        assert "sent 8 requests" in (said := capsys.readouterr().err)
        assert "cost 0.0044" in said
        assert Path("out.jsonl.answers").is_file()
        sent = [asked(server) for server in (one, two)]
        first = Path("out.jsonl").read_bytes()
        assert main(call) == 0
        assert [asked(server) for server in (one, two)] == sent
        assert Path("out.jsonl").read_bytes() == first
        assert np.isfinite(Scorer("p.rbrc", "jury.toml")([row_from(probs("rows.jsonl")[0])]).rewards).all()
        assert main(["agree", "policy.rbr", "rows.jsonl", "--jury", "one.toml", "two.toml", "strong.toml"]) == 0
        shown = capsys.readouterr().out
        assert "160" in shown
        assert "0.1600" in shown
    assert main(call) == 0, "answers at hand need no server"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('members = ["a"]', '`members` is ["a"], which is no list of two graders or more'),
        ('members = ["embedded", 3]', "`members` is 3, which is not a text"),
        ('members = ["embedded", "labels"]', "`labels` reads a column of rows, and no member can; name a `table:FILE`"),
        ('members = ["embedded", "embeded"]', "no grader `embeded`; did you mean `embedded`?"),
        ('members = ["embedded", "none.toml"]', "cannot read the grader file `"),
        ('members = ["embedded", "jury.toml"]', "jury.toml` is a member of itself; name another there"),
        ('members = ["embedded", "embedded"]\ncombine = "median"', '`combine` is "median", which is not "mean"'),
        ('members = ["embedded", "embedded"]\ncombine = "mean"\nweights = "j.json"', "leave out one"),
        ('members = ["embedded", "half.toml"]\nweights = "j.json"', "cannot read `"),
        ('members = ["embedded", "embedded"]\nthresholds = "j.json"', "`thresholds` is for graders of the kind `cascade`"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(folder: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("jury.toml").write_text(f'kind = "jury"\n{text}\n')
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml"]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert shown.count("\n") == 1
    with pytest.raises(GraderError) as raised:
        Scorer("p.rbrc", "jury.toml")
    assert said in str(raised.value)


@pytest.mark.parametrize("command", [["serve", "p.rbrc"], ["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl"]])
def test_a_member_whose_model_is_not_there_is_said_by_its_place(
    folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("inner.toml").write_text('kind = "jury"\nmembers = ["half.toml", "local:none.gguf"]\n')
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["strong.toml", "inner.toml"]\n')
    assert main([*command, "--grader", "jury.toml"]) == 2
    said = capsys.readouterr().err
    places = "the grader file `jury.toml`, `members[1]`: the grader file `inner.toml`, `members[1]`: "
    assert f"{places}cannot read the model `none.gguf`: no such file or directory; check the path" in said


def test_a_table_has_no_part_in_training(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "t.jsonl", "--grader", "strong.toml"]) == 0
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["table:t.jsonl", "strong.toml"]\n')
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml"]) == 0
    with pytest.raises(GraderError, match="knows rows by their id"):
        Scorer("p.rbrc", "jury.toml")
    capsys.readouterr()
    assert main(["test", "policy.rbr", "--grader", "jury.toml"]) == 2
    assert "needs a grader that reads" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (["--cascade", "cheap.toml", "strong.toml"], 2, "has 80 prompts, and to show a risk of 0.02 at 0.95 takes 149 even if no class differs"),
        (["--cascade", "half.toml", "strong.toml", "--risk", "0.05"], 1, "no threshold holds a risk of 0.05 at 0.95 and saves anything"),
        (["--cascade", "cheap.toml", "strong.toml", "--risk", "0"], 2, "`--risk 0` must lie between 0 and 1"),
        (["--cascade", "cheap.toml", "strong.toml", "--jury", "a", "b"], 2, "learn different things; give one of them"),
        (["--cascade", "cheap.toml", "strong.toml", "--gate", "auc>0.9"], 2, "`--gate` is about one grader"),
        (["--jury", "cheap.toml"], 2, "a jury has two or more"),
        (["--jury", "cheap.toml", "strong.toml", "--cross-validate", "3"], 2, "`--cross-validate` is about one grader"),
        (["--jury", "cheap.toml", "strong.toml", "--risk", "0.1"], 2, "`--risk` and `--confidence` are for `--cascade`"),
        (["--jury", "cheap.toml", "strong.toml", "--grader", "labels"], 2, "`--grader labels` has no say with `--jury`"),
        (["--jury", "cheap.toml", "strong.toml", "-o", "no/where.json"], 2, "name a file in a folder that is there"),
    ],
)  # fmt: skip
def test_what_cannot_be_learned_is_said(
    folder: Path, more: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = [] if "-o" in more else ["-o", "learned.json"]
    assert main(["agree", "policy.rbr", "rows.jsonl", *more, *output]) == code
    assert said in capsys.readouterr().err
    assert not Path("learned.json").exists()


def test_the_guarantee_in_plain_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert learned() == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "64 of 80 rows are not asked of `strong.toml`, 128 of 160 questions (80%)" in shown
    assert "with probability 0.95, at most 5.00% of rows get another class than by `strong.toml`" in shown
    assert "One row of each of 80 prompts was drawn (seed 0): 0 differ" in shown
    assert "for new rows that are drawn as these were" in shown
    assert main(["agree", "policy.rbr", "rows.jsonl", "--cascade", "embedded", "labels", "--risk", "0.05"]) in (0, 1)
    assert "flatters it and guarantees nothing" in capsys.readouterr().err


def test_a_server_opens_one_once_and_writers_keep_their_own_address(folder: Path) -> None:
    from rbrlang.cli.graders import standing

    assert learned() == 0
    options = parser_of("serve").parse_args(["serve", "p.rbrc", "--grader", "cascade.toml"])
    take_file(options)
    grader = standing(options, artefact_of(folder / "policy.rbr"))
    item = GradeItem("x", row_from(probs("rows.jsonl")[0]).conversation, 0)
    calls(folder)
    (answers,) = grader.answers([item], [(0, 1)])
    assert [probability(answers[q]) for q in (0, 1)] == [0.99, 0.01]
    assert calls(folder) == ["x"]
    writes = {"choices": [{"message": {"content": "Sorry, no."}, "finish_reason": "stop"}]}
    with (
        FaultServer(lambda body, before: Say(json.dumps(writes).encode())) as writer,
        FaultServer(refusing([], positions(YES))) as judge,
    ):
        Path("one.toml").write_text(f'kind = "openai"\nmodel = "judge"\nbase_url = "{judge.url}"\n')
        Path("jury.toml").write_text('kind = "jury"\nmembers = ["one.toml", "half.toml"]\n')
        main([
            "synth", "policy.rbr", "-o", "synth.jsonl", "--from", "llm", "--model", "writer", "--base-url", writer.url,
            "--per-class", "1", "--prompts", "rows.jsonl", "--attempts", "1", "--grader", "jury.toml",
        ])  # fmt: skip
        for server, model in ((writer, "writer"), (judge, "judge")):
            assert {json.loads(body)["model"] for body in server.received if body} == {model}


def test_who_knows_yes_and_no_alone_sits_out_scales(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaled = POLICY.replace("response r ranks", 'scale help 1..3 "How helpful is it?"\nresponse r ranks').replace(
        "curt if !sorry", "curt if !sorry | help < 2"
    )
    Path("scaled.rbr").write_text(scaled)
    Path("scales.py").write_text(
        "def judge(items, names):\n    return [{n: {'1': 0.2, '2': 0.3, '3': 0.5} if n == 'help' else 0.9 for n in names} for _ in items]\n"
    )
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["embedded", "python:scales.judge"]\n')
    call = ["grade", "scaled.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml", "--limit", "4"]
    assert main(call) == 0
    assert [row["probs"]["help.3"] for row in probs()] == pytest.approx([0.5] * 4)
    assert main(["agree", "policy.rbr", "rows.jsonl", "--train", "heads.json"]) == 0
    Path("own.toml").write_text('kind = "embedded"\nheads = "heads.json"\n')
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["embedded", "own.toml"]\n')
    capsys.readouterr()
    assert main(call) == 2
    assert "no grader among the members has answers for scales and choices (`help`)" in capsys.readouterr().err


def test_files_are_written_and_members_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("embedded.toml").write_text('kind = "embedded"\n')
    assert main(["grader", "new", "j.toml", "--jury", "embedded.toml", "embedded"]) == 0
    assert main(["grader", "new", "c.toml", "--cascade", "embedded", "j.toml"]) == 0
    found = read_grader(Path("j.toml")).several
    assert found is not None
    assert (found.kind, found.members, found.learned) == ("jury", ("embedded.toml", "embedded"), None)
    found = read_grader(folder / "c.toml").several
    assert found is not None
    assert found.members == ("embedded", str(folder / "j.toml"))
    capsys.readouterr()
    code = main(["grader", "check", "c.toml", "--format", "json"])
    checked = json.loads(capsys.readouterr().out)
    assert [one["grader"] for one in checked["members"]] == ["embedded"] * 3
    assert code == int(not all(one["usable"] for one in checked["members"]))
    for wrong, said in (
        (["new", "x.toml", "--jury", "a"], "a jury has two or more"),
        (["new", "x.toml", "--jury", "a", "b", "--model", "m"], "give one of them"),
        (["check", "j.toml", "--jury", "a", "b"], "are for `rbrc grader new`"),
    ):
        assert main(["grader", *wrong]) == 2
        assert said in capsys.readouterr().err
    assert not Path("x.toml").exists()


@pytest.mark.parametrize(
    ("kind", "member", "said"),
    [
        ("grade", "table:nosuch.jsonl", "nosuch.jsonl`: no such file or directory; check the path"),
        ("grade", "frob", "no grader `frob`; there are "),
        ("grade", "python:os.nosuch", "the module `os` has no function `nosuch`; check the name"),
        ("grade", "local:no.gguf", "no.gguf`: no such file or directory; check the path"),
        ("grade", "none.toml", "none.toml`: no such file or directory; check the path"),
    ],
)
def test_what_is_wrong_with_a_member_names_its_place(
    folder: Path, kind: str, member: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("jury.toml").write_text(f'kind = "jury"\nmembers = ["half.toml", "{member}"]\n')
    Path("cascade.toml").write_text(CASCADE.replace("strong.toml", member))
    for file, key in (("jury.toml", "members[1]"), ("cascade.toml", "then")):
        assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", file]) == 2
        shown = capsys.readouterr().err
        assert f"the grader file `{file}`, `{key}`: " in shown
        assert said in shown
        assert shown.count("\n") == 1
        if not member.startswith("table:"):
            assert main(["grader", "check", file]) == 2
            assert f"the grader file `{file}`, `{key}`: " in capsys.readouterr().err
            with pytest.raises(GraderError, match=rf"the grader file `{file}`, `{key[:6]}"):
                Scorer("p.rbrc", file)


def test_one_grader_is_not_two(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "t.jsonl", "--grader", "strong.toml"]) == 0
    Path("copy.jsonl").write_bytes(Path("t.jsonl").read_bytes())
    Path("t.toml").write_text('kind = "table"\nfile = "t.jsonl"\n')
    for one, other in (("table:t.jsonl", "table:t.jsonl"), ("table:t.jsonl", "table:copy.jsonl"), ("table:t.jsonl", "t.toml"),
                       ("half.toml", "half.toml")):  # fmt: skip
        Path("jury.toml").write_text(f'kind = "jury"\nmembers = ["{one}", "{other}"]\n')
        capsys.readouterr()
        assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "jury.toml"]) == 2
        shown = capsys.readouterr().err
        assert "the grader file `jury.toml`: `members[0] = " in shown
        assert "are the same grader" in shown
        for call in (["--jury"], ["--risk", "0.05", "--cascade"]):
            assert main(["agree", "policy.rbr", "rows.jsonl", *call, one, other]) == 2
            assert f"`{one}` and `{other}` are the same grader" in capsys.readouterr().err


def test_a_table_is_known_by_what_it_holds(folder: Path) -> None:
    for name in ("cheap", "strong"):
        assert main(["grade", "policy.rbr", "rows.jsonl", "-o", f"{name}.jsonl", "--grader", f"{name}.toml"]) == 0
    members = ["table:cheap.jsonl", f"table:{folder}/strong.jsonl"]
    assert (
        main(["agree", "policy.rbr", "rows.jsonl", "--cascade", *members, "--risk", "0.05", "-o", "cascade.json"]) == 0
    )
    assert main(["agree", "policy.rbr", "rows.jsonl", "--jury", *members, "-o", "weights.json"]) == 0
    Path("cascade.toml").write_text(
        CASCADE.replace("cheap.toml", "table:cheap.jsonl").replace("strong.toml", "table:strong.jsonl")
    )
    Path("jury.toml").write_text(
        'kind = "jury"\nmembers = ["table:./cheap.jsonl", "table:strong.jsonl"]\nweights = "weights.json"\n'
    )
    for file in ("jury.toml", "cascade.toml"):
        assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", file]) == 0
    with Path("cheap.jsonl").open("a") as changed:
        changed.write('{"id": "more", "probs": {"rude": 0.5}}\n')
    assert main(["grade", "policy.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "cascade.toml"]) == 2
