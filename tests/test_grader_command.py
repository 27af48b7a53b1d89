"""`rbrc grader`: what it writes can be used, and what it says of a server is what the server does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faultserver import Action, FaultServer, Say, Script
from shapedserver import Refusal, at_most, no_max_tokens, no_temperature, no_template, positions, refusing

from rbrlang.cli.main import main
from rbrlang.grading.checkup import items, policy
from rbrlang.grading.questions.graderfile import read_grader
from rbrlang.grading.questions.options import GraderOptions

TRUE = {
    ("The response says sorry.", 0),
    ("The response opens with a greeting.", 1),
    ("The response is about cooking or food.", 1),
}


def knowing(body: Mapping[str, Any]) -> Action:
    """A model that knows the answers, and is sure of them to .9."""
    text = body["messages"][0]["content"]
    about = next(n for n, item in enumerate(items()) if item.completion in text)
    statement = next(p.statement for p in policy().program.propositions if p.statement in text)
    yes = 0.9 if (statement, about) in TRUE else 0.05
    listing = sorted(
        [("Yes", yes), ("No", 0.95 - yes), *((f"w{n}", 0.05 / 18) for n in range(18))], key=lambda x: -x[1]
    )
    return positions(listing)(body)


def checked(
    tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str], more: str = ""
) -> tuple[int, dict[str, Any]]:
    with FaultServer(script) as server:
        file = tmp_path / "grader.toml"
        file.write_text(f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n{more}')
        code = main(["grader", "check", str(file), "--format", "json"])
        return code, json.loads(capsys.readouterr().out)


def test_new_writes_a_file_that_can_be_read_and_never_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["grader", "new"]) == 0
    assert capsys.readouterr().out == "wrote grader.toml\nnext: rbrc grader check grader.toml\n"
    found = read_grader(Path("grader.toml"))
    assert found.name == "openai:Qwen/Qwen3-8B"
    given = GraderOptions.read(found.options)
    # It changes nothing: all that it says is what holds without it.
    assert given == GraderOptions(base_url="http://localhost:8000/v1", file_digest=found.digest)
    before = Path("grader.toml").read_bytes()
    assert main(["grader", "new", "grader.toml"]) == 2
    assert "`grader.toml` is there already, and is left as it is" in capsys.readouterr().err
    assert Path("grader.toml").read_bytes() == before
    assert main(["grader", "new", "grader.txt"]) == 2
    assert "does not end in `.toml`" in capsys.readouterr().err
    assert main(["grader", "new", "own.toml", "--model", 'a "b"', "--base-url", "http://h/v1"]) == 0
    assert read_grader(Path("own.toml")).name == 'openai:a "b"'


def test_a_server_that_takes_the_usual_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = checked(tmp_path, refusing([], knowing), capsys)
    assert code == 0
    assert found["usable"]
    assert found["faults"] == []
    assert found["advice"] == []
    server = found["server"]
    assert (server["request"], server["reading"]) == ("", "the 20 most probable tokens")
    assert server["log_probabilities"] == {"least": 20, "most": 20}
    assert (server["requests"], server["prompt_tokens"], server["cached_tokens"]) == (9, 900, 540)
    assert set(server["first_tokens"]) == {"Yes", "No"}
    assert [(one["answer"]["p"] > 0.5) == one["truth"] for one in found["questions"]] == [True] * 9


def test_what_is_found_out_can_be_written_down(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refusals: list[Refusal] = [no_max_tokens, no_temperature, no_template, at_most(5, "top_logprobs must be <= 5")]
    code, found = checked(tmp_path, refusing(refusals, knowing), capsys)
    assert code == 0
    assert found["server"]["request"] == "max_completion_tokens, no temperature, top_logprobs 5, no template"
    assert found["identity"].endswith(" request " + found["server"]["request"])
    (advice, listed) = found["advice"]
    fields = 'max_tokens_field = "max_completion_tokens", temperature = "none", top_logprobs = 5, template = "none"'
    assert advice == f"to save each run from finding it out, write under `[request]`: {fields}"
    assert listed.startswith("it lists 5 tokens at most")
    again, then = checked(tmp_path, refusing(refusals, knowing), capsys, "[request]\n" + fields.replace(", ", "\n"))
    assert again == 0
    assert (then["server"]["request"], then["server"]["requests"]) == ("", 9)


CANNOT: list[tuple[str, Script, str, str]] = [
    ("no log-probabilities", lambda body, before: Say(json.dumps({"choices": [{"message": {"content": "Yes"}, "logprobs": None}]}).encode()),
     "9 of 9 questions got no value", 'how = "samples", samples = 8'),
    ("says something else", refusing([], positions([("The", 0.9), ("Yes", 0.01)])), "9 of 9", "(first tokens: 'The'): take another model"),
    ("always yes", refusing([], positions([("Yes", 0.9), ("No", 0.1)])), "does not tell yes from no", ""),
    ("thinks", refusing([], positions([("<think>", 1.0)])), "9 of 9", "it thinks before it answers"),
    ("unknown model", lambda body, before: Say(b'{"error": {"message": "no such model"}}', 404), "9 of 9", "see the reason above, `base_url`"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "fault", "advice"), [c[1:] for c in CANNOT], ids=[c[0] for c in CANNOT])
def test_what_cannot_be_a_grader_says_why(
    tmp_path: Path, script: Script, fault: str, advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = checked(tmp_path, script, capsys)
    assert code == 1
    assert not found["usable"]
    assert fault in found["faults"][0]
    assert advice in " ".join(found["advice"])


def test_the_report_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "grader.toml"
    with FaultServer(refusing([no_max_tokens], knowing)) as server:
        file.write_text(f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n[limits]\nconcurrency = 1\n')
        assert main(["grader", "check", str(file)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for said in (
        "request: max_completion_tokens", "P(yes) from the 20 most probable tokens; log-probabilities: 20",
        "reuse of beginnings: 540 of 900 prompt tokens", "speed: 10 requests in", "The response says sorry. text 1 yes 0.947",
        "can be a grader: 9 of 9 answers are right. How good it is, only labels say",
    ):  # fmt: skip
        assert said in told


def test_graders_without_a_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_sorry.py").write_text(
        "def judge(items, names):\n"
        "    return [{'apology': 0.9 if 'sorry' in i.completion else 0.1, 'greeting': 0.8 if 'Hello' in i.completion else 0.2,"
        " 'food': 0.9 if 'beans' in i.completion else 0.1} for i in items]\n"
    )
    (tmp_path / "grader.toml").write_text('kind = "python"\nfunction = "own_sorry.judge"')
    assert main(["grader", "check"]) == 0
    assert "9 of 9 answers are right" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "grader.toml").write_text('kind = "table"\nfile = "p.jsonl"')
    assert main(["grader", "check"]) == 2
    assert "there is nothing to ask" in capsys.readouterr().err
    assert main(["grader", "check", "--model", "m"]) == 2
    (tmp_path / "grader.toml").write_text('kind = "openai"\nmodel = "m"\nkey_env = "NOT_SET_HERE"')
    assert main(["grader", "check"]) == 2
    said = "the variable `NOT_SET_HERE`, which `key_env` names, is not set"
    assert said in capsys.readouterr().err
    Path("p.rbr").write_text(
        'rbr 1\nprop a "It is so."\nresponse r ranks good > bad {\n  bad if a\n  good otherwise\n}\n'
    )
    Path("r.jsonl").write_text('{"prompt": "Hi?", "completion": "Hi.", "response_type": "r"}\n')
    for more in ([], ["--dry-run"]):
        assert main(["grade", "p.rbr", "r.jsonl", "-o", "o.jsonl", "--grader", "grader.toml", *more]) == 2
        assert said in capsys.readouterr().err
