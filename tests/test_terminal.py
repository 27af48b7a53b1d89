"""Nothing that comes from data is obeyed by a terminal, and a reader that leaves early costs nothing."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rbrlang.cli import terminal
from rbrlang.cli.main import main

CHECKOUT = Path(__file__).resolve().parents[1]
EXAMPLE = CHECKOUT / "examples" / "refusals"

# Title of the window, colour, backspaces, a carriage return, a right-to-left override, C1's own escape, DEL, a line
# end of Unicode's, half of a surrogate pair, rich's markup, and a line that passes itself off as the program's.
HOSTILE = "a\x1b]0;owned\x07\x1b[31m\b\b\r\u202eb\u2066\x9b2J\x7f\u2028\ud800[red]:warning:\nrbrc: all is well"
ARGUMENT = HOSTILE.replace("\ud800", "")  # which no system can pass on
FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
NAME = "p\x1b[31m\u202e\x07[red]"

POLICY = r"""rbr 1

prop polite "Response is polite \u001b[31m\u202e [red]." { cue yes "please" }
prop helps "Response helps \u0007." { cue yes "here is" }
response comply ranks good > bad {
  bad if !helps
  good otherwise
}
category "ask \u001b[31m\u202e" -> comply
reward comply { features classes, polite }
test "a good title \u001b[2J\u202e" for comply {
  given polite, helps
  expect good
}
test "on text \u001b[2J" for comply {
  prompt "please \u001b[31m"
  completion "no \u202e\u0007"
  expect good
}
"""


FAILING = (
    POLICY
    + r"""
test "a title \u001b[2J\u202e [red]\nrbrc: all is well" for comply {
  given polite, helps
  expect bad
}
"""
)


def rows() -> list[dict[str, Any]]:
    """Usable rows full of controls, and some that are refused."""
    good = [
        {
            "id": f"{at} {HOSTILE}", "prompt": [{"role": "user", "content": f"{at // 2} {HOSTILE}"}],
            "completion": f"please, here is {at} {HOSTILE}", "response_type": "comply", "base_reward": 0.1 * at,
            "class": "good" if at % 2 else "bad", "labels": {"polite": True, "helps": bool(at % 2), HOSTILE: True},
            "probs": {"polite": 0.9, "helps": 0.9 if at % 2 else 0.2, HOSTILE: 0.5}, "grader": HOSTILE, HOSTILE: HOSTILE,
        }
        for at in range(24)
    ]  # fmt: skip
    bad = [
        {**good[0], "id": f"b1 {HOSTILE}", "response_type": HOSTILE},
        {**good[0], "id": f"b2 {HOSTILE}", "response_type": None, "category": HOSTILE},
        {**good[0], "id": f"b3 {HOSTILE}", "class": HOSTILE},
        {**good[0], "id": f"b4 {HOSTILE}", "prompt": [{"role": HOSTILE, "content": "x"}]},
        {**good[0], "id": f"b5 {HOSTILE}", "labels": {"polite": HOSTILE}},
        {**good[0], "id": f"b6 {HOSTILE}", "probs": {"polite": 7}},
        {"id": f"b7 {HOSTILE}"},
        good[0],
    ]
    return good + bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy, rows and an artefact whose names, texts and ids are full of controls."""
    found = tmp_path_factory.mktemp("hostile") / NAME
    found.mkdir()
    (found / "p.rbr").write_text(POLICY, encoding="utf-8")
    (found / "failing.rbr").write_text(FAILING, encoding="utf-8")
    (found / "broken.rbr").write_text('prop a "x\x1b[31m\u202e\nresponse \x07 { \x9b }\n', encoding="utf-8")
    (found / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()), encoding="ascii")
    (found / "garbage.jsonl").write_bytes(b'{"id": "\x1b[31m\n[1, \xff\n"\\ud800"\n')
    shutil.copyfile(EXAMPLE / "policy.rbr", found / "example.rbr")
    assert main(["compile", str(found / "p.rbr"), "-o", str(found / "a.rbrc")]) == 0
    log = [
        {"type": "start", "fingerprint": HOSTILE},
        {"type": "step", "step": 0, "metrics": {HOSTILE: 0.5}},
        {"type": "alarm", "step": 1, "alarm": HOSTILE, "about": HOSTILE, "message": HOSTILE},
    ]
    (found / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log), encoding="ascii")
    return found


