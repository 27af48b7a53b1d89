"""`rbrc repl` follows a script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rbrlang.cli.main import main

POLICY = """\
prop a "A."
@prior(0.3)
prop b "B."
prop c "C."
axiom !(a & c)
response r ranks good > fair > bad
r.good := a & !b
r.bad := !a & b
r.fair := otherwise
response s ranks yes_ > no_
s.yes_ := words > 3 | c
s.no_ := otherwise
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "p.rbr"
    path.write_text(POLICY, encoding="utf-8")
    return path


def _say(policy: Path, script: str, *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, the states shown one by one, and the errors."""
    command = [sys.executable, "-m", "rbrlang.cli", "repl", str(policy), *arguments]
    done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=60)
    states: list[str] = []
    for line in done.stdout.splitlines(keepends=True):
        if not line.startswith((" ", "→")):
            states.append("")
        states[-1] += line
    return done.returncode, states, done.stderr


def test_what_is_said_moves_classes_and_reward(policy: Path) -> None:
    code, states, errors = _say(policy, "a\nb=0.25\na\n# nothing\n\nbase 2\nreset\n")
    assert (code, errors) == (0, "")
    assert [state.split("\n")[0] for state in states] == [
        "r: nothing holds", "r: a", "r: a", "r: nothing holds", "r: nothing holds", "r: nothing holds",
    ]  # fmt: skip
    assert "→ fair                     100.0%" in states[0]
    assert "reward                   +0.000" in states[0]
    assert "→ good                     100.0%  (+100.0 %)" in states[1]
    assert "reward                   +1.000  (+1.000)" in states[1]
    assert "good                      75.0%  (-25.0 %)" in states[2]
    assert "reward                   +0.750  (-0.250)" in states[2]
    assert "bad                       25.0%" in states[3]
    assert "reward                   +1.750  (+2.000)" in states[4]


def test_what_nobody_knows_gives_an_interval(policy: Path) -> None:
    _, states, _ = _say(policy, "a=?\n")
    assert "no reward: no answer for `a`" in states[1]
    assert "reward from +0.000 to +1.000" in states[1]


def test_what_the_axioms_exclude_has_no_reward(policy: Path) -> None:
    code, states, _ = _say(policy, "a, c\nwhy\n")
    assert code == 0
    assert "no reward: the answers contradict the axioms" in states[1]
    assert "the axioms exclude this" in states[1]


def test_why_gives_a_reason_and_the_nearest_changes(policy: Path) -> None:
    _, states, _ = _say(policy, "a, !b\nwhy\n")
    assert "good because a, !b" in states[1]
    assert "fair if b" in states[1]


def test_measures_can_be_said_too(policy: Path) -> None:
    code, states, _ = _say(policy, "words > 3\nfor r\n", "--for", "s")
    assert code == 0
    assert "→ yes_                     100.0%" in states[1]
    assert states[2].startswith("r: ")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("aa", "no proposition `aa`; did you mean `a`?"),
        ("zebra", "`list` shows them all"),
        ("a=1.5", "a probability is a number from 0 to 1"),
        ("a=-", "`-` is not a number"),
        ("for t", "no response type `t`"),
        ("base nan", "`nan` is not a number"),
        ("a=0.5\nwhy", "`why` needs certain facts"),
        ("a, zebra", "no proposition `zebra`"),
        ("!", "no proposition ``"),
    ],
)
def test_a_line_that_cannot_be_followed_changes_nothing_and_fails_the_script(
    policy: Path, line: str, reason: str
) -> None:
    code, states, errors = _say(policy, line + "\n")
    assert code == 1
    assert reason in errors
    assert all("a" not in state.split("\n")[0].split(": ")[1].split(", ") for state in states)


def test_a_policy_that_cannot_be_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, code in [('prop a "A."\n', 2), ("axiom a\n", 1)]:
        path = tmp_path / "x.rbr"
        path.write_text(text, encoding="utf-8")
        assert main(["repl", str(path)]) == code
    assert main(["repl", str(tmp_path / "none.rbr")]) == 2
    assert "there is no such file" in capsys.readouterr().err
