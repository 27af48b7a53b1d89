"""No command writes over a file that it reads, and what the system refuses is said as everything else is."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import pytest

from rbrlang.cli.main import COMMANDS, main, parser_of
from rbrlang.cli.outputs import READ, WRITTEN

POLICY = """rbr 1
use "lib.rbr" (sorry)
response r ranks good > bad {
  bad  if !sorry
  good otherwise
}
"""
LIB = 'rbr 1\nprop sorry "The response apologises." {\n  cue yes "(?i)\\\\bsorry\\\\b"\n}\n'
FILES = {
    "FILE",
    "ROWS",
    "GOLD",
    "OUT",
    "OUT.rbrc",
    "JSON",
    "KEY",
    "PUB",
    "W",
    "DB",
    "SRC",
    "TRAIN_ROWS",
    "HTML",
    "PAGE",
    "PRICES",
    "BANK",
    "G",
}
"""What an option that names a file calls it in `--help`."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy of two files, its artefact, labelled rows, the same as a folder of rows, tables and a jury of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.rbr").write_text(POLICY)
    (tmp_path / "lib.rbr").write_text(LIB)
    rows = [
        {"id": str(n), "prompt": f"{n}?", "completion": "Sorry." if n % 2 else "No.", "response_type": "r",
         "labels": {"sorry": n % 2 == 1}, "probs": {"sorry": float(n % 2)}}
        for n in range(6)
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "data").mkdir()
    for name in ("rows.jsonl", "t.jsonl", "u.jsonl", "data/a.jsonl"):
        (tmp_path / name).write_text(text)
    os.link("rows.jsonl", "hard.jsonl")
    os.symlink("rows.jsonl", "soft.jsonl")
    (tmp_path / "jury.toml").write_text('kind = "jury"\nmembers = ["table:t.jsonl", "embedded"]\n')
    assert main(["compile", "p.rbr", "-o", "p.rbrc"]) == 0
    return tmp_path


CALLS = [
    ("playground p.rbr -o", "p.rbr"), ("playground p.rbr -o", "lib.rbr"), ("compile p.rbr -o", "p.rbr"),
    ("compile p.rbr -o", "./lib.rbr"), ("compile p.rbr --sign rows.jsonl -o", "rows.jsonl"), ("export p.rbrc -o", "p.rbrc"),
    ("fit p.rbr data rows.jsonl -o", "rows.jsonl"), ("fit p.rbr rows.jsonl -o", "lib.rbr"),
    ("report p.rbrc rows.jsonl -o", "rows.jsonl"), ("report p.rbrc rows.jsonl -o", "soft.jsonl"),
    ("report p.rbrc rows.jsonl -o", "hard.jsonl"), ("report p.rbrc rows.jsonl --with t.jsonl -o", "t.jsonl"),
    ("agree p.rbr rows.jsonl -o", "rows.jsonl"), ("agree p.rbr rows.jsonl --train", "rows.jsonl"),
    ("agree p.rbr rows.jsonl --calibrate", "p.rbr"), ("agree p.rbr rows.jsonl --plot", "rows.jsonl"),
    ("agree p.rbr rows.jsonl --jury table:t.jsonl embedded -o", "rows.jsonl"),
    ("agree p.rbr rows.jsonl --jury table:t.jsonl embedded -o", "t.jsonl"),
    ("agree p.rbr rows.jsonl --cascade embedded table:t.jsonl -o", "t.jsonl"),
    ("grade p.rbr rows.jsonl -o", "p.rbr"), ("grade p.rbr rows.jsonl -o", "lib.rbr"), ("grade p.rbr data -o", "data/a.jsonl"),
    ("grade p.rbr data/*.jsonl -o", "data/a.jsonl"), ("grade p.rbr rows.jsonl --grader table:t.jsonl -o", "t.jsonl"),
    ("grade p.rbr rows.jsonl --grader jury.toml -o", "jury.toml"), ("grade p.rbr rows.jsonl --grader jury.toml -o", "t.jsonl"),
    ("score p.rbrc rows.jsonl -o", "p.rbrc"), ("score p.rbrc rows.jsonl --correct t.jsonl -o", "t.jsonl"),
    ("label p.rbr rows.jsonl -o", "rows.jsonl"), ("distil p.rbr rows.jsonl --teacher jury.toml --budget 2 -o", "jury.toml"),
    ("synth p.rbr --prompts rows.jsonl -o", "rows.jsonl"), ("synth p.rbr -o x.jsonl --keep-rejected", "p.rbr"),
    ("plan p.rbr --data rows.jsonl --grader embedded --plot", "rows.jsonl"), ("import openai-rbr p.rbr -o", "p.rbr"),
    ("bench --policy p.rbr -o", "p.rbr"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "target"), CALLS)
def test_an_input_is_never_written_over(
    folder: Path, call: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main([*call.split(), target]) == 2
    flag = call.split()[-1]
    assert (
        f"`{target}` is read by this command, and `{flag}` would write over it; name another file"
        in capsys.readouterr().err
    )
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_every_option_that_names_a_file_is_known_as_read_or_written() -> None:
    written = set[tuple[str, str]]()
    for command in COMMANDS:
        (of,) = (a for a in parser_of(command)._actions if isinstance(a, argparse._SubParsersAction))  # pyright: ignore
        actions = of.choices[command]._actions
        if not any(action.dest in WRITTEN for action in actions):
            continue
        for action in actions:
            if action.metavar in FILES or action.dest in WRITTEN:
                assert action.dest in (*READ, *WRITTEN), (command, action.dest)
            if action.dest in WRITTEN:
                written.add((command, action.dest))
    tried = {
        (call.split()[0], {"-o": "output"}.get(flag := call.split()[-1], flag[2:].replace("-", "_")))
        for call, _ in CALLS
    }
    assert tried == written


def test_two_outputs_are_two_files_and_rows_may_be_graded_where_they_are(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["agree", "p.rbr", "rows.jsonl", "-o", "x", "--calibrate", "./x"]) == 2
    assert "`-o` and `--calibrate` would both write `x`; name another file for one" in capsys.readouterr().err
    assert main(["grade", "p.rbr", "rows.jsonl", "-o", "rows.jsonl"]) == 0
    assert main(["score", "p.rbrc", "rows.jsonl", "-o", "rows.jsonl"]) == 0
    assert all("reward" in json.loads(line) for line in Path("rows.jsonl").read_text().splitlines())
    for _ in range(2):  # its own output is no input
        assert main(["compile", "p.rbr", "-o", "again.rbrc"]) == 0


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "score p.rbrc rows.jsonl -o x.jsonl --correct no.json",
            "`no.json`: no such file or directory; check the path",
        ),
        ("playground nosuch.rbr -o x.html", "`nosuch.rbr`: no such file or directory; check the path"),
        ("compile p.rbr -o none/x.rbrc", "`none/x.rbrc`: no such file or directory; check the path"),
        ("compile p.rbr -o data", "`data`: is a directory; check the path"),
    ],
)
def test_what_the_system_refuses_has_a_next_step(
    folder: Path, call: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(call.split()) == 2
    assert said in capsys.readouterr().err