COMMANDS: tuple[tuple[str, ...], ...] = (
    ("check", "p.rbr"),
    ("check", "broken.rbr"),
    ("check", "p.rbr", "--format", "json"),
    ("check", "broken.rbr", "--format", "sarif"),
    ("check", "broken.rbr", "--format", "github"),
    ("check", "broken.rbr", "--format", "junit"),
    ("check", ARGUMENT),
    ("check", "p.rbr", "--deny", HOSTILE),
    ("check", "p.rbr", "-D", HOSTILE),
    (HOSTILE,),
    ("fmt", "broken.rbr"),
    ("fmt", "p.rbr", "--diff"),
    ("fmt", "p.rbr", "--check"),
    ("diff", "p.rbr", "example.rbr"),
    ("diff", "p.rbr", "p.rbr", "--data", "rows.jsonl"),
    ("check", "failing.rbr"),
    ("test", "failing.rbr", "-v"),
    ("test", "p.rbr", "-v"),
    ("test", "p.rbr", "--grader", "embedded", "--coverage", "--mutate"),
    ("test", "p.rbr", "--format", "json"),
    ("test", "p.rbr", "--run", HOSTILE),
    ("explain", HOSTILE),
    ("explain", "p.rbr", "--given", HOSTILE),
    ("explain", "p.rbr", "--row", f"rows.jsonl:1 {ARGUMENT}"),
    ("explain", "p.rbr", "--row", f"rows.jsonl:{ARGUMENT}"),
    ("graph", "p.rbr"),
    ("graph", "p.rbr", "--format", "mermaid"),
    ("graph", "p.rbr", "--for", HOSTILE),
    ("plan", "p.rbr", "--data", "rows.jsonl"),
    ("plan", "p.rbr", "--show-prompt", f"1 {HOSTILE}", "--data", "rows.jsonl"),
    ("grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl"),
    ("grade", "p.rbr", "rows.jsonl", "-o", "-", "--details"),
    ("grade", "p.rbr", "garbage.jsonl", "-o", "out.jsonl"),
    ("grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", HOSTILE),
    ("grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", f"python:{HOSTILE}.f"),
    ("grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "python:hostile_grader.raises"),
    ("grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--grader", "python:hostile_grader.returns"),
    ("agree", "p.rbr", "rows.jsonl"),
    ("agree", "p.rbr", "rows.jsonl", "--format", "json"),
    ("probe", "p.rbr", "rows.jsonl", "--examples", "20"),
    ("probe", "--list", "p.rbr"),
    ("synth", "p.rbr", "-o", "synth.jsonl", "--per-class", "2"),
    ("fit", "p.rbr", "rows.jsonl", "-o", "fitted.rbrc"),
    ("inspect", "a.rbrc"),
    ("verify", "a.rbrc"),
    ("verify", "rows.jsonl"),
    ("score", "a.rbrc", "rows.jsonl", "-o", "scored.jsonl"),
    ("score", "a.rbrc", "rows.jsonl", "-o", "-"),
    ("eval", "a.rbrc", "rows.jsonl", "--resamples", "20"),
    ("eval", "a.rbrc", "rows.jsonl", "--class-names", HOSTILE),
    ("report", "a.rbrc", "rows.jsonl", "-o", "page.html", "--resamples", "20"),
    ("watch", "log.jsonl", "--once"),
    ("watch", "log.jsonl", "--format", "json"),
    ("serve", "a.rbrc", "--host", HOSTILE),
    ("new", "p.rbr"),
    ("import", "openai-rbr", "garbage.jsonl", "-o", "imported.rbr"),
)

GRADER = f"""
HOSTILE = {HOSTILE!a}
def raises(items, names):
    raise ValueError(HOSTILE)
def returns(items, names):
    return [{{name: HOSTILE for name in names}} for _ in items]
"""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: ascii(" ".join(c))[1:60])
def test_no_control_character_from_data_is_printed(
    command: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    (folder / "hostile_grader.py").write_text(GRADER, encoding="ascii")
    try:
        code = main([str(folder / part) if (folder / part).is_file() else part for part in command])
    except SystemExit as end:  # argparse
        code = int(end.code or 0)
    said = capsys.readouterr()
    assert code in (0, 1, 2, 3)
    for text in (said.out, said.err):
        assert not FORBIDDEN.search(text), ascii(FORBIDDEN.findall(text))
        assert "\nrbrc: all is well" not in f"\n{text}"
    assert said.out or said.err


def test_json_that_was_escaped_is_the_same_data(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["score", "a.rbrc", "rows.jsonl", "-o", "-"]) == 3
    out = capsys.readouterr().out
    assert json.loads(out.splitlines()[0])["completion"] == rows()[0]["completion"]
    assert len(out.splitlines()) == len(out.split("\n")) - 1  # nothing in it ends a line by itself


def test_markup_in_data_is_text(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["watch", "log.jsonl", "--once"]) in (0, 1)
    assert "[red]:warning:" in capsys.readouterr().out.replace("\n", "")


def test_what_is_shown_is_what_json_would_write() -> None:
    assert terminal.shown("a\x1b[1m\n\U000e0041\u202e") == "a\\u001b[1m\\u000a\\udb40\\udc41\\u202e"
    assert json.loads(f'"{terminal.shown(HOSTILE)}"') == HOSTILE
    assert terminal.escaped("a\n\tb\r") == "a\n\tb\\u000d"
    family, persian = "\U0001f468\u200d\U0001f469", "می\u200cخواهم"
    assert terminal.shown(family + persian) == family + persian


class Screen(io.StringIO):
    """A terminal, as far as programs ask."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_colours_are_ours_and_only_ours(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for command in (["check", "broken.rbr"], ["inspect", "a.rbrc"], ["score", "a.rbrc", "rows.jsonl", "-o", "-"]):
        screen = Screen()
        monkeypatch.setattr(sys, "stdout", screen)
        main([command[0], str(folder / command[1]), *(str(folder / p) if "." in p else p for p in command[2:])])
        text = screen.getvalue()
        assert ("\x1b[" in text) == (command[0] != "score"), command
        assert not FORBIDDEN.search(re.sub(r"\x1b\[[0-9;]*m", "", text)), command
        if command[0] == "check":
            assert "\\u001b[31m" in text


# --- processes ----------------------------------------------------------------------------------

PIPED = (
    (["check", "policy.rbr"], 0),
    (["check", "huge.rbr"], 1),
    (["check", "huge.rbr", "--format", "json"], 1),
    (["test", "policy.rbr", "-v"], 0),
    (["--help"], 0),
    (["check", "--help"], 0),
    (["--version"], 0),
    (["explain", "all"], 0),
    (["graph", "policy.rbr"], 0),
    (["plan", "policy.rbr"], 0),
    (["grade", "policy.rbr", "completions.jsonl", "-o", "-"], 0),
    (["fmt", "policy.rbr", "--diff"], 0),
    (["fmt", "-"], 0),
    (["completion", "bash"], 0),
    (["probe", "--list", "policy.rbr"], 0),
    (["check", "missing.rbr"], 2),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound policy with rows, and one with thousands of findings."""
    found = tmp_path_factory.mktemp("sound")
    for name in ("policy.rbr", "completions.jsonl"):
        shutil.copyfile(EXAMPLE / name, found / name)
    wrong = "".join(f"x{at} := nothing_like_{at} & nowhere_{at}\n" for at in range(3000))
    (found / "huge.rbr").write_text(wrong, encoding="utf-8")
    return found


def rbrc(arguments: list[str], **settings: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "rbrlang.cli", *arguments], stdin=subprocess.PIPE, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "code"), PIPED, ids=lambda a: " ".join(a) if isinstance(a, list) else "")
def test_a_reader_that_closes_the_pipe_costs_nothing(arguments: list[str], code: int, sound: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = rbrc(arguments, stdout=write, stderr=subprocess.PIPE, cwd=sound)
    os.close(write)
    _, said = process.communicate((sound / "policy.rbr").read_bytes(), timeout=120)
    assert process.returncode == code, said.decode()
    assert b"Broken pipe" not in said
    assert b"Exception" not in said


@pytest.mark.slow
def test_a_closed_standard_error_costs_nothing_either(sound: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = rbrc(["check", "missing.rbr"], stdout=subprocess.DEVNULL, stderr=write, cwd=sound)
    os.close(write)
    process.communicate(timeout=120)
    assert process.returncode == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["check", "policy.rbr"], ["--help"], ["fmt", "-"]], ids=" ".join)
