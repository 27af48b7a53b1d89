"""A user's own function that grades costs only the completions that it fails on, whatever it does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from rbrlang.cli.main import main
from rbrlang.grading.boundary import Bounded, consulted
from rbrlang.grading.local import FunctionGrader, function_grader
from rbrlang.grading.questions.specs import GraderError
from rbrlang.grading.results import Abstained, Answer, GradeItem, Invalid, certain
from rbrlang.policy import Policy, check_text
from rbrlang.reward.kept.artefact import Artefact
from rbrlang.reward.weights import default_weights
from rbrlang.rows.read import row_from
from rbrlang.scoring.score import Scorer

NAMES = ("a", "b")
ITEMS = [GradeItem(str(n), (), f"text {n}", 0) for n in range(4)]
WANTED = [(0, 1)] * 4


class Stubborn:
    """An object that fails however it is looked at."""

    def __float__(self) -> float:
        raise RuntimeError("no number here")

    def __repr__(self) -> str:
        raise RuntimeError("no words here")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words here")


class Elusive(Mapping[str, float]):
    """A mapping that fails when it is asked."""

    def __getitem__(self, name: str) -> float:
        raise SystemExit(3)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ValueError("bad"), "ValueError: bad"), (SystemExit(1), "SystemExit: 1"), (SystemExit(), "SystemExit"),
        (GeneratorExit(), "GeneratorExit"), (RecursionError(), "RecursionError"), (MemoryError(), "MemoryError"),
        (Mute(), "Mute"), (StopIteration(), "StopIteration"), (BaseException("x"), "BaseException: x"),
    ],
)  # fmt: skip
def test_whatever_a_function_raises_is_a_reason(raised: BaseException, words: str) -> None:
    def grade(items: Sequence[GradeItem], names: Sequence[str]) -> list[dict[str, float]]:
        if any(item.id == "2" for item in items):
            raise raised
        return [{"a": 0.25} for _ in items]

    got = FunctionGrader("mine", grade, NAMES, batch=2).answers(ITEMS, WANTED)
    assert [answers[0] for answers in got[:2]] == [certain(0.25, "function")] * 2
    for answers in got[2:]:
        assert answers == dict.fromkeys((0, 1), Invalid("grader", f"`mine` raised {words}"))


def test_control_c_still_interrupts() -> None:
    def grade(items: Sequence[GradeItem], names: Sequence[str]) -> list[dict[str, float]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FunctionGrader("mine", grade, NAMES).answers(ITEMS, WANTED)
    with pytest.raises(KeyboardInterrupt):
        Bounded(grade)(ITEMS, WANTED)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), np.float64("nan"), float("inf"), "0.5", b"0.5", np.bool_(True), 10**400, -(10**400), 1 + 1e-9, [],
        Stubborn(), np.array([0.5, 0.5]), object(),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_a_value_that_is_no_probability_costs_one_answer(value: object) -> None:
    def grade(items: Sequence[GradeItem], names: Sequence[str]) -> list[dict[str, object]]:
        return [{"a": value if item.id == "1" else 0.5, "b": 0.25} for item in items]

    got = FunctionGrader("mine", grade, NAMES).answers(ITEMS, WANTED)  # pyright: ignore[reportArgumentType]
    for item, answers in zip(ITEMS, got, strict=True):
        assert answers[1] == certain(0.25, "function")
        assert isinstance(answers[0], Invalid) == (item.id == "1")
    assert len(str(got[1][0])) < 400


@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.array(0.5), np.int64(1), 1, 0])
def test_numbers_of_numpy_are_numbers(value: float) -> None:
    got = FunctionGrader("mine", lambda items, names: [{"a": value}] * len(items), NAMES).answers(ITEMS, WANTED)
    assert got[0] == {0: certain(float(value), "function"), 1: Abstained("`mine` did not judge this")}


def test_a_mapping_that_fails_costs_its_own_completion() -> None:
    given: list[Mapping[str, float]] = [{"a": 0.5}, Elusive(), {"a": 0.5}, {}]
    got = FunctionGrader("mine", lambda items, names: given, NAMES).answers(ITEMS, WANTED)
    assert [type(answers[0]) for answers in got] == [
        type(certain(0.5, "function")), Invalid, type(certain(0.5, "function")), Abstained,
    ]  # fmt: skip
    assert got[1][0] == Invalid("grader", "`mine` raised SystemExit: 3")


def test_what_a_generator_gave_before_it_raised_stands() -> None:
    def grade(items: Sequence[GradeItem], names: Sequence[str]) -> Iterator[dict[str, float]]:
        for item in items:
            if item.id == "2":
                raise ValueError("tired")
            yield {"a": 0.5, "b": 0.5}

    got = FunctionGrader("mine", grade, NAMES).answers(ITEMS, WANTED)  # pyright: ignore[reportArgumentType]
    assert [answers[0] for answers in got] == [certain(0.5, "function")] * 2 + [
        Invalid("grader", "`mine` raised ValueError: tired")
    ] * 2


def endless() -> Iterator[dict[str, float]]:
    while True:
        yield {"a": 0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([{}] * 3, "but 3"), ([{}] * 5, "but more"), ((), "but 0"), (endless(), "but more"), ({"a": 1}, "but a dict"),
        ("abcd", "but a str"), (None, "but a NoneType"), (0.5, "but a float"),
    ],
)  # fmt: skip
def test_results_of_another_number_belong_to_nobody(given: object, words: str) -> None:
    for found in consulted("mine", lambda: given, 4):
        assert found == Invalid("grader", f"mine did not return a list of 4 mappings, {words}")


@pytest.mark.parametrize(
    "text", ["import sys; sys.exit(3)", "raise KeyError('x')", "raise BaseException", "def f(:", "import nothing_here"]
)
def test_a_module_that_cannot_be_imported_is_one_sentence(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "stillborn.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "stillborn", raising=False)
    with pytest.raises(GraderError, match="cannot import `stillborn`"):
        function_grader("stillborn.f", NAMES)
    (tmp_path / "p.rbr").write_text(POLICY, encoding="utf-8")
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n", encoding="utf-8")
    arguments = ["grade", str(tmp_path / "p.rbr"), str(tmp_path / "rows.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    assert main([*arguments, "--grader", "python:stillborn.f"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("rbrc grade: cannot import `stillborn`: ")
    assert said.count("\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


# --- judges of a scorer -------------------------------------------------------------------------

POLICY = """rbr 1
prop a "Response is a."
response r ranks good > bad {
  bad if !a
  good otherwise
}
"""
ROWS = [{"id": str(n), "prompt": "x", "completion": f"y {n}", "response_type": "r"} for n in range(4)]


def artefact() -> Artefact:
    policy = Policy(check_text(POLICY))
    return Artefact(policy.circuit, default_weights(policy.circuit), policy.sources, None, {})


Plain = Callable[[Sequence[GradeItem], Sequence[Sequence[int]]], object]


def breaks(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> object:
    raise SystemExit("enough")


def partial(items: Sequence[GradeItem], wanted: Sequence[Sequence[int]]) -> object:
    for item in items:
        if item.id == "2":
            raise ValueError("tired")
        yield {0: certain(0.9, "function")}


@pytest.mark.parametrize(
    ("judge", "valid", "reason"),
    [
        (breaks, 0, "the grader raised SystemExit: enough"),
        (partial, 2, "the grader raised ValueError: tired"),
        (lambda items, wanted: [{0: certain(0.9, "function")}] * 3, 0, "a list of 4 mappings, but 3"),
        (lambda items, wanted: [{0: 0.9}] * 4, 0, "the grader returned 0.9, which is no answer"),
        (lambda items, wanted: [{}] * 4, 0, "the grader returned no answer"),
        (lambda items, wanted: [None] * 4, 0, "returned a NoneType for one completion"),
        (lambda items, wanted: [Elusive()] * 4, 0, "the grader raised SystemExit: 3"),
    ],
)
def test_a_judge_that_fails_leaves_the_other_rollouts_alone(judge: Plain, valid: int, reason: str) -> None:
    typed: Callable[..., list[Mapping[int, Answer]]] = judge  # pyright: ignore[reportAssignmentType]
    scores = Scorer(artefact(), typed)([row_from(row) for row in ROWS])
    assert [said is None for said in scores.reasons] == [True] * valid + [False] * (4 - valid)
    assert all(reason in said for said in scores.reasons if said is not None)
