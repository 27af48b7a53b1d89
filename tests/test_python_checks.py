"""Checks by a function of the user's own: what it may say, what becomes of all else, and that nothing runs without leave."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from conftest import CHECKOUT
from serve_process import start

import rbrlang as rbr
from rbrlang import functions
from rbrlang.adapters.trl import TRLReward
from rbrlang.adapters.verl import compute_score
from rbrlang.checking import check_text
from rbrlang.cli.main import main
from rbrlang.diagnostics import FunctionError, NotAllowedError
from rbrlang.lang.printing.format import formatted
from rbrlang.lang.program import MeasureKind
from rbrlang.reward.kept.artefact import read_artefact
from rbrlang.reward.kept.codec import circuit_to_json
from rbrlang.rows.read import row_from
from rbrlang.scoring.columns import Columns
from rbrlang.scoring.score import Scorer
from rbrlang.source import Source

POLICY = """rbr 1
prop rude "Response is rude."
cites := python("text_checks.cites")
size := python("text_checks.halves") from 0 to 10
response chat ranks good > bad { bad if rude | !cites  good otherwise }
reward chat { features classes, size  weight size = 1 }
test "a source" for chat { prompt "Why?"  completion "See [1]."  expect good }
"""
ODD = """rbr 1
response chat ranks good > bad { good if python("text_checks.odd")  bad otherwise }
reward chat { features classes  weight good = 1  weight bad = 0 }
"""
ROWS: list[dict[str, Any]] = [
    {"id": "with", "prompt": "Why?", "completion": "See [1].", "response_type": "chat", "probs": {"rude": 0.0}},
    {"id": "without", "prompt": "Why?", "completion": "No.", "response_type": "chat", "probs": {"rude": 0.0}},
]


@pytest.fixture(autouse=True)
def no_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test allows is not allowed in the next."""
    monkeypatch.setattr(functions, "_leave", functions._Leave())  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("p", POLICY), ("odd", ODD)):
        (tmp_path / f"{name}.rbr").write_text(text)
        policy = rbr.load(tmp_path / f"{name}.rbr")
        rbr.write(tmp_path / f"{name}.rbrc", policy, rbr.compile(policy))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def scored(folder: Path, name: str, rows: list[dict[str, Any]], *more: str) -> tuple[int, list[dict[str, Any]]]:
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = folder / "out.jsonl"
    code = main(
        [
            "score",
            str(folder / name),
            str(folder / "in.jsonl"),
            "-o",
            str(out),
            "--allow-python",
            "--grader",
            "rows",
            *more,
        ]
    )
    return code, [json.loads(line) for line in out.read_text().splitlines()]