def test_output_that_finds_no_place_is_a_failure(arguments: list[str], sound: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = rbrc(arguments, stdout=full, stderr=subprocess.PIPE, cwd=sound)
        _, said = process.communicate((sound / "policy.rbr").read_bytes(), timeout=120)
    assert process.returncode == 2
    assert b"no space left on device" in said
    assert said.count(b"\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize(
    "arguments", [["check", "policy.rbr"], ["plan", "policy.rbr"], ["explain", "all"], ["test", "policy.rbr", "-v"]],
    ids=" ".join,
)  # fmt: skip
def test_a_narrow_encoding_is_no_obstacle(arguments: list[str], encoding: str, sound: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    process = rbrc(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=sound, env=environment)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said.decode()
    assert out.decode(encoding)


@pytest.mark.slow
def test_watching_ends_when_nobody_reads(sound: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = rbrc(["check", "policy.rbr", "--watch"], stdout=write, stderr=subprocess.PIPE, cwd=sound)
    os.close(write)
    process.communicate(timeout=120)
    assert process.returncode == 0


def test_no_line_of_ours_holds_a_line_break_which_would_be_shown_as_one_of_data() -> None:
    broken = [
        f"{path.relative_to(CHECKOUT)}:{call.lineno}"
        for path in (CHECKOUT / "rbrlang").rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("say", "warn", "wrapped")
        for part in ast.walk(call)
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and "\n" in part.value
    ]
    assert broken == []
