"""`rbrc grade` and its kin on the command line: servers that offer more, lazy grading, calibration, resuming."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultserver import Action, FaultServer, Say, answer, chat, truth

from rbrlang.cli.failures import grouped
from rbrlang.cli.main import main
from rbrlang.grading.endpoint.protocol.endpoint import ChatOptions
from rbrlang.grading.questions.forms import FORMS
from rbrlang.grading.results import Invalid, Value, from_json
from rbrlang.grading.trust import calibrate
from rbrlang.grading.trust.calibrate import Calibrated, Calibration, Platt, Temperature
from rbrlang.policy import load
from rbrlang.reward.kept.artefact import read_artefact
from rbrlang.reward.numpy import NumpyReward
from rbrlang.rows.read import read_rows

EXAMPLE = Path(__file__).parents[1] / "examples" / "refusals"
POLICY = """rbr 1
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
prop refusal "It declines." { cue yes "(?i)\\\\bcan't\\\\b" }
prop rude "It is rude." { cue yes "(?i)\\\\bfool\\\\b" }
response r ranks ideal > plain > bad {
  bad   if rude | !refusal
  plain if !apology
  ideal otherwise
}
response other ranks good > poor { poor if rude
  good otherwise }
"""
TEXTS = ("Sorry, I can't.", "I can't.", "No, you fool.", "Sorry, you fool.", "Here it is.")


@dataclass(frozen=True)
class Place:
    """A folder with a policy, rows with labels, and the commands run in it."""

    folder: Path

    @property
    def policy(self) -> str:
        return str(self.folder / "p.rbr")

    @property
    def rows(self) -> str:
        return str(self.folder / "rows.jsonl")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def read(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text(encoding="utf-8").splitlines()]

    def grade(self, out: str, *arguments: str) -> int:
        return main(["grade", self.policy, self.rows, "-o", self.path(out), *arguments])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "p.rbr").write_text(POLICY)
    rows = [
        {
            "prompt": f"Mock {who}.",
            "completion": text,
            "response_type": "other" if who == "Eve" else "r",
            "labels": {"apology": "orry" in text, "refusal": "can't" in text, "rude": "fool" in text},
            "base_reward": float(len(text)),
            "invalid": "left by an earlier run",
        }
        for who in ("Tom", "Eve")
        for text in TEXTS
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Place(tmp_path)


# --- servers ----------------------------------------------------------------------------------


def vllm(body: bytes, before: int) -> Action:
    """A server that names its version, tells token ids, and returns the log-probabilities of given ones."""
    if not body:
        return Say(b'{"version": "0.15.0"}')
    asked = json.loads(body)
    if "prompt" in asked:
        return Say(json.dumps({"tokens": [FORMS.index(asked["prompt"])]}).encode())
    assert asked["logprob_token_ids"] == list(range(len(FORMS)))
    p = truth(body)
    share = {"yes": p / 6, "no": (1 - p) / 6}
    return chat(sorted(((form, share[form.strip().lower()]) for form in FORMS), key=lambda pair: -pair[1]))


@pytest.fixture
def plain() -> Iterator[FaultServer]:
    """A server that offers nothing beyond the protocol."""
    with FaultServer(lambda body, before: answer(body) if body else Say(b"", 404)) as server:
        yield server


def asked(server: FaultServer) -> list[dict[str, Any]]:
    """The chat requests that came, each once."""
    return [plain for body in server.received if body and "messages" in (plain := json.loads(body))]


def test_what_the_server_offers_is_found_and_said(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(vllm) as server:
        assert place.grade("out.jsonl", "--grader", "openai:m", "--base-url", server.url, "--details") == 0
    said = capsys.readouterr().err
    assert "read by token-ids 20" in said
    assert "the log-probabilities of 12 forms of yes and no, by token id; sent 20 requests" in said
    answers = [from_json(a) for row in place.read("out.jsonl") for a in row["answers"].values()]
    assert len(answers) == 20  # three for each of five rows, one for each of the others
    assert all(isinstance(a, Value) and a.method == "token-ids" and a.low == a.p == a.high for a in answers)


def test_without_discovery_nothing_but_chats_is_asked(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with FaultServer(lambda body, before: answer(body)) as server:
        code = place.grade("out.jsonl", "--grader", "openai:m", "--base-url", server.url, "--no-discover")
    assert code == 0
    assert set(server.paths) == {"/v1/chat/completions"}
    assert all(body["top_logprobs"] == 20 for body in asked(server))
    assert "the 20 most probable tokens" in capsys.readouterr().err


def test_openai_itself_is_not_searched_for_more() -> None:
    assert ChatOptions("m").hosted
    assert ChatOptions("m").for_host().template == ()
    assert not ChatOptions("m", "https://openai.com.example.org/v1").hosted


def test_template_arguments_and_layout_reach_the_server(place: Place, plain: FaultServer) -> None:
    base = ("--grader", "openai:m", "--base-url", plain.url)
    templates: list[object] = []
    for arguments in ((), ("--template", "think=false", "deep=true"), ("--template", "none")):
        plain.received.clear()
        assert place.grade("out.jsonl", *base, *arguments, "--cache", place.path("c" + "".join(arguments)[-4:])) == 0
        (found,) = {json.dumps(body.get("chat_template_kwargs")) for body in asked(plain)}
        templates.append(json.loads(found))
    assert templates == [{"enable_thinking": False, "thinking": False}, {"think": False, "deep": True}, None]
    for layout, opening in (("question-first", "# Question"), ("conversation-first", "# Conversation to judge")):
        plain.received.clear()
        assert place.grade(f"{layout}.jsonl", *base, "--layout", layout) == 0
        shown = [body["messages"][0]["content"].split("\n\n")[1] for body in asked(plain)]
        assert all(text.startswith(opening) for text in shown)
    identities = {place.read(f"{layout}.jsonl")[0]["grader"] for layout in ("question-first", "conversation-first")}
    assert len(identities) == 2  # a calibration of one is none of the other


def test_samples_are_asked_for_instead_of_log_probabilities(
    place: Place, plain: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.grade("out.jsonl", "--grader", "openai:m", "--base-url", plain.url, "--samples", "3") == 0
    assert "3 sampled answers" in capsys.readouterr().err
    assert "logprobs" not in asked(plain)[0]
    assert "samples 3 seed 0" in place.read("out.jsonl")[0]["grader"]


def test_failures_are_invalid_with_a_reason_and_exit_code_three(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(body: bytes, before: int) -> Action:
        if not body:
            return Say(b"", 404)
        return chat([("The", 0.9), ("Yes", 0.05), ("No", 0.05)]) if b"rude" in body else answer(body)

    with FaultServer(script) as server:
        assert place.grade("out.jsonl", "--grader", "openai:m", "--base-url", server.url, "--details") == 3
    rows = place.read("out.jsonl")
    assert all(list(row["invalid"]) == ["rude"] for row in rows)
    assert all(row["probs"]["rude"] is None for row in rows)
    assert isinstance(from_json(rows[0]["answers"]["rude"]), Invalid)
    assert "10 × yes and no hold 0.1 of the probability" in capsys.readouterr().err


def test_failures_that_differ_in_numbers_alone_are_one_line_and_what_has_no_value_leads_nowhere(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(body: bytes, before: int) -> Action:
        said = len(body) % 7 / 100
        return chat([("The", 0.8), ("Yes", 0.02 + said), ("No", 0.05)]) if body else Say(b"", 404)

    with FaultServer(script) as server:
        assert place.grade("out.jsonl", "--grader", "openai:m", "--base-url", server.url) == 3
    told = capsys.readouterr().err
    assert len(re.findall(r"  \d+ × yes and no hold 0\.\d+ to 0\.\d+ of the probability, under 0\.\d+: ", told)) == 1, (
        told
    )
    assert told.count(" × ") == 1
    assert "next: " not in told


@pytest.mark.parametrize(
    ("reasons", "lines"),
    [
        ({"9 of 12 say neither": 1, "12 of 12 say neither": 2}, [("9 to 12 of 12 say neither", 3)]),
        ({"`a1` is 0.2": 1, "`a2` is 0.2": 2}, [("`a2` is 0.2", 2), ("`a1` is 0.2", 1)]),
        ({"status 429: busy": 1, "status 500: busy": 1}, [("status 429: busy", 1), ("status 500: busy", 1)]),
        ({"sum to 1e-05.": 1, "sum to 2.": 1}, [("sum to 1e-05 to 2.", 2)]),
    ],
)  # fmt: skip
def test_numbers_become_ranges_and_names_stay(reasons: dict[str, int], lines: list[tuple[str, int]]) -> None:
    assert grouped(reasons) == lines


def test_resuming_sends_only_what_is_missing_and_gives_the_same_bytes(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    down = False

    def script(body: bytes, before: int) -> Action:
        if not body:
            return Say(b"", 404)
        return Say(b"", 401) if down and truth(body) < 0.2 else answer(body)

    with FaultServer(script) as server:
        base = ("--grader", "openai:m", "--base-url", server.url, "--concurrency", "1")
        assert place.grade("whole.jsonl", *base) == 0
        whole = set(server.received)
        server.answered.clear()
        down = True
        assert place.grade("out.jsonl", *base) == 3
        said = capsys.readouterr().err
        assert "the run ended early: the server at" in said
        assert "run the same command with --resume to continue" in said
        answered = sum(server.answered.values())
        assert 0 < answered < 20
        down = False
        assert place.grade("out.jsonl", *base, "--resume") == 0
        assert set(server.received) == whole
        assert sum(server.answered.values()) == 20  # no answer was paid for twice
    assert (place.folder / "out.jsonl").read_bytes() == (place.folder / "whole.jsonl").read_bytes()
    assert place.grade("none.jsonl", *base, "--resume") == 2
    assert "nothing to resume" in capsys.readouterr().err


def test_a_dry_run_asks_no_model(place: Place, plain: FaultServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.grade("o", "--grader", "openai:m", "--base-url", plain.url, "--dry-run", "--price-in", "2") == 0
    assert asked(plain) == []
    assert capsys.readouterr().out.startswith("20 requests, 0 of them answered already; at most about ")
    assert not (place.folder / "o").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grader", "openaj:m"], "did you mean `openai`"),
        (["--grader", "openai:m", "--base-url", "nowhere"], "is no web address"),
        (["--grader", "python:no_such_module.f"], "cannot import `no_such_module`"),
        (["--grader", "table:absent.csv"], "no such file"),
        (["--lazy", "0", "--all"], "`--all` asks everything"),
        (["--weights", "w.json"], "`--weights` are for `--lazy`"),
        (["--calibration", "absent.json"], "absent.json"),
    ],
)
def test_mistakes_are_named(
    place: Place,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place.folder)
    assert place.grade("out.jsonl", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not (place.folder / "out.jsonl").exists()


@pytest.mark.parametrize(
    "bad", [("--lazy", "-1"), ("--lazy", "nan"), ("--min-mass", "2"), ("--limit", "0"), ("--template", "x")]
)
def test_numbers_out_of_range_are_refused_by_the_parser(place: Place, bad: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as left:
        place.grade("out.jsonl", *bad)
    assert left.value.code == 2


# --- rows -------------------------------------------------------------------------------------


def test_rows_keep_what_they_had_and_lose_what_an_earlier_grading_left(place: Place) -> None:
    assert place.grade("out.jsonl", "--grader", "labels") == 0
    before, after = place.read("rows.jsonl"), place.read("out.jsonl")
    for row, graded in zip(before, after, strict=True):
        assert "invalid" not in graded
        assert graded["grader"] == "labels"
        assert {k: graded[k] for k in ("prompt", "completion", "labels", "base_reward")} == {
            k: row[k] for k in ("prompt", "completion", "labels", "base_reward")
        }
    assert [len(row["probs"]) for row in after] == [3] * 5 + [1] * 5
    # What was written is a table: its ids are those of the rows, though the rows named none.
    assert place.grade("again.jsonl", "--grader", f"table:{place.path('out.jsonl')}") == 0
    assert [row["probs"] for row in place.read("again.jsonl")] == [row["probs"] for row in after]


# --- lazy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, {"r": {"ideal": 3.0, "plain": 3.0}}])
def test_lazy_zero_gives_the_class_and_reward_of_full_grading(place: Place, weights: object) -> None:
    extra: tuple[str, ...] = ()
    circuit = load(place.policy).circuit
    reward = NumpyReward(circuit)
    if weights is not None:
        (place.folder / "w.json").write_text(json.dumps(weights))
        extra = ("--weights", place.path("w.json"))
        from rbrlang.cli.weights import read_weights

        reward = NumpyReward(circuit, read_weights(place.path("w.json"), circuit))
    assert place.grade("full.jsonl", "--grader", "labels") == 0
    assert place.grade("lazy.jsonl", "--grader", "labels", "--lazy", "0", *extra) == 0
    full, lazy = read_rows(place.path("full.jsonl")).rows, read_rows(place.path("lazy.jsonl")).rows
    ids = reward.response_ids(full)
    np.testing.assert_array_equal(reward(reward.encode(lazy), ids), reward(reward.encode(full), ids))
    classes = [reward.class_probs(reward.encode(rows), ids) for rows in (full, lazy)]
    np.testing.assert_array_equal(*classes)
    for row in place.read("lazy.jsonl"):
        assert row["asked"] == list(row["probs"])
        assert row["reward_bounds"][0] == row["reward_bounds"][1]


def test_lazy_grading_of_a_server_saves_calls_resumes_and_says_so(
    place: Place, plain: FaultServer, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("--grader", "openai:m", "--base-url", plain.url, "--lazy", "1.2")
    assert place.grade("out.jsonl", *base) == 0
    said = capsys.readouterr().err
    rows = place.read("out.jsonl")
    number = sum(len(row["asked"]) for row in rows)
    assert f"lazy: asked {number} of 20 questions in " in said
    assert f"{1 - number / 20:.0%} saved" in said
    assert len(asked(plain)) == number < 20
    assert all(high - low <= 1.2 for low, high in (row["reward_bounds"] for row in rows))
    sent = sum(plain.answered.values())
    assert place.grade("again.jsonl", *base, "--cache", place.path("out.jsonl.answers"), "--resume") == 0
    assert sum(plain.answered.values()) == sent
    assert place.read("again.jsonl") == rows
    # The whole truth lies in the bounds.
    assert place.grade("full.jsonl", *base[:4]) == 0
    reward = NumpyReward(load(place.policy).circuit)
    graded = read_rows(place.path("full.jsonl")).rows
    for value, row in zip(reward(reward.encode(graded), reward.response_ids(graded)), rows, strict=True):
        assert row["reward_bounds"][0] - 1e-5 <= value <= row["reward_bounds"][1] + 1e-5


def test_the_gold_rows_take_at_most_sixty_percent_of_the_calls(
    openai_release: Path, openai_policy_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gold, artefact = str(openai_release / "gold_train.jsonl"), str(tmp_path / "p.rbrc")
    common = ["grade", str(openai_policy_file), gold, "--grader", "labels"]
    assert main([*common, "-o", str(tmp_path / "full.jsonl")]) == 0
    assert main([*common, "-o", str(tmp_path / "lazy.jsonl"), "--lazy", "0"]) == 0
    said = capsys.readouterr().err.split("lazy: asked ")[1].split(" questions")[0].split(" of ")
    assert int(said[0]) <= 0.6 * int(said[1])
    assert main(["compile", str(openai_policy_file), "-o", artefact]) == 0
    columns = ("reward", "rule_reward", "class", "class_probs", "valid")
    scored: list[list[dict[str, Any]]] = []
    for name in ("full", "lazy"):
        out = tmp_path / f"{name}.scored.jsonl"
        assert main(["score", artefact, str(tmp_path / f"{name}.jsonl"), "-o", str(out)]) == 0
        lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
        scored.append([{column: row[column] for column in columns} for row in lines])
    assert len(scored[0]) == 351
    assert scored[0] == scored[1]


def test_scoring_lazily_to_zero_says_the_bounds_too(place: Place) -> None:
    """As grading does, but of the whole reward."""
    artefact = place.path("p.rbrc")
    assert main(["compile", place.policy, "-o", artefact]) == 0
    score = ["score", artefact, place.rows, "--grader", "embedded", "--lazy", "0", "-o", place.path("lazy.jsonl")]
    assert main(score) == 0
    for row in place.read("lazy.jsonl"):
        assert row["reward_bounds"] == pytest.approx([row["reward"], row["reward"]], abs=1e-5)
    assert main(["verify", place.path("lazy.jsonl"), "--artefact", artefact]) == 0


def test_scoring_lazily_keeps_to_its_tolerance(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    artefact = place.path("p.rbrc")
    assert main(["compile", place.policy, "-o", artefact]) == 0
    score = ["score", artefact, place.rows, "--grader", "embedded"]
    assert main([*score, "-o", place.path("full.jsonl")]) == 0
    assert main([*score, "-o", place.path("lazy.jsonl"), "--lazy", "0.2"]) == 0
    assert " saved" in capsys.readouterr().err
    lazy = place.read("lazy.jsonl")
    for full, row in zip(place.read("full.jsonl"), lazy, strict=True):
        assert row["valid"]
        low, high = row["reward_bounds"]
        assert low - 1e-5 <= full["reward"] <= high + 1e-5
        assert high - low <= 0.2 + 1e-5
        assert low - 1e-5 <= row["reward"] <= high + 1e-5
        assert row["reward"] - row["rule_reward"] == pytest.approx(full["base_reward"], abs=1e-4)
    assert sum(len(row["asked"]) for row in lazy) < 20


# --- calibration ------------------------------------------------------------------------------


def corrections(place: Place, grader: str) -> str:
    """A calibration of this grader on file: everything blunted, one proposition shifted."""
    made = Calibration(
        grader, 0, (
            Calibrated("apology", 100, Temperature(2.0), None), Calibrated("refusal", 100, Platt(1.0, 0.5), None),
        ),
    )  # fmt: skip
    calibrate.write(place.folder / "cal.json", made)
    return place.path("cal.json")


def test_a_calibration_corrects_and_is_named_in_rows_and_artefact(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.grade("raw.jsonl") == 0
    raw = place.read("raw.jsonl")
    file = corrections(place, raw[0]["grader"])
    made = calibrate.read(Path(file))
    assert place.grade("cal.jsonl", "--calibration", file) == 0
    assert f"corrected by calibration {made.identity}" in capsys.readouterr().err
    after = place.read("cal.jsonl")
    for before, row in zip(raw, after, strict=True):
        assert row["grader"] == before["grader"]
        assert row["calibration"] == made.identity
        expected = {
            name: float(calibrate.apply(correction, np.array([before["probs"][name]]))[0])
            for name, correction in zip(
                before["probs"], made.corrections(made.grader, list(before["probs"])), strict=True
            )
        }
        assert row["probs"] == pytest.approx(expected)
    # Graded rows are corrected as well as graded anew, but not twice.
    fit = ["fit", place.policy, place.path("raw.jsonl"), "--class-source", "labels", "--bootstrap", "0"]
    assert main([*fit, "-o", place.path("p.rbrc"), "--calibration", file, "--held-out", "0"]) == 0
    artefact = read_artefact(place.path("p.rbrc"))
    assert artefact.calibration is not None
    assert calibrate.from_json(artefact.calibration) == made
    assert main(["score", place.path("p.rbrc"), place.path("cal.jsonl"), "-o", "-", "--calibration", file]) == 2
    assert "these rows are calibrated already" in capsys.readouterr().err
    # The artefact corrects its own grader without being told, and no other.
    for rows, grader, name in ((place.rows, "embedded", "a"), (place.path("cal.jsonl"), "rows", "b")):
        assert main(["score", place.path("p.rbrc"), rows, "--grader", grader, "-o", place.path(name)]) == 0
    one, two = place.read("a"), place.read("b")
    assert [row["reward"] for row in one] == pytest.approx([row["reward"] for row in two])
    assert {row["calibration"] for row in (*one, *two)} == {made.identity}
    assert "was not applied" not in capsys.readouterr().err
    mine = "\n".join(json.dumps(row | {"calibration": "another"}) for row in after)
    (place.folder / "mine.jsonl").write_text(mine)
    assert main(["score", place.path("p.rbrc"), place.path("mine.jsonl"), "-o", place.path("c")]) == 0
    assert "it was not applied to rows that another calibration corrected" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["grade", "score", "eval", "fit", "agree", "probe", "test"])
def test_a_calibration_of_another_grader_is_refused(
    place: Place, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "p.rbr").write_text(POLICY + 'test "t" for r { completion "No." expect bad }\n')
    file = corrections(place, "embedded 0123456789abcdef")
    assert main(["compile", place.policy, "-o", place.path("p.rbrc")]) == 0
    artefact, out = place.path("p.rbrc"), place.path("out")
    arguments = {
        "grade": [place.policy, place.rows, "-o", out], "score": [artefact, place.rows, "-o", out],
        "eval": [artefact, place.rows], "fit": [place.policy, place.rows, "-o", out],
        "agree": [place.policy, place.rows], "probe": [place.policy], "test": [place.policy],
    }[command]  # fmt: skip
    assert main([command, *arguments, "--grader", "embedded", "--calibration", file]) == 2
    said = capsys.readouterr().err
    assert (
        "the calibration was made for grader `embedded 0123456789abcdef`, and these answers are of `embedded " in said
    )
    assert not Path(out).exists()


def test_half_a_surrogate_pair_is_graded_written_and_read_again(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = json.dumps({"completion": "Sorry \ud800 \x00", "response_type": "r"})
    (place.folder / "rows.jsonl").write_text(odd + "\n")
    assert place.grade("out.jsonl") == 0
    assert place.read("out.jsonl")[0]["completion"] == "Sorry \ud800 \x00"
    assert read_rows(place.path("out.jsonl")).bad == ()
    assert main(["grade", place.policy, place.rows, "-o", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == place.read("out.jsonl")[0]


def test_a_folder_that_is_not_there_is_named_by_what_was_asked_for(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.grade("absent/out.jsonl") == 2
    assert f"`{place.path('absent/out.jsonl')}`: no such file or directory" in capsys.readouterr().err


def test_an_interrupted_run_says_where_its_answers_are(
    place: Place, plain: FaultServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from rbrlang.grading.endpoint.run import RemoteGrader

    whole = RemoteGrader.answers

    def interrupted(grader: RemoteGrader, items: Any, wanted: Any) -> Any:
        whole(grader, items[:3], wanted[:3])
        raise KeyboardInterrupt

    base = ("--grader", "openai:m", "--base-url", plain.url)
    with monkeypatch.context() as patched:
        patched.setattr(RemoteGrader, "answers", interrupted)
        assert place.grade("out.jsonl", *base) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
    sent = sum(plain.answered.values())
    assert 0 < sent < 20
    assert place.grade("out.jsonl", *base, "--resume") == 0
    assert sum(plain.answered.values()) == 20