# --- what it says -------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("--workers", "2")])
def test_a_function_decides_a_class_and_is_a_feature(folder: Path, more: tuple[str, ...]) -> None:
    code, (first, second) = scored(folder, "p.rbrc", ROWS, *more)
    assert code == 0
    assert (first["class"], second["class"]) == ("good", "bad")
    assert first["reward"] == pytest.approx(1.0 + 0.4)
    assert second["reward"] == pytest.approx(-1.0 + 0.15)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raises", "`text_checks.odd` raised ValueError: no such thing"),
        ("exits", "`text_checks.odd` raised SystemExit: 3"), ("ends", "`text_checks.odd` ended its process"),
        ("waits", "`text_checks.odd` did not answer within 0.3 seconds"),
        ("nan", "`text_checks.odd` returned nan, which is no finite number"),
        ("large", "`text_checks.odd` raised OverflowError: int too large to convert to float"),
        ("text", "`text_checks.odd` returned a str, neither true nor false nor a number"),
        ("list", "`text_checks.odd` returned a list, neither true nor false nor a number"),
        ("nothing", "`text_checks.odd` does not say"),
        ("half", "`text_checks.odd` returned 0.5, neither true nor false"),
    ],
)  # fmt: skip
def test_what_is_no_value_is_unknown_with_its_reason(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    functions.allow(["text_checks.odd"])
    assert functions.ask("text_checks.odd", "well") == 1.0  # kept, however short the time for the other
    monkeypatch.setattr(functions, "SECONDS", 0.3 if text == "waits" else functions.SECONDS)
    rows = [{"id": text, "prompt": "", "completion": text, "response_type": "chat"},
            {"id": "well", "prompt": "", "completion": "well", "response_type": "chat"}]  # fmt: skip
    rollouts = [row_from(row) for row in rows]
    found = Scorer(folder / "odd.rbrc", allow_python=True, allow_abstain=True)(rollouts)
    assert np.isnan(found.rewards[0])
    assert said in (found.reasons[0] or "")
    assert found.rewards[1] == pytest.approx(1.0)
    code, (bad, well) = scored(folder, "odd.rbrc", rows)
    assert code == 3
    assert (bad["reward"], bad["valid"], well["reward"]) == (None, False, 1.0)
    assert said in bad["reason"]


def test_a_number_that_is_unknown_leaves_the_reward_open(folder: Path) -> None:
    (folder / "n.rbr").write_text(
        'rbr 1\nn := python("text_checks.odd") from 0 to 2\nprop a "A."\nresponse chat ranks good > bad { good if a  bad otherwise }\n'
        "reward chat { features classes, n  weight n = 1  weight good = 1  weight bad = 0 }\n"
    )
    assert main(["compile", str(folder / "n.rbr"), "-o", str(folder / "n.rbrc")]) == 0
    texts = ("half", "well", "nan")
    rows = [{"id": t, "completion": t, "response_type": "chat", "probs": {"a": 1.0}} for t in texts]
    code, out = scored(folder, "n.rbrc", rows, "--bounds")
    assert code == 3
    assert [row["reward"] for row in out] == [pytest.approx(1.25), pytest.approx(1.5), None]
    assert out[2]["reward_bounds"] == [pytest.approx(1.0), pytest.approx(2.0)]
    assert "returned nan, which is no finite number" in out[2]["reason"]


def test_it_is_asked_once_a_text(tmp_path: Path) -> None:
    functions.allow(["text_checks.counted"])
    text = str(tmp_path / "calls")
    assert [functions.ask("text_checks.counted", text) for _ in range(5)] == [True] * 5
    assert Path(text).read_text() == "called\n"
    functions.allow(["text_checks.empty"])
    assert (functions.ask("text_checks.empty", ""), functions.ask("text_checks.empty", "\ud800")) == (True, False)


# --- without leave ------------------------------------------------------------------------------


def test_checking_printing_comparing_and_compiling_import_nothing(folder: Path) -> None:
    (folder / "trap.py").write_text("import pathlib\npathlib.Path('sprung').touch()\ndef f(text): return True\n")
    policy, other = folder / "t.rbr", folder / "u.rbr"
    policy.write_text('response r ranks good > bad { good if python("trap.f")  bad otherwise }\n')
    other.write_text('prop a "A."\nresponse r ranks good > bad { good if python("trap.f") & a  bad otherwise }\n')
    for command in (
        ["check", policy], ["fmt", "--check", policy], ["compile", policy, "-o", "t.rbrc"], ["diff", policy, other],
        ["test", policy], ["graph", policy], ["inspect", "t.rbrc"], ["verify", "t.rbrc"],
    ):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "rbrlang.cli", *map(str, command)], cwd=folder, capture_output=True, text=True,
            env={"PYTHONPATH": f"{CHECKOUT}:{folder}", "PATH": ""}, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert "Traceback" not in done.stderr
    assert not (folder / "sprung").exists()
    assert 'it asks `python("trap.f")`: code that it does not hold' in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["score", "p.rbrc", "rows.jsonl", "-o", "out.jsonl"], ["score", "p.rbrc", "rows.jsonl", "-o", "out.jsonl", "--workers", "2"],
        ["grade", "p.rbr", "rows.jsonl", "-o", "out.jsonl", "--lazy", "0", "--grader", "rows"], ["eval", "p.rbrc", "rows.jsonl"],
        ["fit", "p.rbr", "rows.jsonl", "-o", "out.rbrc"], ["report", "p.rbrc", "rows.jsonl", "-o", "out.html"],
        ["serve", "p.rbrc", "--port", "0"], ["test", "p.rbr", "--grader", "embedded", "--allow-abstain"],
        ["probe", "p.rbr", "--grader", "python:serve_grader.steady"], ["synth", "p.rbr", "-o", "out.jsonl"], ["diff", "p.rbr", "p.rbr", "--data", "rows.jsonl"],
        ["explain", "p.rbr", "--row", "rows.jsonl:with"], ["verify", "out0.jsonl", "--artefact", "p.rbrc"],
        ["agree", "p.rbr", "rows.jsonl", "--grader", "rows"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_whatever_would_ask_it_is_refused_in_one_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "out0.jsonl").write_text("".join(json.dumps({**row, "reward": 1.0}) + "\n" for row in ROWS))
    assert main(command) == 2
    err = capsys.readouterr().err
    assert 'the policy asks `python("text_checks.cites")`, code that is run only with your leave' in err
    assert "`--allow-python`" in err
    assert not list(folder.glob("out.*"))


