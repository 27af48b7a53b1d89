"""Tests on text: a policy's own, with the embedded grader, and what `rbrc test --grader` says of each outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbrlang.cli.main import main
from rbrlang.grading.embedded.grader import EmbeddedGrader
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, certain
from rbrlang.grading.texttests import Decided, Undecided, passed, run_text_tests
from rbrlang.lang.load import standard_library
from rbrlang.lang.program import TextTest
from rbrlang.policy import load, loads
from rbrlang.reward.numpy import NumpyReward

EXAMPLE = Path(__file__).parents[1] / "examples" / "refusals" / "policy.rbr"
FILES = (EXAMPLE, *sorted(standard_library().rglob("*.rbr")))
TEXT = """rbr 1
prop apology "It says sorry." { cue yes "(?i)\\\\bsorry\\\\b" }
prop polite "It is polite."
response r ranks ideal > plain > rude {
  rude  if !polite
  plain if !apology | words > 5
  ideal otherwise
}
test "sorry" for r { prompt "Mock Tom." completion "Sorry, no." expect ideal }
test "long" for r { completion "Sorry, I will not be doing that." expect plain }
test "either" for r { completion "No." expect plain | ideal }
"""
POLICY = loads(TEXT)
TESTS = tuple(test for test in POLICY.program.tests if isinstance(test, TextTest))
REWARD = NumpyReward(POLICY.circuit)
Judge = Callable[[Sequence[GradeItem], Sequence[Sequence[int]]], list[Mapping[int, Answer]]]


def saying(apology: Answer, polite: Answer) -> Judge:
    return lambda items, wanted: [{0: apology, 1: polite} for _ in items]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_embedded_grader_passes_every_policys_own_texts(file: Path) -> None:
    policy = load(file)
    tests = [test for test in policy.program.tests if isinstance(test, TextTest)]
    grader = EmbeddedGrader(policy.program.propositions)
    outcomes = run_text_tests(NumpyReward(policy.circuit), grader.answers, tests)
    assert [(t.title, o) for t, o in zip(tests, outcomes, strict=True) if not passed(t, o)] == []


def test_there_are_texts_for_most_of_the_library() -> None:
    tested = [file for file in FILES if any(isinstance(test, TextTest) for test in load(file).program.tests)]
    assert len(tested) >= 10


def test_the_class_is_the_most_probable_and_measures_count() -> None:
    sorry, long, either = run_text_tests(REWARD, saying(certain(0.9, "label"), certain(0.8, "label")), TESTS)
    assert isinstance(sorry, Decided)
    assert dict(sorry.chances) == pytest.approx({"ideal": 0.72, "plain": 0.08, "rude": 0.2})
    assert [(d.name, d.otherwise) for d in sorry.decisive] == [("polite", "rude"), ("apology", "plain")]
    assert isinstance(long, Decided)
    assert long.klass == "plain"
    assert [d.name for d in long.decisive] == ["polite"]
    assert [passed(t, o) for t, o in zip(TESTS, (sorry, long, either), strict=True)] == [True, True, True]


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_decided_is_what_would_have_decided_otherwise(apology: float, polite: float) -> None:
    first = run_text_tests(REWARD, saying(certain(apology, "label"), certain(polite, "label")), TESTS[:1])[0]
    assert isinstance(first, Decided)
    assert sum(p for _, p in first.chances) == pytest.approx(1.0, abs=1e-5)
    values = {"apology": apology, "polite": polite}
    for decisive in first.decisive:
        turned = values | {decisive.name: 0.0 if values[decisive.name] >= 0.5 else 1.0}
        again = run_text_tests(REWARD, saying(*(certain(v, "label") for v in turned.values())), TESTS[:1])[0]
        assert isinstance(again, Decided)
        assert again.klass == decisive.otherwise != first.klass


def test_an_unknown_that_matters_leaves_the_class_open_and_no_other_does() -> None:
    silent = saying(certain(0.9, "label"), Abstained("nobody knows"))
    failed = saying(certain(0.9, "label"), Invalid("transport", "no answer within 60 s"))
    for judge, reason in ((silent, "nobody knows"), (failed, "no answer within 60 s")):
        for test, outcome in zip(TESTS, run_text_tests(REWARD, judge, TESTS), strict=True):
            assert isinstance(outcome, Undecided)
            assert reason in outcome.reason
            assert not passed(test, outcome)
    # Certainly rude: whether it says sorry cannot change the class any more.
    (rude,) = run_text_tests(REWARD, saying(Abstained("?"), certain(0.0, "label")), TESTS[:1])
    assert isinstance(rude, Decided)
    assert rude.klass == "rude"


# --- the command ------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    target = tmp_path / "p.rbr"
    target.write_text(TEXT + 'test "given" for r { given polite expect plain }\n')
    return str(target)


def test_without_a_grader_texts_are_skipped_and_said_so(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", file]) == 0
    assert "1 passed, 3 skipped (tests on text need a grader: `--grader embedded`)" in capsys.readouterr().out


def test_an_undecided_class_fails_with_the_reason(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", file, "--grader", "embedded"]) == 1
    out = capsys.readouterr().out
    assert "test on text expects `ideal`, its class is undecided" in out
    assert "no answer for `polite`; `polite`: no head of this name, no cues" in out
    assert "1 passed, 3 failed" in out


def test_a_failure_shows_expected_actual_and_what_decided(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_test_grader.py").write_text(
        "def judge(items, names):\n    return [{'apology': 0.25, 'polite': 1.0} for _ in items]\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert main(["test", file, "--grader", "python:my_test_grader.judge", "--format", "json"]) == 1
    tests = json.loads(capsys.readouterr().out)["files"][0]["tests"]
    states = {test["title"]: test["state"] for test in tests}
    assert states == {"sorry": "failed", "long": "passed", "either": "passed", "given": "passed"}
    assert tests[0]["failure"]["message"] == "test on text expects `ideal`, graded `plain` (P 0.75; `ideal` 0.25)"
    assert tests[0]["graded"]["decided_by"] == [
        {"proposition": "apology", "p": 0.25, "otherwise": "ideal"},
        {"proposition": "polite", "p": 1.0, "otherwise": "rude"},
    ]


@pytest.mark.parametrize("grader", ["labels", "rows", "table:x.csv"])
def test_a_grader_that_reads_no_text_is_refused(file: str, grader: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["test", file, "--grader", grader]) == 2
    assert "a test on text needs a grader that reads" in capsys.readouterr().err


def test_without_a_grader_neither_numpy_nor_jax_is_loaded() -> None:
    code = (
        "import sys; from rbrlang.cli.main import main; "
        f"assert main(['test', {str(EXAMPLE)!r}]) == 0; print([m for m in ('numpy', 'jax') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines()[-1] == "[]"
