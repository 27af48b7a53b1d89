"""`rbrc doctor`: what it says is here is here, what a policy or a grader lacks ends with 1, and no secret is shown."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from faultserver import Action, FaultServer, Hang, Say
from shapedserver import refusing
from test_grader_command import knowing

from rbrlang.cli.commands.tools import doctor
from rbrlang.cli.main import main

SECRET = "sk-not-for-anybodys-eyes"
POLICY = 'prop a "A."\nresponse r ranks good > bad {\n  good if RULE\n  bad otherwise\n}\n'


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", *arguments, "--format", "json"])
    out = capsys.readouterr().out
    assert SECRET not in out
    return code, json.loads(out)


def test_it_knows_versions_extras_and_jax_and_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://me:{SECRET}@localhost/v1")
    monkeypatch.setenv("RBRC_KEY_PASSPHRASE", SECRET)
    monkeypatch.setenv("RBR_COMPILATION_CACHE", str(tmp_path / "cache"))
    needed = ["here>=1.2; extra == 'one'", "old>=2.10; extra == 'two'", "absent; extra == 'three'", "here; extra == 'dev'",
              "here>=1.2; extra == 'three'", "here>=1; (python_full_version >= '9.1.2') and extra == 'four'", "core>=1"]  # fmt: skip
    installed = {"here": "1.10rc1", "old": "2.9.4"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: needed)
    monkeypatch.setattr(doctor.importlib.metadata, "version", version)
    code, found = told(capsys)
    assert code == 0
    assert found["extras"] == [
        {"name": "four", "state": "not for this Python", "lacking": ["needs Python 9.1.2"], "install": None},
        {"name": "one", "state": "installed", "lacking": [], "install": None},
        {"name": "three", "state": "missing", "lacking": ["absent"], "install": "pip install 'rbrlang[three]'"},
        {"name": "two", "state": "too old", "lacking": ["old 2.9.4, needs 2.10"], "install": "pip install 'rbrlang[two]'"},
    ]  # fmt: skip
    assert found["python"] == sys.version.split()[0]
    assert found["jax"]["devices"]
    assert found["variables"]["OPENAI_API_KEY"] == found["variables"]["RBRC_KEY_PASSPHRASE"] == "(set)"
    assert found["variables"]["OPENAI_BASE_URL"] == "http://…@localhost/v1"
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert SECRET not in shown
    assert "two        too old: old 2.9.4, needs 2.10; pip install 'rbrlang[two]'" in shown


def test_the_extras_of_the_package_itself_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = told(capsys)
    state = {extra["name"]: extra["state"] for extra in found["extras"]}
    assert {"endpoint", "parquet", "report", "serve"} <= state.keys()
    assert state["endpoint"] == "installed"
    assert not state.keys() & {"dev", "test"}


MODELS = json.dumps({"data": [{"id": "m"}, {"id": "other"}]}).encode()
SERVERS: list[tuple[str, Action, int, str]] = [
    ("answers", Say(MODELS), 0, "with `m`"),
    ("lists others", Say(MODELS.replace(b'"m"', b'"n"')), 0, "it answers, and lists other models than `m`: n, other"),
    ("has no list", Say(b"", 404), 0, "it answers at"),
    ("refuses the key", Say(b"{}", 401), 1, "it refuses the key (status 401)"),
    ("hangs", Hang(9.0), 1, "see whether it runs at"),
]


@pytest.mark.parametrize(("reply", "code", "words"), [s[1:] for s in SERVERS], ids=[s[0] for s in SERVERS])
def test_a_server_is_reached_without_a_question(
    reply: Action, code: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setattr(doctor, "_SECONDS", 1.0)
    with FaultServer(lambda body, before: reply) as server:
        ended, found = told(capsys, "--grader", "openai:m", "--base-url", server.url)
        assert dict(server.paths) == {"/v1/models": 1}
    (need,) = found["needs"]
    assert (ended, need["met"]) == (code, code == 0)
    assert words in need["said"]


def test_asked_to_it_asks(capsys: pytest.CaptureFixture[str]) -> None:
    answering = refusing([], knowing)
    with FaultServer(lambda body, before: answering(body, before) if body else Say(MODELS)) as server:
        code, found = told(capsys, "--grader", "openai:m", "--base-url", server.url, "--ask")
    assert (code, found["needs"][1]["said"]) == (0, "9 of 9 answers are right")


NEEDS = [
    ("a", (), 0, "reads none"),
    ("a", ("--grader", "embedded"), 1, "it reads nothing of what is asked; give them few-shots"),
    ("a", ("--grader", "table:none.jsonl"), 1, "`none.jsonl` is not there"),
    ("a", ("--grader", "opnai:m"), 1, "did you mean `openai`?"),
    ("a", ("--grader", "labels"), 0, "its answers are in the rows"),
    ("a", ("--grader", "local:none.gguf"), 1, "`none.gguf` is not there"),
    ("a", ("--grader", "jury.toml"), 1, "none.jsonl` is not there"),
    ('json_schema("{}")', (), 1, "pip install 'rbrlang[schema]'"),
]


@pytest.mark.parametrize(("rule", "more", "code", "words"), NEEDS)
def test_what_a_policy_or_its_grader_lacks_ends_with_1(
    rule: str, more: tuple[str, ...], code: int, words: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    present = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "jsonschema" else present(name))
    monkeypatch.chdir(tmp_path)
    Path("p.rbr").write_text(POLICY.replace("RULE", rule))
    Path("jury.toml").write_text('kind = "jury"\nmembers = ["table:p.rbr", "table:none.jsonl"]\n')
    ended, found = told(capsys, "p.rbr", *more)
    assert ended == code
    (need,) = [need for need in found["needs"] if words in need["said"]]
    assert need["what"].startswith("members[1]: ") == ("jury.toml" in more)


def test_what_makes_no_sense_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--ask"]) == 2
    assert "`--ask` asks a grader: name one with `--grader`" in capsys.readouterr().err
    bad = tmp_path / "bad.rbr"
    bad.write_text("response r ranks good >\n")
    assert main(["doctor", str(bad)]) == 1