def test_in_python_it_is_a_parameter(folder: Path) -> None:
    rows = [row_from(row) for row in ROWS]
    reward = rbr.read(folder / "p.rbrc")
    policy = rbr.load(folder / "p.rbr")
    for refused in (
        lambda: reward.encode(rows), lambda: Scorer(folder / "p.rbrc"), lambda: TRLReward(folder / "p.rbrc"),
        lambda: rbr.compile(policy).encode(rows), lambda: rbr.fit(policy, rows),
        lambda: Scorer(folder / "p.rbrc", allow_python="false"),  # pyright: ignore[reportArgumentType]
        lambda: compute_score("", "No.", "", artefact=str(folder / "p.rbrc"), columns={"every": "chat"}),
    ):  # fmt: skip
        with pytest.raises(NotAllowedError, match="`allow_python=True` in Python"):
            refused()
    adapter = TRLReward(folder / "p.rbrc", allow_python=True, allow_abstain=True, columns=Columns(every="chat"))
    scorer: Scorer = pickle.loads(pickle.dumps(adapter)).scorer
    found = scorer([row_from({**row, "probs": {}}) for row in ROWS])
    assert found.class_probs[1].tolist() == [0.0, 1.0]
    atoms = rbr.read(folder / "p.rbrc", allow_python=True).encode(rows)
    assert atoms.tolist() == [[0.0, 1.0, pytest.approx(0.4)], [0.0, 0.0, pytest.approx(0.15)]]
    assert rbr.compile(policy, allow_python=True).encode(rows).tolist() == atoms.tolist()


