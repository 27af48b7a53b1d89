"""`next:`: whoever types what each command suggests comes from a new project to rewards."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import CHECKOUT

from rbrlang.cli.guide import unread
from rbrlang.cli.main import main
from rbrlang.grading.embedded.grader import EmbeddedGrader, NoEvidence
from rbrlang.grading.embedded.names import shipped_names
from rbrlang.policy import loads

POLICY = """prop rude "Response is rude." { cue yes "(?i)shame" }
response r ranks good > bad {
  bad if rude
  good otherwise
}
cases r {
  -> good
  rude -> bad
}
"""


@pytest.fixture(autouse=True)
def _told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("RBR_NEXT")
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[str]:
    """The lines `next:` of a command, on whichever stream."""
    assert main(arguments) == code, capsys.readouterr()
    out, err = capsys.readouterr()
    return re.findall(r"^next: (.*)$", out + err, re.MULTILINE)


def rows(path: str, *more: dict[str, object]) -> None:
    lines = [{"prompt": f"{n // 2}", "completion": f"{'Shame! ' * (n % 2)}{n}", "response_type": "r"} for n in range(6)]
    both = [line | extra for line, extra in zip(lines, more * 6, strict=False)] if more else lines
    Path(path).write_text("".join(json.dumps(line) + "\n" for line in both))


@pytest.mark.slow
def test_following_every_line_leads_to_rewards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (first,) = said(capsys, "new", "our desk", "--from", "support")
    change, following = first.split(" && ")
    assert change == "cd 'our desk'"
    monkeypatch.chdir(tmp_path / "our desk")
    went: list[str] = []
    while following:
        _, *arguments = shlex.split(following)
        went.append(arguments[0])
        found = said(capsys, *arguments)
        assert len(found) <= 1, "never more than one line"
        following = found[0] if found else ""
    assert went == ["check", "test", "agree", "fit", "eval", "report", "score"]
    assert all(json.loads(line)["valid"] for line in Path("scored.jsonl").read_text().splitlines())


LABELS = {"labels": {"rude": False}}, {"labels": {"rude": True}}


@pytest.mark.parametrize(
    ("before", "command", "suggested"),
    [
        ((), "check p.rbr", "rbrc test p.rbr --coverage"),
        ((), "check p.rbr -D x=2 --root .", "rbrc test p.rbr -D x=2 --root . --coverage"),
        ((), "test p.rbr", "rbrc test p.rbr --coverage"),
        ((), "test p.rbr --coverage", "rbrc synth p.rbr -o synthetic.jsonl"),
        (LABELS, "test p.rbr --coverage", "rbrc agree p.rbr rows.jsonl"),
        (({},), "test p.rbr --coverage", "rbrc grade p.rbr rows.jsonl -o graded.jsonl"),
        (({},), "grade p.rbr rows.jsonl -o o.jsonl", "rbrc fit p.rbr o.jsonl -o p.rbrc"),
        (LABELS, "grade p.rbr rows.jsonl -o o.jsonl", "rbrc agree p.rbr o.jsonl --grader rows"),
        ((), "synth p.rbr --prompts 9 -o 'a b.jsonl'", "rbrc fit p.rbr 'a b.jsonl' -o p.rbrc"),
        (({},), "grade p.rbr rows.jsonl -o o.jsonl --grader labels", None),  # no label, so no value
        (({"probs": {"rude": 0.5}},), "grade p.rbr rows.jsonl -o o.jsonl --grader rows", "rbrc fit p.rbr o.jsonl -o p.rbrc"),
        ((), "probe --list", None),
        # programs, pipes and those who know their way are left alone
        ((), "check p.rbr --format json", None),
        ((), "check p.rbr --format github", None),
        (({},), "grade p.rbr rows.jsonl -o -", None),
        ((), "synth p.rbr --prompts 9 -o -", None),
        (LABELS, "agree p.rbr rows.jsonl --format json", None),
        (LABELS, "agree p.rbr rows.jsonl", None),  # too few to learn from
    ],
)  # fmt: skip
def test_what_a_command_suggests(
    before: tuple[dict[str, object], ...], command: str, suggested: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("p.rbr").write_text("param x = 1\n" * ("-D" in command) + POLICY)
    if before:
        rows("rows.jsonl", *before)
    assert said(capsys, *shlex.split(command)) == ([] if suggested is None else [suggested])


def test_rows_without_labels_that_nothing_here_reads_are_labelled_first(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.rbr").write_text(POLICY.replace(' { cue yes "(?i)shame" }', ""))
    rows("rows.jsonl")
    (suggested,) = said(capsys, "test", "p.rbr", "--coverage")
    assert suggested == "rbrc label p.rbr rows.jsonl -o labels.jsonl"
    assert main(["fit", "p.rbr", "rows.jsonl", "-o", "p.rbrc"]) == 2
    assert "no row carries `probs`: grade them first, or name a grader with `--grader`" in capsys.readouterr().err
    assert main(["synth", "p.rbr", "--from", "templates", "-o", "t.jsonl"]) == 2
    assert "`rbrc bank new p.rbr` begins a bank for this policy" in capsys.readouterr().err


def test_what_is_told_without_numpy_is_what_the_grader_sees() -> None:
    names = ["apology", "fully_complies", "my_own", "judgmental", "clear", *sorted(shipped_names())[:3]]
    for name in names:
        text = f'prop {name} "Some statement."\nresponse r ranks good > bad {{\n  good if {name}\n  bad otherwise\n}}\n'
        program = loads(text).program
        (standing,) = EmbeddedGrader(program.propositions).standings
        assert unread(program) == isinstance(standing, NoEvidence), name


def test_nothing_is_suggested_after_findings_or_where_it_is_turned_off(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.rbr").write_text('prop a "A."\nresponse r ranks good > bad\nr.good := a\n')
    assert said(capsys, "check", "bad.rbr", code=1) == []
    Path("p.rbr").write_text(POLICY)
    monkeypatch.setenv("RBR_NEXT", "0")
    assert said(capsys, "check", "p.rbr") == []


def test_a_policy_that_nothing_here_reads_says_so_once_and_where_to_go(capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.rbr").write_text(POLICY.replace(' { cue yes "(?i)shame" }', "") + 'prop dull "Is dull."\n')
    rows("rows.jsonl", *LABELS)
    assert main(["check", "p.rbr"]) == 0
    out, err = capsys.readouterr()
    assert "note" not in out.replace("1 note", "")
    assert err.count("note: the grader that needs no server cannot read any of its questions yet") == 1
    assert "`rbrc agree p.rbr GOLD --train HEADS`" in err
    (suggested,) = said(capsys, "test", "p.rbr", "--coverage")
    assert suggested == "rbrc agree p.rbr rows.jsonl --train heads.safetensors -o judged.jsonl"
    heavy = "import sys; from rbrlang.cli.main import main; main(['check', 'p.rbr']); print('numpy' in sys.modules)"
    path = os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-c", heavy],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.endswith("False\n"), "a check loads no numpy, whatever it tells"
    Path("q.rbr").write_text(POLICY)
    assert main(["check", "q.rbr"]) == 0
    assert "note:" not in capsys.readouterr().err
