"""`rbrc check` from outside: what it prints, how it exits, what it must not load, what it survives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rbrlang.cli.main import main
from rbrlang.policy import check, check_text

GOLDEN = Path(__file__).parent / "golden"
ANNOUNCEMENT = GOLDEN / "3001_announcement.rbr"
SOUND = """\
param limit = 60
@prior(0.25)
prop a "a"
prop b "b"
response r ranks good > {bad, worse}
r.good := a & words <= limit
r.bad := a & words > limit
r.worse := otherwise
reward r { features classes, a, b }
"""


def rbrc(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "rbrlang.cli", *arguments], capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.rbr"
    path.write_text(SOUND, encoding="utf-8")
    return path


def test_the_announcement_is_refused_with_gap_overlap_and_both_places() -> None:
    done = rbrc("check", str(ANNOUNCEMENT))
    assert done.returncode == 1
    assert done.stderr == ""
    expected = ANNOUNCEMENT.with_suffix(".txt").read_text(encoding="utf-8")
    found = done.stdout.replace(f"{GOLDEN}{os.sep}", "")
    assert found == expected + "\n3001_announcement.rbr: 2 errors\n"
    assert "witness: apology, inability, judgmental, !complies" in found
    assert "8:10" in found
    assert "12:9" in found
    assert "`less_good` is ruled here" in found


def test_the_announcement_as_json_has_the_promised_shape() -> None:
    done = rbrc("check", "--format", "json", str(ANNOUNCEMENT))
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert set(report) == {"diagnostics", "not_shown", "policies"}
    gap, overlap = report["diagnostics"]
    promised = {"code", "severity", "message", "file", "range", "related", "witness", "mass", "fixes"}
    assert promised <= set(gap)
    assert (gap["code"], gap["severity"], gap["file"]) == ("RBR3001", "error", str(ANNOUNCEMENT))
    assert gap["range"] == {"start": {"line": 8, "column": 10}, "end": {"line": 8, "column": 17}}
    assert gap["witness"] == {"apology": True, "inability": True, "judgmental": True, "complies": False}
    assert gap["mass"] == pytest.approx(0.0625)
    assert overlap["code"] == "RBR3002"
    assert overlap["range"]["start"] == {"line": 12, "column": 9}
    (related,) = overlap["related"]
    assert related["range"] == {"start": {"line": 11, "column": 9}, "end": {"line": 11, "column": 18}}
    assert related["file"] == str(ANNOUNCEMENT)
    (policy,) = report["policies"]
    (kind,) = policy["response_types"]
    assert policy["fingerprint"] is None
    assert policy["propositions"] == ["apology", "inability", "judgmental", "complies"]
    assert kind["partition"] is False
    assert kind["ranks"] == [["ideal"], ["less_good"], ["unacceptable"]]
    assert {name: c["mass"] for name, c in kind["classes"].items()} == pytest.approx(
        {"ideal": 1 / 16, "less_good": 9 / 16, "unacceptable": 1 / 2}
    )


def test_a_sound_policy_is_clean(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(sound)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{sound}: no findings · 2 propositions · 0 tests · fingerprint ")
    assert second == "  r: a partition over 2 propositions (good 12.5 % · bad 12.5 % · worse 75 %)"
    assert main(["check", "--format", "json", str(sound)]) == 0
    report: Any = json.loads(capsys.readouterr().out)
    assert report["diagnostics"] == []
    (policy,) = report["policies"]
    assert policy["fingerprint"] == check_text(SOUND).fingerprint
    assert policy["response_types"] == [
        {
            "name": "r", "ranks": [["good"], ["bad", "worse"]], "partition": True, "propositions": ["a", "words > 60"],
            "classes": {"good": {"mass": 0.125}, "bad": {"mass": 0.125}, "worse": {"mass": 0.75}},
        }
    ]  # fmt: skip


def test_warnings_are_findings_only_when_denied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = GOLDEN / "4001_unused.rbr"
    assert main(["check", str(path)]) == 0
    assert main(["check", "--deny", "warnings", str(path)]) == 1
    assert main(["check", "--deny", "warnings", str(GOLDEN / "4003_unmapped.rbr")]) == 0  # a note
    assert "1 warning" in capsys.readouterr().out


def test_several_files_are_all_checked(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(sound), str(ANNOUNCEMENT)]) == 1
    out = capsys.readouterr().out
    assert f"{sound}: no findings" in out
    assert f"{ANNOUNCEMENT}: 2 errors" in out


def test_parameters_are_set_from_the_command_line(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "-D", "limit=10", "--format", "json", str(sound)]) == 0
    (policy,) = json.loads(capsys.readouterr().out)["policies"]
    assert policy["response_types"][0]["propositions"] == ["a", "words > 10"]
    assert main(["check", "-D", "limits=10", str(sound)]) == 1
    out = capsys.readouterr().out
    assert "error[RBR2016]: the policy declares no parameter `limits`" in out
    assert "did you mean `-D limit=…`?" in out


def test_parameters_of_imported_files_are_set_by_their_names(tmp_path: Path) -> None:
    (tmp_path / "base.rbr").write_text("param limit = 5\nlong := words > limit\n")
    rules = "response r ranks x > y\nr.x := {}\nr.y := otherwise\n"
    for use, name, long in (
        ('use "base.rbr" as tone', "tone.limit", "tone.long"),
        ('use "base.rbr" (long, limit)', "limit", "long"),
    ):
        root = tmp_path / "root.rbr"
        root.write_text(f"{use}\n{rules.format(long)}")
        assert check(root).program.atoms == ("words > 5",)
        assert check(root, params={name: 9}).program.atoms == ("words > 9",)
        (problem,) = check(root, params={name + "s": 9}).diagnostics
        assert problem.help == f"did you mean `-D {name}=…`?"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "missing.rbr"], "no such file"),
        (["explain", "{folder}", "--given", "a"], "is a folder"),
        (["check", "-D", "limit", "{sound}"], "is not name=number"),
        (["check"], "FILE"),
        (["chek", "x"], "chek"),
        (["explain", "RBR9999"], "no code `RBR9999`"),
    ],
)
def test_wrong_usage_is_exit_code_two(sound: Path, arguments: list[str], said: str) -> None:
    done = rbrc(*(a.format(folder=sound.parent, sound=sound) for a in arguments))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_explain_has_a_page_for_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "all"]) == 0
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    for id in ids:
        assert main(["explain", id.lower()]) == 0
        assert id in capsys.readouterr().out


@pytest.mark.parametrize(
    "program",
    [
        "import rbrlang",
        "import rbrlang.policy, rbrlang.cli.main, rbrlang.cli.commands.language.check",
        (
            "import pkgutil, importlib, rbrlang.lang, rbrlang.logic\n"
            "for package in (rbrlang.lang, rbrlang.logic):\n"
            "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
            "        importlib.import_module(module.name)"
        ),
        f"import sys; from rbrlang.cli.main import main; assert main(['check', {str(ANNOUNCEMENT)!r}]) == 1",
    ],
)
def test_neither_arrays_nor_the_parser_generator_are_loaded(program: str) -> None:
    program += (
        "\nimport sys\nheavy = {'jax', 'numpy', 'optax', 'lark', 'rich'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_traceback(sound: Path) -> None:
    command = f'"{sys.executable}" -m rbrlang.cli check ' + f'"{ANNOUNCEMENT}" ' * 200 + "| head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "data", "code", "said"),
    [
        ("empty", b"", 0, "RBR4011"),
        ("binary", bytes(range(256)) * 40, 1, "RBR1012"),
        ("zip", b"PK\x03\x04\x00\x00", 1, "RBR1012"),
        ("utf16", "prop a".encode("utf-16"), 1, "RBR1012"),
        ("unclosed", b"a := " + b"(" * 10_000, 1, "RBR1004"),
        ("balanced", b"a := " + b"(" * 10_000 + b"b" + b")" * 10_000, 1, "RBR1008"),
        ("bangs", b"a := " + b"!" * 10_000 + b"b", 1, "RBR1008"),
        ("quotes", b'"' * 9_999, 1, "RBR100"),
        ("braces", b"{}" * 10_000, 1, "RBR1001"),
        ("one long line", b'prop a "' + b"x" * 1_000_000 + b'"', 0, "no findings"),
        ("only newlines", b"\n" * 100_000, 0, "RBR4011"),
        ("old mac lines", b'prop a "a"\rprop b "b"\r', 0, "2 propositions"),
    ],
)
def test_wrong_files_are_findings_not_crashes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes, code: int, said: str
) -> None:
    path = tmp_path / f"{name}.rbr"
    path.write_bytes(data)
    assert main(["check", str(path)]) == code
    out = capsys.readouterr().out
    assert said in out
    assert out.count("error[") <= 20
    assert max(map(len, out.splitlines())) < 400


def test_large_sound_files_of_every_shape_are_decided() -> None:
    size = 10_000
    chain = "".join(f"d{n} := {'!' * (n % 2)}d{n - 1}\n" for n in range(1, size))
    shapes = {
        "a chain of definitions": f'prop a "a"\nd0 := a\n{chain}response r ranks x > y\nr.x := d{size - 1}\nr.y := otherwise\n',
        "one long formula": 'prop a "a"\nprop b "b"\nresponse r ranks x > y\nr.x := ' + " & ".join(["a", "b"] * size)
        + "\nr.y := otherwise\n",
        "a cascade with a line for each of many propositions": "".join(f'prop p{n} "p"\n' for n in range(500))
        + "response r ranks x > y {\n" + "".join(f"  {'xy'[n % 2]} if p{n}\n" for n in range(500)) + "  y otherwise\n}\n",
        "a long table of cases": 'prop a "a"\nresponse r ranks x > y\nr.x := a\nr.y := otherwise\ncases r {\n'
        + "  a -> x\n  -> y\n" * (size // 2) + "}\n",
        "a wide group": "".join(f'prop p{n} "p"\n' for n in range(1000))
        + "group g = {" + ", ".join(f"p{n}" for n in range(1000)) + "}\nresponse r ranks x > y\n"
        + "r.x := none(g)\nr.y := otherwise\n",
    }  # fmt: skip
    for shape, text in shapes.items():
        assert check_text(text).ok, shape
