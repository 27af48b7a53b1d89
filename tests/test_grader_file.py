"""A grader file says what a grader is, wherever one is named, and every mistake in it is one sentence."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CHECKOUT
from faultserver import FaultServer, Say, answer
from shapedserver import YES, positions, refusing

import rbrlang as rbr
from rbrlang.adapters import verl
from rbrlang.adapters.tunix import TunixReward
from rbrlang.cli.main import main
from rbrlang.grading.questions.graderfile import KINDS, applied, read_grader
from rbrlang.grading.questions.specs import GraderError, api_key
from rbrlang.reward.kept.artefact import Artefact, write_artefact
from rbrlang.rows.read import row_from
from rbrlang.scoring.score import Scorer

FULL = """
kind = "openai"
model = "m"
base_url = "http://localhost:1/v1"
key_env = "OUR_KEY"
calibration = "cal.json"
[request]
max_tokens_field = "max_completion_tokens"
max_tokens = 16
top_logprobs = 5
temperature = "none"
template = { enable_thinking = false }
extra = { service_tier = "flex" }
discover = false
[read]
how = "first-token"
min_mass = 0.4
layout = "question-first"
order = 2
[limits]
concurrency = 3
rpm = 0
tpm = 9000
timeout = 30
patience = 90
retries = 0.2
[price]
input = 0.1
output = 0.4
"""
POLICY = str(CHECKOUT / "examples" / "refusals" / "policy.rbr")
ROWS = [row_from({"prompt": "Hello?", "completion": f"Hello {i}.", "response_type": "comply"}) for i in range(3)]


def written(folder: Path, text: str, name: str = "grader.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    policy = rbr.load(POLICY)
    return Artefact(policy.circuit, rbr.compile(policy).host.weights, policy.sources, None, {})


def rows_file(folder: Path) -> Path:
    file = folder / "rows.jsonl"
    file.write_text("".join(
        json.dumps({"id": f"r{i}", "prompt": "Hello?", "completion": f"Hello {i}.", "response_type": "comply"}) + "\n"
        for i in range(3)
    ))  # fmt: skip
    return file


def test_every_key_is_an_option(tmp_path: Path) -> None:
    found = read_grader(written(tmp_path, FULL))
    assert found.name == "openai:m"
    options = dict(found.options)
    request = options.pop("request")
    assert (request.max_tokens_field, request.max_tokens, request.top_logprobs) == ("max_completion_tokens", 16, 5)
    assert (request.temperature, request.more) == ("none", {"service_tier": "flex"})
    assert options == {
        "base_url": "http://localhost:1/v1", "key_env": "OUR_KEY", "calibration": str(tmp_path / "cal.json"),
        "template": {"enable_thinking": False}, "discover": False, "min_mass": 0.4, "layout": "question-first", "order": 2,
        "concurrency": 3, "tpm": 9000, "timeout": 30, "patience": 90, "retries": 0.2, "price_in": 0.1, "price_out": 0.4,
        "file_digest": found.digest,
    }  # fmt: skip


def test_the_digest_is_of_what_can_change_an_answer(tmp_path: Path) -> None:
    digest = read_grader(written(tmp_path, FULL)).digest
    other = tmp_path / "elsewhere"
    other.mkdir()
    same = FULL.replace("order = 2\n", "").replace("[read]\n", "# a comment\n[read]\norder = 2\n")
    same = (
        same.replace("concurrency = 3", "concurrency = 9").replace("input = 0.1", "input = 7").replace("OUR_KEY", "KEY")
    )
    assert read_grader(written(other, same, "g.toml")).digest == digest
    for was, then in (('"m"', '"n"'), ("min_mass = 0.4", "min_mass = 0.3"), ("top_logprobs = 5", "top_logprobs = 4"),
                      ("flex", "auto"), ("enable_thinking = false", "enable_thinking = true"), ("order = 2", "order = 1")):  # fmt: skip
        assert read_grader(written(other, FULL.replace(was, then))).digest != digest


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('kind = "embedded"', "embedded"),
        ('kind = "python"\nfunction = "a.b"', "python:a.b"),
        ('kind = "systemone"\nbase_url = "http://h/v1"\nmodel = "m"', "systemone:http://h/v1#m"),
        ('kind = "systemone"\nbase_url = "http://h/v1"', "systemone:http://h/v1"),
    ],
)
def test_the_kinds(tmp_path: Path, text: str, name: str) -> None:
    assert read_grader(written(tmp_path, text)).name == name


def test_files_are_beside_the_file(tmp_path: Path) -> None:
    found = read_grader(written(tmp_path, 'kind = "table"\nfile = "p.jsonl"'))
    assert found.name == f"table:{tmp_path / 'p.jsonl'}"
    for kind in ("embedded", "distilled"):
        found = read_grader(written(tmp_path, f'kind = "{kind}"\nheads = "h.safetensors"'))
        assert (found.name, found.options) == ("embedded", {"heads": str(tmp_path / "h.safetensors")})


def openai(more: str) -> str:
    return f'kind = "openai"\nmodel = "m"\n{more}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", '`kind` is missing; write kind = "openai", or one of'),
        ('kind = "opnai"', '`kind` is "opnai", which is none of `openai`'),
        ("kind = 3", "`kind` is 3, which is none of"),
        ('kind = "distilled"', 'the kind `distilled` needs `heads`; write heads = "…"'),
        ('kind = "openai"', 'the kind `openai` needs `model`; write model = "…"'),
        ('kind = "python"', "the kind `python` needs `function`"),
        ('kind = "table"', "the kind `table` needs `file`"),
        ('kind = "embedded"\nmodel = "m"', "`model` is for graders of the kind `openai`, `systemone`, `local`, and this one is `embedded`"),
        (openai("modle = 1"), "there is no key `modle`; did you mean `model`?"),
        (openai("quux = 1"), "there is no key `quux`; there are `kind`, `model`"),
        (openai("base_url = 3"), "`base_url` is 3, which is not a text"),
        (openai('api_key = "sk-1"'), "`api_key` has no place in a file; name the variable that holds it with `key_env`"),
        (openai('key_env = "sk-abc"'), "`key_env` is not the name of an environment variable in capital letters"),
        (openai("request = 3"), "`request` is 3, which is not a table; write `[request]` on a line of its own"),
        (openai("[request]\nmax_token_field = 1"), "in `[request]`: there is no key `max_token_field`; did you mean `max_tokens_field`?"),
        (openai('[request]\nmax_tokens_field = "n"'), '`max_tokens_field` is "n", which is not "auto", "max_tokens" or'),
        (openai("[request]\nmax_tokens = 0"), '`max_tokens` is 0, which is not "auto" or a whole number from 1 to 256'),
        (openai("[request]\ntop_logprobs = true"), '`top_logprobs` is true, which is not "auto" or a whole number'),
        (openai("[request]\ntemperature = 3"), '`temperature` is 3, which is not "auto", "none" or a number from 0 to 2'),
        (openai("[request]\ntemperature = nan"), "which is not \"auto\", \"none\" or a number from 0 to 2"),
        (openai("[request]\nextra = 3"), "`extra` is 3, which is not a table of fields to send"),
        (openai('[request]\nextra = { model = "n" }'), "`model` is written by rbrc itself"),
        (openai("[request]\nextra = { when = 1979-05-27 }"), "which is not a table that can be written as JSON"),
        (openai("[request]\ntemplate = { enable_thinking = 1 }"), "`request.template.enable_thinking` is 1, which is not true or false"),
        (openai("[request]\ntemplate = 1"), "`request.template` is 1, which is not"),
        (openai("[request]\ndiscover = 1"), "`request.discover` is 1, which is not true or false"),
        (openai("[read]\nthought_tokens = 9"), '`read.thought_tokens` is for how = "after-reasoning" or "samples"'),
        (openai('[read]\nhow = "after-reasoning"\nthought_tokens = 0'), "`read.thought_tokens` is 0, which is not a whole number from 1 to 32768"),
        (openai("[read]\nquestions = 33"), "`read.questions` is 33, which is not a whole number from 1 to 32"),
        (openai('[read]\nhow = "first"'), '`read.how` is "first", which is none of'),
        (openai("[read]\nhwo = 1"), "in `[read]`: there is no key `hwo`; did you mean `how`?"),
        (openai('[read]\nhow = "samples"'), "does not say how many; write samples = 8"),
        (openai('[read]\nhow = "first-token"\nsamples = 3'), '`read.samples` is for how = "samples"'),
        (openai("[read]\nrisk = 0.1"), '`read.risk` is for how = "samples"'),
        (openai("[read]\nsamples = 4\nrisk = 0.6"), "`read.risk` is 0.6, which is not a number from 0 to 0.5"),
        (openai("[read]\nsamples = 0"), "`read.samples` is 0, which is not a whole number from 1 to 1000"),
        (openai("[read]\nmin_mass = 1.5"), "`read.min_mass` is 1.5, which is not a number from 0 to 1"),
        (openai('[read]\nlayout = "x"'), '`read.layout` is "x", which is not "question-first"'),
        (openai('[read]\nhow = "chosen-token"\n[request]\ntop_logprobs = 3'), "reads the chosen token alone; leave out one"),
        (openai("[limits]\nconcurency = 3"), "in `[limits]`: there is no key `concurency`; did you mean `concurrency`?"),
        (openai("[limits]\nconcurrency = 2.5"), "`limits.concurrency` is 2.5, which is not a whole number from 1 to 10000"),
        (openai("[limits]\ntimeout = 0"), "`limits.timeout` is 0, which is not a number above 0"),
        (openai("[limits]\nretries = -1"), "`limits.retries` is -1, which is not a number from 0 to 10"),
        (openai("[limits]\nrpm = inf"), "`limits.rpm` is Infinity, which is not a number of 0 or more"),
        (openai("[price]\ninput = -1"), "`price.input` is -1, which is not a number of 0 or more"),
        ("kind = ", "is not TOML: invalid value"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(GraderError) as raised:
        read_grader(file)
    assert said in str(raised.value)
    assert f"the grader file `{file}`" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "sk-" not in str(raised.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(GraderError, match=r"cannot read the grader file `.*none\.toml`: no such file"):
        read_grader(tmp_path / "none.toml")
    (tmp_path / "g.toml").write_bytes(b'kind = "\xff"')
    with pytest.raises(GraderError, match=r"is not UTF-8 \(byte 8\)"):
        read_grader(tmp_path / "g.toml")


def test_what_is_given_overrides_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, FULL)
    _, options = applied(str(file), {"timeout": 60.0, "min_mass": 0.5, "rpm": None})
    assert (options["timeout"], options["min_mass"]) == (60.0, 0.5)
    assert options["concurrency"] == 3
    assert applied("embedded", {"timeout": 3}) == ("embedded", {"timeout": 3})


def sent(server: FaultServer) -> list[dict[str, Any]]:
    return [json.loads(body) for body in server.received if body]


def test_a_command_takes_a_file_and_its_own_options_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OUR_KEY", "sk-ours")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    rows = rows_file(tmp_path)
    text = (
        FULL.replace('calibration = "cal.json"\n', "")
        .replace("top_logprobs = 5", "top_logprobs = 20")
        .replace("tpm = 9000", "")
    )
    with FaultServer(lambda body, before: answer(body)) as server:
        file = written(tmp_path, text.replace("http://localhost:1/v1", server.url))
        out = tmp_path / "out.jsonl"
        assert main(["grade", POLICY, str(rows), "-o", str(out), "--grader", str(file), "--template", "none"]) == 0
        assert {h.get("authorization") for h in server.headers} == {"Bearer sk-ours"}
        bodies = sent(server)
    assert bodies
    for body in bodies:
        assert body["max_completion_tokens"] == 16
        assert body["service_tier"] == "flex"
        assert "temperature" not in body
        assert "chat_template_kwargs" not in body
    identities = {json.loads(line)["grader"] for line in out.read_text().splitlines()}
    (identity,) = identities
    assert f" file {read_grader(file).digest}" in identity
    assert "mass 0.4" in identity
    assert "sk-ours" not in out.read_text() + capsys.readouterr().err


@pytest.mark.parametrize("kind", ["embedded", "python", "table"])
def test_the_same_as_by_its_name(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / f"own_{kind}.py").write_text(
        "def judge(items, names):\n    return [{n: 0.25 for n in names} for _ in items]\n"
    )
    (tmp_path / "p.jsonl").write_text(
        "".join(json.dumps({"id": f"r{i}", "probs": {"apology": 0.5}}) + "\n" for i in range(3))
    )
    more, name = {
        "embedded": ("", "embedded"),
        "python": (f'function = "own_{kind}.judge"', f"python:own_{kind}.judge"),
        "table": ('file = "p.jsonl"', f"table:{tmp_path / 'p.jsonl'}"),
    }[kind]
    assert set(KINDS) > {kind}
    file, rows = written(tmp_path, f'kind = "{kind}"\n{more}'), rows_file(tmp_path)
    outputs: list[bytes] = []
    for grader in (str(file), name):
        out = tmp_path / "out.jsonl"
        main(["grade", POLICY, str(rows), "-o", str(out), "--grader", grader, "--allow-abstain"])
        outputs.append(out.read_bytes())
    assert outputs[0] == outputs[1]
    assert outputs[0]


def test_scorers_and_adapters_take_a_file(tmp_path: Path, artefact: Artefact) -> None:
    with FaultServer(refusing([], positions(YES))) as server:
        file = written(tmp_path, f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n[read]\nmin_mass = 0.85\n')
        by_name = Scorer(artefact, "openai:m", base_url=server.url, min_mass=0.85)(ROWS).rewards
        scorer = pickle.loads(pickle.dumps(Scorer(artefact, str(file))))
        np.testing.assert_array_equal(scorer(ROWS).rewards, by_name)
        assert Scorer(artefact, str(file), min_mass=0.99)(ROWS).invalid.all()  # yes and no hold 0.9
        made = TunixReward(artefact, str(file))
        assert made(prompts=["Hello?"], completions=["Hello."], response_type=["comply"]) is not None
        stored = tmp_path / "p.rbrc"
        write_artefact(str(stored), artefact)
        kwargs = {"artefact": str(stored), "grader": str(file), "on_invalid": -7.0}
        info = {"prompt": "Hello?", "response_type": "comply"}
        one = verl.compute_score("d", "Hello.", "", info, **kwargs)
        two = verl.compute_score("d", "Hello.", "", info, **kwargs, min_mass=0.99)
    assert one != two
    with pytest.raises(GraderError, match="cannot read the grader file"):
        Scorer(artefact, "nowhere.toml")


def test_every_command_that_grades_takes_a_file(
    tmp_path: Path, artefact: Artefact, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, stored, wrong = rows_file(tmp_path), tmp_path / "p.rbrc", written(tmp_path, "kind = 3", "wrong.toml")
    write_artefact(str(stored), artefact)
    rows.write_text(rows.read_text().replace('"id"', '"labels": {"apology": false}, "id"'))
    with FaultServer(refusing([], positions(YES))) as server:
        file = str(written(tmp_path, f'kind = "openai"\nmodel = "m"\nbase_url = "{server.url}"\n'))
        out = ["-o", str(tmp_path / "s.jsonl")]
        for call in (
            ["grade", POLICY, str(rows), *out], ["score", str(stored), str(rows), *out], ["test", POLICY],
            ["probe", POLICY, "--payload", "key-dot", "--limit", "1"], ["agree", POLICY, str(rows)],
            ["eval", str(stored), str(rows)],
        ):  # fmt: skip
            assert main([*call, "--grader", str(wrong)]) == 2
            assert capsys.readouterr().err.startswith(f"rbrc {call[0]}: the grader file `{wrong}`: `kind` is 3")
            before = sum(server.received.values())
            main([*call, "--grader", file])
            assert sum(server.received.values()) > before, call
            assert "grader file" not in capsys.readouterr().err


def test_synth_has_a_server_for_each_of_its_two_models(tmp_path: Path) -> None:
    """The file is the grader's; `--base-url` stays the writer's."""
    out = tmp_path / "out.jsonl"
    policy = written(
        tmp_path,
        'rbr 1\nprop a "It is so."\nresponse comply ranks good > bad {\n  bad if a\n  good otherwise\n}\n',
        "p.rbr",
    )
    writes = {"choices": [{"message": {"content": "So it is."}, "finish_reason": "stop"}]}
    with (
        FaultServer(lambda body, before: Say(json.dumps(writes).encode())) as writer,
        FaultServer(refusing([], positions(YES))) as judge,
    ):
        file = written(tmp_path, f'kind = "openai"\nmodel = "judge"\nbase_url = "{judge.url}"\n')
        main([
            "synth", str(policy), "-o", str(out), "--from", "llm", "--model", "writer", "--base-url", writer.url,
            "--per-class", "1", "--prompts", str(rows_file(tmp_path)), "--attempts", "1", "--grader", str(file),
        ])  # fmt: skip
        assert {one["model"] for one in sent(writer)} == {"writer"}
        assert {one["model"] for one in sent(judge)} == {"judge"}


def test_the_variable_of_the_key_has_to_be_set() -> None:
    with pytest.raises(GraderError, match="the variable `OUR_KEY`, which `key_env` names, is not set"):
        api_key({}, "OUR_KEY")
    assert api_key({"OUR_KEY": " k "}, "OUR_KEY").reveal() == "k"
    assert api_key({}).reveal() == ""