def test_leave_for_one_command_or_function_is_none_for_another(folder: Path) -> None:
    assert scored(folder, "p.rbrc", ROWS)[0] == 0
    with pytest.raises(NotAllowedError):
        Scorer(folder / "p.rbrc")
    functions.allow(["text_checks.cites"])
    with pytest.raises(NotAllowedError, match=r"text_checks\.halves"):
        Scorer(folder / "p.rbrc")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.at_all", "ModuleNotFoundError: No module named 'nowhere'"),
        ("text_checks.none", "the module `text_checks` has no function `none`"),
        ("text_checks.not_callable", "the module `text_checks` has no function `not_callable`"),
    ],
)
def test_a_function_that_cannot_be_had_is_refused_before_any_row(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    (folder / "p.rbr").write_text(POLICY.replace("text_checks.cites", name))
    assert main(["compile", str(folder / "p.rbr"), "-o", str(folder / "p.rbrc")]) == 0
    out = folder / "out.jsonl"
    arguments = ["score", str(folder / "p.rbrc"), str(folder / "rows.jsonl"), "-o", str(out), "--allow-python"]
    assert main(arguments) == 2
    assert f'`python("{name}")` cannot be asked: {said}' in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(FunctionError, match="cannot be asked"):
        Scorer(folder / "p.rbrc", allow_python=True)


# --- commands and servers -----------------------------------------------------------------------


def test_commands_that_were_told_to_ask_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["explain", "p.rbr", "--row", "rows.jsonl:without", "--allow-python"]) == 0
    assert capsys.readouterr().out.startswith("chat: bad")
    assert main(["diff", "p.rbr", "p.rbr", "--data", "rows.jsonl", "--allow-python"]) == 0
    monkeypatch.syspath_prepend(str(CHECKOUT / "tests"))
    tested = ["test", "p.rbr", "--grader", "python:serve_grader.steady", "--allow-python"]
    assert main(tested) == 0
    assert "1 passed" in capsys.readouterr().out
    assert scored(folder, "p.rbrc", ROWS)[0] == 0
    assert main(["verify", "out.jsonl", "--artefact", "p.rbrc", "--allow-python"]) == 0


def test_tests_and_explanations_say_why_it_said_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    asked = 'test "odd" for chat { prompt "Why?"  completion "raises"  expect good }\n'
    (folder / "odd.rbr").write_text(
        'prop a "A."\n' + ODD.removeprefix("rbr 1\n").replace("good if", "good if a &") + asked
    )
    (folder / "rows.jsonl").write_text(json.dumps({**ROWS[0], "completion": "raises", "probs": {"a": 1.0}}) + "\n")
    why = "`text_checks.odd` raised ValueError: no such thing"
    assert main(["explain", "odd.rbr", "--row", "rows.jsonl:with", "--allow-python"]) == 2
    assert why in capsys.readouterr().err
    assert main(["test", "odd.rbr", "--grader", "python:serve_grader.steady", "--allow-python"]) == 1
    assert why in capsys.readouterr().out


def test_a_server_asks_it(folder: Path) -> None:
    options = ("--grader", "python:serve_grader.steady", "--allow-python")
    with start(folder / "odd.rbrc", *options) as server, httpx.Client(verify=False) as http:
        rows = [{"prompt": "", "completion": text, "response_type": "chat"} for text in ("well", "raises", "ends")]
        found = http.post(f"{server.url}/score", json={"rows": rows}, timeout=60).json()["rows"]
    assert [row["reward"] for row in found] == [1.0, None, None]
    assert "raised ValueError: no such thing" in found[1]["reason"]
    assert "ended its process" in found[2]["reason"]


# --- the language -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["print", "os; x", "a..b", "", "a.b()", "a." * 100 + "b", "4.b", "a.b\n"])
def test_what_names_no_function_is_a_finding(name: str) -> None:
    text = json.dumps(name)
    found = check_text(f"response t ranks good > bad\nt.good := python({text})\nt.bad := otherwise\n")
    (error,) = [d for d in found.diagnostics if d.severity == "error"]
    assert "names no function" in error.message or "of nothing" in error.message
    assert error.help


def test_layout_is_settled() -> None:
    text = 'a:=python( "m.f" )over   thought\nb := python("m.f")   from 1 to  4\n'
    once = formatted(Source("p.rbr", text))
    assert once == 'a := python("m.f") over thought\nb := python("m.f") from 1 to 4\n'
    assert formatted(Source("p.rbr", once)) == once


def test_an_artefact_holds_a_name_and_nothing_else(folder: Path) -> None:
    circuit = read_artefact(folder / "p.rbrc").circuit
    told: Any = circuit_to_json(circuit)
    assert circuit == rbr.load(folder / "p.rbr").circuit
    kind: MeasureKind = "python"
    assert [atom["measure"] for atom in told["atoms"] if atom["measure"]] == [
        [kind, "text_checks.cites", 0], [kind, "text_checks.halves", 0],
    ]  # fmt: skip
